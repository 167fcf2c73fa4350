//! Mounting of a machine's volumes by its own root.
//!
//! A user namespace may not mount ext4 or XFS: a file system that was made on purpose reaches the kernel's own memory. So, as LXD does
//! it (`security.syscalls.intercept.mount`), `mount(2)` of such a file system is told to the keeper, which mounts what is a volume of this machine's, on the
//! caller's behalf. Of all other calls the kernel itself judges.
//!
//! The new way to mount (`fsopen(2)`) answers "no such call", so that programs take the old one, which says all at once.

use super::{
    kernel::{self, Call, Side},
    root::{attach, told},
    seccomp,
};
use libc::{
    MS_BIND, MS_DIRSYNC, MS_LAZYTIME, MS_MGC_MSK, MS_MGC_VAL, MS_MOVE, MS_NOATIME, MS_NODIRATIME, MS_NOEXEC, MS_NOSUID,
    MS_PRIVATE, MS_RDONLY, MS_REMOUNT, MS_SHARED, MS_SLAVE, MS_STRICTATIME, MS_SYNCHRONOUS, MS_UNBINDABLE,
};
use rustix::{
    fs::{AtFlags, CWD, FileType, Mode, OFlags, mknodat, openat, statat},
    io::Errno,
    mount::{
        FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags, fsconfig_create,
        fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, mount_change, move_mount,
    },
    process::{Pid, Signal, WaitOptions, chroot, fchdir, set_parent_process_death_signal, waitpid},
};
use std::{
    fs::{self, File},
    io,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::fs::{FileExt, MetadataExt},
    },
    process::exit,
};

/// The file systems that are mounted.
const SYSTEMS: [&str; 2] = ["ext4", "xfs"];
/// What a mount may be told beside flags. Others reach other devices, or what the host does when something is wrong.
const OPTIONS: [&str; 21] = [
    "acl",
    "attr2",
    "barrier",
    "discard",
    "errors=continue",
    "errors=remount-ro",
    "inode64",
    "largeio",
    "lazytime",
    "noacl",
    "nobarrier",
    "nodelalloc",
    "nodiscard",
    "noinit_itable",
    "noload",
    "norecovery",
    "noquota",
    "nouser_xattr",
    "nouuid",
    "user_xattr",
    "wsync",
];
/// These are of a number or a word of theirs.
const WITH_VALUE: [&str; 7] = ["allocsize=", "commit=", "data=", "logbsize=", "logbufs=", "sunit=", "swidth="];
/// A mount that makes nothing new.
const OTHERS: u64 = MS_BIND | MS_MOVE | MS_REMOUNT | MS_SHARED | MS_PRIVATE | MS_SLAVE | MS_UNBINDABLE;
/// `CAP_SYS_ADMIN`, as a bit.
const ADMIN: u64 = 1 << 21;
/// The longest argument that is read.
const LONGEST: usize = 4096;
/// ext4's superblock, and where in it is which device its journal is on (`Documentation/filesystems/ext4`).
const SUPERBLOCK: u64 = 1024;
const MAGIC: (usize, [u8; 2]) = (0x38, [0x53, 0xef]);
const JOURNAL_DEVICE: usize = 0xe4;

/// Has mounts of this process and its descendants told to the one who listens.
pub fn tell() -> io::Result<OwnedFd> {
    kernel::listen_to_system_calls(&seccomp::told_of_mounts()).map_err(told("hear of", "mounts (seccomp(2))"))
}

/// Mounts on behalf of a machine: one at a time, each by a process of its own, since it may take as long as it takes.
#[derive(Debug)]
pub struct Mounter {
    init: Pid,
    listener: OwnedFd,
    /// The one that is at it.
    busy: Option<Pid>,
}

impl Mounter {
    pub fn new(init: Pid, listener: OwnedFd) -> Self {
        Self { init, listener, busy: None }
    }

