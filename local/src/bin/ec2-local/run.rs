//! `ec2-local run`: a command with an endpoint of its own, which ends with it.
//!
//! The endpoint is another process, in a session of its own: it sees by a pipe when this one has ended, in whatever way, and a
//! terminal's Ctrl-C is for the command.

use crate::{environment, output::complain};
use clap::Args;
use ec2_local::endpoint::{Owned, Settings};
use rustix::{
    fs::Mode,
    process::{Pid, Signal, kill_process, umask},
};
use std::{
    ffi::OsString,
    io::{self, ErrorKind},
    os::unix::process::{CommandExt, ExitStatusExt},
    path::PathBuf,
    process::{Child, Command, ExitCode, ExitStatus},
};

/// As of env(1): what failed was this program's, the command can't be run, there is none.
const OWN_FAILURE: u8 = 125;
const CANNOT_RUN: u8 = 126;
const NOT_FOUND: u8 = 127;
/// How shells tell that a signal has ended a program.
const BY_SIGNAL: i32 = 128;

/// The command, and where its endpoint is.
#[derive(Args)]
pub struct CommandLine {
    /// Keep the endpoint's state here, and take its images from here [default: a new directory, gone at the end]
    #[arg(long, value_name = "DIRECTORY")]
    state_directory: Option<PathBuf>,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// Runs it, and ends the endpoint with all that it has; the status to end with.
pub fn run(asked: &CommandLine, settings: &Settings, volume_mounts: bool) -> ExitCode {
    try_run(asked, settings, volume_mounts).unwrap_or_else(|reason| fail(&reason))
}

/// Says what this program has failed to do; the status to end with.
pub fn fail(reason: &str) -> ExitCode {
    complain(&format!("ec2-local: failed to {reason}"));
    OWN_FAILURE.into()
}

fn try_run(asked: &CommandLine, settings: &Settings, volume_mounts: bool) -> Result<ExitCode, String> {
    // What is made for the endpoint is this user's alone; the command has the mask that it was given.
    let mask = umask(Mode::from_raw_mode(0o077));
    let owned = Owned::start(settings, asked.state_directory.as_deref(), volume_mounts);
    umask(mask);
    let owned = owned.map_err(|e| e.to_string())?;
    // Until here a signal has ended this process, and the endpoint with it.
    let signals = Signals::hold().map_err(|e| format!("hold back signals: {e}"))?;
    let status = match start(asked, &owned, &signals) {
        Ok(command) => wait(command, &signals).map(exit_code),
        Err((status, reason)) => {
            complain(&format!("ec2-local: failed to {reason}"));
            Ok(status.into())
        }
    };
    // The status is the command's all the same.
    if let Err(error) = owned.end() {
        complain(&format!("ec2-local: failed to {error}"));
    }
    status
}

fn start(asked: &CommandLine, owned: &Owned, signals: &Signals) -> Result<Child, (u8, String)> {
    let [program, arguments @ ..] = &asked.command[..] else { return Err((OWN_FAILURE, "run no command".to_owned())) };
    let mut command = Command::new(program);
    command.args(arguments).envs(environment::set(owned.client())).env("EC2_LOCAL_STATE_DIR", owned.state());
    for name in environment::UNSET {
        command.env_remove(name);
    }
    signals.release_in(&mut command);
    command.spawn().map_err(|error| {
        let program = program.display();
        match error.kind() {
            ErrorKind::NotFound => (
                NOT_FOUND,
                format!(
                    "run `{program}`: it isn't there, nor in PATH, or the interpreter that its first line names isn't"
                ),
            ),
            ErrorKind::PermissionDenied => {
                (CANNOT_RUN, format!("run `{program}`: {error}; is it a file, and executable (chmod +x)?"))
            }
            _ => (CANNOT_RUN, format!("run `{program}`: {error}")),
        }
    })
}

/// Waits for the command, and passes on what it hasn't got itself.
fn wait(mut command: Child, signals: &Signals) -> Result<ExitStatus, String> {
    let unwaited = |e: io::Error| format!("wait for the command: {e}");
    loop {
        if let Some(status) = command.try_wait().map_err(unwaited)? {
            return Ok(status);
        }
        if let Some(signal) = signals.next().map_err(unwaited)? {
            // It may have ended meanwhile; then it is still to be waited for, and nobody else has its number.
            let _ = kill_process(Pid::from_child(&command), signal);
        }
    }
}

fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status.code().or_else(|| status.signal().map(|signal| BY_SIGNAL + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(OWN_FAILURE).into()
}

/// The signals that are passed on, and that of a child's end, which wait until they are asked for.
struct Signals {
    held: libc::sigset_t,
    before: libc::sigset_t,
}

impl Signals {
    /// Holds them back from now on.
    fn hold() -> io::Result<Self> {
        // SAFETY: all zero bytes are a valid sigset_t, which sigemptyset sets up all the same; each call has valid pointers to them,
        // and SIG_DFL is a disposition that SIGCHLD can have.
        let (held, before, failure) = unsafe {
            let (mut held, mut before): (libc::sigset_t, libc::sigset_t) = (std::mem::zeroed(), std::mem::zeroed());
            libc::sigemptyset(&mut held);
            for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT, libc::SIGCHLD] {
                libc::sigaddset(&mut held, signal);
            }
            // Where who started this ignores the ends of children, they couldn't be waited for.
            libc::signal(libc::SIGCHLD, libc::SIG_DFL);
            let failure = libc::pthread_sigmask(libc::SIG_BLOCK, &held, &mut before);
            (held, before, failure)
        };
        if failure == 0 { Ok(Self { held, before }) } else { Err(io::Error::from_raw_os_error(failure)) }
    }

    /// Has a command begin with what was held back before.
    fn release_in(&self, command: &mut Command) {
        let before = self.before;
        let release = move || {
            // SAFETY: the pointer is valid; no other is passed.
            match unsafe { libc::sigprocmask(libc::SIG_SETMASK, &before, std::ptr::null_mut()) } {
                0 => Ok(()),
                _ => Err(io::Error::last_os_error()),
            }
        };
        // SAFETY: after the fork it only calls sigprocmask, which is safe there (signal-safety(7)), and allocates nothing.
        unsafe { command.pre_exec(release) };
    }

    /// Waits for the next one; none where there is nothing to pass on: a child has ended, or the terminal has told the command as well.
    fn next(&self) -> io::Result<Option<Signal>> {
        // SAFETY: both pointers are valid, and all zero bytes are a valid siginfo_t.
        let (signal, code) = unsafe {
            let mut info: libc::siginfo_t = std::mem::zeroed();
            (libc::sigwaitinfo(&self.held, &mut info), info.si_code)
        };
        if signal < 0 {
            let error = io::Error::last_os_error();
            return if error.kind() == ErrorKind::Interrupted { Ok(None) } else { Err(error) };
        }
        // A process has sent it, and not the kernel (sigaction(2)).
        let is_sent = code <= 0 && signal != libc::SIGCHLD;
        Ok(Signal::from_named_raw(signal).filter(|_| is_sent))
    }
}
