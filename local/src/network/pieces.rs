//! Packets in pieces (RFC 791, 3.2; RFC 8200, 4.5): cut where they are larger than a gateway carries, and put together for the host's sockets.
//!
//! What is put together has passed a filter, which lets the pieces of a packet pass in order alone, each where the one before
//! ended.

use super::{
    sizes::GATEWAY,
    v6::{self, header},
};
use etherparse::{IpFragOffset, IpNumber, Ipv4Header, Ipv4HeaderSlice};
use smoltcp::time::{Duration, Instant};
use std::{borrow::Cow, collections::VecDeque, net::IpAddr};

/// Offsets count eight bytes each.
const UNIT: usize = 8;
/// How many datagrams of a machine may be on their way in pieces; each takes 64 KiB at most.
const OPEN: usize = 16;
/// How long one may be on its way, as [`super::filter`] has it.
const PATIENCE: Duration = Duration::from_secs(30);
/// An option that all pieces bear has this bit in its kind (RFC 791, 3.1).
const COPIED: u8 = 0x80;
/// IPv6's fragment header, its number and its length.
const FRAGMENT: u8 = 44;
const FRAGMENT_LENGTH: usize = 8;

/// Cuts a packet that a gateway doesn't carry, whatever it says of that. A piece of IPv4 is cut again, and bears its packet's
/// identification; those of IPv6 get this one.
pub(super) fn cut(packet: &[u8], identification: u32) -> Vec<Vec<u8>> {
    if v6::is_v6(packet) {
        return cut6(packet, identification);
    }
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

/// Cuts a packet of IPv6 that has nothing between its header and what it carries.
fn cut6(packet: &[u8], identification: u32) -> Vec<Vec<u8>> {
    let Some((header, payload)) = packet.split_first_chunk::<{ header::LENGTH }>() else { return Vec::new() };
    let room = (usize::from(GATEWAY) - header::LENGTH - FRAGMENT_LENGTH) / UNIT * UNIT;
    let count = payload.len().div_ceil(room);
    let piece = |(number, part): (usize, &[u8])| {
        let start = u16::try_from(number * room).ok()?;
        let mut head = *header;
        head[4..6].copy_from_slice(&u16::try_from(FRAGMENT_LENGTH + part.len()).ok()?.to_be_bytes());
        head[6] = FRAGMENT;
        let [high, low] = (start | u16::from(number + 1 < count)).to_be_bytes();
        Some([&head[..], &[header[6], 0, high, low], &identification.to_be_bytes(), part].concat())
    };
    payload.chunks(room).enumerate().map_while(piece).collect()
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
    /// The header of the first one, without what makes it a piece, and what it and the others carry.
    header: Vec<u8>,
    payload: Vec<u8>,
    until: Instant,
}

/// What the pieces of a datagram have in common.
type Whole = (IpAddr, IpAddr, u32);

/// A piece of a datagram.
struct Piece<'a> {
    whole: Whole,
    start: usize,
    more: bool,
    header: Cow<'a, [u8]>,
    payload: &'a [u8],
}

impl<'a> Piece<'a> {
    fn read(packet: &'a [u8]) -> Option<Self> {
        if v6::is_v6(packet) {
            return Self::read6(packet);
        }
        let ip = Ipv4HeaderSlice::from_slice(packet).ok()?;
        let is_it = ip.is_fragmenting_payload() && ip.protocol() == IpNumber::UDP;
        let (header, payload) = packet.split_at_checked(ip.slice().len()).filter(|_| is_it)?;
        Some(Self {
            whole: (ip.source_addr().into(), ip.destination_addr().into(), ip.identification().into()),
            start: usize::from(ip.fragments_offset().value()) * UNIT,
            more: ip.more_fragments(),
            header: Cow::Borrowed(header),
            payload,
        })
    }

