//! Snapshots and images of machines, from a real endpoint: what is in them, and what becomes of their files.

#[path = "../endpoint/mod.rs"]
mod endpoint;
#[allow(dead_code, reason = "shared with the tests of images")]
#[path = "../images/place.rs"]
mod place;
#[allow(dead_code, reason = "shared with the tests of the sandbox")]
#[path = "../sandbox/system.rs"]
mod system;

mod account;
mod ends;
mod generations;
mod replaced;
mod users;
