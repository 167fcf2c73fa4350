//! The frames of IPv6 that the switch itself makes.
//!
//! What this file isn't: the place where it is decided who gets an answer.

use super::{GATEWAY, header};
use crate::network::{frame::ROUTER, port::ETHERNET, port::MTU};
use etherparse::{EtherType, PacketBuilder};
use std::net::Ipv6Addr;

/// How long packets of the switch live; those of Neighbor Discovery have come over no router (RFC 4861).
const HOPS: u8 = 64;
const NEAR: u8 = 255;
/// How much of a packet an ICMPv6 error quotes, so that the error fits wherever IPv6 does (RFC 4443, 2.4).
const QUOTE: usize = 1280 - header::LENGTH - 8;

/// All machines of a link.
pub(super) const EVERYBODY: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

// ICMPv6 (RFC 4443, 4861).
pub(super) const UNREACHABLE: u8 = 1;
const TOO_BIG: u8 = 2;
const TIME_EXCEEDED: u8 = 3;
const ECHO_REPLY: u8 = 129;
const ROUTER_ADVERTISEMENT: u8 = 134;
const NEIGHBOR_ADVERTISEMENT: u8 = 136;

/// Why a packet isn't delivered (RFC 4443, 3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::network) enum Why {
    NoRoute = 0,
    Prohibited = 1,
    Address = 3,
    Port = 4,
}

// Options of Neighbor Discovery (RFC 4861, 4.6).
const SOURCE_MAC: u8 = 1;
const TARGET_MAC: u8 = 2;
const PREFIX: u8 = 3;
const LINK_MTU: u8 = 5;

/// How long a machine uses a router that it has heard of: the longest there is (RFC 4861, 6.2.1). It hears of it again whenever it asks whether the
/// router is there.
const LIFETIME: u16 = 9000;
/// Addresses come by DHCPv6, and so does all else, as on EC2 (RFC 4861, 4.2).
const MANAGED: u8 = 0xc0;
/// The prefix is on the link; nobody makes an address of it (RFC 4861, 4.6.2).
const ON_LINK: u8 = 0x80;

/// Who has an address: `owner` has `target`. Whoever has no address yet is told with all others.
pub(super) fn neighbor_advertisement(
    owner: [u8; 6],
    target: Ipv6Addr,
    to: [u8; 6],
    asker: Ipv6Addr,
) -> Option<Vec<u8>> {
    const IS_ROUTER: u8 = 0x80;
    const SOLICITED: u8 = 0x40;
    const OVERRIDE: u8 = 0x20;
    let is_router = owner == ROUTER;
    let (asker, solicited) = if asker.is_unspecified() { (EVERYBODY, 0) } else { (asker, SOLICITED) };
    let flags = OVERRIDE | solicited | if is_router { IS_ROUTER } else { 0 };
    let mut body = vec![NEIGHBOR_ADVERTISEMENT, 0, 0, 0, flags, 0, 0, 0];
    body.extend(target.octets());
    body.extend([TARGET_MAC, 1]);
    body.extend(owner);
    // An answer comes from the address itself.
    let from = if is_router { GATEWAY } else { target };
    icmp(to, (from, asker), NEAR, body)
}

/// That there is a router, what the link's prefix is, if it has one, and how large packets may be.
pub(super) fn router_advertisement(to: [u8; 6], asker: Ipv6Addr, prefix: (Ipv6Addr, u8)) -> Option<Vec<u8>> {
    let asker = if asker.is_unspecified() { EVERYBODY } else { asker };
    let mut body = vec![ROUTER_ADVERTISEMENT, 0, 0, 0, HOPS, MANAGED];
    body.extend(LIFETIME.to_be_bytes());
    body.extend([0; 8]);
    body.extend([SOURCE_MAC, 1]);
    body.extend(ROUTER);
    body.extend([LINK_MTU, 1, 0, 0]);
    body.extend((MTU as u32).to_be_bytes());
    body.extend([PREFIX, 4, prefix.1, ON_LINK]);
    // It is valid, and preferred, for ever.
    body.extend([0xff; 8]);
    body.extend([0; 4]);
    body.extend(prefix.0.octets());
    icmp(to, (GATEWAY, asker), NEAR, body)
}

/// The answer to an echo request: its own message, sent back.
pub(super) fn echo_reply(to: [u8; 6], from: Ipv6Addr, machine: Ipv6Addr, request: &[u8]) -> Option<Vec<u8>> {
    let mut body = request.to_vec();
    *body.first_mut()? = ECHO_REPLY;
    icmp(to, (from, machine), HOPS, body)
}

/// Tells a machine that its packet can't be delivered.
pub(in crate::network) fn unreachable(to: [u8; 6], machine: Ipv6Addr, why: Why, packet: &[u8]) -> Option<Vec<u8>> {
    error(to, machine, [UNREACHABLE, why as u8], 0, packet)
}

/// Tells a machine that its packet has come too far.
pub(in crate::network) fn time_exceeded(to: [u8; 6], machine: Ipv6Addr, packet: &[u8]) -> Option<Vec<u8>> {
    error(to, machine, [TIME_EXCEEDED, 0], 0, packet)
}

