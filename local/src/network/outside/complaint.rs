//! What a machine is told of a packet that goes nowhere, in the words of the packet's family.

use crate::network::{
    frame,
    link::Link,
    router, sizes,
    v6::{self, frame as frame6, header},
};
use etherparse::{Ipv4HeaderSlice, icmpv4::DestUnreachableHeader};
use rustix::io::Errno;

/// Why a packet goes nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// Nobody listens there.
    Port,
    /// The host has no route there.
    Network,
    /// Nobody has the address, or is silent.
    Host,
    /// The machine has no way out.
    NoWay,
    /// It may not go there.
    Prohibited,
    /// It is larger than a gateway carries.
    TooLarge,
}

impl Why {
    /// What the host was told.
    pub(super) fn of(error: Errno) -> Self {
        match error {
            Errno::CONNREFUSED => Self::Port,
            // A host without a family, or without an address of it, has no route either.
            Errno::NETUNREACH | Errno::NETDOWN | Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL => Self::Network,
            // What a firewall of the host's answers.
            Errno::PERM | Errno::ACCESS => Self::Prohibited,
            _ => Self::Host,
        }
    }

    fn of_v4(self) -> DestUnreachableHeader {
        match self {
            Self::Port => DestUnreachableHeader::Port,
            Self::Network => DestUnreachableHeader::Network,
            Self::Host => DestUnreachableHeader::Host,
            Self::NoWay => DestUnreachableHeader::NetworkProhibited,
            Self::Prohibited => DestUnreachableHeader::FilterProhibited,
            Self::TooLarge => DestUnreachableHeader::FragmentationNeeded { next_hop_mtu: sizes::GATEWAY },
        }
    }

    /// `None` for the one of which ICMPv6 has a message of its own.
    fn of_v6(self) -> Option<frame6::Why> {
        match self {
            Self::Port => Some(frame6::Why::Port),
            Self::Network | Self::NoWay => Some(frame6::Why::NoRoute),
            Self::Host => Some(frame6::Why::Address),
            Self::Prohibited => Some(frame6::Why::Prohibited),
            Self::TooLarge => None,
        }
    }
}

/// Tells a machine why its packet goes nowhere.
pub(super) fn complain(link: &mut Link, why: Why, packet: &[u8]) {
    if !v6::is_v6(packet) {
        return unreachable(link, why.of_v4(), packet);
    }
    match why.of_v6() {
        Some(why) => unreachable6(link, why, packet),
        None => too_big(link, packet),
    }
}

/// Tells a machine that its packet of IPv4 can't be delivered.
pub(in crate::network) fn unreachable(link: &mut Link, why: DestUnreachableHeader, packet: &[u8]) {
    let Ok(header) = Ipv4HeaderSlice::from_slice(packet) else { return };
    let router = router::router(&link.nic);
    let answer = frame::unreachable(link.nic.mac, router, header.source_addr(), why, packet);
    say(link, answer);
}

/// The same of IPv6.
pub(in crate::network) fn unreachable6(link: &mut Link, why: frame6::Why, packet: &[u8]) {
    let answer = frame6::unreachable(link.nic.mac, header::source(packet), why, packet);
    say(link, answer);
}

/// Tells a machine that its packet of IPv6 is larger than a gateway carries: nobody cuts it on its way (RFC 8200, 5).
pub(in crate::network) fn too_big(link: &mut Link, packet: &[u8]) {
    let answer = frame6::too_big(link.nic.mac, header::source(packet), sizes::GATEWAY, packet);
    say(link, answer);
}

/// Tells a machine that its packet may not go as far as it would have to.
pub(in crate::network) fn exceeded(link: &mut Link, packet: &[u8]) {
    let mac = link.nic.mac;
    let answer = if v6::is_v6(packet) {
        frame6::time_exceeded(mac, header::source(packet), packet)
    } else {
        frame::time_exceeded(mac, router::router(&link.nic), router::source(packet), packet)
    };
    say(link, answer);
}

fn say(link: &mut Link, answer: Option<Vec<u8>>) {
    if let Some(answer) = answer {
        link.port.send(&answer);
    }
}
