//! Removing a directory of ours: what bears its mark, and in it what we have laid out.

use crate::{
    Directory, Error, Mark,
    contents::{self, told},
    directory::{failed, is_own_file},
    shown::shown_name,
};
use rustix::{
    fs::{AtFlags, FileType, unlinkat},
    io::Errno,
};
use std::{
    ffi::OsStr,
    io,
    os::fd::{AsFd, BorrowedFd},
    sync::atomic::{AtomicU32, Ordering},
};

/// What a directory of ours is made of.
#[derive(Debug, Clone, Copy)]
pub struct Layout {
    /// What tells that it is ours.
    pub mark: Mark,
    /// What something of this name in it is; none: it isn't ours.
    pub part: fn(&str) -> Option<Part>,
}

/// What something in a directory of ours is.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Part {
    /// A file or a socket of this user's.
    File,
    /// A directory with whatever others have put into it.
    Everything,
    /// A directory with these parts.
    Directory(fn(&str) -> Option<Part>),
    /// A directory that bears a mark of its own.
    Marked(&'static Layout),
}

/// How all that is in a directory is removed, where that isn't a matter of this process.
pub type Clear<'a> = &'a dyn Fn(BorrowedFd<'_>) -> io::Result<()>;

/// Whether something is a directory that was left by us: it bears its mark; or it is empty and `is_name` knows its name, since
/// one that is just being made or removed has no mark.
///
/// # Errors
///
/// It can't be looked at, or is no directory of this user's.
pub fn is_leftover(directory: &Directory, mark: &Mark, is_name: bool) -> Result<bool, Error> {
    Ok(mark.is_on(directory)? || is_name && directory.names()?.is_empty())
}

/// Gives a directory of ours another name in its parent, under which nobody looks for it: one of its own, which begins with this
/// prefix. Returns that name.
///
/// # Errors
///
/// It can't be renamed.
pub fn put_aside(parent: &Directory, name: &OsStr, prefix: &str) -> Result<String, Error> {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    loop {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let aside = format!("{prefix}{}.{number}", std::process::id());
        // One of an earlier process of the same number may still be there.
        if parent.look(&aside)?.is_none() {
            return parent.rename(name, &aside).map(|()| aside);
        }
    }
}

/// Removes a directory of ours, which nobody must be using, from its parent. What isn't ours stays, and so does what it lies in.
///
/// # Errors
///
/// The first thing that stays, if any does; the rest of what is ours is removed all the same.
pub fn remove(
    parent: &Directory,
    name: &OsStr,
    directory: &Directory,
    layout: &Layout,
    clear: Clear<'_>,
) -> Result<(), Error> {
    // It may have got that name only now.
    let directory = &directory.renamed(parent, name)?;
    if !layout.mark.is_on(directory)? {
        let foreign = || Error::Foreign { directory: parent.path().to_owned(), entry: shown_name(name) };
        // Another process that has found it empty may mark it just now.
        if directory.names()?.iter().any(|name| name != layout.mark.name()) {
            return Err(foreign());
        }
        // As one that is marked: nobody has anything in it.
        layout.mark.put_on(directory)?;
        if !layout.mark.is_on(directory)? {
            return Err(foreign());
        }
    }
    remove_parts(directory, Some(layout.mark), layout.part, clear)?;
    if !directory.is_at(parent, name)? {
        return Ok(());
    }
    loop {
        unlink(directory, OsStr::new(layout.mark.name()), AtFlags::empty())?;
        let Err(error) = unlink(parent, name, AtFlags::REMOVEDIR) else { return Ok(()) };
        // Its next remover shall know whose it is.
        layout.mark.put_on(directory)?;
        // Something came into it just now; or another process has found it empty, and marked it: then once more.
        let is_full = matches!(&error, Error::Io { source, .. } if source.kind() == io::ErrorKind::DirectoryNotEmpty);
        if !is_full || directory.names()?.iter().any(|name| name != layout.mark.name()) {
            return Err(error);
        }
    }
}

fn remove_parts(
    directory: &Directory,
    mark: Option<Mark>,
    part: fn(&str) -> Option<Part>,
    clear: Clear<'_>,
) -> Result<(), Error> {
    let mut first = Ok(());
    for name in directory.names()? {
        if mark.is_some_and(|mark| name == mark.name()) {
            continue;
        }
        let removed = match name.to_str().and_then(part) {
            Some(part) => remove_part(directory, &name, part, clear),
            None => Err(foreign(directory, &name)),
        };
        first = first.and(removed);
    }
    first
}

fn remove_part(directory: &Directory, name: &OsStr, part: Part, clear: Clear<'_>) -> Result<(), Error> {
    let Some(found) = directory.look(name)? else { return Ok(()) };
    let is_directory = FileType::from_raw_mode(found.st_mode).is_dir();
    match part {
        Part::File if is_own_file(&found) => return unlink(directory, name, AtFlags::empty()),
        Part::Everything if is_directory => {
            let path = directory.path().join(name);
            // An empty one needs nobody's help.
            if unlinkat(directory, name, AtFlags::REMOVEDIR).is_ok() {
                return Ok(());
            }
            let opened = contents::open(directory, name).map_err(told).map_err(failed("enter", &path))?;
            clear(opened.as_fd()).map_err(failed("remove all in", &path))?;
        }
        Part::Directory(part) if is_directory => {
            if let Some(inner) = directory.open(name)? {
                same_mount(directory, name)?;
                remove_parts(&inner, None, part, clear)?;
            }
        }
        Part::Marked(layout) if is_directory => {
            let Some(inner) = directory.open(name)? else { return Ok(()) };
            same_mount(directory, name)?;
            return remove(directory, name, &inner, layout, clear);
        }
        _ => return Err(foreign(directory, name)),
    }
    unlink(directory, name, AtFlags::REMOVEDIR)
}

/// Refuses a mount point.
fn same_mount(directory: &Directory, name: &OsStr) -> Result<(), Error> {
    contents::open(directory, name).map(drop).map_err(told).map_err(failed("enter", &directory.path().join(name)))
}

fn unlink(directory: &Directory, name: &OsStr, how: AtFlags) -> Result<(), Error> {
    match unlinkat(directory, name, how) {
        // Somebody else was faster.
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(failed("remove", &directory.path().join(name))(told(error))),
    }
}

fn foreign(directory: &Directory, name: &OsStr) -> Error {
    Error::Foreign { directory: directory.path().to_owned(), entry: shown_name(name) }
}
