//! System calls that no library wraps, each behind a safe function.

use rustix::{
    fs::{Mode, OFlags},
    io::{DupFlags, Errno, dup3},
    process::{
        DumpableBehavior, Pid, Signal, Uid, WaitOptions, set_dumpable_behavior, set_parent_process_death_signal,
        waitpid,
    },
};
use std::{
    ffi::CStr,
    io,
    mem::{size_of, zeroed},
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
};

/// The calling process's side after [`clone_into_namespaces`].
pub enum Side {
    /// It goes on as before, and has this child.
    Parent(Pid),
    /// It is the child.
    Child,
}

/// Forks into namespaces of its own: user, mount, pid, ipc, uts, net. The child is process 1 of the pid namespace.
///
/// The process must have one thread only.
pub fn clone_into_namespaces() -> io::Result<Side> {
    let flags = libc::CLONE_NEWUSER
        | libc::CLONE_NEWNS
        | libc::CLONE_NEWPID
        | libc::CLONE_NEWIPC
        | libc::CLONE_NEWUTS
        | libc::CLONE_NEWNET
        | libc::SIGCHLD;
    // SAFETY: without CLONE_VM and without a new stack this is fork(2): the child has a copy of all memory. The process
    // has one thread, so no lock is held by a thread that the child lacks.
    side(unsafe { libc::syscall(libc::SYS_clone, libc::c_long::from(flags), 0usize, 0usize, 0usize, 0usize) })
}

/// Forks into a user namespace of its own; the process must have one thread only.
pub fn clone_into_user_namespace() -> io::Result<Side> {
    let flags = libc::CLONE_NEWUSER | libc::SIGCHLD;
    // SAFETY: as in `clone_into_namespaces`.
    side(unsafe { libc::syscall(libc::SYS_clone, libc::c_long::from(flags), 0usize, 0usize, 0usize, 0usize) })
}

