//! The one thread of the switch: waits for ports, flows and commands, and moves what is ready.
//!
//! It sleeps until something happens or is due; an idle switch takes no time.

mod outside;
mod routed;
mod routed6;
mod serving;

use super::{
    Nic,
    filter::Filter,
    flow::Readiness,
    link::{self, Link},
    nat::Translations,
    neighbours::Neighbours,
    opening::Outcome,
    outside::{self as way_out, Exchange, Gateway, Outside},
    policy::{Attributes, Change, Policy},
    port::{ETHERNET, Port, Received},
    public::{Public, Publics},
    receive_budget::SharedBudget,
    route::{Route, Via},
    router::{self, Verdict},
    services::{Request, Services, Turn},
    stack::Stack,
    v6,
    watched::Watched,
};
use etherparse::icmpv4::DestUnreachableHeader;
use rustix::{
    buffer::spare_capacity,
    event::{EventfdFlags, Timespec, epoll},
    io::Errno,
};
use smoltcp::time::{Duration, Instant};
use std::{
    collections::{BTreeSet, HashMap},
    io,
    net::{IpAddr, Ipv4Addr, SocketAddrV4},
    os::fd::OwnedFd,
    sync::{Arc, atomic::AtomicU64, mpsc::Receiver},
};

/// What the engine is asked to do. Ports and flows bear ids that are never given twice.
pub(super) enum Command {
    /// Plug in a NIC.
    Attach { id: u64, nic: Nic, frames: OwnedFd },
    /// Unplug it.
    Detach { id: u64 },
    /// Ask a machine for a connection.
    Open { id: u64, nic: String, address: Option<Ipv4Addr>, port: u16, outcome: Outcome },
    /// Join a connection to a stream.
    Join { id: u64, host: OwnedFd, held: Box<dyn Send> },
    /// Heed what has changed in the account.
    Heed(Change),
    /// Forget a connection that isn't joined.
    Abandon { id: u64 },
    /// Send a frame that a service made.
    Send { port: u64, frame: Vec<u8> },
    /// End.
    Stop,
}

/// What the engine's thread is woken by.
pub(super) fn waker() -> io::Result<OwnedFd> {
    Ok(rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?)
}

/// Wakes the engine's thread.
pub(super) fn wake(waker: &OwnedFd) {
    // It fails only when the count is full, and then the thread is awake.
    let _ = rustix::io::write(waker, &1u64.to_ne_bytes());
}

/// The events of the waker; no port and no flow has this id.
const WAKER: u64 = 0;
/// How many frames a machine may send before others have their turn,
const FRAMES: usize = 64;
/// and how long that may take: some cost much more than others, as those that need a socket of the host's.
const TURN: Duration = Duration::from_millis(1);

/// A NIC that is plugged in.
struct Plugged {
    link: Link,
    stack: Stack,
    exchange: Exchange,
    /// What of machines of other VPCs passes where an egress-only internet gateway leads.
    egress_only: Filter,
    attributes: Attributes,
    turn: Turn,
    /// How many connections to services could not be served.
    refused: u64,
    /// Frames may wait in the port.
    readable: bool,
    due: Option<Instant>,
}

impl Plugged {
    /// When to look after it, by a clock of this origin.
    fn due(&self, origin: std::time::Instant) -> Option<Instant> {
        // A moment later, so that it is over then.
        let rested = self.link.port.due().map(|until| since(origin, until) + Duration::from_micros(1));
        self.due.into_iter().chain(rested).min()
    }
}

/// A moment, as the time since an origin.
fn since(origin: std::time::Instant, moment: std::time::Instant) -> Instant {
    let passed = moment.saturating_duration_since(origin).as_micros();
    Instant::from_micros(i64::try_from(passed).unwrap_or(i64::MAX))
}

