//! NAT gateways between machines: those behind one reach others at their public addresses, in the name of the gateway's. Pure, without
//! I/O.
//!
//! What a machine says goes on from the gateway's address and a port of it, and what is answered to that port comes back; nothing else
//! comes in. Connections to the world are none of these: they end in the stack of their NIC, and go on over the host's sockets.
//! <https://docs.aws.amazon.com/vpc/latest/userguide/nat-gateway-basics.html>

use super::public;
use etherparse::{IpNumber, Ipv4HeaderSlice};
use smoltcp::time::{Duration, Instant};
use std::{collections::HashMap, net::Ipv4Addr, ops::RangeInclusive};

/// How long a connection is remembered in which nobody says anything.
/// <https://docs.aws.amazon.com/vpc/latest/userguide/nat-gateway-troubleshooting.html#nat-gateway-troubleshooting-timeout>
const IDLE: Duration = Duration::from_secs(350);
/// The ports of a gateway, towards each remote end.
const PORTS: RangeInclusive<u16> = 1024..=65_535;
/// How many connections all gateways have. One more is dropped, as theirs are (`ErrorPortAllocation`).
const LIMIT: usize = 1 << 16;

/// A port of a protocol at an address; for an echo of ICMP, its identifier.
type End = (Ipv4Addr, u16);

/// A connection as its remote end knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Outer {
    protocol: u8,
    gateway: End,
    remote: End,
}

/// A connection as the machine behind the gateway knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Inner {
    protocol: u8,
    /// The port of the switch that it is at.
    port: u64,
    machine: End,
    gateway: Ipv4Addr,
    remote: End,
}

struct Connection {
    inner: Inner,
    heard: Instant,
}

/// The connections of all NAT gateways.
#[derive(Default)]
pub(super) struct Translations {
    by_outer: HashMap<Outer, Connection>,
    by_inner: HashMap<Inner, u16>,
    /// Where the search for a free port goes on.
    next: u16,
}

impl Translations {
    /// Lets a packet go on in the name of a gateway, to the private address that its destination stands for; `None`: it goes nowhere.
    pub(super) fn leave(
        &mut self,
        (port, gateway): (u64, Ipv4Addr),
        packet: &mut [u8],
        receiver: Ipv4Addr,
        now: Instant,
    ) -> Option<()> {
        let message = Message::read(packet).filter(|message| message.quoted.is_none())?;
        let Message { protocol, from: machine, to: remote, .. } = message;
        let inner = Inner { protocol, port, machine, gateway, remote };
        let own = match self.by_inner.get(&inner) {
            Some(own) => *own,
            // Who answers an echo has been asked by somebody, and nobody comes in.
            None if message.is_answer => return None,
            None => self.begin(inner, now)?,
        };
        let outer = Outer { protocol, gateway: (gateway, own), remote };
        self.by_outer.insert(outer, Connection { inner, heard: now });
        public::translate(packet, gateway, receiver)?;
        message.rename(packet, Which::Sender, own);
        Some(())
    }

    /// The way back of a packet whose sender is known by a public address.
    pub(super) fn find(&self, packet: &[u8], sender: Ipv4Addr, now: Instant) -> Option<Back> {
        let message = Message::read(packet)?;
        let (gateway, remote) = match message.quoted {
            // An error tells of what the gateway has sent.
            Some(quoted) => (quoted.from, (sender, quoted.to.1)),
            None => (message.to, (sender, message.from.1)),
        };
        let outer = Outer { protocol: message.quoted.map_or(message.protocol, |it| it.protocol), gateway, remote };
        let connection = self.by_outer.get(&outer).filter(|connection| connection.heard + IDLE > now)?;
        Some(Back { outer, inner: connection.inner, message })
    }

    /// Lets it come back; the port of the switch at which its receiver is.
    pub(super) fn come_back(&mut self, back: &Back, packet: &mut [u8], now: Instant) -> Option<u64> {
        let Back { outer, inner, message } = back;
        self.by_outer.get_mut(outer)?.heard = now;
        public::translate(packet, outer.remote.0, inner.machine.0)?;
        message.rename(packet, Which::Receiver, inner.machine.1);
        Some(inner.port)
    }