/// Tells a machine how large its packet may be.
pub(in crate::network) fn too_big(to: [u8; 6], machine: Ipv6Addr, most: u16, packet: &[u8]) -> Option<Vec<u8>> {
    error(to, machine, [TOO_BIG, 0], most.into(), packet)
}

/// An error about a packet, unless that is one itself (RFC 4443, 2.4).
fn error(to: [u8; 6], machine: Ipv6Addr, kind: [u8; 2], word: u32, packet: &[u8]) -> Option<Vec<u8>> {
    let about = header::quoted(packet)?;
    let is_error = about.protocol == header::ICMP && about.payload.first().is_none_or(|kind| *kind < 128);
    let is_later = about.fragment.is_some_and(|piece| piece.start > 0);
    if is_error || is_later || machine.is_multicast() || machine.is_unspecified() {
        return None;
    }
    let mut body = vec![kind[0], kind[1], 0, 0];
    body.extend(word.to_be_bytes());
    body.extend(&packet[..packet.len().min(QUOTE)]);
    icmp(to, (GATEWAY, machine), HOPS, body)
}

/// A UDP datagram from the switch to a machine.
pub(in crate::network) fn udp(
    to: [u8; 6],
    from: (Ipv6Addr, u16),
    machine: (Ipv6Addr, u16),
    payload: &[u8],
) -> Option<Vec<u8>> {
    let builder =
        PacketBuilder::ethernet2(ROUTER, to).ipv6(from.0.octets(), machine.0.octets(), HOPS).udp(from.1, machine.1);
    let mut frame = Vec::with_capacity(builder.size(payload.len()));
    builder.write(&mut frame, payload).ok()?;
    Some(frame)
}

/// A frame of an ICMPv6 message that lacks its checksum.
fn icmp(to: [u8; 6], (from, machine): (Ipv6Addr, Ipv6Addr), hops: u8, mut body: Vec<u8>) -> Option<Vec<u8>> {
    body.get_mut(2..4)?.fill(0);
    let checksum = checksum(from, machine, header::ICMP, &body);
    body.get_mut(2..4)?.copy_from_slice(&checksum.to_be_bytes());
    let mut frame = Vec::with_capacity(ETHERNET + header::LENGTH + body.len());
    frame.extend(to);
    frame.extend(ROUTER);
    frame.extend(EtherType::IPV6.0.to_be_bytes());
    frame.extend([0x60, 0, 0, 0]);
    frame.extend(u16::try_from(body.len()).ok()?.to_be_bytes());
    frame.extend([header::ICMP, hops]);
    frame.extend(from.octets());
    frame.extend(machine.octets());
    frame.extend(body);
    Some(frame)
}

/// The checksum of what stands in a packet (RFC 8200, 8.1).
pub(super) fn checksum(from: Ipv6Addr, to: Ipv6Addr, protocol: u8, body: &[u8]) -> u16 {
    let words = |bytes: &[u8]| -> u32 {
        let word = |pair: &[u8]| u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0));
        bytes.chunks(2).map(word).sum()
    };
    let mut sum = words(&from.octets()) + words(&to.octets()) + words(body) + u32::from(protocol);
    sum += u32::try_from(body.len()).unwrap_or(0);
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;
    use etherparse::{Icmpv6Slice, SlicedPacket};

    const MACHINE: Ipv6Addr = Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 5);

    #[test]
    fn what_the_switch_says_has_the_right_checksum() {
        let question = udp([2; 6], (MACHINE, 7), (GATEWAY, 9), b"odd").unwrap();
        let frames = [
            neighbor_advertisement(ROUTER, GATEWAY, [2; 6], MACHINE),
            neighbor_advertisement([4; 6], MACHINE, [2; 6], Ipv6Addr::UNSPECIFIED),
            router_advertisement([2; 6], MACHINE, (MACHINE, 64)),
            echo_reply([2; 6], GATEWAY, MACHINE, &[128, 0, 9, 9, 0, 1, 0, 2, 3]),
            unreachable([2; 6], MACHINE, Why::Port, &question[ETHERNET..]),
            time_exceeded([2; 6], MACHINE, &question[ETHERNET..]),
            too_big([2; 6], MACHINE, 1500, &question[ETHERNET..]),
        ];
        for frame in frames {
            let frame = frame.unwrap();
            let packet = header::read(&frame[ETHERNET..]).unwrap();
            let icmp = Icmpv6Slice::from_slice(packet.payload).unwrap();
            assert!(icmp.is_checksum_valid(packet.source.octets(), packet.destination.octets()), "{frame:?}");
            assert!(SlicedPacket::from_ethernet(&frame).is_ok());
        }
    }

    #[test]
    fn there_are_no_errors_about_errors() {
        let question = udp([2; 6], (MACHINE, 7), (GATEWAY, 9), b"odd").unwrap();
        let error = unreachable([2; 6], MACHINE, Why::NoRoute, &question[ETHERNET..]).unwrap();
        assert_eq!(unreachable([2; 6], MACHINE, Why::NoRoute, &error[ETHERNET..]), None);
    }
}