    /// What is to be listened to; nothing while it is busy.
    pub fn listener(&mut self) -> Option<BorrowedFd<'_>> {
        if let Some(busy) = self.busy
            && !matches!(waitpid(Some(busy), WaitOptions::NOHANG), Ok(None))
        {
            self.busy = None;
        }
        if self.busy.is_none() { Some(self.listener.as_fd()) } else { None }
    }

    pub fn is_busy(&self) -> bool {
        self.busy.is_some()
    }

    /// Answers the call that somebody waits for. `volumes` are the machine's: numbers of devices, and their names in it.
    pub fn answer(&mut self, volumes: &[(u64, String)]) {
        // The caller may be gone.
        let Ok(call) = kernel::next_system_call(&self.listener) else { return };
        if volumes.is_empty() || !is_for_us(&call) {
            let _ = kernel::let_system_call_pass(&self.listener, &call);
            return;
        }
        match kernel::fork() {
            Ok(Side::Child) => {
                let outcome = set_parent_process_death_signal(Some(Signal::KILL))
                    .map_err(io::Error::from)
                    .and_then(|()| mount(&call, &self.listener, self.init, volumes));
                let _ = match outcome {
                    Ok(Outcome::Pass) => kernel::let_system_call_pass(&self.listener, &call),
                    Ok(Outcome::Mounted) => kernel::answer_system_call(&self.listener, &call, 0),
                    Err(error) => {
                        let error = error.raw_os_error().unwrap_or(libc::EIO);
                        kernel::answer_system_call(&self.listener, &call, error)
                    }
                };
                exit(0)
            }
            Ok(Side::Parent(child)) => self.busy = Some(child),
            Err(_) => drop(kernel::answer_system_call(&self.listener, &call, libc::EAGAIN)),
        }
    }
}

/// What came of a call.
enum Outcome {
    /// The kernel is to judge.
    Pass,
    Mounted,
}

/// The flags of a call without what old programs mark them with.
fn flags(call: &Call) -> u64 {
    let flags = call.arguments[3];
    if flags & MS_MGC_MSK == MS_MGC_VAL { flags & !MS_MGC_MSK } else { flags }
}

/// Whether it wants a new mount of one of the file systems.
fn is_for_us(call: &Call) -> bool {
    let kind = || {
        let memory = File::open(format!("/proc/{}/mem", call.pid)).ok()?;
        text(&memory, call.arguments[2])
    };
    flags(call) & OTHERS == 0 && kind().is_some_and(|kind| SYSTEMS.contains(&kind.as_str()))
}

/// A string of another process's.
fn text(memory: &File, at: u64) -> Option<String> {
    let mut bytes = vec![0; LONGEST];
    let mut length = 0;
    // What lies behind it may not be there.
    while length < LONGEST && !bytes[..length].contains(&0) {
        let page = LONGEST - usize::try_from((at + length as u64) % LONGEST as u64).ok()?;
        let end = LONGEST.min(length + page);
        match memory.read_at(&mut bytes[length..end], at.checked_add(length as u64)?) {
            Ok(read) if read > 0 => length += read,
            _ => return None,
        }
    }
    let end = bytes[..length].iter().position(|byte| *byte == 0)?;
    String::from_utf8(bytes[..end].to_vec()).ok()
}

fn errno(error: Errno) -> io::Error {
    error.into()
}

fn mount(call: &Call, listener: &OwnedFd, init: Pid, volumes: &[(u64, String)]) -> io::Result<Outcome> {
    let open = |of: i32, what: &str, flags: OFlags| {
        rustix::fs::open(format!("/proc/{of}/{what}"), flags | OFlags::CLOEXEC, Mode::empty())
    };
    let init = init.as_raw_pid();
    let memory = File::open(format!("/proc/{}/mem", call.pid))?;
    let users = open(call.pid, "ns/user", OFlags::RDONLY)?;
    let mounts = open(call.pid, "ns/mnt", OFlags::RDONLY)?;
    let directory = OFlags::PATH | OFlags::DIRECTORY;
    let (root, current) = (open(call.pid, "root", directory)?, open(call.pid, "cwd", directory)?);
    let status = fs::read_to_string(format!("/proc/{}/status", call.pid))?;
    let string = |number: usize| text(&memory, call.arguments[number]).ok_or_else(|| errno(Errno::FAULT));
    let (source, target, kind) = (string(0)?, string(1)?, string(2)?);
    let options = if call.arguments[4] == 0 { String::new() } else { string(4)? };
    // It was all of the one who waits, and of no process that has its number since.
    kernel::is_waiting(listener, call)?;

    let machine = fs::metadata(format!("/proc/{init}/ns/user"))?;
    let is_of_machine = rustix::fs::fstat(&users)?.st_ino == machine.ino();
    let effective = status.lines().find_map(|line| u64::from_str_radix(line.strip_prefix("CapEff:")?.trim(), 16).ok());
    if !is_of_machine || effective.unwrap_or(0) & ADMIN == 0 || !SYSTEMS.contains(&kind.as_str()) {
        return Ok(Outcome::Pass);
    }
    // A place of this process's own, where nothing has a name but the volume.
    kernel::unshare_mounts()?;
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    attach(empty_file_system()?, "/dev")?;
    let own = open(std::process::id().cast_signed(), "ns/mnt", OFlags::RDONLY)?;
    let machine_users = open(init, "ns/user", OFlags::RDONLY)?;
    // What the names mean, where they were said.
    kernel::enter_mounts(&mounts)?;
    fchdir(&root)?;
    chroot(".")?;
    fchdir(&current)?;
    let device = statat(CWD, &source, AtFlags::empty())?;
    let place = openat(CWD, &target, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    kernel::enter_mounts(&own)?;
    let is_node = FileType::from_raw_mode(device.st_mode) == FileType::BlockDevice;
    let Some((number, name)) = volumes.iter().find(|(number, _)| is_node && *number == device.st_rdev) else {
        return Ok(Outcome::Pass);
    };
    // The keeper's open device is this process's, too: until it ends, the number is no other volume's.
    let path = format!("/dev/{name}");
    mknodat(CWD, &path, FileType::BlockDevice, Mode::RUSR | Mode::WUSR, *number)?;
    let mounted = open_volume(&path, &kind, flags(call), &options)?;
    kernel::map_owners_writably(&mounted, machine_users)?;
    kernel::enter_mounts(&mounts)?;
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(&mounted, "", &place, "", flags)?;
    Ok(Outcome::Mounted)
}

fn empty_file_system() -> io::Result<OwnedFd> {
    let context = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_create(&context)?;
    Ok(fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())?)
}

