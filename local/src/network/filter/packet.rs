//! What a filter must know of a packet.

use super::Direction;
use crate::network::v6::header as v6;
use etherparse::{IpNumber, Ipv4HeaderSlice};
use std::net::{IpAddr, SocketAddrV4};

/// What a filter must know of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::network) struct Packet {
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    pub(super) content: Content,
}

/// What is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::network) enum Content {
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
    /// The same of ICMPv6.
    Icmp6 {
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
    /// A whole packet, or the first fragment of one.
    Packet(Packet, Option<Fragment>),
    /// An ICMP error, whole or its first fragment, and the packet that it quotes.
    Error { message: Packet, about: Packet, fragment: Option<Fragment> },
    /// A fragment that isn't the first one, and has no ports.
    Later(Fragment),
}

/// A part of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fragment {
    /// What it is a part of.
    pub(super) whole: Whole,
    /// Where it begins in the packet's payload, and where it ends, in bytes.
    pub(super) start: u32,
    pub(super) end: u32,
    /// It isn't the last one.
    pub(super) more: bool,
}

/// What the fragments of a packet have in common (RFC 791, 2.3). Those of IPv6 are told apart by less: their protocol is that of the first
/// (RFC 8200, 4.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Whole {
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    identification: u32,
}

// RFC 9293, 3.1.
const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;
const TCP_HEADER: usize = 20;
// RFC 768.
const UDP_HEADER: usize = 8;

/// Unreachable, time exceeded, parameter problem (RFC 792).
const ERRORS: [u8; 3] = [3, 11, 12];
/// Questions and their answers: echo, timestamp, information (RFC 792), address mask (RFC 950).
const EXCHANGES: [(u8, u8); 4] = [(8, 0), (13, 14), (15, 16), (17, 18)];
/// What tells a machine how or where to send: source quench, redirect (RFC 792), the presence of routers (RFC 1256).
const STEERING: [u8; 4] = [4, 5, 9, 10];
/// An echo of ICMPv6, and its answer (RFC 4443).
const ECHO6: u8 = 128;
const ECHO_REPLY6: u8 = 129;
/// The number of IPv6's fragment header.
const FRAGMENTS6: u8 = 44;
/// An ICMP header; an error's quote follows it.
const ICMP_HEADER: usize = 8;
/// What an ICMP error quotes after the header, at least (RFC 792).
const QUOTED: usize = 8;

/// Reads a packet; `None` if it is none, or isn't as it should be.
pub(super) fn parse(bytes: &[u8]) -> Option<Parsed> {
    if crate::network::v6::is_v6(bytes) {
        return parse6(bytes);
    }
    let header = Ipv4HeaderSlice::from_slice(bytes).ok()?;
    let payload = bytes.get(header.slice().len()..bytes.len().min(header.total_len().into()))?;
    let fragment = if header.is_fragmenting_payload() { Some(Fragment::of(&header, payload)?) } else { None };
    if let Some(fragment) = fragment.filter(|fragment| fragment.start > 0) {
        return Some(Parsed::Later(fragment));
    }
    let message = packet(&header, payload)?;
    match message.content {
        Content::Icmp { kind, .. } if is_error(kind) => {
            let about = quoted(payload.get(ICMP_HEADER..)?)?;
            // An error goes to the sender of the packet that it is about.
            (about.source == message.destination).then_some(Parsed::Error { message, about, fragment })
        }
        _ => Some(Parsed::Packet(message, fragment)),
    }
}

/// Reads an IPv6 packet.
fn parse6(bytes: &[u8]) -> Option<Parsed> {
    let header = v6::read(bytes)?;
    let fragment = match &header.fragment {
        Some(piece) => Some(Fragment::of6(&header, piece)?),
        None => None,
    };
    if let Some(fragment) = fragment.filter(|fragment| fragment.start > 0) {
        return Some(Parsed::Later(fragment));
    }
    let content = content6(header.protocol, header.payload)?;
    let message = Packet { source: header.source.into(), destination: header.destination.into(), content };
    match content {
        Content::Icmp6 { kind, .. } if is_error6(kind) => {
            let about = quoted6(header.payload.get(ICMP_HEADER..)?)?;
            (about.source == message.destination).then_some(Parsed::Error { message, about, fragment })
        }
        _ => Some(Parsed::Packet(message, fragment)),
    }
}

