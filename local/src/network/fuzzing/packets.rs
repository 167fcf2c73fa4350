//! Frames as the model sees them, and their bytes.

use super::super::{frame::ROUTER, port::ETHERNET};
use etherparse::{IpFragOffset, IpNumber, Ipv4Header, PacketBuilder};
use std::net::Ipv4Addr;

/// How long the payload of a packet is that comes in pieces.
const LONG: usize = 64;

/// A frame that a machine sends.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame {
    /// The NIC that sends it.
    pub(super) nic: usize,
    /// Its MAC address is another one's.
    pub(super) has_foreign_mac: bool,
    pub(super) by: By,
    pub(super) carries: Carries,
    pub(super) packet: Packet,
}

/// Whom a frame is addressed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    Router,
    Receiver,
    Everybody,
}

/// In what a packet is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Carries {
    Ipv4,
    /// An IPv6 packet with the same transport.
    Ipv6,
    /// The IPv4 packet behind a VLAN tag.
    Tagged,
    /// The IPv4 packet under the ethertype of IPv6, and the other way round.
    Mistyped,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Packet {
    pub(super) source: Ipv4Addr,
    pub(super) destination: Ipv4Addr,
    pub(super) ttl: u8,
    pub(super) has_source_route: bool,
    pub(super) says: Says,
    pub(super) piece: Option<Piece>,
}

/// What of a packet is in a fragment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) identification: u16,
    pub(super) start: u16,
    pub(super) end: u16,
    pub(super) more: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Says {
    Tcp { from: u16, to: u16, flag: Flag },
    Udp { from: u16, to: u16 },
    Icmp { kind: u8, code: u8, id: u16 },
    Error { kind: u8, code: u8, about: About },
    Tunnel,
}

/// What an ICMP error quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct About {
    pub(super) source: Ipv4Addr,
    pub(super) destination: Ipv4Addr,
    pub(super) says: Quoted,
    pub(super) is_later_fragment: bool,
    /// It quotes less than it has to.
    pub(super) is_cut: bool,
}

/// What the quoted packet says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Quoted {
    Tcp { from: u16, to: u16 },
    Udp { from: u16, to: u16 },
    Icmp { kind: u8, code: u8, id: u16 },
    Tunnel,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flag {
    Syn,
    SynAck,
    Ack,
    Fin,
    Reset,
}

impl Says {
    pub(super) fn protocol(self) -> IpNumber {
        match self {
            Self::Tcp { .. } => IpNumber::TCP,
            Self::Udp { .. } => IpNumber::UDP,
            Self::Icmp { .. } | Self::Error { .. } => IpNumber::ICMP,
            Self::Tunnel => IpNumber::GRE,
        }
    }

    /// What it is, in bytes after the IP header.
    fn bytes(self) -> Vec<u8> {
        let ports = |from: u16, to: u16| [from.to_be_bytes(), to.to_be_bytes()].concat();
        match self {
            Self::Tcp { from, to, flag } => {
                let flags = match flag {
                    Flag::Syn => 0x02,
                    Flag::SynAck => 0x12,
                    Flag::Ack => 0x10,
                    Flag::Fin => 0x11,
                    Flag::Reset => 0x04,
                };
                [&ports(from, to)[..], &[0; 8], &[0x50, flags, 16, 0, 0, 0, 0, 0]].concat()
            }
            Self::Udp { from, to } => [&ports(from, to)[..], &[0, 8, 0, 0]].concat(),
            Self::Icmp { kind, code, id } => [&[kind, code, 0, 0][..], &id.to_be_bytes(), &[0, 1]].concat(),
            Self::Error { kind, code, about } => {
                let says = match about.says {
                    Quoted::Tcp { from, to } => Self::Tcp { from, to, flag: Flag::Ack },
                    Quoted::Udp { from, to } => Self::Udp { from, to },
                    Quoted::Icmp { kind, code, id } => Self::Icmp { kind, code, id },
                    Quoted::Tunnel => Self::Tunnel,
                };
                let mut said = says.bytes();
                said.resize(said.len().max(8), 0);
                let length = said.len() as u16;
                said.truncate(if about.is_cut { 7 } else { 8 });
                let offset = if about.is_later_fragment { 3 } else { 0 };
                let header = header((about.source, about.destination), says.protocol(), length, 9, (7, offset, false));
                [&[kind, code, 0, 0, 0, 0, 2, 0x40][..], &header.to_bytes(), &said].concat()
            }
            Self::Tunnel => vec![0; 8],
        }
    }
}

