//! Channels that this side has opened, and the client has confirmed: what it sends on them comes to the connection, by their
//! numbers, and goes on to the one that has opened them.

use super::spool;
use russh::ChannelId;
use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};
use tokio::sync::{Notify, oneshot};

/// What the client sends, and the end of the channel.
type Arrival = (spool::Receiver, oneshot::Receiver<()>);

/// Those that nobody has taken yet; none once the client is gone.
pub struct Arrivals {
    waiting: Mutex<Option<HashMap<ChannelId, Arrival>>>,
    changed: Notify,
}

impl Default for Arrivals {
    fn default() -> Self {
        Self { waiting: Mutex::new(Some(HashMap::new())), changed: Notify::new() }
    }
}

impl Arrivals {
    fn waiting(&self) -> MutexGuard<'_, Option<HashMap<ChannelId, Arrival>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One has been confirmed.
    pub fn put(&self, id: ChannelId, arrival: Arrival) {
        if let Some(waiting) = &mut *self.waiting() {
            waiting.insert(id, arrival);
        }
        self.changed.notify_waiters();
    }

    /// Waits until one is confirmed; none if the client is gone.
    pub async fn take(&self, id: ChannelId) -> Option<Arrival> {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if let Some(arrival) = self.waiting().as_mut()?.remove(&id) {
                return Some(arrival);
            }
            changed.await;
        }
    }

    /// The client is gone.
    pub fn end(&self) {
        *self.waiting() = None;
        self.changed.notify_waiters();
    }
}
