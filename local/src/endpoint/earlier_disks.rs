//! Disks as earlier versions have kept them: by their instances, in `machines`. The version that takes such an account over gives each the name
//! of its volume; what is of no instance is a leftover.

use super::{
    EndpointError,
    disks::{end_users, remove_others},
    images::Images,
    layout::{DISK, DISKS, EARLIER_DISKS, is_instance, not_removed},
    state::failed,
};
use crate::account::RootVolume;
use ec2_state_directory::Directory;
use rustix::fs::{AtFlags, renameat, unlinkat};

/// Gives the disks of an account's instances, which is in this endpoint's directory, to their root volumes.
///
/// # Errors
///
/// One can't be renamed, or its volume has one already: then it stays as it is, and the account is for somebody to see.
pub(super) fn give_to_volumes<'a>(
    run: &Directory,
    images: &Images,
    roots: impl Iterator<Item = RootVolume<'a>>,
) -> Result<(), EndpointError> {
    let Some(earlier) = run.open(EARLIER_DISKS)? else { return Ok(()) };
    let disks = run.ensure(DISKS)?;
    for root in roots {
        let disk = match earlier.open(root.instance) {
            Ok(Some(disk)) => disk,
            Ok(None) => continue,
            // It is no disk, and its instance won't find one.
            Err(error) => {
                not_removed(&earlier.path().join(root.instance), &error);
                continue;
            }
        };
        let to = disks.path().join(root.volume);
        if disks.look(root.volume)?.is_some() {
            let (one, other) = (disk.path().display(), to.display());
            let reason = format!("the disk of {} is there twice, as {one} and as {other}; move one away", root.volume);
            return Err(EndpointError::TakeOver { directory: run.path().to_owned(), reason });
        }
        let give = || {
            // The account proves whose it is, if a version before marks made it.
            DISK.mark.put_on(&disk)?;
            renameat(&earlier, root.instance, &disks, root.volume)
                .map_err(|error| failed("give its volume's name to", disk.path())(error.into()))
        };
        match root.image {
            // Nobody shall take its image for unused in between.
            Some(tree) => images.hold_while(tree, root.volume, root.instance, give)?,
            None => give()?,
        }
    }
    Ok(())
}

/// Removes those that are left, which are of no instance.
pub(super) fn remove_left(run: &Directory) -> Result<(), EndpointError> {
    let Some(earlier) = run.open(EARLIER_DISKS)? else { return Ok(()) };
    remove_others(&earlier, is_instance, |_| false)?;
    // What isn't ours may be in it.
    let _ = unlinkat(run, EARLIER_DISKS, AtFlags::REMOVEDIR);
    Ok(())
}

/// Ends who uses them, see [`disks::end_machines`](super::disks::end_machines).
pub(super) fn end_machines(run: &Directory) -> Result<(), EndpointError> {
    run.open(EARLIER_DISKS)?.map_or(Ok(()), |earlier| end_users(&earlier, is_instance))
}
