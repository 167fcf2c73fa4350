//! Volumes in machines, through the front door: formatted, written, detached, and found again elsewhere. They are the host's
//! root's alone; an ordinary user's machines do without, and say so.

mod lives;
mod machine;
mod mounts;
mod ordinary;
#[path = "../endurance/server.rs"]
#[expect(dead_code, reason = "the tests of endurance need more of it")]
mod server;
mod snapshots;
#[path = "../endurance/wire.rs"]
mod wire;

/// Plays the roles of this executable before the test harness starts.
extern "C" fn play_role() {
    ec2_local::roles::run_named();
}

#[used]
#[unsafe(link_section = ".init_array")]
static PLAY_ROLE: extern "C" fn() = play_role;
