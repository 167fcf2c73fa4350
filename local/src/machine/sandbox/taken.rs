//! What a machine's disk takes on the host's: counted by going through its files, in bounded time and memory.

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, Stat, openat2, statat};
use serde::{Deserialize, Serialize};
use std::{
    collections::HashSet,
    ffi::OsStr,
    io,
    ops::Add,
    os::{fd::OwnedFd, unix::ffi::OsStrExt},
    path::{Path, PathBuf},
    rc::Rc,
    time::{Duration, Instant},
};

/// How long a disk is gone through.
pub const PATIENCE: Duration = Duration::from_secs(2);
/// How long a path within a disk may be before another one begins; the kernel takes 4096 bytes at once.
const LONG: usize = 2048;
/// How many directories in which a path begins may be open at once.
const MOST_OPEN: usize = 64;
/// How much memory the paths that are still to be looked at may take, each with what is beside it.
const MOST_PENDING: usize = 32 << 20;
const BESIDE: usize = 64;
/// How many files with several links are remembered.
const MOST_LINKED: usize = 1 << 17;
/// The parts of an inode: as many as a file can have links, and more.
const INODE: u64 = 1 << 32;

/// What a disk takes on the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    pub bytes: u64,
    pub inodes: u64,
    /// Whether all of it was counted; else it takes more than this.
    pub is_complete: bool,
}

impl Taken {
    pub const NOTHING: Self = Self { bytes: 0, inodes: 0, is_complete: true };
}

impl Add for Taken {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            bytes: self.bytes.saturating_add(other.bytes),
            inodes: self.inodes.saturating_add(other.inodes),
            is_complete: self.is_complete && other.is_complete,
        }
    }
}

/// What the files on a disk take, for who may look at all of them. The machine goes on changing them meanwhile, and has nested
/// them as deep as it likes: no link is followed, and what is too deep for a path is counted from where a path may begin.
pub fn measure(disk: &Path, until: Instant) -> io::Result<Taken> {
    let top = rustix::fs::open(disk, DIRECTORY, Mode::empty())?;
    let mut walk = Walk {
        until,
        pending: Vec::new(),
        memory: 0,
        open: Rc::new(()),
        linked: HashSet::new(),
        taken: Taken::NOTHING,
        inodes: 0,
    };
    let top = walk.begin(top);
    walk.remember(top, PathBuf::from("."));
    while let Some((from, path)) = walk.pending.pop() {
        walk.memory -= path.as_os_str().len() + BESIDE;
        walk.look_into(&from, &path);
        if Instant::now() >= walk.until {
            walk.taken.is_complete &= walk.pending.is_empty();
            break;
        }
    }
    Ok(Taken { inodes: walk.inodes / INODE, ..walk.taken })
}

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

struct Walk {
    until: Instant,
    pending: Vec<(Rc<Beginning>, PathBuf)>,
    /// What the pending ones take.
    memory: usize,
    /// Held once by each directory in which a path begins.
    open: Rc<()>,
    /// Files that have several links, and were counted.
    linked: HashSet<(u64, u64)>,
    taken: Taken,
    /// In parts.
    inodes: u64,
}

/// A directory in which paths begin.
struct Beginning {
    directory: OwnedFd,
    _held: Rc<()>,
}

impl Walk {
    fn begin(&self, directory: OwnedFd) -> Rc<Beginning> {
        Rc::new(Beginning { directory, _held: self.open.clone() })
    }

    /// Has a directory looked into later on.
    fn remember(&mut self, from: Rc<Beginning>, path: PathBuf) {
        let memory = self.memory + path.as_os_str().len() + BESIDE;
        if memory > MOST_PENDING {
            self.taken.is_complete = false;
            return;
        }
        self.memory = memory;
        self.pending.push((from, path));
    }

    fn look_into(&mut self, from: &Rc<Beginning>, path: &Path) {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        // It may be gone, or another.
        let Ok(directory) = openat2(&from.directory, path, DIRECTORY, Mode::empty(), resolve) else { return };
        let Ok(entries) = Dir::read_from(&directory) else { return };
        let anew = (path.as_os_str().len() > LONG).then(|| self.begin(directory));
        if anew.is_some() && Rc::strong_count(&self.open) > MOST_OPEN {
            self.taken.is_complete = false;
            return;
        }
        for entry in entries.filter_map(Result::ok) {
            if matches!(entry.file_name().to_bytes(), b"." | b"..") {
                continue;
            }
            if Instant::now() >= self.until {
                self.taken.is_complete = false;
                return;
            }
            let name = Path::new(OsStr::from_bytes(entry.file_name().to_bytes()));
            let (from, path) = match &anew {
                Some(anew) => (anew, name.to_owned()),
                None => (from, path.join(name)),
            };
            let Ok(found) = statat(&from.directory, &path, AtFlags::SYMLINK_NOFOLLOW) else { continue };
            self.count(&found);
            if FileType::from_raw_mode(found.st_mode).is_dir() {
                self.remember(from.clone(), path);
            }
        }
    }

