//! What is the same for packets of both families. Their headers have been checked.

use super::{frame, router, v6};
use std::net::{IpAddr, SocketAddr};

/// Where a packet goes.
pub(super) fn destination(packet: &[u8]) -> IpAddr {
    if v6::is_v6(packet) { v6::header::destination(packet).into() } else { router::destination(packet).into() }
}

/// Whether a packet may go no further than to the next router.
pub(super) fn has_come_far(packet: &[u8]) -> bool {
    if v6::is_v6(packet) { v6::router::has_come_far(packet) } else { router::has_come_far(packet) }
}

/// Whether a packet goes to where the host's connections come from.
pub(super) fn is_to_host(packet: &[u8]) -> bool {
    matches!(destination(packet), IpAddr::V4(address) if router::is_host(address))
}

/// A UDP datagram from the switch to a machine; none from one family to the other.
pub(super) fn udp(mac: [u8; 6], from: SocketAddr, machine: SocketAddr, payload: &[u8]) -> Option<Vec<u8>> {
    match (from.ip(), machine.ip()) {
        (IpAddr::V4(own), IpAddr::V4(to)) => frame::udp(mac, (own, from.port()), (to, machine.port()), payload),
        (IpAddr::V6(own), IpAddr::V6(to)) => v6::frame::udp(mac, (own, from.port()), (to, machine.port()), payload),
        _ => None,
    }
}
