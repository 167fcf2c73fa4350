//! Snapshots and images of machines, from a real endpoint: what is in them, and what becomes of their files.

#[allow(dead_code, reason = "shared with the tests of the wire")]
#[path = "../wire/fixture.rs"]
mod fixture;
#[allow(dead_code, reason = "shared with the tests of images")]
#[path = "../images/place.rs"]
mod place;
#[allow(dead_code, reason = "shared with the tests of images")]
#[path = "../images/serving.rs"]
mod serving;
#[allow(dead_code, reason = "shared with the tests of the sandbox")]
#[path = "../sandbox/system.rs"]
mod system;

mod account;
mod ends;
mod generations;
mod replaced;
mod users;
