//! The root directory of a machine whose image is a system of its own: one overlay over all of it.
//!
//! What is written goes below the disk's `root`; the image is shared by all its machines and never changed. Nothing of the
//! host's is in it but the harmless devices. Since the image can hold links to anywhere, nothing is written into it before it is
//! the root directory, from which no link leads out.

use super::{
    image_files, kernel_views,
    root::{self, Parts, Root, told},
};
use rustix::{
    fs::{AtFlags, CWD, Mode, OFlags, chmodat, openat},
    mount::{MountFlags, mount},
};
use std::{fs, io, os::unix::fs::MetadataExt, path::Path};

/// Builds the root directory and makes it the calling process's own; nothing of the host's is reachable after it.
pub fn enter(parts: Parts<'_>) -> io::Result<Root> {
    let Some((path, image)) = parts.layers.first() else { return Err(io::Error::other("boot: there is no image")) };
    let mut notes = Vec::new();
    root::enter_workshop()?;
    for directory in ["disk", "lower", "root"] {
        fs::create_dir(directory).map_err(told("make", directory))?;
    }
    root::attach(&parts.files, "disk")?;
    root::attach(image, "lower")?;
    overlay(path)?;
    root::make_mount_points()?;
    root::mount_memory(parts.limits)?;
    kernel_views::mount_kernel_views(parts.boot_id, &mut notes)?;
    root::mount_devices(parts.users, parts.limits)?;
    let console = root::make_console()?;

    let disk = openat(CWD, "disk", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let first_boot = root::is_first_boot(Path::new("disk"));
    root::leave_host()?;
    if first_boot {
        image_files::generate(&parts.settings, parts.users)?;
        root::mark_booted(&disk)?;
    }
    Ok(Root { first_boot, console, notes })
}

/// Lays the machine's files over the image.
fn overlay(path: &Path) -> io::Result<()> {
    let (upper, work) = ("disk/root", "disk/work");
    root::clear(work)?;
    if !Path::new(upper).exists() {
        fs::create_dir(upper).map_err(told("make", upper))?;
        // The root directory shows the attributes of its upper part.
        let mode = fs::metadata("lower").map_err(told("look at", path.display()))?.mode();
        chmodat(CWD, upper, Mode::from_raw_mode(mode & 0o7777), AtFlags::empty())?;
    }
    fs::create_dir(work).map_err(told("make", work))?;
    let options = c"lowerdir=lower,upperdir=disk/root,workdir=disk/work,userxattr,volatile";
    mount("overlay", "root", "overlay", MountFlags::empty(), options)
        .map_err(told("mount an overlay over the image", path.display()))
}
