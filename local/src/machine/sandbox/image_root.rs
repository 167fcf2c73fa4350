//! The root directory of a machine whose image is a system of its own: one overlay over all of it.
//!
//! What is written goes below the disk's `root`; the image is shared by all its machines and never changed. Nothing of the
//! host's is in it but the harmless devices. Since the image can hold links to anywhere, nothing is written into it before it is
//! the root directory, from which no link leads out.

use super::{
    identity::{IMAGES, RANGE},
    image_files,
    kernel::{self, Side},
    kernel_views, protocol,
    root::{self, Parts, Root, told},
};
use rustix::{
    fs::{AtFlags, CWD, Mode, OFlags, chmodat, fstat, openat},
    mount::{MountFlags, mount},
    process::{WaitOptions, waitpid},
};
use std::{
    ffi::CString,
    fs, io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::MetadataExt,
    },
    path::Path,
    process::exit,
};

/// Builds the root directory and makes it the calling process's own; nothing of the host's is reachable after it.
pub fn enter(parts: Parts<'_>) -> io::Result<Root> {
    let Parts { files, snapshots, layers, devices, users, limits, boot_id, settings, .. } = parts;
    let Some((path, image)) = layers.into_iter().next() else {
        return Err(io::Error::other("boot: there is no image"));
    };
    let mut notes = Vec::new();
    root::enter_workshop()?;
    for directory in ["disk", "lower", "root"] {
        fs::create_dir(directory).map_err(told("make", directory))?;
    }
    root::attach(files, "disk")?;
    root::attach(image, "lower")?;
    let snapshots = root::attach_snapshots(snapshots)?;
    overlay(&path, &snapshots)?;
    root::make_mount_points()?;
    root::mount_memory(limits)?;
    kernel_views::mount_kernel_views(boot_id, &mut notes)?;
    root::mount_devices(devices, users, limits)?;
    let console = root::make_console()?;

    let disk = openat(CWD, "disk", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let first_boot = root::is_first_boot(Path::new("disk"));
    root::leave_host()?;
    if first_boot {
        image_files::generate(&settings, users)?;
        root::mark_booted(&disk)?;
    }
    Ok(Root { first_boot, console, notes })
}

/// Maps the owners of an image's files to a machine's users, whose first is given. `tree` is the root directory as a
/// detached mount, `users` the machine's user namespace. The mapping is made once for all that have it.
pub fn map_owners(tree: impl AsFd, first: u32, made: &mut Option<OwnedFd>, users: impl AsFd) -> io::Result<()> {
    // The root directory may be any user's of the image.
    let owner = fstat(&tree)?.st_uid;
    if (IMAGES..IMAGES + RANGE).contains(&owner) {
        let mapping = match made.take() {
            Some(made) => made,
            None => mapping(first)?,
        };
        return kernel::map_owners(tree, &*made.insert(mapping));
    }
    // An earlier version's image, whose files have the ids that the archive said; an instance may have it still.
    kernel::map_owners(tree, users)
}

/// A user namespace that maps the ids of images' files to a machine's. Nothing runs in it: it lives as long as this is held.
fn mapping(first: u32) -> io::Result<OwnedFd> {
    let (here, there) = protocol::connection()?;
    let child = match kernel::clone_into_user_namespace().map_err(told("make", "a user namespace"))? {
        Side::Child => {
            drop(here);
            exit(i32::from(protocol::wait_readable([there.as_fd()]).is_err()))
        }
        Side::Parent(child) => child,
    };
    drop(there);
    let of_child = |file: &str| format!("/proc/{}/{file}", child.as_raw_pid());
    let map = format!("{IMAGES} {first} {RANGE}\n");
    let mapped = ["uid_map", "gid_map"]
        .into_iter()
        .try_for_each(|file| fs::write(of_child(file), &map).map_err(told("write", of_child(file))));
    let namespace = mapped.and_then(|()| {
        let path = of_child("ns/user");
        openat(CWD, &path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).map_err(told("open", path))
    });
    // Its child's end.
    drop(here);
    waitpid(Some(child), WaitOptions::empty())?;
    namespace
}

/// Lays the machine's files over the image.
fn overlay(path: &Path, snapshots: &[String]) -> io::Result<()> {
    let lower = root::below("root", snapshots, "lower");
    let top = lower.split(':').next().unwrap_or("lower");
    let (upper, work) = ("disk/root", "disk/work");
    root::clear(work)?;
    if !Path::new(upper).exists() {
        fs::create_dir(upper).map_err(told("make", upper))?;
        // The root directory shows the attributes of its upper part.
        let mode = fs::metadata(top).map_err(told("look at", path.display()))?.mode();
        chmodat(CWD, upper, Mode::from_raw_mode(mode & 0o7777), AtFlags::empty())?;
    }
    fs::create_dir(work).map_err(told("make", work))?;
    let options = CString::new(format!("lowerdir={lower},upperdir={upper},workdir={work},userxattr,volatile"))?;
    mount("overlay", "root", "overlay", MountFlags::empty(), options.as_c_str())
        .map_err(told("mount an overlay over the image", path.display()))
}
