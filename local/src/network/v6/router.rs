//! What becomes of a frame of IPv6 that a machine sends: pure, without I/O.
//!
//! The rules are those of IPv4 (see [`crate::network::router`]): no multicast but to the router and the DHCP server, nobody speaks in
//! another's name, and who has which address is known, never learnt. So nobody but the switch is heard in Neighbor Discovery:
//! what a machine says of neighbours or routers goes nowhere, and the filter lets none of it pass either.

use super::{
    GATEWAY, NAMES, dhcp, frame,
    frame::Why,
    header::{self, Header},
    is_own, is_within,
};
use crate::network::{
    Nic,
    frame::ROUTER,
    neighbours::Neighbours,
    port::ETHERNET,
    router::{DNS, Verdict},
};
use etherparse::UdpSlice;
use std::net::{Ipv6Addr, SocketAddr};

/// All routers of a link, and all DHCP servers and relays (RFC 4291, 9915).
const ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);
const SERVERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 1, 2);
/// Where it is asked for who has an address (RFC 4291, 2.7.1).
const SOLICITED: (Ipv6Addr, u8) = (Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00, 0), 104);

// ICMPv6 (RFC 4443, 4861).
const ECHO_REQUEST: u8 = 128;
const ROUTER_SOLICITATION: u8 = 133;
const NEIGHBOR_SOLICITATION: u8 = 135;
/// Where a solicitation has its target, and how long it is at least.
const TARGET: std::ops::Range<usize> = 8..24;

