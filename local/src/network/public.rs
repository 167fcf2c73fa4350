//! Machines that reach each other at their public addresses: by the internet gateways, which put the public address of
//! the sender in the place of its private one, and the private one of the receiver in the place of its public one.
//! <https://docs.aws.amazon.com/vpc/latest/userguide/VPC_Internet_Gateway.html>

use etherparse::{IpNumber, Ipv4HeaderSlice};
use std::{
    collections::HashMap,
    net::Ipv4Addr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Whose a public address is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Public {
    /// The port of its NIC.
    pub(super) port: u64,
    /// The VPC of its NIC.
    pub(super) vpc: String,
    /// The address that it stands for.
    pub(super) private: Ipv4Addr,
}

/// The public addresses of all NICs that are plugged in; the engine tells, and the name server asks, too.
#[derive(Clone, Default)]
pub(super) struct Publics(Arc<Mutex<HashMap<Ipv4Addr, Public>>>);

impl Publics {
    /// Whose an address is.
    pub(super) fn find(&self, address: Ipv4Addr) -> Option<Public> {
        self.lock().get(&address).cloned()
    }

    /// From now on these are the public addresses behind a port.
    pub(super) fn set(&self, port: u64, publics: impl IntoIterator<Item = (Ipv4Addr, Public)>) {
        let mut all = self.lock();
        all.retain(|_, known| known.port != port);
        all.extend(publics);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Ipv4Addr, Public>> {
        // It is whole between any two of its calls.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Gives a packet, whose header has been checked, another source and destination.
pub(super) fn translate(packet: &mut [u8], source: Ipv4Addr, destination: Ipv4Addr) -> Option<()> {
    let ip = Ipv4HeaderSlice::from_slice(packet).ok()?;
    let (old_source, old_destination) = (ip.source_addr(), ip.destination_addr());
    let (length, protocol, is_first) = (ip.slice().len(), ip.protocol(), ip.fragments_offset().value() == 0);
    readdress(packet, source, destination);
    if !is_first || protocol != IpNumber::ICMP {
        return Some(());
    }
    // An error quotes the packet that it is about, as its sender has got it: with the other one's public address and its
    // own private one.
    let message = packet.get_mut(length..)?;
    if matches!(message.first()?, 3 | 11 | 12) {
        let quote = message.get_mut(8..)?;
        let quoted = Ipv4HeaderSlice::from_slice(quote).ok()?;
        if quoted.source_addr() != old_destination || quoted.destination_addr() != old_source {
            return None;
        }
        readdress(quote, destination, source);
        message[2..4].fill(0);
        let checksum = sum(message);
        message[2..4].copy_from_slice(&checksum.to_be_bytes());
    }
    Some(())
}

/// Changes the addresses of a packet or of its beginning, and puts its checksums right.
fn readdress(packet: &mut [u8], source: Ipv4Addr, destination: Ipv4Addr) {
    let Ok(ip) = Ipv4HeaderSlice::from_slice(packet) else { return };
    let changes = [(ip.source_addr(), source), (ip.destination_addr(), destination)];
    let (length, is_first) = (ip.slice().len(), ip.fragments_offset().value() == 0);
    // Where the checksum stands that covers the addresses too (RFC 9293, 3.1; RFC 768).
    let checksum = match ip.protocol() {
        IpNumber::TCP if is_first => Some(length + 16),
        IpNumber::UDP if is_first => Some(length + 6),
        _ => None,
    };
    let is_udp = ip.protocol() == IpNumber::UDP;
    packet[12..16].copy_from_slice(&source.octets());
    packet[16..20].copy_from_slice(&destination.octets());
    adjust(&mut packet[10..12], &changes);
    if let Some(field) = checksum.and_then(|at| packet.get_mut(at..at + 2)) {
        // UDP without a checksum has 0 in its place, and one that is 0 is written the other way.
        if !(is_udp && *field == [0, 0]) {
            adjust(field, &changes);
            if is_udp && *field == [0, 0] {
                field.fill(0xff);
            }
        }
    }
}

/// Puts a checksum right after addresses have changed (RFC 1624).
fn adjust(field: &mut [u8], changes: &[(Ipv4Addr, Ipv4Addr)]) {
    let mut total = u32::from(!u16::from_be_bytes([field[0], field[1]]));
    for (old, new) in changes {
        let words = |address: Ipv4Addr| [address.to_bits() >> 16, address.to_bits() & 0xffff];
        total += words(*old).iter().map(|word| !word & 0xffff).chain(words(*new)).sum::<u32>();
    }
    field.copy_from_slice(&(!fold(total)).to_be_bytes());
}

/// The checksum of a message (RFC 1071).
fn sum(message: &[u8]) -> u16 {
    let words = message.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)])));
    !fold(words.sum())
}

