//! The frames that the switch itself makes: answers in ARP, ICMP and UDP.
//!
//! What this file isn't: the place where it is decided who gets an answer.

use super::port::ETHERNET;
use etherparse::{
    ArpHardwareId, ArpOperation, ArpPacket, EtherType, IcmpEchoHeader, Icmpv4Type, PacketBuilder, icmpv4,
};
use std::net::Ipv4Addr;

/// The switch's own MAC address, the same in every subnet: the router, the name server and the metadata service.
pub(super) const ROUTER: [u8; 6] = [0x0a, 0xec, 0x20, 0x00, 0x00, 0x01];

/// How long packets of the switch live.
const HOPS: u8 = 64;
/// How much of a packet an ICMP error quotes, so that the error is at most 576 bytes (RFC 1812, 4.3.2.3).
const QUOTE: usize = 576 - 20 - 8;

/// An Ethernet header for IPv4 from the router to a machine.
pub(super) fn from_router(to: [u8; 6]) -> [u8; ETHERNET] {
    let mut header = [0; ETHERNET];
    header[..6].copy_from_slice(&to);
    header[6..12].copy_from_slice(&ROUTER);
    header[12..].copy_from_slice(&EtherType::IPV4.0.to_be_bytes());
    header
}

/// The answer to who has an address: `owner` has `address`.
pub(super) fn arp_reply(owner: [u8; 6], address: Ipv4Addr, to: [u8; 6], asker: Ipv4Addr) -> Option<Vec<u8>> {
    let packet = ArpPacket::new(
        ArpHardwareId::ETHERNET,
        EtherType::IPV4,
        ArpOperation::REPLY,
        &owner,
        &address.octets(),
        &to,
        &asker.octets(),
    )
    .ok()?;
    let builder = PacketBuilder::ethernet2(ROUTER, to).arp(packet);
    let mut frame = Vec::with_capacity(builder.size());
    builder.write(&mut frame).ok()?;
    Some(frame)
}

/// The answer to an echo request: its own message, sent back.
pub(super) fn echo_reply(
    to: [u8; 6],
    from: Ipv4Addr,
    machine: Ipv4Addr,
    echo: IcmpEchoHeader,
    payload: &[u8],
) -> Option<Vec<u8>> {
    icmp(to, from, machine, Icmpv4Type::EchoReply(echo), payload)
}

/// Tells a machine that its packet can't be delivered.
pub(super) fn unreachable(
    to: [u8; 6],
    router: Ipv4Addr,
    machine: Ipv4Addr,
    why: icmpv4::DestUnreachableHeader,
    packet: &[u8],
) -> Option<Vec<u8>> {
    icmp(to, router, machine, Icmpv4Type::DestinationUnreachable(why), quote(packet))
}

/// Tells a machine that its packet has come too far.
pub(super) fn time_exceeded(to: [u8; 6], router: Ipv4Addr, machine: Ipv4Addr, packet: &[u8]) -> Option<Vec<u8>> {
    let code = icmpv4::TimeExceededCode::TtlExceededInTransit;
    icmp(to, router, machine, Icmpv4Type::TimeExceeded(code), quote(packet))
}

/// A UDP datagram from the switch to a machine.
pub(super) fn udp(to: [u8; 6], from: (Ipv4Addr, u16), machine: (Ipv4Addr, u16), payload: &[u8]) -> Option<Vec<u8>> {
    let builder =
        PacketBuilder::ethernet2(ROUTER, to).ipv4(from.0.octets(), machine.0.octets(), HOPS).udp(from.1, machine.1);
    let mut frame = Vec::with_capacity(builder.size(payload.len()));
    builder.write(&mut frame, payload).ok()?;
    Some(frame)
}

fn icmp(to: [u8; 6], from: Ipv4Addr, machine: Ipv4Addr, kind: Icmpv4Type, payload: &[u8]) -> Option<Vec<u8>> {
    let builder = PacketBuilder::ethernet2(ROUTER, to).ipv4(from.octets(), machine.octets(), HOPS).icmpv4(kind);
    let mut frame = Vec::with_capacity(builder.size(payload.len()));
    builder.write(&mut frame, payload).ok()?;
    Some(frame)
}

fn quote(packet: &[u8]) -> &[u8] {
    &packet[..packet.len().min(QUOTE)]
}
