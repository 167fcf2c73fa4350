//! Process 1 of a machine: it starts the agent, collects orphans, and ends the machine.
//!
//! How a machine is ended from within, by root: SIGTERM to process 1 powers it off, SIGINT reboots it (what Ctrl-Alt-Del
//! is to other inits). Either way all processes get SIGTERM (and SIGHUP, which is what an idle shell heeds), a [`GRACE`],
//! then SIGKILL, and the agent goes last. The system call reboot(2) works as well, and ends everything at once, as it does on any machine.
//!
//! What this isn't: a service manager. It looks after one process, the agent, which it starts again if it dies.

use rustix::{
    process::{Pid, Signal, WaitOptions, WaitStatus, kill_process},
    stdio::{dup2_stderr, dup2_stdin, dup2_stdout},
};
use std::{
    fs::File,
    io::{self, Write},
    mem::{MaybeUninit, zeroed},
    os::fd::OwnedFd,
    process::exit,
    time::{Duration, Instant},
};

/// How long processes have between SIGTERM and SIGKILL when the machine is ended.
pub const GRACE: Duration = Duration::from_secs(5);
/// How long the agent has after all others to pass on how they ended.
const LAST_WORDS: Duration = Duration::from_millis(20);
/// How often it is looked whether they have.
const LOOK: Duration = Duration::from_millis(5);
/// How long the agent stays away after it died.
const PAUSE: Duration = Duration::from_millis(500);

/// How a machine ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It goes off.
    PowerOff,
    /// It wants to be started again.
    Reboot,
}

/// How willingly the kernel ends this process when memory is short (proc(5), `oom_score_adj`): sooner than anything of the
/// host's, but later than what runs in the machine.
#[derive(Debug)]
pub struct OomScore(Option<File>);

impl OomScore {
    /// Init's.
    pub const INIT: &str = "900";
    /// Less than that.
    const LESS: &str = "899";
    /// Everything else's.
    const OTHERS: &str = "1000";

    /// This process's, to be changed later; where there is no such file, nothing will.
    pub fn of_this_process() -> Self {
        Self(File::options().write(true).open("/proc/self/oom_score_adj").ok())
    }

    /// Whether this process can be less willing than [`Self::INIT`], which it is: then so can anyone who is root beside it.
    pub fn can_be_less(&self) -> bool {
        let written = |points: &str| self.0.as_ref().is_some_and(|mut file| file.write_all(points.as_bytes()).is_ok());
        written(Self::LESS) && written(Self::INIT)
    }

    fn set(&self, points: &str) {
        // Less of a difference is no reason to fail.
        let _ = self.0.as_ref().map(|mut file| file.write_all(points.as_bytes()));
    }
}

/// Looks after the machine until it ends. `agent` runs in a child process, first with `first_boot`, and with false
/// when it has to be started again; what it returns is the reason why it gave up.
///
/// The calling process must have one thread only.
pub fn run(
    console: &OwnedFd,
    oom_score: &OomScore,
    first_boot: bool,
    agent: impl Fn(bool) -> io::Result<()>,
) -> io::Result<End> {
    let signals = Signals::block()?;
    let start = |first_boot| {
        // It is inherited.
        oom_score.set(OomScore::OTHERS);
        let child = start(&signals, console, || agent(first_boot));
        oom_score.set(OomScore::INIT);
        child
    };
    let mut child = Some(start(first_boot)?);
    let mut again = Instant::now();
    loop {
        let pause = child.is_none().then(|| again.saturating_duration_since(Instant::now()));
        match signals.wait(pause) {
            Some(libc::SIGTERM | libc::SIGPWR) => return end(&signals, console, child, End::PowerOff),
            Some(libc::SIGINT) => return end(&signals, console, child, End::Reboot),
            _ => {}
        }
        while let Some((pid, status)) = reap() {
            if Some(pid) == child {
                say(console, &format!("init: the agent ended ({}); starting it again", describe(status)));
                child = None;
                again = Instant::now() + PAUSE;
            }
        }
        if child.is_none() && Instant::now() >= again {
            match start(false) {
                Ok(pid) => child = Some(pid),
                // The machine has as many processes as it may have, or no memory: that may pass.
                Err(error) => {
                    say(console, &format!("init: failed to {error}; trying again"));
                    again = Instant::now() + PAUSE;
                }
            }
        }
    }
}

/// Sees that no signal is lost until [`run`] waits for them: the kernel drops what process 1 neither handles nor blocks.
pub fn expect_signals() -> io::Result<()> {
    Signals::block().map(drop)
}

/// Writes a line to the console.
pub fn say(console: &OwnedFd, line: &str) {
    // A console that nobody reads any more is no reason to fail.
    let _ = rustix::io::dup(console)
        .map(File::from)
        .and_then(|mut console| console.write_all(format!("{line}\r\n").as_bytes()).map_err(|_| rustix::io::Errno::IO));
}

