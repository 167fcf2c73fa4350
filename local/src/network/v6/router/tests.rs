use super::{super::METADATA, *};
use crate::network::{Route, Via};
use etherparse::{Icmpv6Type, PacketBuilder};
use proptest::prelude::*;

const NETWORK: Ipv6Addr = Ipv6Addr::new(0x3fff, 0, 0, 1, 0, 0, 0, 0);
const OWN: Ipv6Addr = at(5);
const NEIGHBOUR: Ipv6Addr = at(6);
const NOBODY: Ipv6Addr = at(7);
const FAR: Ipv6Addr = Ipv6Addr::new(0x3fff, 0, 0, 2, 0, 0, 0, 5);
const WORLD: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
const MAC: [u8; 6] = [2, 0, 0, 0, 0, 5];
const ITS: [u8; 6] = [2, 0, 0, 0, 0, 6];
const LINK: Ipv6Addr = super::super::link_local(MAC);

const fn at(host: u16) -> Ipv6Addr {
    Ipv6Addr::new(0x3fff, 0, 0, 1, 0, 0, 0, host)
}

fn nic_at(id: &str, mac: [u8; 6], address: Ipv6Addr, network: Ipv6Addr) -> Nic {
    Nic {
        id: id.into(),
        vpc: "vpc-1".into(),
        mac,
        addresses: Vec::new(),
        subnet: ([10, 0, 0, 0].into(), 24),
        ipv6: vec![address],
        subnet6: Some((network, 64)),
    }
}

fn nic() -> Nic {
    nic_at("eni-1", MAC, OWN, NETWORK)
}

fn neighbours() -> Neighbours {
    let mut neighbours = Neighbours::default();
    neighbours.plug_in(1, &nic());
    neighbours.plug_in(2, &nic_at("eni-2", ITS, NEIGHBOUR, NETWORK));
    neighbours.plug_in(3, &nic_at("eni-3", [2, 0, 0, 0, 0, 7], FAR, Ipv6Addr::new(0x3fff, 0, 0, 2, 0, 0, 0, 0)));
    neighbours
}

fn udp_of(mac: [u8; 6], from: (Ipv6Addr, u16), to: (Ipv6Addr, u16), hops: u8) -> Vec<u8> {
    let builder = PacketBuilder::ethernet2(MAC, mac).ipv6(from.0.octets(), to.0.octets(), hops).udp(from.1, to.1);
    let mut frame = Vec::new();
    builder.write(&mut frame, b"payload").unwrap();
    frame
}

fn icmp_of(mac: [u8; 6], from: Ipv6Addr, to: Ipv6Addr, hops: u8, kind: u8, body: &[u8]) -> Vec<u8> {
    let builder = PacketBuilder::ethernet2(MAC, mac).ipv6(from.octets(), to.octets(), hops);
    let kind = Icmpv6Type::Unknown { type_u8: kind, code_u8: 0, bytes5to8: [0; 4] };
    let mut frame = Vec::new();
    builder.icmpv6(kind).write(&mut frame, body).unwrap();
    frame
}

/// The kind of verdict, and what the switch says: by type of ICMPv6.
fn verdict(mut frame: Vec<u8>, check: bool) -> String {
    let said = |frame: &[u8]| format!("says {}", frame[ETHERNET + header::LENGTH]);
    match route(&mut frame, &nic(), check, &neighbours()) {
        None | Some(Verdict::Drop) => "drop".into(),
        Some(Verdict::Reply(frame)) => said(&frame),
        Some(Verdict::Replies(frames)) => frames.iter().map(|frame| said(frame)).collect::<Vec<_>>().join(", "),
        Some(Verdict::Forward(port)) => format!("to {port}"),
        Some(Verdict::Service(_)) => "service".into(),
        Some(Verdict::Outside(_)) => "outside".into(),
        Some(Verdict::Lease6 { client, .. }) => format!("lease for {client}"),
        Some(Verdict::Query { .. }) => "query".into(),
        Some(_) => "something of IPv4".into(),
    }
}

