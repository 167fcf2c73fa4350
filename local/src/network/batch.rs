//! Segments of a TCP connection that follow each other, sent as one frame that the machine's kernel takes for as many.
//!
//! What stands before each frame at a TAP device (`IFF_VNET_HDR`) tells what is left to be done about it: to be cut into
//! segments, and to get its checksum. A machine's kernel does neither for what has arrived, so a large frame costs it hardly
//! more than a small one. The other way nothing is left to be done: what a machine sends arrives as it would on a wire, so
//! frames can go to ports of any kind.
//!
//! The header is `struct virtio_net_hdr` of `linux/virtio_net.h`, in the host's byte order:
//! <https://docs.oasis-open.org/virtio/virtio/v1.2/os/virtio-v1.2-os.html#x1-2340006>.

use super::port::ETHERNET;
use etherparse::{EtherType, IpNumber};

/// The header's length.
pub(super) const HEADER: usize = 10;

/// What stands before a frame.
pub(super) type Header = [u8; HEADER];

/// Nothing is left to be done about a frame.
pub(super) const WHOLE: Header = [0; HEADER];

// The header's values.
const NEEDS_CHECKSUM: u8 = 1;
const SEGMENTS_OF_TCP: u8 = 1;

/// An IPv4 header without options.
const IP: usize = 20;
/// Where TCP begins.
const TCP: usize = ETHERNET + IP;
/// A TCP header without options.
const TCP_LEAST: usize = 20;
/// Where TCP has its checksum.
const CHECKSUM: usize = 16;
/// The largest frame: IPv4 has 16 bits for its length.
const LARGEST: usize = ETHERNET + u16::MAX as usize;

// RFC 9293, 3.1.
const PSH: u8 = 0x08;
const ACK: u8 = 0x10;

/// Segments that follow each other, as one frame.
#[derive(Default)]
pub(super) struct Batch {
    frame: Vec<u8>,
    /// What each segment carries but the last, which may carry less.
    each: usize,
    /// Another one may follow.
    open: bool,
}

/// A frame of one TCP segment that has something to say, and nothing else to tell.
struct Segment<'a> {
    frame: &'a [u8],
    /// Where its payload begins.
    header: usize,
}

impl<'a> Segment<'a> {
    fn read(frame: &'a [u8]) -> Option<Self> {
        let (ip, tcp) = (frame.get(ETHERNET..TCP)?, frame.get(TCP..TCP + TCP_LEAST)?);
        let header = TCP + usize::from(tcp[12] >> 4) * 4;
        let is_plain = frame[12..ETHERNET] == EtherType::IPV4.0.to_be_bytes()
            && ip[0] == 0x45
            && usize::from(u16::from_be_bytes([ip[2], ip[3]])) == frame.len() - ETHERNET
            // No fragment; it may say that it must not become one.
            && (ip[6] & 0xbf, ip[7]) == (0, 0)
            && ip[9] == IpNumber::TCP.0
            && tcp[13] & !PSH == ACK;
        (is_plain && (TCP + TCP_LEAST..frame.len()).contains(&header)).then_some(Self { frame, header })
    }

    fn payload(&self) -> &'a [u8] {
        &self.frame[self.header..]
    }

    fn number(&self) -> u32 {
        let number = &self.frame[TCP + 4..TCP + 8];
        u32::from_be_bytes([number[0], number[1], number[2], number[3]])
    }

    /// Whether it is the last one of what its sender has for now.
    fn pushes(&self) -> bool {
        self.frame[TCP + 13] & PSH != 0
    }

    /// What it has in common with those that can go with it: all but length, identification, numbers, flags and checksums.
    fn kind(&self) -> [&'a [u8]; 6] {
        let frame = self.frame;
        [
            &frame[..ETHERNET + 2],
            &frame[ETHERNET + 6..ETHERNET + 10],
            &frame[ETHERNET + 12..TCP + 4],
            &frame[TCP + 8..TCP + 13],
            &frame[TCP + 14..TCP + 16],
            &frame[TCP + 18..self.header],
        ]
    }
}

impl Batch {
    /// Takes a frame, if it is a segment that follows those that are here, or the first.
    pub(super) fn take(&mut self, frame: &[u8]) -> bool {
        let Some(segment) = Segment::read(frame) else { return false };
        let payload = segment.payload();
        match Segment::read_first(&self.frame) {
            None => {
                self.frame.extend_from_slice(frame);
                self.each = payload.len();
                self.open = true;
            }
            Some(first) => {
                let next = first.number().wrapping_add(first.payload().len() as u32);
                let fits = payload.len() <= self.each && self.frame.len() + payload.len() <= LARGEST;
                if !(self.open && fits && segment.number() == next && segment.kind() == first.kind()) {
                    return false;
                }
                self.frame[TCP + 13] |= frame[TCP + 13];
                self.frame.extend_from_slice(payload);
            }
        }
        self.open = payload.len() == self.each && !segment.pushes();
        true
    }

