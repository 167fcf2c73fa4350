//! Networks that are made by calls, and what their machines reach of each other: a real endpoint, real machines, typical
//! conditions.

#[path = "../endpoint/mod.rs"]
mod endpoint;

mod ipv6;
mod joined;
mod networks;
