use super::*;
use etherparse::{ArpHardwareId, PacketBuilder, SlicedPacket};
use proptest::prelude::*;

const OTHER: [u8; 6] = [2, 0, 0, 0, 0, 6];

fn nic() -> Nic {
    Nic {
        id: "eni-1".to_owned(),
        vpc: "vpc-1".to_owned(),
        mac: [2, 0, 0, 0, 0, 5],
        addresses: vec![Ipv4Addr::new(10, 1, 6, 5), Ipv4Addr::new(10, 1, 6, 50)],
        subnet: (Ipv4Addr::new(10, 1, 6, 0), 24),
        ipv6: Vec::new(),
        subnet6: None,
    }
}

fn neighbours() -> Neighbours {
    let mut neighbours = Neighbours::default();
    neighbours.plug_in(1, &nic());
    for (port, mac, address) in [(2, OTHER, [10, 1, 6, 6]), (3, [2, 0, 0, 0, 0, 9], [10, 1, 9, 9])] {
        let subnet = (Ipv4Addr::new(10, 1, address[2], 0), 24);
        neighbours.plug_in(port, &Nic { mac, addresses: vec![address.into()], subnet, ..nic() });
    }
    neighbours
}

fn decide(frame: &mut [u8]) -> Verdict<'_> {
    route(frame, &nic(), true, &neighbours())
}

fn arp_request(sender: ([u8; 6], [u8; 4]), wanted: [u8; 4]) -> Vec<u8> {
    let (hardware, request) = (ArpHardwareId::ETHERNET, ArpOperation::REQUEST);
    let packet = ArpPacket::new(hardware, EtherType::IPV4, request, &sender.0, &sender.1, &[0; 6], &wanted).unwrap();
    let mut frame = Vec::new();
    PacketBuilder::ethernet2(nic().mac, [0xff; 6]).arp(packet).write(&mut frame).unwrap();
    frame
}

/// The MAC address that ARP tells.
fn owner(wanted: [u8; 4]) -> Option<[u8; 6]> {
    match decide(&mut arp_request((nic().mac, [10, 1, 6, 5]), wanted)) {
        Verdict::Reply(reply) => {
            let reply = ArpPacket::from_slice(&reply[ETHERNET..]).unwrap().try_eth_ipv4().unwrap();
            assert_eq!((reply.operation, reply.sender_ipv4), (ArpOperation::REPLY, wanted));
            Some(reply.sender_mac)
        }
        Verdict::Drop => None,
        other => panic!("{other:?}"),
    }
}

fn udp(to: [u8; 6], destination: [u8; 4], ttl: u8, port: u16) -> Vec<u8> {
    let mut frame = Vec::new();
    let builder = PacketBuilder::ethernet2(nic().mac, to).ipv4([10, 1, 6, 5], destination, ttl).udp(9, port);
    builder.write(&mut frame, b"payload").unwrap();
    frame
}

/// Type and code of an ICMP error, and who sent it.
fn complaint(frame: &mut [u8]) -> (u8, u8, Ipv4Addr) {
    let Verdict::Reply(reply) = decide(frame) else { panic!("no reply") };
    let packet = SlicedPacket::from_ethernet(&reply).unwrap();
    let (Some(etherparse::NetSlice::Ipv4(ip)), Some(etherparse::TransportSlice::Icmpv4(icmp))) =
        (packet.net, packet.transport)
    else {
        panic!("no ICMP")
    };
    assert_eq!(ip.header().destination(), [10, 1, 6, 5]);
    (icmp.type_u8(), icmp.code_u8(), ip.header().source_addr())
}

#[test]
fn arp_knows_machines_of_the_subnet_and_the_switch_itself() {
    assert_eq!(owner([10, 1, 6, 1]), Some(ROUTER));
    assert_eq!(owner([10, 1, 6, 2]), Some(ROUTER));
    assert_eq!(owner([169, 254, 169, 254]), Some(ROUTER));
    assert_eq!(owner([169, 254, 169, 253]), Some(ROUTER));
    assert_eq!(owner([10, 1, 6, 6]), Some(OTHER));
    assert_eq!(owner([10, 1, 9, 9]), None, "another subnet");
    assert_eq!(owner([10, 1, 6, 7]), None, "nobody");
    assert_eq!(owner([10, 1, 6, 5]), None, "its own");
}

