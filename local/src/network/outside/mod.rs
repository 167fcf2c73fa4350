//! The way out: connections of machines to the outside, over the host's own sockets.
//!
//! | file | what it is for |
//! |---|---|
//! | `network` | a private network that machines may reach |
//! | `destinations` | where machines may go |
//! | `routes` | which addresses are the host's own |
//! | `packet` | what must be known of a packet to the outside |
//! | `dial` | TCP connections that the host doesn't have yet |
//! | `datagrams` | UDP |
//! | `complaint` | what a machine is told of a packet that goes nowhere |
//!
//! A machine's TCP ends in its NIC's stack; what it says goes on over a socket of the host's. So nothing of its own
//! making leaves this host but bytes and datagrams, and no address of it but the host's.
//!
//! What this room isn't: the place where it is decided whether a NIC has a way out at all (its VPC's gateway, its public
//! address), nor what its security groups say.

mod complaint;
mod datagrams;
mod destinations;
mod dial;
mod network;
mod packet;
mod routes;

pub use network::PrivateNetwork;

pub(super) use complaint::{exceeded, too_big, unreachable, unreachable6};
pub(super) use dial::Outcome;
pub(super) use network::is_private;

use super::{
    flow::Readiness,
    ip::{self, destination},
    link::Link,
    pieces::{self, Pieces},
    sizes,
    stack::Stack,
};
use complaint::Why;
use datagrams::Datagrams;
use destinations::Destinations;
use dial::Dials;
use packet::Packet;
use rustix::{
    io::Errno,
    net::AddressFamily,
    process::{Resource, getrlimit},
};
use smoltcp::time::Instant;
use std::{
    borrow::Cow,
    net::{IpAddr, SocketAddr},
    os::fd::OwnedFd,
    path::PathBuf,
    sync::Arc,
};

/// How many TCP connections to the outside a NIC may have, be they open or asked for. One more is not answered, and asked
/// for again.
const CONNECTIONS: usize = 1024;

/// What of the outside machines may reach.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Outside {
    /// Private networks that this host reaches, and machines may as well. Default: none.
    pub private_networks: Vec<PrivateNetwork>,
    /// Where the host says which resolvers it has. Default: `/etc/resolv.conf`.
    pub resolvers: PathBuf,
}

impl Default for Outside {
    fn default() -> Self {
        Self { private_networks: Vec::new(), resolvers: "/etc/resolv.conf".into() }
    }
}

/// Where all NICs of a switch may go.
pub(super) struct Gateway {
    destinations: Option<Destinations>,
    epoll: Arc<OwnedFd>,
    /// How many flows all of them have.
    flows: usize,
}

impl Gateway {
    /// A gateway; without an outside it leads nowhere.
    pub(super) fn new(outside: Option<Outside>, epoll: Arc<OwnedFd>) -> Self {
        Self { destinations: outside.map(|outside| Destinations::new(outside.private_networks)), epoll, flows: 0 }
    }

    /// Takes note of how many flows all NICs have by now.
    pub(super) fn count(&mut self, flows: usize) {
        self.flows = flows;
    }

    /// Whether machines have as many flows as may be: half of the files that this process may have open. The others are for
    /// anyone who comes in, and for machines to be started.
    fn is_full(&self) -> bool {
        self.has_quarters(2)
    }

    /// Whether nobody may come in any more: a quarter of the files is for clients, and for machines to be started.
    pub(super) fn is_crowded(&self) -> bool {
        self.has_quarters(3)
    }

    /// Whether there are as many flows as so many quarters of the files that this process may have open.
    fn has_quarters(&self, count: u64) -> bool {
        let most = getrlimit(Resource::Nofile).current.and_then(|most| usize::try_from(most / 4 * count).ok());
        most.is_some_and(|most| self.flows >= most)
    }
}

/// What one NIC has to do with the outside.
#[derive(Default)]
pub(super) struct Exchange {
    dials: Dials,
    datagrams: Datagrams,
    pieces: Pieces,
}

/// What the engine has to do about a packet to the outside.
pub(super) enum Departure {
    /// Nothing more.
    Done,
    /// It is the stack's.
    Stack,
    /// There is a flow of this id now; of that one no more.
    Begun(Option<u64>),
}

