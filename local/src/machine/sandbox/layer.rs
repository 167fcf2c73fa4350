//! Layers: what machines have changed on their root volumes, as snapshots keep it.
//!
//! A layer is a directory like a machine's disk: its `files` hold what the disk's do, without what is of one boot alone. Where root
//! runs it, they belong to the ids of images, which nobody has; each machine that has the layer has them mapped to its own.

use super::{
    copy::{self, Shift, copy_tree},
    errand,
    identity::{FILES, IMAGES, Identity, RANGE, range_of},
    protocol::{Report, Request},
    root::told,
    volume,
};
use rustix::{
    fs::{Mode, OFlags, fchown, mkdirat, openat},
    io::Errno,
    process::{Gid, Uid, geteuid},
};
use std::{
    fs::{self, File},
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
};

/// What is kept of a machine's files: what it has changed of all that is its own, and of each of the host's directories.
const ROOT: &str = "root";
const LAYERS: &str = "layers";
const UPPER: &str = "upper";

/// Makes the layer of a machine that is off, in an empty directory.
pub fn take(disk: &Path, into: &Path) -> io::Result<()> {
    let into = open(into)?;
    let files = disk.join(FILES);
    if !files.is_dir() {
        // It has never booted.
        return Ok(());
    }
    if geteuid().is_root() {
        let first = range_of(disk);
        let files = if volume::exists(disk) { volume::mount(disk)? } else { open(&files)? };
        // What is mounted is open by its path alone.
        let files = openat(&files, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .map_err(told("open", disk.display()))?;
        return copy_as_root(files.as_fd(), into.as_fd(), first);
    }
    let files = open(&files)?;
    match errand::send(&Request::Layer, &[files.as_fd(), into.as_fd()])? {
        Report::Layer(None) => Ok(()),
        Report::Layer(Some(why)) => Err(io::Error::other(why)),
        other => Err(io::Error::other(format!("take a machine's layer: {other:?}"))),
    }
}

fn open(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).map_err(told("open", path.display()))
}

/// A keeper's part: makes the layer of its machine's files.
pub fn take_within(files: BorrowedFd<'_>, into: BorrowedFd<'_>, identity: &Identity) -> io::Result<()> {
    match identity {
        Identity::Range(first) => copy_as_root(files, into, Some(*first)),
        _ if geteuid().is_root() => copy_as_root(files, into, None),
        // Its files are those of users that only a namespace has.
        _ => errand::within_namespaces(identity, || copy(files, into, None).map(|()| Report::Layer(None))).and_then(
            |report| match report {
                Report::Layer(None) => Ok(()),
                Report::Failed(why) => Err(io::Error::other(why)),
                other => Err(io::Error::other(format!("take the machine's layer: {other:?}"))),
            },
        ),
    }
}

/// The keeper's part of [`take`].
pub fn errand(mut directories: Vec<OwnedFd>) -> io::Result<Report> {
    let (Some(into), Some(files)) = (directories.pop(), directories.pop()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    take_within(files.as_fd(), into.as_fd(), &Identity::choose(None, 0)).map(|()| Report::Layer(None))
}

fn copy_as_root(files: BorrowedFd<'_>, into: BorrowedFd<'_>, first: Option<u32>) -> io::Result<()> {
    copy(files, into, first.map(|from| Shift { from, to: IMAGES, count: RANGE }))
}

fn copy(files: BorrowedFd<'_>, into: BorrowedFd<'_>, shift: Option<Shift>) -> io::Result<()> {
    let own = |directory: BorrowedFd<'_>| match shift {
        Some(shift) => fchown(directory, Some(Uid::from_raw(shift.to)), Some(Gid::from_raw(shift.to))),
        None => Ok(()),
    };
    let make = |above: BorrowedFd<'_>, name: &Path| -> io::Result<OwnedFd> {
        match mkdirat(above, name, Mode::from_raw_mode(0o755)) {
            Err(Errno::EXIST) => {}
            other => other?,
        }
        let made = openat(above, name, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        own(made.as_fd())?;
        Ok(made)
    };
    let into = make(into, Path::new(FILES))?;
    let root = Path::new(ROOT);
    if let Some(from) = copy::directory_below(files, root)? {
        copy_tree(from.as_fd(), make(into.as_fd(), root)?.as_fd(), shift)?;
    }
    let Some(layers) = copy::directory_below(files, Path::new(LAYERS))? else { return Ok(()) };
    let all = make(into.as_fd(), Path::new(LAYERS))?;
    // The keeper's own names, which no machine can reach.
    for entry in rustix::fs::Dir::read_from(&layers)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with('.') {
            continue;
        }
        let path = Path::new(&name).join(UPPER);
        if let Some(from) = copy::directory_below(layers.as_fd(), &path)? {
            let layer = make(all.as_fd(), Path::new(&name))?;
            copy_tree(from.as_fd(), make(layer.as_fd(), Path::new(UPPER))?.as_fd(), shift)?;
        }
    }
    Ok(())
}

/// Opens a directory of a disk's files by what is mounted there, or by its path.
pub fn files_of(volume: Option<&File>, files: &Path) -> io::Result<OwnedFd> {
    match volume {
        Some(volume) => openat(volume, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .map_err(told("open", files.display())),
        None => open(&fs::canonicalize(files)?),
    }
}
