//! What of frames that a machine makes by hand arrives at another one.

use crate::{
    lab::{Lab, OPEN, nic},
    raw::{ROUTER, Wire, header, udp},
};
use ec2_local::network::Nic;
use etherparse::{Ipv4Header, PacketBuilder};
use std::net::Ipv4Addr;

const SENDER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 5);

/// Runs a test between machines whose groups let everything through: what is dropped, no rule can admit.
fn over_the_wire(source_dest_check: bool, receiver: [u8; 4], test: impl FnOnce(&Wire<'_>, &Nic)) {
    let lab = Lab::new();
    let nics = [nic("vpc-1", SENDER.octets()), nic("vpc-1", receiver)];
    let (sender, _attached) = lab.machine(&nics[0]);
    let (receiver, _attached) = lab.machine(&nics[1]);
    lab.set_attributes(&nics[0], |attributes| {
        (attributes.groups, attributes.source_dest_check) = (vec![OPEN.to_owned()], source_dest_check);
    });
    test(&Wire::new((&nics[0], &sender), (&nics[1], &receiver)), &nics[1]);
}

#[test]
fn without_a_source_check_a_machine_speaks_for_networks_behind_it_and_for_nobody_else() {
    for receiver in [[10, 0, 0, 6], [10, 0, 1, 6]] {
        over_the_wire(false, receiver, |wire, to| {
            let passes = |from: [u8; 4]| wire.passes(&udp(from.into(), to.addresses[0], 9, 9, b"?"));
            for from in
                [[10, 0, 0, 5], [10, 8, 0, 7], [10, 0, 0, 99], [172, 20, 1, 1], [192, 168, 3, 4], [100, 64, 0, 9]]
            {
                assert!(passes(from), "{from:?}: a machine's, or behind it");
            }
            for from in [
                [127, 0, 0, 1],
                [127, 1, 2, 3],
                [203, 0, 113, 7],
                [169, 254, 169, 254],
                [169, 254, 169, 253],
                [169, 254, 1, 1],
                [10, 0, 0, 1],
                [10, 0, 0, 2],
                [0, 0, 0, 0],
                [0, 1, 2, 3],
                [224, 0, 0, 1],
                [240, 0, 0, 1],
                [255, 255, 255, 255],
                [198, 51, 100, 101],
                [8, 8, 8, 8],
            ] {
                assert!(!passes(from), "{from:?}");
            }
            let router = Ipv4Addr::from_bits(to.subnet.0.to_bits() + 1);
            assert!(!passes(router.octets()), "{router}: the receiver's router");
        });
    }
}

#[test]
fn nobody_speaks_as_the_router_of_a_third_subnet() {
    let lab = Lab::new();
    let nics = [nic("vpc-1", SENDER.octets()), nic("vpc-1", [10, 0, 0, 6])];
    let (sender, _attached) = lab.machine(&nics[0]);
    let (receiver, _attached) = lab.machine(&nics[1]);
    lab.set_attributes(&nics[0], |attributes| {
        (attributes.groups, attributes.source_dest_check) = (vec![OPEN.to_owned()], false);
    });
    let wire = Wire::new((&nics[0], &sender), (&nics[1], &receiver));
    let passes = |last| wire.passes(&udp([10, 0, 7, last].into(), nics[1].addresses[0], 9, 9, b"?"));
    assert!([0, 1, 2, 3, 4].map(passes).iter().all(|passes| *passes), "a network behind the machine");
    let (_third, _attached) = lab.machine(&nic("vpc-1", [10, 0, 7, 7]));
    let (_other, _attached) = lab.machine(&nic("vpc-2", [10, 0, 8, 7]));
    assert_eq!([0, 1, 2, 3, 4].map(passes), [false, false, false, false, true]);
    assert!(wire.passes(&udp([10, 0, 8, 1].into(), nics[1].addresses[0], 9, 9, b"?")), "another VPC's is nobody here");
}

#[test]
fn nothing_but_ipv4_passes_between_machines() {
    over_the_wire(true, [10, 0, 0, 6], |wire, to| {
        let link_local = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5];
        let all_nodes = [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
        for ethernet in [to.mac, [0x33, 0x33, 0, 0, 0, 1], [0xff; 6], ROUTER] {
            let own = wire.mac();
            let mut datagram = Vec::new();
            let builder = PacketBuilder::ethernet2(own, ethernet).ipv6(link_local, all_nodes, 255).udp(9, 9);
            builder.write(&mut datagram, b"?").unwrap();
            let mut advertisement = Vec::new();
            let builder = PacketBuilder::ethernet2(own, ethernet).ipv6(link_local, all_nodes, 255);
            // A router advertisement (RFC 4861, 4.2).
            builder.icmpv6_raw(134, 0, [64, 0, 7, 8]).write(&mut advertisement, &[0; 8]).unwrap();
            let ipv4 = udp(SENDER, to.addresses[0], 9, 9, b"?");
            let with_type = |kind: [u8; 2], payload: &[u8]| [&ethernet[..], &own, &kind, payload].concat();
            let tagged = with_type([0x81, 0], &[&[0, 1, 8, 0], &ipv4[..]].concat());
            let twice = with_type([0x88, 0xa8], &[&[0, 1, 0x81, 0, 0, 2, 8, 0], &ipv4[..]].concat());
            let arp =
                [&[0, 1, 8, 0, 6, 4, 0, 2][..], &own, &[10, 0, 0, 1], &to.mac, &to.addresses[0].octets()].concat();
            let reply = with_type([8, 6], &arp);
            let length = with_type([0, 40], &[0x42; 40]);
            let odd = with_type([0x88, 0xb5], &ipv4);
            let labelled = with_type([0x88, 0x47], &[&[0, 0, 0x10, 0xff], &ipv4[..]].concat());
            let other_sender = [&to.mac[..], &[2, 0, 0, 0, 0, 9], &[8, 0], &ipv4].concat();
            for frame in [&datagram, &advertisement, &tagged, &twice, &reply, &length, &odd, &labelled, &other_sender] {
                wire.send(frame);
                assert_eq!(wire.arrived(), [] as [Vec<u8>; 0], "{frame:?}");
            }
        }
    });
}

#[test]
fn a_packet_says_itself_how_long_it_is_and_where_it_goes_is_the_routers() {
    over_the_wire(true, [10, 0, 0, 6], |wire, to| {
        let whole = udp(SENDER, to.addresses[0], 9, 9, b"four");
        // What pads a frame isn't the packet's.
        wire.send_packet(&[&whole[..], &[0x55; 30]].concat());
        let arrived = wire.arrived();
        assert_eq!(arrived.len(), 1);
        assert_eq!(arrived[0][14..], whole[..]);
        let with_options = |options: &[u8]| {
            let mut ip = Ipv4Header::from_slice(&whole).unwrap().0;
            ip.options = options.try_into().unwrap();
            ip.set_payload_len(whole.len() - 20).unwrap();
            ip.header_checksum = ip.calc_header_checksum();
            [&ip.to_bytes()[..], &whole[20..]].concat()
        };
        // Loose and strict source routes (RFC 791, 3.1), alone, behind others, and behind what isn't one.
        for route in [[131, 7, 4, 10, 0, 0, 9, 0], [137, 7, 4, 10, 0, 0, 9, 0], [1, 131, 7, 4, 10, 0, 0, 9]] {
            assert!(!wire.passes(&with_options(&route)), "{route:?}");
        }
        assert!(!wire.passes(&with_options(&[7, 0, 4, 131])), "an option without a length");
        assert!(!wire.passes(&with_options(&[7, 9, 4, 0])), "an option that is longer than the header");
        assert!(wire.passes(&with_options(&[7, 7, 4, 0, 0, 0, 0, 0])), "a record of the route");
        let change = |at: usize, byte: u8| {
            let mut packet = whole.clone();
            packet[at] = byte;
            if let Ok((mut ip, rest)) = Ipv4Header::from_slice(&packet) {
                ip.header_checksum = ip.calc_header_checksum();
                packet = [&ip.to_bytes()[..], rest].concat();
            }
            packet
        };
        for (what, packet) in [
            ("no hops left", change(8, 0)),
            ("a header that is longer than the packet", change(0, 0x4f)),
            ("a header of no length", change(0, 0x40)),
            ("another version", change(0, 0x65)),
            ("longer than the frame", change(3, 250)),
            ("shorter than its header", change(3, 12)),
            ("shorter than its ports", change(3, 22)),
        ] {
            assert!(!wire.passes(&packet), "{what}");
        }
    });
    over_the_wire(true, [10, 0, 1, 6], |wire, to| {
        wire.send_packet(&[&udp(SENDER, to.addresses[0], 9, 9, b"four")[..], &[0x55; 30]].concat());
        let arrived = wire.arrived();
        assert_eq!((arrived.len(), arrived[0].len()), (1, 14 + 32));
        assert_eq!(header(&arrived[0]).ttl(), 63);
    });
}
