//! Endpoints that are killed at any time, and started again; and many machines and clients at once.

mod kill;
mod scale;
mod server;
mod soak;
mod take_over;
mod wire;
