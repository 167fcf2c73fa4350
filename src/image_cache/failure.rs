//! A set-up that has failed: it fails all tests of its run that need it, and is reported whole once.

use super::{SetUp, key::Key};
use crate::{
    connection::Connection,
    error::{Error, ErrorKind},
    lock_file,
    state_directory::SHARED,
};
use std::{
    env, fs,
    io::{self, Write},
    path::PathBuf,
};

/// What the others are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failed {
    /// Whose report has all of it.
    reported_by: String,
    reason: String,
    /// Which attempt of a test it was: a later one tries again.
    attempt: u32,
}

/// nextest's number of the attempt: the retries of a test belong to the same run.
fn attempt() -> u32 {
    env::var("NEXTEST_ATTEMPT").ok().and_then(|attempt| attempt.parse().ok()).unwrap_or(1)
}

impl Failed {
    /// Of an error that is about to be reported by a test, or else by a process.
    pub(super) fn new(error: &Error, test: Option<&str>) -> Self {
        let process = std::process::id();
        let reported_by = match test {
            Some(test) => format!("the test `{test}` (process {process})"),
            None => format!("process {process}"),
        };
        let reason = error.to_string().lines().next().unwrap_or_default().to_owned();
        Self { reported_by, reason, attempt: attempt() }
    }

    /// What was noted in this run.
    pub(super) fn of_run(connection: &Connection, key: &Key) -> Option<Self> {
        let text = fs::read_to_string(path(connection, key)).ok()?;
        let mut lines = text.lines().map(str::to_owned);
        let found = Self { attempt: lines.next()?.parse().ok()?, reported_by: lines.next()?, reason: lines.next()? };
        (found.attempt >= attempt()).then_some(found)
    }

    /// Notes it for the other processes of the run. If that can't be done they run the set-up themselves.
    pub(super) fn note(&self, connection: &Connection, key: &Key) {
        let path = path(connection, key);
        let write = || -> io::Result<()> {
            let new = path.with_extension(format!("{}.new", std::process::id()));
            let text = format!("{}\n{}\n{}\n", self.attempt, self.reported_by, self.reason);
            lock_file::anew(&new)?.write_all(text.as_bytes())?;
            fs::rename(new, &path)
        };
        if let Err(error) = write() {
            tracing::warn!("{} can't be written: {error}", path.display());
        }
    }

    /// The error of whoever comes after the first.
    pub(super) fn error(&self, set_up: &SetUp) -> Error {
        Error::new(ErrorKind::Provisioning, format!("use the snapshot {}", set_up.name()))
            .because(format!("it could not be made: failed to {}", self.reason))
            .advise(format!("{} has the whole report", self.reported_by))
    }
}

fn path(connection: &Connection, key: &Key) -> PathBuf {
    connection.run.directory().join(format!("{SHARED}snapshot.{key}.{}", connection.place()))
}
