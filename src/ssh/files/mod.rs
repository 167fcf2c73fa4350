//! Files and directories, to the machine and from it.
//!
//! They go through `sh`, `cat` and, for directories, `tar` over an exec channel rather than SFTP: that way they go as
//! root too, at one round trip. They are streamed, and appear under their name only when they are complete.

mod pull;
mod push;
mod queue;
mod tree;

#[cfg(test)]
pub(super) use tree::unpack as unpack_for_tests;

use super::{command::Command, output::Output, session::Session};
use crate::error::{Error, ErrorKind};
use std::{path::Path, time::Duration};

/// How files are copied; the default is as the login user, with the mode and time of the original, without limit.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Transfer {
    prefix: Vec<String>,
    mode: Option<u32>,
    timeout: Option<Duration>,
}

impl Transfer {
    /// The default.
    pub fn new() -> Self {
        Self::default()
    }

    /// Words that the machine's side is run by, for example `sudo -n --`; none by default.
    pub fn prefix<W: Into<String>>(mut self, words: impl IntoIterator<Item = W>) -> Self {
        self.prefix = words.into_iter().map(Into::into).collect();
        self
    }

    /// The mode of a file that is pushed or written, for example `0o600`; by default that of the local file, and 0644
    /// for bytes. Directories ignore it.
    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = Some(mode & 0o7777);
        self
    }

    /// How long it may take; unlimited by default.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    fn command(&self, script: &str, remote: &str) -> Command {
        let command = Command::new(script).prefix(self.prefix.clone()).env("d", remote);
        match self.timeout {
            Some(timeout) => command.timeout(timeout),
            None => command,
        }
    }
}

/// What is copied where, for errors.
struct Copying {
    tried: String,
}

impl Copying {
    fn push(session: &Session, local: &Path, remote: &str) -> Self {
        Self { tried: format!("push {} to {remote} on {}", local.display(), session.0.target) }
    }

    fn pull(session: &Session, remote: &str, local: &Path) -> Self {
        Self { tried: format!("pull {remote} on {} to {}", session.0.target, local.display()) }
    }

    fn failed(&self, reason: impl Into<String>) -> Error {
        Error::new(ErrorKind::Transfer, &self.tried).because(reason)
    }

    /// Both sides must have done their part. If only the other side hung up on ours, its reason is the reason.
    fn outcome<T>(&self, here: std::io::Result<T>, there: Result<Output, Error>) -> Result<T, Error> {
        if let Err(error) = &here
            && !queue::is_hung_up(error)
        {
            return Err(self.failed(error.to_string()));
        }
        let output = there.map_err(|error| error.while_trying(&self.tried))?;
        if !output.status.is_success() {
            return Err(self.refused(&output));
        }
        here.map_err(|error| self.failed(error.to_string()))
    }

    fn refused(&self, output: &Output) -> Error {
        let said = output.stderr.trim();
        self.failed(if said.is_empty() { output.status.to_string() } else { said.to_owned() })
    }
}
