//! As whom a process of the machine runs, and how it becomes that user.

use super::{accounts::Account, root::Root};
use std::{ffi::CString, io, os::unix::ffi::OsStrExt, path::Path};

/// The user and the groups of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The user id.
    pub uid: u32,
    /// The primary group.
    pub gid: u32,
    /// All groups, the primary one too.
    pub groups: Vec<u32>,
}

impl Identity {
    /// The identity of an account, with the groups that `/etc/group` names.
    pub fn of(account: &Account, root: &Root) -> io::Result<Self> {
        let mut groups = vec![account.gid];
        for group in super::accounts::groups(root)? {
            if group.members.contains(&account.name) && !groups.contains(&group.gid) {
                groups.push(group.gid);
            }
        }
        Ok(Self { uid: account.uid, gid: account.gid, groups })
    }

    /// Whether this process has to change anything to be that user.
    ///
    /// It hasn't where it is that user already, which also covers a user namespace in which one id alone is mapped and
    /// every account of the machine is root.
    pub fn needs_switch(&self) -> bool {
        !(single_user() || rustix::process::geteuid().as_raw() == self.uid && self.uid != 0)
    }

    /// Becomes that user for good; called between fork and exec, so nothing here allocates.
    pub fn assume(&self) -> io::Result<()> {
        // SAFETY: plain system calls on memory that outlives them; all are safe to call between fork and exec.
        unsafe {
            check(libc::setgroups(self.groups.len(), self.groups.as_ptr()))?;
            check(libc::setresgid(self.gid, self.gid, self.gid))?;
            check(libc::setresuid(self.uid, self.uid, self.uid))
        }
    }

    /// Makes system calls as that user from now on; called between fork and exec, of a process that never comes to run a program.
    ///
    /// Whose process it is doesn't change: that user can't stop it, nor look into it.
    pub fn assume_for_calls(&self) -> io::Result<()> {
        let unchanged = libc::uid_t::MAX;
        // SAFETY: plain system calls on memory that outlives them; all are safe to call between fork and exec.
        unsafe {
            check(libc::setgroups(self.groups.len(), self.groups.as_ptr()))?;
            check(libc::setresgid(self.gid, self.gid, self.gid))?;
            check(libc::setresuid(unchanged, self.uid, unchanged))
        }
    }

    /// Lets the calling thread, and it alone, reach files as that user and no other; for good.
    ///
    /// The ids for files are what a file server changes (setfsuid(2)): the kernel drops the capabilities that override
    /// file permissions along with them, while signals of that user still don't reach this process. Umask and working
    /// directory become the thread's own too.
    pub fn assume_for_files(&self) -> io::Result<()> {
        // SAFETY: raw system calls, since libc's wrappers would change every thread of the process; the pointer is
        // valid for the length that is passed.
        unsafe {
            check(libc::unshare(libc::CLONE_FS))?;
            if !self.needs_switch() {
                return Ok(());
            }
            let none: libc::c_long = -1;
            let (uid, gid) = (libc::c_long::from(self.uid), libc::c_long::from(self.gid));
            check(libc::syscall(libc::SYS_setgroups, self.groups.len(), self.groups.as_ptr()) as i32)?;
            libc::syscall(libc::SYS_setfsgid, gid);
            libc::syscall(libc::SYS_setfsuid, uid);
            // They report the previous id, never an error: ask again.
            if libc::syscall(libc::SYS_setfsuid, none) != uid || libc::syscall(libc::SYS_setfsgid, none) != gid {
                return Err(io::Error::other("the kernel refused to change the ids for files"));
            }
        }
        Ok(())
    }
}

/// A working directory, ready to be entered between fork and exec.
pub struct Directory(CString);

impl Directory {
    /// The directory of a path.
    pub fn new(path: &Path) -> io::Result<Self> {
        Ok(Self(CString::new(path.as_os_str().as_bytes())?))
    }

    /// Enters it, or `/` where that fails, as sshd does.
    pub fn enter(&self) -> io::Result<()> {
        // SAFETY: both pointers are to strings that end with NUL.
        unsafe { check(libc::chdir(self.0.as_ptr())).or_else(|_| check(libc::chdir(c"/".as_ptr()))) }
    }
}

/// Whether the ids of this user namespace are one alone, so that there is nobody else to be.
pub fn single_user() -> bool {
    let Ok(map) = std::fs::read_to_string("/proc/self/uid_map") else { return false };
    let mapped: u64 = map.lines().filter_map(|line| line.split_whitespace().nth(2)?.parse::<u64>().ok()).sum();
    mapped == 1
}

fn check(result: i32) -> io::Result<()> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
