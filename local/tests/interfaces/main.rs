//! Network interfaces and addresses of one's own, with real machines behind a real endpoint.

mod attached;
mod elastic;
mod machines;
#[allow(dead_code, reason = "shared with the tests of endurance")]
#[path = "../endurance/server.rs"]
mod server;
mod users;
#[allow(dead_code, reason = "shared with the tests of endurance")]
#[path = "../endurance/wire.rs"]
mod wire;

/// Plays the roles of this executable before the test harness starts.
extern "C" fn play_role() {
    ec2_local::roles::run_named();
}

#[used]
#[unsafe(link_section = ".init_array")]
static PLAY_ROLE: extern "C" fn() = play_role;