fn side(result: libc::c_long) -> io::Result<Side> {
    match i32::try_from(result) {
        Ok(0) => Ok(Side::Child),
        Ok(pid) if pid > 0 => Ok(Pid::from_raw(pid).map_or(Side::Child, Side::Parent)),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Plain fork(2); the process must have one thread only.
pub fn fork() -> io::Result<Side> {
    // SAFETY: the process has one thread, so no lock is held by a thread that the child lacks.
    side(unsafe { libc::fork() }.into())
}

/// Sends a signal to all processes of a pid namespace but its init, all at once: none gets away by forking. Tells false where
/// somebody in there has ended the process that does it; whom the signal has reached is unknown then.
pub fn signal_all_in(pid_namespace: &OwnedFd, signal: Signal) -> io::Result<bool> {
    // A process isn't moved into such a namespace, but its children are: this one's own shall not be.
    // SAFETY: the child does nothing but plain system calls on what it has, and ends by one.
    let child = match side(unsafe { libc::fork() }.into())? {
        // SAFETY: nothing of this process's is used after it.
        Side::Child => unsafe { libc::_exit(signal_all_by_child(pid_namespace.as_raw_fd(), signal.as_raw())) },
        Side::Parent(child) => child,
    };
    match waitpid(Some(child), WaitOptions::empty())?.and_then(|(_, end)| end.exit_status()) {
        Some(0) => Ok(true),
        Some(WAS_ENDED) => Ok(false),
        Some(error) => Err(io::Error::from_raw_os_error(error)),
        None => Err(io::Error::other("the process that was to do it was ended")),
    }
}

/// No error of the kernel's (errno(3)).
const WAS_ENDED: i32 = 255;

/// The child's part, in which nothing allocates: 0, an error's number, or [`WAS_ENDED`].
fn signal_all_by_child(pid_namespace: i32, signal: i32) -> i32 {
    let error = || io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO);
    // SAFETY: plain system calls; the status that is written to lives through them, and the process that is waited for, or ended, is this
    // process's child, which nobody else waits for.
    unsafe {
        if libc::setns(pid_namespace, libc::CLONE_NEWPID) == -1 {
            return error();
        }
        let child = libc::fork();
        match child {
            -1 => return error(),
            0 => {
                let sent = libc::kill(-1, signal);
                libc::_exit(if sent == -1 && error() != libc::ESRCH { error() } else { 0 });
            }
            _ => {}
        }
        let mut status = 0;
        // Somebody in there may stop it, too.
        while libc::waitpid(child, &raw mut status, libc::WUNTRACED) == child && libc::WIFSTOPPED(status) {
            libc::kill(child, libc::SIGKILL);
        }
        if libc::WIFEXITED(status) { libc::WEXITSTATUS(status) } else { WAS_ENDED }
    }
}

/// Opens something from within user and mount namespaces below this process's own, which end with that. The process must have one
/// thread only.
pub fn open_from_below(open: impl FnOnce() -> rustix::io::Result<OwnedFd>) -> io::Result<OwnedFd> {
    // What is opened takes the place of this, since the child has the same open files.
    let mut place = rustix::fs::open("/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    let flags = libc::CLONE_NEWUSER | libc::CLONE_NEWNS | libc::CLONE_FILES | libc::SIGCHLD;
    // SAFETY: as above; what the child closes it has opened itself.
    match side(unsafe { libc::syscall(libc::SYS_clone, libc::c_long::from(flags), 0usize, 0usize, 0usize, 0usize) })? {
        Side::Child => {
            let opened = open().and_then(|opened| dup3(&opened, &mut place, DupFlags::CLOEXEC));
            // SAFETY: nothing of this process's is used after it.
            unsafe { libc::_exit(opened.err().map_or(0, Errno::raw_os_error)) }
        }
        Side::Parent(child) => match waitpid(Some(child), WaitOptions::empty())?.and_then(|(_, end)| end.exit_status())
        {
            Some(0) => Ok(place),
            Some(error) => Err(io::Error::from_raw_os_error(error)),
            None => Err(io::Error::other("the process that was to do it was ended")),
        },
    }
}

/// Moves this process, which must have one thread only, into user and mount namespaces of its own.
pub fn unshare_users_and_mounts() -> io::Result<()> {
    // SAFETY: no pointers are passed.
    check(unsafe { libc::unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNS) }.into())
}

/// Makes the cgroup that this process is in the highest that it and its descendants see.
pub fn enter_cgroup_namespace() -> io::Result<()> {
    // SAFETY: no pointers are passed.
    check(unsafe { libc::unshare(libc::CLONE_NEWCGROUP) }.into())
}

/// Maps the owners of all files of a detached mount as the user namespace maps ids (mount_setattr(2)), and makes it read-only.
pub fn map_owners(mount: impl AsFd, user_namespace: impl AsFd) -> io::Result<()> {
    let user_namespace = user_namespace.as_fd().as_raw_fd() as u64;
    set_mount_attributes(mount, libc::MOUNT_ATTR_IDMAP | libc::MOUNT_ATTR_RDONLY, user_namespace, libc::AT_EMPTY_PATH)
}

/// The same of a mount that stays writable.
pub fn map_owners_writably(mount: impl AsFd, user_namespace: impl AsFd) -> io::Result<()> {
    let user_namespace = user_namespace.as_fd().as_raw_fd() as u64;
    set_mount_attributes(mount, libc::MOUNT_ATTR_IDMAP, user_namespace, libc::AT_EMPTY_PATH)
}

/// Makes a detached mount and those below it read-only. Kernels before 5.12 can't.
pub fn make_tree_read_only(mount: impl AsFd) -> io::Result<()> {
    match set_mount_attributes(mount, libc::MOUNT_ATTR_RDONLY, 0, libc::AT_EMPTY_PATH | libc::AT_RECURSIVE) {
        Err(error) if error.raw_os_error() == Some(libc::ENOSYS) => Ok(()),
        other => other,
    }
}

fn set_mount_attributes(mount: impl AsFd, set: u64, user_namespace: u64, flags: libc::c_int) -> io::Result<()> {
    // SAFETY: the structure is plain data for which zeroes are valid.
    let mut attributes: libc::mount_attr = unsafe { zeroed() };
    attributes.attr_set = set;
    attributes.userns_fd = user_namespace;
    change_mount_attributes(mount, &attributes, flags)
}

fn change_mount_attributes(mount: impl AsFd, attributes: &libc::mount_attr, flags: libc::c_int) -> io::Result<()> {
    // SAFETY: all pointers are valid for the call, and the size is the structure's.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_fd().as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const *attributes,
            size_of::<libc::mount_attr>(),
        )
    };
    check(result)
}

