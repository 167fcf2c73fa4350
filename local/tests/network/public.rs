//! Machines that reach each other at their public addresses.

use crate::{
    lab::{Lab, OPEN, anyone, eventually, nic, rule},
    machine::Machine,
    raw::{LAST, ROUTER, header, udp},
};
use ec2_local::network::{Attached, Direction, Nic, Peer, Route, Traffic, Via};
use rustix::net::{RecvFlags, SendFlags, recv, send, sockopt, sockopt::Timeout};
use std::{
    io::{ErrorKind, Read, Write},
    net::{Ipv4Addr, SocketAddrV4},
    time::Duration,
};

/// The machines' public addresses. Those of the endpoint are of 127.0.0.0/8, for which these machines have no route; the
/// switch makes no difference.
const PUBLIC: [Ipv4Addr; 2] = [Ipv4Addr::new(198, 51, 100, 101), Ipv4Addr::new(198, 51, 100, 102)];
const SILENCE: Duration = Duration::from_millis(300);
const PATIENCE: Duration = Duration::from_secs(10);

fn start(vpcs: [&str; 2], groups: [&str; 2]) -> (Lab, [Nic; 2], [(Machine, Attached); 2]) {
    let lab = Lab::new();
    let nics = [nic(vpcs[0], [10, 0, 0, 5]), nic(vpcs[1], [10, 0, 0, 6])];
    let machines = [0, 1].map(|number| {
        let machine = lab.machine_of(&[groups[number]], &nics[number]);
        set_public(&lab, &nics[number], groups[number], Some(PUBLIC[number]));
        machine
    });
    (lab, nics, machines)
}

fn set_public(lab: &Lab, nic: &Nic, group: &str, address: Option<Ipv4Addr>) {
    lab.set_attributes(nic, |attributes| {
        (attributes.groups, attributes.public_address) = (vec![group.to_owned()], address);
    });
}

#[test]
fn machines_reach_each_other_and_themselves_as_their_public_addresses() {
    for vpcs in [["vpc-1", "vpc-1"], ["vpc-1", "vpc-2"]] {
        let (_lab, _nics, [(client, _client), (server, _server)]) = start(vpcs, [OPEN; 2]);
        for (from, machine, to) in [(PUBLIC[0], &client, PUBLIC[1]), (PUBLIC[1], &server, PUBLIC[1])] {
            let listener = server.listen(80);
            let mut near = machine.connect(SocketAddrV4::new(to, 80)).unwrap();
            let (mut far, source) = listener.accept().unwrap();
            assert_eq!(source.ip(), from);
            let sent = vec![7; 1 << 20];
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    near.write_all(&sent).unwrap();
                    near.shutdown(std::net::Shutdown::Write).unwrap();
                });
                let mut got = Vec::new();
                far.read_to_end(&mut got).unwrap();
                assert!(got == sent);
            });
            let refused = machine.connect(SocketAddrV4::new(to, 81)).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        }
    }
}

#[test]
fn udp_and_its_complaints_find_their_way() {
    let (_lab, _nics, [(client, _client), (server, _server)]) = start(["vpc-1", "vpc-2"], [OPEN; 2]);
    let (near, far) = (client.udp(), server.udp());
    near.set_read_timeout(Some(PATIENCE)).unwrap();
    far.set_read_timeout(Some(PATIENCE)).unwrap();
    rustix::net::bind(&far, &SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 9)).unwrap();
    near.connect((PUBLIC[1], 9)).unwrap();
    near.send(b"question").unwrap();
    let mut buffer = [0; 16];
    let (_, from) = far.recv_from(&mut buffer).unwrap();
    assert_eq!(from.ip(), PUBLIC[0]);
    far.send_to(b"answer", from).unwrap();
    assert_eq!(near.recv(&mut buffer).unwrap(), 6);
    near.connect((PUBLIC[1], 10)).unwrap();
    near.send(b"nobody").unwrap();
    assert_eq!(near.recv(&mut buffer).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    // Larger than what passes an internet gateway: the sender learns the size, and sends in pieces.
    near.connect((PUBLIC[1], 9)).unwrap();
    let large = vec![5; 4000];
    let mut buffer = vec![0; 5000];
    let arrived = (0..10).any(|_| {
        let _ = near.send(&large);
        far.set_read_timeout(Some(SILENCE)).unwrap();
        far.recv(&mut buffer).is_ok_and(|length| buffer[..length] == large)
    });
    assert!(arrived);
}

/// A NAT gateway's public address.
const GATEWAY: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 200);

