//! NAT gateways between machines: those behind one reach others at their public addresses, in the name of the gateway's. Pure, without
//! I/O.
//!
//! What a machine says goes on from the gateway's address and a port of it, and what is answered to that port comes back; nothing else
//! comes in. Connections to the world are none of these: they end in the stack of their NIC, and go on over the host's sockets.
//! <https://docs.aws.amazon.com/vpc/latest/userguide/nat-gateway-basics.html>

mod message;
#[cfg(test)]
mod tests;

use super::public;
use message::{Message, Which};
use smoltcp::time::{Duration, Instant};
use std::{collections::HashMap, net::Ipv4Addr, ops::RangeInclusive};

/// How long a connection is remembered in which nobody says anything.
/// <https://docs.aws.amazon.com/vpc/latest/userguide/nat-gateway-troubleshooting.html#nat-gateway-troubleshooting-timeout>
const IDLE: Duration = Duration::from_secs(350);
/// The ports of a gateway, towards each remote end.
const PORTS: RangeInclusive<u16> = 1024..=65_535;
/// How many connections all gateways have. One more is dropped, as theirs are (`ErrorPortAllocation`).
const LIMIT: usize = 1 << 16;
/// How many of them one machine may have, so that it takes the room of nobody else.
const SHARE: usize = LIMIT / 4;
/// How many ports are tried for a new connection, and how long those that are over aren't looked for again: a packet costs little,
/// whatever there is already.
const TRIES: usize = 256;
const REST: Duration = Duration::from_secs(1);

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
pub(super) struct Translations {
    by_outer: HashMap<Outer, Connection>,
    by_inner: HashMap<Inner, u16>,
    /// How many connections a port of the switch has.
    held: HashMap<u64, usize>,
    /// When those that are over may be looked for again.
    rests_until: Instant,
    /// Where the search for a free port goes on.
    next: u16,
}

impl Default for Translations {
    fn default() -> Self {
        let (by_outer, by_inner, held) = <(HashMap<_, _>, HashMap<_, _>, HashMap<_, _>)>::default();
        Self { by_outer, by_inner, held, rests_until: Instant::ZERO, next: 0 }
    }
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
        self.by_outer.get_mut(&Outer { protocol, gateway: (gateway, own), remote })?.heard = now;
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
        let gone: Vec<Outer> = self.by_outer.iter().filter(|(_, it)| !stays(it)).map(|(outer, _)| *outer).collect();
        gone.iter().for_each(|outer| self.remove(outer));
    }

    fn remove(&mut self, outer: &Outer) {
        let Some(Connection { inner, .. }) = self.by_outer.remove(outer) else { return };
        self.by_inner.remove(&inner);
        if let Some(held) = self.held.get_mut(&inner.port) {
            *held -= 1;
            if *held == 0 {
                self.held.remove(&inner.port);
            }
        }
    }

    /// Whether there is no room for one more connection of a port of the switch.
    fn is_full(&self, port: u64) -> bool {
        self.by_outer.len() >= LIMIT || self.held.get(&port).is_some_and(|held| *held >= SHARE)
    }

    /// A port for a new connection: the machine's own, if it is free.
    fn begin(&mut self, inner: Inner, now: Instant) -> Option<u16> {
        if self.is_full(inner.port) && now >= self.rests_until {
            self.retain(|connection| connection.heard + IDLE > now);
            self.rests_until = now + REST;
        }
        if self.is_full(inner.port) {
            return None;
        }
        let outer = |own| Outer { protocol: inner.protocol, gateway: (inner.gateway, own), remote: inner.remote };
        let others = (self.next.max(*PORTS.start())..=*PORTS.end()).chain(PORTS).take(TRIES);
        let own = std::iter::once(inner.machine.1).filter(|own| PORTS.contains(own)).chain(others).find(|own| {
            let known = self.by_outer.get(&outer(*own));
            known.is_none_or(|connection| connection.heard + IDLE <= now)
        })?;
        self.next = own.wrapping_add(1);
        self.remove(&outer(own));
        self.by_outer.insert(outer(own), Connection { inner, heard: now });
        self.by_inner.insert(inner, own);
        *self.held.entry(inner.port).or_default() += 1;
        Some(own)
    }
}

/// The way back of a packet.
pub(super) struct Back {
    outer: Outer,
    inner: Inner,
    message: Message,
}
