//! The few threads that drive all sessions.
//!
//! [`THREADS`] of them, whatever the number of machines: each has a single-threaded runtime whose epoll (kqueue) waits
//! for all of its sockets at once. A libssh2 session is only ever touched on the thread that it was made on. They are
//! not the engine's thread, because deciphering megabytes there would delay everybody's timers.

use crate::error::{Error, ErrorKind};
use once_cell::sync::OnceCell;
use std::{
    future::Future,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};
use tokio::{
    runtime::{Builder, Handle},
    sync::mpsc,
    task::LocalSet,
};

/// How many threads drive all sessions of this process.
pub(super) const THREADS: usize = 2;

type Start = Box<dyn FnOnce() + Send>;

/// One of the threads.
pub(super) struct Driver {
    starts: mpsc::UnboundedSender<Start>,
    runtime: Handle,
}

impl Driver {
    /// The threads take turns; they are started on first use.
    pub(super) fn next() -> Result<&'static Self, Error> {
        static DRIVERS: OnceCell<Vec<Driver>> = OnceCell::new();
        static TURN: AtomicUsize = AtomicUsize::new(0);
        let drivers = DRIVERS.get_or_try_init(|| (0..THREADS).map(Self::start).collect::<Result<_, _>>())?;
        Ok(&drivers[TURN.fetch_add(1, Ordering::Relaxed) % drivers.len()])
    }

    fn start(number: usize) -> Result<Self, Error> {
        let failed = |source: std::io::Error| {
            Error::new(ErrorKind::Internal, "start a thread for SSH sessions").caused_by(source)
        };
        let runtime = Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let handle = runtime.handle().clone();
        let (starts, mut received) = mpsc::unbounded_channel::<Start>();
        thread::Builder::new()
            .name(format!("ec2-harness-ssh-{number}"))
            .spawn(move || {
                LocalSet::new().block_on(&runtime, async {
                    while let Some(start) = received.recv().await {
                        start();
                    }
                });
            })
            .map_err(failed)?;
        Ok(Self { starts, runtime: handle })
    }

    /// Runs a future on this thread; it is made there, so it need not be `Send`.
    pub(super) fn spawn<F>(&self, make: impl FnOnce() -> F + Send + 'static)
    where
        F: Future<Output = ()> + 'static,
    {
        // The thread never ends, so that nothing can be lost here.
        let _ = self.starts.send(Box::new(move || drop(tokio::task::spawn_local(make()))));
    }

    /// The runtime, for work on files that must not hold up the sessions.
    pub(super) fn runtime(&self) -> &Handle {
        &self.runtime
    }
}
