//! Who logs in, where, and what is asked of the machine.

use super::{host_key::HostKeyPolicy, key::PrivateKey, route::Route};
use crate::error::{Error, ErrorKind};
use std::fmt;

/// Who logs in, with which key, and which host key the machine must show.
#[derive(Clone, Debug)]
pub struct Login {
    pub(super) user: String,
    pub(super) key: PrivateKey,
    pub(super) host_key: HostKeyPolicy,
    pub(super) machine: Option<String>,
}

impl Login {
    /// Logs in with a key; there is no other way.
    pub fn new(user: impl Into<String>, key: PrivateKey, host_key: HostKeyPolicy) -> Self {
        Self { user: user.into(), key, host_key, machine: None }
    }

    /// What errors call the machine, for example its instance id; its address by default.
    #[must_use]
    pub fn machine(mut self, name: impl Into<String>) -> Self {
        self.machine = Some(name.into());
        self
    }

    /// The user.
    pub fn user(&self) -> &str {
        &self.user
    }
}

/// A machine, and how to become who there.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) route: Route,
    pub(super) login: Login,
}

impl Target {
    /// An error of connecting.
    pub(super) fn failed(&self, kind: ErrorKind) -> Error {
        Error::new(kind, format!("connect to {self} as {}", self.login.user))
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.login.machine {
            Some(machine) => write!(f, "{machine} ({})", self.route),
            None => write!(f, "{}", self.route),
        }
    }
}
