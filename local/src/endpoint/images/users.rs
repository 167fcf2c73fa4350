//! Which instances have an image's tree: a note of each, by its id.

use crate::endpoint::{EndpointError, StateDirectory, layout::is_instance};
use ec2_state_directory::{Directory, Error};

/// Where the notes are, in a tree.
pub(super) const USERS: &str = "users";
/// Where the disks are, in an endpoint's directory.
const MACHINES: &str = "machines";

/// The instances that have a tree: those whose disks are there, in whichever endpoint's directory. One that takes an account over
/// moves them, and ids are nobody else's. Where that can't be told, they have it.
pub(super) fn users_of(state: &StateDirectory, tree: &Directory) -> Result<Vec<String>, EndpointError> {
    let Some(users) = tree.open(USERS)? else { return Ok(Vec::new()) };
    let runs = state.open()?.open("run")?;
    let mut found = Vec::new();
    for user in users.names()?.into_iter().filter_map(|name| name.into_string().ok()).filter(|name| is_instance(name)) {
        if runs.as_ref().is_some_and(|runs| has_disk(runs, &user).unwrap_or(true)) {
            found.push(user);
        }
    }
    Ok(found)
}

/// Removes the notes of instances whose disks are gone, and those that were never finished; while nobody else changes anything.
pub(super) fn forget_gone(state: &StateDirectory, tree: &Directory) -> Result<(), EndpointError> {
    let Some(users) = tree.open(USERS)? else { return Ok(()) };
    let present = users_of(state, tree)?;
    for name in users.names()?.into_iter().filter_map(|name| name.into_string().ok()) {
        if is_instance(name.trim_end_matches(".new")) && !present.contains(&name) {
            users.remove_file(&name)?;
        }
    }
    Ok(())
}

fn has_disk(runs: &Directory, instance: &str) -> Result<bool, Error> {
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
            if let Some(machines) = run.open(MACHINES)?
                && machines.look(instance)?.is_some()
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
        const INSTANCE: &str = "i-0123456789abcdef0";
        let directory = tempfile::tempdir().unwrap();
        let state = StateDirectory::at(directory.path().join("state")).unwrap();
        let [one, other] = ["run/a", "run/b"].map(|run| state.path().join(run));
        fs::create_dir_all(one.join(MACHINES).join(INSTANCE)).unwrap();
        fs::create_dir_all(directory.path().join("tree/users")).unwrap();
        let tree = Directory::find(&directory.path().join("tree")).unwrap();
        tree.open(USERS).unwrap().unwrap().write(INSTANCE, b"").unwrap();
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    fs::rename(&one, &other).unwrap();
                    fs::rename(&other, &one).unwrap();
                }
            });
            let always = (0..1000).all(|_| users_of(&state, &tree).unwrap() == [INSTANCE]);
            is_over.store(true, Ordering::Relaxed);
            assert!(always);
        });
        forget_gone(&state, &tree).unwrap();
        assert_eq!(tree.open(USERS).unwrap().unwrap().names().unwrap(), [INSTANCE]);
        fs::remove_dir_all(&one).unwrap();
        forget_gone(&state, &tree).unwrap();
        assert!(tree.open(USERS).unwrap().unwrap().names().unwrap().is_empty());
    }
}