    /// What there is as a frame, and what stands before it; the frame may be given back, to be filled again.
    pub(super) fn finish(&mut self) -> Option<(Header, Vec<u8>)> {
        let header = Segment::read_first(&self.frame)?.header;
        let mut frame = std::mem::take(&mut self.frame);
        if frame.len() - header <= self.each {
            return Some((WHOLE, frame));
        }
        let length = (frame.len() - ETHERNET) as u16;
        let ip = &mut frame[ETHERNET..TCP];
        ip[2..4].copy_from_slice(&length.to_be_bytes());
        ip[10..12].fill(0);
        let checksum = !fold(sum(ip));
        ip[10..12].copy_from_slice(&checksum.to_be_bytes());
        // Of TCP's checksum the part that isn't in the segment: addresses, protocol and length (RFC 9293, 3.1).
        let pseudo = fold(sum(&ip[12..]) + u32::from(IpNumber::TCP.0) + u32::from(length - IP as u16));
        frame[TCP + CHECKSUM..TCP + CHECKSUM + 2].copy_from_slice(&pseudo.to_be_bytes());
        Some((segments(header, self.each), frame))
    }

    /// Takes an empty frame's memory, for the next one.
    pub(super) fn give_back(&mut self, mut frame: Vec<u8>) {
        if self.frame.capacity() == 0 {
            frame.clear();
            self.frame = frame;
        }
    }
}

impl<'a> Segment<'a> {
    /// What was begun with a segment: the same, but for the length that IP tells.
    fn read_first(frame: &'a [u8]) -> Option<Self> {
        let header = TCP + usize::from(frame.get(TCP + 12)? >> 4) * 4;
        Some(Self { frame, header })
    }
}

/// What stands before a frame that is to be cut into segments that carry so much each.
fn segments(header: usize, each: usize) -> Header {
    let mut before = WHOLE;
    before[0] = NEEDS_CHECKSUM;
    before[1] = SEGMENTS_OF_TCP;
    for (at, number) in [(2, header), (4, each), (6, TCP), (8, CHECKSUM)] {
        before[at..at + 2].copy_from_slice(&(number as u16).to_ne_bytes());
    }
    before
}

/// The sum of 16-bit words (RFC 1071), of an even number of bytes.
fn sum(bytes: &[u8]) -> u32 {
    bytes.as_chunks::<2>().0.iter().map(|word| u32::from(u16::from_be_bytes(*word))).sum()
}

