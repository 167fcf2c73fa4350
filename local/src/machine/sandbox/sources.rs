//! What a machine's root directory is made from, as its keeper finds it or makes it: the disk, and what lies below it.

use super::{
    identity::Identity,
    image_root, kernel,
    protocol::Boot,
    root::{self, told},
    volume,
};
use rustix::{
    fs::{Mode, OFlags},
    process::{Pid, geteuid},
};
use std::{
    fs, io,
    os::{
        fd::OwnedFd,
        unix::fs::{DirBuilderExt, chown},
    },
    path::{Path, PathBuf},
};

/// Makes the directory that belongs to the machine's root.
pub fn prepare(files: &Path, identity: &Identity) -> io::Result<()> {
    match fs::DirBuilder::new().mode(0o755).create(files) {
        Ok(()) if geteuid().is_root() => {
            let (user, group) = identity.root();
            chown(files, Some(user), Some(group)).map_err(told("give away", files.display()))
        }
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(told("make", files.display())(error)),
        _ => Ok(()),
    }
}

/// Mounts the root volume, which is made if the machine is to have one and hasn't; notes what can't be had.
pub fn mount_volume(
    boot: &Boot,
    files: &Path,
    identity: &Identity,
    notes: &mut Vec<String>,
) -> io::Result<Option<OwnedFd>> {
    if volume::exists(&boot.specification.disk) {
        return volume::mount(&boot.specification.disk).map(Some);
    }
    // What a machine has written stays where it is.
    let booted_before = fs::read_dir(files).map_err(told("list", files.display()))?.next().is_some();
    let Some(gib) = boot.specification.machine.disk_gib.filter(|_| !booted_before) else { return Ok(None) };
    let mounted = match identity {
        Identity::Range(_) => volume::make_and_mount(&boot.specification.disk, gib, identity.root()),
        _ => Err(io::Error::other("only the host's root can mount a file system of its own")),
    };
    if let Err(error) = &mounted {
        notes.push(format!("the disk has as much room as the host's, and not {gib} GiB: {error}"));
    }
    Ok(mounted.ok())
}

/// What only the host's root can hand to a machine: its disk, which lies behind directories of the host's root, and the
/// image's root directory or the host's system directories, with their owners mapped. A machine may do without owners of the
/// host's programs, but of no others.
pub fn trees(
    init: Pid,
    boot: &Boot,
    (paths, layers): (&[PathBuf], usize),
    volume: Option<OwnedFd>,
    identity: &Identity,
    unowned: &mut Vec<PathBuf>,
    notes: &mut Vec<String>,
) -> io::Result<Vec<OwnedFd>> {
    let namespace = format!("/proc/{}/ns/user", init.as_raw_pid());
    let namespace = rustix::fs::open(&namespace, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .map_err(told("open", namespace))?;
    // The disk comes first, and belongs to the machine's users already.
    let disk =
        volume.map_or_else(|| paths.first().map(|path| root::tree(path)).transpose(), |volume| Ok(Some(volume)))?;
    let mut trees: Vec<_> = disk.into_iter().collect();
    let mut unmapped = Vec::new();
    let mut of_images = None;
    for (index, path) in paths.iter().enumerate().skip(1) {
        let tree = root::tree(path)?;
        let Identity::Range(first) = identity else {
            trees.push(tree);
            continue;
        };
        let is_layer = index <= layers;
        let is_ours = is_layer || boot.specification.image.is_some();
        if !is_ours {
            unmapped.push(root::tree(path)?);
        }
        let mapped = match is_ours {
            true => image_root::map_owners(&tree, *first, &mut of_images, &namespace),
            false => kernel::map_owners(&tree, &namespace),
        };
        if let Err(error) = mapped {
            if is_ours {
                let advice = "have EC2_LOCAL_STATE_DIR on ext4, XFS, Btrfs or tmpfs, and a kernel that can (6.3 can for all of these)";
                return Err(told("map the owners of the files below", format!("{} ({advice})", path.display()))(error));
            }
            notes.push(format!("files below {} belong to nobody: failed to map their owners: {error}", path.display()));
            unowned.push(path.clone());
        }
        trees.push(tree);
    }
    trees.append(&mut unmapped);
    Ok(trees)
}
