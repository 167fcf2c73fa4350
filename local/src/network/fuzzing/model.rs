//! What EC2 would let pass, in the plainest words, without regard to how fast: everything that was let in or out is
//! written down, and looked through. It shares nothing with the filter but the language of rules.
//!
//! - Security groups: <https://docs.aws.amazon.com/vpc/latest/userguide/security-group-rules.html>
//! - What is tracked, and for how long:
//!   <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/security-group-connection-tracking.html>
//! - Source and destination checks: <https://docs.aws.amazon.com/vpc/latest/userguide/vpc-eni.html>
//!
//! Where those are silent it says what docs/local-ec2.md says: fragments, ICMP errors, what tells a machine where to send.
//! Of IPv6 it says that nothing passes: no machine has an address of that family.

use super::packets::{About, By, Carries, Flag, Frame, Packet, Piece, Quoted, Says};
use crate::network::{Direction, Peer, Rule, Traffic};
use std::net::Ipv4Addr;

/// Seconds since the beginning.
pub(super) type Time = u64;

/// A NIC, as the account has it.
pub(super) struct Card {
    pub(super) address: Ipv4Addr,
    pub(super) groups: Vec<String>,
    pub(super) rules: Vec<Rule>,
    pub(super) is_checked: bool,
    /// Its subnet, of which the first four addresses are nobody's.
    pub(super) subnet: Ipv4Addr,
    /// What nobody else may speak as: the name server.
    pub(super) reserved: Vec<Ipv4Addr>,
    pub(super) log: Log,
}

/// What has passed at a NIC.
#[derive(Default)]
pub(super) struct Log {
    talks: Vec<Talk>,
    untracked: Vec<(Topic, Direction, Time)>,
    /// The packet that is on its way in pieces, up to where, and since when.
    pieces: Vec<(Pieces, u32, Time)>,
}

/// Of what pieces are: which way it goes, the machine at the other end, source and destination, protocol, identification.
type Pieces = (Direction, usize, Ipv4Addr, Ipv4Addr, u8, u16);

/// A connection that is tracked.
struct Talk {
    topic: Topic,
    opened: Direction,
    last: Time,
    answers: u32,
    /// Who has asked has answered an answer.
    is_agreed: bool,
    ended: [bool; 2],
}

/// What packets of the same connection have in common, whichever way they go.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Topic {
    Tcp {
        inside: (Ipv4Addr, u16),
        outside: (Ipv4Addr, u16),
    },
    Udp {
        inside: (Ipv4Addr, u16),
        outside: (Ipv4Addr, u16),
    },
    /// Who asks whom what kind of question, and its number.
    Question {
        asker: Ipv4Addr,
        asked: Ipv4Addr,
        kind: u8,
        id: u16,
        asked_from: Direction,
    },
    Tunnel {
        inside: Ipv4Addr,
        outside: Ipv4Addr,
    },
}

impl Talk {
    /// How long it may be silent.
    fn life(&self) -> Time {
        let is_over = self.ended[0] && self.ended[1];
        match self.topic {
            Topic::Tcp { .. } if is_over => 60,
            Topic::Tcp { .. } if !self.is_agreed => 120,
            Topic::Tcp { .. } if self.ended[0] || self.ended[1] => 600,
            Topic::Tcp { .. } => 432_000,
            Topic::Udp { .. } if self.answers >= 2 => 180,
            Topic::Udp { .. } | Topic::Question { .. } => 30,
            Topic::Tunnel { .. } => 600,
        }
    }
}

fn pieces(direction: Direction, far: usize, packet: &Packet, piece: Piece) -> Pieces {
    (direction, far, packet.source, packet.destination, packet.says.protocol().0, piece.identification)
}

fn other(direction: Direction) -> Direction {
    if direction == Direction::Ingress { Direction::Egress } else { Direction::Ingress }
}

