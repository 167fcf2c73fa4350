//! What must be known of a packet to the outside.

use etherparse::{IpNumber, Ipv4HeaderSlice, TcpHeaderSlice, UdpSlice};
use std::net::SocketAddrV4;

/// What a packet to the outside is.
#[derive(Clone, Copy)]
pub(super) enum Packet<'a> {
    /// TCP; `opens` if it asks for a connection.
    Tcp { from: SocketAddrV4, to: SocketAddrV4, opens: bool },
    /// A whole UDP datagram.
    Udp { from: SocketAddrV4, to: SocketAddrV4, payload: &'a [u8] },
    /// Something about which nobody may complain: an ICMP message that is no question, a fragment.
    Quiet,
    /// Something that doesn't go outside.
    Other,
}

/// The type of an ICMP echo request (RFC 792).
const ECHO: u8 = 8;

/// Reads an IPv4 packet; `None` if it is none.
pub(super) fn read(packet: &[u8]) -> Option<Packet<'_>> {
    let ip = Ipv4HeaderSlice::from_slice(packet).ok()?;
    let payload = packet.get(ip.slice().len()..)?;
    if ip.is_fragmenting_payload() {
        return Some(Packet::Quiet);
    }
    let ends = |from, to| (SocketAddrV4::new(ip.source_addr(), from), SocketAddrV4::new(ip.destination_addr(), to));
    Some(match ip.protocol() {
        IpNumber::TCP => {
            let tcp = TcpHeaderSlice::from_slice(payload).ok()?;
            let (from, to) = ends(tcp.source_port(), tcp.destination_port());
            Packet::Tcp { from, to, opens: tcp.syn() && !tcp.ack() && !tcp.rst() && !tcp.fin() }
        }
        IpNumber::UDP => {
            let udp = UdpSlice::from_slice(payload).ok()?;
            let (from, to) = ends(udp.source_port(), udp.destination_port());
            Packet::Udp { from, to, payload: udp.payload() }
        }
        IpNumber::ICMP if payload.first() != Some(&ECHO) => Packet::Quiet,
        _ => Packet::Other,
    })
}
