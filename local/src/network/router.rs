//! What becomes of a frame that a machine sends: pure, without I/O.
//!
//! The rules are a VPC's: no broadcast and no multicast, nobody speaks in another's name, and who has which address is
//! known, never learnt. What goes to an address that nobody has is answered at once, so that nothing waits for it.

use super::{
    Nic, OUTSIDE, dhcp,
    filter::is_within,
    frame::{self, ROUTER},
    neighbours::Neighbours,
    outside::is_private,
    port::{ETHERNET, MTU},
    v6,
};
use etherparse::{
    ArpOperation, ArpPacket, EtherType, Icmpv4Slice, Icmpv4Type, IpNumber, Ipv4HeaderSlice, TcpHeaderSlice, UdpSlice,
    icmpv4::DestUnreachableHeader,
};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4};

/// The metadata service.
pub(super) const METADATA: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);
/// The name server, where every VPC has it.
pub(super) const NAMES: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 253);
/// The name server's port.
pub(super) const DNS: u16 = 53;

/// What becomes of a frame.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict<'a> {
    /// Nothing.
    Drop,
    /// The switch itself answers.
    Reply(Vec<u8>),
    /// The same, in several frames.
    Replies(Vec<Vec<u8>>),
    /// It is another machine's: this port's. The frame has been made ready.
    Forward(u64),
    /// It is a TCP packet to one of the switch's own services, for the NIC's own stack.
    Service(&'a [u8]),
    /// It is a packet to somewhere outside of the VPC.
    Outside(&'a [u8]),
    /// The machine's own firewall says that a connection from outside is not wanted.
    Unwanted {
        /// Where it came from.
        from: SocketAddrV4,
        /// Where it wanted to go.
        to: SocketAddrV4,
    },
    /// It is a message to the DHCP server.
    Lease(&'a [u8]),
    /// It is a message to the DHCPv6 server.
    Lease6 {
        /// Who asks, on its link.
        client: Ipv6Addr,
        /// What.
        message: &'a [u8],
    },
    /// It is a question to the name server.
    Query {
        /// Who asks.
        from: SocketAddr,
        /// Whom.
        to: SocketAddr,
        /// What.
        question: &'a [u8],
    },
}

/// Decides on a frame that came in through a NIC's port. With `check` it must come from one of the NIC's own addresses,
/// without it may come from networks behind the NIC's machine; from its own MAC address it must come anyway.
pub(super) fn route<'a>(frame: &'a mut [u8], nic: &Nic, check: bool, neighbours: &Neighbours) -> Verdict<'a> {
    let Some((ethernet, payload)) = frame.split_first_chunk::<ETHERNET>() else { return Verdict::Drop };
    // A machine's root may let its device send larger ones than a VPC carries.
    if payload.len() > MTU || ethernet[6..12] != nic.mac {
        return Verdict::Drop;
    }
    match EtherType(u16::from_be_bytes([ethernet[12], ethernet[13]])) {
        EtherType::ARP => arp(payload, nic, neighbours).map_or(Verdict::Drop, Verdict::Reply),
        EtherType::IPV4 => ipv4(frame, nic, check, neighbours).unwrap_or(Verdict::Drop),
        EtherType::IPV6 => v6::router::route(frame, nic, check, neighbours).unwrap_or(Verdict::Drop),
        _ => Verdict::Drop,
    }
}

/// The address of the router in the NIC's subnet: its second one.
pub(super) fn router(nic: &Nic) -> Ipv4Addr {
    Ipv4Addr::from_bits((nic.subnet.0.to_bits() & mask(nic.subnet.1)).wrapping_add(1))
}

/// Whether the name server of the NIC's VPC has the address: the VPC's third one, or its link-local one.
///
/// How large the VPC is isn't known here, and need not be. It is a /16 at most and contains the subnet, so its base is
/// the subnet's, cut to 16 bits or more. The third address of each such network is one that AWS reserves, or one outside
/// of every subnet, so none of them can be a machine's.
/// <https://docs.aws.amazon.com/vpc/latest/userguide/subnet-sizing.html>
pub(super) fn is_name_server(address: Ipv4Addr, nic: &Nic) -> bool {
    address == NAMES
        || (16..=nic.subnet.1.max(16)).any(|length| {
            let base = nic.subnet.0.to_bits() & mask(length);
            address.to_bits() == base.wrapping_add(2)
        })
}

