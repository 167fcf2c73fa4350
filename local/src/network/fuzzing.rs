//! Anything as frames that a machine sends, as machines that send to each other, as a question to the name server, and as a
//! message to the DHCP server.

mod filter;
mod model;
mod packets;

use super::{
    Direction, Nic, Peer, Rule, Traffic, dhcp, dns,
    filter::{Far, Filter},
    link::Link,
    neighbours::Neighbours,
    outside::{Departure, Exchange},
    port::{ETHERNET, MTU, Port},
    public,
    receive_budget::SharedBudget,
    router::{self, Verdict},
    stack::Stack,
    v6,
    watched::Watched,
};
use rustix::{event::epoll, net::SocketFlags};
use smoltcp::time::{Duration, Instant};
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 4);
const ADDRESS6: Ipv6Addr = Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 4);

fn nic() -> Nic {
    Nic {
        id: "eni-1".into(),
        vpc: "vpc-1".into(),
        mac: MAC,
        addresses: vec![ADDRESS],
        subnet: (Ipv4Addr::new(10, 0, 0, 0), 24),
        ipv6: vec![ADDRESS6],
        subnet6: Some((ADDRESS6, 64)),
    }
}

/// Frames of a machine, each after its length in two bytes: they go through router, filter and stack as the engine sends
/// them. The frames' Ethernet header is made right where it is missing, since everything ends there otherwise.
pub fn frames(bytes: &[u8]) {
    let mut neighbours = Neighbours::default();
    neighbours.plug_in(1, &nic());
    let (mac, addresses) = ([2, 0, 0, 0, 0, 2], vec![Ipv4Addr::new(10, 0, 0, 5)]);
    neighbours.plug_in(2, &Nic { mac, addresses, ipv6: Vec::new(), ..nic() });
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
    exchange: Exchange,
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
                rule(Direction::Egress, Traffic::All, Peer::Network6(Ipv6Addr::UNSPECIFIED, 0)),
            ],
        );
        let port = Port::new(Watched::new(&epoll, ours, 1).ok()?, &SharedBudget::default());
        let stack = Stack::new(MAC, Instant::ZERO).ok()?;
        Some(Self {
            link: Link { id: 1, nic: nic(), port, filter },
            stack,
            exchange: Exchange::default(),
            _cable: cable,
        })
    }

    fn send(&mut self, frame: &mut [u8], neighbours: &Neighbours, now: Instant) {
        let Self { link, stack, exchange, .. } = self;
        let groups = link.filter.groups().to_vec();
        match router::route(frame, &link.nic, true, neighbours) {
            Verdict::Forward(to) => {
                assert_eq!(to, 2, "it was forwarded to nobody");
                let source = frame.get(ETHERNET + 12..ETHERNET + 16);
                assert_eq!(source, Some(&ADDRESS.octets()[..]), "somebody speaks in another's name");
                let packet = &router::unpadded(frame)[ETHERNET..];
                let far = Far { port: Some(to), groups: &groups };
                link.filter.admits(Direction::Egress, packet, far, now);
                link.filter.admits(Direction::Ingress, packet, far, now);
            }
            Verdict::Outside(packet) => {
                let _ = public::translate(&mut packet.to_vec(), Ipv4Addr::new(127, 1, 2, 3), ADDRESS);
                if link.filter.admits(Direction::Egress, packet, Far::ELSEWHERE, now)
                    // Without a gateway: nothing leaves this process.
                    && matches!(exchange.depart(packet, 1, None, link, stack, now), Departure::Stack)
                {
                    stack.receive(packet, link, now);
                }
            }
            Verdict::Service(packet) => {
                router::opening(packet);
                stack.receive(packet, link, now);
            }
            Verdict::Unwanted { from, to } => stack.refuse(from, to),
            Verdict::Query { question, .. } => dns(question),
            Verdict::Lease(message) => {
                drop(dhcp::answer(&link.nic, &dhcp::DhcpOptions::amazon("ec2.internal"), message))
            }
            Verdict::Lease6 { client, message } => {
                let told = dhcp::DhcpOptions::amazon("ec2.internal");
                drop(v6::dhcp::answer(&link.nic, &told, false, client, message));
            }
            Verdict::Reply(reply) => assert!(reply.len() >= ETHERNET),
            Verdict::Replies(replies) => assert!(replies.iter().all(|reply| reply.len() >= ETHERNET)),
            Verdict::Drop => {}
        }
        stack.drive(link, now, &mut Vec::new());
    }
}

