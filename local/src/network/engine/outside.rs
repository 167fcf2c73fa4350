//! Packets that leave their VPC: to the outside, and to the public addresses of other machines.

use super::{
    super::{
        filter::{Direction, Far},
        frame::ROUTER,
        ip,
        nat::Back,
        outside::{self, Departure, Outcome},
        port::ETHERNET,
        public::{self, Public},
        router, sizes,
    },
    Engine, Plugged,
};
use etherparse::icmpv4::DestUnreachableHeader;
use rustix::io::Errno;
use smoltcp::time::Instant;
use std::{net::Ipv4Addr, sync::atomic::Ordering};

impl Engine {
    /// Lets a packet out, if its machine `has_way` and its groups let it.
    pub(super) fn depart(&mut self, id: u64, plugged: &mut Plugged, packet: &[u8], has_way: bool, now: Instant) {
        if !plugged.link.filter.admits(Direction::Egress, packet, Far::ELSEWHERE, now) {
            return;
        }
        // The host's connections need no gateway.
        if ip::has_come_far(packet) && !ip::is_to_host(packet) {
            return outside::exceeded(&mut plugged.link, packet);
        }
        let flow = self.ids.fetch_add(1, Ordering::Relaxed);
        self.gateway.count(self.owners.len());
        let Plugged { link, stack, exchange, .. } = plugged;
        let gateway = Some(&mut self.gateway).filter(|_| has_way);
        match exchange.depart(packet, flow, gateway, link, stack, now) {
            Departure::Done => {}
            Departure::Stack => stack.receive(packet, link, now),
            Departure::Begun(gone) => {
                self.owners.insert(flow, id);
                if let Some(gone) = gone {
                    self.owners.remove(&gone);
                }
            }
        }
    }

    /// Moves what a NIC and the outside have for each other; when to come again.
    pub(super) fn exchange(&mut self, plugged: &mut Plugged, now: Instant, ended: &mut Vec<u64>) -> Option<Instant> {
        let Plugged { link, stack, exchange, .. } = plugged;
        for outcome in exchange.settle(now) {
            match outcome {
                Outcome::Connected { id, ends, syn, host } => {
                    stack.carry(id, ends, host);
                    stack.receive(&syn, link, now);
                }
                Outcome::Failed { id, syn, error } => {
                    ended.push(id);
                    match error {
                        // Nobody listens for it there, so the stack refuses it.
                        Errno::CONNREFUSED | Errno::CONNRESET => stack.receive(&syn, link, now),
                        _ => outside::complain(link, error, &syn),
                    }
                }
            }
        }
        exchange.receive(link, &mut self.frame, now, ended)
    }

    /// What a machine answers to a NAT gateway, if it does.
    pub(super) fn answers(&self, plugged: &Plugged, packet: &[u8], now: Instant) -> Option<Back> {
        let own = plugged.attributes.public_address_of(router::source(packet))?;
        self.translations.find(packet, own, now)
    }

    /// Brings a packet to another machine by way of the internet, as it were.
    pub(super) fn turn_back(&mut self, id: u64, plugged: &mut Plugged, by: &By, frame: &mut [u8], now: Instant) {
        let Plugged { link, attributes, .. } = plugged;
        let (ethernet, packet) = frame.split_at_mut(ETHERNET);
        if !link.filter.admits(Direction::Egress, packet, Far::ELSEWHERE, now) {
            return;
        }
        if router::has_come_far(packet) {
            return outside::exceeded(link, packet);
        }
        let own = attributes.public_address_of(router::source(packet));
        if own.is_none() && matches!(by, By::Gateways(_)) {
            return outside::unreachable(link, DestUnreachableHeader::NetworkProhibited, packet);
        }
        if sizes::is_too_large(packet) {
            let why = DestUnreachableHeader::FragmentationNeeded { next_hop_mtu: sizes::GATEWAY };
            return outside::unreachable(link, why, packet);
        }
        let port = match by {
            By::Gateways(public) => {
                own.and_then(|own| public::translate(packet, own, public.private)).map(|()| public.port)
            }
            By::Nat(gateway, public) => {
                self.translations.leave((id, *gateway), packet, public.private, now).map(|()| public.port)
            }
            By::Answer(back) => self.translations.come_back(back, packet, now),
        };
        let Some(port) = port else { return };
        router::age(packet);
        // A machine may be its own neighbour; then it has been taken out of the others.
        let to = if port == id { Some(link) } else { self.plugged.get_mut(&port).map(|to| &mut to.link) };
        if let Some(to) = to
            && to.filter.admits(Direction::Ingress, packet, Far::ELSEWHERE, now)
        {
            ethernet[..6].copy_from_slice(&to.nic.mac);
            ethernet[6..12].copy_from_slice(&ROUTER);
            to.port.send_in_pieces(frame);
        }
    }
}

/// What brings a packet from one machine to another by way of the internet.
pub(super) enum By {
    /// The internet gateways of both, to a public address.
    Gateways(Public),
    /// A NAT gateway of this public address, and the internet gateway of the other one.
    Nat(Ipv4Addr, Public),
    /// The same, back.
    Answer(Back),
}