/// Decides on a frame that came in through a NIC's port, whose MAC address has been checked. With `check` it must come from one of the NIC's own addresses.
pub(in crate::network) fn route<'a>(
    frame: &'a mut [u8],
    nic: &Nic,
    check: bool,
    neighbours: &Neighbours,
) -> Option<Verdict<'a>> {
    let (ethernet, packet) = frame.split_first_chunk_mut::<ETHERNET>()?;
    let found = header::read(packet)?;
    let Header { source, destination, hops, length, .. } = found;
    if hops == 0 || source.is_multicast() {
        return None;
    }
    if let Some(verdict) = discovery(&found, packet, nic, neighbours) {
        return verdict.map(Verdict::Replies);
    }
    if destination.is_multicast() || (destination == GATEWAY && is_lease(&found, dhcp::CLIENT, dhcp::SERVER)) {
        let is_asked = destination == SERVERS || destination == GATEWAY;
        let is_it = is_asked && source.is_unicast_link_local() && is_lease(&found, dhcp::CLIENT, dhcp::SERVER);
        let length = found.payload.len();
        let end = found.length;
        let message = &packet[end - length..end];
        return is_it.then_some(Verdict::Lease6 { client: source, message: message.get(8..)? });
    }
    let is_own_source = nic.ipv6.contains(&source);
    let to_router = destination == GATEWAY && source.is_unicast_link_local();
    if !is_own_source && !to_router && (check || !may_speak_as(source, destination, nic, neighbours)) {
        return None;
    }
    // There is only one DHCP server.
    if is_lease(&found, dhcp::SERVER, dhcp::CLIENT) {
        return None;
    }
    let routed = ethernet[..6] == ROUTER;
    if let Some((port, mac)) = neighbours.get(&destination.into()).filter(|_| !nic.ipv6.contains(&destination)) {
        if routed {
            if hops <= 1 {
                return frame::time_exceeded(nic.mac, source, &packet[..length]).map(Verdict::Reply);
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
    if !routed || destination.is_unspecified() || destination.is_loopback() {
        return None;
    }
    let packet = &packet[..length];
    let found = header::read(packet)?;
    let own = is_own(destination);
    let is_near = in_subnet(destination, nic);
    if !own && !is_near {
        return (is_own_source && !destination.is_unicast_link_local()).then_some(Verdict::Outside(packet));
    }
    // The switch's own services take packets that are whole, without anything between.
    if found.fragment.is_some() || packet[6] != found.protocol {
        return None;
    }
    let unreachable = |why| frame::unreachable(nic.mac, source, why, packet).map(Verdict::Reply);
    match found.protocol {
        header::TCP if own && destination != GATEWAY => Some(Verdict::Service(packet)),
        header::ICMP => match found.payload.first() {
            Some(&ECHO_REQUEST) if own && found.payload.len() >= 8 => {
                frame::echo_reply(nic.mac, destination, source, found.payload).map(Verdict::Reply)
            }
            Some(&ECHO_REQUEST) if is_near => unreachable(Why::Address),
            _ => None,
        },
        _ if is_near && !own => unreachable(Why::Address),
        header::UDP if destination == NAMES => {
            let datagram = UdpSlice::from_slice(found.payload).ok()?;
            if datagram.destination_port() != DNS {
                return unreachable(Why::Port);
            }
            Some(Verdict::Query {
                from: SocketAddr::from((source, datagram.source_port())),
                to: SocketAddr::from((destination, DNS)),
                question: datagram.payload(),
            })
        }
        _ => unreachable(Why::Port),
    }
}

/// What is answered to who looks for a router or a neighbour, if a packet is about that; none if it is nobody's.
fn discovery(found: &Header<'_>, packet: &[u8], nic: &Nic, neighbours: &Neighbours) -> Option<Option<Vec<Vec<u8>>>> {
    if found.protocol != header::ICMP || found.fragment.is_some_and(|piece| piece.start > 0) {
        return None;
    }
    let kind = *found.payload.first()?;
    if !(ROUTER_SOLICITATION..=137).contains(&kind) {
        return None;
    }
    let Header { source, destination, .. } = *found;
    // It comes from the link itself, and is nothing but what it seems (RFC 4861, 6.1.1 and 7.1.1; RFC 6980).
    let is_plain = found.hops == 255 && packet[6] == header::ICMP && found.payload.get(1) == Some(&0);
    let is_honest = source.is_unspecified() || source.is_unicast_link_local() || nic.ipv6.contains(&source);
    if !is_plain || !is_honest {
        return Some(None);
    }
    let advertisement = || frame::router_advertisement(nic.mac, source, nic.subnet6?);
    Some(match kind {
        ROUTER_SOLICITATION if [ROUTERS, GATEWAY].contains(&destination) => advertisement().map(|frame| vec![frame]),
        NEIGHBOR_SOLICITATION if !destination.is_multicast() || is_within(destination, SOLICITED.0, SOLICITED.1) => {
            solicited(found, nic, neighbours).map(|(owner, target)| {
                let answer = frame::neighbor_advertisement(owner, target, nic.mac, source);
                // Who looks for the router hears of it anew, so that it is never forgotten.
                let again = (target == GATEWAY).then(advertisement).flatten();
                answer.into_iter().chain(again).collect()
            })
        }
        _ => None,
    })
}

/// Who has the address that is asked for.
fn solicited(found: &Header<'_>, nic: &Nic, neighbours: &Neighbours) -> Option<([u8; 6], Ipv6Addr)> {
    let target = Ipv6Addr::from(*found.payload.get(TARGET)?.first_chunk::<16>()?);
    if nic.ipv6.contains(&target) || target.is_multicast() {
        return None;
    }
    let owner =
        if is_own(target) { ROUTER } else { neighbours.get(&target.into()).filter(|_| in_subnet(target, nic))?.1 };
    Some((owner, target))
}

fn in_subnet(address: Ipv6Addr, nic: &Nic) -> bool {
    nic.subnet6.is_some_and(|(network, prefix)| is_within(address, network, prefix))
}

/// Whether a machine whose source isn't checked may send as this address: one of its VPC, or of a network behind it to which a route leads by
/// this machine. Nobody is the router or a service.
fn may_speak_as(address: Ipv6Addr, to: Ipv6Addr, nic: &Nic, neighbours: &Neighbours) -> bool {
    let is_nobodys = address.is_unspecified() || address.is_loopback() || address.is_unicast_link_local();
    !is_nobodys
        && !is_own(address)
        && (neighbours.get(&address.into()).is_some()
            || address.is_unique_local()
            || neighbours.leads_by(&nic.id, &to.into(), address.into()))
}

/// Whether a packet is a datagram between these ports.
fn is_lease(found: &Header<'_>, from: u16, to: u16) -> bool {
    let [a, b] = from.to_be_bytes();
    let [c, d] = to.to_be_bytes();
    let is_first = found.fragment.is_none_or(|piece| piece.start == 0);
    found.protocol == header::UDP && is_first && found.payload.starts_with(&[a, b, c, d])
}

/// Whether a packet may go no further than to the next router, whose header has been checked.
pub(in crate::network) fn has_come_far(packet: &[u8]) -> bool {
    packet.get(7).is_none_or(|hops| *hops <= 1)
}

/// Takes one from the packet's hops.
pub(in crate::network) fn age(packet: &mut [u8]) {
    packet[7] -= 1;
}

#[cfg(test)]
mod tests;
