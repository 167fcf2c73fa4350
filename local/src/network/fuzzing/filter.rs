//! Machines that send to each other whatever they like, and an account that changes its mind: what is let through is
//! what the model lets through.

use super::{
    super::{
        Direction, Nic, Peer, Rule, Traffic,
        filter::Filter,
        link::{self, Link},
        neighbours::Neighbours,
        port::{ETHERNET, Port},
        receive_budget::SharedBudget,
        router::{self, Verdict},
        watched::Watched,
    },
    model::{self, Card, Log, Time},
    packets::{About, By, Carries, Flag, Frame, Packet, Piece, Quoted, Says},
};
use rustix::{
    event::epoll,
    net::{AddressFamily, SocketFlags, SocketType, socketpair},
};
use smoltcp::time::Instant;
use std::{net::Ipv4Addr, os::fd::OwnedFd, sync::Arc};

const CARDS: [Ipv4Addr; 3] = [Ipv4Addr::new(10, 0, 0, 5), Ipv4Addr::new(10, 0, 0, 6), Ipv4Addr::new(10, 0, 1, 7)];
const GROUPS: [&str; 3] = ["sg-0", "sg-1", "sg-2"];
/// The one whose source and destination aren't checked.
const UNCHECKED: usize = 2;
const ADDRESSES: [Ipv4Addr; 12] = [
    CARDS[0],
    CARDS[1],
    CARDS[2],
    Ipv4Addr::new(10, 0, 0, 1),
    Ipv4Addr::new(10, 0, 1, 1),
    Ipv4Addr::new(10, 0, 0, 2),
    Ipv4Addr::new(10, 8, 0, 7),
    Ipv4Addr::new(127, 0, 0, 1),
    Ipv4Addr::new(203, 0, 113, 7),
    Ipv4Addr::new(198, 51, 100, 9),
    Ipv4Addr::new(169, 254, 169, 254),
    Ipv4Addr::UNSPECIFIED,
];
const PORTS: [u16; 4] = [9, 53, 67, 68];
const WAITS: [Time; 8] = [0, 1, 29, 31, 61, 119, 181, 601];

