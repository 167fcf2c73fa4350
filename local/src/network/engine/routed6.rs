//! Packets of IPv6 that leave their VPC, or go on by a machine that stands between: by the routes of their subnet.
//!
//! Addresses of IPv6 are the same everywhere, so what an internet gateway leads to another VPC is only filtered, and never changed, and nobody
//! needs a public address to get out. There is no way to the host.

use super::{
    super::{
        filter::{Direction, Far, Filter},
        frame::ROUTER,
        link::{self, Link},
        outside,
        port::ETHERNET,
        route::{self, Route, Via},
        sizes,
        v6::{self, frame::Why, header, router},
    },
    Engine, Plugged,
};
use smoltcp::time::Instant;
use std::net::IpAddr;

/// How a packet goes on.
enum Next {
    /// To a machine of the VPC, or of one that is joined to it.
    Machine(u64),
    /// To the machine of another VPC, by the internet.
    Abroad(u64),
    /// To the world, by the host's sockets.
    Outside,
}

impl Engine {
    /// Brings a packet, which comes from its machine's own address, to where its subnet's routes lead.
    pub(super) fn leave6(&mut self, id: u64, plugged: &mut Plugged, frame: &mut [u8], now: Instant) {
        let packet = &frame[ETHERNET..];
        let (source, destination) = (header::source(packet).into(), header::destination(packet).into());
        let is_of_a_vpc = v6::is_within(header::destination(packet), v6::RANGES.0, v6::RANGES.1);
        let next = match route::find(&plugged.attributes.routes, destination).cloned() {
            Some(Via::Internet | Via::EgressOnly) if !is_of_a_vpc => Ok(Next::Outside),
            Some(Via::Internet | Via::EgressOnly) => {
                self.abroad(source, destination).map(Next::Abroad).ok_or(Why::NoRoute)
            }
            Some(Via::NetworkInterface(nic)) => {
                self.forwarder(&plugged.link.nic.vpc, &nic).map(Next::Machine).ok_or(Why::Address)
            }
            Some(Via::Peer(vpc)) => {
                let found = self.vpcs.get(&vpc).and_then(|neighbours| neighbours.get(&destination));
                found.map(|(port, _)| Next::Machine(*port)).ok_or(Why::Address)
            }
            Some(Via::Local) => Err(Why::Address),
            _ => Err(Why::NoRoute),
        };
        match next {
            Ok(Next::Machine(next)) if next != id => self.hand_on6(plugged, next, frame, now),
            Ok(Next::Abroad(next)) if next != id => self.cross6(plugged, next, frame, now),
            Ok(Next::Outside) => self.depart(id, plugged, &frame[ETHERNET..], true, now),
            Ok(_) => refuse(plugged, Why::Address, frame, now),
            Err(why) => refuse(plugged, why, frame, now),
        }
    }

    /// The machine of another VPC at an address, if its subnet's routes lead by an internet gateway of either kind to whoever sends.
    fn abroad(&self, source: IpAddr, destination: IpAddr) -> Option<u64> {
        let (port, _) = self.vpcs.values().find_map(|neighbours| neighbours.get(&destination))?;
        let routes = &self.plugged.get(port)?.attributes.routes;
        matches!(route::find(routes, source), Some(Via::Internet | Via::EgressOnly)).then_some(*port)
    }

    /// Brings a packet to a machine that has it for its next one.
    fn hand_on6(&mut self, plugged: &mut Plugged, next: u64, frame: &mut [u8], now: Instant) {
        let Some(next) = self.plugged.get_mut(&next) else { return };
        let (from, to) = (&mut plugged.link, &mut next.link);
        if router::has_come_far(&frame[ETHERNET..]) {
            return outside::exceeded(from, &frame[ETHERNET..]);
        }
        if link::passes(from, to, true, &frame[ETHERNET..], now) {
            deliver(to, frame);
        }
    }

    /// Brings a packet to the machine of another VPC, by way of the internet, as it were.
    fn cross6(&mut self, plugged: &mut Plugged, next: u64, frame: &mut [u8], now: Instant) {
        let Some(next) = self.plugged.get_mut(&next) else { return };
        let packet = &frame[ETHERNET..];
        let (source, destination) = (header::source(packet).into(), header::destination(packet).into());
        let goes_one_way = |routes: &[Route], to| route::find(routes, to) == Some(&Via::EgressOnly);
        let is_led_out = goes_one_way(&plugged.attributes.routes, destination);
        let is_asked_alone = goes_one_way(&next.attributes.routes, source);
        let (from, to) = (&mut plugged.link, &mut next.link);
        if !from.filter.admits(Direction::Egress, packet, Far::ELSEWHERE, now) {
            return;
        }
        if router::has_come_far(packet) {
            return outside::exceeded(from, packet);
        }
        if sizes::is_too_large(packet) {
            return outside::too_big(from, packet);
        }
        let passes = |gateway: &mut Filter, direction| gateway.admits(direction, packet, Far::ELSEWHERE, now);
        if is_led_out && !passes(&mut plugged.egress_only, Direction::Egress) {
            return;
        }
        // Nobody comes in there who wasn't asked.
        if is_asked_alone && !passes(&mut next.egress_only, Direction::Ingress) {
            return outside::unreachable6(from, Why::NoRoute, packet);
        }
        if to.filter.admits(Direction::Ingress, packet, Far::ELSEWHERE, now) {
            deliver(to, frame);
        }
    }
}

fn deliver(to: &mut Link, frame: &mut [u8]) {
    router::age(&mut frame[ETHERNET..]);
    frame[..6].copy_from_slice(&to.nic.mac);
    frame[6..12].copy_from_slice(&ROUTER);
    to.port.send(frame);
}

/// Tells a machine that its packet goes nowhere, if it might have sent it.
fn refuse(plugged: &mut Plugged, why: Why, frame: &[u8], now: Instant) {
    let packet = &frame[ETHERNET..];
    if plugged.link.filter.admits(Direction::Egress, packet, Far::ELSEWHERE, now) {
        outside::unreachable6(&mut plugged.link, why, packet);
    }
}