#[test]
fn machines_reach_their_neighbours_and_nobody_speaks_in_anothers_name() {
    let own = (OWN, 9);
    assert_eq!(verdict(udp_of(ITS, own, (NEIGHBOUR, 9), 64), true), "to 2");
    assert_eq!(verdict(udp_of(ROUTER, own, (FAR, 9), 64), true), "to 3");
    assert_eq!(verdict(udp_of(ROUTER, own, (FAR, 9), 1), true), "says 3");
    assert_eq!(verdict(udp_of(ROUTER, own, (FAR, 9), 0), true), "drop");
    assert_eq!(verdict(udp_of(MAC, own, (NEIGHBOUR, 9), 64), true), "drop", "it isn't its MAC address");
    assert_eq!(verdict(udp_of(ROUTER, own, (NOBODY, 9), 64), true), "says 1");
    assert_eq!(verdict(udp_of(ROUTER, own, (WORLD, 9), 64), true), "outside");
    for other in [NEIGHBOUR, NOBODY, WORLD, LINK, GATEWAY, METADATA, Ipv6Addr::UNSPECIFIED, Ipv6Addr::LOCALHOST] {
        assert_eq!(verdict(udp_of(ITS, (other, 9), (NEIGHBOUR, 9), 64), true), "drop", "{other}");
    }
    for other in [LINK, GATEWAY, METADATA, NAMES, WORLD, Ipv6Addr::UNSPECIFIED, Ipv6Addr::LOCALHOST] {
        assert_eq!(verdict(udp_of(ITS, (other, 9), (NEIGHBOUR, 9), 64), false), "drop", "{other}");
    }
    assert_eq!(verdict(udp_of(ITS, (FAR, 9), (NEIGHBOUR, 9), 64), false), "to 2", "it may send on what is another's");
    let to_link = (super::super::link_local(ITS), 9);
    assert_eq!(verdict(udp_of(ITS, own, to_link, 64), true), "drop", "links aren't of machines");
    assert_eq!(verdict(udp_of(ROUTER, own, to_link, 64), true), "drop");
    for group in ["ff02::1", "ff02::fb", "ff05::2"] {
        assert_eq!(verdict(udp_of(ROUTER, own, (group.parse().unwrap(), 9), 64), true), "drop", "{group}");
    }
}

#[test]
fn what_comes_back_by_a_machine_between_may_pass() {
    let mut neighbours = neighbours();
    let route_by = |nic: &str| Route { destination: (WORLD.into(), 64), via: Via::NetworkInterface(nic.into()) };
    neighbours.set_routes(2, vec![route_by("eni-1")]);
    let mut frame = udp_of(ITS, (WORLD, 9), (NEIGHBOUR, 9), 64);
    assert_eq!(route(&mut frame, &nic(), false, &neighbours), Some(Verdict::Forward(2)));
}

#[test]
fn who_has_an_address_is_known_and_never_learnt() {
    let solicit = |from, to, hops, target: Ipv6Addr| icmp_of(ROUTER, from, to, hops, 135, &target.octets());
    let asked: Ipv6Addr = "ff02::1:ff00:6".parse().unwrap();
    assert_eq!(verdict(solicit(OWN, asked, 255, NEIGHBOUR), true), "says 136");
    assert_eq!(verdict(solicit(LINK, NEIGHBOUR, 255, NEIGHBOUR), true), "says 136");
    assert_eq!(verdict(solicit(OWN, asked, 255, GATEWAY), true), "says 136, says 134");
    assert_eq!(verdict(solicit(Ipv6Addr::UNSPECIFIED, asked, 255, NEIGHBOUR), true), "says 136", "it is taken");
    assert_eq!(verdict(solicit(Ipv6Addr::UNSPECIFIED, asked, 255, OWN), true), "drop", "it is its own");
    assert_eq!(verdict(solicit(OWN, asked, 255, NOBODY), true), "drop");
    assert_eq!(verdict(solicit(OWN, asked, 255, FAR), true), "drop", "it isn't on the link");
    assert_eq!(verdict(solicit(OWN, asked, 64, NEIGHBOUR), true), "drop", "it has come over a router");
    assert_eq!(verdict(solicit(NEIGHBOUR, asked, 255, NOBODY), true), "drop", "it isn't its own address");
    let routers: Ipv6Addr = "ff02::2".parse().unwrap();
    assert_eq!(verdict(icmp_of(ROUTER, LINK, routers, 255, 133, &[]), true), "says 134");
    // What a machine says of neighbours and routers, to whomever.
    for kind in [134, 136, 137] {
        for to in [NEIGHBOUR, FAR, "ff02::1".parse().unwrap(), GATEWAY] {
            for from in [OWN, LINK] {
                assert_eq!(verdict(icmp_of(ITS, from, to, 255, kind, &[0; 16]), false), "drop", "{kind} to {to}");
            }
        }
    }
}

