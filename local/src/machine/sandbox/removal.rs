//! Removing what machines have left, however deep their root has nested it: neither this process's stack nor its
//! descriptors grow with it, and no link is followed.

use super::root::told;
use rustix::{
    fs::{AtFlags, CWD, Dir, Mode, OFlags, openat, renameat, unlinkat},
    io::Errno,
};
use std::{
    ffi::{CStr, CString},
    io,
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

/// Removes a directory and all that is in it, which nobody must be using.
pub fn remove_all(directory: &Path) -> io::Result<()> {
    let removed =
        open(CWD, directory).and_then(|top| clear(&top)).and_then(|()| unlinkat(CWD, directory, AtFlags::REMOVEDIR));
    removed.map_err(told("remove", directory.display()))
}

/// Removes all that is in a directory. What is in its directories comes up into it, so nothing is deeper than that.
fn clear(top: &OwnedFd) -> Result<(), Errno> {
    let mut pending = Vec::new();
    let mut number = 0u64;
    each(top, |name| {
        pending.extend(remove(top, name)?.then(|| name.to_owned()));
        Ok(())
    })?;
    while let Some(name) = pending.pop() {
        let directory = match open(top, &*name) {
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
        unlinkat(top, &*name, AtFlags::REMOVEDIR)?;
    }
    Ok(())
}

fn each(directory: &OwnedFd, mut act: impl FnMut(&CStr) -> Result<(), Errno>) -> Result<(), Errno> {
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
fn remove(directory: &OwnedFd, name: &CStr) -> Result<bool, Errno> {
    let removed = match unlinkat(directory, name, AtFlags::empty()) {
        Err(Errno::ISDIR) => unlinkat(directory, name, AtFlags::REMOVEDIR),
        other => other,
    };
    match removed {
        Err(Errno::NOTEMPTY | Errno::EXIST) => Ok(true),
        Ok(()) | Err(Errno::NOENT) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Moves a directory into the top one, under a name that nothing has there; that name.
fn bring_up(from: &OwnedFd, name: &CStr, top: &OwnedFd, number: &mut u64) -> Result<CString, Errno> {
    loop {
        let new = CString::new(format!("removed-{number}")).map_err(|_| Errno::INVAL)?;
        *number += 1;
        match renameat(from, name, top, &*new) {
            Err(Errno::NOTEMPTY | Errno::EXIST | Errno::NOTDIR) => {}
            other => return other.map(|()| new),
        }
    }
}

fn open(at: impl AsFd, name: impl rustix::path::Arg) -> Result<OwnedFd, Errno> {
    openat(at, name, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::symlink};

    #[test]
    fn all_is_removed_and_nothing_else() {
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("kept"), "").unwrap();
        let place = tempfile::tempdir().unwrap();
        let directory = place.path().join("directory");
        fs::create_dir_all(directory.join("a/b/c")).unwrap();
        // Names that are taken already, by each kind of file.
        for taken in ["removed-0/removed-1", "removed-2", "a/removed-0/x", "a/b/removed-3/y"] {
            fs::create_dir_all(directory.join(taken)).unwrap();
        }
        fs::write(directory.join("removed-1"), "").unwrap();
        fs::write(directory.join("a/b/c/file"), "").unwrap();
        symlink(outside.path(), directory.join("link")).unwrap();
        symlink(outside.path(), directory.join("a/b/link")).unwrap();
        remove_all(&directory).unwrap();
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
        assert!(outside.path().join("kept").exists());
        let missing = remove_all(&directory).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    }
}