/// Makes a TAP device of frames with a header each, whose name follows the pattern: `%d` stands for the first number that is free. Returns
/// its name.
pub fn make_tap(device: &OwnedFd, pattern: &CStr) -> io::Result<String> {
    // SAFETY: the structure is plain data for which zeroes are valid.
    let mut request: libc::ifreq = unsafe { zeroed() };
    if pattern.to_bytes().len() >= request.ifr_name.len() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    for (to, from) in request.ifr_name.iter_mut().zip(pattern.to_bytes()) {
        *to = from.cast_signed() as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR) as libc::c_short;
    // SAFETY: TUNSETIFF takes a pointer to such a structure, which lives through the call.
    check(unsafe { libc::ioctl(device.as_raw_fd(), libc::TUNSETIFF, &raw mut request) }.into())?;
    let name = request.ifr_name.iter().take_while(|byte| **byte != 0).map(|byte| char::from(byte.cast_unsigned()));
    Ok(name.collect())
}

/// The number of a loop device that nobody uses, made if there is none (loop(4)).
pub fn free_loop_device(control: &impl AsFd) -> io::Result<u32> {
    // SAFETY: this request takes no argument.
    let number = unsafe { libc::ioctl(control.as_fd().as_raw_fd(), LOOP_CTL_GET_FREE) };
    check(number.into())?;
    u32::try_from(number).map_err(io::Error::other)
}

/// Attaches a file to a loop device, to which it clings as long as the device is in use. Where `is_direct`, what is written isn't kept in
/// memory once more, as far as the file's own file system can do without; where it can't, the kernel does as ever.
pub fn attach_loop_device(device: &impl AsFd, file: &impl AsFd, is_direct: bool) -> io::Result<()> {
    let mut config = LoopConfig { file: file.as_fd().as_raw_fd().cast_unsigned(), ..LoopConfig::EMPTY };
    config.flags = LO_FLAGS_AUTOCLEAR | if is_direct { LO_FLAGS_DIRECT_IO } else { 0 };
    // SAFETY: the request takes a pointer to such a structure, which lives through the call.
    check(unsafe { libc::ioctl(device.as_fd().as_raw_fd(), LOOP_CONFIGURE, &raw const config) }.into())
}

/// Has a loop device look how large its file is by now.
pub fn update_loop_size(device: &impl AsFd) -> io::Result<()> {
    // SAFETY: this request takes no argument.
    check(unsafe { libc::ioctl(device.as_fd().as_raw_fd(), LOOP_SET_CAPACITY) }.into())
}

/// Has all that waits to be written to a block device written; where the kernel knows the file system that is mounted from it (from
/// Linux 6.6 on), also what that holds.
pub fn flush_device(device: &impl AsFd) -> io::Result<()> {
    // SAFETY: this request takes no argument.
    check(unsafe { libc::ioctl(device.as_fd().as_raw_fd(), BLKFLSBUF) }.into())
}

/// Leaves nothing of a loop device to those who still have it open: from now on it begins where its file ends.
pub fn empty_loop_device(device: &impl AsFd, length: u64) -> io::Result<()> {
    let config = LoopConfig { offset: length, flags: LO_FLAGS_AUTOCLEAR, ..LoopConfig::EMPTY };
    // SAFETY: the request takes a pointer to a `struct loop_info64`, which is what follows the first two members, and lives through the
    // call.
    check(unsafe { libc::ioctl(device.as_fd().as_raw_fd(), LOOP_SET_STATUS64, &raw const config.device) }.into())
}

/// Moves this process, which must have one thread only, into a mount namespace; its root directory is that one's.
pub fn enter_mounts(namespace: &impl AsFd) -> io::Result<()> {
    // SAFETY: no pointers are passed.
    check(unsafe { libc::setns(namespace.as_fd().as_raw_fd(), libc::CLONE_NEWNS) }.into())
}

/// Moves this process, which must have one thread only, into a mount namespace of its own.
pub fn unshare_mounts() -> io::Result<()> {
    // SAFETY: no pointers are passed.
    check(unsafe { libc::unshare(libc::CLONE_NEWNS) }.into())
}

/// Reaches and makes files as this user and group from now on.
pub fn make_files_as(user: u32, group: u32) {
    // SAFETY: plain system calls; they tell who it was before, and can't fail for the host's root.
    unsafe {
        libc::setfsgid(group);
        libc::setfsuid(user);
    }
}

/// Makes a detached mount writable.
pub fn make_writable(mount: impl AsFd) -> io::Result<()> {
    // SAFETY: the structure is plain data for which zeroes are valid.
    let mut attributes: libc::mount_attr = unsafe { zeroed() };
    attributes.attr_clr = libc::MOUNT_ATTR_RDONLY;
    change_mount_attributes(mount, &attributes, libc::AT_EMPTY_PATH)
}

