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

/// Returns once `busy` has been false for `linger`, without a break as far as a look every tenth of it can tell.
pub(super) async fn idle_for(linger: Duration, busy: impl Fn() -> bool) {
    let step = (linger / 10).clamp(Duration::from_millis(10), Duration::from_secs(1));
    let mut since = Instant::now();
    while since.elapsed() < linger {
        tokio::time::sleep(step.min(linger)).await;
        if busy() {
            since = Instant::now();
        }
    }
}
