//! The TCP of one NIC towards everything that is no machine: the way in from the host, the switch's services, the outside.
//!
//! A stack for each NIC, not one for all, because VPCs may have the same addresses, and because smoltcp looks at every
//! socket for every packet.

use super::{
    flow::{Flow, Readiness},
    frame,
    link::Link,
    opening::{Opening, Outcome},
    port::{ETHERNET, Port},
    v6,
    watched::Watched,
    wire::{Unplugged, Wire},
};
use smoltcp::{
    iface::{Config, Interface, PollResult, SocketSet},
    socket::tcp::{Socket, SocketBuffer, State},
    time::{Duration, Instant},
    wire::{HardwareAddress, IpAddress, IpCidr, IpEndpoint},
};
use std::{
    collections::{BTreeMap, HashMap},
    io,
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
};

/// The bytes that a connection holds at most, each way: so many,
const BUFFER: usize = 256 * 1024;
/// or its part of so many, where a machine has many connections,
const BUFFERS: usize = 8 * 1024 * 1024;
/// but no fewer than a jumbo frame needs.
const LEAST: usize = 16 * 1024;
/// How many connections a machine may have to one of the switch's own services at once.
const SERVED: usize = 64;
/// How many connections from the host a machine may have; those to services are counted, too.
pub(super) const REACHED: usize = 1024;
/// A machine that doesn't acknowledge what a service says is given up after this.
const SILENCE: Duration = Duration::from_secs(60);
/// So is one that doesn't answer on a connection to the outside, on which it is asked whenever it is silent.
const FORGOTTEN: Duration = Duration::from_secs(300);
/// The ports that connections from outside come from: Linux's own range.
const SOURCE_PORTS: std::ops::Range<u16> = 32768..61000;
/// How often bytes are moved to and fro before others have their turn.
const TURNS: usize = 16;

/// The TCP of one NIC.
pub(super) struct Stack {
    interface: Interface,
    sockets: SocketSet<'static>,
    flows: BTreeMap<u64, Flow>,
    openings: BTreeMap<u64, Opening>,
    /// The flows to services and to the outside: looked for at each packet that would open one.
    served: HashMap<Ends, u64>,
    carried: HashMap<Ends, u64>,
    source: Source,
    header: [u8; ETHERNET],
}

/// Whence and whither a machine's connection goes.
pub(super) type Ends = (SocketAddr, SocketAddr);

impl Stack {
    /// The stack of a NIC with this MAC address.
    pub(super) fn new(mac: [u8; 6], now: Instant) -> io::Result<Self> {
        let seed = getrandom::u64().map_err(io::Error::other)?;
        let mut config = Config::new(HardwareAddress::Ip);
        config.random_seed = seed;
        let mut interface = Interface::new(config, &mut Unplugged, now);
        let own = Source::address(0);
        // Both have room for two.
        interface.update_ip_addrs(|addresses| {
            let _ = addresses.push(IpCidr::new(IpAddress::Ipv4(own), 32));
            let _ = addresses.push(IpCidr::new(IpAddress::Ipv6(v6::GATEWAY), 128));
        });
        let _ = interface.routes_mut().add_default_ipv4_route(own);
        let _ = interface.routes_mut().add_default_ipv6_route(v6::GATEWAY);
        // The router has decided whose a packet is: every address that arrives here is the stack's.
        interface.set_any_ip(true);
        Ok(Self {
            interface,
            sockets: SocketSet::new(Vec::new()),
            flows: BTreeMap::new(),
            openings: BTreeMap::new(),
            served: HashMap::new(),
            carried: HashMap::new(),
            source: Source { next: seed as u32 % u32::from(SOURCE_PORTS.end - SOURCE_PORTS.start) },
            header: frame::from_router(mac),
        })
    }

    /// Asks the machine for a connection, from an address outside.
    pub(super) fn open(&mut self, id: u64, to: SocketAddrV4, outcome: Outcome, link: &mut Link, now: Instant) {
        if self.flows.len() - self.carried.len() >= REACHED {
            outcome.tell(Err(io::ErrorKind::QuotaExceeded));
            return;
        }
        let Some(from) = self.free_source() else {
            outcome.tell(Err(io::ErrorKind::AddrInUse));
            return;
        };
        if !link.filter.lets_in(from, to) {
            outcome.tell(Err(io::ErrorKind::PermissionDenied));
            return;
        }
        let mut socket = self.new_socket();
        if socket.connect(self.interface.context(), IpEndpoint::from(to), IpEndpoint::from(from)).is_err() {
            // It is port 0, where nothing can listen.
            outcome.tell(Err(io::ErrorKind::ConnectionRefused));
            return;
        }
        self.flows.insert(id, Flow::new(self.sockets.add(socket)));
        let mut opening = Opening::new(from, outcome, now);
        let mut wire = Wire { link, header: &self.header, packet: None, opening: Some(&mut opening) };
        while self.interface.poll_egress(now, &mut wire, &mut self.sockets) != PollResult::None {}
        drop(wire);
        self.openings.insert(id, opening);
    }

