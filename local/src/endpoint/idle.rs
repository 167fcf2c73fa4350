//! When nobody is here any more.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

/// Counts who is connected.
#[derive(Debug, Clone, Default)]
pub(super) struct Clients(Arc<AtomicUsize>);

/// One client; it has left when this is dropped.
#[must_use]
pub(super) struct ClientGuard(Clients);

impl Clients {
    pub(super) fn enter(&self) -> ClientGuard {
        self.0.fetch_add(1, Ordering::SeqCst);
        ClientGuard(self.clone())
    }

    pub(super) fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl Drop for ClientGuard {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::SeqCst);
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
