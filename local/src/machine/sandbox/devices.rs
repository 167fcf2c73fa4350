//! The harmless devices that every system has in `/dev`.
//!
//! As root a machine has nodes of its own: anyone who may read a file hears when anybody opens it (inotify(7)), and of the host's
//! nodes that would be the whole host. A node can't be made in a user namespace, so an ordinary user's machines have the host's.

use super::{
    kernel_views,
    root::{NOBODY, attach, make_read_only, told},
};
use rustix::{
    fs::{AtFlags, FileType, Mode, chmodat, makedev, mknodat},
    mount::{
        FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, fsconfig_create, fsconfig_set_string, fsmount, fsopen,
        mount_bind,
    },
};
use std::{
    fs, io,
    os::{fd::OwnedFd, unix::fs::MetadataExt},
    path::Path,
};

/// They are open to all on any host; with their numbers, which are the same everywhere (`admin-guide/devices.txt` of the kernel's
/// documentation).
const DEVICES: [(&str, (u32, u32)); 6] =
    [("full", (1, 7)), ("null", (1, 3)), ("random", (1, 8)), ("tty", (5, 0)), ("urandom", (1, 9)), ("zero", (1, 5))];
/// Where the machine's own are until they are in its `/dev`.
const OWN: &str = "devices";

/// Makes a machine's own, in a detached file system. Only the host's root can.
pub fn make() -> io::Result<OwnedFd> {
    let made = || {
        let context = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
        for (key, value) in [("source", "tmpfs"), ("mode", "0755"), ("size", "0"), ("nr_inodes", "16")] {
            fsconfig_set_string(&context, key, value)?;
        }
        fsconfig_create(&context)?;
        let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC;
        fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
    };
    let own = made().map_err(told("mount", "a file system for devices"))?;
    let mode = Mode::from_raw_mode(0o666);
    for (name, (major, minor)) in DEVICES {
        mknodat(&own, name, FileType::CharacterDevice, mode, makedev(major, minor))
            // Whatever the mask says.
            .and_then(|()| chmodat(&own, name, mode, AtFlags::empty()))
            .map_err(told("make the device", name))?;
    }
    Ok(own)
}

/// Puts them into the machine's `/dev`: its own, or else the host's.
pub fn mount(own: Option<OwnedFd>) -> io::Result<()> {
    let from = Path::new(if own.is_some() { OWN } else { "/dev" });
    if let Some(own) = own {
        fs::create_dir(OWN).map_err(told("make", OWN))?;
        attach(own, OWN)?;
    }
    for (name, _) in DEVICES {
        let (source, target) = (from.join(name), Path::new("root/dev").join(name));
        if source.exists() {
            fs::write(&target, "").map_err(told("make", target.display()))?;
            mount_bind(&source, &target).map_err(told("mount", target.display()))?;
            // Where it belongs to the machine's root, as to a container's, others of the container use it as well.
            if fs::metadata(&source)?.uid() != NOBODY {
                make_read_only(&target, MountFlags::empty())?;
                kernel_views::seal(&target.to_string_lossy())?;
            }
        }
    }
    Ok(())
}
