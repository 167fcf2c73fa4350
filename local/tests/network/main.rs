//! The switch with real machines on it: TAP devices in network namespaces, with real TCP servers behind them.
//!
//! They need user and network namespaces and `/dev/net/tun`; where one is missing they fail, and say which.

mod isolation;
mod lab;
mod machine;
mod metadata;
mod neighbours;
mod reaching;
mod security_groups;
mod thrift;

/// No test: the process that holds a machine's namespace, which the tests start.
#[test]
#[ignore = "started by the other tests, inside a namespace"]
fn machine_process() {
    machine::run();
}
