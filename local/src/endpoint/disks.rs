//! Machines' disks: a marked directory each, made before its machine starts and removed with its instance.

use super::{
    EndpointError, StateDirectory,
    layout::{DISK, is_instance, not_removed, stays},
    state::failed,
};
use crate::machine::sandbox::{clear_files, end_user};
use ec2_state_directory::{Directory, Error, is_leftover, remove};
use std::{
    collections::BTreeSet,
    ffi::OsStr,
    io,
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

/// The disks of an endpoint's machines.
#[derive(Debug)]
pub(super) struct Disks {
    machines: Directory,
    /// Those that couldn't be removed.
    left: Mutex<BTreeSet<String>>,
}

impl Disks {
    /// Those in an endpoint's directory.
    pub(super) fn of(run: &Directory) -> Result<Self, EndpointError> {
        Ok(Self { machines: run.ensure("machines")?, left: Mutex::default() })
    }

    /// A machine's disk; one that must be there is not made anew, or the machine would forget all silently.
    pub(super) fn make(&self, instance: &str, must_be_there: bool) -> io::Result<PathBuf> {
        let path = self.machines.path().join(instance);
        if must_be_there && self.machines.look(instance).map_err(io::Error::other)?.is_none() {
            let reason = format!("find its disk: {} is gone", path.display());
            return Err(io::Error::new(io::ErrorKind::NotFound, reason));
        }
        // Never one of others' with the same name.
        DISK.mark.claim(&self.machines, instance).map_err(io::Error::other)?;
        Ok(path)
    }

    /// Removes a disk, whose machine is off, and once more those that couldn't be removed before.
    pub(super) fn discard(&self, instance: &str) {
        let left = || self.left.lock().unwrap_or_else(PoisonError::into_inner);
        left().insert(instance.to_owned());
        let due = std::mem::take(&mut *left());
        for instance in due {
            if let Err(error) = self.remove(OsStr::new(&instance)) {
                not_removed(&self.machines.path().join(&instance), &error);
                left().insert(instance);
            }
        }
    }

    fn remove(&self, instance: &OsStr) -> Result<(), Error> {
        match self.machines.open(instance)? {
            Some(disk) => remove(&self.machines, instance, &disk, &DISK, &clear_files),
            None => Ok(()),
        }
    }

    /// Removes the disks that are of no instance. Those that are of one are marked from now on, if an earlier version made them.
    pub(super) fn keep(&self, keep: impl Fn(&str) -> bool) -> Result<(), EndpointError> {
        for name in self.machines.names()? {
            let path = self.machines.path().join(&name);
            let instance = name.to_str().filter(|name| is_instance(name));
            let disk = match self.machines.open(&name) {
                Ok(Some(disk)) => disk,
                Ok(None) => continue,
                Err(error) => {
                    not_removed(&path, &error);
                    continue;
                }
            };
            if instance.is_some_and(&keep) {
                DISK.mark.put_on(&disk)?;
            } else if instance.is_some() && is_leftover(&disk, &DISK.mark, true)? {
                if let Err(error) = remove(&self.machines, &name, &disk, &DISK, &clear_files) {
                    not_removed(&path, &error);
                }
            } else {
                stays(&path, "it bears no mark of the local EC2's, or is called as no instance is");
            }
        }
        Ok(())
    }
}

/// Waits until nothing uses the disks of an endpoint's directory any more, and ends what does. To be called when the endpoint is
/// dead: its machines are dying by themselves.
pub(super) fn end_machines(run: &Directory) -> Result<(), EndpointError> {
    let Some(machines) = run.open("machines")? else { return Ok(()) };
    for name in machines.names()?.into_iter().filter(|name| name.to_str().is_some_and(is_instance)) {
        // What can't be opened is no disk of a machine's.
        if let Ok(Some(disk)) = machines.open(&name) {
            end_user(&disk).map_err(failed("wait for the end of the machine in", disk.path()))?;
        }
    }
    Ok(())
}

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
}

impl SpareDisk {
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