fn fold(sum: u32) -> u16 {
    let once = (sum & 0xffff) + (sum >> 16);
    ((once & 0xffff) + (once >> 16)) as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::port::MTU;
    use etherparse::{PacketBuilder, SlicedPacket, TransportSlice};
    use proptest::prelude::*;

    #[derive(Debug, Clone)]
    struct Sent {
        port: u16,
        number: u32,
        acknowledges: u32,
        window: u16,
        pushes: bool,
        finishes: bool,
        payload: Vec<u8>,
    }

    fn frame(sent: &Sent) -> Vec<u8> {
        let builder = PacketBuilder::ethernet2([1; 6], [2; 6]).ipv4([203, 0, 113, 1], [10, 0, 0, 5], 64);
        let mut builder = builder.tcp(sent.port, 22, sent.number, sent.window).ack(sent.acknowledges);
        if sent.pushes {
            builder = builder.psh();
        }
        if sent.finishes {
            builder = builder.fin();
        }
        let mut frame = Vec::new();
        builder.write(&mut frame, &sent.payload).unwrap();
        frame
    }

    /// What comes out where all is sent, as a port sends it.
    fn batched(frames: &[Vec<u8>]) -> Vec<(Header, Vec<u8>)> {
        let mut batch = Batch::default();
        let mut out = Vec::new();
        for frame in frames {
            if !batch.take(frame) {
                out.extend(batch.finish());
                if !batch.take(frame) {
                    out.push((WHOLE, frame.clone()));
                }
            }
        }
        out.extend(batch.finish());
        out
    }

    /// The segments as the kernel would cut them, by the header alone.
    fn cut(header: Header, frame: &[u8]) -> Vec<(u16, u32, Vec<u8>)> {
        let packet = SlicedPacket::from_ethernet(frame).unwrap();
        let Some(TransportSlice::Tcp(tcp)) = packet.transport else { panic!("no TCP") };
        let number = |at: usize| usize::from(u16::from_ne_bytes([header[at], header[at + 1]]));
        let each = if header == WHOLE { tcp.payload().len().max(1) } else { number(4) };
        if header != WHOLE {
            assert_eq!(frame.len() - number(2), tcp.payload().len());
            let at = number(6) + number(8);
            // The kernel sums up from TCP's header on, and the pseudo header is in there already.
            let mut rest = frame[number(6)..].to_vec();
            rest.resize(rest.len().next_multiple_of(2), 0);
            let checksum = !fold(rest.chunks(2).map(|word| u32::from(u16::from_be_bytes([word[0], word[1]]))).sum());
            assert_eq!(at - ETHERNET - IP, CHECKSUM);
            let Some(etherparse::NetSlice::Ipv4(ip)) = packet.net else { panic!("no IPv4") };
            let expected = tcp.to_header().calc_checksum_ipv4(&ip.header().to_header(), tcp.payload()).unwrap();
            assert_eq!(checksum, expected);
            assert_eq!(ip.header().header_checksum(), ip.header().to_header().calc_header_checksum());
        }
        let (port, first) = (tcp.source_port(), tcp.sequence_number());
        let pieces: Vec<&[u8]> =
            if tcp.payload().is_empty() { vec![&[]] } else { tcp.payload().chunks(each).collect() };
        let number = |at: usize| first.wrapping_add((at * each) as u32);
        pieces.iter().enumerate().map(|(at, piece)| (port, number(at), piece.to_vec())).collect()
    }

    fn conversation() -> impl Strategy<Value = Vec<Sent>> {
        let step = (0..8_u8, 0..4_usize, any::<bool>(), prop::bool::weighted(0.1), prop::bool::weighted(0.1));
        prop::collection::vec(step, 1..40).prop_map(|steps| {
            let mut sent = Vec::new();
            let (mut number, mut acknowledges, mut window) = (u32::MAX - 20_000, 7, 1000);
            for (kind, length, more, pushes, finishes) in steps {
                let length = [0, 1, 999, MTU - 40][length];
                match kind {
                    0 => acknowledges += 1,
                    1 => window += 1,
                    2 => number = number.wrapping_add(5),
                    _ => {}
                }
                let port = if kind == 3 { 80 } else { 4242 };
                let payload: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
                for _ in 0..if more { 9 } else { 1 } {
                    let segment =
                        Sent { port, number, acknowledges, window, pushes, finishes, payload: payload.clone() };
                    number = number.wrapping_add(length as u32);
                    sent.push(segment);
                }
            }
            sent
        })
    }

    proptest! {
        #[test]
        fn the_kernel_gets_the_segments_that_were_sent(sent in conversation()) {
            let frames: Vec<_> = sent.iter().map(frame).collect();
            let out = batched(&frames);
            let got: Vec<_> = out.iter().flat_map(|(header, frame)| cut(*header, frame)).collect();
            let expected: Vec<_> = sent.iter().map(|s| (s.port, s.number, s.payload.clone())).collect();
            prop_assert_eq!(got, expected);
        }

        #[test]
        fn anything_else_is_left_alone(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let mut batch = Batch::default();
            if batch.take(&bytes) {
                prop_assert_eq!(batch.finish(), Some((WHOLE, bytes)));
            }
        }
    }

    #[test]
    fn a_stream_goes_in_large_frames_that_end_where_the_sender_does() {
        let segment = |at: u32, length: usize, pushes| {
            frame(&Sent {
                port: 1,
                number: at * 8961,
                acknowledges: 1,
                window: 1,
                pushes,
                finishes: false,
                payload: vec![0; length],
            })
        };
        let frames: Vec<_> = (0..10).map(|at| segment(at, if at == 9 { 5 } else { 8961 }, at == 9)).collect();
        let lengths: Vec<_> = batched(&frames).iter().map(|(_, frame)| frame.len() - 54).collect();
        assert_eq!(lengths, [7 * 8961, 2 * 8961 + 5]);
        let frames: Vec<_> = (0..4).map(|at| segment(at, 8961, at == 1)).collect();
        let lengths: Vec<_> = batched(&frames).iter().map(|(_, frame)| frame.len() - 54).collect();
        assert_eq!(lengths, [2 * 8961, 2 * 8961]);
    }
}