#[test]
fn arp_answers_probes_and_no_liars() {
    let probe = |mac, address| decide(&mut arp_request((mac, address), [10, 1, 6, 6])) != Verdict::Drop;
    assert!(probe(nic().mac, [0, 0, 0, 0]));
    assert!(probe(nic().mac, [10, 1, 6, 50]));
    assert!(!probe(nic().mac, [10, 1, 6, 9]));
    assert!(!probe(OTHER, [10, 1, 6, 5]));
}

#[test]
fn the_name_server_is_found_without_knowing_the_vpc() {
    let asks = |destination| matches!(decide(&mut udp(ROUTER, destination, 9, 53)), Verdict::Query { .. });
    // 10.1.6.0/24 may lie in 10.1.0.0/16, in 10.1.4.0/22, or be a VPC of its own.
    for server in [[10, 1, 0, 2], [10, 1, 4, 2], [10, 1, 6, 2], [169, 254, 169, 253]] {
        assert!(asks(server), "{server:?}");
    }
    for other in [[10, 1, 6, 1], [10, 0, 0, 2], [10, 1, 5, 2], [169, 254, 169, 254]] {
        assert!(!asks(other), "{other:?}");
    }
}

/// A datagram between the ports of DHCP, and whether it is taken for a message to its server.
fn is_for_dhcp(ethernet: [u8; 6], from: [u8; 4], to: [u8; 4], ports: (u16, u16)) -> bool {
    let mut frame = Vec::new();
    let builder = PacketBuilder::ethernet2(nic().mac, ethernet).ipv4(from, to, 64).udp(ports.0, ports.1);
    builder.write(&mut frame, b"message").unwrap();
    match decide(&mut frame) {
        Verdict::Lease(message) => message == b"message",
        Verdict::Drop | Verdict::Reply(_) => false,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_dhcp_server_is_asked_by_who_has_no_address_yet_and_no_machine_is_one() {
    let (all, ours) = ([0xff; 6], (68, 67));
    assert!(is_for_dhcp(all, [0; 4], [255; 4], ours));
    assert!(is_for_dhcp(all, [10, 1, 6, 5], [255; 4], ours));
    assert!(is_for_dhcp(ROUTER, [10, 1, 6, 5], [10, 1, 6, 1], ours), "a renewal");
    assert!(!is_for_dhcp(all, [10, 1, 6, 6], [255; 4], ours), "in another's name");
    assert!(!is_for_dhcp(all, [0; 4], [255; 4], (68, 68)) && !is_for_dhcp(all, [0; 4], [10, 1, 6, 1], ours));
    for to in [[255; 4], [10, 1, 6, 6], [10, 1, 9, 9]] {
        for ethernet in [all, OTHER, ROUTER] {
            assert!(!is_for_dhcp(ethernet, [10, 1, 6, 5], to, (67, 68)), "it would be an answer");
        }
    }
}

#[test]
fn frames_go_straight_to_a_machine_or_by_the_router() {
    let mut frame = udp(OTHER, [10, 1, 6, 6], 1, 9);
    assert_eq!(decide(&mut frame), Verdict::Forward(2));
    assert_eq!(frame, udp(OTHER, [10, 1, 6, 6], 1, 9), "untouched");

    let mut frame = udp(ROUTER, [10, 1, 9, 9], 64, 9);
    assert_eq!(decide(&mut frame), Verdict::Forward(3));
    assert_eq!((&frame[..6], &frame[6..12]), (&[2, 0, 0, 0, 0, 9][..], &ROUTER[..]));
    let header = Ipv4HeaderSlice::from_slice(&frame[ETHERNET..]).unwrap();
    assert_eq!(header.ttl(), 63);
    assert_eq!(header.header_checksum(), header.to_header().calc_header_checksum());

    assert_eq!(decide(&mut udp([0xff; 6], [10, 1, 6, 6], 9, 9)), Verdict::Drop);
    assert_eq!(decide(&mut udp(OTHER, [10, 1, 9, 9], 9, 9)), Verdict::Drop, "not that machine's address");
    assert_eq!(decide(&mut udp(ROUTER, [224, 0, 0, 1], 9, 9)), Verdict::Drop);
    assert_eq!(decide(&mut udp(ROUTER, [255, 255, 255, 255], 9, 9)), Verdict::Drop);
}

#[test]
fn complaints_name_the_reason() {
    let router = Ipv4Addr::new(10, 1, 6, 1);
    assert_eq!(complaint(&mut udp(ROUTER, [10, 1, 9, 9], 1, 9)), (11, 0, router));
    assert_eq!(complaint(&mut udp(ROUTER, [10, 1, 6, 77], 9, 9)), (3, 1, router));
    assert_eq!(complaint(&mut udp(ROUTER, [10, 1, 6, 1], 9, 123)), (3, 3, router));
}

#[test]
fn what_is_not_of_the_vpc_goes_outside_whole() {
    for destination in [[8, 8, 8, 8], [127, 1, 2, 3], [203, 0, 113, 7], [192, 168, 0, 1]] {
        let mut frame = udp(ROUTER, destination, 9, 53);
        let packet = frame[ETHERNET..].to_vec();
        frame.extend([0; 8]);
        assert_eq!(decide(&mut frame), Verdict::Outside(&packet), "{destination:?}, without what pads it");
    }
}

#[test]
fn a_machine_may_refuse_what_came_to_it_and_nothing_else() {
    let refuse = |outside: [u8; 4], machine: [u8; 4]| {
        let mut quote = Vec::new();
        PacketBuilder::ipv4(outside, machine, 9).tcp(40000, 22, 1, 1).syn().write(&mut quote, &[]).unwrap();
        let kind = Icmpv4Type::DestinationUnreachable(DestUnreachableHeader::HostProhibited);
        let mut frame = Vec::new();
        let builder = PacketBuilder::ethernet2(nic().mac, ROUTER).ipv4([10, 1, 6, 5], [203, 0, 113, 1], 9).icmpv4(kind);
        builder.write(&mut frame, &quote[..28]).unwrap();
        matches!(decide(&mut frame), Verdict::Unwanted { from, to } if from.port() == 40000 && to.port() == 22)
    };
    assert!(refuse([203, 0, 113, 1], [10, 1, 6, 5]));
    assert!(!refuse([203, 0, 113, 2], [10, 1, 6, 5]));
    assert!(!refuse([203, 0, 113, 1], [10, 1, 6, 6]));
}

#[test]
fn unchecked_sources_are_of_private_networks_and_stay_in_the_vpc() {
    let decide = |source: [u8; 4], destination: [u8; 4]| {
        let mut frame = Vec::new();
        let builder = PacketBuilder::ethernet2(nic().mac, ROUTER).ipv4(source, destination, 64).udp(9, 9);
        builder.write(&mut frame, b"?").unwrap();
        match route(&mut frame, &nic(), false, &neighbours()) {
            Verdict::Drop => None,
            verdict => Some(matches!(verdict, Verdict::Forward(3))),
        }
    };
    for source in [[10, 1, 6, 5], [10, 1, 6, 6], [10, 8, 0, 7], [192, 168, 1, 1], [100, 64, 0, 9]] {
        assert_eq!(decide(source, [10, 1, 9, 9]), Some(true), "{source:?}");
    }
    for source in [
        [10, 1, 6, 1],
        [10, 1, 6, 2],
        [10, 1, 0, 2],
        [169, 254, 169, 254],
        [127, 0, 0, 1],
        [203, 0, 113, 7],
        [198, 51, 100, 9],
        [224, 0, 0, 1],
        [0, 0, 0, 0],
        [255, 255, 255, 255],
    ] {
        assert_eq!(decide(source, [10, 1, 9, 9]), None, "{source:?}");
    }
    assert_eq!(decide([10, 1, 6, 50], [8, 8, 8, 8]), Some(false), "outside");
    assert_eq!(decide([10, 8, 0, 7], [8, 8, 8, 8]), None, "a gateway doesn't know it");
}

#[test]
fn a_message_to_the_dhcp_server_comes_in_one_piece() {
    let mut frame = Vec::new();
    let builder = PacketBuilder::ethernet2(nic().mac, [0xff; 6]).ipv4([0; 4], [255; 4], 64).udp(68, 67);
    builder.write(&mut frame, b"message").unwrap();
    let mut ip = etherparse::Ipv4Header::from_slice(&frame[ETHERNET..]).unwrap().0;
    ip.dont_fragment = false;
    ip.more_fragments = true;
    ip.header_checksum = ip.calc_header_checksum();
    frame[ETHERNET..ETHERNET + 20].copy_from_slice(&ip.to_bytes());
    assert_eq!(decide(&mut frame), Verdict::Drop);
}

#[test]
fn source_routes_are_found_wherever_they_stand() {
    for options in [
        &[131, 3, 4, 0][..],
        &[137, 3, 4, 0],
        &[1, 1, 1, 131],
        &[7, 3, 4, 137],
        &[7, 1, 1, 1],
        &[7, 5, 0, 0],
        &[1, 1, 1, 7],
    ] {
        assert!(has_source_route(options), "{options:?}");
    }
    for options in [&[][..], &[0, 131, 3, 4], &[1, 1, 0, 137], &[7, 4, 131, 137], &[148, 4, 0, 0]] {
        assert!(!has_source_route(options), "{options:?}");
    }
}

#[test]
fn a_header_that_lies_is_dropped() {
    let mut short = udp(ROUTER, [10, 1, 9, 9], 64, 9);
    short.truncate(30);
    assert_eq!(decide(&mut short), Verdict::Drop);
    let mut cut = udp(ROUTER, [10, 1, 9, 9], 64, 9);
    cut.pop();
    assert_eq!(decide(&mut cut), Verdict::Drop);
    let mut damaged = udp(ROUTER, [10, 1, 9, 9], 64, 9);
    damaged[ETHERNET + 10] ^= 1;
    assert_eq!(decide(&mut damaged), Verdict::Drop);
}

proptest! {
    #[test]
    fn no_frame_breaks_it(
        mut frame in prop::collection::vec(any::<u8>(), 0..200),
        honest in any::<bool>(),
        kind in prop::sample::select(vec![0x0800u16, 0x0806, 0x86dd]),
    ) {
        if honest && frame.len() >= ETHERNET {
            frame[..6].copy_from_slice(&ROUTER);
            frame[6..12].copy_from_slice(&nic().mac);
            frame[12..ETHERNET].copy_from_slice(&kind.to_be_bytes());
        }
        let _ = decide(&mut frame);
        let _ = opening(&frame);
        let _ = quoted(&frame);
        let _ = has_source_route(&frame);
        prop_assert!(unpadded(&frame).len() <= frame.len());
    }

    /// Past the checks of header and sender, where the more interesting code is.
    #[test]
    fn no_packet_breaks_it(
        payload in prop::collection::vec(any::<u8>(), 0..100),
        destination in prop::sample::select(vec![[10, 1, 6, 1], [10, 1, 6, 2], [169, 254, 169, 254], [8, 8, 8, 8], [10, 1, 9, 9]]),
        protocol in prop::sample::select(vec![1u8, 2, 6, 17]),
        ttl in any::<u8>(),
    ) {
        let length = u16::try_from(payload.len()).unwrap();
        let header = etherparse::Ipv4Header::new(length, ttl, IpNumber(protocol), [10, 1, 6, 5], destination).unwrap();
        let mut frame = frame::from_router(ROUTER).to_vec();
        frame[6..12].copy_from_slice(&nic().mac);
        header.write(&mut frame).unwrap();
        frame.extend(payload);
        if let Verdict::Outside(packet) = decide(&mut frame) {
            let _ = opening(packet);
        }
    }

    #[test]
    fn the_checksum_stays_right_whatever_it_was(ttl in 2u8.., id in any::<u16>(), destination in any::<[u8; 4]>()) {
        ages(ttl, id, destination);
    }
}

#[test]
fn the_checksum_stays_right_where_it_becomes_zero() {
    ages(231, 37613, [189, 211, 52, 18]);
}

#[track_caller]
fn ages(ttl: u8, id: u16, destination: [u8; 4]) {
    let mut header = etherparse::Ipv4Header::new(0, ttl, IpNumber::UDP, [10, 1, 6, 5], destination).unwrap();
    header.identification = id;
    let mut packet = Vec::new();
    header.write(&mut packet).unwrap();
    age(&mut packet);
    let aged = Ipv4HeaderSlice::from_slice(&packet).unwrap();
    assert_eq!(aged.ttl(), ttl - 1);
    assert_eq!(aged.header_checksum(), aged.to_header().calc_header_checksum());
}
