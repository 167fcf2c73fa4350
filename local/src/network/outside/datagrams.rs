//! UDP between a machine and the outside: a socket of the host's for each pair of addresses, until they are silent.

use super::{
    super::{
        flow::Readiness,
        ip,
        link::{self, Link},
        port::ETHERNET,
        sizes::GATEWAY,
        v6,
        watched::Watched,
    },
    family,
};
use rustix::{
    io::Errno,
    net::{RecvFlags, SendFlags, SocketFlags, SocketType, connect, recv, send, socket_with},
};
use smoltcp::time::{Duration, Instant};
use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    os::fd::OwnedFd,
    sync::Arc,
};

/// How many pairs a NIC may have; beyond that the one goes that was silent the longest.
const PAIRS: usize = 128;
// As security groups track them.
const UNANSWERED: Duration = Duration::from_secs(30);
const ANSWERED: Duration = Duration::from_secs(180);
/// The largest datagram: IPv4 counts its own header, and IPv6 doesn't (RFC 768, RFC 8200).
const DATAGRAM: usize = u16::MAX as usize - 20 - 8;
const DATAGRAM6: usize = u16::MAX as usize - 8;
/// How many datagrams are taken from one socket before others have their turn.
const TURN: usize = 32;
/// What an ICMP error quotes of a packet at least: a header without options, and eight bytes (RFC 792); here those of IPv6.
const QUOTE: usize = v6::header::LENGTH + 8;

struct Pair {
    from: SocketAddr,
    to: SocketAddr,
    host: Watched,
    readable: bool,
    answered: bool,
    until: Instant,
    /// How the last packet began, for complaints about it.
    quote: Vec<u8>,
}

/// The pairs of a NIC.
#[derive(Default)]
pub(super) struct Datagrams {
    pairs: BTreeMap<u64, Pair>,
    ids: HashMap<Ends, u64>,
    /// The identification of the next datagram that comes in pieces.
    next: u16,
}

/// Who sends to whom.
type Ends = (SocketAddr, SocketAddr);

impl Datagrams {
    /// Whether a machine has sent to there already.
    pub(super) fn knows(&self, from: SocketAddr, to: SocketAddr) -> bool {
        self.ids.contains_key(&(from, to))
    }

    /// Makes a socket for a pair; the id of another that has to go for it.
    pub(super) fn begin(
        &mut self,
        id: u64,
        (from, to): Ends,
        epoll: &Arc<OwnedFd>,
        now: Instant,
    ) -> Result<Option<u64>, Errno> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(family(to), SocketType::DGRAM, flags, None)?;
        // Answers of others than whom it was sent to are none.
        connect(&socket, &to)?;
        let host = Watched::new(epoll, socket, id)?;
        let gone = match self.pairs.iter().min_by_key(|(_, pair)| pair.until) {
            Some((oldest, _)) if self.pairs.len() >= PAIRS => Some(*oldest),
            _ => None,
        };
        if let Some(gone) = gone {
            self.remove(gone);
        }
        let until = now + UNANSWERED;
        self.pairs.insert(id, Pair { from, to, host, readable: false, answered: false, until, quote: Vec::new() });
        self.ids.insert((from, to), id);
        Ok(gone)
    }

    /// Sends a datagram of a pair that is known, which came in a packet. One that the host can't take now is lost, as UDP's
    /// may be.
    pub(super) fn send(&mut self, ends: Ends, payload: &[u8], packet: &[u8], now: Instant) {
        let id = self.ids.get(&ends);
        let Some(pair) = id.and_then(|id| self.pairs.get_mut(id)) else { return };
        pair.until = now + if pair.answered { ANSWERED } else { UNANSWERED };
        pair.quote = packet[..packet.len().min(QUOTE)].to_vec();
        let send = || send(&pair.host, payload, SendFlags::NOSIGNAL);
        // An error is that of an earlier datagram, which is told when the socket is read, and takes this one's place.
        if matches!(send(), Err(Errno::CONNREFUSED | Errno::INTR)) {
            let _ = send();
            pair.readable = true;
        }
    }

    /// Takes note of an event; false if it is none of a pair's.
    pub(super) fn notice(&mut self, id: u64, what: Readiness) -> bool {
        let Some(pair) = self.pairs.get_mut(&id) else { return false };
        pair.readable |= what.readable;
        true
    }

    /// Gives the machine what has come for it; whether there is more.
    pub(super) fn receive(&mut self, link: &mut Link, buffer: &mut [u8], now: Instant) -> bool {
        let mut more = false;
        for pair in self.pairs.values_mut().filter(|pair| pair.readable) {
            more |= pair.receive(link, buffer, &mut self.next, now);
        }
        more
    }

    /// Forgets those that were silent for long; their ids are added to `ended`.
    pub(super) fn expire(&mut self, now: Instant, ended: &mut Vec<u64>) {
        let silent: Vec<u64> = self.pairs.iter().filter(|(_, pair)| pair.until <= now).map(|(id, _)| *id).collect();
        for id in silent {
            self.remove(id);
            ended.push(id);
        }
    }

    /// When the next one has been silent for long.
    pub(super) fn due(&self) -> Option<Instant> {
        self.pairs.values().map(|pair| pair.until).min()
    }

    fn remove(&mut self, id: u64) {
        if let Some(pair) = self.pairs.remove(&id) {
            self.ids.remove(&(pair.from, pair.to));
        }
    }
}

impl Pair {
    fn receive(&mut self, link: &mut Link, buffer: &mut [u8], next: &mut u16, now: Instant) -> bool {
        let most = if self.to.is_ipv4() { DATAGRAM } else { DATAGRAM6 };
        for _ in 0..TURN {
            match recv(&self.host, &mut *buffer, RecvFlags::empty()) {
                Ok((length, _)) if length <= most => {
                    self.answered = true;
                    self.until = now + ANSWERED;
                    if let Some(mut answer) = ip::udp(link.nic.mac, self.to, self.from, &buffer[..length])
                        && link.port.has_room()
                        && link::lets_in(&link.nic, &mut link.filter, &answer[ETHERNET..], now)
                    {
                        if self.to.is_ipv4() && answer.len() > ETHERNET + usize::from(GATEWAY) {
                            *next = next.wrapping_add(1);
                            answer[ETHERNET + 4..ETHERNET + 6].copy_from_slice(&next.to_be_bytes());
                        }
                        link.port.send_in_pieces(&answer);
                    }
                }
                // It doesn't fit.
                Ok(_) | Err(Errno::INTR) => {}
                Err(Errno::CONNREFUSED | Errno::HOSTUNREACH | Errno::NETUNREACH) if !self.quote.is_empty() => {
                    super::complain(link, Errno::CONNREFUSED, &self.quote);
                }
                Err(_) => {
                    self.readable = false;
                    return false;
                }
            }
        }
        true
    }
}