/// The same packet, as somebody would quote it.
fn quoted(packet: &Packet) -> Option<About> {
    let says = match packet.says {
        Says::Tcp { from, to, .. } => Quoted::Tcp { from, to },
        Says::Udp { from, to } => Quoted::Udp { from, to },
        Says::Icmp { kind, code, id } => Quoted::Icmp { kind, code, id },
        Says::Tunnel => Quoted::Tunnel,
        Says::Error { .. } => return None,
    };
    Some(About {
        source: packet.source,
        destination: packet.destination,
        says,
        is_later_fragment: false,
        is_cut: false,
    })
}

fn topic(about: &About, direction: Direction) -> Option<Topic> {
    let is_in = direction == Direction::Ingress;
    let (inside, outside) = if is_in { (about.destination, about.source) } else { (about.source, about.destination) };
    let ends = |from, to| {
        if is_in { ((inside, to), (outside, from)) } else { ((inside, from), (outside, to)) }
    };
    Some(match about.says {
        Quoted::Tcp { from, to } => {
            let (inside, outside) = ends(from, to);
            Topic::Tcp { inside, outside }
        }
        Quoted::Udp { from, to } => {
            let (inside, outside) = ends(from, to);
            Topic::Udp { inside, outside }
        }
        Quoted::Icmp { kind, id, .. } => {
            let (source, destination) = (about.source, about.destination);
            match kind {
                8 | 13 | 15 | 17 => {
                    Topic::Question { asker: source, asked: destination, kind, id, asked_from: direction }
                }
                0 | 14 | 16 | 18 => Topic::Question {
                    asker: destination,
                    asked: source,
                    kind: if kind == 0 { 8 } else { kind - 1 },
                    id,
                    asked_from: other(direction),
                },
                _ => return None,
            }
        }
        Quoted::Tunnel => Topic::Tunnel { inside, outside },
    })
}

impl Card {
    fn permits(&self, direction: Direction, packet: &About, groups: &[String]) -> bool {
        self.rules.iter().any(|rule| rule.direction == direction && covers(rule, packet, direction, groups))
    }

    /// "If a security group rule permits TCP or UDP flows for all traffic and there is a corresponding rule in the other
    /// direction that permits all response traffic for all ports, then that flow isn't tracked."
    fn tracks(&self, direction: Direction, packet: &About) -> bool {
        let (port, is_tcp) = match packet.says {
            Quoted::Tcp { to, .. } => (to, true),
            Quoted::Udp { to, .. } => (to, false),
            Quoted::Icmp { .. } | Quoted::Tunnel => return true,
        };
        let open = |way: Direction, ports: &dyn Fn(u16, u16) -> bool, by_number: bool| {
            self.rules.iter().any(|rule| {
                let is_everywhere = matches!(rule.peer, Peer::Network(_, 0));
                let covers = match &rule.traffic {
                    Traffic::All => true,
                    Traffic::Tcp(range) => is_tcp && ports(*range.start(), *range.end()),
                    Traffic::Udp(range) => !is_tcp && ports(*range.start(), *range.end()),
                    Traffic::Protocol(number) => by_number && *number == if is_tcp { 6 } else { 17 },
                    Traffic::Icmp(..) | Traffic::Icmpv6(..) => false,
                };
                rule.direction == way && is_everywhere && covers
            })
        };
        let is_one = |first, last| first <= port && port <= last;
        let are_all = |first, last| first == 0 && last == u16::MAX;
        !(open(direction, &is_one, true) && open(other(direction), &are_all, false))
    }

    fn admits(&mut self, direction: Direction, packet: &Packet, (far, groups): (usize, &[String]), now: Time) -> bool {
        let Some(piece) = packet.piece else { return self.admits_whole(direction, packet, groups, now) };
        let length = u32::from(piece.end.saturating_sub(piece.start));
        let is_piece = piece.more || piece.start > 0;
        let is_sound = length > 0 && (!piece.more || length.is_multiple_of(8)) && u32::from(piece.end) + 20 <= 65_535;
        if is_piece && !is_sound {
            return false;
        }
        if piece.start > 0 {
            return self.follows(pieces(direction, far, packet, piece), piece, now);
        }
        let needs = match packet.says {
            Says::Tcp { .. } => 20,
            Says::Udp { .. } | Says::Icmp { .. } => 8,
            Says::Error { .. } => 8 + 20 + 8,
            Says::Tunnel => 0,
        };
        if length < needs {
            return false;
        }
        let is_admitted = self.admits_whole(direction, packet, groups, now);
        if is_piece && !is_malformed(packet) {
            let key = pieces(direction, far, packet, piece);
            self.log.pieces.retain(|(known, ..)| *known != key);
            if is_admitted {
                self.log.pieces.push((key, u32::from(piece.end), now));
            }
        }
        is_admitted
    }

