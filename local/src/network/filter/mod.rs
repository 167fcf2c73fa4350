//! The filter of one NIC: what its security groups let in and out. Pure, without I/O.
//!
//! | file | what it is for |
//! |---|---|
//! | `rule` | a rule, and what it admits |
//! | `packet` | what a filter must know of a packet |
//! | `connections` | the connections that are tracked, whose packets pass whatever the rules say by now |
//!
//! Security groups are stateful: an answer passes because its question did. A change of rules holds for new connections at
//! once, and for those that are tracked not at all; one that isn't tracked is cut as soon as no rule admits it any more.
//! <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/security-group-connection-tracking.html>
//!
//! What this room isn't: the place where it is decided which packets are filtered. Names, metadata and the router never are.

mod connections;
mod packet;
mod rule;

pub(super) use rule::is_within;
pub use rule::{Direction, Peer, Rule, Traffic};

use super::OUTSIDE;
use connections::{Connections, Flow};
use packet::{Packet, Parsed};
use smoltcp::time::Instant;
use std::net::{Ipv4Addr, SocketAddrV4};

/// The filter of one NIC. A new one admits nothing.
#[derive(Default)]
pub(super) struct Filter {
    groups: Vec<String>,
    rules: Vec<Rule>,
    connections: Connections,
}

impl Filter {
    /// The security groups of the NIC.
    pub(super) fn groups(&self) -> &[String] {
        &self.groups
    }

    /// From now on these are the NIC's groups, and all of their rules. What is tracked stays so.
    pub(super) fn set(&mut self, groups: Vec<String>, rules: Vec<Rule>) {
        self.groups = groups;
        self.rules = rules;
    }

    /// Whether an IPv4 packet passes, to or from somebody of these groups; takes note of the connection.
    pub(super) fn admits(&mut self, direction: Direction, packet: &[u8], groups: &[String], now: Instant) -> bool {
        match packet::parse(packet) {
            Some(Parsed::Packet(packet)) => self.admits_packet(direction, &packet, groups, now),
            // An error belongs to the packet that it complains about, which went the other way.
            Some(Parsed::Complaint { message, about }) => {
                let flow = Flow::of(&about, direction.reverse());
                self.connections.knows(&flow, now)
                    || self.permits(direction.reverse(), &about, groups)
                    || self.permits(direction, &message, groups)
            }
            // Nobody can do anything with it without the first fragment, which was filtered.
            Some(Parsed::LaterFragment) => true,
            None => false,
        }
    }

    /// Whether a connection from outside to a TCP port would be let in.
    pub(super) fn lets_in(&self, from: SocketAddrV4, to: SocketAddrV4) -> bool {
        self.permits(Direction::Ingress, &Packet::opening(from, to), &[])
    }

    fn admits_packet(&mut self, direction: Direction, packet: &Packet, groups: &[String], now: Instant) -> bool {
        let flow = Flow::of(packet, direction);
        if !packet.asks() && self.connections.carry(&flow, direction, packet.ends(), now) {
            return true;
        }
        if !self.permits(direction, packet, groups) {
            return false;
        }
        // A connection in its midst is admitted by rules alone, or else one that was cut would come back to life.
        !packet.begins() || self.is_untracked(direction, packet) || self.connections.begin(flow, direction, now)
    }

    fn permits(&self, direction: Direction, packet: &Packet, groups: &[String]) -> bool {
        let remote = packet.remote(direction);
        let faces = faces(remote);
        self.rules.iter().any(|rule| {
            rule.direction == direction
                && rule.traffic.covers(packet)
                && faces.iter().any(|face| rule.peer.is(*face, groups))
        })
    }

    /// TCP and UDP are not tracked where a rule admits them from or to everywhere, and another one all that may come back.
    fn is_untracked(&self, direction: Direction, packet: &Packet) -> bool {
        let anywhere =
            |rule: &&Rule, direction| rule.direction == direction && matches!(rule.peer, Peer::Network(_, 0));
        packet.is_tcp_or_udp()
            && self.rules.iter().any(|rule| anywhere(&rule, direction) && rule.traffic.covers(packet))
            && self
                .rules
                .iter()
                .any(|rule| anywhere(&rule, direction.reverse()) && rule.traffic.covers_every_port_of(packet))
    }
}

/// The addresses that somebody has. The host has two: those that machines see connect from outside, and the one at which
/// it is itself, which no machine could answer to.
fn faces(remote: Ipv4Addr) -> [Ipv4Addr; 2] {
    let is_host = is_within(remote, OUTSIDE.0, OUTSIDE.1);
    [remote, if is_host { Ipv4Addr::LOCALHOST } else { remote }]
}

#[cfg(test)]
mod tests;