/// What a fuzzer has thought of, byte by byte.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn next(&mut self) -> Option<usize> {
        let (byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(usize::from(*byte))
    }

    fn one_of<T: Clone>(&mut self, choices: &[T]) -> Option<T> {
        let chosen = self.next()? % choices.len();
        choices.get(chosen).cloned()
    }

    /// Seldom true.
    fn seldom(&mut self) -> Option<bool> {
        Some(self.next()? >= 240)
    }

    fn rule(&mut self) -> Option<Rule> {
        let direction = self.one_of(&[Direction::Ingress, Direction::Egress])?;
        let port = self.one_of(&PORTS)?;
        let (kind, code) = (self.icmp_kind()?, 0);
        let traffic = self.one_of(&[
            Traffic::All,
            Traffic::All,
            Traffic::Tcp(port..=port),
            Traffic::Tcp(0..=u16::MAX),
            Traffic::Udp(port..=port),
            Traffic::Udp(0..=u16::MAX),
            Traffic::Icmp(None, None),
            Traffic::Icmp(Some(kind), None),
            Traffic::Icmp(Some(kind), Some(code)),
            Traffic::Protocol(1),
            Traffic::Protocol(6),
            Traffic::Protocol(47),
        ])?;
        let (card, group) = (self.one_of(&CARDS)?, self.one_of(&GROUPS)?);
        let peer = self.one_of(&[
            Peer::Network(Ipv4Addr::UNSPECIFIED, 0),
            Peer::Network(Ipv4Addr::UNSPECIFIED, 0),
            Peer::Network(card, 32),
            Peer::Network(CARDS[0], 24),
            Peer::Network(Ipv4Addr::new(10, 8, 0, 0), 13),
            Peer::Group(group.to_owned()),
        ])?;
        Some(Rule { direction, traffic, peer })
    }

    /// Some rules, or those that many have: all in and out, all out, and what any address may reach.
    fn rules(&mut self) -> Option<Vec<Rule>> {
        let everywhere =
            |direction, traffic| Rule { direction, traffic, peer: Peer::Network(Ipv4Addr::UNSPECIFIED, 0) };
        let out = everywhere(Direction::Egress, Traffic::All);
        let come = |traffic| everywhere(Direction::Ingress, traffic);
        Some(match self.next()? % 8 {
            5 => vec![out, come(Traffic::All)],
            6 => vec![out],
            7 => vec![
                out,
                come(Traffic::Tcp(0..=u16::MAX)),
                come(Traffic::Udp(53..=53)),
                come(Traffic::Icmp(Some(8), None)),
            ],
            count => return (0..count).map(|_| self.rule()).collect(),
        })
    }

    fn icmp_kind(&mut self) -> Option<u8> {
        self.one_of(&[0, 8, 8, 13, 14, 15, 16, 17, 18, 3, 11, 12, 4, 5, 9, 10, 42])
    }

    fn says(&mut self, receiver: Ipv4Addr) -> Option<Says> {
        let (from, to) = (self.one_of(&PORTS)?, self.one_of(&PORTS)?);
        let flag = self.one_of(&[Flag::Syn, Flag::SynAck, Flag::Ack, Flag::Fin, Flag::Reset])?;
        let (kind, code, id) = (self.icmp_kind()?, self.one_of(&[0, 4])?, self.one_of(&[0, 9])?);
        let about = self.about(receiver)?;
        Some(match self.next()? % 5 {
            0 => Says::Tcp { from, to, flag },
            1 => Says::Udp { from, to },
            2 if !matches!(kind, 3 | 11 | 12) => Says::Icmp { kind, code, id },
            2 | 3 => Says::Error { kind: self.one_of(&[3, 11, 12])?, code, about },
            _ => Says::Tunnel,
        })
    }

    fn about(&mut self, receiver: Ipv4Addr) -> Option<About> {
        let (from, to) = (self.one_of(&PORTS)?, self.one_of(&PORTS)?);
        let says = match self.next()? % 4 {
            0 => Quoted::Tcp { from, to },
            1 => Quoted::Udp { from, to },
            2 => Quoted::Icmp { kind: self.icmp_kind()?, code: 0, id: self.one_of(&[0, 9])? },
            _ => Quoted::Tunnel,
        };
        let source = if self.seldom()? { self.one_of(&ADDRESSES)? } else { receiver };
        let destination = self.one_of(&CARDS)?;
        Some(About { source, destination, says, is_later_fragment: self.seldom()?, is_cut: self.seldom()? })
    }

    fn complaint(&mut self, frame: Frame) -> Option<Frame> {
        let (nic, other) = (self.next()? % CARDS.len(), self.one_of(&CARDS)?);
        let (kind, code) = self.one_of(&[(3, 3), (3, 4), (11, 0)])?;
        let how = self.one_of(&[
            Complaint::Rightly,
            Complaint::Rightly,
            Complaint::Rightly,
            Complaint::ToAnother(other),
            Complaint::Turned,
            Complaint::OfLaterFragment,
            Complaint::OfTooLittle,
            Complaint::OfError,
            Complaint::OfAnotherPort,
        ])?;
        // Mostly by the one who has got it.
        let receiver = CARDS.iter().position(|card| *card == frame.packet.destination);
        let nic = if self.seldom()? { nic } else { receiver.unwrap_or(nic) };
        complain(frame, nic, kind, code, how)
    }

    fn piece(&mut self) -> Option<Option<Piece>> {
        let start = self.one_of(&[0, 0, 0, 8, 16, 24, 32])?;
        let end = start + self.one_of(&[0, 4, 7, 8, 16, 20, 24, 32, 40])?;
        let (identification, more) = (self.one_of(&[1, 2])?, self.one_of(&[true, true, false])?);
        let whole = self.next()? % 3 != 0;
        Some((!whole).then_some(Piece { identification, start, end, more }))
    }

    fn frame(&mut self) -> Option<Frame> {
        let nic = self.next()? % CARDS.len();
        let source = if self.next()? % 3 == 0 { self.one_of(&ADDRESSES)? } else { CARDS[nic] };
        let destination = if self.seldom()? { self.one_of(&ADDRESSES)? } else { self.one_of(&CARDS)? };
        let says = self.says(destination)?;
        let packet = Packet {
            source,
            destination,
            ttl: if self.seldom()? { self.one_of(&[0, 1, 2])? } else { 64 },
            has_source_route: self.seldom()?,
            says,
            piece: self.piece()?,
        };
        Some(Frame {
            nic,
            has_foreign_mac: self.seldom()?,
            by: self.one_of(&[By::Router, By::Router, By::Receiver, By::Receiver, By::Everybody])?,
            carries: if self.next()? < 200 {
                Carries::Ipv4
            } else {
                self.one_of(&[Carries::Ipv6, Carries::Tagged, Carries::Mistyped])?
            },
            packet,
        })
    }
}

