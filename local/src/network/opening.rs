//! A connection that a machine has not answered yet.

use super::{CONNECT_DEADLINE, port::Port};
use smoltcp::time::{Duration, Instant};
use std::{io, net::SocketAddrV4};
use tokio::sync::oneshot;

/// Whom to tell how a connection turned out.
pub(super) struct Outcome(pub(super) oneshot::Sender<Result<(), io::ErrorKind>>);

impl Outcome {
    /// Tells it. The one who asked may have gone; that was told by another way.
    pub(super) fn tell(self, result: Result<(), io::ErrorKind>) {
        let _ = self.0.send(result);
    }
}

/// A connection that a machine has not answered yet.
pub(super) struct Opening {
    /// Where it comes from.
    pub(super) from: SocketAddrV4,
    /// The frame that asks for it, once the filter has admitted it. smoltcp would repeat it after a second, but a booting machine
    /// is up sooner.
    pub(super) syn: Vec<u8>,
    /// Whom to tell.
    pub(super) outcome: Outcome,
    started: Instant,
    again: Instant,
}

impl Opening {
    /// An opening that starts now.
    pub(super) fn new(from: SocketAddrV4, outcome: Outcome, now: Instant) -> Self {
        Self { from, syn: Vec::new(), outcome, started: now, again: now + interval(Duration::ZERO) }
    }

    /// Whether the machine has had its time.
    pub(super) fn is_late(&self, now: Instant) -> bool {
        now >= self.started + Duration::from(CONNECT_DEADLINE)
    }

    /// Asks again if it is time; when to come back.
    pub(super) fn ask_again(&mut self, port: &mut Port, now: Instant) -> Instant {
        if now >= self.again {
            if !self.syn.is_empty() && port.has_room() {
                port.send(&self.syn);
            }
            self.again = now + interval(now - self.started);
        }
        self.again
    }
}

/// How long to wait before asking again: an eighth of the time that has passed, so that a machine is reached soon after
/// it comes up, and one that never does costs little.
fn interval(passed: Duration) -> Duration {
    (passed / 8).clamp(Duration::from_millis(2), Duration::from_millis(200))
}
