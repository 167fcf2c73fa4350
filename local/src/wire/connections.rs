//! Connections of which there may be so many: a further one takes the place of the one that was used the longest ago.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::Notify;

/// Connections that are open.
#[derive(Debug)]
pub(super) struct Connections {
    most: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// What has happened so far: the number of the next connection, and of the next use of one.
    count: u64,
    open: HashMap<u64, Open>,
}

#[derive(Debug)]
struct Open {
    close: Arc<Notify>,
    /// When it was used the last time.
    used: u64,
    is_busy: bool,
}

impl Connections {
    /// So many may be open.
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, state: Mutex::default() })
    }

    /// A further one, which is told by `close` when it is to make room. None where all that are open are busy.
    pub(super) fn enter(self: &Arc<Self>, close: &Arc<Notify>) -> Option<Entry> {
        let mut state = self.state();
        if state.open.len() >= self.most {
            let idle = state.open.iter().filter(|(_, open)| !open.is_busy);
            let oldest = idle.min_by_key(|(_, open)| open.used).map(|(id, _)| *id)?;
            if let Some(oldest) = state.open.remove(&oldest) {
                oldest.close.notify_one();
            }
        }
        let id = state.next();
        state.open.insert(id, Open { close: Arc::clone(close), used: id, is_busy: false });
        Some(Entry { connections: Arc::clone(self), id })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn next(&mut self) -> u64 {
        self.count += 1;
        self.count
    }
}

/// One of them, until this is dropped.
#[derive(Debug)]
pub(super) struct Entry {
    connections: Arc<Connections>,
    id: u64,
}

impl Entry {
    /// Makes no room until the guard is dropped.
    pub(super) fn work(&self) -> Work<'_> {
        if let Some(open) = self.connections.state().open.get_mut(&self.id) {
            open.is_busy = true;
        }
        Work(self)
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.connections.state().open.remove(&self.id);
    }
}

/// A connection on which something is being answered.
#[derive(Debug)]
pub(super) struct Work<'a>(&'a Entry);

impl Drop for Work<'_> {
    fn drop(&mut self) {
        let mut state = self.0.connections.state();
        let now = state.next();
        if let Some(open) = state.open.get_mut(&self.0.id) {
            (open.used, open.is_busy) = (now, false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        future::Future,
        pin::pin,
        task::{Context, Poll, Waker},
    };

    fn is_told(close: &Notify) -> bool {
        pin!(close.notified()).poll(&mut Context::from_waker(Waker::noop())) == Poll::Ready(())
    }

    #[test]
    fn the_one_that_was_used_the_longest_ago_makes_room() {
        let connections = Connections::new(3);
        let closes: Vec<_> = (0..6).map(|_| Arc::new(Notify::new())).collect();
        let told = || closes.iter().map(|close| is_told(close)).collect::<Vec<_>>();
        let mut entries: Vec<_> = closes[..3].iter().map(|close| connections.enter(close).unwrap()).collect();
        drop(entries[0].work());
        entries.push(connections.enter(&closes[3]).unwrap());
        assert_eq!(told(), [false, true, false, false, false, false]);
        let work = [entries[0].work(), entries[2].work(), entries[3].work()];
        assert!(connections.enter(&closes[4]).is_none(), "all are busy");
        drop(work);
        assert!(told().iter().all(|told| !told));
        // What has made room already makes none when it ends.
        entries.remove(1);
        entries.push(connections.enter(&closes[5]).unwrap());
        assert_eq!(told(), [true, false, false, false, false, false]);
        drop(entries);
        assert!(connections.state().open.is_empty());
    }
}
