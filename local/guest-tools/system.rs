//! The system calls that the standard library doesn't have.

use std::io;

unsafe extern "C" {
    fn getuid() -> u32;
    fn geteuid() -> u32;
    fn getgid() -> u32;
    fn getgroups(size: i32, list: *mut u32) -> i32;
    fn setgroups(size: usize, list: *const u32) -> i32;
    fn setresgid(real: u32, effective: u32, saved: u32) -> i32;
    fn setresuid(real: u32, effective: u32, saved: u32) -> i32;
    fn kill(pid: i32, signal: i32) -> i32;
    fn fork() -> i32;
    fn setsid() -> i32;
    fn close(descriptor: i32) -> i32;
}

/// Asks a process to end.
pub const SIGTERM: i32 = 15;
/// What the key combination for a reboot sends to init.
pub const SIGINT: i32 = 2;

/// Who called.
pub fn real_uid() -> u32 {
    // SAFETY: it has no arguments and can't fail.
    unsafe { getuid() }
}

/// As whom this runs.
pub fn effective_uid() -> u32 {
    // SAFETY: it has no arguments and can't fail.
    unsafe { geteuid() }
}

/// The caller's group.
pub fn real_gid() -> u32 {
    // SAFETY: it has no arguments and can't fail.
    unsafe { getgid() }
}

/// The caller's further groups.
pub fn groups() -> Vec<u32> {
    let mut list = vec![0; 65536];
    // SAFETY: the list is as long as is said.
    let length = unsafe { getgroups(65536, list.as_mut_ptr()) };
    list.truncate(usize::try_from(length).unwrap_or(0));
    list
}

/// Becomes another user for good.
pub fn become_user(uid: u32, gid: u32, groups: &[u32]) -> io::Result<()> {
    // SAFETY: the list is as long as is said.
    let grouped = check(unsafe { setgroups(groups.len(), groups.as_ptr()) });
    // Where the machine's namespace has one id alone there are no groups to be set.
    if uid != 0 || real_uid() != 0 {
        grouped?;
    }
    // SAFETY: plain system calls.
    check(unsafe { setresgid(gid, gid, gid) })?;
    // SAFETY: as above.
    check(unsafe { setresuid(uid, uid, uid) })
}

/// Sends a signal.
pub fn signal(pid: i32, signal: i32) -> io::Result<()> {
    // SAFETY: a plain system call.
    check(unsafe { kill(pid, signal) })
}

/// Goes on in the background; true in the process that does.
pub fn into_background() -> io::Result<bool> {
    // SAFETY: this program has one thread, so the child has all that it needs.
    let pid = unsafe { fork() };
    check(pid)?;
    if pid == 0 {
        // SAFETY: a plain system call.
        check(unsafe { setsid() })?;
    }
    Ok(pid == 0)
}

/// Closes the three standard streams, so that the process that started this doesn't wait for them.
pub fn close_streams() {
    for stream in 0..3 {
        // SAFETY: nothing is written or read any more.
        unsafe { close(stream) };
    }
}

fn check(result: i32) -> io::Result<()> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
