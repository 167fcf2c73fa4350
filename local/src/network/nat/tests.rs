//! The translations, packet by packet.

use super::{message::word, *};
use etherparse::{
    IcmpEchoHeader, Icmpv4Slice, Icmpv4Type, Ipv4HeaderSlice, PacketBuilder, TcpSlice, UdpSlice,
    icmpv4::DestUnreachableHeader,
};
use proptest::prelude::*;

const MACHINE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 5);
const NEIGHBOUR: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 6);
const GATEWAY: Ipv4Addr = Ipv4Addr::new(127, 1, 1, 1);
const PUBLIC: Ipv4Addr = Ipv4Addr::new(127, 2, 2, 2);
const SERVER: Ipv4Addr = Ipv4Addr::new(10, 9, 9, 9);
const START: Instant = Instant::from_micros_const(1000);

fn udp(from: End, to: End, payload: &[u8]) -> Vec<u8> {
    let mut packet = Vec::new();
    PacketBuilder::ipv4(from.0.octets(), to.0.octets(), 64).udp(from.1, to.1).write(&mut packet, payload).unwrap();
    packet
}

fn icmp(from: Ipv4Addr, to: Ipv4Addr, kind: Icmpv4Type, payload: &[u8]) -> Vec<u8> {
    let mut packet = Vec::new();
    PacketBuilder::ipv4(from.octets(), to.octets(), 64).icmpv4(kind).write(&mut packet, payload).unwrap();
    packet
}

/// The ends of a UDP packet, whose checksums are right.
fn ends(packet: &[u8]) -> (End, End) {
    let ip = Ipv4HeaderSlice::from_slice(packet).unwrap();
    assert_eq!(ip.header_checksum(), ip.to_header().calc_header_checksum());
    let udp = UdpSlice::from_slice(&packet[20..]).unwrap();
    let right = udp.to_header().calc_checksum_ipv4_raw(ip.source(), ip.destination(), udp.payload()).unwrap();
    assert_eq!(udp.checksum(), right);
    ((ip.source_addr(), udp.source_port()), (ip.destination_addr(), udp.destination_port()))
}

#[test]
fn a_port_is_ones_own_towards_one_remote_end_and_free_again_after_a_while() {
    let mut translations = Translations::default();
    let mut leave = |port, from: u16, to: u16, now| {
        let mut packet = udp((MACHINE, from), (PUBLIC, to), b"?");
        translations.leave((port, GATEWAY), &mut packet, SERVER, now).unwrap();
        let (source, destination) = ends(&packet);
        assert_eq!((source.0, destination), (GATEWAY, (SERVER, to)));
        source.1
    };
    assert_eq!(leave(1, 5000, 53, START), 5000);
    let second = leave(2, 5000, 53, START);
    assert_ne!(second, 5000);
    assert_eq!((leave(1, 5000, 53, START), leave(2, 5000, 53, START)), (5000, second), "they keep them");
    assert_eq!(leave(2, 5000, 54, START), 5000, "towards another end it is free");
    assert!(PORTS.contains(&leave(3, 68, 53, START)));
    assert_eq!(leave(4, 5000, 53, START + IDLE), 5000);
}

#[test]
fn only_answers_come_back_and_not_for_ever() {
    let mut translations = Translations::default();
    translations.leave((7, GATEWAY), &mut udp((MACHINE, 5000), (PUBLIC, 53), b"?"), SERVER, START).unwrap();
    let mut answer = udp((SERVER, 53), (GATEWAY, 5000), b"!");
    for (packet, sender) in [
        (udp((SERVER, 54), (GATEWAY, 5000), b"!"), PUBLIC),
        (udp((SERVER, 53), (GATEWAY, 5001), b"!"), PUBLIC),
        (answer.clone(), GATEWAY),
    ] {
        assert!(translations.find(&packet, sender, START).is_none());
    }
    assert!(translations.find(&answer, PUBLIC, START + IDLE).is_none());
    let back = translations.find(&answer, PUBLIC, START).unwrap();
    assert_eq!(translations.come_back(&back, &mut answer, START), Some(7));
    assert_eq!(ends(&answer), ((PUBLIC, 53), (MACHINE, 5000)));
    translations.forget(None, &[PUBLIC]);
    assert!(translations.find(&udp((SERVER, 53), (GATEWAY, 5000), b"!"), PUBLIC, START).is_none());
    assert!(translations.by_inner.is_empty());
}

#[test]
fn an_error_quotes_what_its_receiver_sent() {
    let mut translations = Translations::default();
    let mut packet = udp((MACHINE, 5000), (PUBLIC, 53), b"?");
    translations.leave((1, GATEWAY), &mut packet, SERVER, START).unwrap();
    let mut packet = udp((NEIGHBOUR, 5000), (PUBLIC, 53), b"?");
    translations.leave((2, GATEWAY), &mut packet, SERVER, START).unwrap();
    let kind = Icmpv4Type::DestinationUnreachable(DestUnreachableHeader::Port);
    let mut error = icmp(SERVER, GATEWAY, kind, &packet);
    let back = translations.find(&error, PUBLIC, START).unwrap();
    assert_eq!(translations.come_back(&back, &mut error, START), Some(2));
    let message = Icmpv4Slice::from_slice(&error[20..]).unwrap();
    assert_eq!(message.checksum(), message.icmp_type().calc_checksum(message.payload()));
    let quote = message.payload();
    let (ip, udp) = (Ipv4HeaderSlice::from_slice(quote).unwrap(), UdpSlice::from_slice(&quote[20..]).unwrap());
    assert_eq!((ip.source_addr(), udp.source_port()), (NEIGHBOUR, 5000));
    assert_eq!((ip.destination_addr(), udp.destination_port()), (PUBLIC, 53));
}

