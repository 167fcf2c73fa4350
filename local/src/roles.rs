//! Roles of one executable: the endpoint and the machines are the running program started again.
//!
//! Whatever program uses this crate calls [`run_named`] before anything else (a hook before `main` will do); it returns
//! at once unless an environment variable names a role.

use crate::{
    endpoint,
    machine::{self, ROLE_VARIABLE},
};
use std::env;

/// Plays the role that the environment names, and never returns then; returns at once if none is named.
pub fn run_named() {
    let Some(role) = env::var_os(ROLE_VARIABLE) else { return };
    ignore_broken_pipes();
    match role.to_str() {
        Some(endpoint::ROLE) => endpoint::role_main(),
        Some(endpoint::OWNED_ROLE) => endpoint::owned_role_main(),
        Some(role) => machine::play(role),
        None => {}
    }
}

/// As Rust's runtime does, but only after a hook before `main`: to write where nobody reads is an error, and not our death.
fn ignore_broken_pipes() {
    // SAFETY: SIG_IGN is a disposition that any signal but KILL and STOP can have, and no other thread runs yet.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
}
