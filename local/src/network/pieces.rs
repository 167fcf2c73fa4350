//! Packets in pieces (RFC 791, 3.2): cut where they are larger than a gateway carries, and put together for the host's sockets.
//!
//! What is put together has passed a filter, which lets the pieces of a packet pass in order alone, each where the one before
//! ended.

use super::sizes::GATEWAY;
use etherparse::{IpFragOffset, IpNumber, Ipv4Header, Ipv4HeaderSlice};
use smoltcp::time::{Duration, Instant};
use std::{borrow::Cow, collections::VecDeque, net::Ipv4Addr};

/// Offsets count eight bytes each.
const UNIT: usize = 8;
/// How many datagrams of a machine may be on their way in pieces; each takes 64 KiB at most.
const OPEN: usize = 16;
/// How long one may be on its way, as [`super::filter`] has it.
const PATIENCE: Duration = Duration::from_secs(30);
/// An option that all pieces bear has this bit in its kind (RFC 791, 3.1).
const COPIED: u8 = 0x80;

/// Cuts a packet that a gateway doesn't carry, whatever it says of that. A piece is cut again.
pub(super) fn cut(packet: &[u8]) -> Vec<Vec<u8>> {
    let Ok((mut header, payload)) = Ipv4Header::from_slice(packet) else { return Vec::new() };
    let (start, more) = (usize::from(header.fragment_offset.value()), header.more_fragments);
    header.dont_fragment = false;
    let mut pieces = Vec::new();
    let mut at = 0;
    while at < payload.len() {
        let room = (usize::from(GATEWAY) - header.header_len()) / UNIT * UNIT;
        let end = payload.len().min(at + room);
        let offset = u16::try_from(start + at / UNIT).ok().and_then(|offset| IpFragOffset::try_new(offset).ok());
        let Some(offset) = offset else { break };
        header.fragment_offset = offset;
        header.more_fragments = more || end < payload.len();
        pieces.push(seal(&mut header, &payload[at..end]));
        at = end;
        header.options = copied(&header.options).as_slice().try_into().unwrap_or_default();
    }
    pieces
}

/// A packet with a payload, whose header gets the rest right.
fn seal(header: &mut Ipv4Header, payload: &[u8]) -> Vec<u8> {
    // It is a part of what had a length already.
    let _ = header.set_payload_len(payload.len());
    header.header_checksum = header.calc_header_checksum();
    [&header.to_bytes()[..], payload].concat()
}

/// Of a packet's options those that its later pieces bear, too.
fn copied(mut options: &[u8]) -> Vec<u8> {
    let mut copied = Vec::new();
    while let Some((kind, rest)) = options.split_first() {
        let length = match kind {
            0 => break,
            1 => 1,
            _ => rest.first().map_or(usize::MAX, |length| usize::from(*length).max(2)),
        };
        let Some((option, rest)) = options.split_at_checked(length) else { break };
        if kind & COPIED != 0 {
            copied.extend_from_slice(option);
        }
        options = rest;
    }
    copied.resize(copied.len().next_multiple_of(4), 0);
    copied
}

/// The datagrams of a machine that are on their way to the outside in pieces.
#[derive(Default)]
pub(super) struct Pieces(VecDeque<Open>);

struct Open {
    whole: Whole,
    bytes: Vec<u8>,
    until: Instant,
}

/// What the pieces of a datagram have in common.
type Whole = (Ipv4Addr, Ipv4Addr, u16);

