//! Which instances have an image's tree: a note of each, which names its disk.

use super::read;
use crate::endpoint::{
    EndpointError, StateDirectory,
    layout::{is_instance, stays},
    state::failed,
};
use ec2_state_directory::{Directory, Error};
use std::{
    ffi::{OsStr, OsString},
    io,
    path::Path,
};

/// Where the notes are, in a tree.
pub(super) const USERS: &str = "users";
/// Where the disks are, in an endpoint's directory.
pub(super) const MACHINES: &str = "machines";

/// The disk of an instance: in which endpoint's directory it is.
pub(super) struct Disk {
    pub(super) run: OsString,
    pub(super) instance: String,
}

/// The disk that a note of an instance names, by its last parts: the state directory may have been moved since.
pub(super) fn disk_of(users: &Directory, user: &OsStr) -> Result<Option<Disk>, EndpointError> {
    let path = users.path().join(user);
    let wrong = |reason: String| failed("read", &path)(io::Error::other(reason));
    let Some(text) = read(users, user).map_err(wrong)? else { return Ok(None) };
    let mut parts = Path::new(&text).iter().rev();
    let (instance, machines, run) = (parts.next(), parts.next(), parts.next());
    match (instance.and_then(OsStr::to_str), machines.and_then(OsStr::to_str), run) {
        (Some(instance), Some(MACHINES), Some(run)) if is_instance(instance) && run != ".." => {
            Ok(Some(Disk { run: run.to_owned(), instance: instance.to_owned() }))
        }
        _ => Err(wrong("it names no disk of ours".to_owned())),
    }
}

/// The instances that have a tree: those whose disks are there. Whatever isn't understood may be one.
pub(super) fn users_of(state: &StateDirectory, tree: &Directory) -> Result<Vec<String>, EndpointError> {
    let Some(users) = tree.open(USERS)? else { return Ok(Vec::new()) };
    let runs = state.open()?.open("run")?;
    let is_there = |disk: &Disk| -> Result<bool, Error> {
        let Some(run) = runs.as_ref().map(|runs| runs.open(&disk.run)).transpose()?.flatten() else { return Ok(false) };
        let Some(machines) = run.open(MACHINES)? else { return Ok(false) };
        Ok(machines.look(&disk.instance)?.is_some())
    };
    let mut found = Vec::new();
    for user in users.names()?.into_iter().filter(|name| name.to_str().is_some_and(is_instance)) {
        let needs = match disk_of(&users, &user) {
            Ok(Some(disk)) => is_there(&disk).unwrap_or(true),
            Ok(None) => false,
            Err(error) => {
                stays(tree.path(), &format!("something may need it: failed to {error}"));
                true
            }
        };
        if needs {
            found.push(user.to_string_lossy().into_owned());
        }
    }
    Ok(found)
}
