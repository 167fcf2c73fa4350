//! The switch with real machines on it: TAP devices in network namespaces, with real TCP servers behind them.
//!
//! They need user and network namespaces and `/dev/net/tun`; where one is missing they fail, and say which.

mod fragments;
mod frames;
mod icmp;
mod ipv6;
mod isolation;
mod lab;
mod leases;
mod machine;
mod metadata;
mod names;
mod neighbours;
mod outside;
mod outside6;
mod public;
mod raw;
mod reaching;
mod routes;
mod security_groups;
mod sizes;
mod slow;
mod thrift;
mod world;

/// No test: the process that holds a machine's namespace, which the tests start.
#[test]
#[ignore = "started by the other tests, inside a namespace"]
fn machine_process() {
    machine::run();
}