/// The packet that answers one.
fn answer(frame: Frame) -> Option<Frame> {
    let says = match frame.packet.says {
        Says::Tcp { from, to, flag: Flag::Syn } => Says::Tcp { from: to, to: from, flag: Flag::SynAck },
        Says::Tcp { from, to, flag } => Says::Tcp { from: to, to: from, flag },
        Says::Udp { from, to } => Says::Udp { from: to, to: from },
        Says::Icmp { kind: 8, code, id } => Says::Icmp { kind: 0, code, id },
        Says::Icmp { kind, code, id } => Says::Icmp { kind: kind.checked_add(1)?, code, id },
        Says::Error { .. } => return None,
        Says::Tunnel => Says::Tunnel,
    };
    let (source, destination) = (frame.packet.destination, frame.packet.source);
    let nic = CARDS.iter().position(|card| *card == source)?;
    let packet = Packet { source, destination, says, ..frame.packet };
    // Kinds that would be errors are said otherwise.
    let is_plain = !matches!(says, Says::Icmp { kind: 3 | 11 | 12, .. });
    is_plain.then_some(Frame { nic, packet, ..frame })
}

/// How somebody complains of a packet.
#[derive(Clone, Copy)]
enum Complaint {
    Rightly,
    /// To one who hasn't sent it.
    ToAnother(Ipv4Addr),
    /// As if it had gone the other way.
    Turned,
    OfLaterFragment,
    OfTooLittle,
    /// As if it had been an error.
    OfError,
    OfAnotherPort,
}

/// The error that somebody makes of a packet.
fn complain(frame: Frame, nic: usize, kind: u8, code: u8, how: Complaint) -> Option<Frame> {
    let of = |frame: Frame| {
        let says = match frame.packet.says {
            Says::Tcp { from, to, .. } => Quoted::Tcp { from, to },
            Says::Udp { from, to } => Quoted::Udp { from, to },
            Says::Icmp { kind, code, id } => Quoted::Icmp { kind, code, id },
            Says::Error { .. } => return None,
            Says::Tunnel => Quoted::Tunnel,
        };
        let Packet { source, destination, .. } = frame.packet;
        Some(About { source, destination, says, is_later_fragment: false, is_cut: false })
    };
    let mut about = of(frame)?;
    let mut destination = about.source;
    match how {
        Complaint::Rightly => {}
        Complaint::ToAnother(address) => destination = address,
        Complaint::Turned => {
            about = of(answer(frame)?)?;
            destination = about.source;
        }
        Complaint::OfLaterFragment => about.is_later_fragment = true,
        Complaint::OfTooLittle => about.is_cut = true,
        Complaint::OfError => about.says = Quoted::Icmp { kind: 3, code: 0, id: 0 },
        Complaint::OfAnotherPort => match &mut about.says {
            Quoted::Tcp { from, .. } | Quoted::Udp { from, .. } => *from ^= 1,
            Quoted::Icmp { id, .. } => *id ^= 1,
            Quoted::Tunnel => {}
        },
    }
    let says = Says::Error { kind, code, about };
    let packet = Packet { source: CARDS[nic], destination, says, ttl: 64, has_source_route: false, piece: None };
    Some(Frame { nic, has_foreign_mac: false, by: By::Router, carries: Carries::Ipv4, packet })
}

/// What follows a fragment.
fn next_piece(frame: Frame, more: bool) -> Frame {
    let piece = frame.packet.piece.map(|piece| {
        let length = piece.end.saturating_sub(piece.start).max(8);
        Piece { start: piece.end, end: piece.end.saturating_add(length), more, ..piece }
    });
    let piece = piece.filter(|piece| piece.start.is_multiple_of(8) && piece.start < 64);
    Frame { packet: Packet { piece, ..frame.packet }, ..frame }
}

/// The machines on their switch.
struct World {
    links: Vec<Link>,
    neighbours: Neighbours,
    // What the switch sends to the machines ends here.
    _cables: Vec<OwnedFd>,
}

