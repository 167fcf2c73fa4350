//! Network interfaces and addresses of one's own, with real machines behind a real endpoint.

mod attached;
mod elastic;
#[path = "../endpoint/mod.rs"]
mod endpoint;
mod machines;
mod users;