fn start(signals: &Signals, console: &OwnedFd, agent: impl FnOnce() -> io::Result<()>) -> io::Result<Pid> {
    // SAFETY: the caller promises that this process has one thread, so the child may do all that its parent may.
    match unsafe { libc::fork() } {
        -1 => {
            let error = io::Error::last_os_error();
            Err(io::Error::new(error.kind(), format!("start the agent: {error}")))
        }
        pid if pid > 0 => Pid::from_raw(pid).ok_or_else(|| io::ErrorKind::InvalidData.into()),
        _ => {
            let run = || {
                signals.unblock()?;
                rustix::process::setsid()?;
                // Closed at once: the agent closes all that it finds open, and nothing may be closed twice.
                dup2_stdin(File::open("/dev/null")?)?;
                dup2_stdout(console)?;
                dup2_stderr(console)?;
                rustix::thread::set_name(c"agent")?;
                agent()
            };
            let result = run();
            if let Err(error) = &result {
                say(console, &format!("init: the agent failed to {error}"));
            }
            exit(i32::from(result.is_err()))
        }
    }
}

/// Ends all processes, the agent last: who asked for the end over SSH is told how the request went.
fn end(signals: &Signals, console: &OwnedFd, agent: Option<Pid>, end: End) -> io::Result<End> {
    say(console, if end == End::Reboot { "init: rebooting" } else { "init: powering off" });
    // As shutdown(8) tells everybody that it goes on; root may have put something else in its place.
    let _ = std::fs::write("/run/nologin", "The machine is going down.\n");
    let deadline = Instant::now() + GRACE;
    let asked = others(agent);
    for signal in [Signal::TERM, Signal::HUP, Signal::CONT] {
        for process in &asked {
            // It may have ended meanwhile.
            let _ = kill_process(*process, signal);
        }
    }
    while any_left() && !others(agent).is_empty() && Instant::now() < deadline {
        signals.wait(Some(LOOK));
    }
    let stubborn = others(agent);
    if !stubborn.is_empty() {
        say(console, "init: killing what has not ended by itself");
        for process in stubborn {
            let _ = kill_process(process, Signal::KILL);
        }
    }
    let pause = Instant::now() + LAST_WORDS;
    while any_left() && Instant::now() < pause {
        signals.wait(Some(LOOK));
    }
    // Whatever is left dies with process 1.
    Ok(end)
}

/// All processes but this one and the agent.
fn others(agent: Option<Pid>) -> Vec<Pid> {
    // A machine whose root has taken /proc away gets no grace.
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let numbers = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    numbers.filter_map(Pid::from_raw).filter(|pid| *pid != Pid::INIT && Some(*pid) != agent).collect()
}

/// Collects what has ended, and says whether a process is left: all of them are, or become, this one's children.
fn any_left() -> bool {
    loop {
        match rustix::process::wait(WaitOptions::NOHANG) {
            Ok(Some(_)) | Err(rustix::io::Errno::INTR) => {}
            Ok(None) => return true,
            Err(_) => return false,
        }
    }
}

fn reap() -> Option<(Pid, WaitStatus)> {
    rustix::process::wait(WaitOptions::NOHANG).ok().flatten()
}

fn describe(status: WaitStatus) -> String {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (_, Some(signal)) => format!("signal {signal}"),
        _ => format!("wait status {}", status.as_raw()),
    }
}

/// The signals that init waits for. They are blocked, not handled: process 1 gets even those that it does nothing about.
struct Signals(libc::sigset_t);

impl Signals {
    fn block() -> io::Result<Self> {
        let mut set = MaybeUninit::uninit();
        // SAFETY: sigemptyset initialises the set; the pointers are valid for the calls.
        unsafe {
            libc::sigemptyset(set.as_mut_ptr());
            let mut set = set.assume_init();
            for signal in [libc::SIGCHLD, libc::SIGTERM, libc::SIGINT, libc::SIGPWR, libc::SIGHUP] {
                libc::sigaddset(&raw mut set, signal);
            }
            if libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) == -1 {
                return Err(io::Error::last_os_error());
            }
            Ok(Self(set))
        }
    }

    fn unblock(&self) -> io::Result<()> {
        // SAFETY: the pointer is valid for the call.
        match unsafe { libc::sigprocmask(libc::SIG_UNBLOCK, &raw const self.0, std::ptr::null_mut()) } {
            -1 => Err(io::Error::last_os_error()),
            _ => Ok(()),
        }
    }

    /// Waits for one of the signals, for ever if no time is given.
    fn wait(&self, time: Option<Duration>) -> Option<i32> {
        // SAFETY: both structures are plain data for which zeroes are valid; the pointers are valid for the call.
        let received = unsafe {
            let mut limit: libc::timespec = zeroed();
            let mut limit_at = std::ptr::null();
            if let Some(time) = time {
                limit.tv_sec = time.as_secs().try_into().unwrap_or(libc::time_t::MAX);
                limit.tv_nsec = time.subsec_nanos().into();
                limit_at = &raw const limit;
            }
            libc::sigtimedwait(&raw const self.0, std::ptr::null_mut(), limit_at)
        };
        (received > 0).then_some(received)
    }
}

/// Asks process 1 to end the machine, as `poweroff` and `reboot` do.
pub fn request(end: End) -> io::Result<()> {
    let signal = if end == End::Reboot { Signal::INT } else { Signal::TERM };
    Ok(kill_process(Pid::INIT, signal)?)
}