/// Whether an address is the switch's own: the router's, the name server's or the metadata service's.
pub(super) fn is_own(address: Ipv4Addr, nic: &Nic) -> bool {
    address == METADATA || address == router(nic) || is_name_server(address, nic)
}

/// Where a packet comes from whose header has been checked.
pub(super) fn source(packet: &[u8]) -> Ipv4Addr {
    packet.get(12..16).and_then(|address| address.first_chunk::<4>()).map_or(Ipv4Addr::UNSPECIFIED, |a| (*a).into())
}

/// Where a packet goes whose header has been checked.
pub(super) fn destination(packet: &[u8]) -> Ipv4Addr {
    packet.get(16..20).and_then(|address| address.first_chunk::<4>()).map_or(Ipv4Addr::UNSPECIFIED, |a| (*a).into())
}

/// A frame whose packet's header has been checked, without what pads it.
pub(super) fn unpadded(frame: &[u8]) -> &[u8] {
    // IPv4 counts its header, and IPv6 what follows it.
    let is_v6 = frame.get(ETHERNET..).is_some_and(v6::is_v6);
    let (at, head) = if is_v6 { (ETHERNET + 4, ETHERNET + v6::header::LENGTH) } else { (ETHERNET + 2, ETHERNET) };
    let total = frame.get(at..at + 2).and_then(|total| total.first_chunk::<2>());
    let length = total.map_or(frame.len(), |total| head + usize::from(u16::from_be_bytes(*total)));
    &frame[..length.min(frame.len())]
}

/// Whether a machine whose source isn't checked may send as this address: one of its VPC, or of a network behind it. Nobody
/// is another one's router or name server, nor the host. Those that have public addresses come through a gateway, but for
/// one to whom a route leads by this machine.
fn may_speak_as(address: Ipv4Addr, to: Ipv4Addr, nic: &Nic, neighbours: &Neighbours) -> bool {
    !is_own(address, nic)
        && !is_host(address)
        && !neighbours.is_reserved(address)
        && (neighbours.get(&address.into()).is_some()
            || is_private(address.into())
            || neighbours.leads_by(&nic.id, &to.into(), address.into()))
}

/// Whether the host's connections come from an address.
pub(super) fn is_host(address: Ipv4Addr) -> bool {
    is_within(address, OUTSIDE.0, OUTSIDE.1)
}

fn in_subnet(address: Ipv4Addr, nic: &Nic) -> bool {
    (address.to_bits() ^ nic.subnet.0.to_bits()) & mask(nic.subnet.1) == 0
}

fn mask(length: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(length.min(32))).unwrap_or(0)
}

fn arp(payload: &[u8], nic: &Nic, neighbours: &Neighbours) -> Option<Vec<u8>> {
    let request = ArpPacket::from_slice(payload).ok()?.try_eth_ipv4().ok()?;
    let (asker, wanted) = (request.sender_ipv4_addr(), request.target_ipv4_addr());
    // An unspecified sender probes whether an address is taken (RFC 5227).
    let honest = request.sender_mac == nic.mac && (nic.addresses.contains(&asker) || asker.is_unspecified());
    if request.operation != ArpOperation::REQUEST || !honest || nic.addresses.contains(&wanted) {
        return None;
    }
    let owner =
        if is_own(wanted, nic) { ROUTER } else { neighbours.get(&wanted.into()).filter(|_| in_subnet(wanted, nic))?.1 };
    frame::arp_reply(owner, wanted, nic.mac, asker)
}