impl Exchange {
    /// Lets a packet out that the filter has admitted, through the gateway of its VPC, if there is one. A flow that begins
    /// with it gets this id.
    pub(super) fn depart(
        &mut self,
        packet: &[u8],
        id: u64,
        gateway: Option<&mut Gateway>,
        link: &mut Link,
        stack: &Stack,
        now: Instant,
    ) -> Departure {
        // A piece of IPv4 may be cut again; one of IPv6 that is too large is told to be so before it is a part of anything.
        if gateway.is_some() && sizes::is_too_large(packet) && pieces::is_piece6(packet) {
            return tell(link, Why::TooLarge, packet);
        }
        let Some(packet) = self.pieces.put_together(packet, now) else { return Departure::Done };
        let was_cut = matches!(packet, Cow::Owned(_));
        let packet = &*packet;
        let Some(read) = packet::read(packet) else { return Departure::Done };
        // The host's connections need no gateway.
        let is_too_large = gateway.is_some() && !was_cut && sizes::is_too_large(packet) && !ip::is_to_host(packet);
        let is_known = match read {
            Packet::Tcp { opens: false, .. } if is_too_large => return tell(link, Why::TooLarge, packet),
            // What belongs to no connection is refused by the stack.
            Packet::Tcp { from, to, opens } if !opens || stack.knows((from, to)) => return Departure::Stack,
            Packet::Tcp { from, to, .. } => self.dials.knows((from, to)),
            Packet::Udp { from, to, .. } => self.datagrams.knows(from, to),
            Packet::Quiet => return Departure::Done,
            Packet::Other => false,
        };
        let Some(gateway) = gateway else { return tell(link, Why::NoWay, packet) };
        if !is_known && !gateway.admits(destination(packet)) {
            return tell(link, Why::Prohibited, packet);
        }
        if is_too_large {
            return tell(link, Why::TooLarge, packet);
        }
        let begun = match read {
            // One more is not answered, and asked for again.
            Packet::Tcp { .. } | Packet::Udp { .. } if !is_known && gateway.is_full() => return Departure::Done,
            Packet::Tcp { .. } if is_known || self.dials.len() + stack.carried() >= CONNECTIONS => Ok(Departure::Done),
            Packet::Tcp { from, to, .. } => {
                self.dials.begin(id, (from, to), packet, &gateway.epoll, now).map(|()| Departure::Begun(None))
            }
            Packet::Udp { from, to, .. } if !is_known => {
                self.datagrams.begin(id, (from, to), &gateway.epoll, now).map(Departure::Begun)
            }
            Packet::Udp { .. } => Ok(Departure::Done),
            _ => return tell(link, Why::Network, packet),
        };
        if let (Ok(_), Packet::Udp { from, to, payload }) = (&begun, read) {
            self.datagrams.send((from, to), payload, packet, now);
        }
        begun.unwrap_or_else(|error| fail(link, error, packet))
    }

    /// Takes note of an event; false if it is none of these.
    pub(super) fn notice(&mut self, id: u64, what: Readiness) -> bool {
        self.dials.notice(id, what) || self.datagrams.notice(id, what)
    }

    /// What has become of dials.
    pub(super) fn settle(&mut self, now: Instant) -> Vec<Outcome> {
        if self.dials.len() == 0 { Vec::new() } else { self.dials.settle(now) }
    }

    /// Gives the machine the datagrams that have come, and forgets pairs that are silent; when to come again. The ids of
    /// those that ended are added to `ended`.
    pub(super) fn receive(
        &mut self,
        link: &mut Link,
        buffer: &mut [u8],
        now: Instant,
        ended: &mut Vec<u64>,
    ) -> Option<Instant> {
        let more = self.datagrams.receive(link, buffer, now);
        self.datagrams.expire(now, ended);
        if more { Some(now) } else { self.dials.due().into_iter().chain(self.datagrams.due()).min() }
    }
}

impl Gateway {
    fn admits(&mut self, address: IpAddr) -> bool {
        self.destinations.as_mut().is_some_and(|destinations| destinations.admit(address))
    }
}

/// Tells a machine why its packet did not arrive; a refused connection is for its stack to refuse.
pub(super) fn complain(link: &mut Link, error: Errno, packet: &[u8]) {
    complaint::complain(link, Why::of(error), packet);
}

/// The family of the socket that leads to an address.
fn family(to: SocketAddr) -> AddressFamily {
    if to.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 }
}

/// What becomes of a packet that doesn't go out.
fn tell(link: &mut Link, why: Why, packet: &[u8]) -> Departure {
    complaint::complain(link, why, packet);
    Departure::Done
}

/// What becomes of a flow that could not begin.
fn fail(link: &mut Link, error: Errno, packet: &[u8]) -> Departure {
    match error {
        // It is the host that has no more: the machine asks again.
        Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM | Errno::AGAIN | Errno::NOSPC => {
            tracing::debug!(%error, nic = link.nic.id, "this host has no more sockets for its machines' connections");
        }
        _ => complain(link, error, packet),
    }
    Departure::Done
}
