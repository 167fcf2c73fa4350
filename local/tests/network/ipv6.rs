//! Frames of IPv6: what arrives at another machine, and what the switch itself answers.

use crate::{
    lab::{Lab, OPEN, anyone, nic, rule},
    machine::Machine,
    raw::{LAST, ROUTER, Wire},
};
use ec2_local::network::{Attached, Direction, Nic, Peer, Traffic};
use etherparse::{Icmpv6Type, PacketBuilder};
use rustix::net::{RecvFlags, SendFlags, sockopt, sockopt::Timeout};
use std::{net::Ipv6Addr, os::fd::OwnedFd, time::Duration};

const NETWORK: Ipv6Addr = at(0);
const SENDER: Ipv6Addr = at(5);
const RECEIVER: Ipv6Addr = at(6);
const STRANGER: Ipv6Addr = at(7);
const GATEWAY: Ipv6Addr = Nic::ROUTER6;
/// The one port that the receiver's group lets in.
const ADMITTED: u16 = 9;
const REFUSED: u16 = 10;
const PATIENCE: Duration = Duration::from_secs(10);
const ANYONE: Peer = Peer::Network6(Ipv6Addr::UNSPECIFIED, 0);

const fn at(host: u16) -> Ipv6Addr {
    Ipv6Addr::new(0x3fff, 1, 2, 0x300, 0, 0, 0, host)
}

/// A machine of a subnet with IPv6.
fn machine(lab: &Lab, groups: &[&str], nic: &Nic, address: Ipv6Addr) -> (Machine, Attached) {
    let (machine, attached) = lab.machine_of(groups, nic);
    give(lab, groups, nic, &[address]);
    (machine, attached)
}

/// Gives a NIC its IPv6 addresses.
fn give(lab: &Lab, groups: &[&str], nic: &Nic, addresses: &[Ipv6Addr]) {
    lab.set_attributes(nic, |attributes| {
        attributes.groups = groups.iter().map(ToString::to_string).collect();
        attributes.ipv6 = addresses.to_vec();
        attributes.subnet6 = Some((NETWORK, 64));
    });
}