    /// Such pieces of IPv6 have nothing but the fragment header between their header and what they carry.
    fn read6(packet: &'a [u8]) -> Option<Self> {
        let ip = header::read(packet)?;
        let piece = ip.fragment.filter(|_| packet[6] == FRAGMENT && packet[header::LENGTH] == header::UDP)?;
        let mut head = packet[..header::LENGTH].to_vec();
        head[6] = header::UDP;
        Some(Self {
            whole: (ip.source.into(), ip.destination.into(), piece.identification),
            start: piece.start as usize,
            more: piece.more,
            header: Cow::Owned(head),
            payload: ip.payload,
        })
    }
}

/// Whether a packet is a piece of one of IPv6.
pub(super) fn is_piece6(packet: &[u8]) -> bool {
    v6::is_v6(packet) && header::read(packet).is_some_and(|ip| ip.fragment.is_some())
}

impl Pieces {
    /// Takes a packet; gives it back if it is no piece of a datagram, or all of that if it is the last one.
    pub(super) fn put_together<'a>(&mut self, packet: &'a [u8], now: Instant) -> Option<Cow<'a, [u8]>> {
        let Some(Piece { whole, start, more, header, payload }) = Piece::read(packet) else {
            return Some(Cow::Borrowed(packet));
        };
        self.0.retain(|open| open.until > now && (start > 0 || open.whole != whole));
        if start == 0 {
            if self.0.len() >= OPEN {
                self.0.pop_front();
            }
            let (header, payload) = (header.into_owned(), Vec::new());
            self.0.push_back(Open { whole, header, payload, until: now + PATIENCE });
        }
        let at = self.0.iter().position(|open| open.whole == whole)?;
        let open = &mut self.0[at];
        // IPv4 counts its header, and IPv6 doesn't.
        let counted = if whole.0.is_ipv4() { open.header.len() } else { 0 };
        let fits = counted + open.payload.len() + payload.len() <= usize::from(u16::MAX);
        if open.payload.len() != start || !fits {
            self.0.remove(at);
            return None;
        }
        open.payload.extend_from_slice(payload);
        if more {
            return None;
        }
        let Open { mut header, payload, .. } = self.0.remove(at)?;
        if whole.0.is_ipv6() {
            header[4..6].copy_from_slice(&u16::try_from(payload.len()).ok()?.to_be_bytes());
            return Some(Cow::Owned([header, payload].concat()));
        }
        let mut header = Ipv4Header::from_slice(&header).ok()?.0;
        (header.more_fragments, header.dont_fragment) = (false, false);
        Some(Cow::Owned(seal(&mut header, &payload)))
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
            let pieces = cut(&whole, 9);
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
        fn so_is_what_was_cut_of_ipv6(length in 1453usize..65_527) {
            let payload: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
            let mut whole = Vec::new();
            PacketBuilder::ipv6([7; 16], [9; 16], 64).udp(7, 9).write(&mut whole, &payload).unwrap();
            let pieces = cut(&whole, 77);
            prop_assert!(pieces.iter().all(|piece| piece.len() <= 1500 && is_piece6(piece)));
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
                if packet.len() > 60 {
                    (packet[0], packet[4], packet[5], packet[6], packet[40]) = (0x60, 0, packet.len() as u8 - 40, 44, 17);
                    packet[42] &= 1;
                    packet[44..48].fill(0);
                    packet[8..40].fill(7);
                } else if packet.len() > 20 {
                    (packet[0], packet[9]) = (0x45, 17);
                    let length = packet.len() as u16;
                    packet[2..4].copy_from_slice(&length.to_be_bytes());
                }
                let _ = open.put_together(&packet, Instant::ZERO);
                let _ = cut(&packet, 9);
            }
        }
    }

    #[test]
    fn what_never_ends_is_forgotten() {
        let pieces = |number: u16| {
            let mut whole = datagram(&[], 4000);
            whole[4..6].copy_from_slice(&number.to_be_bytes());
            cut(&whole, 9)
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
