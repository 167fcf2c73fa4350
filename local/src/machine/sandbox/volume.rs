//! The root volume: a file system of its size in a sparse file, on a loop device. Only the host's root can have one.
//!
//! The kernel takes all of it away with the last process of the machine, however that ended: the device clears itself
//! once its file system is unmounted, and that is mounted nowhere but in the machine.
//!
//! Its blocks reach the host's disk when the host finds the time: what a machine has written outlives its endpoint, but need
//! not outlive a crash of its host. Hence there is no journal, and no waiting; what such a crash has left is repaired.

use super::{
    kernel,
    root::{self, told},
};
use rustix::{
    fs::{MemfdFlags, Mode, OFlags, SeekFrom, memfd_create, openat, seek},
    io::Errno,
    mount::{
        FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string, fsmount,
        fsopen,
    },
};
use std::{
    fs::{self, File},
    io::{self, Read, Seek},
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::fs::{FileExt, OpenOptionsExt},
    },
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// The file on the machine's disk.
pub const NAME: &str = "volume";
/// How long the device of the machine's previous boot may take to let go of the file.
const PATIENCE: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(1);
/// Where ext4's superblock has its state, and what that is of one that was unmounted (`Documentation/filesystems/ext4`).
const STATE: u64 = 1024 + 0x3a;
const CLEAN: u16 = 1;
/// How often somebody else may be faster to take a free device.
const TRIES: usize = 64;

/// Whether there is one on this disk.
pub fn exists(disk: &Path) -> bool {
    disk.join(NAME).symlink_metadata().is_ok()
}

/// Makes an empty one, whose top belongs to this user and group, and mounts it.
pub fn make_and_mount(disk: &Path, gib: u32, owner: (u32, u32)) -> io::Result<OwnedFd> {
    make(disk, gib, owner)?;
    // What can't be mounted is as if it had not been made.
    mount(disk).inspect_err(|_| drop(fs::remove_file(disk.join(NAME))))
}

fn make(disk: &Path, gib: u32, (user, group): (u32, u32)) -> io::Result<()> {
    let length = u64::from(gib) << 30;
    // In memory first: the program waits for the disk several times, for the sake of crashes.
    let draft = File::from(memfd_create("volume", MemfdFlags::empty()).map_err(told("make", "a file in memory"))?);
    draft.set_len(length).map_err(told("make a volume of", format!("{gib} GiB")))?;
    let output = tool("mke2fs")?
        .args(["-q", "-F", "-t", "ext4", "-m", "0", "-O", "^has_journal,^resize_inode", "-E"])
        .arg(format!("nodiscard,lazy_itable_init=1,root_owner={user}:{group}"))
        .arg(format!("/proc/self/fd/{}", draft.as_raw_fd()))
        .output()
        .map_err(told("run", "mke2fs"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(io::Error::other(format!("make the file system with mke2fs: {} ({})", said.trim(), output.status)));
    }
    let path = disk.join(NAME);
    let made = File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)
        .and_then(|file| copy_sparsely(draft, file, length));
    made.inspect_err(|_| drop(fs::remove_file(&path))).map_err(told("make", path.display()))
}

fn tool(name: &str) -> io::Result<Command> {
    let places = ["/usr/sbin", "/sbin", "/usr/bin", "/usr/local/sbin"];
    let program = places.iter().map(|place| Path::new(place).join(name)).find(|path| path.is_file());
    let program = program.ok_or_else(|| {
        io::Error::new(io::ErrorKind::NotFound, format!("find {name} (package e2fsprogs), which the root volume needs"))
    })?;
    let mut command = Command::new(program);
    command.stdin(Stdio::null());
    Ok(command)
}

/// Repairs a file system that was mounted when its host crashed.
fn repair(file: &File, path: &Path) -> io::Result<()> {
    let mut state = [0; 2];
    file.read_exact_at(&mut state, STATE)?;
    if u16::from_le_bytes(state) == CLEAN {
        return Ok(());
    }
    let output = tool("e2fsck")?.arg("-fy").arg(path).output().map_err(told("run", "e2fsck"))?;
    match output.status.code() {
        // All errors were corrected, see e2fsck(8).
        Some(0..=2) => Ok(()),
        _ => Err(io::Error::other(format!("repair {} with e2fsck ({})", path.display(), output.status))),
    }
}

/// Copies what isn't empty.
fn copy_sparsely(mut from: File, mut to: File, length: u64) -> io::Result<()> {
    to.set_len(length)?;
    let mut at = 0;
    loop {
        at = match seek(&from, SeekFrom::Data(at)) {
            Err(Errno::NXIO) => return Ok(()),
            other => other?,
        };
        let end = seek(&from, SeekFrom::Hole(at))?;
        from.seek(io::SeekFrom::Start(at))?;
        to.seek(io::SeekFrom::Start(at))?;
        io::copy(&mut Read::by_ref(&mut from).take(end - at), &mut to)?;
        at = end;
    }
}

/// Opens it for this process alone. Where it lies is nobody's business in a machine, which may see in /sys what a device is made
/// from: seen from a mount of its own, it lies nowhere.
pub fn open(disk: &Path) -> io::Result<File> {
    let name = disk.join(NAME).display().to_string();
    let directory = root::tree(disk)?;
    let file = openat(&directory, NAME, OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
        .map_err(told("open", &name))?;
    let file = File::from(file);
    // The device has the same open file: the lock holds until it has let go.
    let since = Instant::now();
    while file.try_lock().is_err() {
        if since.elapsed() > PATIENCE {
            return Err(io::Error::other(format!("open {name}: it is still in use")));
        }
        thread::sleep(LOOK);
    }
    Ok(file)
}

/// Mounts it, attached nowhere: it is unmounted when the last copy of what is returned is gone.
pub fn mount(disk: &Path) -> io::Result<OwnedFd> {
    let name = disk.join(NAME).display().to_string();
    let named = |tried: &'static str| told(tried, name.clone());
    let file = open(disk)?;
    repair(&file, &disk.join(NAME))?;
    // It needn't outlive a crash of the host, so memory is the faster.
    let (path, device) = attach(&file, false)?;
    let mounted = || {
        let context = fsopen("ext4", FsOpenFlags::FSOPEN_CLOEXEC)?;
        fsconfig_set_string(&context, "source", &*path)?;
        // It doesn't fill the file with empty tables, and the device doesn't wait for the host's disk.
        for flag in ["noinit_itable", "nobarrier"] {
            fsconfig_set_flag(&context, flag)?;
        }
        fsconfig_create(&context)?;
        fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::MOUNT_ATTR_NODEV)
    };
    let mounted = mounted().map_err(named("mount"));
    drop(device);
    mounted
}

/// Attaches the file to a free loop device, which lets go of it once nobody uses it any more.
pub fn attach(file: &File, is_direct: bool) -> io::Result<(String, File)> {
    for _ in 0..TRIES {
        let (path, device) = find_free()?;
        match kernel::attach_loop_device(&device, file, is_direct) {
            // Somebody else was faster.
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {}
            other => return other.map(|()| (path.clone(), device)).map_err(told("attach a file to", path)),
        }
    }
    Err(io::Error::other("find a free loop device: others were faster each time"))
}

/// A loop device that was free just now.
pub fn find_free() -> io::Result<(String, File)> {
    let open = |path: &str| File::options().read(true).write(true).open(path).map_err(told("open", path));
    let control = open("/dev/loop-control")?;
    let number = kernel::free_loop_device(&control).map_err(told("find", "a free loop device"))?;
    let path = format!("/dev/loop{number}");
    let device = open(&path)?;
    Ok((path, device))
}
