//! What a gateway must know of a packet, and how its ports are changed.

use super::End;
use crate::network::public;
use etherparse::{IpNumber, Ipv4HeaderSlice};

/// Which end of a message is given another port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    Sender,
    Receiver,
}

/// What a gateway must know of a packet: one that isn't cut, with ports or something like them.
pub(super) struct Message {
    pub(super) protocol: u8,
    pub(super) from: End,
    pub(super) to: End,
    /// Where what follows the IPv4 header begins.
    at: usize,
    pub(super) is_answer: bool,
    /// What an ICMP error quotes, and where that has its first port.
    pub(super) quoted: Option<Quoted>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Quoted {
    pub(super) protocol: u8,
    pub(super) from: End,
    pub(super) to: End,
    at: usize,
}

/// An ICMP header; an error's quote follows it (RFC 792).
const ICMP_HEADER: usize = 8;
const ECHO: u8 = 8;
const ECHO_REPLY: u8 = 0;
const ERRORS: [u8; 3] = [3, 11, 12];

impl Message {
    pub(super) fn read(packet: &[u8]) -> Option<Self> {
        let ip = Ipv4HeaderSlice::from_slice(packet).ok()?;
        let (at, protocol) = (ip.slice().len(), ip.protocol());
        if ip.is_fragmenting_payload() {
            return None;
        }
        let (source, destination) = (ip.source_addr(), ip.destination_addr());
        let message = |from, to| Self {
            protocol: protocol.0,
            from: (source, from),
            to: (destination, to),
            at,
            is_answer: false,
            quoted: None,
        };
        let word = |offset| word(packet, at + offset);
        match protocol {
            IpNumber::TCP | IpNumber::UDP => Some(message(word(0)?, word(2)?)),
            IpNumber::ICMP => match *packet.get(at)? {
                // Both have the identifier of who has asked; the other end has none.
                ECHO => Some(message(word(4)?, 0)),
                ECHO_REPLY => Some(Self { is_answer: true, ..message(0, word(4)?) }),
                kind if ERRORS.contains(&kind) => {
                    let quoted = Some(Quoted::read(packet, at + ICMP_HEADER)?);
                    Some(Self { quoted, ..message(0, 0) })
                }
                _ => None,
            },
            _ => None,
        }
    }

    /// Gives one end another port.
    pub(super) fn rename(&self, packet: &mut [u8], which: Which, port: u16) {
        let at = self.at;
        if let Some(quoted) = self.quoted {
            // The quote's own checksum is of what nobody has but its sender.
            return replace(packet, quoted.at, at + 2, port, false);
        }
        let (field, checksum) = match (IpNumber(self.protocol), which) {
            (IpNumber::ICMP, _) => (at + 4, at + 2),
            (IpNumber::UDP, Which::Sender) => (at, at + 6),
            (IpNumber::UDP, Which::Receiver) => (at + 2, at + 6),
            (_, Which::Sender) => (at, at + 16),
            (_, Which::Receiver) => (at + 2, at + 16),
        };
        replace(packet, field, checksum, port, self.protocol == IpNumber::UDP.0);
    }
}

impl Quoted {
    fn read(packet: &[u8], at: usize) -> Option<Self> {
        let ip = Ipv4HeaderSlice::from_slice(packet.get(at..)?).ok()?;
        let (protocol, ports) = (ip.protocol(), at + ip.slice().len());
        if ip.fragments_offset().value() != 0 {
            return None;
        }
        let (from, to, at) = match protocol {
            IpNumber::TCP | IpNumber::UDP => (word(packet, ports)?, word(packet, ports + 2)?, ports),
            IpNumber::ICMP if *packet.get(ports)? == ECHO => (word(packet, ports + 4)?, 0, ports + 4),
            _ => return None,
        };
        Some(Self { protocol: protocol.0, from: (ip.source_addr(), from), to: (ip.destination_addr(), to), at })
    }
}

pub(super) fn word(packet: &[u8], at: usize) -> Option<u16> {
    packet.get(at..at + 2)?.first_chunk::<2>().map(|bytes| u16::from_be_bytes(*bytes))
}

/// Replaces a word, and puts a checksum right that covers it (RFC 1624). UDP without a checksum has 0 in its place, and one that is 0
/// is written the other way.
fn replace(packet: &mut [u8], at: usize, checksum: usize, new: u16, is_udp: bool) {
    let Some(old) = word(packet, at) else { return };
    packet[at..at + 2].copy_from_slice(&new.to_be_bytes());
    let Some(sum) = word(packet, checksum) else { return };
    if is_udp && sum == 0 {
        return;
    }
    let sum = !public::fold(u32::from(!sum) + u32::from(!old) + u32::from(new));
    let sum = if is_udp && sum == 0 { 0xffff } else { sum };
    packet[checksum..checksum + 2].copy_from_slice(&sum.to_be_bytes());
}