/// Runs a test with what goes from one machine to another, whose group lets in UDP to a port and echoes.
fn over_the_wire(test: impl FnOnce(&Lab, &Wire<'_>, &[Nic; 2])) {
    let lab = Lab::new();
    let nics = [nic("vpc-1", [10, 0, 0, 5]), nic("vpc-1", [10, 0, 0, 6])];
    let admitted = |traffic, peer| rule(Direction::Ingress, traffic, peer);
    lab.set_rules(
        "sg-1",
        vec![
            admitted(Traffic::Udp(ADMITTED..=ADMITTED), ANYONE),
            admitted(Traffic::Icmpv6(Some(128), None), ANYONE),
            admitted(Traffic::Udp(LAST..=LAST), anyone()),
        ],
    );
    lab.set_rules(
        "sg-out",
        vec![rule(Direction::Egress, Traffic::All, ANYONE), rule(Direction::Egress, Traffic::All, anyone())],
    );
    let (sender, _attached) = machine(&lab, &["sg-out"], &nics[0], SENDER);
    let (receiver, _attached) = machine(&lab, &["sg-1"], &nics[1], RECEIVER);
    test(&lab, &Wire::new((&nics[0], &sender), (&nics[1], &receiver)), &nics);
}

fn udp(from: Ipv6Addr, to: Ipv6Addr, port: u16, payload: &[u8]) -> Vec<u8> {
    let mut packet = Vec::new();
    PacketBuilder::ipv6(from.octets(), to.octets(), 64).udp(7, port).write(&mut packet, payload).unwrap();
    packet
}

fn icmp(from: Ipv6Addr, to: Ipv6Addr, hops: u8, kind: u8, payload: &[u8]) -> Vec<u8> {
    let kind = Icmpv6Type::Unknown { type_u8: kind, code_u8: 0, bytes5to8: [0; 4] };
    let mut packet = Vec::new();
    PacketBuilder::ipv6(from.octets(), to.octets(), hops).icmpv6(kind).write(&mut packet, payload).unwrap();
    packet
}

/// A packet with a header of a kind between its own and what it carries.
fn with_header(packet: &[u8], kind: u8, header: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut made = packet[..40].to_vec();
    made[6] = kind;
    made.push(packet[6]);
    made.extend(header);
    made.extend(payload);
    let length = (made.len() - 40) as u16;
    made[4..6].copy_from_slice(&length.to_be_bytes());
    made
}

/// A part of a packet: what of its payload is from `start` to `end`.
fn fragment(packet: &[u8], identification: u8, (start, end): (u16, u16), more: bool) -> Vec<u8> {
    let [high, low] = (start | u16::from(more)).to_be_bytes();
    let header = [0, high, low, 0, 0, 0, identification];
    with_header(packet, 44, &header, &packet[40 + usize::from(start)..40 + usize::from(end)])
}

fn frame(to: [u8; 6], from: &Nic, packet: &[u8]) -> Vec<u8> {
    [&to[..], &from.mac, &[0x86, 0xdd], packet].concat()
}

#[test]
fn packets_pass_as_far_as_groups_let_them_and_pieces_follow_their_first() {
    over_the_wire(|lab, wire, [from, to]| {
        let passes = |packet: &[u8]| {
            wire.send(&frame(to.mac, from, packet));
            // The receiver's kernel asks for routers, and is answered.
            wire.arrived().iter().any(|frame| frame[14..] == *packet)
        };
        let open = udp(SENDER, RECEIVER, ADMITTED, &[7; 56]);
        let closed = udp(SENDER, RECEIVER, REFUSED, &[7; 56]);
        assert!(passes(&open) && !passes(&closed));
        assert!(passes(&icmp(SENDER, RECEIVER, 64, 128, b"ping")));
        // Pieces.
        assert!(!passes(&fragment(&open, 1, (32, 64), false)), "its first never came");
        assert!(!passes(&fragment(&closed, 2, (0, 32), true)));
        assert!(!passes(&fragment(&closed, 2, (32, 64), false)), "its first was refused");
        assert!(passes(&fragment(&open, 3, (0, 32), true)));
        assert!(passes(&fragment(&open, 3, (32, 64), false)));
        assert!(passes(&fragment(&open, 4, (0, 32), true)));
        assert!(!passes(&fragment(&open, 4, (24, 64), false)), "it would write over the first");
        // Headers between.
        let options = |kind, options: &[u8; 6]| with_header(&open, kind, &[&[0][..], options].concat(), &open[40..]);
        let padding = [1, 4, 0, 0, 0, 0];
        assert!(passes(&options(60, &padding)) && passes(&options(0, &padding)));
        assert!(!passes(&options(43, &padding)), "a routing header");
        assert!(!passes(&options(60, &[0xc9, 4, 0, 0, 0, 0])), "a home address");
        for unknown in [135, 139, 140, 253, 254] {
            assert!(!passes(&options(unknown, &padding)), "{unknown}");
        }
        // Nobody speaks in another's name, nor says where others are.
        assert!(!passes(&udp(STRANGER, RECEIVER, ADMITTED, b"spoofed")));
        assert!(!passes(&udp(GATEWAY, RECEIVER, ADMITTED, b"spoofed")));
        for kind in [134, 136, 137] {
            assert!(!passes(&icmp(SENDER, RECEIVER, 255, kind, &[0; 32])), "{kind}");
        }
        // A change of rules holds at once, and so does one of addresses.
        lab.set_rules("sg-1", vec![rule(Direction::Ingress, Traffic::Udp(LAST..=LAST), anyone())]);
        assert!(!passes(&udp(SENDER, RECEIVER, ADMITTED + 1, b"closed")));
        give(lab, &[OPEN, "sg-1"], to, &[]);
        assert!(!passes(&open), "it has no address any more");
    });
}

#[test]
fn other_vpcs_hear_nothing() {
    let lab = Lab::new();
    let nics = [nic("vpc-1", [10, 0, 0, 5]), nic("vpc-2", [10, 0, 0, 6])];
    lab.set_rules(
        "sg-6",
        vec![rule(Direction::Ingress, Traffic::All, ANYONE), rule(Direction::Egress, Traffic::All, ANYONE)],
    );
    let (sender, _attached) = machine(&lab, &["sg-6"], &nics[0], SENDER);
    let (receiver, _attached) = machine(&lab, &["sg-6"], &nics[1], RECEIVER);
    let (out, heard) = (sender.frames(), receiver.frames());
    for to in [nics[1].mac, ROUTER] {
        let packet = udp(SENDER, RECEIVER, ADMITTED, b"abroad");
        rustix::net::send(&out, &frame(to, &nics[0], &packet), SendFlags::empty()).unwrap();
    }
    // The router says that nobody is there; so the switch has decided.
    let is_error = |frame: &[u8]| frame[..6] == nics[0].mac && frame[20] == 58 && frame[54] == 1;
    heard_by(&out, is_error).expect("an answer");
    sockopt::set_socket_timeout(&heard, Timeout::Recv, Some(Duration::from_millis(300))).unwrap();
    let mut buffer = vec![0; 10_000];
    while let Ok((length, _)) = rustix::net::recv(&heard, &mut buffer[..], RecvFlags::empty()) {
        assert!(!buffer[..length].ends_with(b"abroad"));
    }
}

/// The first frame of IPv6 on a machine's device that is as wanted.
fn heard_by(frames: &OwnedFd, is_wanted: impl Fn(&[u8]) -> bool) -> Option<Vec<u8>> {
    sockopt::set_socket_timeout(frames, Timeout::Recv, Some(PATIENCE)).unwrap();
    let mut frame = vec![0; 10_000];
    loop {
        let (length, _) = rustix::net::recv(frames, &mut frame[..], RecvFlags::empty()).ok()?;
        let found = &frame[..length];
        if found.len() > 62 && found[12..14] == [0x86, 0xdd] && found[6..12] == ROUTER && is_wanted(found) {
            return Some(found.to_vec());
        }
    }
}

#[test]
fn who_asks_is_told_of_the_router_its_neighbours_and_its_addresses() {
    let lab = Lab::new();
    lab.set_rules("sg-closed", Vec::new());
    let nics = [nic("vpc-1", [10, 0, 0, 5]), nic("vpc-1", [10, 0, 0, 6])];
    let (asker, _attached) = machine(&lab, &["sg-closed"], &nics[0], SENDER);
    let (_other, _attached) = machine(&lab, &["sg-closed"], &nics[1], RECEIVER);
    let frames = asker.frames();
    let link: Ipv6Addr = "fe80::5".parse().unwrap();
    let say = |packet: &[u8]| {
        rustix::net::send(&frames, &frame([0x33, 0x33, 0, 0, 0, 2], &nics[0], packet), SendFlags::empty()).unwrap();
    };
    say(&icmp(link, "ff02::2".parse().unwrap(), 255, 133, &[]));
    let told = heard_by(&frames, |frame| frame[54] == 134).expect("a router");
    assert!(told.windows(16).any(|bytes| bytes == NETWORK.octets()), "its prefix");
    say(&icmp(link, "ff02::1:ff00:6".parse().unwrap(), 255, 135, &RECEIVER.octets()));
    let told = heard_by(&frames, |frame| frame[54] == 136).expect("a neighbour");
    assert!(told.ends_with(&nics[1].mac), "its MAC address");

    // The client's name, and one set of addresses.
    let solicit = [&[1, 7, 7, 7, 0, 1, 0, 4, 0, 3, 0, 1, 0, 3, 0, 12][..], &[0; 12]].concat();
    let ask = |lab: &Lab, addresses: &[Ipv6Addr]| {
        give(lab, &["sg-closed"], &nics[0], addresses);
        let mut packet = Vec::new();
        let servers: Ipv6Addr = "ff02::1:2".parse().unwrap();
        let builder = PacketBuilder::ipv6(link.octets(), servers.octets(), 1).udp(546, 547);
        builder.write(&mut packet, &solicit).unwrap();
        say(&packet);
        heard_by(&frames, |frame| frame[20] == 17 && frame[54..58] == [2, 35, 2, 34]).expect("an offer")
    };
    let has = |offer: &[u8], address: Ipv6Addr| offer.windows(16).any(|bytes| bytes == address.octets());
    let offer = ask(&lab, &[SENDER]);
    assert!(has(&offer, SENDER) && !has(&offer, STRANGER));
    let offer = ask(&lab, &[SENDER, STRANGER]);
    assert!(has(&offer, SENDER) && has(&offer, STRANGER), "one that was assigned meanwhile");
}
