//! The connections that a NIC's filter tracks.

use super::{
    Direction,
    packet::{Content, Ends, Packet},
};
use etherparse::IpNumber;
use smoltcp::time::{Duration, Instant};
use std::{
    collections::HashMap,
    hash::{Hash, Hasher},
    net::IpAddr,
};

/// How many connections are tracked; beyond that new ones are dropped, as they are on EC2 (`conntrack_allowance_exceeded`).
/// It is our own number: AWS tells none.
const LIMIT: usize = 65_536;
/// How many of them one that is outside may have begun, so that nobody has all the room of another one.
const SHARE: usize = LIMIT / 4;
/// With so many, those that are over are looked for.
const SWEEP: usize = 1024;
/// And not more often than that: a machine that floods must not keep the switch busy with it.
const REST: Duration = Duration::from_secs(1);

// How long a connection is kept that says nothing; the defaults of EC2, which tells none for
// ICMP, the opening and the end:
// <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_ConnectionTrackingConfiguration.html>
/// Until the one who opens it has answered the answer: before, anybody may have said that they want it.
const TCP_OPENING: Duration = Duration::from_secs(120);
const TCP_ESTABLISHED: Duration = Duration::from_secs(432_000);
/// From when one side has no more to say.
const TCP_CLOSING: Duration = Duration::from_secs(600);
const SHORT: Duration = Duration::from_secs(30);
const UDP_STREAM: Duration = Duration::from_secs(180);
const OTHER: Duration = Duration::from_secs(600);
const ENDED: Duration = Duration::from_secs(60);

/// What the packets of a connection have in common, in both directions. In the place of ICMP's ports stand its
/// identification, and what was asked by whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Flow {
    protocol: u8,
    local: (IpAddr, u16),
    remote: (IpAddr, u16),
}

/// All at once, since each packet is looked for by it.
impl Hash for Flow {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match (self.local, self.remote) {
            ((IpAddr::V4(local), own), (IpAddr::V4(remote), others)) => {
                let end = |address: u32, port: u16| u128::from(address) << 16 | u128::from(port);
                let ends = end(local.to_bits(), own) << 56 | end(remote.to_bits(), others) << 8;
                state.write_u128(ends | u128::from(self.protocol));
            }
            ((local, own), (remote, others)) => {
                let bits = |address| match address {
                    IpAddr::V4(address) => u128::from(address.to_bits()),
                    IpAddr::V6(address) => address.to_bits(),
                };
                state.write_u128(bits(local));
                state.write_u128(bits(remote));
                state.write_u64(u64::from(own) << 24 | u64::from(others) << 8 | u64::from(self.protocol));
            }
        }
    }
}

impl Flow {
    /// The flow of a packet that goes this way; none if it is an ICMP message that is neither question nor answer.
    pub(super) fn of(packet: &Packet, direction: Direction) -> Option<Self> {
        let protocol = packet.content.protocol();
        let (local, remote) = match direction {
            Direction::Ingress => (packet.destination, packet.source),
            Direction::Egress => (packet.source, packet.destination),
        };
        let (own, others) = match (packet.content, direction) {
            (Content::Tcp { from, to, .. } | Content::Udp { from, to }, Direction::Ingress) => (to, from),
            (Content::Tcp { from, to, .. } | Content::Udp { from, to }, Direction::Egress) => (from, to),
            (Content::Icmp { id, .. } | Content::Icmp6 { id, .. }, _) => {
                let (question, asks) = packet.exchange()?;
                let machine_asked = asks == (direction == Direction::Egress);
                (id, u16::from(question) << 1 | u16::from(machine_asked))
            }
            (Content::Other(_), _) => (0, 0),
        };
        Some(Self { protocol, local: (local, own), remote: (remote, others) })
    }

    /// The address that isn't the machine's.
    pub(super) fn remote(&self) -> IpAddr {
        self.remote.0
    }
}

/// Who is outside: a machine of the VPC by its port, whatever it calls itself, anybody else by the address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Holder {
    Port(u64),
    Address(IpAddr),
}

struct Connection {
    /// Which way its first packet went.
    opened: Direction,
    /// Who has begun it, if that is outside.
    holder: Option<Holder>,
    /// How many packets have gone the other way, as far as it matters.
    answers: u8,
    /// The one who began it has spoken after an answer.
    is_agreed: bool,
    /// Who has said the last: the one inside, the one outside.
    finished: [bool; 2],
    until: Instant,
}

