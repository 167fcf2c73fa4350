//! How large packets may be: 9,001 bytes between machines of a VPC, 1,500 by way of an internet gateway.
//! <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/network_mtu.html>

use crate::{
    lab::{Lab, OPEN, eventually, nic},
    machine::Machine,
    raw::{ROUTER, Wire, header, udp},
    world::{WORLD, on_a_host_of_its_own},
};
use ec2_local::network::{Attached, Nic, Outside};
use etherparse::{Icmpv4Slice, Icmpv4Type, IpNumber, Ipv4Header, PacketBuilder, icmpv4::DestUnreachableHeader};
use rustix::net::{RecvFlags, SendFlags, recv, send, sockopt::Timeout};
use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddrV4, TcpStream, UdpSocket},
    os::fd::{AsRawFd, OwnedFd},
    time::Duration,
};

const SENDER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 5);
const PATIENCE: Duration = Duration::from_secs(10);
/// Headers of IPv4 and UDP.
const HEADERS: usize = 28;

/// A UDP packet of so many bytes.
fn sized(to: Ipv4Addr, length: usize, dont_fragment: bool) -> Vec<u8> {
    let mut packet = udp(SENDER, to, 4000, 9, &vec![7; length - HEADERS]);
    let mut ip = Ipv4Header::from_slice(&packet).unwrap().0;
    (ip.dont_fragment, ip.identification) = (dont_fragment, 99);
    ip.header_checksum = ip.calc_header_checksum();
    packet[..20].copy_from_slice(&ip.to_bytes());
    packet
}

/// Sends a packet to the router.
fn send_by_router(frames: &OwnedFd, from: &Nic, packet: &[u8]) {
    send(frames, &[&ROUTER[..], &from.mac, &[8, 0], packet].concat(), SendFlags::empty()).unwrap();
}

/// Waits for the next ICMP error among the frames; what it says.
fn complaint(frames: &OwnedFd) -> DestUnreachableHeader {
    rustix::net::sockopt::set_socket_timeout(frames, Timeout::Recv, Some(PATIENCE)).unwrap();
    let mut frame = vec![0; 50_000];
    loop {
        let (length, _) = recv(frames, &mut frame[..], RecvFlags::empty()).expect("an ICMP error");
        if frame[12..14] != [8, 0] || header(&frame[..length]).protocol() != IpNumber::ICMP {
            continue;
        }
        if let Icmpv4Type::DestinationUnreachable(why) =
            Icmpv4Slice::from_slice(&frame[34..length]).unwrap().icmp_type()
        {
            return why;
        }
    }
}

const TOO_LARGE: DestUnreachableHeader = DestUnreachableHeader::FragmentationNeeded { next_hop_mtu: 1500 };

#[test]
fn what_is_larger_than_a_vpc_carries_is_dropped() {
    for receiver in [[10, 0, 0, 6], [10, 0, 1, 6]] {
        let lab = Lab::new();
        let nics = [nic("vpc-1", SENDER.octets()), nic("vpc-1", receiver)];
        let machines = nics.each_ref().map(|nic| lab.machine(nic));
        machines.iter().for_each(|(machine, _)| machine.grow());
        let wire = Wire::new((&nics[0], &machines[0].0), (&nics[1], &machines[1].0));
        for (length, passes) in [(1500, true), (9001, true), (9002, false), (20_000, false)] {
            for dont_fragment in [true, false] {
                let packet = sized(nics[1].addresses[0], length, dont_fragment);
                assert_eq!(wire.passes(&packet), passes, "{receiver:?}: {length} bytes");
            }
        }
        for length in [100, 1500, 9001, 9002] {
            let mut packet = Vec::new();
            let addresses = [SENDER, nics[1].addresses[0]].map(|address| address.to_ipv6_mapped().octets());
            let builder = PacketBuilder::ethernet2(nics[0].mac, nics[1].mac).ipv6(addresses[0], addresses[1], 64);
            builder.udp(9, 9).write(&mut packet, &vec![7; length - 48]).unwrap();
            wire.send(&packet);
            assert_eq!(wire.arrived(), [] as [Vec<u8>; 0], "of IPv6, {length} bytes");
        }
    }
}

