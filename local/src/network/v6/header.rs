//! IPv6 headers, and the extension headers that may stand between one and its payload (RFC 8200).
//!
//! What isn't understood doesn't pass: an extension header that is unknown, one that says itself which way the packet goes, or an option
//! that would make another sender or another length of it.

use std::net::Ipv6Addr;

/// An IPv6 header.
pub(in crate::network) const LENGTH: usize = 40;

/// The protocols that filters look into, by their numbers.
pub(in crate::network) const TCP: u8 = 6;
pub(in crate::network) const UDP: u8 = 17;
pub(in crate::network) const ICMP: u8 = 58;

/// Extension headers.
const HOP_BY_HOP: u8 = 0;
const FRAGMENT: u8 = 44;
const DESTINATION: u8 = 60;
/// Routing, which is a source route; nothing at all; mobility, host identity, shim6; experiments (RFC 8200, 7045).
const REFUSED: [u8; 7] = [43, 59, 135, 139, 140, 253, 254];

/// Options: a jumbo payload, which makes another length of a packet (RFC 2675); a home address, which makes another sender of it (RFC 6275).
const JUMBO: u8 = 0xc2;
const HOME_ADDRESS: u8 = 0xc9;

/// A packet, read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::network) struct Header<'a> {
    pub(in crate::network) source: Ipv6Addr,
    pub(in crate::network) destination: Ipv6Addr,
    pub(in crate::network) hops: u8,
    /// What the payload is.
    pub(in crate::network) protocol: u8,
    /// Where it is a part of a packet.
    pub(in crate::network) fragment: Option<Piece>,
    /// What follows all extension headers; of a later fragment, what follows the fragment header.
    pub(in crate::network) payload: &'a [u8],
    /// The length of all, without what pads the frame.
    pub(in crate::network) length: usize,
}

/// What a fragment header says, and how much follows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::network) struct Piece {
    pub(in crate::network) identification: u32,
    /// Where it begins, in bytes, and how long it is.
    pub(in crate::network) start: u32,
    pub(in crate::network) length: u32,
    /// It isn't the last one.
    pub(in crate::network) more: bool,
}

/// Reads a packet that is whole.
pub(in crate::network) fn read(bytes: &[u8]) -> Option<Header<'_>> {
    let length = LENGTH + stated(bytes)?;
    walk(bytes.get(..length)?, length)
}

/// Reads the beginning of a packet, as an ICMP error quotes it.
pub(in crate::network) fn quoted(bytes: &[u8]) -> Option<Header<'_>> {
    let length = LENGTH + stated(bytes)?;
    walk(&bytes[..bytes.len().min(length)], length)
}

/// The length of the payload, which isn't nothing.
fn stated(bytes: &[u8]) -> Option<usize> {
    let fixed = bytes.first_chunk::<LENGTH>().filter(|fixed| fixed[0] >> 4 == 6)?;
    Some(usize::from(u16::from_be_bytes([fixed[4], fixed[5]]))).filter(|length| *length > 0)
}

fn address(bytes: &[u8], at: usize) -> Option<Ipv6Addr> {
    Some(Ipv6Addr::from(*bytes.get(at..at + 16)?.first_chunk::<16>()?))
}

/// Where a packet comes from whose header has been checked.
pub(in crate::network) fn source(packet: &[u8]) -> Ipv6Addr {
    address(packet, 8).unwrap_or(Ipv6Addr::UNSPECIFIED)
}

/// Where a packet goes whose header has been checked.
pub(in crate::network) fn destination(packet: &[u8]) -> Ipv6Addr {
    address(packet, 24).unwrap_or(Ipv6Addr::UNSPECIFIED)
}

fn walk(bytes: &[u8], length: usize) -> Option<Header<'_>> {
    let (fixed, mut rest) = bytes.split_first_chunk::<LENGTH>()?;
    let mut protocol = fixed[6];
    let mut fragment = None;
    let mut at_first = true;
    // Destination options stand before the fragment header, after it, or both.
    let mut options = 0;
    loop {
        match protocol {
            HOP_BY_HOP if !at_first => return None,
            DESTINATION if options == 2 => return None,
            HOP_BY_HOP | DESTINATION => {
                let end = (usize::from(*rest.get(1)?) + 1) * 8;
                let (header, after) = rest.split_at_checked(end)?;
                check_options(&header[2..])?;
                options += usize::from(protocol == DESTINATION);
                protocol = header[0];
                rest = after;
            }
            FRAGMENT if fragment.is_some() => return None,
            FRAGMENT => {
                let (header, after) = rest.split_first_chunk::<8>()?;
                let word = u16::from_be_bytes([header[2], header[3]]);
                let piece = Piece {
                    identification: u32::from_be_bytes([header[4], header[5], header[6], header[7]]),
                    start: u32::from(word & !7),
                    length: u32::try_from(after.len()).ok()?,
                    more: word & 1 != 0,
                };
                protocol = header[0];
                rest = after;
                fragment = Some(piece);
                if piece.start > 0 {
                    break;
                }
            }
            refused if REFUSED.contains(&refused) => return None,
            _ => break,
        }
        at_first = false;
    }
    Some(Header {
        source: address(fixed, 8)?,
        destination: address(fixed, 24)?,
        hops: fixed[7],
        protocol,
        fragment,
        payload: rest,
        length,
    })
}

