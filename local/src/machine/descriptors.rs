//! How many files a process may have open: whoever runs machines needs some for each, and programs within machines may rely
//! on the usual number.

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

/// Allows this process and its descendants the usual number, and to raise it.
pub(super) fn allow_usual() -> io::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    let usual = limit.maximum.map_or(USUAL, |most| most.min(USUAL));
    Ok(setrlimit(Resource::Nofile, Rlimit { current: Some(usual), ..limit })?)
}