const BLKFLSBUF: libc::Ioctl = 0x1261;
const LOOP_SET_CAPACITY: libc::Ioctl = 0x4c07;
const LOOP_SET_STATUS64: libc::Ioctl = 0x4c04;
const LOOP_CTL_GET_FREE: libc::Ioctl = 0x4c82;
const LOOP_CONFIGURE: libc::Ioctl = 0x4c0a;
const LO_FLAGS_AUTOCLEAR: u32 = 4;
const LO_FLAGS_DIRECT_IO: u32 = 16;

/// The kernel's `struct loop_config` with the `struct loop_info64` in it (`linux/loop.h`).
#[repr(C)]
struct LoopConfig {
    file: u32,
    block_size: u32,
    device: u64,
    inode: u64,
    rdevice: u64,
    offset: u64,
    size_limit: u64,
    number: u32,
    encryption: u32,
    key_size: u32,
    flags: u32,
    names_and_keys: [u8; 64 + 64 + 32 + 16],
    reserved: [u64; 8],
}

impl LoopConfig {
    const EMPTY: Self = Self {
        file: 0,
        block_size: 0,
        device: 0,
        inode: 0,
        rdevice: 0,
        offset: 0,
        size_limit: 0,
        number: 0,
        encryption: 0,
        key_size: 0,
        flags: 0,
        names_and_keys: [0; 176],
        reserved: [0; 8],
    };
}

/// Reaches files as this user from now on, no matter whose the process is otherwise; it must be one of its three.
pub fn reach_files_as(user: Uid) {
    // SAFETY: a plain system call; it tells the user that was, and can't fail for one of the process's own.
    unsafe { libc::setfsuid(user.as_raw()) };
}

/// Does something as a user and a group of this user namespace to whom no file belongs: the last ones. The process must be its
/// root, and has its capabilities over files again afterwards.
pub fn as_stranger<T>(something: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let (user, group) = (last_id("/proc/self/uid_map")?, last_id("/proc/self/gid_map")?);
    // SAFETY: plain system calls; each tells who it was before, even where it changes nothing.
    let reach_as = |user, group| unsafe {
        libc::setfsgid(group);
        libc::setfsuid(user);
        (libc::setfsuid(u32::MAX).cast_unsigned(), libc::setfsgid(u32::MAX).cast_unsigned()) == (user, group)
    };
    let result = if user != 0 && group != 0 && reach_as(user, group) {
        stay_closed().and_then(|()| something())
    } else {
        Err(io::Error::other("there is no user beside root"))
    };
    if !reach_as(0, 0) {
        return Err(io::Error::other("become root again (setfsuid(2))"));
    }
    stay_closed().and(result)
}

/// To be repeated after each change of users, which has cleared the one and allowed the other: this process ends with its parent,
/// and the machine's root must not look into it, since it runs the host's executable.
pub fn stay_closed() -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    Ok(set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}

/// The last id that exists in this process's user namespace (user_namespaces(7)).
fn last_id(map: &str) -> io::Result<u32> {
    let text = std::fs::read_to_string(map)?;
    let last = |line: &str| {
        let mut numbers = line.split_whitespace().map(str::parse::<u32>);
        numbers.next()?.ok()?.checked_add(numbers.nth(1)?.ok()?)?.checked_sub(1)
    };
    Ok(text.lines().filter_map(last).max().unwrap_or(0))
}

/// Leaves the session keyring that was inherited for an empty one.
pub fn join_new_keyring() -> io::Result<()> {
    // SAFETY: a null pointer asks for a keyring without a name.
    check(unsafe { libc::syscall(libc::SYS_keyctl, libc::KEYCTL_JOIN_SESSION_KEYRING, 0usize) })
}

/// Has the kernel run a filter on every system call of this process and its descendants (seccomp(2)). It must have
/// CAP_SYS_ADMIN in its user namespace, since a program that is set-uid shall go on being that.
pub fn filter_system_calls(filter: &[libc::sock_filter]) -> io::Result<()> {
    let length = filter.len().try_into().map_err(io::Error::other)?;
    let program = libc::sock_fprog { len: length, filter: filter.as_ptr().cast_mut() };
    // SAFETY: the program and the instructions that it points to live through the call, which only reads them.
    check(unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program) })
}

