//! Packets in pieces. Only the first one has ports, so the others follow its verdict.
//!
//! They must come in order, each where the one before has ended, as Linux and all others send them and the switch keeps
//! them. So nothing is written over (RFC 1858, RFC 5722), nobody has to wait for a piece that never comes, and of a packet
//! one number is remembered. What doesn't follow is dropped, and so is the rest of its packet.

use super::packet::{Fragment, Whole};
use smoltcp::time::{Duration, Instant};
use std::collections::VecDeque;

/// How many packets may be on their way in pieces; the one that has begun first gives way to another.
const OPEN: usize = 256;
/// How long a packet may be on its way: as long as Linux waits for the rest of it (`net.ipv4.ipfrag_time`).
const PATIENCE: Duration = Duration::from_secs(30);

/// The packets that are on their way in pieces, whose first was admitted.
#[derive(Default)]
pub(super) struct Fragments(VecDeque<Open>);

struct Open {
    whole: Whole,
    /// The machine of the VPC that is at the other end, by its port: one that may speak in another's name must not write on
    /// in that one's packet.
    port: Option<u64>,
    /// Where the next one has to begin.
    next: u32,
    until: Instant,
}

impl Fragments {
    /// Takes note of a first fragment, and of the verdict on it.
    pub(super) fn begin(&mut self, first: &Fragment, port: Option<u64>, is_admitted: bool, now: Instant) {
        self.0.retain(|open| (open.whole, open.port) != (first.whole, port) && open.until > now);
        if is_admitted && first.more {
            if self.0.len() >= OPEN {
                self.0.pop_front();
            }
            self.0.push_back(Open { whole: first.whole, port, next: first.end, until: now + PATIENCE });
        }
    }

    /// Whether a later fragment is the next one of a packet whose first was admitted.
    pub(super) fn follows(&mut self, later: &Fragment, port: Option<u64>, now: Instant) -> bool {
        let found = self.0.iter_mut().enumerate().find(|(_, open)| (open.whole, open.port) == (later.whole, port));
        let Some((at, open)) = found.filter(|(_, open)| open.until > now) else { return false };
        let is_next = open.next == later.start;
        open.next = later.end;
        if !is_next || !later.more {
            self.0.remove(at);
        }
        is_next
    }

    /// Forgets the packets from and to a port.
    pub(super) fn forget(&mut self, port: u64) {
        self.0.retain(|open| open.port != Some(port));
    }
}
