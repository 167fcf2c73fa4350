//! Who belongs to a run, as its locks show: each of its processes holds one, and so does anyone who ends it.

use super::directories;
use crate::{
    error::Error,
    lock_file::{self, open},
    state_directory::{MEMBERS, OWNED},
};
use std::{
    fs::File,
    io,
    os::{fd::AsRawFd, unix::fs::MetadataExt},
    path::{Path, PathBuf},
    time::Duration,
};

/// The processes of a run, for one who waits for their end. They are found even if the run's directory is removed meanwhile.
#[derive(Debug)]
pub(crate) struct Members {
    path: PathBuf,
    file: File,
}

impl Members {
    /// Those of the run in a directory; `None` if it was removed already.
    pub(crate) fn of(directory: &Path) -> io::Result<Option<Self>> {
        let path = directory.join(MEMBERS);
        match open(&path) {
            Ok(file) => Ok(Some(Self { path, file })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Waits until none is left, then keeps others from joining as long as the file lives. Those who have begun the run anew after
    /// its directory was removed are waited for, too.
    pub(crate) fn wait(&mut self) -> io::Result<File> {
        loop {
            // A lock belongs to an opening of the file, and this one must outlive it.
            let over = File::options().read(true).write(true).open(in_proc(&self.file))?;
            over.lock()?;
            match lock_file::own().read(true).write(true).open(&self.path) {
                Ok(now) if inode(&now)? != inode(&over)? => self.file = now,
                _ => return Ok(over),
            }
        }
    }
}

/// Which incarnation of a run lies in a directory, if any: its id may be anybody's choice, and the same elsewhere at the same time;
/// this is not. It is told by the file of its members, which is made once and never written.
pub(crate) fn incarnation_of(directory: &Path) -> Option<String> {
    incarnation(&lock_file::own().read(true).open(directory.join(MEMBERS)).ok()?).ok()
}

/// The same, by that file.
pub(super) fn incarnation(members: &File) -> io::Result<String> {
    let made = members.metadata()?;
    Ok(format!("{:x}-{:x}.{:x}", made.ino(), made.mtime(), made.mtime_nsec()))
}

fn inode(file: &File) -> io::Result<(u64, u64)> {
    file.metadata().map(|found| (found.dev(), found.ino()))
}

fn in_proc(file: &File) -> PathBuf {
    format!("/proc/self/fd/{}", file.as_raw_fd()).into()
}

/// Whether anybody belongs to a run: one of its processes, or the one that starts them, of which there may be none for a
/// moment.
pub(crate) fn is_living(directory: &Path) -> bool {
    [OWNED, MEMBERS].iter().any(|name| is_shared(&directory.join(name)))
}

/// Whether anybody has a file locked, shared. Anyone who has it locked alone shows that there are none: the watchdog that ends
/// the run, or somebody who looks, as we do.
fn is_shared(path: &Path) -> bool {
    let Ok(file) = lock_file::own().read(true).open(path) else { return false };
    for _ in 0..LOOKS {
        if file.try_lock().is_ok() || file.try_lock_shared().is_err() || file.unlock().is_err() {
            return false;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    true
}

/// How often it is looked: a run's own have their file locked for long, others who look have it for a moment.
const LOOKS: u32 = 5;

/// Whether a run that is over is being ended: by its watchdog, mostly.
pub(crate) fn is_being_ended(directory: &Path) -> bool {
    !is_living(directory) && is_locked(&directory.join(MEMBERS))
}

/// Whether anybody has a file locked, in whatever way. For a moment we have it ourselves.
pub(super) fn is_locked(path: &Path) -> bool {
    lock_file::own().read(true).open(path).is_ok_and(|file| file.try_lock().is_err())
}

/// What shows that no process of the run is left now, and keeps others from joining as long as it lives.
pub(crate) fn try_over(directory: &Path) -> Option<File> {
    // Not made by looking: it may just be going.
    let file = lock_file::own().read(true).open(directory.join(MEMBERS)).ok()?;
    file.try_lock().is_ok().then_some(file)
}

/// The directories of runs that are over, each with what shows that nobody is in it.
pub(crate) fn over() -> Result<Vec<(PathBuf, File)>, Error> {
    let over = directories()?.into_iter().filter(|directory| !is_living(directory));
    Ok(over.filter_map(|directory| try_over(&directory).map(|over| (directory, over))).collect())
}