/// Options, each of a kind, a length and a value; but for the one that is a single byte (RFC 8200, 4.2).
fn check_options(mut options: &[u8]) -> Option<()> {
    while let Some((kind, rest)) = options.split_first() {
        options = match *kind {
            0 => rest,
            JUMBO | HOME_ADDRESS => return None,
            _ => {
                let (length, rest) = rest.split_first()?;
                rest.get(usize::from(*length)..)?
            }
        };
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A packet of these headers, each with the number of its kind.
    fn packet(headers: &[(u8, &[u8])], protocol: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0x60, 0, 0, 0, 0, 0, 0, 64];
        bytes.extend(Ipv6Addr::LOCALHOST.octets());
        bytes.extend(METADATA.octets());
        let kinds: Vec<u8> = headers.iter().map(|(kind, _)| *kind).chain([protocol]).collect();
        bytes[6] = kinds[0];
        for ((_, header), next) in headers.iter().zip(&kinds[1..]) {
            bytes.push(*next);
            bytes.extend(*header);
        }
        bytes.extend(payload);
        let length = (bytes.len() - LENGTH) as u16;
        bytes[4..6].copy_from_slice(&length.to_be_bytes());
        bytes
    }

    const METADATA: Ipv6Addr = super::super::METADATA;
    const PADDED: &[u8] = &[0, 1, 4, 0, 0, 0, 0];
    const FIRST: &[u8] = &[0, 0, 1, 0, 0, 0, 9];
    const LATER: &[u8] = &[0, 0, 16, 0, 0, 0, 9];

    #[test]
    fn extension_headers_are_walked_and_strange_ones_refused() {
        let read_of = |headers: &[(u8, &[u8])]| {
            read(&packet(headers, UDP, b"payload")).map(|it| (it.protocol, it.payload.to_vec()))
        };
        let whole = Some((UDP, b"payload".to_vec()));
        assert_eq!(read_of(&[]), whole);
        assert_eq!(read_of(&[(HOP_BY_HOP, PADDED)]), whole);
        assert_eq!(
            read_of(&[(HOP_BY_HOP, PADDED), (DESTINATION, PADDED), (FRAGMENT, FIRST), (DESTINATION, PADDED)]),
            whole
        );
        assert_eq!(read_of(&[(DESTINATION, PADDED), (HOP_BY_HOP, PADDED)]), None, "it must be the first");
        assert_eq!(read_of(&[(FRAGMENT, FIRST), (FRAGMENT, FIRST)]), None, "a packet is cut once");
        assert_eq!(read_of(&[(DESTINATION, PADDED), (DESTINATION, PADDED), (DESTINATION, PADDED)]), None);
        for strange in REFUSED {
            assert_eq!(read_of(&[(strange, PADDED)]), None, "{strange}");
        }
        for option in [JUMBO, HOME_ADDRESS] {
            assert_eq!(read_of(&[(DESTINATION, &[0, option, 4, 0, 0, 0, 0])]), None, "{option}");
        }
        assert_eq!(read_of(&[(DESTINATION, &[0, 1, 5, 0, 0, 0, 0])]), None, "longer than its header");
        assert_eq!(read_of(&[(DESTINATION, &[9, 1, 4, 0, 0, 0, 0])]), None, "longer than its packet");
        // What follows the header of a later fragment is what it carries, whatever that looks like.
        let bytes = packet(&[(FRAGMENT, LATER)], 43, b"payload");
        let later = read(&bytes).unwrap();
        assert_eq!(later.fragment, Some(Piece { identification: 9, start: 16, length: 7, more: false }));
        assert_eq!(later.payload, b"payload");
    }

    #[test]
    fn a_packet_is_as_long_as_it_says() {
        let mut bytes = packet(&[], UDP, b"payload");
        bytes.extend(b"padding");
        assert_eq!(read(&bytes).unwrap().payload, b"payload");
        assert_eq!(read(&bytes[..45]), None);
        assert_eq!(quoted(&bytes[..45]).unwrap().payload, b"paylo");
        bytes[4..6].fill(0);
        assert_eq!(read(&bytes), None);
    }

    proptest! {
        #[test]
        fn no_packet_breaks_it(mut bytes in prop::collection::vec(any::<u8>(), 0..200), kinds in prop::collection::vec(0u8..70, 3)) {
            if bytes.len() > 60 {
                let length = (bytes.len() - LENGTH) as u16;
                bytes[0] = 0x60;
                bytes[4..6].copy_from_slice(&length.to_be_bytes());
                (bytes[6], bytes[LENGTH], bytes[LENGTH + 8]) = (kinds[0], kinds[1], kinds[2]);
                bytes[LENGTH + 1] %= 3;
            }
            for found in [read(&bytes), quoted(&bytes)].into_iter().flatten() {
                prop_assert!(found.payload.len() <= bytes.len() - LENGTH);
                prop_assert!(!REFUSED.contains(&found.protocol) || found.fragment.is_some_and(|it| it.start > 0));
            }
        }
    }
}
