//! Volumes' disks: a marked directory each, made before a machine boots from it for the first time, and removed with its volume. What an
//! instance's end, a stop or the endpoint's death do to machines is no matter of theirs.

use super::{
    EndpointError, earlier_disks,
    layout::{DISK, DISKS, is_volume, not_removed, stays},
    state::failed,
};
use crate::machine::{clear_files, end_user};
use ec2_state_directory::{Directory, Error, is_leftover, remove};
use std::{
    collections::BTreeSet,
    ffi::OsStr,
    io,
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

/// The disks of an endpoint's volumes.
#[derive(Debug)]
pub(super) struct Disks {
    disks: Directory,
    /// Those that couldn't be removed.
    left: Mutex<BTreeSet<String>>,
}

impl Disks {
    /// Those in an endpoint's directory.
    pub(super) fn of(run: &Directory) -> Result<Self, EndpointError> {
        Ok(Self { disks: run.ensure(DISKS)?, left: Mutex::default() })
    }

    /// A volume's disk; one that must be there is not made anew, or the machine would forget all silently.
    pub(super) fn make(&self, volume: &str, must_be_there: bool) -> io::Result<PathBuf> {
        let path = self.disks.path().join(volume);
        if !is_volume(volume) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("make {}: it is no volume's", path.display()),
            ));
        }
        if must_be_there && self.disks.look(volume).map_err(io::Error::other)?.is_none() {
            let reason = format!("find its disk: {} is gone", path.display());
            return Err(io::Error::new(io::ErrorKind::NotFound, reason));
        }
        // Never one of others' with the same name.
        DISK.mark.claim(&self.disks, volume).map_err(io::Error::other)?;
        Ok(path)
    }

    /// Where a volume's disk is, if it was made.
    pub(super) fn path(&self, volume: &str) -> PathBuf {
        self.disks.path().join(volume)
    }

    /// Removes the disk of a volume that no machine has, and once more those that couldn't be removed before.
    pub(super) fn discard(&self, volume: &str) {
        let left = || self.left.lock().unwrap_or_else(PoisonError::into_inner);
        left().insert(volume.to_owned());
        let due = std::mem::take(&mut *left());
        for volume in due {
            if let Err(error) = self.remove(OsStr::new(&volume)) {
                not_removed(&self.disks.path().join(&volume), &error);
                left().insert(volume);
            }
        }
    }

    fn remove(&self, volume: &OsStr) -> Result<(), Error> {
        match self.disks.open(volume)? {
            Some(disk) => remove(&self.disks, volume, &disk, &DISK, &clear_files),
            None => Ok(()),
        }
    }

    /// Removes the disks that are of no volume.
    pub(super) fn keep(&self, keep: impl Fn(&str) -> bool) -> Result<(), EndpointError> {
        remove_others(&self.disks, is_volume, keep)
    }
}

/// Removes the disks in a directory that are not to be kept, where `is_name` knows their names. Those that are, are marked.
pub(super) fn remove_others(
    disks: &Directory,
    is_name: fn(&str) -> bool,
    keep: impl Fn(&str) -> bool,
) -> Result<(), EndpointError> {
    for name in disks.names()? {
        let path = disks.path().join(&name);
        let known = name.to_str().filter(|name| is_name(name));
        let keep_or_remove = || {
            let Some(disk) = disks.open(&name)? else { return Ok(()) };
            if known.is_some_and(&keep) {
                return DISK.mark.put_on(&disk);
            }
            if known.is_some() && is_leftover(&disk, &DISK.mark, true)? {
                return remove(disks, &name, &disk, &DISK, &clear_files);
            }
            stays(&path, "it bears no mark of the local EC2's, or is called as no disk is");
            Ok(())
        };
        // Whatever is wrong with one of them keeps nobody from the others.
        if let Err(error) = keep_or_remove() {
            not_removed(&path, &error);
        }
    }
    Ok(())
}

/// Waits until nothing uses the disks of an endpoint's directory any more, and ends what does. To be called when the endpoint is
/// dead: its machines are dying by themselves.
pub(super) fn end_machines(run: &Directory) -> Result<(), EndpointError> {
    if let Some(disks) = run.open(DISKS)? {
        end_users(&disks, is_volume)?;
    }
    earlier_disks::end_machines(run)
}

/// The same of the disks in one directory, where `is_name` knows their names.
pub(super) fn end_users(disks: &Directory, is_name: fn(&str) -> bool) -> Result<(), EndpointError> {
    for name in disks.names()?.into_iter().filter(|name| name.to_str().is_some_and(is_name)) {
        // What can't be opened is no disk.
        if let Ok(Some(disk)) = disks.open(&name) {
            end_user(&disk).map_err(failed("wait for the end of the machine in", disk.path()))?;
        }
    }
    Ok(())
}
