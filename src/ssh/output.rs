//! What came of a command.

use std::{borrow::Cow, fmt, time::Duration};

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ExitStatus {
    /// By itself, with a status.
    Exited(i32),
    /// By a signal, named without `SIG`: `KILL`.
    Signaled(String),
}

impl ExitStatus {
    /// Whether it exited with status 0.
    pub fn is_success(&self) -> bool {
        *self == Self::Exited(0)
    }

    /// The status; none if a signal ended it.
    pub fn code(&self) -> Option<i32> {
        match self {
            Self::Exited(code) => Some(*code),
            Self::Signaled(_) => None,
        }
    }
}

impl fmt::Display for ExitStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(code) => write!(f, "exit status {code}"),
            Self::Signaled(name) => write!(f, "signal {name}"),
        }
    }
}

/// What a command wrote and how it ended.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Output {
    /// What it wrote to stdout, and in a terminal to stderr too; bytes that aren't UTF-8 are replaced.
    pub stdout: String,
    /// What it wrote to stderr; bytes that aren't UTF-8 are replaced.
    pub stderr: String,
    /// How it ended.
    pub status: ExitStatus,
    /// How long it took, from the request to its end.
    pub duration: Duration,
    /// It ended, but a process that it left in the background keeps stdout or stderr open: what that one writes later
    /// is read, so that it can go on, and thrown away.
    pub left_open: bool,
    raw_stdout: Option<Vec<u8>>,
    raw_stderr: Option<Vec<u8>>,
}

impl Output {
    pub(super) fn new(
        stdout: Vec<u8>,
        stderr: Vec<u8>,
        status: ExitStatus,
        duration: Duration,
        left_open: bool,
    ) -> Self {
        let (stdout, raw_stdout) = text(stdout);
        let (stderr, raw_stderr) = text(stderr);
        Self { stdout, stderr, status, duration, left_open, raw_stdout, raw_stderr }
    }

    /// Stdout as it came.
    pub fn stdout_bytes(&self) -> &[u8] {
        self.raw_stdout.as_deref().unwrap_or(self.stdout.as_bytes())
    }

    /// Stderr as it came.
    pub fn stderr_bytes(&self) -> &[u8] {
        self.raw_stderr.as_deref().unwrap_or(self.stderr.as_bytes())
    }
}

/// The text, and the bytes too if they are more than the text.
fn text(bytes: Vec<u8>) -> (String, Option<Vec<u8>>) {
    match String::from_utf8(bytes) {
        Ok(text) => (text, None),
        Err(error) => {
            let bytes = error.into_bytes();
            (String::from_utf8_lossy(&bytes).into_owned(), Some(bytes))
        }
    }
}

/// The end of what was written, for an error.
pub(super) fn tail(bytes: &[u8]) -> String {
    const LONGEST: usize = 4096;
    let start = bytes.len().saturating_sub(LONGEST);
    let text: Cow<'_, str> = String::from_utf8_lossy(&bytes[start..]);
    if start > 0 { format!("…{text}") } else { text.into_owned() }
}

/// How many bytes of each stream are kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct OutputLimit(pub(super) usize);

impl Default for OutputLimit {
    fn default() -> Self {
        Self(64 << 20)
    }
}
