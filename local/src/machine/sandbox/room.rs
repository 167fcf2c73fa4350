//! Room on the host's disk, which machines share with the host: before there is none left, whoever takes it loses its power.
//!
//! A root volume bounds its machine, but all volumes together may be larger than the host's disk, and who isn't root has
//! none. So this holds for everybody.

use super::{
    errand,
    protocol::{self, Command, Report, Request},
    volume,
};
use rustix::process::geteuid;
use std::{
    collections::HashMap,
    fs, io,
    os::{fd::OwnedFd, unix::fs::MetadataExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, OnceLock, PoisonError, Weak},
    thread,
    time::Duration,
};

/// How often it is looked at: a fast disk takes some 500 MB in that time.
const LOOK: Duration = Duration::from_millis(250);
/// What is left to the host: a fiftieth of its disk, but not less and not more than these, and of a small disk a fourth. More
/// than that is often not free, and no machine's fault.
const LEAST_RESERVE: u64 = 1 << 30;
const MOST_RESERVE: u64 = 4 << 30;

/// A machine that takes room.
#[derive(Debug)]
pub struct Tenant {
    disk: PathBuf,
    control: Arc<OwnedFd>,
    verdict: OnceLock<String>,
}

impl Tenant {
    pub fn new(disk: &Path, control: Arc<OwnedFd>) -> Arc<Self> {
        Arc::new(Self { disk: disk.to_owned(), control, verdict: OnceLock::new() })
    }

    /// Why its power was taken, if it was.
    pub fn verdict(&self) -> Option<&str> {
        self.verdict.get().map(String::as_str)
    }
}

/// Looks after the room of all machines of an endpoint, as long as there are any.
#[derive(Debug, Default)]
pub struct Room(Mutex<Tenants>);

#[derive(Debug, Default)]
struct Tenants {
    all: Vec<Weak<Tenant>>,
    watched: bool,
}

impl Room {
    /// Looks after this machine, too.
    pub fn admit(self: &Arc<Self>, tenant: &Arc<Tenant>) -> io::Result<()> {
        let mut tenants = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tenants.all.push(Arc::downgrade(tenant));
        if !tenants.watched {
            let room = self.clone();
            thread::Builder::new().name("room".into()).stack_size(256 << 10).spawn(move || room.watch())?;
            tenants.watched = true;
        }
        Ok(())
    }

    fn watch(&self) {
        let mut shortage = Shortage::default();
        loop {
            thread::sleep(LOOK);
            let tenants = {
                let mut tenants = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                tenants.all.retain(|tenant| tenant.strong_count() > 0);
                tenants.watched = !tenants.all.is_empty();
                if !tenants.watched {
                    return;
                }
                tenants.all.iter().filter_map(Weak::upgrade).collect::<Vec<_>>()
            };
            shortage.look(&tenants);
        }
    }
}

/// What was found when there was too little room last.
#[derive(Debug, Default)]
struct Shortage {
    free: Option<u64>,
    taken: HashMap<PathBuf, u64>,
}

impl Shortage {
    fn look(&mut self, tenants: &[Arc<Tenant>]) {
        // All disks of an endpoint are in one directory.
        let Some(Ok(system)) = tenants.first().map(|tenant| rustix::fs::statvfs(&tenant.disk)) else { return };
        let (free, all) = (system.f_bavail * system.f_frsize, system.f_blocks * system.f_frsize);
        let reserve = reserve(all);
        if free >= reserve {
            *self = Self::default();
            return;
        }
        // What was taken stays taken when a machine is off: only more of it is a reason to act again.
        if self.free.is_some_and(|before| free + reserve / 4 > before) {
            return;
        }
        self.free = Some(free);
        let mut most: Option<(u64, &Arc<Tenant>)> = None;
        for tenant in tenants {
            let Ok(taken) = taken(&tenant.disk) else { continue };
            let before = self.taken.insert(tenant.disk.clone(), taken).unwrap_or_default();
            let grown = taken.saturating_sub(before);
            // Who took next to nothing is not at fault.
            if grown > reserve / 16 && most.is_none_or(|(most, _)| grown > most) {
                most = Some((grown, tenant));
            }
        }
        let free = free >> 20;
        let Some((grown, tenant)) = most else {
            return tracing::warn!("the host's disk has {free} MiB left, and no machine is at fault");
        };
        let _ = tenant.verdict.set(format!(
            "leave room on the host's disk, which had {free} MiB left: this machine took {} MiB, more than any other, and \
             lost its power",
            grown >> 20
        ));
        // A machine that is gone needs no command.
        let _ = protocol::send(&tenant.control, &Command::Kill, &[]);
    }
}

fn reserve(all: u64) -> u64 {
    (all / 50).clamp(LEAST_RESERVE, MOST_RESERVE).min(all / 4)
}

/// How much a disk takes on the host.
fn taken(disk: &Path) -> io::Result<u64> {
    if geteuid().is_root() || volume::exists(disk) {
        return measure(disk);
    }
    match errand::send(&Request::Measure(disk.to_owned()), &[])? {
        Report::Size(bytes) => Ok(bytes),
        other => Err(io::Error::other(format!("measure a machine's disk: {other:?}"))),
    }
}

/// The same, for who may look at all of its files.
pub fn measure(disk: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(disk)? {
        // A machine goes on removing files meanwhile.
        let Ok(found) = entry.and_then(|entry| Ok((entry.metadata()?, entry.path()))) else { continue };
        bytes += found.0.blocks() * 512;
        if found.0.is_dir() {
            bytes += measure(&found.1).unwrap_or_default();
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_keeps_a_part_of_any_disk() {
        assert_eq!(reserve(100 << 30), 2 << 30);
        assert_eq!(reserve(20 << 30), 1 << 30);
        assert_eq!(reserve(1 << 30), 256 << 20);
        assert_eq!(reserve(4 << 40), 4 << 30);
    }

    #[test]
    fn measures_what_is_taken_rather_than_what_is_said() {
        let disk = tempfile::tempdir().unwrap();
        fs::create_dir(disk.path().join("files")).unwrap();
        let sparse = fs::File::create(disk.path().join("files/sparse")).unwrap();
        sparse.set_len(1 << 40).unwrap();
        let before = measure(disk.path()).unwrap();
        fs::write(disk.path().join("files/full"), vec![1; 1 << 20]).unwrap();
        let after = measure(disk.path()).unwrap();
        assert!(before < 1 << 20 && after - before >= 1 << 20, "{before}, {after}");
    }
}
