//! Machines of namespaces, booted for real, as the user who runs the tests; as root also as ordinary users of several kinds.

mod bounds;
mod calls;
mod canaries;
mod containment;
mod descriptors;
mod devices;
mod endpoint;
mod fixture;
mod images;
mod life;
mod login;
#[path = "../network/machine.rs"]
#[expect(dead_code, reason = "the tests of the switch need more of it")]
mod machine;
mod outside;
mod packages;
mod planted;
mod private;
mod ranges;
mod share;
mod system;
mod tables;
mod tools;
mod users;
mod views;
mod volume;
#[path = "../network/world.rs"]
mod world;

use ec2_local::machine::sandbox;

/// Plays the roles of this executable before the test harness starts.
extern "C" fn play_role() {
    match std::env::var(sandbox::ROLE_VARIABLE).as_deref() {
        Ok(sandbox::ROLE) => sandbox::role_main(),
        Ok("test-endpoint") => endpoint::endpoint_main(),
        _ => {}
    }
}

#[used]
#[unsafe(link_section = ".init_array")]
static PLAY_ROLE: extern "C" fn() = play_role;

/// No test: the process that holds the world's namespace, which the tests start.
#[test]
#[ignore = "started by the other tests, inside a namespace"]
fn machine_process() {
    machine::run();
}
