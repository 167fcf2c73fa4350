//! Networks that are made by calls, and what their machines reach of each other: a real endpoint, real machines, typical
//! conditions.

#[allow(dead_code, reason = "shared with the tests of the wire")]
#[path = "../wire/fixture.rs"]
mod fixture;

mod ipv6;
mod joined;
mod serving;
