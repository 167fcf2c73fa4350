//! ICMP messages that nobody has asked for: errors, and what would tell a machine where to send.

use crate::{
    lab::{Lab, OPEN, anyone, nic, rule},
    machine::Machine,
    raw::{LAST, Wire, fragment, icmp, tcp_syn, udp},
};
use ec2_local::network::{Attached, Direction, Nic, Peer, Traffic};
use etherparse::IpNumber;
use std::{
    io::ErrorKind,
    net::{Ipv4Addr, SocketAddrV4, UdpSocket},
    os::fd::AsRawFd,
    time::Duration,
};

const ATTACKER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 5);
const VICTIM: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 6);
const OTHER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 7);
/// What is said of a path: packets of more bytes don't pass.
const SMALL: [u8; 4] = [0, 0, 2, 0x40];

struct Three {
    lab: Lab,
    nics: [Nic; 3],
    machines: [(Machine, Attached); 3],
}

/// Attacker, victim and another one. The victim's group is that of most machines: all may leave, and one port may come in.
fn start(group: &str) -> Three {
    let lab = Lab::new();
    let nics = [ATTACKER, VICTIM, OTHER].map(|address| nic("vpc-1", address.octets()));
    lab.set_rules(
        "sg-1",
        vec![
            rule(Direction::Ingress, Traffic::Udp(LAST..=LAST), anyone()),
            rule(Direction::Ingress, Traffic::Icmp(Some(8), None), anyone()),
            rule(Direction::Egress, Traffic::All, anyone()),
        ],
    );
    let groups = [OPEN, group, OPEN];
    let machines = [0, 1, 2].map(|number| lab.machine_of(&[groups[number]], &nics[number]));
    Three { lab, nics, machines }
}

impl Three {
    fn wire(&self) -> Wire<'_> {
        Wire::new((&self.nics[0], &self.machines[0].0), (&self.nics[1], &self.machines[1].0))
    }
}

/// A socket that takes what comes, so that the machine has no reason to complain.
fn listen(machine: &Machine) -> UdpSocket {
    let socket = machine.udp();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    rustix::net::bind(&socket, &SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 9)).unwrap();
    socket
}

/// What the machine takes for the largest packet on the way to where a socket leads.
fn path_mtu(socket: &UdpSocket) -> i32 {
    let (mut mtu, mut length) = (0i32, size_of::<i32>() as libc::socklen_t);
    // SAFETY: the option is an integer, and both pointers are those of live values.
    let result = unsafe {
        libc::getsockopt(socket.as_raw_fd(), libc::IPPROTO_IP, libc::IP_MTU, (&raw mut mtu).cast(), &raw mut length)
    };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
    mtu
}

#[test]
fn an_error_about_a_flow_that_doesnt_exist_is_dropped() {
    // Where there is one, the attacker's own group lets all out, and the victim's all in.
    for group in ["sg-1", OPEN] {
        let three = start(group);
        let wire = three.wire();
        for about in [
            udp(VICTIM, OTHER, 7, 53, b"question"),
            tcp_syn(VICTIM, OTHER, 40_000, 443),
            icmp(VICTIM, OTHER, 8, 0, [0, 7, 0, 1], b"ping"),
        ] {
            assert!(!wire.passes(&icmp(ATTACKER, VICTIM, 3, 4, SMALL, &about)), "{group}: {about:?}");
        }
        let _hearer = listen(&three.machines[2].0);
        let socket = three.machines[1].0.udp();
        socket.connect((OTHER, 9)).unwrap();
        // A flow that does exist, but never came by the attacker.
        socket.send(b"something").unwrap();
        let port = socket.local_addr().unwrap().port();
        let about = udp(VICTIM, OTHER, port, 9, b"something");
        assert!(!wire.passes(&icmp(ATTACKER, VICTIM, 3, 4, SMALL, &about)), "{group}");
        assert_eq!(path_mtu(&socket), 9001, "{group}");
    }
}