/// The packet of which an ICMPv6 error quotes the beginning.
fn quoted6(quote: &[u8]) -> Option<Packet> {
    let header = v6::quoted(quote).filter(|header| header.payload.len() >= QUOTED)?;
    let is_later = header.fragment.is_some_and(|piece| piece.start > 0);
    let content = match header.protocol {
        v6::TCP => ports_of_tcp(header.payload)?,
        protocol => content6(protocol, header.payload)?,
    };
    let is_error = matches!(content, Content::Icmp6 { kind, .. } if is_error6(kind));
    let packet = Packet { source: header.source.into(), destination: header.destination.into(), content };
    (!is_later && !is_error).then_some(packet)
}

/// What is in an IPv6 packet. What is said of neighbours, routers and groups is for the link alone, and the switch says all that there is to say.
fn content6(protocol: u8, payload: &[u8]) -> Option<Content> {
    if protocol != v6::ICMP {
        // The protocols that IPv4 has, too, but for its ICMP.
        return if protocol == IpNumber::ICMP.0 { Some(Content::Other(protocol)) } else { content(protocol, payload) };
    }
    let icmp = payload.first_chunk::<ICMP_HEADER>()?;
    let (kind, code) = (icmp[0], icmp[1]);
    match kind {
        ECHO6 | ECHO_REPLY6 => Some(Content::Icmp6 { kind, code, id: word(icmp, 4)? }),
        1..=4 => Some(Content::Icmp6 { kind, code, id: 0 }),
        _ => None,
    }
}

/// Unreachable, too big, time exceeded, parameter problem (RFC 4443).
fn is_error6(kind: u8) -> bool {
    (1..=4).contains(&kind)
}

/// What a packet says of itself, be it an ICMP error; `None` if it isn't as it should be, or has no ports.
pub(in crate::network) fn read(bytes: &[u8]) -> Option<Packet> {
    match parse(bytes)? {
        Parsed::Packet(packet, _) | Parsed::Error { message: packet, .. } => Some(packet),
        Parsed::Later(_) => None,
    }
}

/// Whether a packet is a fragment, and not the first.
pub(in crate::network) fn is_later_fragment(bytes: &[u8]) -> bool {
    matches!(parse(bytes), Some(Parsed::Later(_)))
}

/// The packet of which an ICMP error quotes the beginning. There are no errors about errors, nor about fragments that
/// aren't the first (RFC 1122, 3.2.2).
fn quoted(quote: &[u8]) -> Option<Packet> {
    let header = Ipv4HeaderSlice::from_slice(quote).ok()?;
    let payload = quote.get(header.slice().len()..).filter(|payload| payload.len() >= QUOTED)?;
    let is_whole = usize::from(header.total_len()) >= header.slice().len() + QUOTED;
    let packet = match header.protocol() {
        // Its flags need not be quoted.
        IpNumber::TCP => Packet {
            source: header.source_addr().into(),
            destination: header.destination_addr().into(),
            content: ports_of_tcp(payload)?,
        },
        _ => packet(&header, payload)?,
    };
    let is_error = matches!(packet.content, Content::Icmp { kind, .. } if is_error(kind));
    (is_whole && !is_error && header.fragments_offset().value() == 0).then_some(packet)
}

fn packet(header: &Ipv4HeaderSlice<'_>, payload: &[u8]) -> Option<Packet> {
    let content = content(header.protocol().0, payload)?;
    Some(Packet { source: header.source_addr().into(), destination: header.destination_addr().into(), content })
}

/// The ports of a TCP packet of which no more need be there.
fn ports_of_tcp(payload: &[u8]) -> Option<Content> {
    let (from, to) = (word(payload, 0)?, word(payload, 2)?);
    Some(Content::Tcp { from, to, opens: false, finishes: false, resets: false })
}

fn content(protocol: u8, payload: &[u8]) -> Option<Content> {
    let content = match IpNumber(protocol) {
        // All of the header, options included: a fragment that holds less could be completed by another one (RFC 3128).
        IpNumber::TCP => {
            let tcp = payload.first_chunk::<TCP_HEADER>()?;
            let (length, flags) = (usize::from(tcp[12] >> 4) * 4, tcp[13]);
            if !(TCP_HEADER..=payload.len()).contains(&length) {
                return None;
            }
            Content::Tcp {
                from: word(tcp, 0)?,
                to: word(tcp, 2)?,
                opens: flags & (SYN | ACK) == SYN,
                finishes: flags & FIN != 0,
                resets: flags & RST != 0,
            }
        }
        IpNumber::UDP => {
            let udp = payload.first_chunk::<UDP_HEADER>()?;
            Content::Udp { from: word(udp, 0)?, to: word(udp, 2)? }
        }
        IpNumber::ICMP => {
            let icmp = payload.first_chunk::<ICMP_HEADER>()?;
            let kind = icmp[0];
            Content::Icmp { kind, code: icmp[1], id: if exchange(kind).is_some() { word(icmp, 4)? } else { 0 } }
        }
        IpNumber(other) => Content::Other(other),
    };
    Some(content)
}

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]))
}

