//! What a filter must know of a packet.

use super::Direction;
use etherparse::{IpNumber, Ipv4HeaderSlice};
use std::net::{Ipv4Addr, SocketAddrV4};

/// What a filter must know of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Packet {
    pub(super) source: Ipv4Addr,
    pub(super) destination: Ipv4Addr,
    pub(super) content: Content,
}

/// What is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    /// `opens` is SYN without ACK.
    Tcp {
        from: u16,
        to: u16,
        opens: bool,
        finishes: bool,
        resets: bool,
    },
    Udp {
        from: u16,
        to: u16,
    },
    /// `id` is that of an echo and its kin, else 0.
    Icmp {
        kind: u8,
        code: u8,
        id: u16,
    },
    Other(u8),
}

/// How a packet ends its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ends {
    /// It doesn't.
    No,
    /// One side has no more to say.
    HalfWay,
    /// At once.
    Now,
}

/// What a packet turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Parsed {
    Packet(Packet),
    /// An ICMP error, and the packet that it quotes.
    Complaint {
        message: Packet,
        about: Packet,
    },
    /// A fragment that isn't the first one, and has no ports.
    LaterFragment,
}

// RFC 9293, 3.1.
const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;

// RFC 792: unreachable, time exceeded, parameter problem; echo, timestamp, information and their replies.
const COMPLAINTS: [u8; 3] = [3, 11, 12];
const ASKS: [u8; 3] = [8, 13, 15];
const ANSWERS: [u8; 3] = [0, 14, 16];
/// The header of an ICMP error, before its quote.
const ICMP_HEADER: usize = 8;

/// Reads an IPv4 packet; `None` if it is none, or too short to be told what it is.
pub(super) fn parse(bytes: &[u8]) -> Option<Parsed> {
    let header = Ipv4HeaderSlice::from_slice(bytes).ok()?;
    let payload = bytes.get(header.slice().len()..bytes.len().min(header.total_len().into()))?;
    if header.fragments_offset().value() != 0 {
        return Some(Parsed::LaterFragment);
    }
    let message = read(&header, payload)?;
    match message.content {
        Content::Icmp { kind, .. } if COMPLAINTS.contains(&kind) => {
            let quote = payload.get(ICMP_HEADER..)?;
            let quoted = Ipv4HeaderSlice::from_slice(quote).ok()?;
            let about = read(&quoted, quote.get(quoted.slice().len()..)?)?;
            Some(Parsed::Complaint { message, about })
        }
        _ => Some(Parsed::Packet(message)),
    }
}

fn read(header: &Ipv4HeaderSlice<'_>, payload: &[u8]) -> Option<Packet> {
    let word = |at: usize| Some(u16::from_be_bytes([*payload.get(at)?, *payload.get(at + 1)?]));
    let content = match header.protocol() {
        IpNumber::TCP => {
            // A quote may end before the flags.
            let flags = payload.get(13).copied().unwrap_or(ACK);
            Content::Tcp {
                from: word(0)?,
                to: word(2)?,
                opens: flags & (SYN | ACK) == SYN,
                finishes: flags & FIN != 0,
                resets: flags & RST != 0,
            }
        }
        IpNumber::UDP => Content::Udp { from: word(0)?, to: word(2)? },
        IpNumber::ICMP => {
            let (kind, code) = (*payload.first()?, *payload.get(1)?);
            let has_id = ASKS.contains(&kind) || ANSWERS.contains(&kind);
            Content::Icmp { kind, code, id: if has_id { word(4)? } else { 0 } }
        }
        IpNumber(other) => Content::Other(other),
    };
    Some(Packet { source: header.source_addr(), destination: header.destination_addr(), content })
}

impl Content {
    /// The IP protocol's number.
    pub(super) fn protocol(self) -> u8 {
        match self {
            Self::Tcp { .. } => IpNumber::TCP.0,
            Self::Udp { .. } => IpNumber::UDP.0,
            Self::Icmp { .. } => IpNumber::ICMP.0,
            Self::Other(number) => number,
        }
    }
}

impl Packet {
    /// The packet that opens a TCP connection.
    pub(super) fn opening(from: SocketAddrV4, to: SocketAddrV4) -> Self {
        let content = Content::Tcp { from: from.port(), to: to.port(), opens: true, finishes: false, resets: false };
        Self { source: *from.ip(), destination: *to.ip(), content }
    }

    /// The address that isn't the machine's.
    pub(super) fn remote(&self, direction: Direction) -> Ipv4Addr {
        match direction {
            Direction::Ingress => self.source,
            Direction::Egress => self.destination,
        }
    }

    /// The ports or what stands in their place, source and destination.
    pub(super) fn ports(&self) -> (u16, u16) {
        match self.content {
            Content::Tcp { from, to, .. } | Content::Udp { from, to } => (from, to),
            Content::Icmp { id, .. } => (id, id),
            Content::Other(_) => (0, 0),
        }
    }

    /// Whether it says by itself that it is no answer to anything.
    pub(super) fn asks(&self) -> bool {
        match self.content {
            Content::Tcp { opens, .. } => opens,
            Content::Icmp { kind, .. } => ASKS.contains(&kind),
            Content::Udp { .. } | Content::Other(_) => false,
        }
    }

    /// Whether a connection may begin with it.
    pub(super) fn begins(&self) -> bool {
        self.asks() || matches!(self.content, Content::Udp { .. } | Content::Other(_))
    }

    pub(super) fn is_tcp_or_udp(&self) -> bool {
        matches!(self.content, Content::Tcp { .. } | Content::Udp { .. })
    }

    /// How it ends its connection.
    pub(super) fn ends(&self) -> Ends {
        match self.content {
            Content::Tcp { resets: true, .. } => Ends::Now,
            Content::Tcp { finishes: true, .. } => Ends::HalfWay,
            _ => Ends::No,
        }
    }
}
