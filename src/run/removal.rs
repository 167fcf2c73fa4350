//! The end of a run's directory.

use super::members::try_over;
use crate::{
    error::Error,
    state_directory::{MEMBERS, RUN, runs, unusable},
};
use ec2_state_directory::{Directory, is_leftover, put_aside, remove_contents};
use std::{
    ffi::OsStr,
    fs::File,
    os::unix::fs::MetadataExt,
    path::Path,
    time::{Duration, SystemTime},
};

/// Removes a run's directory; `over` shows that nobody is in it. What isn't ours in it stays, and is named in the log; one without
/// our mark stays as a whole.
pub(crate) fn remove(directory: &Path, over: File) -> Result<(), Error> {
    let removed = || {
        let (Some(runs), Some(name)) = (directory.parent(), directory.file_name()) else { return Ok(()) };
        let runs = Directory::find(runs)?;
        let Some(run) = runs.open(name)? else { return Ok(()) };
        // By now it may be another's of the same name.
        let is_over = run.look(MEMBERS)?.is_some_and(|members| {
            over.metadata().is_ok_and(|over| (over.dev(), over.ino()) == (members.st_dev, members.st_ino))
        });
        if !is_over {
            return Ok(());
        }
        if !RUN.mark.is_on(&run)? {
            tracing::warn!("leaving {} where it is: it bears no mark of ec2-harness's", directory.display());
            return Ok(());
        }
        // First it is a run's no longer: anyone who joins now starts it anew. No id begins with a dot.
        let going = put_aside(&runs, name, &format!("{GOING}{}.", name.to_string_lossy()))?;
        drop(over);
        clear_away(&runs, OsStr::new(&going), &run);
        Ok(())
    };
    removed().map_err(unusable)
}

/// Removes a directory that was put aside. What can't be removed is named, and tried again by a later sweep.
fn clear_away(runs: &Directory, name: &OsStr, run: &Directory) {
    if let Err(error) = ec2_state_directory::remove(runs, name, run, &RUN, &|directory| remove_contents(directory)) {
        tracing::warn!(
            "leaving {} where it is: failed to {error}; it is tried again later",
            runs.path().join(name).display()
        );
    }
}

/// What the name of a directory begins with that is being removed.
pub(super) const GOING: &str = ".going-";

/// Removes the directories of runs that are over and were begun this long ago: nothing of theirs can still be wanted; and what
/// could not be removed before.
pub(crate) fn remove_stale(age: Duration) -> Result<(), Error> {
    runs()?.map_or(Ok(()), |runs| remove_stale_of(&runs, age))
}

pub(super) fn remove_stale_of(runs: &Directory, age: Duration) -> Result<(), Error> {
    for name in runs.names().map_err(unusable)? {
        let Ok(Some(run)) = runs.open(&name) else { continue };
        if name.to_string_lossy().starts_with(GOING) {
            if is_leftover(&run, &RUN.mark, true).unwrap_or(false) {
                clear_away(runs, &name, &run);
            }
            continue;
        }
        let changed = run.as_file().metadata().and_then(|metadata| metadata.modified()).unwrap_or(SystemTime::now());
        let is_old = changed.elapsed().is_ok_and(|since| since > age);
        if let Some(over) = is_old.then(|| try_over(run.path())).flatten() {
            remove(run.path(), over)?;
        }
    }
    Ok(())
}