/// The state of the engine's thread.
pub(super) struct Engine {
    epoll: Arc<OwnedFd>,
    waker: OwnedFd,
    inbox: Receiver<Command>,
    services: Services,
    ids: Arc<AtomicU64>,
    origin: std::time::Instant,
    plugged: HashMap<u64, Plugged>,
    nics: HashMap<String, u64>,
    vpcs: HashMap<String, Neighbours>,
    policy: Policy,
    gateway: Gateway,
    publics: Publics,
    translations: Translations,
    shared_budget: SharedBudget,
    /// Whose a flow is.
    owners: HashMap<u64, u64>,
    /// Who has to be looked after in this turn.
    touched: BTreeSet<u64>,
    frame: Box<[u8]>,
}

impl Engine {
    /// Starts the thread.
    pub(super) fn start(
        waker: OwnedFd,
        inbox: Receiver<Command>,
        services: Services,
        ids: Arc<AtomicU64>,
        outside: Option<Outside>,
        publics: Publics,
    ) -> io::Result<()> {
        let epoll = Arc::new(epoll::create(epoll::CreateFlags::CLOEXEC)?);
        epoll::add(&epoll, &waker, epoll::EventData::new_u64(WAKER), epoll::EventFlags::IN)?;
        let engine = Self {
            gateway: Gateway::new(outside, Arc::clone(&epoll)),
            publics,
            translations: Translations::default(),
            shared_budget: SharedBudget::default(),
            epoll,
            waker,
            inbox,
            services,
            ids,
            origin: std::time::Instant::now(),
            plugged: HashMap::new(),
            nics: HashMap::new(),
            vpcs: HashMap::new(),
            policy: Policy::default(),
            owners: HashMap::new(),
            touched: BTreeSet::new(),
            // Larger than any frame, so that none is cut.
            frame: vec![0; 64 * 1024].into_boxed_slice(),
        };
        std::thread::Builder::new().name("switch".to_owned()).spawn(move || engine.run())?;
        Ok(())
    }

