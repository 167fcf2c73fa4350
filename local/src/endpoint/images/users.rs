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

fn has_disk(runs: &Directory, instance: &str) -> Result<bool, Error> {
    for name in runs.names()? {
        // What can't be opened is no endpoint's.
        let Ok(Some(run)) = runs.open(&name) else { continue };
        if let Some(machines) = run.open(MACHINES)?
            && machines.look(instance)?.is_some()
        {
            return Ok(true);
        }
    }
    Ok(false)
}
