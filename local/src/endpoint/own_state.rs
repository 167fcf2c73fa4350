//! A state directory of one endpoint's own: new, and gone with it.
//!
//! It lies in that of its user, since a directory for temporary files may be in memory, or bear no machine's disk.

use super::{
    EndpointError, StateDirectory,
    layout::{OWN, OWN_STATE, not_removed},
    run_directory::RunDirectory,
    state::failed,
};
use crate::machine::clear_files;
use ec2_state_directory::{Directory, is_leftover, remove};
use rustix::fs::{FlockOperation, flock};
use std::{
    ffi::{OsStr, OsString},
    io,
    path::Path,
};

/// Where they are, in the user's state directory.
const OWN_STATES: &str = "commands";

/// One that is in use: the endpoint and its owner hold it, each by a lock of their own.
#[derive(Debug)]
pub(super) struct OwnState {
    parent: Directory,
    name: OsString,
    directory: Directory,
}

impl OwnState {
    /// A new one. What others have left that were killed with their endpoints goes first.
    pub(super) fn make(user: &StateDirectory) -> Result<Self, EndpointError> {
        let parent = user.open()?.ensure(OWN_STATES)?;
        for name in parent.names()? {
            if let Err(error) = Self::clear_left(&parent, &name) {
                tracing::warn!("failed to {error}; it is tried again later");
            }
        }
        loop {
            let mut random = [0_u8; 8];
            getrandom::fill(&mut random).map_err(io::Error::other).map_err(failed("name", parent.path()))?;
            let name = OsString::from(hex::encode(random));
            let directory = OWN.mark.claim(&parent, &name)?;
            if let Some(made) = Self::hold(parent.try_clone()?, name, directory)? {
                return Ok(made);
            }
        }
    }

    /// The one that has this state directory in it.
    pub(super) fn of(state: &StateDirectory) -> Result<Option<Self>, EndpointError> {
        let Some(path) = state.path().parent() else { return Ok(None) };
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Ok(None) };
        let parent = Directory::find(parent)?;
        let Some(directory) = parent.open(name)? else { return Ok(None) };
        Self::hold(parent, name.to_owned(), directory)
    }

    /// Holds it, unless somebody who takes it for left removes it just now.
    fn hold(parent: Directory, name: OsString, directory: Directory) -> Result<Option<Self>, EndpointError> {
        let path = directory.path().to_owned();
        flock(directory.as_file(), FlockOperation::LockShared)
            .map_err(io::Error::from)
            .map_err(failed("lock", &path))?;
        Ok(directory.is_at(&parent, &name)?.then_some(Self { parent, name, directory }))
    }

    /// The state directory in it.
    pub(super) fn state(&self) -> Result<StateDirectory, EndpointError> {
        StateDirectory::at(self.directory.path().join(OWN_STATE))
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Removes it; nothing runs there any more.
    pub(super) fn remove(self) {
        let removed = remove(&self.parent, &self.name, &self.directory, &OWN, &clear_files);
        // The other one that holds it may be faster.
        if let Err(error) = removed.or_else(|error| if error.is_not_found() { Ok(()) } else { Err(error) }) {
            not_removed(self.path(), &error);
        }
    }

    /// Removes one that nobody holds, with the account that is in it.
    fn clear_left(parent: &Directory, name: &OsStr) -> Result<(), EndpointError> {
        let Some(directory) = parent.open(name)? else { return Ok(()) };
        let is_ours = flock(directory.as_file(), FlockOperation::NonBlockingLockExclusive).is_ok()
            && directory.is_at(parent, name)?
            && is_leftover(&directory, &OWN.mark, true)?;
        if is_ours {
            Self { parent: parent.try_clone()?, name: name.to_owned(), directory }.clear();
        }
        Ok(())
    }

    /// Removes it where the endpoint was killed: its machines are dying, and are waited for.
    pub(super) fn clear(self) {
        let given_up = self.give_account_up();
        if let Err(error) = given_up {
            return tracing::warn!("failed to {error}; it is tried again later");
        }
        self.remove();
    }

    fn give_account_up(&self) -> Result<(), EndpointError> {
        if self.directory.open(OWN_STATE)?.is_none() {
            return Ok(());
        }
        match RunDirectory::claim(self.state()?)? {
            Some(run) => run.give_up(),
            None => Ok(()),
        }
    }
}