    /// Forgets what a port of the switch has begun, and all that these addresses are the remote ends of.
    pub(super) fn forget(&mut self, port: Option<u64>, addresses: &[Ipv4Addr]) {
        self.retain(|connection| {
            Some(connection.inner.port) != port && !addresses.contains(&connection.inner.remote.0)
        });
    }

    fn retain(&mut self, stays: impl Fn(&Connection) -> bool) {
        let Self { by_outer, by_inner, .. } = self;
        by_outer.retain(|_, connection| {
            let stays = stays(connection);
            if !stays {
                by_inner.remove(&connection.inner);
            }
            stays
        });
    }

    /// A port for a new connection: the machine's own, if it is free.
    fn begin(&mut self, inner: Inner, now: Instant) -> Option<u16> {
        if self.by_outer.len() >= LIMIT {
            self.retain(|connection| connection.heard + IDLE > now);
        }
        if self.by_outer.len() >= LIMIT {
            return None;
        }
        let Inner { protocol, gateway, remote, machine, .. } = inner;
        let others = PORTS.map(|port| PORTS.start() + (port - PORTS.start()).wrapping_add(self.next) % 64_512);
        let found = std::iter::once(machine.1).filter(|own| PORTS.contains(own)).chain(others).find(|own| {
            let known = self.by_outer.get(&Outer { protocol, gateway: (gateway, *own), remote });
            known.is_none_or(|connection| connection.heard + IDLE <= now)
        })?;
        self.next = self.next.wrapping_add(1);
        if let Some(old) = self.by_outer.remove(&Outer { protocol, gateway: (gateway, found), remote }) {
            self.by_inner.remove(&old.inner);
        }
        self.by_inner.insert(inner, found);
        Some(found)
    }
}

/// The way back of a packet.
pub(super) struct Back {
    outer: Outer,
    inner: Inner,
    message: Message,
}

/// Which end of a message is given another port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    Sender,
    Receiver,
}

/// What a gateway must know of a packet: one that isn't cut, with ports or something like them.
struct Message {
    protocol: u8,
    from: End,
    to: End,
    /// Where what follows the IPv4 header begins.
    at: usize,
    is_answer: bool,
    /// What an ICMP error quotes, and where that has its first port.
    quoted: Option<Quoted>,
}

#[derive(Debug, Clone, Copy)]
struct Quoted {
    protocol: u8,
    from: End,
    to: End,
    at: usize,
}

/// An ICMP header; an error's quote follows it (RFC 792).
const ICMP_HEADER: usize = 8;
const ECHO: u8 = 8;
const ECHO_REPLY: u8 = 0;
const ERRORS: [u8; 3] = [3, 11, 12];

impl Message {
    fn read(packet: &[u8]) -> Option<Self> {
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
    fn rename(&self, packet: &mut [u8], which: Which, port: u16) {
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

fn word(packet: &[u8], at: usize) -> Option<u16> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use etherparse::{
        IcmpEchoHeader, Icmpv4Slice, Icmpv4Type, PacketBuilder, TcpSlice, UdpSlice, icmpv4::DestUnreachableHeader,
    };
    use proptest::prelude::*;

    const MACHINE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 5);
    const NEIGHBOUR: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 6);
    const GATEWAY: Ipv4Addr = Ipv4Addr::new(127, 1, 1, 1);
    const PUBLIC: Ipv4Addr = Ipv4Addr::new(127, 2, 2, 2);
    const SERVER: Ipv4Addr = Ipv4Addr::new(10, 9, 9, 9);
    const START: Instant = Instant::from_micros_const(1000);

    fn udp(from: End, to: End, payload: &[u8]) -> Vec<u8> {
        let mut packet = Vec::new();
        PacketBuilder::ipv4(from.0.octets(), to.0.octets(), 64).udp(from.1, to.1).write(&mut packet, payload).unwrap();
        packet
    }

