//! The same of IPv6.

use super::*;
use etherparse::{Icmpv6Type, PacketBuilder, icmpv6};
use proptest::prelude::*;
use std::net::Ipv6Addr;

const MACHINE: Ipv6Addr = Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 5);
const OTHER: Ipv6Addr = Ipv6Addr::new(0x3fff, 0, 0, 1, 0, 0, 0, 6);
const START: Instant = Instant::from_micros_const(1000);
const ANYBODY: Peer = Peer::Network6(Ipv6Addr::UNSPECIFIED, 0);
const ANYBODY4: Peer = Peer::Network(Ipv4Addr::UNSPECIFIED, 0);

fn tcp(from: (Ipv6Addr, u16), to: (Ipv6Addr, u16), opens: bool) -> Vec<u8> {
    let builder = PacketBuilder::ipv6(from.0.octets(), to.0.octets(), 64).tcp(from.1, to.1, 7, 1000);
    let builder = if opens { builder.syn() } else { builder.ack(1) };
    let mut packet = Vec::new();
    builder.write(&mut packet, b"").unwrap();
    packet
}

fn udp(from: (Ipv6Addr, u16), to: (Ipv6Addr, u16), payload: &[u8]) -> Vec<u8> {
    let mut packet = Vec::new();
    PacketBuilder::ipv6(from.0.octets(), to.0.octets(), 64).udp(from.1, to.1).write(&mut packet, payload).unwrap();
    packet
}

fn icmp(from: Ipv6Addr, to: Ipv6Addr, kind: u8, rest: &[u8]) -> Vec<u8> {
    let kind = match kind {
        128 => Icmpv6Type::EchoRequest(etherparse::IcmpEchoHeader { id: 9, seq: 1 }),
        129 => Icmpv6Type::EchoReply(etherparse::IcmpEchoHeader { id: 9, seq: 1 }),
        1 => Icmpv6Type::DestinationUnreachable(icmpv6::DestUnreachableCode::Port),
        other => Icmpv6Type::Unknown { type_u8: other, code_u8: 0, bytes5to8: [0; 4] },
    };
    let mut packet = Vec::new();
    PacketBuilder::ipv6(from.octets(), to.octets(), 64).icmpv6(kind).write(&mut packet, rest).unwrap();
    packet
}

/// A packet's payload in two pieces, the first of so many bytes.
fn cut(packet: &[u8], at: usize, identification: u32) -> [Vec<u8>; 2] {
    let (header, payload) = packet.split_at(40);
    let piece = |bytes: &[u8], offset: usize, more: bool| {
        let mut piece = header.to_vec();
        let length = (bytes.len() + 8) as u16;
        piece[4..6].copy_from_slice(&length.to_be_bytes());
        piece[6] = 44;
        piece.extend([header[6], 0]);
        piece.extend((offset as u16 | u16::from(more)).to_be_bytes());
        piece.extend(identification.to_be_bytes());
        piece.extend(bytes);
        piece
    };
    [piece(&payload[..at], 0, true), piece(&payload[at..], at, false)]
}

fn filter(rules: &[(Direction, Traffic, Peer)]) -> Filter {
    let mut filter = Filter::default();
    let rule = |(direction, traffic, peer): &(Direction, Traffic, Peer)| Rule {
        direction: *direction,
        traffic: traffic.clone(),
        peer: peer.clone(),
    };
    filter.set(Vec::new(), rules.iter().map(rule).collect());
    filter
}

impl Filter {
    fn enters6(&mut self, packet: &[u8]) -> bool {
        self.admits(Direction::Ingress, packet, Far::ELSEWHERE, START)
    }

    fn leaves6(&mut self, packet: &[u8]) -> bool {
        self.admits(Direction::Egress, packet, Far::ELSEWHERE, START)
    }
}

#[test]
fn rules_are_of_their_family_and_answers_pass_because_of_their_question() {
    use Direction::{Egress, Ingress};
    let question = tcp((OTHER, 40_000), (MACHINE, 22), true);
    let answer = tcp((MACHINE, 22), (OTHER, 40_000), false);
    for (peer, enters) in [
        (ANYBODY, true),
        (Peer::Network6(OTHER, 64), true),
        (Peer::Network6(MACHINE, 64), false),
        (ANYBODY4, false),
        (Peer::Group("sg-1".into()), false),
    ] {
        let mut filter = filter(&[(Ingress, Traffic::Tcp(22..=22), peer.clone())]);
        assert!(!filter.leaves6(&answer), "nobody has asked");
        assert_eq!(filter.enters6(&question), enters, "{peer:?}");
        assert_eq!(filter.leaves6(&answer), enters, "{peer:?}");
    }
    let mut of_group = filter(&[(Ingress, Traffic::All, Peer::Group("sg-1".into()))]);
    let groups = ["sg-1".to_owned()];
    assert!(of_group.admits(Ingress, &question, Far { port: Some(2), groups: &groups }, START));
    // An address of IPv4 isn't meant by ::/0, nor tracked or not because of it.
    let mut open = filter(&[(Ingress, Traffic::All, ANYBODY), (Egress, Traffic::All, ANYBODY)]);
    let mut v4 = Vec::new();
    PacketBuilder::ipv4([10, 0, 1, 6], [10, 0, 0, 5], 64).udp(9, 9).write(&mut v4, b"?").unwrap();
    assert!(!open.enters6(&v4));
    assert!(open.enters6(&question) && open.leaves6(&answer));
}