/// Mounts a device nowhere yet.
fn open_volume(path: &str, kind: &str, flags: u64, options: &str) -> io::Result<OwnedFd> {
    let is_ext4 = kind == "ext4";
    if is_ext4 {
        check_journal(path)?;
    }
    let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(&context, "source", path)?;
    for (flag, name) in
        [(MS_RDONLY, "ro"), (MS_SYNCHRONOUS, "sync"), (MS_DIRSYNC, "dirsync"), (MS_LAZYTIME, "lazytime")]
    {
        if flags & flag != 0 {
            fsconfig_set_flag(&context, name)?;
        }
    }
    let options: Vec<&str> = options.split(',').filter(|option| !option.is_empty()).collect();
    // What the file system says of itself may be that the host is to panic.
    let errors =
        (is_ext4 && !options.iter().any(|option| option.starts_with("errors="))).then_some("errors=remount-ro");
    for option in options.into_iter().chain(errors) {
        let is_known = OPTIONS.contains(&option) || WITH_VALUE.iter().any(|start| option.starts_with(start));
        match option.split_once('=') {
            _ if !is_known => return Err(errno(Errno::INVAL)),
            Some((key, value)) => fsconfig_set_string(&context, key, value)?,
            None => fsconfig_set_flag(&context, option)?,
        }
    }
    fsconfig_create(&context)?;
    let attributes = [
        (MS_RDONLY, MountAttrFlags::MOUNT_ATTR_RDONLY),
        (MS_NOSUID, MountAttrFlags::MOUNT_ATTR_NOSUID),
        (MS_NOEXEC, MountAttrFlags::MOUNT_ATTR_NOEXEC),
        (MS_NOATIME, MountAttrFlags::MOUNT_ATTR_NOATIME),
        (MS_STRICTATIME, MountAttrFlags::MOUNT_ATTR_STRICTATIME),
        (MS_NODIRATIME, MountAttrFlags::MOUNT_ATTR_NODIRATIME),
    ];
    let attributes = attributes.into_iter().filter(|(flag, _)| flags & flag != 0).map(|(_, attribute)| attribute);
    let attributes = attributes.fold(MountAttrFlags::MOUNT_ATTR_NODEV, |all, attribute| all | attribute);
    Ok(fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?)
}

/// Refuses a file system whose journal is on another device, by number: it might be any of the host's.
fn check_journal(path: &str) -> io::Result<()> {
    let mut block = [0; 1024];
    File::open(path)?.read_exact_at(&mut block, SUPERBLOCK)?;
    let (magic, expected) = MAGIC;
    let is_ext4 = block[magic..].starts_with(&expected);
    if is_ext4 && block[JOURNAL_DEVICE..JOURNAL_DEVICE + 4] != [0; 4] {
        return Err(errno(Errno::INVAL));
    }
    Ok(())
}