    fn icmp(from: Ipv4Addr, to: Ipv4Addr, kind: Icmpv4Type, payload: &[u8]) -> Vec<u8> {
        let mut packet = Vec::new();
        PacketBuilder::ipv4(from.octets(), to.octets(), 64).icmpv4(kind).write(&mut packet, payload).unwrap();
        packet
    }

    /// The ends of a UDP packet, whose checksums are right.
    fn ends(packet: &[u8]) -> (End, End) {
        let ip = Ipv4HeaderSlice::from_slice(packet).unwrap();
        assert_eq!(ip.header_checksum(), ip.to_header().calc_header_checksum());
        let udp = UdpSlice::from_slice(&packet[20..]).unwrap();
        let right = udp.to_header().calc_checksum_ipv4_raw(ip.source(), ip.destination(), udp.payload()).unwrap();
        assert_eq!(udp.checksum(), right);
        ((ip.source_addr(), udp.source_port()), (ip.destination_addr(), udp.destination_port()))
    }

    #[test]
    fn a_port_is_ones_own_towards_one_remote_end_and_free_again_after_a_while() {
        let mut translations = Translations::default();
        let mut leave = |port, from: u16, to: u16, now| {
            let mut packet = udp((MACHINE, from), (PUBLIC, to), b"?");
            translations.leave((port, GATEWAY), &mut packet, SERVER, now).unwrap();
            let (source, destination) = ends(&packet);
            assert_eq!((source.0, destination), (GATEWAY, (SERVER, to)));
            source.1
        };
        assert_eq!(leave(1, 5000, 53, START), 5000);
        let second = leave(2, 5000, 53, START);
        assert_ne!(second, 5000);
        assert_eq!((leave(1, 5000, 53, START), leave(2, 5000, 53, START)), (5000, second), "they keep them");
        assert_eq!(leave(2, 5000, 54, START), 5000, "towards another end it is free");
        assert!(PORTS.contains(&leave(3, 68, 53, START)));
        assert_eq!(leave(4, 5000, 53, START + IDLE), 5000);
    }

    #[test]
    fn only_answers_come_back_and_not_for_ever() {
        let mut translations = Translations::default();
        translations.leave((7, GATEWAY), &mut udp((MACHINE, 5000), (PUBLIC, 53), b"?"), SERVER, START).unwrap();
        let mut answer = udp((SERVER, 53), (GATEWAY, 5000), b"!");
        for (packet, sender) in [
            (udp((SERVER, 54), (GATEWAY, 5000), b"!"), PUBLIC),
            (udp((SERVER, 53), (GATEWAY, 5001), b"!"), PUBLIC),
            (answer.clone(), GATEWAY),
        ] {
            assert!(translations.find(&packet, sender, START).is_none());
        }
        assert!(translations.find(&answer, PUBLIC, START + IDLE).is_none());
        let back = translations.find(&answer, PUBLIC, START).unwrap();
        assert_eq!(translations.come_back(&back, &mut answer, START), Some(7));
        assert_eq!(ends(&answer), ((PUBLIC, 53), (MACHINE, 5000)));
        translations.forget(None, &[PUBLIC]);
        assert!(translations.find(&udp((SERVER, 53), (GATEWAY, 5000), b"!"), PUBLIC, START).is_none());
        assert!(translations.by_inner.is_empty());
    }

    #[test]
    fn an_error_quotes_what_its_receiver_sent() {
        let mut translations = Translations::default();
        let mut packet = udp((MACHINE, 5000), (PUBLIC, 53), b"?");
        translations.leave((1, GATEWAY), &mut packet, SERVER, START).unwrap();
        let mut packet = udp((NEIGHBOUR, 5000), (PUBLIC, 53), b"?");
        translations.leave((2, GATEWAY), &mut packet, SERVER, START).unwrap();
        let kind = Icmpv4Type::DestinationUnreachable(DestUnreachableHeader::Port);
        let mut error = icmp(SERVER, GATEWAY, kind, &packet);
        let back = translations.find(&error, PUBLIC, START).unwrap();
        assert_eq!(translations.come_back(&back, &mut error, START), Some(2));
        let message = Icmpv4Slice::from_slice(&error[20..]).unwrap();
        assert_eq!(message.checksum(), message.icmp_type().calc_checksum(message.payload()));
        let quote = message.payload();
        let (ip, udp) = (Ipv4HeaderSlice::from_slice(quote).unwrap(), UdpSlice::from_slice(&quote[20..]).unwrap());
        assert_eq!((ip.source_addr(), udp.source_port()), (NEIGHBOUR, 5000));
        assert_eq!((ip.destination_addr(), udp.destination_port()), (PUBLIC, 53));
    }