/// Has a filter tell of system calls of this process and its descendants, whose callers wait until they are answered by what is
/// returned.
pub fn listen_to_system_calls(filter: &[libc::sock_filter]) -> io::Result<OwnedFd> {
    let length = filter.len().try_into().map_err(io::Error::other)?;
    let program = libc::sock_fprog { len: length, filter: filter.as_ptr().cast_mut() };
    let listen = |flags: libc::c_ulong| {
        // SAFETY: the program and the instructions that it points to live through the call, which only reads them.
        unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const program) }
    };
    let (listener, undisturbed) =
        (libc::SECCOMP_FILTER_FLAG_NEW_LISTENER, libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV);
    let mut result = listen(listener | undisturbed);
    if result == -1 && io::Error::last_os_error().raw_os_error() == Some(libc::EINVAL) {
        // Before Linux 5.19 a signal disturbs who waits.
        result = listen(listener);
    }
    check(result)?;
    let descriptor = i32::try_from(result).map_err(io::Error::other)?;
    // SAFETY: the kernel has just opened it for this process, and nobody else knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// A system call whose caller waits.
#[derive(Debug)]
pub struct Call {
    id: u64,
    pub pid: i32,
    pub arguments: [u64; 6],
}

/// The next one.
pub fn next_system_call(listener: &impl AsFd) -> io::Result<Call> {
    // SAFETY: the structure is plain data for which zeroes are valid, and the kernel wants zeroes.
    let mut told: libc::seccomp_notif = unsafe { zeroed() };
    // SAFETY: the request takes a pointer to such a structure, which lives through the call.
    check(unsafe { libc::ioctl(listener.as_fd().as_raw_fd(), SECCOMP_IOCTL_NOTIF_RECV, &raw mut told) }.into())?;
    Ok(Call { id: told.id, pid: told.pid.cast_signed(), arguments: told.data.args })
}

/// Fails if the caller doesn't wait any more.
pub fn is_waiting(listener: &impl AsFd, call: &Call) -> io::Result<()> {
    // SAFETY: the request takes a pointer to a number, which lives through the call.
    check(unsafe { libc::ioctl(listener.as_fd().as_raw_fd(), SECCOMP_IOCTL_NOTIF_ID_VALID, &raw const call.id) }.into())
}

/// Lets the kernel do what was asked for.
pub fn let_system_call_pass(listener: &impl AsFd, call: &Call) -> io::Result<()> {
    respond(listener, call, 0, libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32)
}

/// Has a system call answer this error, or that it was done (0).
pub fn answer_system_call(listener: &impl AsFd, call: &Call, error: i32) -> io::Result<()> {
    respond(listener, call, -error, 0)
}

fn respond(listener: &impl AsFd, call: &Call, error: i32, flags: u32) -> io::Result<()> {
    let response = libc::seccomp_notif_resp { id: call.id, val: 0, error, flags };
    // SAFETY: the request takes a pointer to such a structure, which lives through the call.
    check(unsafe { libc::ioctl(listener.as_fd().as_raw_fd(), SECCOMP_IOCTL_NOTIF_SEND, &raw const response) }.into())
}

/// Of `linux/seccomp.h`.
const SECCOMP_IOCTL_NOTIF_RECV: libc::Ioctl = 0xc050_2100_u32 as libc::Ioctl;
const SECCOMP_IOCTL_NOTIF_SEND: libc::Ioctl = 0xc018_2101_u32 as libc::Ioctl;
const SECCOMP_IOCTL_NOTIF_ID_VALID: libc::Ioctl = 0x4008_2102;

/// Closes all descriptors from this number on but one: the process must not use any of them afterwards.
pub fn close_all_from(first: u32, but: BorrowedFd<'_>) -> io::Result<()> {
    let but = but.as_raw_fd().cast_unsigned();
    for (first, last) in [(first, but.saturating_sub(1)), (but.saturating_add(1), u32::MAX)] {
        if first <= last {
            // SAFETY: no pointers are passed; what is closed is not used again, as the caller promises.
            check(unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) })?;
        }
    }
    Ok(())
}

/// Whether two threads have one table of open files (kcmp(2)). Where the kernel can't compare them, they are taken to.
pub fn share_open_files(one: i32, other: i32) -> bool {
    // SAFETY: no pointers are passed.
    let order = unsafe { libc::syscall(libc::SYS_kcmp, one, other, KCMP_FILES, 0usize, 0usize) };
    order <= 0
}

const KCMP_FILES: libc::c_int = 2;

fn check(result: libc::c_long) -> io::Result<()> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