impl Connection {
    /// How long it is kept when it says nothing.
    fn patience(&self, flow: &Flow) -> Duration {
        match IpNumber(flow.protocol) {
            _ if self.finished == [true; 2] => ENDED,
            IpNumber::TCP if !self.is_agreed => TCP_OPENING,
            IpNumber::TCP if self.finished.contains(&true) => TCP_CLOSING,
            IpNumber::TCP => TCP_ESTABLISHED,
            IpNumber::UDP if self.answers > 1 => UDP_STREAM,
            IpNumber::UDP | IpNumber::ICMP | IpNumber::IPV6_ICMP => SHORT,
            _ => OTHER,
        }
    }
}

/// The connections that a NIC's filter tracks.
pub(super) struct Connections {
    known: HashMap<Flow, Connection>,
    /// How many of them somebody outside has begun.
    held: HashMap<Holder, usize>,
    /// How many there may be before those that are over are looked for.
    sweep: usize,
    /// When they may be looked for again.
    rests_until: Instant,
}

impl Default for Connections {
    fn default() -> Self {
        Self { known: HashMap::new(), held: HashMap::new(), sweep: SWEEP, rests_until: Instant::ZERO }
    }
}

impl Connections {
    /// Whether a connection is tracked, and a packet of it has gone this way.
    pub(super) fn has_gone(&self, flow: &Flow, direction: Direction, now: Instant) -> bool {
        self.known.get(flow).is_some_and(|connection| {
            connection.until > now && (connection.opened == direction || connection.answers > 0)
        })
    }

    /// Whether a packet is of a connection that is tracked; keeps it alive.
    pub(super) fn carry(&mut self, flow: &Flow, direction: Direction, ends: Ends, now: Instant) -> bool {
        let Some(connection) = self.known.get_mut(flow).filter(|connection| connection.until > now) else {
            return false;
        };
        if connection.opened == direction {
            connection.is_agreed |= connection.answers > 0;
        } else {
            connection.answers = connection.answers.saturating_add(1);
        }
        match ends {
            Ends::No => {}
            Ends::HalfWay => connection.finished[usize::from(direction == Direction::Ingress)] = true,
            Ends::Now => connection.finished = [true; 2],
        }
        connection.until = now + connection.patience(flow);
        true
    }

    /// Tracks a connection from its first packet on, which a machine of the VPC has at its port, if it is one's; false if
    /// there are too many, or the one outside has too many of them.
    pub(super) fn begin(&mut self, flow: Flow, direction: Direction, port: Option<u64>, now: Instant) -> bool {
        let holder =
            (direction == Direction::Ingress).then(|| port.map_or(Holder::Address(flow.remote()), Holder::Port));
        let has_share = |held: &HashMap<_, _>| holder.is_some_and(|holder| held.get(&holder) >= Some(&SHARE));
        if (self.known.len() >= self.sweep || has_share(&self.held)) && now >= self.rests_until {
            self.retain(|_, connection| connection.until > now);
            self.sweep = (self.known.len() * 2).clamp(SWEEP, LIMIT);
            self.rests_until = now + REST;
        }
        let previous = self.known.get(&flow).map(|connection| connection.holder);
        let is_held_already = previous.is_some_and(|previous| previous == holder);
        if (previous.is_none() && self.known.len() >= LIMIT) || (!is_held_already && has_share(&self.held)) {
            return false;
        }
        if let Some(holder) = holder.filter(|_| !is_held_already) {
            *self.held.entry(holder).or_default() += 1;
        }
        if let Some(previous) = previous.flatten().filter(|_| !is_held_already) {
            release(&mut self.held, previous);
        }
        let mut connection =
            Connection { opened: direction, holder, answers: 0, is_agreed: false, finished: [false; 2], until: now };
        connection.until += connection.patience(&flow);
        self.known.insert(flow, connection);
        true
    }

    /// Forgets what a machine of the VPC has begun from its port, and all connections with these addresses.
    pub(super) fn forget(&mut self, port: Option<u64>, addresses: &[IpAddr]) {
        let holder = port.map(Holder::Port);
        self.retain(|flow, connection| {
            !addresses.contains(&flow.remote()) && (holder.is_none() || connection.holder != holder)
        });
    }

    fn retain(&mut self, stays: impl Fn(&Flow, &Connection) -> bool) {
        let Self { known, held, .. } = self;
        known.retain(|flow, connection| {
            let stays = stays(flow, connection);
            if !stays && let Some(holder) = connection.holder {
                release(held, holder);
            }
            stays
        });
    }
}

/// Somebody has one connection less.
fn release(held: &mut HashMap<Holder, usize>, holder: Holder) {
    if let Some(count) = held.get_mut(&holder) {
        *count -= 1;
        if *count == 0 {
            held.remove(&holder);
        }
    }
}