    /// Counts a file once, however many links it has; where there are too many such files to remember, each link for its part.
    fn count(&mut self, found: &Stat) {
        let mut links = 1;
        if found.st_nlink > 1 && !FileType::from_raw_mode(found.st_mode).is_dir() {
            let identity = (found.st_dev, found.st_ino);
            if self.linked.contains(&identity) {
                return;
            }
            if self.linked.len() < MOST_LINKED {
                self.linked.insert(identity);
            } else {
                links = wide(found.st_nlink);
            }
        }
        self.taken.bytes += bytes(found) / links;
        self.inodes += INODE / links;
    }
}

/// Processors differ in how wide a number of links is.
fn wide(number: impl Into<u64>) -> u64 {
    number.into()
}

/// What a file takes.
pub fn bytes(found: &Stat) -> u64 {
    u64::try_from(found.st_blocks).unwrap_or(0) * 512
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, io::Write, thread};

    fn whole(disk: &Path) -> Taken {
        let taken = measure(disk, Instant::now() + Duration::from_secs(600)).unwrap();
        assert!(taken.is_complete, "{taken:?}");
        taken
    }

    #[test]
    fn measures_what_is_taken_rather_than_what_is_said() {
        let disk = tempfile::tempdir().unwrap();
        fs::create_dir(disk.path().join("files")).unwrap();
        let sparse = fs::File::create(disk.path().join("files/sparse")).unwrap();
        sparse.set_len(1 << 40).unwrap();
        let before = whole(disk.path());
        fs::write(disk.path().join("files/full"), vec![1; 1 << 20]).unwrap();
        let after = whole(disk.path());
        assert!(before.bytes < 1 << 20 && after.bytes - before.bytes >= 1 << 20, "{before:?}, {after:?}");
        assert_eq!((before.inodes, after.inodes), (2, 3));
    }

    #[test]
    fn measures_a_file_once_however_many_links_it_has() {
        let disk = tempfile::tempdir().unwrap();
        let place = |name: &str| disk.path().join(name);
        fs::create_dir(place("files")).unwrap();
        fs::write(place("files/one"), vec![1; 1 << 20]).unwrap();
        let before = whole(disk.path());
        for number in 0..10 {
            fs::hard_link(place("files/one"), place(&format!("link-{number}"))).unwrap();
        }
        assert!(whole(disk.path()).bytes < before.bytes + (1 << 20), "{before:?}, {:?}", whole(disk.path()));
        assert_eq!(whole(disk.path()).inodes, before.inodes);
    }

    #[test]
    fn says_what_it_has_not_counted_in_time() {
        let disk = tempfile::tempdir().unwrap();
        fs::create_dir(disk.path().join("files")).unwrap();
        fs::write(disk.path().join("files/one"), "one").unwrap();
        assert!(!measure(disk.path(), Instant::now()).unwrap().is_complete);
    }

    /// Makes directories within each other, and two more beside each, so that there is something left to do above the deepest.
    fn deepen(top: &Path, name: &str, depth: usize) -> OwnedFd {
        let mut directory = rustix::fs::open(top, OFlags::PATH, Mode::empty()).unwrap();
        for level in 0..depth {
            // In whichever order they are told.
            for beside in 0..2 {
                rustix::fs::mkdirat(&directory, format!("{level}-{beside}"), Mode::RWXU).unwrap();
            }
            rustix::fs::mkdirat(&directory, name, Mode::RWXU).unwrap();
            directory = rustix::fs::openat(&directory, name, OFlags::PATH, Mode::empty()).unwrap();
        }
        directory
    }

    #[test]
    fn measures_what_is_deeper_than_a_path_can_tell() {
        let disk = tempfile::tempdir().unwrap();
        let directory = deepen(disk.path(), &"d".repeat(100), 1000);
        // A small stack, as that of the thread that measures has.
        let look = || {
            thread::scope(|scope| {
                let stack = thread::Builder::new().stack_size(64 << 10);
                stack.spawn_scoped(scope, || whole(disk.path())).unwrap().join().unwrap()
            })
        };
        let before = look();
        let flags = OFlags::CREATE | OFlags::WRONLY;
        let file = rustix::fs::openat(&directory, "file", flags, Mode::RWXU).unwrap();
        fs::File::from(file).write_all(&vec![1; 1 << 20]).unwrap();
        assert!(look().bytes - before.bytes >= 1 << 20);
        super::super::remove_disk(&disk.keep()).unwrap();
    }

    #[test]
    fn opens_no_more_at_once_than_it_may() {
        let disk = tempfile::tempdir().unwrap();
        deepen(disk.path(), &"d".repeat(250), 1000);
        let taken = measure(disk.path(), Instant::now() + Duration::from_secs(600)).unwrap();
        assert!(!taken.is_complete && taken.inodes > 500, "{taken:?}");
        super::super::remove_disk(&disk.keep()).unwrap();
    }
}
