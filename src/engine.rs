//! The one background thread of a process: it owns the runtime on which every operation runs, and the SDK's clients.
//!
//! A thread of our own, so that operations work from every context: no runtime, any runtime, a runtime that is already
//! gone, a `Drop`. Clients that are shared between the runtimes of several tests would die with the first of them.
//!
//! Nothing may block it: the polling of everybody's machines would stand still. What waits for the disk, for the lock of a file or
//! for a process goes by [`blocking`].

use crate::error::{Error, ErrorKind};
use once_cell::sync::OnceCell;
use std::{cell::Cell, future::Future, thread};
use tokio::runtime::{Builder, Handle};

static ENGINE: OnceCell<Handle> = OnceCell::new();

thread_local! {
    static ON_ENGINE: Cell<bool> = const { Cell::new(false) };
}

/// The runtime of the engine; started on first use.
pub(crate) fn handle() -> Result<&'static Handle, Error> {
    ENGINE.get_or_try_init(|| {
        let failed = |source: std::io::Error| {
            Error::new(ErrorKind::Internal, "start the background thread of ec2-harness").caused_by(source)
        };
        let runtime = Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let handle = runtime.handle().clone();
        thread::Builder::new()
            .name("ec2-harness-engine".into())
            .spawn(move || {
                ON_ENGINE.set(true);
                runtime.block_on(std::future::pending::<()>());
            })
            .map_err(failed)?;
        Ok(handle)
    })
}

/// Whether this is the engine's own thread, where waiting would be a deadlock.
pub(crate) fn is_current_thread() -> bool {
    ON_ENGINE.get()
}

/// Runs a future on the engine to its end, whether anyone waits for it or not.
pub(crate) fn spawn<F>(future: F) -> Result<tokio::task::JoinHandle<F::Output>, Error>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    Ok(handle()?.spawn(future))
}

/// Runs what blocks, and what is tried by that, on a thread for such things, to its end, whether anyone waits for it or not. To be called on
/// the engine.
pub(crate) async fn blocking<T: Send + 'static>(
    tried: &str,
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|e| Err(Error::new(ErrorKind::Internal, tried).caused_by(e)))
}
