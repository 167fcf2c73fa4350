//! What can go wrong on the way to a running endpoint.

use ec2_state_directory::shown;
use std::{fmt, io, path::PathBuf};

/// Why the local EC2 can't be used; fits `failed to {error}`.
#[derive(Debug)]
#[non_exhaustive]
pub enum EndpointError {
    /// A file or directory of the state can't be used.
    State {
        /// What was tried.
        tried: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// There is no directory for the state: neither `EC2_LOCAL_STATE_DIR` nor `XDG_STATE_HOME` nor `HOME` is set.
    NoStateDirectory,
    /// The state directory, or something that leads to it or lies in it, is somebody else's, or somebody else could put another in
    /// its place.
    UnsafeStateDirectory {
        /// Which one.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A directory that is to be ours has something in it that isn't.
    ForeignDirectory {
        /// Which one.
        path: PathBuf,
        /// What is in it.
        entry: String,
    },
    /// An endpoint that was killed has left an account that can't be taken over.
    TakeOver {
        /// Where it is.
        directory: PathBuf,
        /// Why not.
        reason: String,
    },
    /// The endpoint did not come up.
    Start {
        /// What it said, or why it could not be started.
        reason: String,
        /// Where it writes its log.
        log: PathBuf,
    },
    /// The endpoint that runs has other settings than those asked for, and can't be replaced by another.
    OtherSettings {
        /// Its process id.
        pid: u32,
        /// Which settings it has, and which were asked for.
        differences: Vec<String>,
        /// What keeps it.
        reason: String,
    },
    /// No endpoint runs, and none was to be started.
    NotRunning,
    /// The endpoint of this process had ended before it was told to.
    Ended {
        /// How.
        how: String,
    },
    /// The endpoint refused a control request, or didn't answer it.
    Control {
        /// What it was asked.
        asked: String,
        /// Why not.
        reason: String,
    },
    /// An image can't be imported, removed or used.
    Image {
        /// What was tried.
        tried: String,
        /// Why not.
        reason: String,
    },
    /// A machine's port can't be reached.
    Connect {
        /// The machine, as it was asked for.
        machine: String,
        /// The port.
        port: u16,
        /// Why not.
        reason: String,
    },
}

impl fmt::Display for EndpointError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        self.write(&mut text)?;
        // There may be names of others' in it.
        f.write_str(&shown(&text))
    }
}

impl EndpointError {
    fn write(&self, f: &mut impl fmt::Write) -> fmt::Result {
        match self {
            Self::State { tried, path, source } if is_full(source) => write!(
                f,
                "{tried} {}: {source}; make room there, or set EC2_LOCAL_STATE_DIR to a directory of your own on a disk that has it",
                path.display()
            ),
            Self::State { tried, path, source } => write!(
                f,
                "{tried} {}: {source}; set EC2_LOCAL_STATE_DIR to a directory of your own on a local disk",
                path.display()
            ),
            Self::NoStateDirectory => f.write_str(
                "find a state directory: neither EC2_LOCAL_STATE_DIR nor XDG_STATE_HOME nor HOME is set; set one of them",
            ),
            Self::UnsafeStateDirectory { path, reason } => write!(
                f,
                "use the state directory {}: {reason}; it must be yours alone: mend that, or set EC2_LOCAL_STATE_DIR to another",
                path.display()
            ),
            Self::ForeignDirectory { path, entry } => write!(
                f,
                "use {} for the state: it isn't empty, and `{entry}` in it isn't the local EC2's, which removes what it takes for its \
                 own; set EC2_LOCAL_STATE_DIR to a new or an empty directory",
                path.display()
            ),
            Self::TakeOver { directory, reason } => {
                let directory = directory.display();
                write!(
                    f,
                    "take over the account in {directory}, whose endpoint was killed: {reason}; start the build that can, or \
                     give the account up: rm -r {directory}"
                )
            }
            Self::Start { reason, log } => {
                write!(f, "start the local EC2: {reason}; its log is {}", log.display())
            }
            Self::OtherSettings { pid, differences, reason } => write!(
                f,
                "have the local EC2 as asked for: process {pid} runs with {}, and {reason}; wait until it isn't used any \
                 more, end it (`kill {pid}`, and its machines end with it), ask for what it has, or set EC2_LOCAL_STATE_DIR to \
                 another directory for one beside it",
                differences.join(", ")
            ),
            Self::Control { asked, reason } => write!(f, "ask the local EC2 for `{asked}`: {reason}"),
            Self::Ended { how } => write!(
                f,
                "keep the local EC2 until the end: it had ended before ({how}), so calls since then were answered by nobody"
            ),
            Self::Image { tried, reason } => write!(f, "{tried}: {reason}"),
            // The switch's own words say what was tried.
            Self::Connect { reason, .. } if reason.starts_with("connect to ") => f.write_str(reason),
            Self::Connect { machine, port, reason } => write!(f, "connect to port {port} of {machine}: {reason}"),
            Self::NotRunning => f.write_str("reach the local EC2: none is running; start one with `ec2-local serve`, or for one command with `ec2-local run`"),
        }
    }
}

/// Whether there is no room, on the disk or for its user.
fn is_full(error: &io::Error) -> bool {
    let kind = match error.get_ref().and_then(|inner| inner.downcast_ref()) {
        Some(ec2_state_directory::Error::Io { source, .. }) => source.kind(),
        _ => error.kind(),
    };
    matches!(kind, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

impl std::error::Error for EndpointError {}

impl From<ec2_state_directory::Error> for EndpointError {
    fn from(error: ec2_state_directory::Error) -> Self {
        match error {
            ec2_state_directory::Error::Io { tried, path, source } => Self::State { tried, path, source },
            ec2_state_directory::Error::Unsafe { path, reason } => Self::UnsafeStateDirectory { path, reason },
            ec2_state_directory::Error::Foreign { directory, entry } => {
                Self::ForeignDirectory { path: directory, entry }
            }
            other => Self::State {
                tried: "use",
                path: PathBuf::from("the state directory"),
                source: io::Error::other(other),
            },
        }
    }
}
