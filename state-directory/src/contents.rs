//! Removing what machines have left, however deep their root has nested it: neither this process's stack nor its
//! descriptors grow with it, no link is followed, and no mount point is crossed.

use rustix::{
    fs::{AtFlags, Dir, Mode, OFlags, ResolveFlags, openat2, renameat, unlinkat},
    io::Errno,
};
use std::{
    ffi::{CStr, CString},
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

/// Removes all that is in a directory, which nobody must be using; the directory stays.
///
/// # Errors
///
/// Something can't be removed, for example since it is a mount point or immutable. The rest of it may be left, too.
pub fn remove_contents(directory: impl AsFd) -> io::Result<()> {
    clear(directory.as_fd()).map_err(told)
}

/// What is in its directories comes up into it, so nothing is deeper than that.
fn clear(top: BorrowedFd<'_>) -> Result<(), Errno> {
    let mut pending = Vec::new();
    let mut number = 0u64;
    each(top, |name| {
        pending.extend(remove(top, name)?.then(|| name.to_owned()));
        Ok(())
    })?;
    while let Some(name) = pending.pop() {
        let directory = match open(top, &name) {
            // An empty directory that gave its name to another one.
            Err(Errno::NOENT) => continue,
            other => other?,
        };
        each(&directory, |below| {
            if remove(&directory, below)? {
                pending.push(bring_up(&directory, below, top, &mut number)?);
            }
            Ok(())
        })?;
        match unlinkat(top, &*name, AtFlags::REMOVEDIR) {
            // Somebody else is at it as well.
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn each(directory: impl AsFd, mut act: impl FnMut(&CStr) -> Result<(), Errno>) -> Result<(), Errno> {
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        if name != c"." && name != c".." {
            act(name)?;
        }
    }
    Ok(())
}

/// Removes a file or an empty directory; whether it is a directory that isn't empty.
fn remove(directory: impl AsFd, name: &CStr) -> Result<bool, Errno> {
    let removed = match unlinkat(&directory, name, AtFlags::empty()) {
        Err(Errno::ISDIR) => unlinkat(&directory, name, AtFlags::REMOVEDIR),
        other => other,
    };
    match removed {
        Err(Errno::NOTEMPTY | Errno::EXIST) => Ok(true),
        Ok(()) | Err(Errno::NOENT) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Moves a directory into the top one, under a name that nothing has there; that name.
fn bring_up(from: &OwnedFd, name: &CStr, top: impl AsFd, number: &mut u64) -> Result<CString, Errno> {
    loop {
        let new = CString::new(format!("removed-{number}")).map_err(|_| Errno::INVAL)?;
        *number += 1;
        match renameat(from, name, &top, &*new) {
            Err(Errno::NOTEMPTY | Errno::EXIST | Errno::NOTDIR) => {}
            other => return other.map(|()| new),
        }
    }
}

/// Opens a directory that isn't a mount point.
pub(crate) fn open(at: impl AsFd, name: impl rustix::path::Arg) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    openat2(at, name, flags, Mode::empty(), resolve)
}

/// What the kernel says in a word that few know.
pub(crate) fn told(error: Errno) -> io::Error {
    explained(error.into())
}

/// The same of an error of the library's.
pub(crate) fn explained(error: io::Error) -> io::Error {
    let Some(number) = Errno::from_io_error(&error) else { return error };
    let advice = match number {
        Errno::XDEV | Errno::BUSY => "a file system is mounted there; unmount it",
        Errno::PERM => "it is immutable, or not the user's; see lsattr(1)",
        _ => return error,
    };
    io::Error::new(error.kind(), advice)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::symlink};

    #[test]
    fn all_is_removed_and_nothing_else() {
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("kept"), "").unwrap();
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir_all(directory.path().join("a/b/c")).unwrap();
        // Names that are taken already, by each kind of file.
        for taken in ["removed-0/removed-1", "removed-2", "a/removed-0/x", "a/b/removed-3/y"] {
            fs::create_dir_all(directory.path().join(taken)).unwrap();
        }
        fs::write(directory.path().join("removed-1"), "").unwrap();
        fs::write(directory.path().join("a/b/c/file"), "").unwrap();
        symlink(outside.path(), directory.path().join("link")).unwrap();
        symlink(outside.path(), directory.path().join("a/b/link")).unwrap();
        remove_contents(fs::File::open(directory.path()).unwrap()).unwrap();
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
        assert!(outside.path().join("kept").exists());
    }
}
