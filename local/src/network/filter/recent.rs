//! Flows that aren't tracked, but about which an ICMP error may come.

use super::connections::Flow;
use smoltcp::time::{Duration, Instant};
use std::{collections::HashMap, net::IpAddr};

/// How many are remembered. About others errors don't come.
const LIMIT: usize = 4096;
/// How long after their last packet.
const MEMORY: Duration = Duration::from_secs(60);
/// How often room is made for others, and the time of a flow is written down, at most.
const REST: Duration = Duration::from_secs(1);

/// Flows that aren't tracked, of which packets have gone one way of late.
pub(super) struct Recent {
    seen: HashMap<Flow, Instant>,
    /// The one that was written down last, and when: mostly the next packet is of the same.
    last: Option<(Flow, Instant)>,
    rests_until: Instant,
}

impl Default for Recent {
    fn default() -> Self {
        Self { seen: HashMap::new(), last: None, rests_until: Instant::ZERO }
    }
}

impl Recent {
    /// Takes note of a packet that has passed.
    pub(super) fn note(&mut self, flow: Flow, now: Instant) {
        if self.last.is_some_and(|(known, since)| known == flow && now < since + REST) {
            return;
        }
        self.last = Some((flow, now));
        if self.seen.len() >= LIMIT && now >= self.rests_until {
            self.seen.retain(|_, until| *until > now);
            self.rests_until = now + REST;
        }
        let is_full = self.seen.len() >= LIMIT;
        match self.seen.get_mut(&flow) {
            Some(until) => *until = now + MEMORY,
            None if is_full => {}
            None => drop(self.seen.insert(flow, now + MEMORY)),
        }
    }

    /// Whether a packet of a flow has passed of late.
    pub(super) fn knows(&self, flow: &Flow, now: Instant) -> bool {
        self.seen.get(flow).is_some_and(|until| *until > now)
    }

    /// Forgets all flows with these addresses.
    pub(super) fn forget(&mut self, addresses: &[IpAddr]) {
        self.seen.retain(|flow, _| !addresses.contains(&flow.remote()));
        self.last = None;
    }
}