impl Pieces {
    /// Takes a packet; gives it back if it is no piece of a datagram, or all of that if it is the last one.
    pub(super) fn put_together<'a>(&mut self, packet: &'a [u8], now: Instant) -> Option<Cow<'a, [u8]>> {
        let ip = Ipv4HeaderSlice::from_slice(packet).ok()?;
        if !ip.is_fragmenting_payload() || ip.protocol() != IpNumber::UDP {
            return Some(Cow::Borrowed(packet));
        }
        let whole = (ip.source_addr(), ip.destination_addr(), ip.identification());
        let payload = &packet[ip.slice().len()..];
        let start = usize::from(ip.fragments_offset().value()) * UNIT;
        self.0.retain(|open| open.until > now && (start > 0 || open.whole != whole));
        if start == 0 {
            if self.0.len() >= OPEN {
                self.0.pop_front();
            }
            self.0.push_back(Open { whole, bytes: packet.to_vec(), until: now + PATIENCE });
            return None;
        }
        let at = self.0.iter().position(|open| open.whole == whole)?;
        let open = &mut self.0[at];
        let first = Ipv4HeaderSlice::from_slice(&open.bytes).ok()?.slice().len();
        let fits = open.bytes.len() + payload.len() <= usize::from(u16::MAX);
        if open.bytes.len() - first != start || !fits {
            self.0.remove(at);
            return None;
        }
        open.bytes.extend_from_slice(payload);
        if ip.more_fragments() {
            return None;
        }
        let open = self.0.remove(at)?;
        let (mut header, payload) = (Ipv4Header::from_slice(&open.bytes).ok()?.0, &open.bytes[first..]);
        (header.more_fragments, header.dont_fragment) = (false, false);
        Some(Cow::Owned(seal(&mut header, payload)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use etherparse::PacketBuilder;
    use proptest::prelude::*;

    fn datagram(options: &[u8], length: usize) -> Vec<u8> {
        let mut packet = Vec::new();
        let payload: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
        PacketBuilder::ipv4([10, 0, 0, 5], [8, 8, 8, 8], 64).udp(7, 9).write(&mut packet, &payload).unwrap();
        let (mut header, payload) = Ipv4Header::from_slice(&packet).unwrap();
        (header.dont_fragment, header.identification) = (false, 77);
        header.options = options.try_into().unwrap();
        seal(&mut header, payload)
    }

    proptest! {
        #[test]
        fn what_was_cut_is_put_together(length in 1473usize..60_000, kind in 0usize..3) {
            // None; a record of the route, which only the first bears; one of a class that all bear.
            let options: &[u8] = [&[][..], &[7, 7, 4, 0, 0, 0, 0, 0], &[136, 4, 0, 1]][kind];
            let whole = datagram(options, length);
            let pieces = cut(&whole);
            prop_assert!(pieces.iter().all(|piece| piece.len() <= 1500));
            for (number, piece) in pieces.iter().enumerate() {
                let header = Ipv4Header::from_slice(piece).unwrap().0;
                prop_assert_eq!(header.header_checksum, header.calc_header_checksum());
                let expected = if number == 0 || kind == 2 { options } else { &[] };
                prop_assert_eq!(&header.options[..], expected);
            }
            let mut open = Pieces::default();
            let (last, before) = pieces.split_last().unwrap();
            for piece in before {
                prop_assert!(open.put_together(piece, Instant::ZERO).is_none());
            }
            prop_assert_eq!(open.put_together(last, Instant::ZERO).unwrap().into_owned(), whole);
            prop_assert!(open.0.is_empty());
        }

        #[test]
        fn no_packet_breaks_it(packets in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..100), 0..40)) {
            let mut open = Pieces::default();
            for mut packet in packets {
                if packet.len() > 20 {
                    (packet[0], packet[9]) = (0x45, 17);
                    let length = packet.len() as u16;
                    packet[2..4].copy_from_slice(&length.to_be_bytes());
                }
                let _ = open.put_together(&packet, Instant::ZERO);
                let _ = cut(&packet);
            }
        }
    }

    #[test]
    fn what_never_ends_is_forgotten() {
        let pieces = |number: u16| {
            let mut whole = datagram(&[], 4000);
            whole[4..6].copy_from_slice(&number.to_be_bytes());
            cut(&whole)
        };
        let mut open = Pieces::default();
        for number in 0..100 {
            assert!(open.put_together(&pieces(number)[0], Instant::ZERO).is_none());
        }
        assert_eq!(open.0.len(), OPEN);
        // Not the next one.
        assert!(open.put_together(&pieces(99)[2], Instant::ZERO).is_none());
        assert_eq!(open.0.len(), OPEN - 1);
        assert!(open.put_together(&pieces(98)[1], Instant::ZERO + PATIENCE).is_none());
        assert!(open.0.is_empty());
    }
}
