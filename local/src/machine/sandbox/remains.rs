//! What is left of machines whose endpoint was killed: for some milliseconds processes that are dying, and have the disk
//! mounted until they are gone. Everything else of a machine is in its namespaces, and goes with them.
//!
//! A machine's init is the last of its processes to go, with its mounts; so its keeper writes down on the disk who it is.

use ec2_state_directory::Directory;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{Mode, Stat},
    process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal},
};
use std::{
    fs,
    io::{self, Read, Write},
    os::{fd::AsFd, unix::fs::OpenOptionsExt},
    path::Path,
    time::Duration,
};

/// The file on the disk that says who has it mounted.
pub const NOTE: &str = "init";
/// How long a machine that was killed may take to be gone. Usual are milliseconds.
const PATIENCE: Duration = Duration::from_secs(30);
/// The longest note that is read.
const NOTE_MAX: u64 = 256;

/// Notes on a disk whose process has it mounted.
pub(super) fn note(disk: &Path, init: Pid) -> io::Result<()> {
    let path = disk.join(NOTE);
    let who = identity(init).unwrap_or_default();
    let mode = Mode::RUSR | Mode::WUSR;
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = fs::OpenOptions::new().create_new(true).write(true).mode(mode.bits()).open(&path)?;
    let disk = place(&rustix::fs::stat(disk)?);
    file.write_all(format!("{} {who} {disk}", init.as_raw_pid()).as_bytes())
}

/// Waits until nothing uses a disk any more, and ends what does. To be called when its endpoint is dead: its machine is dying
/// by itself.
///
/// # Errors
///
/// The machine doesn't end.
pub fn end_user(disk: &Directory) -> io::Result<()> {
    // What is no file of ours was noted by nobody.
    let Ok(Some(file)) = disk.file(NOTE) else { return Ok(()) };
    let mut text = String::new();
    if file.take(NOTE_MAX).read_to_string(&mut text).is_err() {
        return Ok(());
    }
    let mut words = text.split(' ');
    let pid = words.next().and_then(|pid| pid.parse().ok()).and_then(Pid::from_raw);
    let (Some(pid), Some(boot), Some(started)) = (pid, words.next(), words.next()) else { return Ok(()) };
    // On a copy of a disk it speaks of the other one's machine. Earlier versions didn't say which disk it was.
    let own = disk.stat().map_err(io::Error::other)?;
    if words.next().is_some_and(|noted| noted != place(&own)) {
        return Ok(());
    }
    end(pid, &format!("{boot} {started}"))
}

/// What no other directory of this host has, as long as it is there.
fn place(found: &Stat) -> String {
    format!("{}:{}", found.st_dev, found.st_ino)
}

fn end(pid: Pid, who: &str) -> io::Result<()> {
    // Opened first: from then on the number can't become another's unnoticed.
    let Ok(handle) = pidfd_open(pid, PidfdFlags::empty()) else { return Ok(()) };
    if identity(pid).as_deref() != Some(who) {
        return Ok(());
    }
    // It may just have ended.
    let _ = pidfd_send_signal(&handle, Signal::KILL);
    let patience = Timespec { tv_sec: PATIENCE.as_secs().cast_signed(), tv_nsec: 0 };
    match poll(&mut [PollFd::from_borrowed_fd(handle.as_fd(), PollFlags::IN)], Some(&patience))? {
        0 => Err(io::Error::new(io::ErrorKind::TimedOut, format!("process {} doesn't end", pid.as_raw_pid()))),
        _ => Ok(()),
    }
}

/// What no other process of this number has: the boot that it runs in, and when it was started (proc(5), `starttime`).
fn identity(pid: Pid) -> Option<String> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_pid())).ok()?;
    // The name, in parentheses, may have anything in it.
    let started = stat.rsplit_once(") ")?.1.split(' ').nth(19)?;
    Some(format!("{} {started}", boot.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{CWD, FileType};
    use std::{os::unix::fs::symlink, process::Command};

    fn sleeper() -> (std::process::Child, Pid) {
        let child = Command::new("sleep").arg("60").spawn().unwrap();
        let pid = Pid::from_child(&child);
        (child, pid)
    }

    #[test]
    fn what_has_a_disk_is_ended_and_a_namesake_is_not() {
        let machines = tempfile::tempdir().unwrap();
        let (mut user, pid) = sleeper();
        let (mut namesake, other) = sleeper();
        for name in ["i-1", "i-2", "i-3"] {
            fs::create_dir(machines.path().join(name)).unwrap();
        }
        note(&machines.path().join("i-1"), pid).unwrap();
        fs::write(machines.path().join("i-2/init"), format!("{} another boot 1", other.as_raw_pid())).unwrap();
        // Nor does one hang that leads elsewhere, or that nobody ever writes to.
        symlink(machines.path().join("i-1/init"), machines.path().join("i-3/init")).unwrap();
        fs::create_dir(machines.path().join("i-4")).unwrap();
        rustix::fs::mknodat(CWD, machines.path().join("i-4/init"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let end = |name: &str| end_user(&Directory::find(&machines.path().join(name)).unwrap()).unwrap();
        end("i-3");
        assert!(user.try_wait().unwrap().is_none());
        for name in ["i-1", "i-2", "i-4"] {
            end(name);
        }
        assert!(!user.wait().unwrap().success());
        assert!(namesake.try_wait().unwrap().is_none());
        namesake.kill().unwrap();
        namesake.wait().unwrap();
        end("i-1");
    }
}
