//! Frames that a machine makes by hand, and what of them arrives at another one.

use crate::machine::Machine;
use ec2_local::network::Nic;
use etherparse::{IpFragOffset, IpNumber, Ipv4Header, Ipv4HeaderSlice, PacketBuilder};
use rustix::net::{RecvFlags, SendFlags, recv, send, sockopt::Timeout};
use std::{net::Ipv4Addr, os::fd::OwnedFd, time::Duration};

/// The switch's MAC address: of the router, the name server and the metadata service.
pub const ROUTER: [u8; 6] = [0x0a, 0xec, 0x20, 0x00, 0x00, 0x01];
/// The UDP port by which a frame is known that comes last. The receiver's group has to let it in.
pub const LAST: u16 = 4242;

const ETHERNET: usize = 14;
const PATIENCE: Duration = Duration::from_secs(10);

/// A machine that sends frames of its own making to another one, and what that one gets.
pub struct Wire<'a> {
    from: &'a Nic,
    to: &'a Nic,
    out: OwnedFd,
    heard: OwnedFd,
}

impl<'a> Wire<'a> {
    pub fn new((from, sender): (&'a Nic, &Machine), (to, receiver): (&'a Nic, &Machine)) -> Self {
        let heard = receiver.frames();
        rustix::net::sockopt::set_socket_timeout(&heard, Timeout::Recv, Some(PATIENCE)).unwrap();
        Self { from, to, out: sender.frames(), heard }
    }

    /// The sender's MAC address.
    pub fn mac(&self) -> [u8; 6] {
        self.from.mac
    }

    /// Sends a frame as it is.
    pub fn send(&self, frame: &[u8]) {
        send(&self.out, frame, SendFlags::empty()).unwrap();
    }

    /// Sends an IPv4 packet from the sender's MAC address: straight to the receiver within a subnet, else by the router.
    pub fn send_packet(&self, packet: &[u8]) {
        let to = if self.from.subnet == self.to.subnet { self.to.mac } else { ROUTER };
        self.send(&[&to[..], &self.from.mac, &[8, 0], packet].concat());
    }

    /// The frames of others that have arrived until now, without what the switch itself has to say in ARP.
    pub fn arrived(&self) -> Vec<Vec<u8>> {
        self.send_packet(&udp(self.from.addresses[0], self.to.addresses[0], 9, LAST, b"last"));
        let mut frames = Vec::new();
        loop {
            let mut frame = vec![0; 50_000];
            let (length, _) = recv(&self.heard, &mut frame, RecvFlags::empty()).expect("the last frame arrives");
            frame.truncate(length);
            if frame.ends_with(b"last") && frame[ETHERNET + 22..ETHERNET + 24] == LAST.to_be_bytes() {
                return frames;
            }
            // What the receiver sends is heard here, too, and so are the switch's answers to its questions.
            let is_answer = frame[6..12] == ROUTER && frame[12..ETHERNET] == [8, 6];
            if frame[6..12] != self.to.mac && !is_answer {
                frames.push(frame);
            }
        }
    }

    /// Whether a packet arrives; it is sent once.
    pub fn passes(&self, packet: &[u8]) -> bool {
        self.send_packet(packet);
        let arrived = self.arrived();
        assert!(arrived.len() < 2, "{arrived:?}");
        !arrived.is_empty()
    }
}

pub fn udp(from: Ipv4Addr, to: Ipv4Addr, source: u16, destination: u16, payload: &[u8]) -> Vec<u8> {
    let mut packet = Vec::new();
    let builder = PacketBuilder::ipv4(from.octets(), to.octets(), 64).udp(source, destination);
    builder.write(&mut packet, payload).unwrap();
    packet
}

pub fn tcp_syn(from: Ipv4Addr, to: Ipv4Addr, source: u16, destination: u16) -> Vec<u8> {
    let mut packet = Vec::new();
    let builder = PacketBuilder::ipv4(from.octets(), to.octets(), 64).tcp(source, destination, 1, 1000).syn();
    builder.write(&mut packet, b"").unwrap();
    packet
}

/// An ICMP message: `rest` stands after the checksum, `payload` after that.
pub fn icmp(from: Ipv4Addr, to: Ipv4Addr, kind: u8, code: u8, rest: [u8; 4], payload: &[u8]) -> Vec<u8> {
    let mut packet = Vec::new();
    let builder = PacketBuilder::ipv4(from.octets(), to.octets(), 64).icmpv4_raw(kind, code, rest);
    builder.write(&mut packet, payload).unwrap();
    packet
}

/// A part of an IP packet: `payload` at `offset`, in units of eight bytes.
pub fn fragment(
    from: Ipv4Addr,
    to: Ipv4Addr,
    protocol: IpNumber,
    identification: u16,
    (offset, more): (u16, bool),
    payload: &[u8],
) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap();
    let mut header = Ipv4Header::new(length, 64, protocol, from.octets(), to.octets()).unwrap();
    header.identification = identification;
    header.fragment_offset = IpFragOffset::try_new(offset).unwrap();
    header.dont_fragment = false;
    header.more_fragments = more;
    header.header_checksum = header.calc_header_checksum();
    [header.to_bytes().as_slice(), payload].concat()
}

/// The IPv4 header of a frame.
pub fn header(frame: &[u8]) -> Ipv4HeaderSlice<'_> {
    Ipv4HeaderSlice::from_slice(&frame[ETHERNET..]).unwrap()
}