fn is_error(kind: u8) -> bool {
    ERRORS.contains(&kind)
}

/// Of which kind of question a kind of ICMP message is, and whether it is the question; `None` if it is neither that nor
/// the answer.
fn exchange(kind: u8) -> Option<(u8, bool)> {
    EXCHANGES
        .iter()
        .find(|(question, answer)| [*question, *answer].contains(&kind))
        .map(|(question, _)| (*question, *question == kind))
}

impl Fragment {
    /// What a header says of its fragment; `None` if no packet consists of such.
    fn of(header: &Ipv4HeaderSlice<'_>, payload: &[u8]) -> Option<Self> {
        let start = u32::from(header.fragments_offset().value()) * 8;
        let length = payload.len() as u32;
        let (end, more) = (start + length, header.more_fragments());
        // All but the last are in units of eight bytes, and the packet is no longer than one can be.
        let fits = end + header.slice().len() as u32 <= u32::from(u16::MAX);
        let whole = Whole {
            source: header.source_addr().into(),
            destination: header.destination_addr().into(),
            protocol: header.protocol().0,
            identification: header.identification().into(),
        };
        (length > 0 && fits && (!more || length.is_multiple_of(8))).then_some(Self { whole, start, end, more })
    }
}

impl Fragment {
    /// What a header says of its fragment of IPv6; `None` if no packet consists of such.
    fn of6(header: &v6::Header<'_>, piece: &v6::Piece) -> Option<Self> {
        let v6::Piece { identification, start, length, more } = *piece;
        let (end, whole) = (start + length, (header.source.into(), header.destination.into()));
        let whole = Whole { source: whole.0, destination: whole.1, protocol: FRAGMENTS6, identification };
        let fits = end <= u32::from(u16::MAX);
        (length > 0 && fits && (!more || length.is_multiple_of(8))).then_some(Self { whole, start, end, more })
    }
}

impl Content {
    /// The IP protocol's number.
    pub(super) fn protocol(self) -> u8 {
        match self {
            Self::Tcp { .. } => IpNumber::TCP.0,
            Self::Udp { .. } => IpNumber::UDP.0,
            Self::Icmp { .. } => IpNumber::ICMP.0,
            Self::Icmp6 { .. } => v6::ICMP,
            Self::Other(number) => number,
        }
    }
}

impl Packet {
    /// The packet that opens a TCP connection.
    pub(super) fn opening(from: SocketAddrV4, to: SocketAddrV4) -> Self {
        let content = Content::Tcp { from: from.port(), to: to.port(), opens: true, finishes: false, resets: false };
        Self { source: IpAddr::V4(*from.ip()), destination: IpAddr::V4(*to.ip()), content }
    }

    /// The address that isn't the machine's.
    pub(in crate::network) fn remote(&self, direction: Direction) -> IpAddr {
        match direction {
            Direction::Ingress => self.source,
            Direction::Egress => self.destination,
        }
    }

    /// Of an ICMP message, of which kind of question it is, and whether it is the question.
    pub(super) fn exchange(&self) -> Option<(u8, bool)> {
        match self.content {
            Content::Icmp { kind, .. } => exchange(kind),
            Content::Icmp6 { kind: ECHO6, .. } => Some((ECHO6, true)),
            Content::Icmp6 { kind: ECHO_REPLY6, .. } => Some((ECHO6, false)),
            _ => None,
        }
    }

    /// Whether it would tell a machine how or where to send.
    pub(super) fn steers(&self) -> bool {
        matches!(self.content, Content::Icmp { kind, .. } if STEERING.contains(&kind))
    }

    /// Whether it says by itself that it is no answer to anything.
    pub(super) fn asks(&self) -> bool {
        match self.content {
            Content::Tcp { opens, .. } => opens,
            Content::Icmp { .. } | Content::Icmp6 { .. } => matches!(self.exchange(), Some((_, true))),
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
