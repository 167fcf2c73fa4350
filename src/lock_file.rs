//! Files that processes lock to agree among each other, and that may be removed by anyone who has them locked.

use rustix::fs::OFlags;
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
    own().read(true).write(true).create(true).truncate(false).open(path)
}

/// How files of ours are opened: never through a symbolic link, which is none of ours, and without waiting for anybody. What is
/// made is only for this user.
pub(crate) fn own() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(0o600).custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed());
    options
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
        if inode(file.metadata()) == inode(fs::symlink_metadata(path)) {
            return Ok(file);
        }
    }
}