/// Two machines behind a NAT gateway, and one with a public address, in another VPC of the same addresses.
fn behind_a_gateway() -> (Lab, [(Machine, Attached); 3]) {
    let lab = Lab::new();
    let nics = [nic("vpc-1", [10, 0, 0, 5]), nic("vpc-1", [10, 0, 0, 6]), nic("vpc-2", [10, 0, 0, 5])];
    let machines = nics.each_ref().map(|nic| lab.machine_of(&[OPEN], nic));
    for nic in &nics[..2] {
        lab.set_attributes(nic, |attributes| {
            (attributes.groups, attributes.reaches_internet) = (vec![OPEN.to_owned()], false);
            attributes.routes = vec![Route::everywhere(Via::Nat(GATEWAY))];
        });
    }
    set_public(&lab, &nics[2], "sg-1", Some(PUBLIC[1]));
    let gateways = Peer::Network(GATEWAY, 32);
    let egress = rule(Direction::Egress, Traffic::All, anyone());
    lab.set_rules("sg-1", vec![rule(Direction::Ingress, Traffic::All, gateways), egress]);
    (lab, machines)
}

#[test]
fn machines_behind_a_nat_gateway_speak_in_its_name() {
    let (_lab, [(one, _one), (other, _other), (server, _server)]) = behind_a_gateway();
    let far = server.udp();
    far.set_read_timeout(Some(PATIENCE)).unwrap();
    rustix::net::bind(&far, &SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 9)).unwrap();
    // From the same port of both.
    let near = [&one, &other].map(|machine| {
        let near = machine.udp();
        near.set_read_timeout(Some(PATIENCE)).unwrap();
        rustix::net::bind(&near, &SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 5000)).unwrap();
        near.connect((PUBLIC[1], 9)).unwrap();
        near
    });
    let mut buffer = [0; 16];
    let ends = near.each_ref().map(|near| {
        near.send(b"question").unwrap();
        let (_, from) = far.recv_from(&mut buffer).unwrap();
        assert_eq!(from.ip(), GATEWAY);
        from
    });
    assert_ne!(ends[0], ends[1]);
    for (number, end) in ends.iter().enumerate().rev() {
        far.send_to(&[number as u8], end).unwrap();
    }
    for (number, near) in near.iter().enumerate() {
        assert_eq!((near.recv(&mut buffer).unwrap(), buffer[0]), (1, number as u8));
    }
    near[0].connect((PUBLIC[1], 10)).unwrap();
    near[0].send(b"nobody").unwrap();
    assert_eq!(near[0].recv(&mut buffer).unwrap_err().kind(), ErrorKind::ConnectionRefused);

    let listener = server.listen(80);
    let sent = vec![7; 1 << 20];
    for machine in [&one, &other] {
        let mut near = machine.connect(SocketAddrV4::new(PUBLIC[1], 80)).unwrap();
        let (mut far, source) = listener.accept().unwrap();
        assert_eq!(source.ip(), GATEWAY);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                near.write_all(&sent).unwrap();
                near.shutdown(std::net::Shutdown::Write).unwrap();
            });
            let mut got = Vec::new();
            far.read_to_end(&mut got).unwrap();
            assert!(got == sent);
        });
    }
    let refused = one.connect(SocketAddrV4::new(PUBLIC[1], 81)).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn nobody_comes_in_by_a_nat_gateway() {
    let (_lab, [(one, _one), _other, (server, _server)]) = behind_a_gateway();
    let _listening = one.listen(80);
    let near = one.udp();
    rustix::net::bind(&near, &SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 5000)).unwrap();
    near.set_read_timeout(Some(PATIENCE)).unwrap();
    let (far, another) = (server.udp(), server.udp());
    far.set_read_timeout(Some(PATIENCE)).unwrap();
    rustix::net::bind(&far, &SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 9)).unwrap();
    rustix::net::bind(&another, &SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 10)).unwrap();
    near.send_to(b"question", (PUBLIC[1], 9)).unwrap();
    let mut buffer = [0; 16];
    let (_, end) = far.recv_from(&mut buffer).unwrap();
    // It isn't the one that was asked; what it is told of that is its own business.
    let _ = another.send_to(b"unasked", end);
    far.send_to(b"answer", end).unwrap();
    let (length, from) = near.recv_from(&mut buffer).unwrap();
    assert_eq!((&buffer[..length], from), (&b"answer"[..], SocketAddrV4::new(PUBLIC[1], 9).into()));
    assert!(server.connect_within(SILENCE, SocketAddrV4::new(GATEWAY, 80)).is_err());
}