fn ipv4<'a>(frame: &'a mut [u8], nic: &Nic, check: bool, neighbours: &Neighbours) -> Option<Verdict<'a>> {
    let (ethernet, packet) = frame.split_first_chunk_mut::<ETHERNET>()?;
    let header = Ipv4HeaderSlice::from_slice(packet).ok()?;
    let (source, destination) = (header.source_addr(), header.destination_addr());
    let (length, total) = (header.slice().len(), usize::from(header.total_len()));
    if total < length || total > packet.len() || header.header_checksum() != header.to_header().calc_header_checksum() {
        return None;
    }
    // Nobody sends a packet that may not go anywhere (RFC 1122, 3.2.1.7), or says itself which way it goes (RFC 7126, 4.3).
    if header.ttl() == 0 || has_source_route(header.options()) {
        return None;
    }
    let is_own_source = nic.addresses.contains(&source);
    if destination.is_broadcast() {
        // Who asks for an address doesn't have it yet.
        let is_honest = source.is_unspecified() || is_own_source;
        return lease(&packet[length..total]).filter(|_| is_honest && !header.is_fragmenting_payload());
    }
    if !is_own_source && (check || !may_speak_as(source, destination, nic, neighbours)) {
        return None;
    }
    if is_lease(&header, &packet[length..total]) {
        return None;
    }
    let routed = ethernet[..6] == ROUTER;

    if let Some((port, mac)) = neighbours.get(&destination.into()).filter(|_| !nic.addresses.contains(&destination)) {
        if routed {
            if header.ttl() <= 1 {
                return frame::time_exceeded(nic.mac, router(nic), source, &packet[..total]).map(Verdict::Reply);
            }
            age(packet);
        } else if ethernet[..6] != *mac {
            return None;
        }
        ethernet[..6].copy_from_slice(mac);
        if routed {
            ethernet[6..12].copy_from_slice(&ROUTER);
        }
        return Some(Verdict::Forward(*port));
    }

    if !routed || destination.is_multicast() || destination.is_unspecified() {
        return None;
    }
    let packet = &packet[..total];
    let header = Ipv4HeaderSlice::from_slice(packet).ok()?;
    let own = is_own(destination, nic);
    let is_of_vpc = own || in_subnet(destination, nic);
    // The host's connections come from a network that is outside, too; what a firewall says of them is heard.
    let is_about_host = header.protocol() == IpNumber::ICMP && is_host(destination);
    if !is_of_vpc && !is_about_host {
        // A gateway knows its machines, and nobody behind them.
        return is_own_source.then_some(Verdict::Outside(packet));
    }
    if header.is_fragmenting_payload() {
        return None;
    }
    let payload = &packet[length..];
    let unreachable = |why| frame::unreachable(nic.mac, router(nic), source, why, packet).map(Verdict::Reply);
    match header.protocol() {
        IpNumber::TCP if own => Some(Verdict::Service(packet)),
        IpNumber::ICMP => {
            let message = Icmpv4Slice::from_slice(payload).ok()?;
            match message.icmp_type() {
                Icmpv4Type::EchoRequest(echo) if own => {
                    frame::echo_reply(nic.mac, destination, source, echo, message.payload()).map(Verdict::Reply)
                }
                Icmpv4Type::EchoRequest(_) if in_subnet(destination, nic) => unreachable(DestUnreachableHeader::Host),
                Icmpv4Type::EchoRequest(_) => unreachable(DestUnreachableHeader::Network),
                Icmpv4Type::DestinationUnreachable(_) => {
                    let (from, to) = quoted(message.payload())?;
                    (*from.ip() == destination && *to.ip() == source).then_some(Verdict::Unwanted { from, to })
                }
                // Never an error about an error (RFC 1122, 3.2.2).
                _ => None,
            }
        }
        _ if in_subnet(destination, nic) && !own => unreachable(DestUnreachableHeader::Host),
        IpNumber::UDP if is_name_server(destination, nic) => {
            let datagram = UdpSlice::from_slice(payload).ok()?;
            if datagram.destination_port() != DNS {
                return unreachable(DestUnreachableHeader::Port);
            }
            Some(Verdict::Query {
                from: SocketAddr::from((source, datagram.source_port())),
                to: SocketAddr::from((destination, DNS)),
                question: datagram.payload(),
            })
        }
        // A machine that has a lease renews it at its server alone.
        IpNumber::UDP if destination == router(nic) && lease(payload).is_some() => lease(payload),
        // Programs hear of this one at once; most of them are deaf to "network unreachable".
        IpNumber::UDP => unreachable(DestUnreachableHeader::Port),
        _ => unreachable(DestUnreachableHeader::Protocol),
    }
}