#[test]
fn an_advertisement_tells_the_prefix_the_size_and_that_addresses_come_by_dhcp() {
    let mut frame = icmp_of(ROUTER, LINK, "ff02::2".parse().unwrap(), 255, 133, &[]);
    let Some(Verdict::Replies(frames)) = route(&mut frame, &nic(), true, &neighbours()) else { panic!("no answer") };
    let packet = header::read(&frames[0][ETHERNET..]).unwrap();
    assert_eq!((packet.source, packet.destination, packet.hops), (GATEWAY, LINK, 255));
    let body = packet.payload;
    assert_eq!(body[5], 0xc0, "managed, and other things");
    assert_eq!(body[16..24], [1, 1, ROUTER[0], ROUTER[1], ROUTER[2], ROUTER[3], ROUTER[4], ROUTER[5]]);
    assert_eq!(body[24..32], [5, 1, 0, 0, 0, 0, 0x23, 0x29]);
    assert_eq!(body[32..36], [3, 4, 64, 0x80], "on the link, and no address is made of it");
    assert_eq!(body[48..], NETWORK.octets());
    let without = Nic { subnet6: None, ipv6: Vec::new(), ..nic() };
    let mut frame = icmp_of(ROUTER, LINK, "ff02::2".parse().unwrap(), 255, 133, &[]);
    assert!(
        matches!(route(&mut frame, &without, true, &neighbours()), None | Some(Verdict::Drop)),
        "no IPv6, no router"
    );
}

#[test]
fn the_switchs_own_services_are_reached() {
    let servers: Ipv6Addr = "ff02::1:2".parse().unwrap();
    assert_eq!(verdict(udp_of(ROUTER, (LINK, 546), (servers, 547), 1), true), format!("lease for {LINK}"));
    assert_eq!(verdict(udp_of(ROUTER, (LINK, 546), (GATEWAY, 547), 64), true), format!("lease for {LINK}"));
    assert_eq!(verdict(udp_of(ROUTER, (OWN, 546), (servers, 547), 1), true), "drop", "it comes from the link");
    assert_eq!(verdict(udp_of(ROUTER, (LINK, 545), (servers, 547), 1), true), "drop");
    assert_eq!(verdict(udp_of(ITS, (OWN, 547), (NEIGHBOUR, 546), 64), true), "drop", "there is one DHCP server");
    assert_eq!(verdict(udp_of(ROUTER, (OWN, 9), (NAMES, 53), 64), true), "query");
    assert_eq!(verdict(udp_of(ROUTER, (OWN, 9), (NAMES, 54), 64), true), "says 1");
    assert_eq!(verdict(icmp_of(ROUTER, OWN, METADATA, 64, 128, &[1]), true), "says 129");
    assert_eq!(verdict(icmp_of(ROUTER, LINK, GATEWAY, 64, 128, &[1]), true), "says 129");
    let mut syn = Vec::new();
    let builder = PacketBuilder::ethernet2(MAC, ROUTER).ipv6(OWN.octets(), METADATA.octets(), 64);
    builder.tcp(40_000, 80, 1, 1000).syn().write(&mut syn, &[]).unwrap();
    assert_eq!(verdict(syn, true), "service");
}

proptest! {
    #[test]
    fn no_frame_breaks_it(bytes in prop::collection::vec(any::<u8>(), 0..160), next in 0u8..70, check: bool, kind in 120u8..150) {
        let mut frame = bytes;
        if frame.len() > ETHERNET + header::LENGTH + 4 {
            let length = (frame.len() - ETHERNET - header::LENGTH) as u16;
            frame[ETHERNET] = 0x60;
            frame[ETHERNET + 4..ETHERNET + 6].copy_from_slice(&length.to_be_bytes());
            (frame[ETHERNET + 6], frame[ETHERNET + 7]) = (next, 255);
            frame[ETHERNET + 8..ETHERNET + 24].copy_from_slice(&OWN.octets());
            frame[ETHERNET + header::LENGTH] = kind;
        }
        let _ = verdict(frame, check);
    }

    #[test]
    fn whatever_is_forwarded_comes_from_its_sender(bytes in prop::collection::vec(any::<u8>(), 60..160), from: u128, own: bool) {
        let source = if own { OWN } else { Ipv6Addr::from_bits(from) };
        let mut frame = bytes;
        frame[..6].copy_from_slice(&ROUTER);
        let length = (frame.len() - ETHERNET - header::LENGTH) as u16;
        frame[ETHERNET] = 0x60;
        frame[ETHERNET + 4..ETHERNET + 6].copy_from_slice(&length.to_be_bytes());
        frame[ETHERNET + 6] = 17;
        frame[ETHERNET + 8..ETHERNET + 24].copy_from_slice(&source.octets());
        frame[ETHERNET + 24..ETHERNET + 40].copy_from_slice(&NEIGHBOUR.octets());
        let said = verdict(frame, true);
        prop_assert!(said != "to 2" || source == OWN);
    }
}
