//! What the disks of several machines take on the host's, each counted by who may look at all of its files.

use super::{
    errand,
    protocol::{Report, Request},
    taken::{self, Taken},
    volume,
    watch::Tenant,
};
use rustix::process::geteuid;
use std::{
    io,
    ops::Add,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// How many are counted at once: one that can't be counted in time shall not hold up the others.
const AT_ONCE: usize = 4;
const STACK: usize = 128 << 10;

/// How long a keeper may take to count files that have no name, and how often it is looked whether it has.
const PATIENCE: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(5);

/// What each of these machines' disks takes; of one that can't be looked at, nothing is known. Within a root volume nothing is
/// without a name: the volume is the file.
pub fn count(tenants: &[&Arc<Tenant>]) -> Vec<Taken> {
    let asked: Vec<_> = tenants.iter().filter(|tenant| !volume::exists(tenant.disk())).collect();
    asked.iter().for_each(|tenant| tenant.ask_nameless());
    let since = Instant::now();
    let named = count_named(tenants);
    while since.elapsed() < PATIENCE && asked.iter().any(|tenant| tenant.nameless().is_none()) {
        thread::sleep(LOOK);
    }
    let nameless = |tenant: &Tenant| tenant.nameless().unwrap_or(Taken::NOTHING);
    tenants.iter().zip(named).map(|(tenant, named)| named + nameless(tenant)).collect()
}

fn count_named(tenants: &[&Arc<Tenant>]) -> Vec<Taken> {
    let next = AtomicUsize::new(0);
    let counted = Mutex::new(vec![Taken::NOTHING; tenants.len()]);
    let work = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(tenant) = tenants.get(index) else { return };
            let measured = |disk: &PathBuf| {
                of_disk(disk).unwrap_or_else(|error| {
                    tracing::debug!("failed to measure {}: {error}", disk.display());
                    Taken::NOTHING
                })
            };
            let taken = tenant.disks().iter().map(measured).fold(Taken::NOTHING, Add::add);
            counted.lock().unwrap_or_else(PoisonError::into_inner)[index] = taken;
        }
    };
    thread::scope(|scope| {
        for _ in 1..AT_ONCE.min(tenants.len()) {
            // The others do its part.
            let _ = thread::Builder::new().name("disks".into()).stack_size(STACK).spawn_scoped(scope, work);
        }
        work();
    });
    counted.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn of_disk(disk: &Path) -> io::Result<Taken> {
    if geteuid().is_root() || volume::exists(disk) {
        return taken::measure(disk, Instant::now() + taken::PATIENCE);
    }
    match errand::send(&Request::Measure(disk.to_owned()), &[])? {
        Report::Taken(taken) => Ok(taken),
        other => Err(io::Error::other(format!("measure a machine's disk: {other:?}"))),
    }
}
