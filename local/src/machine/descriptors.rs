//! How many files a process may have open: a process that runs machines needs some for each, and programs within machines may rely
//! on the usual number.
//!
//! It bounds more than that: who sends a descriptor through a socket is refused when more of the same user's, of whatever process,
//! are on their way than the sender may have open (the kernel's `too_many_unix_fds`).

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io;

/// What Linux gives to its first process, and distributions to users: beyond it select(2) is of no use.
const USUAL: u64 = 1024;

/// Allows this process as many as it may have: each machine takes some.
///
/// # Errors
///
/// The kernel refuses it.
pub fn allow_many() -> io::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    Ok(setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })?)
}

/// Allows this process and its descendants the usual number, and to raise it to this one, as far as they may now.
pub(super) fn allow_usual(most: u64) -> io::Result<()> {
    let most = getrlimit(Resource::Nofile).maximum.map_or(most, |hard| hard.min(most));
    Ok(setrlimit(Resource::Nofile, Rlimit { current: Some(most.min(USUAL)), maximum: Some(most) })?)
}
