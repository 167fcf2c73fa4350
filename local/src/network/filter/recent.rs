//! Flows that aren't tracked, but about which an ICMP error may come.

use super::{Direction, connections::Flow};
use smoltcp::time::{Duration, Instant};
use std::collections::HashMap;

/// How many are remembered, in either direction. About others errors don't come.
const LIMIT: usize = 8192;
/// How long after their last packet.
const MEMORY: Duration = Duration::from_secs(60);
/// How often room is made for others, at most.
const REST: Duration = Duration::from_secs(1);

/// Flows that aren't tracked, and which way packets of them have gone of late.
pub(super) struct Recent {
    seen: HashMap<(Flow, Direction), Instant>,
    rests_until: Instant,
}

impl Default for Recent {
    fn default() -> Self {
        Self { seen: HashMap::new(), rests_until: Instant::ZERO }
    }
}

impl Recent {
    /// Takes note of a packet that has passed.
    pub(super) fn note(&mut self, flow: Flow, direction: Direction, now: Instant) {
        if self.seen.len() >= LIMIT && now >= self.rests_until {
            self.seen.retain(|_, until| *until > now);
            self.rests_until = now + REST;
        }
        let is_full = self.seen.len() >= LIMIT;
        match self.seen.get_mut(&(flow, direction)) {
            Some(until) => *until = now + MEMORY,
            None if is_full => {}
            None => drop(self.seen.insert((flow, direction), now + MEMORY)),
        }
    }

    /// Whether a packet of a flow has gone this way of late.
    pub(super) fn knows(&self, flow: &Flow, direction: Direction, now: Instant) -> bool {
        self.seen.get(&(*flow, direction)).is_some_and(|until| *until > now)
    }
}
