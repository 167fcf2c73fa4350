//! A host of a test's own, and a world around it: so that what is outside is the project's own, too.
//!
//! The test runs again as a process in a network namespace, which is the host; a machine in another one is the world. The
//! switch is in the host's process, so its sockets are the host's.

use crate::machine::{self, Machine};
use ec2_local::network::Nic;
use std::{
    net::{Ipv4Addr, Ipv6Addr},
    os::fd::OwnedFd,
    process::Command,
    thread,
};

const ROLE: &str = "NETWORK_TEST_HOST";

/// Where the world answers: an address on the host's link, one that is far away, and a private one.
pub const WORLD: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 9);
pub const FAR: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 77);
pub const PRIVATE: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 1);
/// What clouds tell their hosts, and nobody else: the world answers there, too.
pub const CLOUDS: [Ipv4Addr; 3] =
    [Ipv4Addr::new(169, 254, 169, 254), Ipv4Addr::new(168, 63, 129, 16), Ipv4Addr::new(192, 0, 0, 192)];
/// The host's addresses: on that link, a private one, one of its link alone.
pub const HOST: [Ipv4Addr; 3] =
    [Ipv4Addr::new(198, 51, 100, 2), Ipv4Addr::new(10, 88, 0, 5), Ipv4Addr::new(169, 254, 7, 7)];

/// The same by IPv6: on the host's link, far away, private.
pub const WORLD6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, 9);
pub const FAR6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 77, 0, 0, 0, 0, 77);
pub const PRIVATE6: Ipv6Addr = Ipv6Addr::new(0xfd99, 0, 0, 0, 0, 0, 0, 1);
/// What clouds tell their hosts, what leads to an address of IPv4, and what is a machine's of another VPC.
pub const NEVER6: [Ipv6Addr; 5] = [
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd00, 0xc1, 0, 0, 0, 0, 0xa9fe, 0xa9fe),
    Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0x0a63, 0x0001),
    Ipv6Addr::new(0x2002, 0x0a63, 1, 0, 0, 0, 0, 1),
    Ipv6Addr::new(0x3fff, 0, 9, 0, 0, 0, 0, 1),
];
/// The host's: on that link, and a private one.
pub const HOST6: [Ipv6Addr; 2] =
    [Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, 2), Ipv6Addr::new(0xfd88, 0, 0, 0, 0, 0, 0, 5)];

/// Runs the body of a test, which is told by its name, on a host of its own; it gets the world.
pub fn on_a_host_of_its_own(test: &str, body: impl FnOnce(Machine)) {
    if std::env::var_os(ROLE).is_some() {
        let link = machine::make_tap(&[2, 0, 0, 0, 9, 1]);
        machine::configure(&HOST, 24, WORLD);
        // The world's router is the host, whichever address it speaks as.
        machine::configure6(&[HOST6[0], HOST6[1], Nic::ROUTER6], 64, WORLD6);
        let mut world = Machine::start(&Nic {
            id: "world".to_owned(),
            vpc: "world".to_owned(),
            mac: [2, 0, 0, 0, 9, 2],
            addresses: [WORLD, FAR, PRIVATE].into_iter().chain(CLOUDS).collect(),
            subnet: (Ipv4Addr::new(198, 51, 100, 0), 24),
            ipv6: [WORLD6, FAR6, PRIVATE6].into_iter().chain(NEVER6).collect(),
            subnet6: Some((Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, 0), 64)),
        });
        let far_end = world.take_tap();
        carry(link.try_clone().unwrap(), far_end.try_clone().unwrap());
        carry(far_end, link);
        return body(world);
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture"]).env(ROLE, "");
    machine::enter_namespaces(&mut command);
    let output = command.output().expect("this test needs user and network namespaces");
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

/// Carries frames from one end to the other, as long as the process lives.
fn carry(from: OwnedFd, to: OwnedFd) {
    thread::spawn(move || {
        let mut frame = vec![0; 10_000];
        while let Ok(length) = rustix::io::read(&from, &mut frame) {
            // What the other end doesn't take is lost, as on any cable.
            let _ = rustix::io::write(&to, &frame[..length]);
        }
    });
}
