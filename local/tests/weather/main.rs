//! What machines have and do, under what AWS does to its customers: ids that aren't known yet, throttles, lost answers, stuck instances. A
//! real endpoint, real machines, and a client that asks again.

mod client;
#[path = "../endpoint/mod.rs"]
mod endpoint;
mod images;
#[path = "../volumes/machine.rs"]
#[allow(dead_code, reason = "shared with the tests of volumes")]
mod machine;
mod networks;
mod volumes;
