//! What an endpoint touches in a state directory, and what it never does: as root, and as an ordinary user.

mod checks;
#[path = "../endpoint/mod.rs"]
mod endpoint;
mod full;
mod immutable;
mod journals;
mod place;
mod refused;
mod removed;
mod users;
