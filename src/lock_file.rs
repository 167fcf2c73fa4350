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
    own().read(true).write(true).create(true).truncate(false).open(path).and_then(alone)
}

/// A file that has no other name: what is written to it would be written elsewhere, too.
pub(crate) fn alone(file: File) -> io::Result<File> {
    match file.metadata()?.nlink() {
        0 | 1 => Ok(file),
        _ => Err(io::Error::other("it has another name elsewhere, and what is there would change with it; remove it")),
    }
}

/// Makes a file, only for this user, in place of one that may be there, which stays as it is under any other name.
pub(crate) fn anew(path: &Path) -> io::Result<File> {
    // A symbolic link is none of ours, and stays.
    if fs::symlink_metadata(path).is_ok_and(|found| found.is_file()) {
        fs::remove_file(path)?;
    }
    own().write(true).create_new(true).open(path)
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::{io::Write, os::unix::fs::symlink};

    #[test]
    fn nothing_is_written_through_another_name() {
        let directory = tempfile::tempdir().unwrap();
        let [kept, name, link] = ["kept", "name", "link"].map(|name| directory.path().join(name));
        fs::write(&kept, "somebody's").unwrap();
        fs::hard_link(&kept, &name).unwrap();
        symlink(&kept, &link).unwrap();
        assert!(open(&name).is_err() && open(&link).is_err() && anew(&link).is_err());
        anew(&name).unwrap().write_all(b"ours").unwrap();
        assert_eq!(fs::read_to_string(&name).unwrap(), "ours");
        assert_eq!(fs::read_to_string(&link).unwrap(), "somebody's");
        lock(&name, Lock::Exclusive).unwrap();
    }
}