    /// Later fragments pass in order, after a first that passed, for thirty seconds.
    fn follows(&mut self, key: Pieces, piece: Piece, now: Time) -> bool {
        let known = self.log.pieces.iter().find(|(known, ..)| *known == key).copied();
        let Some((_, next, since)) = known.filter(|(.., since)| now < since + 30) else { return false };
        self.log.pieces.retain(|(known, ..)| *known != key);
        let is_next = next == u32::from(piece.start);
        if is_next && piece.more {
            self.log.pieces.push((key, u32::from(piece.end), since));
        }
        is_next
    }

    fn admits_whole(&mut self, direction: Direction, packet: &Packet, groups: &[String], now: Time) -> bool {
        let about = match (packet.says, quoted(packet)) {
            (Says::Error { kind, code, about }, _) => {
                return !is_malformed(packet)
                    && self.admits_error(direction, packet, (kind, code), &about, groups, now);
            }
            (_, Some(about)) => about,
            (_, None) => return false,
        };
        let topic = topic(&about, direction);
        let (asks, resets, finishes) = match packet.says {
            Says::Tcp { flag, .. } => (flag == Flag::Syn, flag == Flag::Reset, flag == Flag::Fin),
            Says::Icmp { kind, .. } => (matches!(kind, 8 | 13 | 15 | 17), false, false),
            _ => (false, false, false),
        };
        self.log.talks.retain(|talk| now < talk.last + talk.life());
        if let Some(talk) = self.log.talks.iter_mut().find(|talk| Some(talk.topic) == topic)
            && !asks
        {
            talk.last = now;
            talk.is_agreed |= talk.opened == direction && talk.answers > 0;
            talk.answers += u32::from(talk.opened != direction);
            talk.ended[0] |= resets || (finishes && direction == Direction::Ingress);
            talk.ended[1] |= resets || (finishes && direction == Direction::Egress);
            return true;
        }
        if !self.permits(direction, &about, groups) {
            return false;
        }
        let Some(topic) = topic else { return true };
        let may_begin = asks || matches!(topic, Topic::Udp { .. } | Topic::Tunnel { .. });
        if may_begin && self.tracks(direction, &about) {
            self.log.talks.retain(|talk| talk.topic != topic);
            let (answers, is_agreed, ended) = (0, false, [false; 2]);
            self.log.talks.push(Talk { topic, opened: direction, last: now, answers, is_agreed, ended });
        } else {
            self.log.untracked.push((topic, direction, now));
        }
        true
    }

    /// An error leaves a machine if it is about what has come to it; it comes if it is about what has left, or by a rule.
    fn admits_error(
        &mut self,
        direction: Direction,
        packet: &Packet,
        (kind, code): (u8, u8),
        about: &About,
        groups: &[String],
        now: Time,
    ) -> bool {
        let went = other(direction);
        let Some(message) = quoted(&Packet { says: Says::Icmp { kind, code, id: 0 }, ..*packet }) else { return false };
        let by_rule = self.permits(direction, &message, groups);
        let topic = topic(about, went);
        let is_tracked = self.log.talks.iter().any(|talk| {
            now < talk.last + talk.life() && Some(talk.topic) == topic && (talk.opened == went || talk.answers > 0)
        });
        let has_passed = self
            .log
            .untracked
            .iter()
            .any(|(known, way, when)| Some(*known) == topic && *way == went && now < when + 60);
        let is_untracked = has_passed && (by_rule || self.permits(went, about, groups));
        is_tracked || is_untracked || (by_rule && direction == Direction::Ingress)
    }
}

