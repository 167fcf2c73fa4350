//! Starting the process of a session: as the user, in a session of its own, on pipes or on a terminal.

use super::{
    login::{self, Login},
    pty::Terminal,
};
use crate::guest::{child, identity::Directory};
use std::{
    ffi::{OsStr, OsString},
    io,
    os::{
        fd::AsRawFd,
        unix::{ffi::OsStrExt, process::CommandExt},
    },
    process::Stdio,
};
use tokio::process::Child;

/// What is to be run.
#[derive(Debug, Clone)]
pub enum Program {
    /// The login shell, as a login shell.
    Shell,
    /// A command, given to the login shell.
    Command(Vec<u8>),
}

/// Starts a process. On a terminal its three streams are that; without one they are pipes.
pub fn start(
    login: &Login,
    program: &Program,
    environment: Vec<(String, String)>,
    terminal: Option<&Terminal>,
) -> io::Result<Child> {
    let shell = &login.account.shell;
    let name = shell.file_name().unwrap_or(OsStr::new("sh"));
    let mut command = std::process::Command::new(shell);
    match program {
        Program::Shell => {
            let mut login_name = OsString::from("-");
            login_name.push(name);
            command.arg0(login_name);
        }
        Program::Command(line) => {
            command.arg0(name).arg("-c").arg(OsStr::from_bytes(line));
        }
    }
    command.env_clear().envs(environment);
    match terminal {
        Some(terminal) => {
            command.stdin(terminal.slave.try_clone()?);
            command.stdout(terminal.slave.try_clone()?);
            command.stderr(terminal.slave.try_clone()?);
        }
        None => {
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        }
    }
    become_user(&mut command, login, terminal.is_some())?;
    tokio::process::Command::from(command).spawn()
}

/// A program of the machine's, found where root's shells find it, as the user.
pub fn tool(login: &Login, name: &str, arguments: &[&str]) -> io::Result<tokio::process::Command> {
    let mut command = std::process::Command::new(name);
    command.args(arguments).env_clear().env("PATH", login::PATH);
    become_user(&mut command, login, false)?;
    Ok(command.into())
}

fn become_user(command: &mut std::process::Command, login: &Login, controlling: bool) -> io::Result<()> {
    let identity = login.identity.clone();
    let switch = identity.needs_switch();
    let home = Directory::new(&login.home)?;
    // SAFETY: the closure runs between fork and exec; it only makes system calls on what was prepared above, and
    // allocates nothing.
    unsafe {
        command.pre_exec(move || {
            rustix::process::setsid()?;
            if controlling {
                rustix::process::ioctl_tiocsctty(rustix::stdio::stdin())?;
            }
            child::default_limits();
            child::default_signals();
            libc::umask(0o022);
            if switch {
                identity.assume()?;
            }
            home.enter()?;
            // Whatever this process has open and forgot to mark is none of the user's business.
            libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC);
            Ok(())
        });
    }
    Ok(())
}

/// Sends a signal to the group of a session's first process.
pub fn signal_group(leader: u32, signal: i32) {
    let Ok(leader) = i32::try_from(leader) else { return };
    if leader > 1 {
        // SAFETY: a plain system call.
        unsafe { libc::kill(-leader, signal) };
    }
}

/// A copy of a terminal's server end, as a stream of the runtime.
pub fn terminal_streams(
    terminal: &Terminal,
) -> io::Result<(tokio::net::unix::pipe::Receiver, tokio::net::unix::pipe::Sender)> {
    debug_assert!(terminal.master.as_raw_fd() > 2);
    Ok((
        tokio::net::unix::pipe::Receiver::from_owned_fd_unchecked(terminal.master.try_clone()?)?,
        tokio::net::unix::pipe::Sender::from_owned_fd_unchecked(terminal.master.try_clone()?)?,
    ))
}