#[test]
fn icmpv6_is_of_its_own_and_discovery_never_passes() {
    use Direction::{Egress, Ingress};
    let mut filter =
        filter(&[(Ingress, Traffic::Icmpv6(Some(128), None), ANYBODY), (Egress, Traffic::Udp(0..=65535), ANYBODY)]);
    assert!(filter.enters6(&icmp(OTHER, MACHINE, 128, b"ping")));
    assert!(filter.leaves6(&icmp(MACHINE, OTHER, 129, b"ping")));
    assert!(!filter.leaves6(&icmp(MACHINE, OTHER, 128, b"ping")));
    let sent = udp((MACHINE, 9), (OTHER, 53), b"question");
    assert!(!filter.enters6(&icmp(OTHER, MACHINE, 1, &sent)), "it was never sent");
    assert!(filter.leaves6(&sent));
    assert!(filter.enters6(&icmp(OTHER, MACHINE, 1, &sent)));
    let anothers = udp((OTHER, 9), (MACHINE, 53), b"question");
    assert!(!filter.enters6(&icmp(OTHER, MACHINE, 1, &anothers)), "it isn't about what the machine has sent");
    let mut open = self::filter(&[(Ingress, Traffic::All, ANYBODY), (Egress, Traffic::All, ANYBODY)]);
    for kind in (130..=137).chain(141..=143).chain([0, 5, 100, 127, 148, 151, 200, 255]) {
        assert!(!open.enters6(&icmp(OTHER, MACHINE, kind, &[0; 32])), "{kind}");
        assert!(!open.leaves6(&icmp(MACHINE, OTHER, kind, &[0; 32])), "{kind}");
    }
    for code in [0, 1] {
        let traffic = Traffic::Icmpv6(None, Some(code));
        let enters = self::filter(&[(Ingress, traffic, ANYBODY)]).enters6(&icmp(OTHER, MACHINE, 128, b"ping"));
        assert_eq!(enters, code == 0);
    }
    assert!(!self::filter(&[(Ingress, Traffic::Icmp(None, None), ANYBODY)]).enters6(&icmp(OTHER, MACHINE, 128, b"")));
}

#[test]
fn pieces_follow_the_verdict_on_the_first_and_write_over_nothing() {
    let mut filter = filter(&[(Direction::Ingress, Traffic::Udp(53..=53), ANYBODY)]);
    let open = udp((OTHER, 9), (MACHINE, 53), &[7; 64]);
    let closed = udp((OTHER, 9), (MACHINE, 54), &[7; 64]);
    let [first, last] = cut(&open, 32, 1);
    assert!(!filter.enters6(&last), "before the first");
    assert!(filter.enters6(&first) && filter.enters6(&last));
    assert!(!filter.enters6(&last), "twice");
    let [first, last] = cut(&closed, 32, 2);
    assert!(!filter.enters6(&first) && !filter.enters6(&last));
    // One that overlaps, of the same packet.
    let [first, _] = cut(&open, 32, 3);
    let [_, early] = cut(&open, 24, 3);
    assert!(filter.enters6(&first) && !filter.enters6(&early));
    // Another protocol in a later piece makes no other packet of it: receivers don't look at it.
    let [first, mut last] = cut(&open, 32, 4);
    let [refused, _] = cut(&closed, 32, 4);
    assert!(filter.enters6(&first) && !filter.enters6(&refused));
    last[40] = 6;
    assert!(!filter.enters6(&last), "what was refused after it has taken its place");
    // The header of what is in it must be in the first.
    let [short, _] = cut(&tcp((OTHER, 9), (MACHINE, 53), true), 16, 5);
    assert!(!filter.enters6(&short));
}

proptest! {
    #[test]
    fn no_bytes_break_it(mut bytes in prop::collection::vec(any::<u8>(), 0..200), next in 0u8..70) {
        if bytes.len() > 41 {
            let length = (bytes.len() - 40) as u16;
            (bytes[0], bytes[6]) = (0x60, next);
            bytes[4..6].copy_from_slice(&length.to_be_bytes());
        }
        let mut filter = filter(&[(Direction::Ingress, Traffic::All, ANYBODY)]);
        let _ = filter.enters6(&bytes);
        let _ = filter.leaves6(&bytes);
    }

    #[test]
    fn a_new_connection_comes_in_exactly_if_its_network_may(bits: u128, near: bool, prefix in 0u8..=128, port: u16) {
        let network = if near { Ipv6Addr::from_bits(OTHER.to_bits() ^ (bits >> 100)) } else { Ipv6Addr::from_bits(bits) };
        let expected = (0..prefix).all(|bit| {
            let bit = 1u128 << (127 - bit);
            network.to_bits() & bit == OTHER.to_bits() & bit
        });
        let mut filter = filter(&[(Direction::Ingress, Traffic::Tcp(22..=22), Peer::Network6(network, prefix))]);
        prop_assert_eq!(filter.enters6(&tcp((OTHER, port), (MACHINE, 22), true)), expected);
    }
}
