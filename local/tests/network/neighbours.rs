//! Machines that talk to each other, and to the router.

use crate::lab::{Lab, nic};
use std::{
    io::{ErrorKind, Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddrV4},
    thread,
    time::Duration,
};

#[test]
fn machines_of_a_vpc_reach_each_other_within_and_across_subnets() {
    let lab = Lab::new();
    let first = nic("vpc-1", [10, 0, 0, 5]);
    let others = [nic("vpc-1", [10, 0, 0, 6]), nic("vpc-1", [10, 0, 1, 6])];
    let (client, _attached) = lab.machine(&first);
    for other in &others {
        let (server, _attached) = lab.machine(other);
        let listener = server.listen(80);
        let mut stream = client.connect(SocketAddrV4::new(server.address, 80)).unwrap();
        let (mut accepted, from) = listener.accept().unwrap();
        assert_eq!(from.ip(), client.address);
        let sent = vec![7; 8 * 1024 * 1024];
        let copy = sent.clone();
        let writer = thread::spawn(move || {
            stream.write_all(&copy).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
        });
        let mut got = Vec::new();
        accepted.read_to_end(&mut got).unwrap();
        writer.join().unwrap();
        assert!(got == sent);
        let refused = client.connect(SocketAddrV4::new(server.address, 81)).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    }
}

#[test]
fn jumbo_datagrams_pass_whole() {
    let lab = Lab::new();
    let (first, second) = (nic("vpc-1", [10, 0, 0, 5]), nic("vpc-1", [10, 0, 1, 6]));
    let (a, _attached) = lab.machine(&first);
    let (b, _attached) = lab.machine(&second);
    let (from, to) = (a.udp(), b.udp());
    to.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    rustix::net::bind(&to, &SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 9)).unwrap();
    let datagram = vec![3; 9001 - 28];
    from.send_to(&datagram, (b.address, 9)).unwrap();
    let mut buffer = vec![0; 10_000];
    let (length, source) = to.recv_from(&mut buffer).unwrap();
    assert_eq!((length, source.ip()), (datagram.len(), a.address.into()));
}

#[test]
fn what_cannot_be_reached_is_refused_at_once() {
    let lab = Lab::new();
    let (machine, _attached) = lab.machine(&nic("vpc-1", [10, 0, 0, 5]));
    let kind =
        |a, b, c, d, port| machine.connect(SocketAddrV4::new(Ipv4Addr::new(a, b, c, d), port)).unwrap_err().kind();
    assert_eq!(kind(192, 0, 2, 1, 443), ErrorKind::HostUnreachable, "outside, where nothing leads");
    assert_eq!(kind(10, 0, 0, 1, 80), ErrorKind::ConnectionRefused, "the router");
    assert_eq!(kind(169, 254, 169, 254, 81), ErrorKind::ConnectionRefused, "another port of the metadata service");
    let udp = machine.udp();
    udp.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    udp.connect((Ipv4Addr::new(192, 0, 2, 1), 123)).unwrap();
    udp.send(b"time").unwrap();
    assert_eq!(udp.recv(&mut [0; 16]).unwrap_err().kind(), ErrorKind::HostUnreachable);
}

#[test]
fn the_router_answers_pings() {
    let lab = Lab::new();
    let (machine, _attached) = lab.machine(&nic("vpc-1", [10, 0, 0, 5]));
    let (other, _attached) = lab.machine(&nic("vpc-1", [10, 0, 1, 5]));
    for to in [Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(169, 254, 169, 253), other.address] {
        let socket = machine.ping();
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let mut request = vec![8, 0, 0, 0, 0, 0, 0, 1];
        request.extend([5; 4000]);
        socket.send_to(&request, (to, 0)).unwrap();
        let mut reply = vec![0; 5000];
        let length = socket.recv(&mut reply).unwrap_or_else(|error| panic!("{to}: {error}"));
        assert_eq!((reply[0], &reply[8..length]), (0, &request[8..]), "{to}");
    }
}

#[test]
fn names_are_answered_at_once() {
    let lab = Lab::new();
    let (machine, _attached) = lab.machine(&nic("vpc-1", [10, 0, 0, 5]));
    let known = b"\x0bip-10-0-0-5\x03ec2\x08internal\0\0\x01\0\x01";
    let unknown = b"\x07example\x03com\0\0\x01\0\x01";
    for server in [Ipv4Addr::new(10, 0, 0, 2), Ipv4Addr::new(169, 254, 169, 253)] {
        let socket = machine.udp();
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        socket.connect((server, 53)).unwrap();
        let ask = |question: &[u8]| {
            let message = [&[0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0], question].concat();
            socket.send(&message).unwrap();
            let mut reply = vec![0; 600];
            let length = socket.recv(&mut reply).unwrap();
            reply.truncate(length);
            reply
        };
        let reply = ask(known);
        assert_eq!((&reply[..2], reply[3] & 15), (&[0, 7][..], 0));
        assert!(reply.ends_with(&[0, 4, 10, 0, 0, 5]), "{reply:?}");
        assert_eq!(ask(unknown)[3] & 15, 3);
    }
}
