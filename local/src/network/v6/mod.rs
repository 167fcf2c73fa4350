//! IPv6 in the switch: what a frame of it is, what becomes of it, and what the switch itself says.
//!
//! | file | what it is for |
//! |---|---|
//! | `header` | headers and what stands between them and their payload: pure |
//! | `router` | what becomes of a frame: pure, too |
//! | `frame` | the frames that the switch itself makes: advertisements, ICMPv6, UDP |
//! | `dhcp` | the DHCPv6 server |
//!
//! What this room isn't: the filter, which knows both families.

pub(super) mod dhcp;
pub(super) mod frame;
pub(super) mod header;
pub(super) mod router;

use super::frame::ROUTER;
use std::net::Ipv6Addr;

/// The metadata service.
/// <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/configuring-instance-metadata-service.html>
pub(super) const METADATA: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);
/// The name server. <https://docs.aws.amazon.com/vpc/latest/userguide/AmazonDNS-concepts.html>
pub(super) const NAMES: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x253);

/// The router's address on each link, which follows from its MAC address (RFC 4291, appendix A).
pub(super) const GATEWAY: Ipv6Addr = link_local(ROUTER);

/// The address that follows from a MAC address on a link.
pub(super) const fn link_local(mac: [u8; 6]) -> Ipv6Addr {
    let [a, b, c, d, e, f] = mac;
    let (one, two, three, four) = ([a ^ 2, b], [c, 0xff], [0xfe, d], [e, f]);
    Ipv6Addr::new(
        0xfe80,
        0,
        0,
        0,
        u16::from_be_bytes(one),
        u16::from_be_bytes(two),
        u16::from_be_bytes(three),
        u16::from_be_bytes(four),
    )
}

/// Where VPCs have their ranges (RFC 9637: nobody has them elsewhere).
pub(super) const RANGES: (Ipv6Addr, u8) = (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20);

/// Whether an address is of a network.
pub(super) fn is_within(address: Ipv6Addr, network: Ipv6Addr, prefix: u8) -> bool {
    let mask = u128::MAX.checked_shl(128 - u32::from(prefix.min(128))).unwrap_or(0);
    (address.to_bits() ^ network.to_bits()) & mask == 0
}

/// Whether a packet, whose header has been checked, is one of IPv6.
pub(super) fn is_v6(packet: &[u8]) -> bool {
    packet.first().is_some_and(|first| first >> 4 == 6)
}

/// Whether an address is the switch's own.
pub(super) fn is_own(address: Ipv6Addr) -> bool {
    [METADATA, NAMES, GATEWAY].contains(&address)
}