/// A sum of 16-bit words as one (RFC 1071).
pub(super) fn fold(mut total: u32) -> u16 {
    while total > 0xffff {
        total = (total & 0xffff) + (total >> 16);
    }
    total as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use etherparse::{
        Icmpv4Header, Icmpv4Slice, Icmpv4Type, PacketBuilder, TcpSlice, UdpSlice, icmpv4::DestUnreachableHeader,
    };
    use proptest::prelude::*;

    const OWN: [u8; 4] = [10, 0, 0, 5];
    const OTHERS_PUBLIC: [u8; 4] = [127, 4, 5, 6];
    const OWN_PUBLIC: Ipv4Addr = Ipv4Addr::new(127, 1, 2, 3);
    const OTHER: Ipv4Addr = Ipv4Addr::new(10, 9, 9, 9);

    fn header(packet: &[u8]) -> Ipv4HeaderSlice<'_> {
        let header = Ipv4HeaderSlice::from_slice(packet).unwrap();
        assert_eq!(header.header_checksum(), header.to_header().calc_header_checksum());
        header
    }

    #[test]
    fn an_error_quotes_what_its_receiver_sent() {
        let mut quote = Vec::new();
        PacketBuilder::ipv4(OTHERS_PUBLIC, OWN, 9).udp(40000, 9).write(&mut quote, b"question").unwrap();
        let mut packet = Vec::new();
        let kind = Icmpv4Type::DestinationUnreachable(DestUnreachableHeader::Port);
        PacketBuilder::ipv4(OWN, OTHERS_PUBLIC, 9).icmpv4(kind.clone()).write(&mut packet, &quote).unwrap();
        translate(&mut packet, OWN_PUBLIC, OTHER).unwrap();
        let outer = header(&packet);
        assert_eq!((outer.source_addr(), outer.destination_addr()), (OWN_PUBLIC, OTHER));
        let message = Icmpv4Slice::from_slice(&packet[20..]).unwrap();
        let expected = Icmpv4Header::with_checksum(message.icmp_type(), message.payload()).checksum;
        assert_eq!(message.checksum(), expected);
        let inner = header(message.payload());
        assert_eq!((inner.source_addr(), inner.destination_addr()), (OTHER, OWN_PUBLIC));
        let udp = UdpSlice::from_slice(&message.payload()[20..]).unwrap();
        let right = udp.to_header().calc_checksum_ipv4_raw(OTHER.octets(), OWN_PUBLIC.octets(), udp.payload());
        assert_eq!(udp.checksum(), right.unwrap());

        let mut liar = Vec::new();
        PacketBuilder::ipv4(OWN, [127, 7, 7, 7], 9).icmpv4(kind.clone()).write(&mut liar, &quote).unwrap();
        assert_eq!(translate(&mut liar, OWN_PUBLIC, OTHER), None, "it quotes what another has sent");
    }

    proptest! {
        #[test]
        fn checksums_stay_right(
            payload in prop::collection::vec(any::<u8>(), 0..100),
            source: u32, destination: u32, from: u16, to: u16,
        ) {
            let (source, destination) = (Ipv4Addr::from_bits(source), Ipv4Addr::from_bits(destination));
            let mut packet = Vec::new();
            PacketBuilder::ipv4(OWN, OTHERS_PUBLIC, 9).tcp(from, to, 1, 2).write(&mut packet, &payload).unwrap();
            translate(&mut packet, source, destination).unwrap();
            header(&packet);
            let tcp = TcpSlice::from_slice(&packet[20..]).unwrap();
            let right = tcp.to_header().calc_checksum_ipv4_raw(source.octets(), destination.octets(), tcp.payload());
            prop_assert_eq!(tcp.checksum(), right.unwrap());

            let mut packet = Vec::new();
            PacketBuilder::ipv4(OWN, OTHERS_PUBLIC, 9).udp(from, to).write(&mut packet, &payload).unwrap();
            translate(&mut packet, source, destination).unwrap();
            header(&packet);
            let udp = UdpSlice::from_slice(&packet[20..]).unwrap();
            let right = udp.to_header().calc_checksum_ipv4_raw(source.octets(), destination.octets(), udp.payload());
            prop_assert_eq!(udp.checksum(), right.unwrap());
        }

        #[test]
        fn no_packet_breaks_it(mut packet in prop::collection::vec(any::<u8>(), 0..120), kind in 0u8..20) {
            if packet.len() > 21 {
                (packet[0], packet[9], packet[20]) = (0x45, [1, 6, 17][usize::from(kind % 3)], kind);
            }
            let _ = translate(&mut packet, OWN_PUBLIC, OTHER);
        }
    }
}
