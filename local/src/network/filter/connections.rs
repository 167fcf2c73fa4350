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
    net::Ipv4Addr,
};

/// How many connections are tracked; beyond that new ones are dropped, as they are on EC2 (`conntrack_allowance_exceeded`).
/// It is our own number: AWS tells none.
const LIMIT: usize = 65_536;
/// With so many, those that are over are looked for.
const SWEEP: usize = 1024;
/// And not more often than that: a machine that floods must not keep the switch busy with it.
const REST: Duration = Duration::from_secs(1);

// How long a connection is kept that says nothing; the defaults of EC2, which tells none for
// ICMP, the opening and the end:
// <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_ConnectionTrackingConfiguration.html>
const TCP_OPENING: Duration = Duration::from_secs(120);
const TCP_ESTABLISHED: Duration = Duration::from_secs(432_000);
const SHORT: Duration = Duration::from_secs(30);
const UDP_STREAM: Duration = Duration::from_secs(180);
const OTHER: Duration = Duration::from_secs(600);
const ENDED: Duration = Duration::from_secs(60);

/// What the packets of a connection have in common, in both directions. In the place of ICMP's ports stand its
/// identification, and what was asked by whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Flow {
    protocol: u8,
    local: (Ipv4Addr, u16),
    remote: (Ipv4Addr, u16),
}

/// All at once, since each packet is looked for by it.
impl Hash for Flow {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let end = |(address, port): (Ipv4Addr, u16)| u128::from(address.to_bits()) << 16 | u128::from(port);
        state.write_u128(end(self.local) << 56 | end(self.remote) << 8 | u128::from(self.protocol));
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
            (Content::Icmp { id, .. }, _) => {
                let (question, asks) = packet.exchange()?;
                let machine_asked = asks == (direction == Direction::Egress);
                (id, u16::from(question) << 1 | u16::from(machine_asked))
            }
            (Content::Other(_), _) => (0, 0),
        };
        Some(Self { protocol, local: (local, own), remote: (remote, others) })
    }

    /// How long it is kept when it says nothing.
    fn patience(&self, answers: u8, over: bool) -> Duration {
        match IpNumber(self.protocol) {
            _ if over => ENDED,
            IpNumber::TCP if answers > 0 => TCP_ESTABLISHED,
            IpNumber::TCP => TCP_OPENING,
            IpNumber::UDP if answers > 1 => UDP_STREAM,
            IpNumber::UDP | IpNumber::ICMP => SHORT,
            _ => OTHER,
        }
    }
}

struct Connection {
    /// Which way its first packet went.
    opened: Direction,
    /// How many packets have gone the other way, as far as it matters.
    answers: u8,
    /// Who has said the last: the one inside, the one outside.
    finished: [bool; 2],
    until: Instant,
}

/// The connections that a NIC's filter tracks.
pub(super) struct Connections {
    known: HashMap<Flow, Connection>,
    /// How many there may be before those that are over are looked for.
    sweep: usize,
    /// When they may be looked for again.
    rests_until: Instant,
}

impl Default for Connections {
    fn default() -> Self {
        Self { known: HashMap::new(), sweep: SWEEP, rests_until: Instant::ZERO }
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
        if connection.opened != direction {
            connection.answers = connection.answers.saturating_add(1);
        }
        match ends {
            Ends::No => {}
            Ends::HalfWay => connection.finished[usize::from(direction == Direction::Ingress)] = true,
            Ends::Now => connection.finished = [true; 2],
        }
        connection.until = now + flow.patience(connection.answers, connection.finished == [true; 2]);
        true
    }

    /// Tracks a connection from its first packet on; false if there are too many.
    pub(super) fn begin(&mut self, flow: Flow, direction: Direction, now: Instant) -> bool {
        if self.known.len() >= self.sweep && now >= self.rests_until {
            self.known.retain(|_, connection| connection.until > now);
            self.sweep = (self.known.len() * 2).clamp(SWEEP, LIMIT);
            self.rests_until = now + REST;
        }
        if self.known.len() >= LIMIT && !self.known.contains_key(&flow) {
            return false;
        }
        let connection =
            Connection { opened: direction, answers: 0, finished: [false; 2], until: now + flow.patience(0, false) };
        self.known.insert(flow, connection);
        true
    }
}
