//! Accounts of other builds whose endpoints were killed, for the next starts to take over.

use super::{
    BUILD, EndpointError,
    journal::{self, Story},
    layout::{RUN, not_removed, stays},
    run_directory::{ALIVE, ENDED, clear_away, lock},
    state::StateDirectory,
};
use ec2_state_directory::{Directory, Error, is_leftover};
use std::{
    ffi::{OsStr, OsString},
    fs::File,
    path::PathBuf,
    time::SystemTime,
};

/// An account whose endpoint was killed.
pub(super) struct Abandoned {
    pub(super) name: OsString,
    pub(super) directory: Directory,
    pub(super) lock: File,
    used: SystemTime,
}

/// The directories of other builds whose endpoints were killed and have left an account, the one that was used last at the end.
/// Those of ours without an account are removed: their endpoints were just ending, or kept none.
pub(super) fn abandoned(runs: &Directory) -> Result<Vec<Abandoned>, EndpointError> {
    let mut found = Vec::new();
    for name in runs.names()?.into_iter().filter(|name| name != BUILD) {
        match look_after(runs, &name) {
            Ok(account) => found.extend(account),
            Err(error) => not_removed(&runs.path().join(&name), &error),
        }
    }
    found.sort_by_key(|account: &Abandoned| account.used);
    Ok(found)
}

/// The account in a directory, if it is one of ours and nobody holds it; removes it if there is none in it.
fn look_after(runs: &Directory, name: &OsStr) -> Result<Option<Abandoned>, Error> {
    let path = runs.path().join(name);
    let Some(directory) = runs.open(name)? else { return Ok(None) };
    let is_aside = name.to_str().is_some_and(|name| name.starts_with(ENDED));
    let has_account = |directory: &Directory| !is_aside && Story::is_in(directory);
    if !is_leftover(&directory, &RUN.mark, is_aside)? && !has_account(&directory) {
        stays(&path, "it bears no mark of the local EC2's, and no account is in it");
        return Ok(None);
    }
    if is_aside && directory.names()?.is_empty() {
        // It was killed between its last two steps; a lock shall not make it somebody else's.
        RUN.mark.put_on(&directory)?;
    }
    let Some(lock) = lock(runs, name, &directory)? else { return Ok(None) };
    let is_torn = !is_aside && journal::is_torn_in(&directory);
    if is_torn && !RUN.mark.is_on(&directory)? {
        stays(&path, "it bears no mark of the local EC2's, and its journal ends before its first record");
        return Ok(None);
    }
    if is_torn {
        journal::put_torn_aside(&directory)?;
    }
    // Whatever else an account's journal has become, it is for somebody to see.
    if !is_aside && let Some(journal) = directory.file(journal::NAME)? {
        let used = journal.metadata().and_then(|journal| journal.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
        return Ok(Some(Abandoned { name: name.to_owned(), directory, lock, used }));
    }
    if !is_aside {
        tracing::warn!("removing {}: an endpoint that kept no account has left it", path.display());
    }
    clear_away(runs, name, &directory);
    Ok(None)
}

/// The directories of accounts whose endpoints were killed. The next starts take them over, one at a time.
pub fn abandoned_accounts(state: &StateDirectory) -> Vec<PathBuf> {
    let look = || -> Result<Vec<PathBuf>, EndpointError> {
        let Some(runs) = state.open()?.open("run")? else { return Ok(Vec::new()) };
        let is_abandoned = |run: &Directory| {
            let lock = run.file(ALIVE).ok().flatten();
            Story::is_in(run) && lock.is_some_and(|lock| lock.try_lock_shared().is_ok())
        };
        let directories = runs.names()?.into_iter().filter_map(|name| runs.open(name).ok().flatten());
        Ok(directories.filter(is_abandoned).map(|run| run.path().to_owned()).collect())
    };
    look().unwrap_or_default()
}