/// Whether no machine could have sent it in earnest.
fn is_malformed(packet: &Packet) -> bool {
    let Says::Error { about, .. } = packet.says else { return false };
    let is_about_error = matches!(about.says, Quoted::Icmp { kind: 3 | 11 | 12, .. });
    // What comes in pieces is filled up.
    let is_cut = about.is_cut && packet.piece.is_none();
    about.source != packet.destination || is_cut || about.is_later_fragment || is_about_error
}

fn covers(rule: &Rule, packet: &About, direction: Direction, groups: &[String]) -> bool {
    let remote = if direction == Direction::Ingress { packet.source } else { packet.destination };
    let peer = match &rule.peer {
        Peer::Network(network, prefix) => {
            (0..*prefix).all(|bit| (network.to_bits() ^ remote.to_bits()) & (1 << (31 - bit)) == 0)
        }
        Peer::Network6(..) => false,
        Peer::Group(id) => groups.iter().any(|group| group == id),
    };
    // Source quench, redirects, router advertisements and solicitations have to be named.
    let steers = matches!(packet.says, Quoted::Icmp { kind: 4 | 5 | 9 | 10, .. });
    let traffic = match (&rule.traffic, packet.says) {
        (Traffic::All, _) => !steers,
        (Traffic::Tcp(ports), Quoted::Tcp { to, .. }) | (Traffic::Udp(ports), Quoted::Udp { to, .. }) => {
            *ports.start() <= to && to <= *ports.end()
        }
        (Traffic::Icmp(kind, code), Quoted::Icmp { kind: is, code: with, .. }) => {
            kind.map_or(!steers, |kind| kind == is) && code.is_none_or(|code| code == with)
        }
        (Traffic::Protocol(6), Quoted::Tcp { .. })
        | (Traffic::Protocol(17), Quoted::Udp { .. })
        | (Traffic::Protocol(47), Quoted::Tunnel) => true,
        (Traffic::Protocol(1), Quoted::Icmp { .. }) => !steers,
        _ => false,
    };
    peer && traffic
}

/// Which NIC a frame comes to.
pub(super) fn deliver(cards: &mut [Card], frame: &Frame, now: Time) -> Option<usize> {
    let packet = &frame.packet;
    let to = cards.iter().position(|card| card.address == packet.destination).filter(|to| *to != frame.nic)?;
    let hops = match frame.by {
        By::Router => 2,
        By::Receiver => 1,
        By::Everybody => return None,
    };
    let is_sound =
        frame.carries == Carries::Ipv4 && !frame.has_foreign_mac && !packet.has_source_route && packet.ttl >= hops;
    if !is_sound || !may_speak(cards, frame.nic, to, packet.source) || imitates_dhcp(packet) {
        return None;
    }
    let groups = |nic: usize, cards: &[Card]| cards[nic].groups.clone();
    let (own, others) = (groups(frame.nic, cards), groups(to, cards));
    let passes = cards[frame.nic].admits(Direction::Egress, packet, (to, &others), now)
        && cards[to].admits(Direction::Ingress, packet, (frame.nic, &own), now);
    passes.then_some(to)
}

fn may_speak(cards: &[Card], from: usize, to: usize, source: Ipv4Addr) -> bool {
    let sender = &cards[from];
    if source == sender.address {
        return true;
    }
    let is_of_subnet = |card: &Card| (0..4).any(|number| Ipv4Addr::from_bits(card.subnet.to_bits() + number) == source);
    if cards.iter().any(is_of_subnet) {
        return false;
    }
    let [a, b, ..] = source.octets();
    let is_private = a == 10
        || (a == 172 && b & 0xf0 == 16)
        || (a == 192 && b == 168)
        || (a == 100 && b & 0xc0 == 64)
        || (a == 198 && b & 0xfe == 18);
    let is_reserved = |card: &Card| card.reserved.contains(&source);
    !sender.is_checked && is_private && !is_reserved(sender) && !is_reserved(&cards[to])
}

/// There is one DHCP server, and it is no machine.
fn imitates_dhcp(packet: &Packet) -> bool {
    let has_ports = packet.piece.is_none_or(|piece| piece.start == 0 && piece.end >= 4);
    has_ports && matches!(packet.says, Says::Udp { from: 67, to: 68 })
}
