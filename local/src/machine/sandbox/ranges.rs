//! The ids of the host's that machines of root's have, 65,536 of its own each: who has which.
//!
//! Several endpoints of root's may run, each with a state directory of its own, and none knows of the others' machines. So a range is
//! taken by a lock on a file that is named for it, below `/run`: it goes with the process that holds it.

use super::{
    identity::{FIRST, Identity, RANGE, RANGES, range_of, ranges_beside},
    root::told,
};
use crate::machine::Specification;
use rustix::{
    fs::{AtFlags, CWD, FlockOperation, Mode, OFlags, flock, fstat, openat, statat, unlinkat},
    io::Errno,
    process::geteuid,
};
use std::{
    collections::BTreeSet,
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::DirBuilderExt,
    },
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

/// Where the locks are; each is root's alone to write to.
const DIRECTORIES: [&str; 2] = ["/run/ec2-local", "/run/ec2-local/ranges"];
/// How long an endpoint that was killed may take to let go of what its machines had, while its disks are another's already.
const PATIENCE: Duration = Duration::from_secs(1);
const LOOK: Duration = Duration::from_millis(5);
/// How often the locks' directory is opened that others remove meanwhile, one after the other.
const TRIES: u32 = 100;

/// The ranges that machines of this endpoint have, by their first ids.
#[derive(Debug, Clone, Default)]
pub struct Ranges(Arc<Mutex<BTreeSet<u32>>>);

/// A machine's range of the host's user ids, free again on drop.
#[derive(Debug)]
pub struct Range {
    taken: Ranges,
    first: u32,
    _lock: Option<Lock>,
    /// That others may have the same, in words for the console.
    note: Option<String>,
}

impl Ranges {
    /// Takes the range to which the files on the disk belong. For a new disk: the one that follows from the instance's id, or
    /// the next that neither a running machine has, of whichever endpoint, nor a disk beside it whose machine is off.
    ///
    /// # Errors
    ///
    /// Another machine has the range of the disk, or all of them are taken.
    pub fn take(&self, specification: &Specification) -> io::Result<Range> {
        let mut hasher = DefaultHasher::new();
        specification.machine.instance.hash(&mut hasher);
        let start = u32::try_from(hasher.finish() % u64::from(RANGES)).unwrap_or(0);
        // Anyone who has no ranges names one all the same, which nothing comes of.
        let has_ranges = geteuid().is_root() && matches!(Identity::choose(None, FIRST), Identity::Range(_));
        let locks = if has_ranges { Some(Locks::open()) } else { None };
        let note = locks.as_ref().and_then(|locks| Some(locks.as_ref().err()?.to_string()));
        let note = note.map(|why| format!("machines of other endpoints may have the same user ids: failed to {why}"));
        let locks = locks.and_then(Result::ok);
        let range = |first, lock| Range { taken: self.clone(), first, _lock: lock, note };

        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.is_empty() {
            locks.iter().for_each(Locks::clear_left);
        }
        if let Some(first) = range_of(&specification.disk) {
            let lock = locks.map(|locks| locks.wait_for(first)).transpose()?;
            taken.insert(first);
            return Ok(range(first, lock));
        }
        let off = ranges_beside(&specification.disk);
        let all = || (start..RANGES).chain(0..start).map(|number| FIRST + number * RANGE);
        let candidates = all().filter(|first| !off.contains(first)).chain(all());
        for first in candidates {
            if has_ranges && taken.contains(&first) {
                continue;
            }
            let lock = match &locks {
                Some(locks) => match locks.take(first)? {
                    Some(lock) => Some(lock),
                    None => continue,
                },
                None => None,
            };
            taken.insert(first);
            return Ok(range(first, lock));
        }
        Err(io::Error::other(format!("find user ids for a machine: running ones have all {RANGES} ranges of them")))
    }
}

impl Range {
    /// Its first id.
    pub fn first(&self) -> u32 {
        self.first
    }

