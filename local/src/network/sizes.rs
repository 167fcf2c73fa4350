//! How large packets may be that pass an internet gateway. What is larger is cut in pieces, or dropped where its sender forbids
//! that, who is told then.
//! <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/network_mtu.html>

use super::{
    public::fold,
    v6::{self, header},
};
use etherparse::{IpNumber, Ipv4HeaderSlice};

/// The largest packet that passes an internet gateway.
pub(super) const GATEWAY: u16 = 1500;

/// The largest segments that fit such a packet: without the headers of IPv4 and TCP; of IPv6 and TCP.
const SEGMENT: u16 = GATEWAY - 40;
const SEGMENT6: u16 = GATEWAY - 60;
/// A TCP header without options, where it has its flags and its checksum, and the flag of who opens a connection (RFC 9293, 3.1).
const TCP: usize = 20;
const FLAGS: usize = 13;
const CHECKSUM: usize = 16;
const SYN: u8 = 0x02;

/// Whether a packet is too large for a gateway, and may not be cut, as none of IPv6 may (RFC 8200, 5).
pub(super) fn is_too_large(packet: &[u8]) -> bool {
    let is_whole = || Ipv4HeaderSlice::from_slice(packet).is_ok_and(|ip| ip.dont_fragment());
    packet.len() > usize::from(GATEWAY) && (v6::is_v6(packet) || is_whole())
}

/// Lets the receiver of a packet that opens a connection send no larger segments than pass a gateway, as hosts of the internet
/// ask for themselves. No effect on any other packet.
pub(super) fn bound_segments(packet: &mut [u8]) -> Option<()> {
    let (start, most) = if v6::is_v6(packet) {
        (packet.get(6) == Some(&header::TCP)).then_some((header::LENGTH, SEGMENT6))?
    } else {
        let ip = Ipv4HeaderSlice::from_slice(packet).ok()?;
        let is_it = ip.protocol() == IpNumber::TCP && !ip.is_fragmenting_payload();
        is_it.then_some((ip.slice().len(), SEGMENT))?
    };
    let tcp = packet.get_mut(start..)?;
    if tcp.get(FLAGS)? & SYN == 0 {
        return None;
    }
    let end = usize::from(tcp[12] >> 4) * 4;
    let mut at = TCP;
    // Its options: their end, nothing, or a kind with a length.
    loop {
        match *tcp.get(..end)?.get(at)? {
            0 => return None,
            1 => at += 1,
            2 => break,
            _ => at += usize::from(*tcp.get(at + 1)?).max(2),
        }
    }
    let value = tcp.get_mut(at + 2..at + 4).filter(|_| at + 4 <= end)?;
    let old = u16::from_be_bytes([value[0], value[1]]);
    if old <= most {
        return None;
    }
    value.copy_from_slice(&most.to_be_bytes());
    // RFC 1624. What stands between two of the words that are summed up counts with its bytes the other way round.
    let [old, new] = [old, most].map(|word| if at.is_multiple_of(2) { word } else { word.swap_bytes() });
    let checksum = u16::from_be_bytes([tcp[CHECKSUM], tcp[CHECKSUM + 1]]);
    let checksum = !fold(u32::from(!checksum) + u32::from(!old) + u32::from(new));
    tcp[CHECKSUM..CHECKSUM + 2].copy_from_slice(&checksum.to_be_bytes());
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use etherparse::{PacketBuilder, TcpOptionElement, TcpSlice};
    use proptest::prelude::*;

    fn opening(options: &[TcpOptionElement], payload: &[u8]) -> Vec<u8> {
        let builder = PacketBuilder::ipv4([10, 0, 0, 5], [8, 8, 8, 8], 64).tcp(40_000, 80, 7, 1000).syn();
        let mut packet = Vec::new();
        builder.options(options).unwrap().write(&mut packet, payload).unwrap();
        packet
    }

    #[test]
    fn segments_are_no_larger_than_a_gateway_carries_and_checksums_stay_right() {
        use TcpOptionElement::{MaximumSegmentSize as Most, Noop, WindowScale};
        for (before, expected) in [(8961, 1460), (1460, 1460), (536, 536), (0, 0)] {
            for options in [&[Most(before)][..], &[Noop, Most(before)], &[WindowScale(7), Most(before), Noop]] {
                let mut packet = opening(options, b"odd");
                bound_segments(&mut packet);
                let tcp = TcpSlice::from_slice(&packet[20..]).unwrap();
                let found = tcp.options_iterator().find_map(|option| match option {
                    Ok(Most(size)) => Some(size),
                    _ => None,
                });
                assert_eq!(found, Some(expected), "{options:?}");
                let right = tcp.to_header().calc_checksum_ipv4_raw([10, 0, 0, 5], [8, 8, 8, 8], tcp.payload());
                assert_eq!(tcp.checksum(), right.unwrap(), "{options:?}");
            }
        }
        let mut without = opening(&[], b"");
        assert_eq!(bound_segments(&mut without), None);
    }

    #[test]
    fn those_of_ipv6_leave_room_for_its_header() {
        let (from, to) = ([7; 16], [9; 16]);
        let mut packet = Vec::new();
        let builder = PacketBuilder::ipv6(from, to, 64).tcp(40_000, 80, 7, 1000).syn();
        builder.options(&[TcpOptionElement::MaximumSegmentSize(8941)]).unwrap().write(&mut packet, b"").unwrap();
        bound_segments(&mut packet);
        let tcp = TcpSlice::from_slice(&packet[40..]).unwrap();
        assert_eq!(tcp.options_iterator().next(), Some(Ok(TcpOptionElement::MaximumSegmentSize(1440))));
        assert_eq!(tcp.checksum(), tcp.to_header().calc_checksum_ipv6_raw(from, to, tcp.payload()).unwrap());
    }

    proptest! {
        #[test]
        fn no_packet_breaks_it(mut packet in prop::collection::vec(any::<u8>(), 0..120), is_v6: bool) {
            if packet.len() > 60 && is_v6 {
                (packet[0], packet[6], packet[53]) = (0x60, 6, 2);
            } else if packet.len() > 40 {
                (packet[0], packet[6], packet[7], packet[9], packet[33]) = (0x45, 0, 0, 6, 2);
            }
            let _ = bound_segments(&mut packet);
            let _ = is_too_large(&packet);
        }
    }
}