#[test]
fn an_error_about_what_was_sent_to_its_sender_arrives() {
    for group in ["sg-1", OPEN] {
        let three = start(group);
        let socket = three.machines[1].0.udp();
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        socket.connect((ATTACKER, 9)).unwrap();
        socket.send(b"nobody is there").unwrap();
        assert_eq!(socket.recv(&mut [0; 16]).unwrap_err().kind(), ErrorKind::ConnectionRefused, "{group}");
        let wire = three.wire();
        let port = socket.local_addr().unwrap().port();
        let about = |from: Ipv4Addr, port| udp(from, ATTACKER, port, 9, b"nobody is there");
        assert!(!wire.passes(&icmp(ATTACKER, VICTIM, 3, 4, SMALL, &about(VICTIM, port ^ 1))), "{group}: another port");
        assert!(!wire.passes(&icmp(ATTACKER, VICTIM, 3, 4, SMALL, &about(OTHER, port))), "{group}: another sender");
        assert!(wire.passes(&icmp(ATTACKER, VICTIM, 3, 4, SMALL, &about(VICTIM, port))), "{group}");
    }
}

#[test]
fn an_error_is_about_the_beginning_of_a_packet_that_is_none() {
    let three = start(OPEN);
    let hearer = listen(&three.machines[0].0);
    let socket = three.machines[1].0.udp();
    socket.connect((ATTACKER, 9)).unwrap();
    socket.send(b"something").unwrap();
    hearer.recv(&mut [0; 16]).unwrap();
    let port = socket.local_addr().unwrap().port();
    let wire = three.wire();
    let about = udp(VICTIM, ATTACKER, port, 9, b"something");
    let error = icmp(VICTIM, ATTACKER, 3, 3, [0; 4], &about);
    assert!(!wire.passes(&icmp(ATTACKER, VICTIM, 3, 4, SMALL, &error)), "an error about an error");
    let later = fragment(VICTIM, ATTACKER, IpNumber::UDP, 7, (2, false), &about[20..]);
    assert!(!wire.passes(&icmp(ATTACKER, VICTIM, 3, 4, SMALL, &later)), "about a later fragment");
    assert!(!wire.passes(&icmp(ATTACKER, VICTIM, 3, 4, SMALL, &about[..27])), "about too little");
    assert!(!wire.passes(&icmp(ATTACKER, VICTIM, 3, 4, SMALL, b"nonsense")), "about nothing");
    assert!(wire.passes(&icmp(ATTACKER, VICTIM, 3, 4, SMALL, &about[..28])));
}

#[test]
fn nobody_tells_a_machine_where_to_send_but_by_a_rule_for_that() {
    for group in ["sg-1", OPEN] {
        let three = start(group);
        let wire = three.wire();
        let about = udp(VICTIM, OTHER, 7, 53, b"question");
        // A question that passes, and has the identification that those have which have none.
        assert!(wire.passes(&icmp(ATTACKER, VICTIM, 8, 0, [0; 4], b"ping")));
        let own = ATTACKER.octets();
        for (kind, code) in [(4, 0), (5, 0), (5, 1), (9, 0), (10, 0)] {
            assert!(!wire.passes(&icmp(ATTACKER, VICTIM, kind, code, own, &about)), "{group}: type {kind}");
        }
    }
    let three = start(OPEN);
    let named = rule(Direction::Ingress, Traffic::Icmp(Some(5), None), Peer::Network(ATTACKER, 32));
    let last = rule(Direction::Ingress, Traffic::Udp(LAST..=LAST), anyone());
    let out = rule(Direction::Egress, Traffic::Icmp(Some(5), None), anyone());
    three.lab.set_rules(OPEN, vec![named, last, out, rule(Direction::Egress, Traffic::All, anyone())]);
    let wire = three.wire();
    assert!(wire.passes(&icmp(ATTACKER, VICTIM, 5, 0, ATTACKER.octets(), &udp(VICTIM, OTHER, 7, 53, b"question"))));
}

#[test]
fn an_answer_that_nobody_has_asked_for_is_dropped() {
    let three = start("sg-1");
    let wire = three.wire();
    let echo = |kind| icmp(ATTACKER, VICTIM, kind, 0, [0, 9, 0, 1], b"ping");
    assert!(!wire.passes(&echo(0)));
    assert!(wire.passes(&echo(8)));
    assert!(!wire.passes(&echo(0)), "the attacker itself has asked");
    assert!(!wire.passes(&icmp(ATTACKER, VICTIM, 14, 0, [0, 9, 0, 1], &[0; 12])), "an answer of another kind");
    let ping = three.machines[1].0.ping();
    ping.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    ping.send_to(&[8, 0, 0, 0, 0, 0, 0, 1], SocketAddrV4::new(ATTACKER, 0)).unwrap();
    assert_eq!(ping.recv(&mut [0; 64]).unwrap(), 8);
}
