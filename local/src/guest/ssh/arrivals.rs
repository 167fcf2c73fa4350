//! Channels that this side has opened, and the client has confirmed: what it sends on them comes to the connection, by their
//! numbers, and goes on to the one that has opened them.

use super::spool;
use russh::ChannelId;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::{Notify, oneshot};

/// What the client sends, and the end of the channel.
type Arrival = (spool::Receiver, oneshot::Receiver<()>);

/// Those that nobody has taken yet; none once the client is gone.
pub struct Arrivals {
    state: Mutex<Option<State>>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    /// How many channels are being opened by this side, or are to be taken.
    expected: usize,
    waiting: HashMap<ChannelId, Arrival>,
}

/// Held while this side opens a channel, until it is taken or given up.
pub struct Expected(Arc<Arrivals>);

impl Drop for Expected {
    fn drop(&mut self) {
        if let Some(state) = &mut *self.0.state() {
            state.expected -= 1;
            if state.expected == 0 {
                // Nobody comes for what is left.
                state.waiting.clear();
            }
        }
    }
}

impl Default for Arrivals {
    fn default() -> Self {
        Self { state: Mutex::new(Some(State::default())), changed: Notify::new() }
    }
}

impl Arrivals {
    fn state(&self) -> MutexGuard<'_, Option<State>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// This side is about to open a channel. The library tells its number only once it is confirmed.
    pub fn expect(self: &Arc<Self>) -> Expected {
        if let Some(state) = &mut *self.state() {
            state.expected += 1;
        }
        Expected(self.clone())
    }

    /// One has been confirmed; whether there was any to confirm.
    pub fn put(&self, id: ChannelId, arrival: Arrival) -> bool {
        if let Some(state) = &mut *self.state() {
            if state.waiting.len() >= state.expected {
                return false;
            }
            state.waiting.insert(id, arrival);
        }
        self.changed.notify_waiters();
        true
    }

    /// Waits until one is confirmed; none if the client is gone.
    pub async fn take(&self, id: ChannelId) -> Option<Arrival> {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if let Some(arrival) = self.state().as_mut()?.waiting.remove(&id) {
                return Some(arrival);
            }
            changed.await;
        }
    }

    /// The client is gone.
    pub fn end(&self) {
        *self.state() = None;
        self.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use russh::keys::ssh_encoding::Decode;

    fn channel(number: u32) -> ChannelId {
        ChannelId::decode(&mut &number.to_be_bytes()[..]).unwrap()
    }

    fn arrival() -> Arrival {
        (spool::spool().1, oneshot::channel().1)
    }

    #[tokio::test(flavor = "current_thread")]
    async fn no_more_is_confirmed_than_was_opened() {
        let (arrivals, first, second) = (Arc::new(Arrivals::default()), channel(1), channel(2));
        assert!(!arrivals.put(first, arrival()));
        let expected = arrivals.expect();
        assert!(arrivals.put(first, arrival()));
        assert!(!arrivals.put(second, arrival()));
        assert!(arrivals.take(first).await.is_some());
        drop(expected);
        assert!(!arrivals.put(second, arrival()));
        // What was confirmed in place of one that was given up stays with nobody.
        let expected = arrivals.expect();
        assert!(arrivals.put(second, arrival()));
        drop(expected);
        assert!(arrivals.state().as_ref().unwrap().waiting.is_empty());
    }
}
