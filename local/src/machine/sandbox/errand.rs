//! What is done for machines without one: removing a disk, and unpacking an image. Both are about files of the machines'
//! users, who are others than the endpoint's.

use super::{
    advice,
    boot::become_root,
    identity::{IMAGES, Identity},
    kernel::{self, Side},
    protocol::{self, Go, Report, Request, Shown, Users},
    root::told,
    start_keeper,
};
use crate::archive::{self, Contents, Limits, Owners};
use ec2_state_directory::remove_contents;
use rustix::{
    fs::{AtFlags, CWD, Mode, OFlags, openat, unlinkat},
    io::Errno,
    process::{Signal, WaitOptions, chdir, geteuid, set_parent_process_death_signal, waitpid},
};
use std::{
    fs::{self, File},
    io,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::fs::chown,
    },
    path::Path,
    process::exit,
};

/// Removes a machine's disk, with files in it that belong to the machine's users rather than to the endpoint's.
///
/// The machine must be off. Nothing is done if the disk doesn't exist.
///
/// # Errors
///
/// What failed to be removed, and why.
pub fn remove_disk(disk: &Path) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = match openat(CWD, disk, flags, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(()),
        other => other.map_err(told("open", disk.display()))?,
    };
    clear_files(opened.as_fd()).map_err(told("remove all in", disk.display()))?;
    unlinkat(CWD, disk, AtFlags::REMOVEDIR).map_err(told("remove", disk.display()))
}

/// Removes all that is in a directory of a machine's files, which belong to the machine's users rather than to the endpoint's.
/// The directory stays. No link is followed, and no mount point is crossed.
///
/// The machine must be off.
///
/// # Errors
///
/// What failed to be removed, and why.
pub fn clear_files(directory: BorrowedFd<'_>) -> io::Result<()> {
    // Tests of the library are no program that could play the role.
    if geteuid().is_root() || cfg!(any(test, fuzzing)) {
        return remove_contents(directory);
    }
    match send(&Request::Clear, &[directory]).map(|report| matches!(report, Report::PoweredOff)) {
        Ok(true) => Ok(()),
        // Where no machine can be made, nobody but ourselves has written to it.
        Ok(false) => remove_contents(directory),
        Err(error) => remove_contents(directory).map_err(|_| error),
    }
}

/// Unpacks an archive into an empty directory, which machines can then have as their image: its files belong to the users
/// that machines of this user's have. What is in the directory when this fails is to be removed by [`remove_disk`].
///
/// # Errors
///
/// What is wrong with the archive, see [`archive::unpack`]; or there are no user namespaces here.
pub fn unpack_image(archive: impl AsFd, into: &Path, limits: &Limits) -> io::Result<Contents> {
    let request = Request::Unpack { into: fs::canonicalize(into)?, limits: limits.clone() };
    match send(&request, &[archive.as_fd()])? {
        Report::Unpacked(contents) => Ok(contents),
        other => Err(unexpected(&other)),
    }
}

/// Has a process of its own do it.
pub fn send(request: &Request, beside: &[BorrowedFd<'_>]) -> io::Result<Report> {
    let (control, keepers) = protocol::connection()?;
    protocol::send(&control, request, beside)?;
    let mut keeper = start_keeper(keepers)?;
    let report = protocol::receive::<Report>(&control)?;
    let status = keeper.wait()?;
    match report {
        Some((Report::Failed(why), _)) => Err(io::Error::other(why)),
        Some((report, _)) => Ok(report),
        None => Err(io::Error::other(format!("the process that does it ended ({status})"))),
    }
}

fn unexpected(report: &Report) -> io::Error {
    io::Error::other(format!("the process that does it said {report:?}"))
}

/// The keeper's part of [`clear_files`].
pub fn clear(directory: Vec<OwnedFd>) -> io::Result<Report> {
    let directory = directory.into_iter().next().ok_or(io::ErrorKind::InvalidInput)?;
    let identity = Identity::choose(None, 0);
    within_namespaces(&identity, || remove_contents(&directory).map(|()| Report::PoweredOff))
}

/// The keeper's part of [`unpack_image`]. Root does it in a user namespace, too, and as a user who is nobody on the host: what only
/// the host's root may do is not needed for it, and what is unpacked shall not be the host's root's.
pub fn unpack(archive: Vec<OwnedFd>, into: &Path, limits: &Limits) -> io::Result<Report> {
    let archive = archive.into_iter().next().map(File::from).ok_or(io::ErrorKind::InvalidInput)?;
    let identity = Identity::choose(None, IMAGES);
    let owners = if identity.users() == Users::Many { Owners::Named } else { Owners::Caller };
    if matches!(identity, Identity::Range(_)) {
        let (user, group) = identity.root();
        chown(into, Some(user), Some(group)).map_err(told("give away", into.display()))?;
    }
    // The way to it is closed to that user.
    chdir(into).map_err(told("enter", into.display()))?;
    within_namespaces(&identity, || {
        if matches!(identity, Identity::Range(_)) {
            become_root(identity.users())?;
        }
        archive::unpack(archive, Path::new("."), owners, limits).map(Report::Unpacked).map_err(io::Error::other)
    })
}

/// Does something in namespaces like those of this user's machines, with the same ids.
pub fn within_namespaces(identity: &Identity, errand: impl FnOnce() -> io::Result<Report>) -> io::Result<Report> {
    let (connection, theirs) = protocol::connection()?;
    let child = match kernel::clone_into_namespaces().map_err(|error| advice::on_namespaces(&error))? {
        Side::Child => {
            drop(connection);
            let run = || {
                set_parent_process_death_signal(Some(Signal::KILL))?;
                protocol::receive::<Go>(&theirs)?.ok_or(io::ErrorKind::NotConnected)?;
                errand()
            };
            let report = run().unwrap_or_else(|error| Report::Failed(error.to_string()));
            exit(i32::from(protocol::send(&theirs, &report, &[]).is_err()))
        }
        Side::Parent(child) => child,
    };
    drop(theirs);
    let applied = identity.apply(child).and_then(|()| {
        protocol::send(
            &connection,
            &Go {
                users: identity.users(),
                trees: Vec::new(),
                layers: 0,
                has_devices: false,
                shown: Shown::AllBut(Vec::new()),
                has_cgroup_namespace: false,
                notes: Vec::new(),
            },
            &[],
        )
    });
    let report = applied.and_then(|()| protocol::receive::<Report>(&connection));
    drop(connection);
    let (_, status) = waitpid(Some(child), WaitOptions::empty())?.ok_or(io::ErrorKind::NotFound)?;
    match report? {
        Some((report, _)) => Ok(report),
        None => Err(io::Error::other(format!("the process in its own namespaces ended ({status:?})"))),
    }
}
