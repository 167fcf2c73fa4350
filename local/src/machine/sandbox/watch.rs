//! Looks after what machines share with the host and no limit bounds: room on its disk ([`super::room`]), and tables of its
//! kernel's ([`super::shortage`]). Whichever machine takes too much of it loses its power.

use super::{
    holdings::Holding,
    protocol::{self, Command},
    question::Questions,
    room::Room,
    shortage::Shortage,
    tables::{Entry, Tables},
    taken::Taken,
};
use std::{
    collections::BTreeSet,
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak},
    thread,
    time::Duration,
};

/// How often it is looked at: a fast disk takes some 500 MB in that time.
const LOOK: Duration = Duration::from_millis(250);
/// The same while keepers count.
const LOOK_CLOSER: Duration = Duration::from_millis(5);

/// A machine that is looked after.
#[derive(Debug)]
pub struct Tenant {
    disk: PathBuf,
    /// The disks of its other volumes.
    volumes: Mutex<BTreeSet<PathBuf>>,
    control: Arc<OwnedFd>,
    verdict: OnceLock<String>,
    holds: Questions<Entry, Holding>,
    nameless: Questions<(), Taken>,
}

impl Tenant {
    pub fn new(disk: &Path, control: Arc<OwnedFd>) -> Arc<Self> {
        Arc::new(Self {
            disk: disk.to_owned(),
            volumes: Mutex::default(),
            control,
            verdict: OnceLock::new(),
            holds: Questions::default(),
            nameless: Questions::default(),
        })
    }

    pub fn disk(&self) -> &Path {
        &self.disk
    }

    /// It has a volume, or hasn't it any more.
    pub fn note_volume(&self, volume: &str, has: bool) {
        let disk = self.disk.with_file_name(volume);
        let mut volumes = self.volumes.lock().unwrap_or_else(PoisonError::into_inner);
        if has {
            volumes.insert(disk);
        } else {
            volumes.remove(&disk);
        }
    }

    /// All disks that it fills.
    pub fn disks(&self) -> Vec<PathBuf> {
        let volumes = self.volumes.lock().unwrap_or_else(PoisonError::into_inner);
        std::iter::once(&self.disk).chain(volumes.iter()).cloned().collect()
    }

    /// Why its power was taken, if it was.
    pub fn verdict(&self) -> Option<&str> {
        self.verdict.get().map(String::as_str)
    }

    /// Takes its power.
    pub fn end(&self, why: String) {
        let _ = self.verdict.set(why);
        // A machine that is gone needs no command.
        let _ = protocol::send(&self.control, &Command::Kill, &[]);
    }

    /// Asks its keeper how many of these it holds, unless that still owes an answer.
    pub fn ask(&self, entry: Entry) {
        self.holds.ask(entry, |question| {
            // A machine that is gone needs no command.
            let _ = protocol::send(&self.control, &Command::Count(entry, question), &[]);
        });
    }

    /// How many of these it holds, if that was asked for last and its keeper has counted.
    pub fn holds(&self, entry: Entry) -> Option<Holding> {
        self.holds.answer(entry)
    }

    /// Asks its keeper what its files take that have no name, unless that still owes an answer.
    pub fn ask_nameless(&self) {
        self.nameless.ask((), |question| {
            let _ = protocol::send(&self.control, &Command::CountNameless(question), &[]);
        });
    }

    /// What they take, once its keeper has counted.
    pub fn nameless(&self) -> Option<Taken> {
        self.nameless.answer(())
    }

    /// Notes that.
    pub fn note_nameless(&self, question: u64, taken: Taken) {
        self.nameless.note(question, taken);
    }

    /// Notes what its keeper has counted, if that was asked for last.
    pub fn note(&self, question: u64, holding: Holding) {
        self.holds.note(question, holding);
    }
}

/// Looks after all machines of an endpoint, as long as there are any.
#[derive(Debug, Default)]
pub struct Watch {
    tenants: Mutex<Tenants>,
    tables: OnceLock<Arc<Tables>>,
}

#[derive(Debug, Default)]
struct Tenants {
    all: Vec<Weak<Tenant>>,
    /// Which of it is looked at.
    watched: [bool; 2],
}

/// What is looked at, each by a thread of its own: going through disks takes its time.
#[derive(Debug, Clone, Copy)]
enum Shared {
    Tables,
    Room,
}

impl Watch {
    /// The host's tables, looked for when they are asked for first.
    pub fn tables(&self) -> &Arc<Tables> {
        self.tables.get_or_init(|| Arc::new(Tables::of_host()))
    }

    fn tenants(&self) -> MutexGuard<'_, Tenants> {
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks after this machine, too.
    pub fn admit(self: &Arc<Self>, tenant: &Arc<Tenant>) -> io::Result<()> {
        let mut tenants = self.tenants();
        tenants.all.push(Arc::downgrade(tenant));
        for (shared, name) in [(Shared::Tables, "watch"), (Shared::Room, "watch room")] {
            if !tenants.watched[shared as usize] {
                let watch = self.clone();
                let run = move || match shared {
                    Shared::Tables => watch.look_at_tables(),
                    Shared::Room => watch.look_at_room(),
                };
                thread::Builder::new().name(name.into()).stack_size(256 << 10).spawn(run)?;
                tenants.watched[shared as usize] = true;
            }
        }
        Ok(())
    }

    /// Those that are there; when there are none, nobody looks any more.
    fn present(&self, shared: Shared) -> Option<Vec<Arc<Tenant>>> {
        let mut tenants = self.tenants();
        tenants.all.retain(|tenant| tenant.strong_count() > 0);
        tenants.watched[shared as usize] = !tenants.all.is_empty();
        tenants.watched[shared as usize].then(|| tenants.all.iter().filter_map(Weak::upgrade).collect())
    }

    fn look_at_tables(&self) {
        let mut shortage = Shortage::new(self.tables().clone());
        loop {
            thread::sleep(if shortage.is_being_counted() { LOOK_CLOSER } else { LOOK });
            let Some(tenants) = self.present(Shared::Tables) else { return };
            shortage.look(&tenants);
        }
    }

    fn look_at_room(&self) {
        let mut room = Room::default();
        loop {
            thread::sleep(LOOK);
            let Some(tenants) = self.present(Shared::Room) else { return };
            room.look(&tenants);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_answer_is_none_to_a_later_question() {
        let (control, keepers) = protocol::connection().unwrap();
        let tenant = Tenant::new(Path::new("/nowhere"), Arc::new(control));
        let holding = |count| Holding { count, is_complete: true };
        tenant.ask(Entry::Terminal);
        // It isn't asked while it owes an answer, and what it then says is about what it was asked.
        tenant.ask(Entry::File);
        tenant.note(1, holding(300));
        assert_eq!(tenant.holds(Entry::File), None);
        tenant.ask(Entry::File);
        tenant.note(1, holding(300));
        assert_eq!(tenant.holds(Entry::File), None);
        tenant.note(2, holding(7));
        assert_eq!(tenant.holds(Entry::File), Some(holding(7)));
        drop(tenant);
        let mut asked = Vec::new();
        while let Some((command, _)) = protocol::receive::<Command>(&keepers).unwrap() {
            asked.push(command);
        }
        assert_eq!(asked, [Command::Count(Entry::Terminal, 1), Command::Count(Entry::File, 2)]);
    }
}
