//! When nobody is here any more.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Counts who is connected, until nobody may come any more.
#[derive(Debug, Clone, Default)]
pub(super) struct Clients(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    count: usize,
    is_closed: bool,
}

/// One client; it has left when this is dropped.
#[must_use]
pub(super) struct ClientGuard(Clients);

impl Clients {
    /// Lets a client in, unless the endpoint is ending.
    pub(super) fn enter(&self) -> Option<ClientGuard> {
        let mut state = self.state();
        if state.is_closed {
            return None;
        }
        state.count += 1;
        drop(state);
        Some(ClientGuard(self.clone()))
    }

    pub(super) fn count(&self) -> usize {
        self.state().count
    }

    /// Lets nobody in from now on; `false`, and nothing is changed, if somebody is here.
    pub(super) fn close(&self) -> bool {
        let mut state = self.state();
        state.is_closed |= state.count == 0;
        state.is_closed
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ClientGuard {
    fn drop(&mut self) {
        self.0.state().count -= 1;
    }
}

/// Returns once nobody has needed the endpoint for `linger`: `busy` was false, as far as a look every twentieth of it can
/// tell, and the last request, `idle` ago, is as old.
pub(super) async fn idle_for(linger: Duration, busy: impl Fn() -> bool, idle: impl Fn() -> Duration) {
    let step = (linger / 20).clamp(Duration::from_millis(10), Duration::from_millis(500));
    let mut since = Instant::now();
    while since.elapsed().min(idle()) < linger {
        tokio::time::sleep(step).await;
        if busy() {
            since = Instant::now();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_comes_once_it_is_closed_and_it_closes_on_nobody() {
        let clients = Clients::default();
        let here = clients.enter();
        assert!(here.is_some() && !clients.close());
        assert!(clients.enter().is_some());
        drop(here);
        assert!(clients.close());
        assert!(clients.enter().is_none());
        assert_eq!(clients.count(), 0);
    }
}