impl World {
    fn new() -> Option<Self> {
        let epoll = Arc::new(epoll::create(epoll::CreateFlags::CLOEXEC).ok()?);
        let mut cables = Vec::new();
        let mut links = Vec::new();
        let mut neighbours = Neighbours::default();
        for (number, address) in CARDS.into_iter().enumerate() {
            let (ours, cable) =
                socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).ok()?;
            cables.push(cable);
            let subnet = (Ipv4Addr::from_bits(address.to_bits() & 0xffff_ff00), 24);
            let id = format!("eni-{number}");
            let nic = Nic {
                id,
                vpc: "vpc-1".into(),
                mac: mac(number),
                addresses: vec![address],
                subnet,
                ipv6: Vec::new(),
                subnet6: None,
            };
            let id = number as u64;
            let port = Port::new(Watched::new(&epoll, ours, id).ok()?, &SharedBudget::default());
            let mut filter = Filter::default();
            filter.set(vec![GROUPS[number].to_owned()], Vec::new());
            neighbours.plug_in(id, &nic);
            links.push(Link { id, nic, port, filter });
        }
        Some(Self { links, neighbours, _cables: cables })
    }

    /// Which machine a frame comes to, and the packet that it gets.
    fn deliver(&mut self, frame: &Frame, now: Time) -> Option<(usize, Vec<u8>)> {
        let receiver = CARDS.iter().position(|card| *card == frame.packet.destination).map_or([2; 6], mac);
        let mut bytes = frame.bytes(mac(frame.nic), receiver);
        let is_checked = frame.nic != UNCHECKED;
        let verdict = router::route(&mut bytes, &self.links[frame.nic].nic, is_checked, &self.neighbours);
        let Verdict::Forward(to) = verdict else { return None };
        let to = usize::try_from(to).ok()?;
        let packet = router::unpadded(&bytes).get(ETHERNET..)?;
        let [from, to_link] = self.links.get_disjoint_mut([frame.nic, to]).ok()?;
        let now = Instant::from_secs(i64::try_from(now).ok()?);
        link::passes(from, to_link, is_checked, packet, now).then(|| (to, packet.to_vec()))
    }
}

fn mac(number: usize) -> [u8; 6] {
    [2, 0, 0, 0, 1, number as u8]
}

fn cards() -> Vec<Card> {
    let card = |(number, address): (usize, Ipv4Addr)| {
        let subnet = Ipv4Addr::from_bits(address.to_bits() & 0xffff_ff00);
        // The VPC's own name server.
        let reserved = vec![Ipv4Addr::new(10, 0, 0, 2)];
        let is_checked = number != UNCHECKED;
        let groups = vec![GROUPS[number].to_owned()];
        Card { address, groups, rules: Vec::new(), is_checked, subnet, reserved, log: Log::default() }
    };
    CARDS.into_iter().enumerate().map(card).collect()
}

/// Frames, waits and changes of rules, and whether each frame arrives exactly if the model says so.
pub(super) fn run(bytes: &[u8]) {
    let mut bytes = Bytes(bytes);
    let Some(mut world) = World::new() else { return };
    let mut cards = cards();
    // A moment after the beginning: zero is the time before all.
    let mut now: Time = 1;
    let mut last: Option<Frame> = None;
    while let Some(step) = bytes.next() {
        let frame = match (step % 12, last) {
            (0, _) => {
                now += bytes.one_of(&WAITS).unwrap_or_default();
                None
            }
            (1, _) => {
                if let (Some(nic), Some(rules)) = (bytes.next(), bytes.rules()) {
                    let nic = nic % CARDS.len();
                    cards[nic].rules.clone_from(&rules);
                    let groups = cards[nic].groups.clone();
                    world.links[nic].filter.set(groups, rules);
                }
                None
            }
            (2, _) => {
                let (nic, groups) = (bytes.next(), bytes.next());
                if let (Some(nic), Some(chosen)) = (nic, groups) {
                    let nic = nic % CARDS.len();
                    let is_of = |number: &usize| chosen & (1 << number) != 0;
                    let groups: Vec<_> = (0..GROUPS.len()).filter(is_of).map(|at| GROUPS[at].to_owned()).collect();
                    cards[nic].groups.clone_from(&groups);
                    let rules = cards[nic].rules.clone();
                    world.links[nic].filter.set(groups, rules);
                }
                None
            }
            (3, Some(last)) => Some(last),
            (4 | 5, Some(last)) => answer(last),
            (6, Some(last)) => bytes.complaint(last),
            (7 | 8, Some(last)) => Some(next_piece(last, step % 3 == 1)),
            _ => bytes.frame(),
        };
        if let Some(frame) = frame {
            let expected = model::deliver(&mut cards, &frame, now);
            let delivered = world.deliver(&frame, now);
            assert_eq!(delivered.as_ref().map(|(to, _)| *to), expected, "at {now} s: {frame:?}");
            if let Some((_, mut packet)) = delivered {
                let mut sent = frame.packet.bytes();
                // A router takes a hop, and puts the checksum right.
                for packet in [&mut packet, &mut sent] {
                    packet[8] = 0;
                    packet[10..12].fill(0);
                }
                assert_eq!(packet, sent, "it was changed on the way");
            }
            // An answer to an error would be none.
            last = if matches!(frame.packet.says, Says::Error { .. }) { last } else { Some(frame) };
        }
    }
}
