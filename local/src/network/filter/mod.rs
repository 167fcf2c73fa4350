//! The filter of one NIC: what its security groups let in and out. Pure, without I/O.
//!
//! | file | what it is for |
//! |---|---|
//! | `rule` | a rule, and what it admits |
//! | `packet` | what a filter must know of a packet |
//! | `connections` | the connections that are tracked, whose packets pass whatever the rules say by now |
//! | `recent` | the flows that aren't, for the sake of ICMP errors |
//! | `fragments` | packets in pieces, which follow the verdict on the first |
//!
//! Security groups are stateful: an answer passes because its question did. A change of rules holds for new connections at
//! once, and for those that are tracked not at all; one that isn't tracked is cut as soon as no rule admits it any more.
//! <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/security-group-connection-tracking.html>
//!
//! An ICMP error is about a packet that went the other way. A machine may send one about what has come to it, and about
//! nothing else; it gets one about what it has sent, or if a rule admits ICMP of that type. AWS's page on the
//! [MTU](https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/network_mtu.html) says that no rule is needed for those.
//!
//! Network ACLs (`acl`) have no part in that: they are asked first, of packets that cross the border of the NIC's subnet.
//!
//! What this room isn't: the place where it is decided which packets are filtered. Names, metadata and the router never are.

mod connections;
mod fragments;
mod packet;
mod recent;
mod rule;

pub(super) use packet::{Packet, is_later_fragment, read};
pub use rule::{Direction, Peer, Rule, Traffic};
pub(super) use rule::{is_of, is_within};

use super::{
    OUTSIDE,
    acl::{self, AclRule},
};
use connections::{Connections, Flow};
use fragments::Fragments;
use packet::Parsed;
use recent::Recent;
use smoltcp::time::Instant;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddrV4};

/// The filter of one NIC. A new one admits nothing.
#[derive(Default)]
pub(super) struct Filter {
    groups: Vec<String>,
    rules: Vec<Rule>,
    /// The network ACL of the NIC's subnet; none lets all pass.
    acl: Option<Vec<AclRule>>,
    connections: Connections,
    entering: Way,
    leaving: Way,
}

/// Who is at the other end of a packet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Far<'a> {
    /// The port of a machine of the VPC, whatever address it speaks as.
    pub(super) port: Option<u64>,
    /// Its security groups.
    pub(super) groups: &'a [String],
}

impl Far<'_> {
    /// Somebody who is no machine of the VPC.
    pub(super) const ELSEWHERE: Self = Self { port: None, groups: &[] };
}

/// What is remembered of one way through the filter.
#[derive(Default)]
struct Way {
    recent: Recent,
    fragments: Fragments,
}

impl Filter {
    /// One that lets everything of IPv6 out, and in what answers to it alone: an egress-only internet gateway is no other.
    pub(super) fn outwards() -> Self {
        let anyone = Peer::Network6(Ipv6Addr::UNSPECIFIED, 0);
        let out = Rule { direction: Direction::Egress, traffic: Traffic::All, peer: anyone };
        Self { rules: vec![out], ..Self::default() }
    }

    /// The security groups of the NIC.
    pub(super) fn groups(&self) -> &[String] {
        &self.groups
    }

    /// From now on these are the NIC's groups, and all of their rules. What is tracked stays so.
    pub(super) fn set(&mut self, groups: Vec<String>, rules: Vec<Rule>) {
        self.groups = groups;
        self.rules = rules;
    }

    /// From now on this is the network ACL of the NIC's subnet.
    pub(super) fn set_acl(&mut self, acl: Option<Vec<AclRule>>) {
        self.acl = acl;
    }

    /// Whether a packet may cross the border of the NIC's subnet.
    pub(super) fn crosses(&self, direction: Direction, packet: &[u8]) -> bool {
        self.acl.as_ref().is_none_or(|rules| acl::admits(rules, direction, packet))
    }