#[test]
fn groups_see_public_addresses() {
    let (lab, nics, [(client, _client), (server, _server)]) = start(["vpc-1", "vpc-1"], [OPEN, "sg-1"]);
    let _listening = server.listen(80);
    let reaches = |to: Ipv4Addr| client.connect_within(SILENCE, SocketAddrV4::new(to, 80)).is_ok();
    for (peer, by_public, by_private) in [
        (Peer::Network(PUBLIC[0], 32), true, false),
        (Peer::Network(nics[0].addresses[0], 32), false, true),
        (Peer::Group(OPEN.to_owned()), false, true),
        (anyone(), true, true),
    ] {
        lab.set_rules("sg-1", vec![rule(Direction::Ingress, Traffic::Tcp(80..=80), peer.clone())]);
        assert_eq!((reaches(PUBLIC[1]), reaches(nics[1].addresses[0])), (by_public, by_private), "{peer:?}");
    }
}

#[test]
fn both_need_a_public_address() {
    let (lab, nics, [(client, _client), (server, _server)]) = start(["vpc-1", "vpc-1"], [OPEN; 2]);
    let _listening = server.listen(80);
    let reach = || client.connect_within(SILENCE, SocketAddrV4::new(PUBLIC[1], 80)).map_err(|error| error.kind());
    assert!(reach().is_ok());
    // A change holds once the switch has taken it, which it may do between two packets that it has already.
    let becomes = |kind| eventually("the change holds", || reach().is_err_and(|error| error == kind));
    set_public(&lab, &nics[0], OPEN, None);
    becomes(ErrorKind::NetworkUnreachable);
    set_public(&lab, &nics[0], OPEN, Some(PUBLIC[0]));
    set_public(&lab, &nics[1], OPEN, None);
    // Nobody has it.
    becomes(ErrorKind::HostUnreachable);
}

/// The packets from the first machine that arrive at the second one's public address, of these and one that comes last.
fn arriving(nics: &[Nic; 2], [client, server]: [&Machine; 2], packets: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let (mouth, ear) = (client.frames(), server.frames());
    sockopt::set_socket_timeout(&ear, Timeout::Recv, Some(PATIENCE)).unwrap();
    let last = udp(nics[0].addresses[0], PUBLIC[1], 9, LAST, b"last");
    for packet in packets.iter().chain([&last]) {
        send(&mouth, &[&ROUTER[..], &nics[0].mac, &[8, 0], packet].concat(), SendFlags::empty()).unwrap();
    }
    let mut arrived = Vec::new();
    loop {
        let mut frame = vec![0; 10_000];
        let (length, _) = recv(&ear, &mut frame, RecvFlags::empty()).expect("the last one arrives");
        frame.truncate(length);
        let is_packet = frame[12..14] == [8, 0] && frame[6..12] == ROUTER;
        match is_packet && frame.ends_with(b"last") {
            true => return arrived,
            false if is_packet => arrived.push(frame),
            false => {}
        }
    }
}

#[test]
fn nobody_gives_leases_to_a_public_address() {
    let (_lab, nics, [(client, _client), (server, _server)]) = start(["vpc-1", "vpc-2"], [OPEN; 2]);
    let lease = udp(nics[0].addresses[0], PUBLIC[1], 67, 68, b"a lease");
    assert_eq!(arriving(&nics, [&client, &server], &[lease]), [] as [Vec<u8>; 0]);
}

#[test]
fn a_gateway_takes_a_hop_and_tells_whose_was_the_last() {
    let (_lab, nics, [(client, _client), (server, _server)]) = start(["vpc-1", "vpc-2"], [OPEN; 2]);
    let with_hops = |hops: u8, to| {
        let mut packet = Vec::new();
        let builder = etherparse::PacketBuilder::ipv4(nics[0].addresses[0].octets(), to, hops).udp(9, 9);
        builder.write(&mut packet, b"?").unwrap();
        packet
    };
    let to = PUBLIC[1].octets();
    let heard = client.frames();
    sockopt::set_socket_timeout(&heard, Timeout::Recv, Some(PATIENCE)).unwrap();
    let arrived =
        arriving(&nics, [&client, &server], &[with_hops(2, to), with_hops(1, to), with_hops(1, [8, 8, 8, 8])]);
    assert_eq!(arrived.len(), 1);
    assert_eq!(header(&arrived[0]).ttl(), 1);
    // The sender of the others is told, of each.
    let complaints: Vec<_> = std::iter::from_fn(|| {
        let mut frame = vec![0; 10_000];
        let (length, _) = recv(&heard, &mut frame, RecvFlags::empty()).ok()?;
        frame.truncate(length);
        Some(frame)
    })
    // What the server says of the one that arrives, since nobody listens there, is another matter.
    .filter(|frame| frame[6..12] == ROUTER && frame[14 + 9] == 1 && frame[34] == 11)
    .take(2)
    .map(|frame| ([frame[34], frame[35]], Ipv4Addr::from(*frame[34 + 8 + 16..].first_chunk::<4>().unwrap())))
    .collect();
    assert_eq!(complaints, [([11, 0], PUBLIC[1]), ([11, 0], Ipv4Addr::new(8, 8, 8, 8))]);
}