/// A switch, and of two machines their NICs, themselves, and their public addresses.
type InPublic = (Lab, [Nic; 2], [(Machine, Attached); 2], [Ipv4Addr; 2]);

/// Two machines of two VPCs with public addresses, the first of which may send larger packets than EC2 carries.
fn in_public() -> InPublic {
    let lab = Lab::new();
    let nics = [nic("vpc-1", SENDER.octets()), nic("vpc-2", [10, 0, 0, 6])];
    let addresses = [101, 102].map(|last| Ipv4Addr::new(198, 51, 100, last));
    let machines = [0, 1].map(|number| {
        let machine = lab.machine(&nics[number]);
        lab.set_attributes(&nics[number], |attributes| {
            attributes.groups = vec![OPEN.to_owned()];
            attributes.public_address = Some(addresses[number]);
        });
        machine
    });
    machines[0].0.grow();
    (lab, nics, machines, addresses)
}

#[test]
fn a_gateway_cuts_what_is_larger_than_it_carries() {
    let (_lab, nics, [(sender, _sender), (receiver, _receiver)], addresses) = in_public();
    let far = receiver.udp();
    far.set_read_timeout(Some(PATIENCE)).unwrap();
    rustix::net::bind(&far, &SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 9)).unwrap();
    let (frames, heard) = (sender.frames(), receiver.frames());
    rustix::net::sockopt::set_socket_timeout(&heard, Timeout::Recv, Some(PATIENCE)).unwrap();
    for (length, pieces) in [(1500, 1), (1501, 2), (4000, 3), (9001, 7)] {
        send_by_router(&frames, &nics[0], &sized(addresses[1], length, false));
        let mut buffer = vec![0; 10_000];
        let (got, from) = far.recv_from(&mut buffer).unwrap();
        assert_eq!((got + HEADERS, from.ip()), (length, addresses[0].into()));
        assert!(buffer[..got].iter().all(|byte| *byte == 7));
        let mut count = 0;
        while count < pieces {
            let (got, _) = recv(&heard, &mut buffer[..], RecvFlags::empty()).unwrap();
            if buffer[12..14] == [8, 0] && header(&buffer[..got]).source_addr() == addresses[0] {
                assert!(got <= 14 + 1500, "{got}");
                count += 1;
            }
        }
    }
    // A piece itself may be too large, and is cut again.
    let whole = sized(addresses[1], 4000, false);
    let mut first = Ipv4Header::from_slice(&whole).unwrap().0;
    (first.more_fragments, first.total_len) = (true, 20 + 3200);
    let mut last = first.clone();
    (last.more_fragments, last.total_len) = (false, 20 + 780);
    last.fragment_offset = 400.try_into().unwrap();
    for (mut ip, payload) in [(first, &whole[20..3220]), (last, &whole[3220..])] {
        ip.header_checksum = ip.calc_header_checksum();
        send_by_router(&frames, &nics[0], &[&ip.to_bytes()[..], payload].concat());
    }
    assert_eq!(far.recv(&mut [0; 10_000]).unwrap() + HEADERS, 4000);
}

#[test]
fn a_gateway_tells_who_forbids_it_to_cut() {
    let (_lab, nics, [(sender, _sender), (receiver, _receiver)], addresses) = in_public();
    let far = receiver.udp();
    rustix::net::bind(&far, &SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 9)).unwrap();
    let frames = sender.frames();
    send_by_router(&frames, &nics[0], &sized(addresses[1], 1501, true));
    assert_eq!(complaint(&frames), TOO_LARGE);
    send_by_router(&frames, &nics[0], &sized(addresses[1], 1500, true));
    far.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(far.recv(&mut [0; 2000]).unwrap() + HEADERS, 1500, "and nothing of what was larger");
}

/// Sends until it arrives, since a sender learns by its first packet how large those may be.
fn send_until_heard(from: &UdpSocket, datagram: &[u8], to: &UdpSocket) {
    let mut buffer = vec![0; 70_000];
    to.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    eventually("the datagram arrives", || {
        let _ = from.send(datagram);
        to.recv(&mut buffer).is_ok_and(|length| buffer[..length] == *datagram)
    });
}

