//! The watchdogs that a run has had: a lock for each place, in which its region is noted, until nothing is left there.

use super::{
    directories,
    members::{is_locked, over},
    removal::remove,
};
use crate::{
    error::{Error, ErrorKind},
    target::Target,
};
use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
};

/// What the names of watchdogs' locks begin with.
pub(crate) const WATCHDOG: &str = "watchdog.";

/// The lock of a run's watchdog for one place.
pub(crate) fn watchdog_lock(place: &str) -> String {
    format!("{WATCHDOG}{place}")
}

/// Notes in a watchdog's lock where the run makes something.
pub(crate) fn note_region(lock: &mut File, target: &Target, region: &str) -> Result<(), Error> {
    let written = lock.set_len(0).and_then(|()| lock.write_all(format!("{} {region}\n", target.word()).as_bytes()));
    written.map_err(|e| Error::new(ErrorKind::Internal, "note the region that the run uses").caused_by(e))
}

/// The regions of a target in which there are runs, or have been whose directories are left.
pub(crate) fn used_regions(target: &Target) -> Result<BTreeSet<String>, Error> {
    let locks = directories()?.into_iter().flat_map(|run| {
        let locks = watchdogs(&run);
        locks.into_iter().map(move |lock| run.join(lock))
    });
    let noted = locks.filter_map(|lock| {
        let text = fs::read_to_string(lock).ok()?;
        let (word, region) = text.trim_end().split_once(' ')?;
        (word == target.word()).then(|| region.to_owned())
    });
    Ok(noted.collect())
}

/// The names of the locks of all watchdogs that a run has had and that haven't left it.
fn watchdogs(directory: &Path) -> Vec<String> {
    let files = fs::read_dir(directory).into_iter().flatten().filter_map(Result::ok);
    let names = files.filter_map(|file| file.file_name().into_string().ok());
    names.filter(|name| name.starts_with(WATCHDOG)).collect()
}

/// The directories of runs that are over, were at this place or at none, and have no watchdog there any more; each with what shows
/// that nobody is in it.
pub(crate) fn abandoned(place: &str) -> Result<Vec<(PathBuf, File)>, Error> {
    let lock = watchdog_lock(place);
    let is_abandoned = |directory: &Path| {
        let watchdogs = watchdogs(directory);
        watchdogs.is_empty() || watchdogs.contains(&lock) && !is_locked(&directory.join(&lock))
    };
    Ok(over()?.into_iter().filter(|(directory, _)| is_abandoned(directory)).collect())
}

/// Nothing is left of a run at a place: its directory is removed, unless it was at another one, too.
pub(crate) fn leave(directory: &Path, place: &str, over: File) -> Result<(), Error> {
    let _ = fs::remove_file(directory.join(watchdog_lock(place)));
    if watchdogs(directory).is_empty() { remove(directory, over) } else { Ok(()) }
}