    /// Forgets all about a machine that is gone, by its port if it was one of the VPC, and by its addresses: they may be
    /// another one's next.
    pub(super) fn forget(&mut self, port: Option<u64>, addresses: &[IpAddr]) {
        self.connections.forget(port, addresses);
        for way in [&mut self.entering, &mut self.leaving] {
            way.recent.forget(addresses);
            if let Some(port) = port {
                way.fragments.forget(port);
            }
        }
    }

    /// Whether a packet passes, to or from somebody; takes note of the connection. Who is no machine is in no subnet
    /// either; whether two machines are in the same one is for the caller to know.
    pub(super) fn admits(&mut self, direction: Direction, packet: &[u8], far: Far<'_>, now: Instant) -> bool {
        if far.port.is_none() && !self.crosses(direction, packet) {
            return false;
        }
        let (is_admitted, fragment) = match packet::parse(packet) {
            Some(Parsed::Packet(packet, fragment)) => (self.admits_packet(direction, &packet, far, now), fragment),
            Some(Parsed::Error { message, about, fragment }) => {
                (self.admits_error(direction, &message, &about, far.groups, now), fragment)
            }
            Some(Parsed::Later(fragment)) => return self.way(direction).fragments.follows(&fragment, far.port, now),
            None => return false,
        };
        if let Some(first) = fragment {
            self.way(direction).fragments.begin(&first, far.port, is_admitted, now);
        }
        is_admitted
    }

    fn way(&mut self, direction: Direction) -> &mut Way {
        match direction {
            Direction::Ingress => &mut self.entering,
            Direction::Egress => &mut self.leaving,
        }
    }

    /// Whether a connection from outside to a TCP port would be let in.
    pub(super) fn lets_in(&self, from: SocketAddrV4, to: SocketAddrV4) -> bool {
        let packet = Packet::opening(from, to);
        self.acl.as_ref().is_none_or(|rules| acl::admits_packet(rules, Direction::Ingress, &packet))
            && self.permits(Direction::Ingress, &packet, &[])
    }

    fn admits_packet(&mut self, direction: Direction, packet: &Packet, far: Far<'_>, now: Instant) -> bool {
        let flow = Flow::of(packet, direction);
        if let Some(flow) = &flow
            && !packet.asks()
            && self.connections.carry(flow, direction, packet.ends(), now)
        {
            return true;
        }
        if !self.permits(direction, packet, far.groups) {
            return false;
        }
        let Some(flow) = flow else { return true };
        // A connection in its midst is admitted by rules alone, or else one that was cut would come back to life.
        if packet.begins() && !self.is_untracked(direction, packet) {
            return self.connections.begin(flow, direction, far.port, now);
        }
        self.way(direction).recent.note(flow, now);
        true
    }

    fn admits_error(
        &mut self,
        direction: Direction,
        message: &Packet,
        about: &Packet,
        groups: &[String],
        now: Instant,
    ) -> bool {
        let went = direction.reverse();
        let flow = Flow::of(about, went);
        let is_of_tracked = flow.is_some_and(|flow| self.connections.has_gone(&flow, went, now));
        let is_of_recent = flow.is_some_and(|flow| self.way(went).recent.knows(&flow, now));
        let is_by_rule = self.permits(direction, message, groups);
        is_of_tracked
            || (is_of_recent && (is_by_rule || self.permits(went, about, groups)))
            // Nobody may complain about what never came, be all of ICMP admitted: the path of others would suffer.
            || (is_by_rule && direction == Direction::Ingress)
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
        let remote = packet.remote(direction);
        let anywhere = |rule: &&Rule, direction| rule.direction == direction && rule.peer.is_everybody(remote);
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
fn faces(remote: IpAddr) -> [IpAddr; 2] {
    let is_host = is_of(remote, OUTSIDE.0.into(), OUTSIDE.1);
    [remote, if is_host { Ipv4Addr::LOCALHOST.into() } else { remote }]
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests6;