    /// What is to be said on the console.
    pub fn note(&self) -> Option<&str> {
        self.note.as_deref()
    }
}

impl Drop for Range {
    fn drop(&mut self) {
        self.taken.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.first);
    }
}

/// The directory with a file for each range that is taken.
#[derive(Debug)]
struct Locks(Arc<OwnedFd>);

impl Locks {
    fn open() -> io::Result<Self> {
        let mut tries = 0;
        loop {
            match Self::try_open() {
                // The one that let go of the last range has removed a directory just now.
                Err(error) if error.kind() == io::ErrorKind::NotFound && tries < TRIES => tries += 1,
                opened => return opened,
            }
        }
    }

    fn try_open() -> io::Result<Self> {
        let mut opened = None;
        for directory in DIRECTORIES {
            match fs::DirBuilder::new().mode(0o700).create(directory) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(told("make", directory)(error));
                }
                _ => {}
            }
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let found = openat(CWD, directory, flags, Mode::empty()).map_err(told("open", directory))?;
            let about = fstat(&found)?;
            if about.st_uid != 0 || about.st_mode & 0o022 != 0 {
                return Err(io::Error::other(format!("use {directory}: others than root may write to it; remove it")));
            }
            opened = Some(found);
        }
        opened.map(|opened| Self(Arc::new(opened))).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Takes the range of a disk, which no other will do for.
    fn wait_for(&self, first: u32) -> io::Result<Lock> {
        let since = Instant::now();
        loop {
            if let Some(lock) = self.take(first)? {
                return Ok(lock);
            }
            if since.elapsed() > PATIENCE {
                return Err(io::Error::other(format!(
                    "have the user ids from {first} on, to which the files on the machine's disk belong: another endpoint's \
                     machine has them, until it ends"
                )));
            }
            thread::sleep(LOOK);
        }
    }

    /// Removes files that killed endpoints have left.
    fn clear_left(&self) {
        let entries = fs::read_dir(DIRECTORIES[1]).into_iter().flatten().filter_map(Result::ok);
        for entry in entries {
            if let Ok(first) = u32::from_str_radix(&entry.file_name().to_string_lossy(), 16) {
                // A lock that is let go of takes its file with it.
                drop(self.take(first));
            }
        }
    }

    /// Takes a range, unless it is taken.
    fn take(&self, first: u32) -> io::Result<Option<Lock>> {
        let name = format!("{first:08x}");
        let path = format!("{}/{name}", DIRECTORIES[1]);
        loop {
            let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let file = match openat(&*self.0, &name, flags, Mode::RUSR | Mode::WUSR) {
                // It was empty, and its directory was removed, since that was opened.
                Err(Errno::NOENT) => return Self::open()?.take(first),
                file => file.map_err(told("open", &path))?,
            };
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Err(Errno::WOULDBLOCK) => return Ok(None),
                other => other.map_err(told("lock", &path))?,
            }
            // Who had it may have removed the file since it was opened.
            let is_there = statat(&*self.0, &name, AtFlags::SYMLINK_NOFOLLOW)
                .is_ok_and(|there| fstat(&file).is_ok_and(|own| own.st_ino == there.st_ino));
            if is_there {
                return Ok(Some(Lock { directory: self.0.clone(), name, file }));
            }
        }
    }
}

/// A range that nobody else takes. Other programs that are started don't inherit it.
#[derive(Debug)]
struct Lock {
    directory: Arc<OwnedFd>,
    name: String,
    file: OwnedFd,
}

impl Drop for Lock {
    fn drop(&mut self) {
        let _ = unlinkat(&*self.directory, &self.name, AtFlags::empty());
        // The last leaves nothing: a directory with something in it stays.
        for directory in DIRECTORIES.iter().rev() {
            let _ = fs::remove_dir(directory);
        }
        // A process that is about to become another program may have it open still.
        let _ = flock(self.file.as_fd(), FlockOperation::Unlock);
    }
}
