//! Packets that leave their VPC, or go on by a machine that stands between: by the routes of their subnet.

use super::{
    super::{
        filter::{Direction, Far},
        frame::ROUTER,
        link, outside,
        port::ETHERNET,
        route::{self, Via},
        router,
    },
    Engine, Plugged,
    outside::By,
};
use etherparse::icmpv4::DestUnreachableHeader;
use smoltcp::time::Instant;

impl Engine {
    /// Brings a packet, which comes from its machine's own address, to where its subnet's routes lead.
    pub(super) fn leave(&mut self, id: u64, plugged: &mut Plugged, frame: &mut [u8], now: Instant) {
        let destination = router::destination(&frame[ETHERNET..]);
        let reaches_internet = plugged.attributes.lets_out(router::source(&frame[ETHERNET..]));
        // The host's connections need no route.
        if router::is_host(destination) {
            return self.depart(id, plugged, &frame[ETHERNET..], reaches_internet, now);
        }
        let via = route::find(&plugged.attributes.routes, destination.into()).cloned();
        let next = match via {
            Some(Via::Internet) => {
                let by = match self.publics.find(destination) {
                    Some(public) => Some(By::Gateways(public)),
                    None => self.answers(plugged, &frame[ETHERNET..], now).map(By::Answer),
                };
                return match by {
                    Some(by) => self.turn_back(id, plugged, &by, frame, now),
                    None => self.depart(id, plugged, &frame[ETHERNET..], reaches_internet, now),
                };
            }
            Some(Via::Nat(gateway)) => {
                return match self.publics.find(destination) {
                    Some(public) => self.turn_back(id, plugged, &By::Nat(gateway, public), frame, now),
                    None => self.depart(id, plugged, &frame[ETHERNET..], true, now),
                };
            }
            Some(Via::NetworkInterface(nic)) => self.forwarder(&plugged.link.nic.vpc, &nic),
            Some(Via::Peer(vpc)) => {
                self.vpcs.get(&vpc).and_then(|neighbours| neighbours.get(&destination.into())).map(|(port, _)| *port)
            }
            Some(Via::Local) => None,
            Some(Via::Nothing | Via::EgressOnly) | None => {
                return refuse(plugged, DestUnreachableHeader::NetworkProhibited, frame, now);
            }
        };
        match next.filter(|next| *next != id) {
            Some(next) => self.hand_on(plugged, next, frame, now),
            None => refuse(plugged, DestUnreachableHeader::Host, frame, now),
        }
    }

    /// The port of a NIC whose machine sends on what isn't for itself.
    pub(super) fn forwarder(&self, vpc: &str, nic: &str) -> Option<u64> {
        let port = *self.nics.get(nic)?;
        let plugged = self.plugged.get(&port)?;
        (plugged.link.nic.vpc == vpc && !plugged.attributes.source_dest_check).then_some(port)
    }

    /// Brings a packet to a machine that has it for its next one.
    fn hand_on(&mut self, plugged: &mut Plugged, next: u64, frame: &mut [u8], now: Instant) {
        let Some(next) = self.plugged.get_mut(&next) else { return };
        let (from, to) = (&mut plugged.link, &mut next.link);
        if router::has_come_far(&frame[ETHERNET..]) {
            return outside::exceeded(from, &frame[ETHERNET..]);
        }
        if link::passes(from, to, true, &frame[ETHERNET..], now) {
            router::age(&mut frame[ETHERNET..]);
            frame[..6].copy_from_slice(&to.nic.mac);
            frame[6..12].copy_from_slice(&ROUTER);
            to.port.send(frame);
        }
    }
}

/// Tells a machine that its packet goes nowhere, if it might have sent it.
fn refuse(plugged: &mut Plugged, why: DestUnreachableHeader, frame: &[u8], now: Instant) {
    let packet = &frame[ETHERNET..];
    if plugged.link.filter.admits(Direction::Egress, packet, Far::ELSEWHERE, now) {
        outside::unreachable(&mut plugged.link, why, packet);
    }
}
