//! The account's clock: the host's, and what it was put forward by. It never goes back, whatever the host's does.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use time::OffsetDateTime;

/// The account's clock. Machines have the host's: only what has none, such as the blank ones, can't tell the difference.
#[derive(Debug)]
pub(super) struct Clock(Mutex<State>);

#[derive(Debug)]
struct State {
    /// What it was put forward by.
    advanced: Duration,
    /// What the host's clock was put back by.
    behind: time::Duration,
    latest: OffsetDateTime,
}

impl Clock {
    /// A clock that was put forward by this much, and was never later than this.
    pub(super) fn resumed(latest: OffsetDateTime, advanced: Duration) -> Self {
        Self(Mutex::new(State { advanced, behind: time::Duration::ZERO, latest }))
    }

    /// The account's time.
    pub(super) fn now(&self) -> OffsetDateTime {
        self.state().now(OffsetDateTime::now_utc())
    }

    /// What it was put forward by.
    pub(super) fn advanced(&self) -> Duration {
        self.state().advanced
    }

    /// Puts it forward.
    pub(super) fn advance(&self, by: Duration) {
        let mut state = self.state();
        state.advanced = state.advanced.saturating_add(by);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::resumed(OffsetDateTime::UNIX_EPOCH, Duration::ZERO)
    }
}

impl State {
    fn now(&mut self, host: OffsetDateTime) -> OffsetDateTime {
        let advanced = time::Duration::try_from(self.advanced).ok();
        let ahead = advanced.and_then(|advanced| advanced.checked_add(self.behind));
        let now = ahead.and_then(|ahead| host.checked_add(ahead)).unwrap_or(self.latest);
        if now < self.latest {
            // It goes on from where it was, rather than wait until the host's clock gets there.
            self.behind += self.latest - now;
            return self.latest;
        }
        self.latest = now;
        now
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    #[test]
    fn it_goes_on_when_the_hosts_goes_back() {
        let noon = datetime!(2026-11-25 12:00 UTC);
        let (second, hour) = (Duration::from_secs(1), Duration::from_secs(3600));
        let clock = Clock::resumed(noon, hour);
        let mut state = clock.state();
        assert_eq!(state.now(noon), noon + hour);
        assert_eq!(state.now(noon - 24 * hour), noon + hour);
        assert_eq!(state.now(noon - 24 * hour + second), noon + hour + second);
        assert_eq!(state.now(noon + 48 * hour), noon + 73 * hour);
    }

    #[test]
    fn it_is_put_forward() {
        let clock = Clock::default();
        let before = clock.now();
        clock.advance(Duration::from_secs(3600));
        assert!(clock.now() - before >= Duration::from_secs(3600));
        clock.advance(Duration::MAX);
        assert!(clock.now() > before, "it doesn't run out");
    }
}
