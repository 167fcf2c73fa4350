//! Looks after what machines share with the host and no limit bounds: room on its disk ([`super::room`]), and tables of its
//! kernel's ([`super::shortage`]). Whichever machine takes too much of it loses its power.

use super::{
    holdings::Holding,
    protocol::{self, Command},
    room::Room,
    shortage::Shortage,
    tables::{Entry, Tables},
};
use std::{
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
    control: Arc<OwnedFd>,
    verdict: OnceLock<String>,
    asked: Mutex<Asked>,
}

/// What its keeper was asked to count.
#[derive(Debug, Default)]
struct Asked {
    /// The number of the last question.
    question: u64,
    answer: Option<Holding>,
}

impl Tenant {
    pub fn new(disk: &Path, control: Arc<OwnedFd>) -> Arc<Self> {
        Arc::new(Self { disk: disk.to_owned(), control, verdict: OnceLock::new(), asked: Mutex::default() })
    }

    pub fn disk(&self) -> &Path {
        &self.disk
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

    fn asked(&self) -> MutexGuard<'_, Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks its keeper how much it holds. One that still owes an answer is asked nothing more: what waits for it stands before the
    /// command to take its power.
    pub fn ask(&self, entry: Entry) {
        let mut asked = self.asked();
        if asked.question > 0 && asked.answer.is_none() {
            return;
        }
        *asked = Asked { question: asked.question + 1, answer: None };
        // A machine that is gone needs no command.
        let _ = protocol::send(&self.control, &Command::Count(entry, asked.question), &[]);
    }

    /// How much it holds of what was asked for last, once its keeper has counted.
    pub fn holds(&self) -> Option<Holding> {
        self.asked().answer
    }

    /// Notes what its keeper has counted, if that was asked for last.
    pub fn note(&self, question: u64, holding: Holding) {
        let mut asked = self.asked();
        if asked.question == question {
            asked.answer = Some(holding);
        }
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
    watched: bool,
}

impl Watch {
    /// The host's tables, looked for when they are asked for first.
    pub fn tables(&self) -> &Arc<Tables> {
        self.tables.get_or_init(|| Arc::new(Tables::of_host()))
    }

    /// Looks after this machine, too.
    pub fn admit(self: &Arc<Self>, tenant: &Arc<Tenant>) -> io::Result<()> {
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        tenants.all.push(Arc::downgrade(tenant));
        if !tenants.watched {
            let watch = self.clone();
            thread::Builder::new().name("watch".into()).stack_size(256 << 10).spawn(move || watch.run())?;
            tenants.watched = true;
        }
        Ok(())
    }

    fn run(&self) {
        let (mut room, mut shortage) = (Room::default(), Shortage::new(self.tables().clone()));
        loop {
            thread::sleep(if shortage.is_being_counted() { LOOK_CLOSER } else { LOOK });
            let tenants = {
                let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
                tenants.all.retain(|tenant| tenant.strong_count() > 0);
                tenants.watched = !tenants.all.is_empty();
                if !tenants.watched {
                    return;
                }
                tenants.all.iter().filter_map(Weak::upgrade).collect::<Vec<_>>()
            };
            if !shortage.is_being_counted() {
                room.look(&tenants);
            }
            shortage.look(&tenants);
        }
    }
}
