//! Roles of one executable: the endpoint and the machines are the running program started again.
//!
//! Whatever program uses this crate calls [`run_named`] before anything else (a hook before `main` will do); it returns
//! at once unless an environment variable names a role.

use std::{env, process::Command};

const VARIABLE: &str = "EC2_LOCAL_ROLE";

/// What a process is when it isn't the program that was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Role {
    /// The endpoint.
    Endpoint,
    /// A machine.
    Sandbox,
}

impl Role {
    /// Names this role in a command's environment.
    pub(crate) fn name_in(self, command: &mut Command) {
        command.env(
            VARIABLE,
            match self {
                Self::Endpoint => "endpoint",
                Self::Sandbox => "sandbox",
            },
        );
    }
}

/// Plays the role that the environment names, and never returns then; returns at once if none is named.
pub fn run_named() {
    let Some(role) = env::var_os(VARIABLE) else { return };
    ignore_broken_pipes();
    match role.to_str() {
        Some("endpoint") => crate::endpoint::role_main(),
        Some("sandbox") => crate::machine::sandbox::role_main(),
        _ => {}
    }
}

/// As Rust's runtime does, but only after a hook before `main`: to write where nobody reads is an error, and not our death.
fn ignore_broken_pipes() {
    // SAFETY: SIG_IGN is a disposition that any signal but KILL and STOP can have, and no other thread runs yet.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
}