    /// Whether the machine may open a connection to a service: not if it has too many, or this one already.
    pub(super) fn admits(&self, ends: Ends) -> bool {
        let is_alike = |(_, to): &&Ends| to.port() == ends.1.port();
        !self.lives(self.served.get(&ends)) && self.served.keys().filter(is_alike).count() < SERVED
    }

    /// Listens for the one connection that a machine is about to open to a service, which is served at the other end of
    /// `host`.
    pub(super) fn serve(&mut self, id: u64, ends: Ends, host: Watched) {
        if let Some(flow) = self.listen(id, ends.1, |socket| socket.set_timeout(Some(SILENCE))) {
            flow.serve(host);
            self.served.insert(ends, id);
        }
    }

    fn listen(&mut self, id: u64, to: SocketAddr, set_up: impl FnOnce(&mut Socket<'_>)) -> Option<&mut Flow> {
        let mut socket = self.new_socket();
        set_up(&mut socket);
        socket.listen(IpEndpoint::from(to)).ok()?;
        Some(self.flows.entry(id).or_insert(Flow::new(self.sockets.add(socket))))
    }

    /// How many connections to the outside there are.
    pub(super) fn carried(&self) -> usize {
        self.carried.len()
    }

    /// Whether the machine has this connection to the outside.
    pub(super) fn knows(&self, ends: Ends) -> bool {
        self.lives(self.carried.get(&ends))
    }

    /// Whether a flow is there, and not about to be removed.
    fn lives(&self, id: Option<&u64>) -> bool {
        let flow = id.and_then(|id| self.flows.get(id));
        flow.is_some_and(|flow| !flow.is_over(self.sockets.get::<Socket<'_>>(flow.socket)))
    }

    /// Listens for the one connection that a machine is about to open to the outside, and that the host has already. It
    /// may be silent for as long as it likes, but not be forgotten by the machine.
    pub(super) fn carry(&mut self, id: u64, ends: Ends, host: Watched) {
        let flow = self.listen(id, ends.1, |socket| {
            socket.set_keep_alive(Some(SILENCE));
            socket.set_timeout(Some(FORGOTTEN));
        });
        if let Some(flow) = flow {
            flow.join(host);
            self.carried.insert(ends, id);
        }
    }

    /// Joins a connection that the machine has accepted to a stream, and holds something until it has ended.
    pub(super) fn join(&mut self, id: u64, host: Watched, held: Box<dyn Send>) {
        if let Some(flow) = self.flows.get_mut(&id) {
            flow.join(host);
            flow.hold(held);
        }
    }

    /// Ends a connection that nobody wants any more; no effect on one that was joined.
    pub(super) fn abandon(&mut self, id: u64) {
        if let Some(flow) = self.flows.get(&id).filter(|flow| !flow.is_joined()) {
            self.sockets.get_mut::<Socket<'_>>(flow.socket).abort();
            self.openings.remove(&id);
        }
    }

    /// Gives up a connection that the machine doesn't want, if it hasn't been accepted already.
    pub(super) fn refuse(&mut self, from: SocketAddrV4, to: SocketAddrV4) {
        for flow in self.openings.keys().filter_map(|id| self.flows.get(id)) {
            let socket = self.sockets.get_mut::<Socket<'_>>(flow.socket);
            let is_it = socket.local_endpoint() == Some(from.into()) && socket.remote_endpoint() == Some(to.into());
            if is_it && socket.state() == State::SynSent {
                socket.abort();
            }
        }
    }

    /// Takes note of what an event says about a flow's stream.
    pub(super) fn notice(&mut self, id: u64, what: Readiness, now: Instant) {
        if let Some(flow) = self.flows.get_mut(&id) {
            flow.notice(what, now);
        }
    }

    /// Takes a TCP packet from the machine.
    pub(super) fn receive(&mut self, packet: &[u8], link: &mut Link, now: Instant) {
        let mut wire = Wire { link, header: &self.header, packet: Some(packet), opening: None };
        self.interface.poll_ingress_single(now, &mut wire, &mut self.sockets);
    }

    /// Moves all that can be moved, and says when to come again if nothing happens before. The ids of flows that ended
    /// are added to `ended`.
    pub(super) fn drive(&mut self, link: &mut Link, now: Instant, ended: &mut Vec<u64>) -> Option<Instant> {
        let mut busy = true;
        for _ in 0..TURNS {
            busy = false;
            for flow in self.flows.values_mut() {
                let socket = self.sockets.get_mut::<Socket<'_>>(flow.socket);
                busy |= flow.give_to_host(socket);
                busy |= flow.take_from_host(socket);
            }
            let mut wire = Wire { link: &mut *link, header: &self.header, packet: None, opening: None };
            while self.interface.poll_egress(now, &mut wire, &mut self.sockets) != PollResult::None {
                busy = true;
            }
            drop(wire);
            if !busy {
                break;
            }
        }
        let mut again = self.settle(&mut link.port, now);
        self.sweep(now, &mut again, ended);
        if busy {
            return Some(now);
        }
        if link.port.has_room() {
            // A moment at least: if a socket believes that it can act at once, and can't, that must not become a loop.
            let soon = now + Duration::from_millis(1);
            let next = self.interface.poll_at(now, &self.sockets).map(|next| next.max(soon));
            again = again.into_iter().chain(next).min();
        }
        again
    }

    /// Tells how openings turned out, and asks again where the machine hasn't answered.
    fn settle(&mut self, port: &mut Port, now: Instant) -> Option<Instant> {
        let mut again: Option<Instant> = None;
        let settled: Vec<_> = self
            .openings
            .extract_if(.., |id, opening| {
                let Some(flow) = self.flows.get(id) else { return true };
                let socket = self.sockets.get_mut::<Socket<'_>>(flow.socket);
                match socket.state() {
                    State::SynSent if opening.is_late(now) => {
                        socket.abort();
                        true
                    }
                    State::SynSent => {
                        let next = opening.ask_again(port, now);
                        again = again.into_iter().chain([next]).min();
                        false
                    }
                    _ => true,
                }
            })
            .collect();
        for (id, opening) in settled {
            let state = self.flows.get(&id).map(|flow| self.sockets.get::<Socket<'_>>(flow.socket).state());
            let result = match state {
                Some(State::Closed) | None if opening.is_late(now) => Err(io::ErrorKind::TimedOut),
                Some(State::Closed) | None => Err(io::ErrorKind::ConnectionRefused),
                Some(_) => Ok(()),
            };
            opening.outcome.tell(result);
        }
        again
    }

    /// Removes what is over.
    fn sweep(&mut self, now: Instant, again: &mut Option<Instant>, ended: &mut Vec<u64>) {
        let over: Vec<_> = self
            .flows
            .extract_if(.., |_, flow| {
                let socket = self.sockets.get_mut::<Socket<'_>>(flow.socket);
                if let Some(next) = flow.expire(socket, now) {
                    *again = again.iter().copied().chain([next]).min();
                }
                // A listener is there for one packet, which it didn't like.
                flow.is_over(socket) || socket.state() == State::Listen
            })
            .collect();
        if over.is_empty() {
            return;
        }
        for (id, flow) in over {
            self.sockets.remove(flow.socket);
            ended.push(id);
        }
        for known in [&mut self.served, &mut self.carried] {
            known.retain(|_, id| self.flows.contains_key(id));
        }
    }

    /// A socket for one more connection. What all of them hold is bounded, since it is this process's and no machine's.
    fn new_socket(&self) -> Socket<'static> {
        let each = (BUFFERS / (self.flows.len() + 1)).clamp(LEAST, BUFFER);
        let mut socket = Socket::new(SocketBuffer::new(vec![0; each]), SocketBuffer::new(vec![0; each]));
        socket.set_ack_delay(None);
        socket.set_nagle_enabled(false);
        socket
    }

    /// An address and port outside that no connection comes from.
    fn free_source(&mut self) -> Option<SocketAddrV4> {
        (0..=self.flows.len()).map(|_| self.source.next()).find(|source| {
            let source = IpEndpoint::from(*source);
            self.flows.values().all(|flow| self.sockets.get::<Socket<'_>>(flow.socket).local_endpoint() != Some(source))
        })
    }
}

/// Where connections from outside come from. Ports are used one after the other, then the next address, so that the
/// same four numbers come again only after millions of connections.
struct Source {
    next: u32,
}

impl Source {
    fn next(&mut self) -> SocketAddrV4 {
        let ports = u32::from(SOURCE_PORTS.end - SOURCE_PORTS.start);
        let (address, port) = (self.next / ports, self.next % ports);
        self.next = (self.next + 1) % (254 * ports);
        SocketAddrV4::new(Self::address(address), SOURCE_PORTS.start + port as u16)
    }

    /// One of TEST-NET-3 (RFC 5737).
    fn address(number: u32) -> Ipv4Addr {
        Ipv4Addr::new(203, 0, 113, (number % 254 + 1) as u8)
    }
}

#[cfg(test)]
mod tests;
