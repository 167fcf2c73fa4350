//! Endpoints that are killed at any time, and started again; and many machines and clients at once.

#[path = "../endpoint/mod.rs"]
mod endpoint;
mod kill;
mod machines;
mod scale;
mod shared;
mod soak;
mod take_over;
mod volumes;

/// Plays the roles of this executable before the test harness starts: endpoints that are started on demand, and their clients.
extern "C" fn play_role() {
    ec2_local::roles::run_named();
    shared::play_client();
    shared::play_onlooker();
}

#[used]
#[unsafe(link_section = ".init_array")]
static PLAY_ROLE: extern "C" fn() = play_role;