    #[test]
    fn echoes_are_told_apart_by_their_identifiers() {
        let mut translations = Translations::default();
        let header = |id| IcmpEchoHeader { id, seq: 1 };
        let id = |packet: &[u8]| {
            let message = Icmpv4Slice::from_slice(&packet[20..]).unwrap();
            assert_eq!(message.checksum(), message.icmp_type().calc_checksum(message.payload()));
            word(packet, 24).unwrap()
        };
        let ids = [1, 2].map(|port| {
            let mut packet = icmp(MACHINE, PUBLIC, Icmpv4Type::EchoRequest(header(2000)), b"ping");
            translations.leave((port, GATEWAY), &mut packet, SERVER, START).unwrap();
            id(&packet)
        });
        assert_ne!(ids[0], ids[1]);
        for (port, own) in [1, 2].into_iter().zip(ids) {
            let mut answer = icmp(SERVER, GATEWAY, Icmpv4Type::EchoReply(header(own)), b"ping");
            let back = translations.find(&answer, PUBLIC, START).unwrap();
            assert_eq!(translations.come_back(&back, &mut answer, START), Some(port));
            assert_eq!(id(&answer), 2000);
        }
        let mut unasked = icmp(MACHINE, PUBLIC, Icmpv4Type::EchoReply(header(9)), b"ping");
        assert!(translations.leave((1, GATEWAY), &mut unasked, SERVER, START).is_none());
    }

    proptest! {
        #[test]
        fn checksums_stay_right(from: u16, to: u16, taken: bool, payload in prop::collection::vec(any::<u8>(), 0..64)) {
            let mut translations = Translations::default();
            if taken {
                let mut packet = udp((MACHINE, from), (PUBLIC, to), b"?");
                translations.leave((1, GATEWAY), &mut packet, SERVER, START).unwrap();
            }
            let mut packet = udp((MACHINE, from), (PUBLIC, to), &payload);
            translations.leave((2, GATEWAY), &mut packet, SERVER, START).unwrap();
            let ((_, own), _) = ends(&packet);
            let mut answer = udp((SERVER, to), (GATEWAY, own), &payload);
            let back = translations.find(&answer, PUBLIC, START).unwrap();
            translations.come_back(&back, &mut answer, START).unwrap();
            prop_assert_eq!(ends(&answer), ((PUBLIC, to), (MACHINE, from)));

            let mut packet = Vec::new();
            let builder = PacketBuilder::ipv4(MACHINE.octets(), PUBLIC.octets(), 9).tcp(from, to, 1, 2);
            builder.write(&mut packet, &payload).unwrap();
            translations.leave((3, GATEWAY), &mut packet, SERVER, START).unwrap();
            let tcp = TcpSlice::from_slice(&packet[20..]).unwrap();
            let right = tcp.to_header().calc_checksum_ipv4_raw(GATEWAY.octets(), SERVER.octets(), tcp.payload());
            prop_assert_eq!(tcp.checksum(), right.unwrap());
        }

        #[test]
        fn no_packet_breaks_it(mut packet in prop::collection::vec(any::<u8>(), 0..120), kind in 0u8..20) {
            if packet.len() > 21 {
                (packet[0], packet[9], packet[20]) = (0x45, [1, 6, 17][usize::from(kind % 3)], kind);
            }
            let mut translations = Translations::default();
            let _ = translations.leave((1, GATEWAY), &mut packet.clone(), SERVER, START);
            if let Some(back) = translations.find(&packet, PUBLIC, START) {
                let _ = translations.come_back(&back, &mut packet, START);
            }
        }
    }
}
