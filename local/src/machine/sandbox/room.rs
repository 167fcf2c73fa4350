//! Room on the host's disk, which machines share with the host: before there is none left, whoever takes it loses its power.
//!
//! A root volume bounds its machine, but all volumes together may be larger than the host's disk, and who isn't root has
//! none. So this holds for everybody; for bytes, and for inodes where the file system has only so many.

use super::{
    errand,
    protocol::{Report, Request},
    volume,
    watch::Tenant,
};
use rustix::{
    fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, StatVfs, openat2, statat},
    process::geteuid,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::HashMap,
    ffi::OsStr,
    io,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    rc::Rc,
    sync::Arc,
};

/// What is left to the host: a fiftieth of its disk, but not less and not more than these, and of a small disk a fourth. More
/// than that is often not free, and no machine's fault.
const LEAST_RESERVE: u64 = 1 << 30;
const MOST_RESERVE: u64 = 4 << 30;
/// The same for inodes.
const LEAST_INODES: u64 = 1 << 16;
const MOST_INODES: u64 = 1 << 20;
/// How long a path within a disk may be before another one begins; the kernel takes 4096 bytes at once.
const LONG: usize = 2048;

/// What a disk takes on the host.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    pub bytes: u64,
    pub inodes: u64,
}

/// The room of all machines of an endpoint.
#[derive(Debug, Default)]
pub struct Room {
    bytes: Shortage,
    inodes: Shortage,
}

impl Room {
    pub fn look(&mut self, tenants: &[Arc<Tenant>]) {
        // All disks of an endpoint are in one directory.
        let Some(Ok(system)) = tenants.first().map(|tenant| rustix::fs::statvfs(tenant.disk())) else { return };
        self.bytes.look(Measure::Bytes, &system, tenants);
        self.inodes.look(Measure::Inodes, &system, tenants);
    }
}

/// What can be used up.
#[derive(Debug, Clone, Copy)]
enum Measure {
    Bytes,
    Inodes,
}

impl Measure {
    /// What is free, and all.
    fn of(self, system: &StatVfs) -> (u64, u64) {
        match self {
            Self::Bytes => (system.f_bavail * system.f_frsize, system.f_blocks * system.f_frsize),
            Self::Inodes => (system.f_favail, system.f_files),
        }
    }

    /// What of it is left to the host: none of inodes where they are made as they are needed, as on Btrfs, which has 0.
    fn reserve(self, all: u64) -> u64 {
        let (least, most) = match self {
            Self::Bytes => (LEAST_RESERVE, MOST_RESERVE),
            Self::Inodes => (LEAST_INODES, MOST_INODES),
        };
        (all / 50).clamp(least, most).min(all / 4)
    }

    fn part(self, taken: Taken) -> u64 {
        match self {
            Self::Bytes => taken.bytes,
            Self::Inodes => taken.inodes,
        }
    }

    fn tell(self, amount: u64) -> String {
        match self {
            Self::Bytes => format!("{} MiB", amount >> 20),
            Self::Inodes => format!("{amount} inodes"),
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
    fn look(&mut self, measure: Measure, system: &StatVfs, tenants: &[Arc<Tenant>]) {
        let (free, all) = measure.of(system);
        let reserve = measure.reserve(all);
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
            let Ok(taken) = taken(tenant.disk()) else { continue };
            let taken = measure.part(taken);
            let before = self.taken.insert(tenant.disk().to_owned(), taken).unwrap_or_default();
            let grown = taken.saturating_sub(before);
            // Who took next to nothing is not at fault.
            if grown > reserve / 16 && most.is_none_or(|(most, _)| grown > most) {
                most = Some((grown, tenant));
            }
        }
        let free = measure.tell(free);
        let Some((grown, tenant)) = most else {
            return tracing::warn!("the host's disk has {free} left, and no machine is at fault");
        };
        tenant.end(format!(
            "leave room on the host's disk, which had {free} left: this machine took {}, more than any other, and lost its \
             power",
            measure.tell(grown)
        ));
    }
}

/// How much a disk takes on the host.
fn taken(disk: &Path) -> io::Result<Taken> {
    if geteuid().is_root() || volume::exists(disk) {
        return measure(disk);
    }
    match errand::send(&Request::Measure(disk.to_owned()), &[])? {
        Report::Taken(taken) => Ok(taken),
        other => Err(io::Error::other(format!("measure a machine's disk: {other:?}"))),
    }
}

/// The same, for who may look at all of its files. The machine goes on changing them meanwhile, and has nested them as deep
/// as it likes: no link is followed, and what is too deep for a path is counted from where a path may begin.
pub fn measure(disk: &Path) -> io::Result<Taken> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let top = Rc::new(rustix::fs::open(disk, flags, Mode::empty())?);
    let mut pending = vec![(top, PathBuf::from("."))];
    let mut taken = Taken::default();
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
            taken.bytes += u64::try_from(found.st_blocks).unwrap_or(0) * 512;
            taken.inodes += 1;
            if FileType::from_raw_mode(found.st_mode).is_dir() {
                pending.push((base, path));
            }
        }
    }
    Ok(taken)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, io::Write, thread};

    #[test]
    fn the_host_keeps_a_part_of_any_disk() {
        assert_eq!(Measure::Bytes.reserve(100 << 30), 2 << 30);
        assert_eq!(Measure::Bytes.reserve(20 << 30), 1 << 30);
        assert_eq!(Measure::Bytes.reserve(1 << 30), 256 << 20);
        assert_eq!(Measure::Bytes.reserve(4 << 40), 4 << 30);
        assert_eq!(Measure::Inodes.reserve(6_553_600), 131_072);
        assert_eq!(Measure::Inodes.reserve(20_000), 5000);
        assert_eq!(Measure::Inodes.reserve(0), 0);
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
        assert!(before.bytes < 1 << 20 && after.bytes - before.bytes >= 1 << 20, "{before:?}, {after:?}");
        assert_eq!((before.inodes, after.inodes), (2, 3));
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
        assert!(look().bytes - before.bytes >= 1 << 20);
        super::super::remove_disk(&disk.keep()).unwrap();
    }
}
