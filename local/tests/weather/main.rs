//! What machines have and do, under what AWS does to its customers: ids that aren't known yet, throttles, lost answers, stuck instances. A
//! real endpoint, real machines, and a client that asks again.

mod client;
mod images;
#[path = "../volumes/machine.rs"]
#[allow(dead_code, reason = "shared with the tests of volumes")]
mod machine;
mod networks;
#[path = "../endurance/server.rs"]
#[allow(dead_code, reason = "shared with the tests of endurance")]
mod server;
mod volumes;
#[path = "../endurance/wire.rs"]
mod wire;

/// Plays the roles of this executable before the test harness starts.
extern "C" fn play_role() {
    ec2_local::roles::run_named();
}

#[used]
#[unsafe(link_section = ".init_array")]
static PLAY_ROLE: extern "C" fn() = play_role;
