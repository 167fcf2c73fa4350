//! Files that processes lock to agree among each other, and that may be removed by whoever has them locked.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::Path,
};

/// How a file is locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lock {
    /// Beside others who do the same.
    Shared,
    /// Alone.
    Exclusive,
}

/// Opens a file, which is made if there is none, only for this user.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

/// Opens a file and waits for its lock, which is held until the file is dropped. It is the file of that name then.
pub(crate) fn lock(path: &Path, how: Lock) -> io::Result<File> {
    loop {
        let file = open(path)?;
        match how {
            Lock::Shared => file.lock_shared()?,
            Lock::Exclusive => file.lock()?,
        }
        // Between its opening and its locking the file may have been removed, and perhaps made anew.
        let inode = |metadata: io::Result<fs::Metadata>| metadata.ok().map(|metadata| metadata.ino());
        if inode(file.metadata()) == inode(fs::metadata(path)) {
            return Ok(file);
        }
    }
}
