//! `ec2-local image`, as a user types it, and what a running endpoint makes of it.

#[allow(dead_code, reason = "shared with the tests of the wire")]
#[path = "../wire/fixture.rs"]
mod fixture;
#[allow(dead_code, reason = "shared with the tests of the sandbox")]
#[path = "../sandbox/system.rs"]
mod system;

mod earlier;
mod importing;
mod long_path;
mod place;
mod running;
mod serving;
mod take_over;