/// Machines that send to each other, and an account that changes their rules: what arrives is what a model of EC2's rules
/// says.
pub fn filter(bytes: &[u8]) {
    filter::run(bytes);
}

/// A VPC whose machines have all the public addresses that there are.
struct Everywhere;

impl dns::Zone for Everywhere {
    fn domain(&self) -> String {
        "eu-west-1.compute.internal".to_owned()
    }

    fn public(&self, address: Ipv4Addr) -> Option<Ipv4Addr> {
        Some(address)
    }

    fn resource(&self, _: &str) -> Option<Vec<IpAddr>> {
        None
    }
}

/// A message to the name server: what is answered bears the message's id, and is an answer; what goes on is a plain
/// question, however it was asked.
pub fn dns(message: &[u8]) {
    match dns::answer(message, &Everywhere) {
        dns::Answer::Reply(answer) => {
            assert_eq!(answer[..2], message[..2]);
            assert!(answer[2] & 0x80 != 0, "it answered by a question");
            let again = dns::answer(&answer, &Everywhere);
            assert_eq!(again, dns::Answer::Silence, "two name servers would never end");
        }
        dns::Answer::Elsewhere(question) => {
            assert_eq!(question[..2], message[..2]);
            assert_eq!((question[2], question[3] & 0xcf), (1, 0), "more than a plain question's flags");
            assert_eq!((&question[4..10], question[10]), (&[0, 1, 0, 0, 0, 0][..], 0));
            // After the name come type and class, and EDNS without options where it was asked with.
            let mut length = 0;
            while question[12 + length] != 0 {
                length += 1 + usize::from(question[12 + length]);
            }
            length += 1;
            let (kind, rest) = question[12 + length..].split_at(4);
            let kind = (u16::from_be_bytes([kind[0], kind[1]]), kind[2], kind[3]);
            // Of data, such as CAA, which is 257.
            let is_of_data = (1..128).contains(&kind.0) && kind.0 != 41 || kind.0 > 255;
            assert!(is_of_data && (kind.1, kind.2) == (0, 1), "{kind:?}");
            assert!(length <= 255 && question[11] <= 1 && rest.len() == usize::from(question[11]) * 11);
            assert_eq!(dns::answer(&question, &Everywhere), dns::Answer::Elsewhere(question.clone()), "it is plain");
        }
        dns::Answer::Silence => {}
    }
}

/// A message to the DHCP server: what is answered is for the one who has asked.
pub fn dhcp(message: &[u8]) {
    if let Some(frame) = dhcp::answer(&nic(), &dhcp::DhcpOptions::amazon("ec2.internal"), message) {
        let asker = |message: &[u8]| message.get(28..34).map(<[u8]>::to_vec);
        assert_eq!(asker(message), Some(MAC.to_vec()));
        assert_eq!(asker(&frame[ETHERNET + 20 + 8..]), Some(MAC.to_vec()));
    }
}

#[cfg(test)]
mod tests {
    use super::{super::frame::ROUTER, ADDRESS6};
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        #[test]
        fn the_filter_lets_pass_what_the_model_of_ec2_does(bytes in prop::collection::vec(any::<u8>(), 0..3000)) {
            super::filter(&bytes);
        }

        #[test]
        fn no_packet_of_ipv6_to_the_outside_breaks_it(
            packets in prop::collection::vec((prop::collection::vec(any::<u8>(), 1..200), 0usize..6), 1..8)
        ) {
            let frame = |(mut payload, kind): (Vec<u8>, usize)| {
                let protocol = [6, 17, 58, 44, 60, 0][kind];
                if protocol == 44 {
                    // Pieces of a datagram.
                    payload[0] = 17;
                    payload.iter_mut().skip(4).take(4).for_each(|byte| *byte = 0);
                }
                let length = (payload.len() as u16).to_be_bytes();
                let header = [&[0x60, 0, 0, 0][..], &length, &[protocol, 64], &ADDRESS6.octets(), &[0x20; 16]].concat();
                let frame = [&ROUTER[..], &super::MAC, &[0x86, 0xdd], &header, &payload].concat();
                [&(frame.len() as u16).to_be_bytes()[..], &frame].concat()
            };
            super::frames(&packets.into_iter().flat_map(frame).collect::<Vec<_>>());
        }
    }
}
