//! A rule, and what it admits.

use super::packet::{Content, Packet};
use crate::network::v6;
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    ops::RangeInclusive,
};

/// A rule of a security group. Rules only admit; what none of them admits is dropped.
/// <https://docs.aws.amazon.com/vpc/latest/userguide/security-group-rules.html>
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Which way.
    pub direction: Direction,
    /// What.
    pub traffic: Traffic,
    /// From whom, or to whom.
    pub peer: Peer,
}

/// Which way a packet goes, as the machine sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// To the machine.
    Ingress,
    /// From the machine.
    Egress,
}

impl Direction {
    /// The other one.
    pub(super) fn reverse(self) -> Self {
        match self {
            Self::Ingress => Self::Egress,
            Self::Egress => Self::Ingress,
        }
    }
}

/// What a rule admits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Traffic {
    /// All protocols.
    All,
    /// TCP to these ports.
    Tcp(RangeInclusive<u16>),
    /// UDP to these ports.
    Udp(RangeInclusive<u16>),
    /// ICMP of a type and a code; `None` for all of them.
    Icmp(Option<u8>, Option<u8>),
    /// ICMPv6 of a type and a code; `None` for all of them.
    Icmpv6(Option<u8>, Option<u8>),
    /// Another protocol, by its IP number.
    Protocol(u8),
}

/// Who is at the other end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Peer {
    /// An address and a prefix length.
    Network(Ipv4Addr, u8),
    /// The same of IPv6.
    Network6(Ipv6Addr, u8),
    /// Every NIC of a security group.
    Group(String),
}

impl Traffic {
    /// Whether a packet is of this traffic, whatever it says.
    pub(in crate::network) fn names(&self, packet: &Packet) -> bool {
        match self {
            Self::All => true,
            Self::Protocol(number) => *number == packet.content.protocol(),
            Self::Icmp(None, code) if packet.steers() => {
                matches!(packet.content, Content::Icmp { code: with, .. } if code.is_none_or(|code| code == with))
            }
            _ => self.covers(packet),
        }
    }

    /// Whether a packet is of this traffic. What would tell a machine where to send has to be named by its type: that is
    /// stricter than EC2's words, for nobody who admits all has that in mind.
    pub(super) fn covers(&self, packet: &Packet) -> bool {
        match (self, packet.content) {
            (Self::All | Self::Protocol(_) | Self::Icmp(None, _), _) if packet.steers() => false,
            (Self::All, _) => true,
            (Self::Tcp(ports), Content::Tcp { to, .. }) | (Self::Udp(ports), Content::Udp { to, .. }) => {
                ports.contains(&to)
            }
            (Self::Icmp(kind, code), Content::Icmp { kind: of, code: with, .. }) => {
                kind.is_none_or(|kind| kind == of) && code.is_none_or(|code| code == with)
            }
            (Self::Icmpv6(kind, code), Content::Icmp6 { kind: of, code: with, .. }) => {
                kind.is_none_or(|kind| kind == of) && code.is_none_or(|code| code == with)
            }
            (Self::Protocol(number), content) => *number == content.protocol(),
            _ => false,
        }
    }

    /// Whether it covers whatever may answer the packet.
    pub(super) fn covers_every_port_of(&self, packet: &Packet) -> bool {
        match (self, packet.content) {
            (Self::All, _) => true,
            (Self::Tcp(ports), Content::Tcp { .. }) | (Self::Udp(ports), Content::Udp { .. }) => {
                *ports == (0..=u16::MAX)
            }
            _ => false,
        }
    }
}

impl Peer {
    /// Whether somebody of this address and these groups is meant.
    pub(super) fn is(&self, address: IpAddr, groups: &[String]) -> bool {
        match (self, address) {
            (Self::Network(network, prefix), IpAddr::V4(address)) => is_within(address, *network, *prefix),
            (Self::Network6(network, prefix), IpAddr::V6(address)) => v6::is_within(address, *network, *prefix),
            (Self::Group(id), _) => groups.contains(id),
            _ => false,
        }
    }
}

impl Peer {
    /// Whether everybody of an address's family is meant.
    pub(super) fn is_everybody(&self, of: IpAddr) -> bool {
        matches!((self, of), (Self::Network(_, 0), IpAddr::V4(_)) | (Self::Network6(_, 0), IpAddr::V6(_)))
    }
}

/// Whether an address of either family is of a network.
pub(in crate::network) fn is_of(address: IpAddr, network: IpAddr, prefix: u8) -> bool {
    match (address, network) {
        (IpAddr::V4(address), IpAddr::V4(network)) => is_within(address, network, prefix),
        (IpAddr::V6(address), IpAddr::V6(network)) => v6::is_within(address, network, prefix),
        _ => false,
    }
}

/// Whether an address is of a network.
pub(in crate::network) fn is_within(address: Ipv4Addr, network: Ipv4Addr, prefix: u8) -> bool {
    let mask = u32::MAX.checked_shl(32 - u32::from(prefix.min(32))).unwrap_or(0);
    (address.to_bits() ^ network.to_bits()) & mask == 0
}
