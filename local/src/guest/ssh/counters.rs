//! How often the SSH server was used, for tests that must show that something cost one round trip.

use crate::guest::root::Root;
use serde::Serialize;
use std::sync::Mutex;

/// Where the counters can be read, as JSON.
pub const PATH: &str = "/run/ec2-local/ssh-counters.json";

/// What was counted since the machine booted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Connections that were accepted.
    pub connections: u64,
    /// Connections that passed authentication.
    pub logins: u64,
    /// Channels of any kind that were opened.
    pub channels: u64,
    /// `exec` requests that were started.
    pub execs: u64,
    /// `shell` requests that were started.
    pub shells: u64,
    /// `subsystem` requests that were started.
    pub subsystems: u64,
}

/// The counters, kept in memory and in [`PATH`].
pub struct Counters {
    root: Root,
    counts: Mutex<Counts>,
}

impl Counters {
    /// Starts at nought.
    pub fn new(root: Root) -> Self {
        Self { root, counts: Mutex::default() }
    }

    /// Counts, and writes the file before what was counted goes on: a command that reads it finds itself in it.
    pub fn count(&self, change: impl FnOnce(&mut Counts)) {
        let mut counts = self.counts.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        change(&mut counts);
        let text = serde_json::to_string(&*counts).unwrap_or_default();
        if let Err(error) = self.root.write(PATH, format!("{text}\n"), 0o644) {
            tracing::warn!("failed to write {PATH}: {error}");
        }
    }
}
