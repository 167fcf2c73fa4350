//! Anything as frames that a machine sends, and as a question to the name server.

use super::{
    Direction, Nic, Peer, Rule, Traffic, dns,
    filter::Filter,
    link::Link,
    port::{ETHERNET, MTU, Port},
    router::{self, Neighbours, Verdict},
    stack::Stack,
    watched::Watched,
};
use rustix::{event::epoll, net::SocketFlags};
use smoltcp::time::{Duration, Instant};
use std::{collections::HashMap, net::Ipv4Addr, sync::Arc};

const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 4);

/// Frames of a machine, each after its length in two bytes: they go through router, filter and stack as the engine sends
/// them. The frames' Ethernet header is made right where it is missing, since everything ends there otherwise.
pub fn frames(bytes: &[u8]) {
    let neighbours: Neighbours =
        HashMap::from([(ADDRESS, (1, MAC)), (Ipv4Addr::new(10, 0, 0, 5), (2, [2, 0, 0, 0, 0, 2]))]);
    let Some(mut machine) = Machine::new() else { return };
    let mut rest = bytes;
    let mut now = Instant::ZERO;
    while let Some((length, following)) = rest.split_first_chunk::<2>() {
        let (frame, others) = following.split_at(usize::from(u16::from_be_bytes(*length)).min(following.len()));
        rest = others;
        let mut frame = frame[..frame.len().min(ETHERNET + MTU)].to_vec();
        if let Some(source) = frame.get_mut(6..12) {
            source.copy_from_slice(&MAC);
        }
        machine.send(&mut frame, &neighbours, now);
        now += Duration::from_millis(100);
    }
}

struct Machine {
    link: Link,
    stack: Stack,
    // What the switch sends to the machine ends here.
    _cable: std::os::fd::OwnedFd,
}

impl Machine {
    fn new() -> Option<Self> {
        let epoll = Arc::new(epoll::create(epoll::CreateFlags::CLOEXEC).ok()?);
        let (ours, cable) = rustix::net::socketpair(
            rustix::net::AddressFamily::UNIX,
            rustix::net::SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )
        .ok()?;
        let nic = Nic {
            id: "eni-1".into(),
            vpc: "vpc-1".into(),
            mac: MAC,
            addresses: vec![ADDRESS],
            subnet: (Ipv4Addr::new(10, 0, 0, 0), 24),
        };
        let mut filter = Filter::default();
        let rule = |direction, traffic, peer| Rule { direction, traffic, peer };
        let all = Peer::Network(Ipv4Addr::UNSPECIFIED, 0);
        filter.set(
            vec!["sg-1".into()],
            vec![
                rule(Direction::Ingress, Traffic::Tcp(22..=22), all.clone()),
                rule(Direction::Ingress, Traffic::Icmp(Some(8), None), Peer::Group("sg-1".into())),
                rule(Direction::Egress, Traffic::Udp(0..=1023), all.clone()),
                rule(Direction::Egress, Traffic::Tcp(0..=u16::MAX), all),
            ],
        );
        let port = Port::new(Watched::new(&epoll, ours, 1).ok()?);
        let stack = Stack::new(MAC, Instant::ZERO).ok()?;
        Some(Self { link: Link { nic, port, filter }, stack, _cable: cable })
    }

    fn send(&mut self, frame: &mut [u8], neighbours: &Neighbours, now: Instant) {
        let Self { link, stack, .. } = self;
        let groups = link.filter.groups().to_vec();
        match router::route(frame, &link.nic, true, neighbours) {
            Verdict::Forward(to) => {
                assert_eq!(to, 2, "it was forwarded to nobody");
                let source = frame.get(ETHERNET + 12..ETHERNET + 16);
                assert_eq!(source, Some(&ADDRESS.octets()[..]), "somebody speaks in another's name");
                let packet = &frame[ETHERNET..];
                link.filter.admits(Direction::Egress, packet, &groups, now);
                link.filter.admits(Direction::Ingress, packet, &groups, now);
            }
            Verdict::Outside(packet) => {
                if link.filter.admits(Direction::Egress, packet, &[], now) {
                    stack.receive(packet, link, now);
                }
            }
            Verdict::Service(packet) => {
                router::opening(packet);
                stack.receive(packet, link, now);
            }
            Verdict::Unwanted { from, to } => stack.refuse(from, to),
            Verdict::Query { question, .. } => dns(question),
            Verdict::Reply(reply) => assert!(reply.len() >= ETHERNET),
            Verdict::Drop => {}
        }
        stack.drive(link, now, &mut Vec::new());
    }
}

/// A message to the name server: what is answered bears the message's id, and is an answer.
pub fn dns(message: &[u8]) {
    if let Some(answer) = dns::answer(message, || dns::DEFAULT_DOMAIN.to_owned()) {
        assert_eq!(answer[..2], message[..2]);
        assert!(answer[2] & 0x80 != 0, "it answered by a question");
        assert!(dns::answer(&answer, String::new).is_none(), "two name servers would never end");
    }
}