    fn run(mut self) {
        let mut events = Vec::with_capacity(256);
        loop {
            match epoll::wait(&self.epoll, spare_capacity(&mut events), self.timeout().as_ref()) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => {
                    tracing::error!(%error, "the switch can't wait for events any more; every machine is unplugged");
                    return;
                }
            }
            let now = self.now();
            for event in events.drain(..) {
                let id = event.data.u64();
                if id == WAKER {
                    if !self.obey(now) {
                        return;
                    }
                } else {
                    self.notice(id, event.flags, now);
                }
            }
            let due = self.plugged.iter().filter(|(_, it)| it.due(self.origin).is_some_and(|due| due <= now));
            self.touched.extend(due.map(|(id, _)| *id));
            while let Some(id) = self.touched.pop_first() {
                self.serve(id);
            }
        }
    }

    fn now(&self) -> Instant {
        since(self.origin, std::time::Instant::now())
    }

    /// How long nothing is due; forever if nothing ever is.
    fn timeout(&self) -> Option<Timespec> {
        let due = self.plugged.values().filter_map(|plugged| plugged.due(self.origin)).min()?;
        let now = self.now();
        let wait = if due > now { due - now } else { Duration::ZERO };
        let wait = std::time::Duration::from(wait);
        Some(Timespec { tv_sec: wait.as_secs().try_into().unwrap_or(i64::MAX), tv_nsec: wait.subsec_nanos().into() })
    }

    /// Takes note of an event of a port or of a flow's stream.
    fn notice(&mut self, id: u64, flags: epoll::EventFlags, now: Instant) {
        let broken = flags.intersects(epoll::EventFlags::ERR | epoll::EventFlags::HUP);
        let readable = broken || flags.contains(epoll::EventFlags::IN);
        let writable = broken || flags.contains(epoll::EventFlags::OUT);
        let owner = self.owners.get(&id).copied().unwrap_or(id);
        let Some(plugged) = self.plugged.get_mut(&owner) else { return };
        if owner == id {
            plugged.readable |= readable;
            if writable {
                plugged.link.port.flush();
            }
        } else {
            let what = Readiness { readable, writable, hung_up: broken };
            if !plugged.exchange.notice(id, what) {
                plugged.stack.notice(id, what, now);
            }
        }
        self.touched.insert(owner);
    }

    /// Does what it has been asked for; false if that is to end.
    fn obey(&mut self, now: Instant) -> bool {
        let mut count = [0; 8];
        // Reading it makes it wait again; what is written from here on wakes the next turn.
        let _ = rustix::io::read(&self.waker, &mut count);
        while let Ok(command) = self.inbox.try_recv() {
            match command {
                Command::Attach { id, nic, frames } => {
                    let name = nic.id.clone();
                    if let Err(error) = self.attach(id, nic, frames, now) {
                        tracing::error!(%error, nic = name, "failed to plug in a network interface");
                    }
                }
                Command::Detach { id } => self.detach(id),
                Command::Open { id, nic, address, port, outcome } => {
                    self.open(id, &nic, (address, port), outcome, now);
                }
                Command::Join { id, host, held } => self.join(id, host, held),
                Command::Heed(change) => {
                    for nic in self.policy.take(change) {
                        self.configure(&nic);
                    }
                }
                Command::Abandon { id } => {
                    if let Some((owner, plugged)) = self.owner(id) {
                        plugged.stack.abandon(id);
                        self.touched.insert(owner);
                    }
                }
                Command::Send { port, frame } => {
                    if let Some(plugged) = self.plugged.get_mut(&port) {
                        plugged.link.port.send(&frame);
                    }
                }
                Command::Stop => return false,
            }
        }
        true
    }

    fn attach(&mut self, id: u64, nic: Nic, frames: OwnedFd, now: Instant) -> io::Result<()> {
        if let Some(previous) = self.nics.get(&nic.id) {
            self.detach(*previous);
        }
        let port = Port::new(Watched::new(&self.epoll, frames, id)?, &self.shared_budget);
        let stack = Stack::new(nic.mac, now)?;
        self.vpcs.entry(nic.vpc.clone()).or_default().plug_in(id, &nic);
        self.nics.insert(nic.id.clone(), id);
        let name = nic.id.clone();
        let link = Link { id, nic, port, filter: Filter::default() };
        let (exchange, attributes) = (Exchange::default(), Attributes::default());
        let turn = Turn::of(id);
        let egress_only = Filter::outwards();
        let (refused, readable, due) = (0, true, None);
        self.plugged
            .insert(id, Plugged { link, stack, exchange, egress_only, attributes, turn, refused, readable, due });
        self.configure(&name);
        self.touched.insert(id);
        Ok(())
    }

    /// Lets what the account has told of a NIC hold, if that is plugged in.
    fn configure(&mut self, nic: &str) {
        let Some(id) = self.nics.get(nic) else { return };
        let Some(plugged) = self.plugged.get_mut(id) else { return };
        let (attributes, rules) = self.policy.of(nic);
        let id = *id;
        plugged.link.filter.set(attributes.groups.clone(), rules);
        plugged.link.filter.set_acl(attributes.acl.clone());
        let nic = &mut plugged.link.nic;
        let (vpc, routes) = (nic.vpc.clone(), attributes.routes.clone());
        let primary = nic.addresses.first().copied();
        let publics = attributes.public_addresses(primary);
        let public = |(private, address)| (address, Public { port: id, vpc: nic.vpc.clone(), private });
        self.publics.set(id, publics.iter().copied().map(public));
        let before = plugged.attributes.public_addresses(primary).into_iter().map(|(_, address)| address);
        let before: Vec<Ipv4Addr> = before.filter(|old| publics.iter().all(|(_, new)| new != old)).collect();
        let addresses: Vec<Ipv4Addr> =
            primary.into_iter().chain(attributes.secondary.iter().map(|it| it.address)).collect();
        let wanted = Nic { addresses, ipv6: attributes.ipv6.clone(), subnet6: attributes.subnet6, ..nic.clone() };
        plugged.attributes = attributes;
        self.readdress(id, wanted);
        // A NIC that is plugged in anew has none.
        if let Some(neighbours) = self.vpcs.get_mut(&vpc) {
            neighbours.set_routes(id, routes);
        }
        self.forget_public(&before);
    }

    /// Lets a NIC have other addresses from now on.
    fn readdress(&mut self, id: u64, wanted: Nic) {
        let Some(plugged) = self.plugged.get_mut(&id) else { return };
        let nic = &mut plugged.link.nic;
        if *nic == wanted {
            return;
        }
        let gone: Vec<IpAddr> =
            nic.all_addresses().filter(|old| wanted.all_addresses().all(|new| new != *old)).collect();
        *nic = wanted;
        let (nic, vpc) = (nic.clone(), nic.vpc.clone());
        let neighbours = self.vpcs.entry(vpc.clone()).or_default();
        neighbours.unplug(id);
        neighbours.plug_in(id, &nic);
        for other in self.plugged.values_mut().filter(|other| other.link.nic.vpc == vpc) {
            other.link.filter.forget(None, &gone);
        }
    }

    fn detach(&mut self, id: u64) {
        let Some(plugged) = self.plugged.remove(&id) else { return };
        self.owners.retain(|_, owner| *owner != id);
        self.nics.remove(&plugged.link.nic.id);
        self.translations.forget(Some(id), &[]);
        self.publics.set(id, []);
        let vpc = &plugged.link.nic.vpc;
        let addresses: Vec<IpAddr> = plugged.link.nic.all_addresses().collect();
        if let Some(neighbours) = self.vpcs.get_mut(vpc) {
            neighbours.unplug(id);
            if neighbours.is_empty() {
                self.vpcs.remove(vpc);
            }
        }
        let is_peer = |route: &Route| matches!(&route.via, Via::Peer(peer) if peer == vpc);
        for other in self.plugged.values_mut() {
            if other.link.nic.vpc == *vpc || other.attributes.routes.iter().any(is_peer) {
                other.link.filter.forget(Some(id), &addresses);
            }
        }
        let publics = plugged.attributes.public_addresses(plugged.link.nic.addresses.first().copied());
        self.forget_public(&publics.into_iter().map(|(_, address)| address).collect::<Vec<_>>());
    }

    /// Lets nobody take the next one who has a public address for the last one.
    fn forget_public(&mut self, addresses: &[Ipv4Addr]) {
        if addresses.is_empty() {
            return;
        }
        self.translations.forget(None, addresses);
        let addresses: Vec<IpAddr> = addresses.iter().copied().map(IpAddr::V4).collect();
        for plugged in self.plugged.values_mut() {
            plugged.link.filter.forget(None, &addresses);
        }
    }

    fn open(&mut self, id: u64, nic: &str, (address, port): (Option<Ipv4Addr>, u16), outcome: Outcome, now: Instant) {
        self.gateway.count(self.owners.len());
        if self.gateway.is_crowded() {
            return outcome.tell(Err(io::ErrorKind::ResourceBusy));
        }
        let found = self.nics.get(nic).and_then(|owner| Some((*owner, self.plugged.get_mut(owner)?)));
        let Some((owner, plugged)) = found else { return outcome.tell(Err(io::ErrorKind::NotConnected)) };
        let mut addresses = plugged.link.nic.addresses.iter().copied();
        let Some(address) = addresses.find(|known| address.is_none_or(|wanted| *known == wanted)) else {
            return outcome.tell(Err(io::ErrorKind::NotConnected));
        };
        plugged.stack.open(id, SocketAddrV4::new(address, port), outcome, &mut plugged.link, now);
        self.owners.insert(id, owner);
        self.touched.insert(owner);
    }

    fn join(&mut self, id: u64, host: OwnedFd, held: Box<dyn Send>) {
        let epoll = Arc::clone(&self.epoll);
        let Some((owner, plugged)) = self.owner(id) else { return };
        match Watched::new(&epoll, host, id) {
            Ok(host) => plugged.stack.join(id, host, held),
            // The stream is closed with that, and the connection reset.
            Err(error) => {
                tracing::error!(%error, "failed to watch a stream");
                plugged.stack.abandon(id);
            }
        }
        self.touched.insert(owner);
    }

    /// Whose a flow is.
    fn owner(&mut self, flow: u64) -> Option<(u64, &mut Plugged)> {
        let owner = *self.owners.get(&flow)?;
        Some((owner, self.plugged.get_mut(&owner)?))
    }

    /// Moves what a port and its flows have.
    fn serve(&mut self, id: u64) {
        // Taken out for the time, since its frames may go to any other.
        let Some(mut plugged) = self.plugged.remove(&id) else { return };
        plugged.link.port.flush();
        let alive = self.receive(id, &mut plugged);
        let mut ended = Vec::new();
        let now = self.now();
        let exchange = self.exchange(&mut plugged, now, &mut ended);
        plugged.due = plugged.stack.drive(&mut plugged.link, now, &mut ended).into_iter().chain(exchange).min();
        if plugged.readable {
            plugged.due = Some(now);
        }
        for flow in ended {
            self.owners.remove(&flow);
        }
        self.plugged.insert(id, plugged);
        if !alive {
            self.detach(id);
        }
    }

    /// Takes the frames that a machine sent; false if the port is gone.
    fn receive(&mut self, id: u64, plugged: &mut Plugged) -> bool {
        let mut buffer = std::mem::take(&mut self.frame);
        let mut alive = true;
        let now = self.now();
        for _ in 0..FRAMES {
            if !plugged.readable {
                break;
            }
            match plugged.link.port.receive(&mut buffer) {
                Received::Frame(length) => {
                    self.dispatch(id, plugged, &mut buffer[..length], now);
                    if self.now() >= now + TURN {
                        break;
                    }
                }
                Received::Nothing => plugged.readable = false,
                Received::Gone => {
                    plugged.readable = false;
                    alive = false;
                }
            }
        }
        self.frame = buffer;
        alive
    }

    /// Does with a frame what the router says.
    fn dispatch(&mut self, id: u64, plugged: &mut Plugged, frame: &mut [u8], now: Instant) {
        let Some(neighbours) = self.vpcs.get(&plugged.link.nic.vpc) else { return };
        match router::route(frame, &plugged.link.nic, plugged.attributes.source_dest_check, neighbours) {
            Verdict::Drop => {}
            Verdict::Reply(reply) => plugged.link.port.send(&reply),
            Verdict::Replies(replies) => replies.iter().for_each(|reply| plugged.link.port.send(reply)),
            Verdict::Forward(to) => {
                let Some(neighbour) = self.plugged.get_mut(&to) else { return };
                let frame = router::unpadded(frame);
                let (from, to) = (&mut plugged.link, &mut neighbour.link);
                let is_checked = plugged.attributes.source_dest_check;
                if link::passes(from, to, is_checked, &frame[ETHERNET..], now) {
                    to.port.send(frame);
                }
            }
            Verdict::Outside(packet) => {
                let (length, is_v6) = (packet.len(), v6::is_v6(packet));
                let frame = &mut frame[..ETHERNET + length];
                if is_v6 {
                    self.leave6(id, plugged, frame, now);
                } else {
                    self.leave(id, plugged, frame, now);
                }
            }
            Verdict::Service(packet) => self.serve_own(id, plugged, packet, now),
            Verdict::Unwanted { from, to } => plugged.stack.refuse(from, to),
            Verdict::Lease(message) => {
                let (nic, message) = (plugged.link.nic.clone(), message.to_vec());
                let _ = self.services.ask(&plugged.turn, Request::Lease { port: id, nic, message });
            }
            Verdict::Lease6 { client, message } => {
                let (nic, message) = (plugged.link.nic.clone(), message.to_vec());
                let is_nameless = plugged.attributes.is_nameless;
                let _ =
                    self.services.ask(&plugged.turn, Request::Lease6 { port: id, nic, is_nameless, client, message });
            }
            Verdict::Query { .. } if plugged.attributes.is_nameless => {
                let packet = &router::unpadded(frame)[ETHERNET..];
                if v6::is_v6(packet) {
                    return way_out::unreachable6(&mut plugged.link, v6::frame::Why::Port, packet);
                }
                way_out::unreachable(&mut plugged.link, DestUnreachableHeader::Port, packet);
            }
            Verdict::Query { from, to, question } => {
                let (asker, mac) = (plugged.link.asker(), plugged.link.nic.mac);
                let question = question.to_vec();
                // When too much is asked at once a question is lost, and asked again.
                let _ = self.services.ask(&plugged.turn, Request::Query { port: id, asker, mac, from, to, question });
            }
        }
    }
}
