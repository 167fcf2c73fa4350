//! Room on the host's disk, which machines share with the host: before there is none left, whoever takes it loses its power.
//!
//! A root volume bounds its machine, but all volumes together may be larger than the host's disk, and who isn't root has
//! none. So this holds for everybody.

use super::{
    errand,
    protocol::{self, Command, Report, Request},
    volume,
};
use rustix::{
    fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, openat2, statat},
    process::geteuid,
};
use std::{
    collections::HashMap,
    ffi::OsStr,
    io,
    os::{fd::OwnedFd, unix::ffi::OsStrExt},
    path::{Path, PathBuf},
    rc::Rc,
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
/// How long a path within a disk may be before another one begins; the kernel takes 4096 bytes at once.
const LONG: usize = 2048;

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

/// The same, for who may look at all of its files. The machine goes on changing them meanwhile, and has nested them as deep
/// as it likes: no link is followed, and what is too deep for a path is counted from where a path may begin.
pub fn measure(disk: &Path) -> io::Result<u64> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let top = Rc::new(rustix::fs::open(disk, flags, Mode::empty())?);
    let mut pending = vec![(top, PathBuf::from("."))];
    let mut bytes = 0;
    while let Some((base, path)) = pending.pop() {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        let Ok(directory) = openat2(&*base, &path, flags, Mode::empty(), resolve) else { continue };
        let Ok(entries) = Dir::read_from(&directory) else { continue };
        let directory = (path.as_os_str().len() > LONG).then(|| Rc::new(directory));
        for entry in
            entries.filter_map(Result::ok).filter(|entry| !matches!(entry.file_name().to_bytes(), b"." | b".."))
        {
            let name = Path::new(OsStr::from_bytes(entry.file_name().to_bytes()));
            let (base, path) = match &directory {
                Some(directory) => (directory.clone(), name.to_owned()),
                None => (base.clone(), path.join(name)),
            };
            let Ok(found) = statat(&*base, &path, AtFlags::SYMLINK_NOFOLLOW) else { continue };
            bytes += u64::try_from(found.st_blocks).unwrap_or(0) * 512;
            if FileType::from_raw_mode(found.st_mode).is_dir() {
                pending.push((base, path));
            }
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, io::Write};

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

    #[test]
    fn measures_what_is_deeper_than_a_path_can_tell() {
        let disk = tempfile::tempdir().unwrap();
        let mut directory = rustix::fs::open(disk.path(), OFlags::PATH, Mode::empty()).unwrap();
        let name = "d".repeat(100);
        for _ in 0..1000 {
            rustix::fs::mkdirat(&directory, &name, Mode::RWXU).unwrap();
            directory = rustix::fs::openat(&directory, &name, OFlags::PATH, Mode::empty()).unwrap();
        }
        // A small stack, as that of the thread that measures has.
        let look = || {
            thread::scope(|scope| {
                thread::Builder::new()
                    .stack_size(64 << 10)
                    .spawn_scoped(scope, || measure(disk.path()))
                    .unwrap()
                    .join()
                    .unwrap()
                    .unwrap()
            })
        };
        let before = look();
        let flags = OFlags::CREATE | OFlags::WRONLY;
        let file = rustix::fs::openat(&directory, "file", flags, Mode::RWXU).unwrap();
        fs::File::from(file).write_all(&vec![1; 1 << 20]).unwrap();
        assert!(look() - before >= 1 << 20);
        super::super::removal::remove_all(&disk.keep()).unwrap();
    }
}
