//! Snapshots' layers: a marked directory each, made when a snapshot is taken, and removed when neither a snapshot nor a volume needs it
//! any more. Machines have them below their disks, and never change them.

use super::{
    EndpointError,
    disks::remove_others,
    layout::{DISK, LAYERS, is_snapshot, not_removed},
};
use crate::machine::clear_files;
use ec2_state_directory::{Directory, Error, remove};
use std::{
    collections::BTreeSet,
    ffi::OsStr,
    io,
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

/// The file that says that a layer is whole.
const WHOLE: &str = "whole";

/// The layers of an endpoint's snapshots.
#[derive(Debug)]
pub(super) struct Layers {
    layers: Directory,
    /// Those that couldn't be removed.
    left: Mutex<BTreeSet<String>>,
}

impl Layers {
    /// Those in an endpoint's directory.
    pub(super) fn of(run: &Directory) -> Result<Self, EndpointError> {
        Ok(Self { layers: run.ensure(LAYERS)?, left: Mutex::default() })
    }

    /// The empty directory of a layer that is to be taken; none if it was taken already.
    pub(super) fn begin(&self, snapshot: &str) -> io::Result<Option<PathBuf>> {
        let path = self.path(snapshot)?;
        if self.is_whole(snapshot)? {
            return Ok(None);
        }
        // What was begun when an endpoint was killed.
        self.remove(OsStr::new(snapshot)).map_err(io::Error::other)?;
        DISK.mark.claim(&self.layers, snapshot).map_err(io::Error::other)?;
        Ok(Some(path))
    }

    /// A layer was taken to the end.
    pub(super) fn finish(&self, snapshot: &str) -> io::Result<()> {
        let layer = self.layers.open(snapshot).map_err(io::Error::other)?.ok_or(io::ErrorKind::NotFound)?;
        layer.write(WHOLE, b"").map_err(io::Error::other)
    }

    /// Where a layer is that something is to be made of.
    pub(super) fn find(&self, snapshot: &str) -> io::Result<PathBuf> {
        let path = self.path(snapshot)?;
        if self.is_whole(snapshot)? {
            return Ok(path);
        }
        let reason = format!("find what is in {snapshot}: {} was never taken to the end, or is gone", path.display());
        Err(io::Error::new(io::ErrorKind::NotFound, reason))
    }

    fn path(&self, snapshot: &str) -> io::Result<PathBuf> {
        let path = self.layers.path().join(snapshot);
        if is_snapshot(snapshot) {
            return Ok(path);
        }
        Err(io::Error::new(io::ErrorKind::InvalidInput, format!("use {}: it is no snapshot's", path.display())))
    }

    fn is_whole(&self, snapshot: &str) -> io::Result<bool> {
        let layer = self.layers.open(snapshot).map_err(io::Error::other)?;
        let Some(layer) = layer else { return Ok(false) };
        Ok(layer.look(WHOLE).map_err(io::Error::other)?.is_some())
    }

    /// Removes a layer that nothing needs, and once more those that couldn't be removed before.
    pub(super) fn discard(&self, snapshot: &str) {
        let left = || self.left.lock().unwrap_or_else(PoisonError::into_inner);
        left().insert(snapshot.to_owned());
        let due = std::mem::take(&mut *left());
        for snapshot in due {
            if let Err(error) = self.remove(OsStr::new(&snapshot)) {
                not_removed(&self.layers.path().join(&snapshot), &error);
                left().insert(snapshot);
            }
        }
    }

    fn remove(&self, snapshot: &OsStr) -> Result<(), Error> {
        match self.layers.open(snapshot)? {
            Some(layer) => remove(&self.layers, snapshot, &layer, &DISK, &clear_files),
            None => Ok(()),
        }
    }

    /// Removes the layers that nothing needs.
    pub(super) fn keep(&self, keep: impl Fn(&str) -> bool) -> Result<(), EndpointError> {
        remove_others(&self.layers, is_snapshot, keep)
    }
}