impl Packet {
    /// What comes after the IP header.
    fn payload(&self) -> Vec<u8> {
        let mut whole = self.says.bytes();
        let Some(piece) = self.piece else { return whole };
        whole.resize(LONG, 0);
        // A piece may say that it is further on than its packet is long.
        let end = usize::from(piece.end).min(LONG);
        let mut part = whole.get(usize::from(piece.start).min(end)..end).unwrap_or_default().to_vec();
        part.resize(usize::from(piece.end.saturating_sub(piece.start)), 0);
        part
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let payload = self.payload();
        let piece = self.piece.map_or((0, 0, false), |piece| (piece.identification, piece.start / 8, piece.more));
        let ends = (self.source, self.destination);
        let mut header = header(ends, self.says.protocol(), payload.len() as u16, self.ttl, piece);
        if self.has_source_route
            && let Ok(options) = [1, 131, 7, 4, 10, 0, 0, 9].as_slice().try_into()
        {
            header.options = options;
            let _ = header.set_payload_len(payload.len());
            header.header_checksum = header.calc_header_checksum();
        }
        [&header.to_bytes()[..], &payload].concat()
    }
}

fn header(
    (source, destination): (Ipv4Addr, Ipv4Addr),
    protocol: IpNumber,
    length: u16,
    ttl: u8,
    (identification, offset, more): (u16, u16, bool),
) -> Ipv4Header {
    let header = Ipv4Header::new(length, ttl, protocol, source.octets(), destination.octets());
    let mut header = header.unwrap_or_default();
    header.identification = identification;
    header.dont_fragment = false;
    header.more_fragments = more;
    header.fragment_offset = IpFragOffset::try_new(offset & 0x1fff).unwrap_or_default();
    header.header_checksum = header.calc_header_checksum();
    header
}

impl Frame {
    /// The frame; `receiver` is the MAC address of whom its packet is for.
    pub(super) fn bytes(&self, own: [u8; 6], receiver: [u8; 6]) -> Vec<u8> {
        let to = match self.by {
            By::Router => ROUTER,
            By::Receiver => receiver,
            By::Everybody => [0xff; 6],
        };
        let from = if self.has_foreign_mac { receiver } else { own };
        let (kind, packet): (&[u8], _) = match self.carries {
            Carries::Ipv4 => (&[0x08, 0x00], self.packet.bytes()),
            Carries::Ipv6 => (&[0x86, 0xdd], self.ipv6(from, to)),
            Carries::Tagged => (&[0x81, 0x00, 0, 1, 0x08, 0x00], self.packet.bytes()),
            Carries::Mistyped if self.packet.ttl.is_multiple_of(2) => (&[0x86, 0xdd], self.packet.bytes()),
            Carries::Mistyped => (&[0x08, 0x00], self.ipv6(from, to)),
        };
        [&to[..], &from, kind, &packet].concat()
    }

    fn ipv6(&self, from: [u8; 6], to: [u8; 6]) -> Vec<u8> {
        let address = |address: Ipv4Addr| address.to_ipv6_mapped().octets();
        let builder = PacketBuilder::ethernet2(from, to);
        let builder = builder.ipv6(address(self.packet.source), address(self.packet.destination), self.packet.ttl);
        let mut frame = Vec::new();
        let written = match self.packet.says {
            Says::Tcp { from, to, .. } => builder.tcp(from, to, 1, 16).syn().write(&mut frame, b"?"),
            Says::Udp { from, to } => builder.udp(from, to).write(&mut frame, b"?"),
            Says::Icmp { kind, code, .. } => builder.icmpv6_raw(kind, code, [0; 4]).write(&mut frame, b"?"),
            // What a router says, and what says that a packet is too big (RFC 4861, RFC 4443).
            Says::Error { .. } => builder.icmpv6_raw(2, 0, [0, 0, 5, 0]).write(&mut frame, &self.packet.bytes()),
            Says::Tunnel => builder.icmpv6_raw(134, 0, [64, 0, 7, 8]).write(&mut frame, &[0; 8]),
        };
        if written.is_ok() { frame.split_off(ETHERNET) } else { Vec::new() }
    }
}