/// A message to the DHCP server, if a datagram is one.
fn lease(datagram: &[u8]) -> Option<Verdict<'_>> {
    let datagram = UdpSlice::from_slice(datagram).ok()?;
    let is_it = datagram.source_port() == dhcp::CLIENT && datagram.destination_port() == dhcp::SERVER;
    is_it.then_some(Verdict::Lease(datagram.payload()))
}

/// Whether a machine speaks as a DHCP server does; there is only one, and that is the switch.
fn is_lease(header: &Ipv4HeaderSlice<'_>, datagram: &[u8]) -> bool {
    const PORTS: [u8; 4] = [0, dhcp::SERVER as u8, 0, dhcp::CLIENT as u8];
    let has_ports = header.protocol() == IpNumber::UDP && header.fragments_offset().value() == 0;
    has_ports && datagram.starts_with(&PORTS)
}

/// Whether the options of a header have a source route, or can't be read (RFC 791, 3.1).
fn has_source_route(mut options: &[u8]) -> bool {
    const END: u8 = 0;
    const NOTHING: u8 = 1;
    const LOOSE: u8 = 131;
    const STRICT: u8 = 137;
    while let Some((kind, rest)) = options.split_first() {
        options = match *kind {
            END => return false,
            NOTHING => rest,
            LOOSE | STRICT => return true,
            _ => match rest.first().map(|length| options.get(usize::from(*length).max(2)..)) {
                Some(Some(after)) if rest[0] >= 2 => after,
                _ => return true,
            },
        };
    }
    false
}

/// The connection of which an ICMP error quotes a packet: its header, and eight bytes at least.
fn quoted(quote: &[u8]) -> Option<(SocketAddrV4, SocketAddrV4)> {
    let ip = Ipv4HeaderSlice::from_slice(quote).ok().filter(|ip| ip.protocol() == IpNumber::TCP)?;
    let ports = quote.get(ip.slice().len()..)?.first_chunk::<4>()?;
    Some((
        SocketAddrV4::new(ip.source_addr(), u16::from_be_bytes([ports[0], ports[1]])),
        SocketAddrV4::new(ip.destination_addr(), u16::from_be_bytes([ports[2], ports[3]])),
    ))
}

/// Whether a packet may go no further than to the next router (RFC 1812, 5.3.1), whose header has been checked.
pub(super) fn has_come_far(packet: &[u8]) -> bool {
    packet.get(8).is_none_or(|hops| *hops <= 1)
}

/// Takes one from the packet's hops, and puts its checksum right (RFC 1624).
pub(super) fn age(packet: &mut [u8]) {
    packet[8] -= 1;
    let sum = u32::from(u16::from_be_bytes([packet[10], packet[11]])) + 0x0100;
    // Of the two zeroes of ones' complement it is never the one of all bits.
    let [.., high, low] = (sum + u32::from(sum >= 0xffff)).to_be_bytes();
    packet[10..12].copy_from_slice(&[high, low]);
}

/// Who wants to open a connection to whom, if that is what a TCP packet says.
pub(super) fn opening(packet: &[u8]) -> Option<(SocketAddr, SocketAddr)> {
    let (from, to, tcp): (IpAddr, IpAddr, &[u8]) = if v6::is_v6(packet) {
        let ip = v6::header::read(packet).filter(|ip| ip.protocol == v6::header::TCP && ip.fragment.is_none())?;
        (ip.source.into(), ip.destination.into(), ip.payload)
    } else {
        let ip = Ipv4HeaderSlice::from_slice(packet).ok()?;
        (ip.source_addr().into(), ip.destination_addr().into(), packet.get(ip.slice().len()..)?)
    };
    let tcp = TcpHeaderSlice::from_slice(tcp).ok()?;
    let opens = tcp.syn() && !tcp.ack() && !tcp.rst() && !tcp.fin();
    opens.then(|| (SocketAddr::new(from, tcp.source_port()), SocketAddr::new(to, tcp.destination_port())))
}

#[cfg(test)]
mod tests;
