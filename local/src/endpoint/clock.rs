//! The account's clock: the host's, and what it was put forward by.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};
use time::OffsetDateTime;

/// The account's clock. Machines have the host's: only what has none, such as the blank ones, can't tell the difference.
#[derive(Debug, Default)]
pub(super) struct Clock(Mutex<Duration>);

impl Clock {
    /// The account's time.
    pub(super) fn now(&self) -> OffsetDateTime {
        let now = OffsetDateTime::now_utc();
        time::Duration::try_from(self.advanced()).ok().and_then(|by| now.checked_add(by)).unwrap_or(now)
    }

    /// What it was put forward by.
    pub(super) fn advanced(&self) -> Duration {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts it forward.
    pub(super) fn advance(&self, by: Duration) {
        let mut advanced = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *advanced = advanced.saturating_add(by);
    }
}