#[test]
fn echoes_are_told_apart_by_their_identifiers() {
    let mut translations = Translations::default();
    let header = |id| IcmpEchoHeader { id, seq: 1 };
    let id = |packet: &[u8]| {
        let message = Icmpv4Slice::from_slice(&packet[20..]).unwrap();
        assert_eq!(message.checksum(), message.icmp_type().calc_checksum(message.payload()));
        word(packet, 24).unwrap()
    };
    let ids = [1, 2].map(|port| {
        let mut packet = icmp(MACHINE, PUBLIC, Icmpv4Type::EchoRequest(header(2000)), b"ping");
        translations.leave((port, GATEWAY), &mut packet, SERVER, START).unwrap();
        id(&packet)
    });
    assert_ne!(ids[0], ids[1]);
    for (port, own) in [1, 2].into_iter().zip(ids) {
        let mut answer = icmp(SERVER, GATEWAY, Icmpv4Type::EchoReply(header(own)), b"ping");
        let back = translations.find(&answer, PUBLIC, START).unwrap();
        assert_eq!(translations.come_back(&back, &mut answer, START), Some(port));
        assert_eq!(id(&answer), 2000);
    }
    let mut unasked = icmp(MACHINE, PUBLIC, Icmpv4Type::EchoReply(header(9)), b"ping");
    assert!(translations.leave((1, GATEWAY), &mut unasked, SERVER, START).is_none());
}

#[test]
fn nobody_has_all_the_room_and_a_full_table_costs_little() {
    let mut translations = Translations::default();
    let mut leave = |port: u64, number: usize, now| {
        let public = Ipv4Addr::from_bits(PUBLIC.to_bits() + (number >> 14) as u32);
        let mut packet = udp((MACHINE, 1024 + (number % (1 << 14)) as u16), (public, 53), b"?");
        translations.leave((port, GATEWAY), &mut packet, SERVER, now).is_some()
    };
    for port in 1..=4 {
        assert!((0..SHARE).all(|number| leave(port, number + (port as usize) * SHARE, START)));
        assert!(!leave(port, 0, START), "its share");
    }
    assert!(!leave(5, 0, START), "all there is");
    assert!(leave(1, SHARE, START), "one that is known");
    assert!(leave(5, 0, START + IDLE), "others are over");
    let Translations { by_outer, by_inner, held, .. } = &translations;
    assert_eq!((by_outer.len(), by_inner.len(), held.values().sum::<usize>()), (1, 1, 1));
}

#[test]
fn a_free_port_is_looked_for_where_the_last_one_was_found() {
    let mut translations = Translations::default();
    let mut leave = |port, from: u16| {
        let mut packet = udp((MACHINE, from), (PUBLIC, 53), b"?");
        translations.leave((port, GATEWAY), &mut packet, SERVER, START).is_some()
    };
    assert!((0..TRIES as u16 + 1).all(|number| leave(1, 1024 + number)));
    assert!(leave(2, 1024));
}

proptest! {
    #[test]
    fn checksums_stay_right(from: u16, to: u16, taken: bool, payload in prop::collection::vec(any::<u8>(), 0..64)) {
        let mut translations = Translations::default();
        if taken {
            let mut packet = udp((MACHINE, from), (PUBLIC, to), b"?");
            translations.leave((1, GATEWAY), &mut packet, SERVER, START).unwrap();
        }
        let mut packet = udp((MACHINE, from), (PUBLIC, to), &payload);
        translations.leave((2, GATEWAY), &mut packet, SERVER, START).unwrap();
        let ((_, own), _) = ends(&packet);
        let mut answer = udp((SERVER, to), (GATEWAY, own), &payload);
        let back = translations.find(&answer, PUBLIC, START).unwrap();
        translations.come_back(&back, &mut answer, START).unwrap();
        prop_assert_eq!(ends(&answer), ((PUBLIC, to), (MACHINE, from)));

        let mut packet = Vec::new();
        let builder = PacketBuilder::ipv4(MACHINE.octets(), PUBLIC.octets(), 9).tcp(from, to, 1, 2);
        builder.write(&mut packet, &payload).unwrap();
        translations.leave((3, GATEWAY), &mut packet, SERVER, START).unwrap();
        let tcp = TcpSlice::from_slice(&packet[20..]).unwrap();
        let right = tcp.to_header().calc_checksum_ipv4_raw(GATEWAY.octets(), SERVER.octets(), tcp.payload());
        prop_assert_eq!(tcp.checksum(), right.unwrap());
    }

    #[test]
    fn no_packet_breaks_it(mut packet in prop::collection::vec(any::<u8>(), 0..120), kind in 0u8..20) {
        if packet.len() > 21 {
            (packet[0], packet[9], packet[20]) = (0x45, [1, 6, 17][usize::from(kind % 3)], kind);
        }
        let mut translations = Translations::default();
        let _ = translations.leave((1, GATEWAY), &mut packet.clone(), SERVER, START);
        if let Some(back) = translations.find(&packet, PUBLIC, START) {
            let _ = translations.come_back(&back, &mut packet, START);
        }
    }
}
