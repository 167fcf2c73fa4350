//! What must be known of a packet to the outside.

use crate::network::v6::{self, header};
use etherparse::{IpNumber, Ipv4HeaderSlice, TcpHeaderSlice, UdpSlice};
use std::net::{IpAddr, SocketAddr};

/// What a packet to the outside is.
#[derive(Clone, Copy)]
pub(super) enum Packet<'a> {
    /// TCP; `opens` if it asks for a connection.
    Tcp { from: SocketAddr, to: SocketAddr, opens: bool },
    /// A whole UDP datagram.
    Udp { from: SocketAddr, to: SocketAddr, payload: &'a [u8] },
    /// Something about which nobody may complain: an ICMP message that is no question, a fragment.
    Quiet,
    /// Something that doesn't go outside.
    Other,
}

/// The type of an ICMP echo request (RFC 792), and of one of ICMPv6 (RFC 4443).
const ECHO: u8 = 8;
const ECHO6: u8 = 128;

/// Reads a packet; `None` if it is none.
pub(super) fn read(packet: &[u8]) -> Option<Packet<'_>> {
    if v6::is_v6(packet) {
        return read6(packet);
    }
    let ip = Ipv4HeaderSlice::from_slice(packet).ok()?;
    let payload = packet.get(ip.slice().len()..)?;
    if ip.is_fragmenting_payload() {
        return Some(Packet::Quiet);
    }
    let ends = (ip.source_addr().into(), ip.destination_addr().into());
    match ip.protocol() {
        IpNumber::TCP => tcp(ends, payload),
        IpNumber::UDP => udp(ends, payload),
        IpNumber::ICMP if payload.first() != Some(&ECHO) => Some(Packet::Quiet),
        _ => Some(Packet::Other),
    }
}

fn read6(packet: &[u8]) -> Option<Packet<'_>> {
    let ip = header::read(packet)?;
    if ip.fragment.is_some() {
        return Some(Packet::Quiet);
    }
    let ends = (ip.source.into(), ip.destination.into());
    // What stands between headers stays in the VPC: a stack knows nothing of it, and the host's sockets don't either.
    let is_plain = packet[6] == ip.protocol;
    match ip.protocol {
        header::TCP if is_plain => tcp(ends, ip.payload),
        header::UDP if is_plain => udp(ends, ip.payload),
        header::ICMP if ip.payload.first() != Some(&ECHO6) => Some(Packet::Quiet),
        _ => Some(Packet::Other),
    }
}

fn tcp((from, to): (IpAddr, IpAddr), payload: &[u8]) -> Option<Packet<'_>> {
    let tcp = TcpHeaderSlice::from_slice(payload).ok()?;
    Some(Packet::Tcp {
        from: SocketAddr::new(from, tcp.source_port()),
        to: SocketAddr::new(to, tcp.destination_port()),
        opens: tcp.syn() && !tcp.ack() && !tcp.rst() && !tcp.fin(),
    })
}

fn udp((from, to): (IpAddr, IpAddr), payload: &[u8]) -> Option<Packet<'_>> {
    let udp = UdpSlice::from_slice(payload).ok()?;
    Some(Packet::Udp {
        from: SocketAddr::new(from, udp.source_port()),
        to: SocketAddr::new(to, udp.destination_port()),
        payload: udp.payload(),
    })
}