#[test]
fn to_the_outside_and_from_it_datagrams_go_in_pieces() {
    on_a_host_of_its_own("sizes::to_the_outside_and_from_it_datagrams_go_in_pieces", |world| {
        let lab = Lab::with_outside(Outside::default());
        let nic = nic("vpc-1", SENDER.octets());
        let (machine, _attached) = lab.machine(&nic);
        let far = world.udp();
        rustix::net::bind(&far, &SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 9)).unwrap();
        let frames = machine.frames();
        send_by_router(&frames, &nic, &sized(WORLD, 1501, true));
        assert_eq!(complaint(&frames), TOO_LARGE);
        // It may be cut, so it arrives whole.
        send_by_router(&frames, &nic, &sized(WORLD, 9001, false));
        far.set_read_timeout(Some(PATIENCE)).unwrap();
        assert_eq!(far.recv(&mut [0; 10_000]).unwrap() + HEADERS, 9001, "and nothing of what came before");
        let near = machine.udp();
        near.connect((WORLD, 9)).unwrap();
        near.set_read_timeout(Some(PATIENCE)).unwrap();
        for length in [1473, 8000, 20_000, 65_507] {
            let datagram: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
            send_until_heard(&near, &datagram, &far);
            near.send(b"where are you").unwrap();
            let (mut from, mut buffer) = (None, vec![0; 70_000]);
            eventually("its address is known", || {
                from = far.recv_from(&mut buffer).ok().map(|(_, from)| from);
                from.is_some()
            });
            far.send_to(&datagram, from.unwrap()).unwrap();
            let got = near.recv(&mut buffer).unwrap();
            assert!(buffer[..got] == datagram, "{got} of {length} bytes");
        }
    });
}

/// The size of the segments that a connection sends, and of those that it has got (tcp(7), `TCP_INFO`).
fn segments(stream: &TcpStream) -> (u32, u32) {
    // SAFETY: the structure is plain data for which zeroes are valid.
    let mut info: libc::tcp_info = unsafe { std::mem::zeroed() };
    let mut length = size_of_val(&info) as libc::socklen_t;
    // SAFETY: the option fills such a structure, as far as the length says.
    let result = unsafe {
        libc::getsockopt(stream.as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_INFO, (&raw mut info).cast(), &raw mut length)
    };
    assert_eq!(result, 0);
    (info.tcpi_snd_mss, info.tcpi_rcv_mss)
}

#[test]
fn connections_with_the_outside_have_segments_that_a_gateway_carries() {
    on_a_host_of_its_own("sizes::connections_with_the_outside_have_segments_that_a_gateway_carries", |world| {
        let lab = Lab::with_outside(Outside::default());
        let nic = nic("vpc-1", SENDER.octets());
        let (machine, _attached) = lab.machine(&nic);
        let listener = world.listen(80);
        let mut near = machine.connect(SocketAddrV4::new(WORLD, 80)).unwrap();
        let (mut far, _) = listener.accept().unwrap();
        let sent = vec![3; 1 << 18];
        far.write_all(&sent).unwrap();
        near.write_all(&sent).unwrap();
        for stream in [&mut near, &mut far] {
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            let mut got = vec![0; sent.len()];
            stream.read_exact(&mut got).unwrap();
            assert!(got == sent);
        }
        let (sends, gets) = segments(&near);
        assert!(sends <= 1460 && gets <= 1460, "{sends} and {gets} bytes");
        // Who sends larger ones all the same is told.
        let mut packet = Vec::new();
        let builder = PacketBuilder::ipv4(SENDER.octets(), WORLD.octets(), 64);
        let builder = builder.tcp(near.local_addr().unwrap().port(), 80, 1, 1000).ack(1);
        builder.write(&mut packet, &[3; 1461]).unwrap();
        let frames = machine.frames();
        send_by_router(&frames, &nic, &packet);
        assert_eq!(complaint(&frames), TOO_LARGE);

        // The host's own connections have jumbo frames, as its machines' among each other.
        let listener = machine.listen(22);
        let _host = lab.reach(&nic, 22).unwrap();
        assert!(segments(&listener.accept().unwrap().0).0 > 8000);
    });
}
