//! A disk for a machine that is in no account, as `ec2-local check` boots one.

use super::{EndpointError, StateDirectory, layout::DISK, state::failed};
use crate::machine::{clear_files, end_user};
use ec2_state_directory::{Directory, is_leftover, remove};
use std::{ffi::OsStr, path::PathBuf};

/// A disk that is of no account's machine, in a state directory of this user's; gone when this is dropped.
#[derive(Debug)]
pub struct SpareDisk {
    state: Directory,
    name: String,
    // As long as this is locked, it is in use.
    disk: Directory,
}

/// What the names of spare disks begin with.
const SPARE: &str = "check-";

impl SpareDisk {
    /// A new one.
    ///
    /// # Errors
    ///
    /// It can't be made.
    pub fn make(state: &StateDirectory) -> Result<Self, EndpointError> {
        let (state, name) = (state.open()?, format!("{SPARE}{}", std::process::id()));
        loop {
            let disk = DISK.mark.claim(&state, &name)?;
            // Who clears up may take it for one that was left, as long as it isn't locked.
            disk.as_file().lock().map_err(failed("lock", disk.path()))?;
            if disk.is_at(&state, &name)? {
                return Ok(Self { state, name, disk });
            }
        }
    }

    /// Where it is.
    pub fn path(&self) -> PathBuf {
        self.disk.path().to_owned()
    }

    /// Removes those that killed processes have left, and ends their machines; what could not be done, each.
    pub fn clear_left(state: &StateDirectory) -> Vec<EndpointError> {
        let clear = || -> Result<Vec<EndpointError>, EndpointError> {
            let (state, mut failures) = (state.open()?, Vec::new());
            for name in state.names()?.into_iter().filter_map(|name| name.into_string().ok()) {
                let is_name = name.strip_prefix(SPARE).is_some_and(|pid| pid.parse::<u32>().is_ok());
                if !is_name {
                    continue;
                }
                match Self::take(&state, name) {
                    Ok(None) => {}
                    Ok(Some(disk)) => {
                        let ended = end_user(&disk.disk).map_err(failed("end the machine of", disk.disk.path()));
                        failures.extend(ended.err().into_iter().chain(disk.remove().err()));
                    }
                    Err(error) => failures.push(error),
                }
            }
            Ok(failures)
        };
        clear().unwrap_or_else(|error| vec![error])
    }

    /// One that nobody uses.
    fn take(state: &Directory, name: String) -> Result<Option<Self>, EndpointError> {
        let Some(disk) = state.open(&name)? else { return Ok(None) };
        // Somebody else may just have removed it.
        if disk.as_file().try_lock().is_err() || !disk.is_at(state, &name)? || !is_leftover(&disk, &DISK.mark, true)? {
            return Ok(None);
        }
        Ok(Some(Self { state: state.try_clone()?, name, disk }))
    }

    /// Removes it.
    ///
    /// # Errors
    ///
    /// What couldn't be removed, and why.
    pub fn remove(mut self) -> Result<(), EndpointError> {
        self.clear()
    }

    fn clear(&mut self) -> Result<(), EndpointError> {
        let name = std::mem::take(&mut self.name);
        if name.is_empty() {
            return Ok(());
        }
        Ok(remove(&self.state, OsStr::new(&name), &self.disk, &DISK, &clear_files)?)
    }
}

impl Drop for SpareDisk {
    fn drop(&mut self) {
        if let Err(error) = self.clear() {
            tracing::warn!("failed to {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, thread};

    #[test]
    fn many_may_make_spare_disks_and_clear_up_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let state = StateDirectory::at(directory.path().join("state")).unwrap();
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        let failures = SpareDisk::clear_left(&state);
                        assert!(failures.is_empty(), "{failures:?}");
                        let disk = SpareDisk::make(&state).unwrap();
                        fs::write(disk.path().join("init"), "").unwrap();
                        disk.remove().unwrap();
                    }
                });
            }
        });
        assert_eq!(state.open().unwrap().names().unwrap(), [".ec2-local"]);
    }
}
