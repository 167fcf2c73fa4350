//! A running machine's snapshots, as its keeper takes them: all of one moment, in which the machine stands still.
//!
//! What a file system on a volume holds in memory is written to it before, where the kernel lets that be asked of the device (from
//! Linux 6.6 on); before, the snapshot is what is there after a crash.

use super::{block_devices::BlockDevices, contents, identity::Identity, layer};
use std::{
    fs::File,
    io,
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

/// What a keeper has of its machine.
pub struct Taking<'a> {
    /// Its root volume, where it has one.
    pub mounted: Option<&'a File>,
    pub files: &'a Path,
    pub volumes: Option<&'a BlockDevices>,
    pub identity: &'a Identity,
}

impl Taking<'_> {
    /// Has what file systems hold of these volumes in memory written to them.
    pub fn flush(&self, wanted: &[Option<String>]) {
        for volume in wanted.iter().flatten() {
            // What can't be written now is in no snapshot, as after a crash.
            let _ = self.volumes.map(|volumes| volumes.flush(volume));
        }
    }

    /// Takes them, of a machine that stands still: why one wasn't taken, if so.
    pub fn take(&mut self, wanted: &[Option<String>], directories: Vec<OwnedFd>) -> Vec<Option<String>> {
        self.flush(wanted);
        let mut directories = directories.into_iter();
        let mut one = |wanted: &Option<String>| -> io::Result<()> {
            let into = directories.next().ok_or(io::ErrorKind::InvalidInput)?;
            match wanted {
                Some(volume) => self.volume(volume, into),
                None => {
                    layer::take_within(layer::files_of(self.mounted, self.files)?.as_fd(), into.as_fd(), self.identity)
                }
            }
        };
        wanted.iter().map(|wanted| one(wanted).err().map(|error| error.to_string())).collect()
    }

    fn volume(&self, volume: &str, into: OwnedFd) -> io::Result<()> {
        match self.volumes.and_then(|volumes| volumes.file(volume)) {
            Some(file) => contents::copy_into(file, into.as_fd()),
            // It is no device in the machine, so nobody there has ever written to it; somebody elsewhere may have.
            None => {
                let disks = self.files.ancestors().nth(2).unwrap_or(Path::new("/"));
                contents::take_into(&disks.join(volume), into.as_fd())
            }
        }
    }
}
