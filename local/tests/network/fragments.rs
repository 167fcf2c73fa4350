//! Packets in pieces: each follows the verdict on the first.

use crate::{
    lab::{Lab, OPEN, anyone, nic, rule},
    raw::{LAST, Wire, fragment, udp},
};
use ec2_local::network::{Direction, Traffic};
use etherparse::IpNumber;
use std::{
    net::{Ipv4Addr, SocketAddrV4},
    time::Duration,
};

const SENDER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 5);
const RECEIVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 6);
/// The one port that the receiver's group lets in besides [`LAST`].
const ADMITTED: u16 = 9;
const REFUSED: u16 = 10;

/// Runs a test with what goes from one machine to another, whose group lets in UDP to two ports and TCP to one.
fn over_the_wire(test: impl FnOnce(&Wire<'_>)) {
    let lab = Lab::new();
    let nics = [nic("vpc-1", SENDER.octets()), nic("vpc-1", RECEIVER.octets())];
    let admitted = |traffic| rule(Direction::Ingress, traffic, anyone());
    lab.set_rules(
        "sg-1",
        vec![
            admitted(Traffic::Udp(ADMITTED..=ADMITTED)),
            admitted(Traffic::Udp(LAST..=LAST)),
            admitted(Traffic::Tcp(ADMITTED..=ADMITTED)),
        ],
    );
    let (sender, _attached) = lab.machine_of(&[OPEN], &nics[0]);
    let (receiver, _attached) = lab.machine_of(&["sg-1"], &nics[1]);
    test(&Wire::new((&nics[0], &sender), (&nics[1], &receiver)));
}

fn of_udp(identification: u16, at: (u16, bool), payload: &[u8]) -> Vec<u8> {
    fragment(SENDER, RECEIVER, IpNumber::UDP, identification, at, payload)
}

fn of_tcp(identification: u16, at: (u16, bool), payload: &[u8]) -> Vec<u8> {
    fragment(SENDER, RECEIVER, IpNumber::TCP, identification, at, payload)
}

/// The first bytes of a datagram of 32 bytes.
fn beginning(port: u16) -> Vec<u8> {
    udp(SENDER, RECEIVER, 7, port, &[0; 24])[20..].to_vec()
}

#[test]
fn a_later_fragment_whose_first_was_refused_or_never_came_is_dropped() {
    over_the_wire(|wire| {
        assert!(!wire.passes(&of_udp(1, (2, true), &[0; 8])), "its first never came");
        assert!(!wire.passes(&of_udp(2, (0, true), &beginning(REFUSED)[..16])), "a first one to another port");
        assert!(!wire.passes(&of_udp(2, (2, false), &beginning(REFUSED)[16..])), "its first was refused");
        assert!(wire.passes(&of_udp(3, (0, true), &beginning(ADMITTED)[..16])));
        assert!(!wire.passes(&of_udp(2, (2, false), &[0; 16])), "another packet's first was admitted");
        assert!(!wire.passes(&of_tcp(3, (2, false), &[0; 16])), "another protocol's");
        assert!(wire.passes(&of_udp(3, (2, false), &beginning(ADMITTED)[16..])));
        assert!(!wire.passes(&of_udp(3, (2, false), &[0; 16])), "it has come already");
    });
}

#[test]
fn fragments_cannot_change_what_the_first_has_said() {
    over_the_wire(|wire| {
        // RFC 1858: the flags of TCP in a fragment of their own, or written over.
        let mut syn = crate::raw::tcp_syn(SENDER, RECEIVER, 7, ADMITTED)[20..].to_vec();
        syn.extend([0; 12]);
        assert!(!wire.passes(&of_tcp(1, (0, true), &syn[..8])), "without its flags");
        assert!(!wire.passes(&of_tcp(1, (1, false), &syn[8..])));
        assert!(wire.passes(&of_tcp(2, (0, true), &syn[..24])));
        assert!(!wire.passes(&of_tcp(2, (1, true), &syn[8..24])), "over its flags");
        assert!(!wire.passes(&of_tcp(2, (3, false), &syn[24..])), "of a packet that was written over");
        // RFC 5722: whatever overlaps is dropped, and so is all that follows.
        assert!(wire.passes(&of_udp(3, (0, true), &beginning(ADMITTED)[..24])));
        assert!(!wire.passes(&of_udp(3, (2, true), &[0; 16])));
        assert!(!wire.passes(&of_udp(3, (3, false), &[0; 8])));
        assert!(!wire.passes(&of_udp(4, (0, true), &beginning(ADMITTED)[..4])), "without its ports");
        assert!(!wire.passes(&of_udp(5, (0, true), &beginning(ADMITTED)[..15])), "in no units of eight bytes");
        assert!(wire.passes(&of_udp(6, (0, true), &beginning(ADMITTED)[..16])));
        assert!(!wire.passes(&of_udp(6, (8189, false), &[0; 64])), "further than a packet can be");
    });
}

#[test]
fn a_large_datagram_arrives_whole() {
    let lab = Lab::new();
    for to in [[10, 0, 0, 6], [10, 0, 1, 6]] {
        let (a, _attached) = lab.machine(&nic("vpc-1", SENDER.octets()));
        let (b, _attached) = lab.machine(&nic("vpc-1", to));
        let (from, to) = (a.udp(), b.udp());
        to.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        rustix::net::bind(&to, &SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 9)).unwrap();
        for length in [9000, 20_000, 65_507] {
            let datagram: Vec<u8> = (0..length).map(|at| at as u8).collect();
            from.send_to(&datagram, (b.address, 9)).unwrap();
            let mut buffer = vec![0; 70_000];
            let got = to.recv(&mut buffer).unwrap();
            assert!(buffer[..got] == datagram, "{length}");
        }
    }
}
