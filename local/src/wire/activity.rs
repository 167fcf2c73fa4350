//! What the door tells about its use, so that an endpoint nobody uses can end.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// How busy the door is: a handle to share, clones see the same.
///
/// Only what was signed with the endpoint's key counts: a stranger can't keep the endpoint alive.
#[derive(Debug, Clone)]
pub struct Activity(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    requests: usize,
    connections: usize,
    last: Instant,
}

impl Activity {
    /// A door that was last used now.
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(State { requests: 0, connections: 0, last: Instant::now() })))
    }

    /// How many requests are being answered.
    pub fn requests(&self) -> usize {
        self.state().requests
    }

    /// How many open connections have sent a signed request: pools of clients that live, mostly.
    pub fn connections(&self) -> usize {
        self.state().connections
    }

    /// How long ago the last request was answered; `None` while one is being answered.
    pub fn idle(&self) -> Option<Duration> {
        let state = self.state();
        (state.requests == 0).then(|| state.last.elapsed())
    }

    /// Counts a request until the guard is dropped.
    pub(super) fn request(&self) -> Busy {
        self.state().requests += 1;
        Busy { activity: self.clone(), count: |state| &mut state.requests }
    }

    /// Counts a connection until the guard is dropped.
    pub(super) fn connection(&self) -> Busy {
        self.state().connections += 1;
        Busy { activity: self.clone(), count: |state| &mut state.connections }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Activity {
    fn default() -> Self {
        Self::new()
    }
}

/// Something that is going on.
#[derive(Debug)]
pub(super) struct Busy {
    activity: Activity,
    count: fn(&mut State) -> &mut usize,
}

impl Drop for Busy {
    fn drop(&mut self) {
        let mut state = self.activity.state();
        *(self.count)(&mut state) -= 1;
        state.last = Instant::now();
    }
}
