//! `ec2-local image`, as a user types it, and what a running endpoint makes of it.

#[path = "../endpoint/mod.rs"]
mod endpoint;
#[allow(dead_code, reason = "shared with the tests of the sandbox")]
#[path = "../sandbox/system.rs"]
mod system;

mod earlier;
mod importing;
mod long_path;
mod place;
mod running;
mod take_over;

/// Plays the roles of this executable before the test harness starts: an endpoint that is started on demand, and its client.
extern "C" fn play_role() {
    ec2_local::roles::run_named();
    long_path::play_client();
}

#[used]
#[unsafe(link_section = ".init_array")]
static PLAY_ROLE: extern "C" fn() = play_role;
