//! Which volumes and snapshots have an image's tree: a note of each, by its id. Earlier versions have noted instances.

use crate::endpoint::{
    EndpointError, StateDirectory,
    layout::{DISKS, EARLIER_DISKS, LAYERS, is_instance, is_snapshot, is_user},
};
use ec2_state_directory::{Directory, Error};
use std::io::Read;

/// Where the notes are, in a tree.
pub(super) const USERS: &str = "users";
/// The longest note that is read.
const NOTE_MAX: u64 = 256;

/// The volumes that have a tree: those whose disks are there, in whichever endpoint's directory. One that takes an account over
/// moves them, and ids are nobody else's. Where that can't be told, they have it.
pub(super) fn users_of(state: &StateDirectory, tree: &Directory) -> Result<Vec<String>, EndpointError> {
    let Some(users) = tree.open(USERS)? else { return Ok(Vec::new()) };
    let runs = state.open()?.open("run")?;
    let mut found = Vec::new();
    for user in users.names()?.into_iter().filter_map(|name| name.into_string().ok()).filter(|name| is_user(name)) {
        if runs.as_ref().is_some_and(|runs| has_disk(runs, &user).unwrap_or(true)) {
            found.push(user);
        }
    }
    Ok(found)
}

/// The same in words, with the instances that they were made for.
pub(super) fn shown_users_of(state: &StateDirectory, tree: &Directory) -> Result<Vec<String>, EndpointError> {
    let users = tree.open(USERS)?;
    let instance = |user: String| {
        let mut note = String::new();
        let file = users.as_ref().and_then(|users| users.file(&user).ok().flatten());
        let read = file.is_some_and(|file| file.take(NOTE_MAX).read_to_string(&mut note).is_ok());
        if read && is_instance(&note) { format!("{user} of {note}") } else { user }
    };
    Ok(users_of(state, tree)?.into_iter().map(instance).collect())
}

/// Removes the notes of volumes whose disks are gone, and those that were never finished; while nobody else changes anything.
pub(super) fn forget_gone(state: &StateDirectory, tree: &Directory) -> Result<(), EndpointError> {
    let Some(users) = tree.open(USERS)? else { return Ok(()) };
    let present = users_of(state, tree)?;
    for name in users.names()?.into_iter().filter_map(|name| name.into_string().ok()) {
        if is_user(name.trim_end_matches(".new")) && !present.contains(&name) {
            users.remove_file(&name)?;
        }
    }
    Ok(())
}

fn has_disk(runs: &Directory, user: &str) -> Result<bool, Error> {
    let place = match user {
        _ if is_instance(user) => EARLIER_DISKS,
        _ if is_snapshot(user) => LAYERS,
        _ => DISKS,
    };
    loop {
        let mut has_moved = false;
        for name in runs.names()? {
            let run = match runs.open(&name) {
                Ok(Some(run)) => run,
                // One that takes an account over may just have given it its own name.
                Ok(None) => {
                    has_moved = true;
                    continue;
                }
                // What can't be opened is no endpoint's.
                Err(_) => continue,
            };
            if let Some(disks) = run.open(place)?
                && disks.look(user)?.is_some()
            {
                return Ok(true);
            }
        }
        if !has_moved {
            return Ok(false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        fs,
        sync::atomic::{AtomicBool, Ordering},
        thread,
    };

    #[test]
    fn whose_disk_is_moved_meanwhile_is_a_user() {
        const VOLUME: &str = "vol-0123456789abcdef0";
        let directory = tempfile::tempdir().unwrap();
        let state = StateDirectory::at(directory.path().join("state")).unwrap();
        let [one, other] = ["run/a", "run/b"].map(|run| state.path().join(run));
        fs::create_dir_all(one.join(DISKS).join(VOLUME)).unwrap();
        fs::create_dir_all(directory.path().join("tree/users")).unwrap();
        let tree = Directory::find(&directory.path().join("tree")).unwrap();
        tree.open(USERS).unwrap().unwrap().write(VOLUME, b"").unwrap();
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    fs::rename(&one, &other).unwrap();
                    fs::rename(&other, &one).unwrap();
                }
            });
            let always = (0..1000).all(|_| users_of(&state, &tree).unwrap() == [VOLUME]);
            is_over.store(true, Ordering::Relaxed);
            assert!(always);
        });
        forget_gone(&state, &tree).unwrap();
        assert_eq!(tree.open(USERS).unwrap().unwrap().names().unwrap(), [VOLUME]);
        fs::remove_dir_all(&one).unwrap();
        forget_gone(&state, &tree).unwrap();
        assert!(tree.open(USERS).unwrap().unwrap().names().unwrap().is_empty());
    }
}
