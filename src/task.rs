//! Operations: values that do nothing until they are awaited (`.await`), waited for (`.wait()`) or started (`.start()`).
//!
//! They own what they need, run on the engine, and so work on any runtime and on any thread.

use crate::{
    engine,
    error::{Error, ErrorKind, Failure},
};
use std::{
    fmt,
    future::{Future, IntoFuture},
    panic::Location,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
};
use tokio::sync::oneshot;

/// What becomes of an operation when its [`Task`] is dropped before it is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnDrop {
    /// Its future is dropped on the engine.
    Cancel,
    /// It runs to its end, and its result is dropped there: a create call that was sent is never abandoned, and a guard
    /// that nobody received ends what it guards.
    Finish,
}

/// An operation that runs; a future of its result.
///
/// Dropping it cancels the operation, unless the operation creates something: then it runs to its end and what it made
/// is ended.
#[must_use = "dropping a task cancels the operation"]
pub struct Task<T> {
    result: oneshot::Receiver<Result<T, Error>>,
    name: &'static str,
    at: &'static Location<'static>,
    cancel: Option<tokio::task::AbortHandle>,
}

impl<T: Send + 'static> Task<T> {
    /// Starts a future on the engine.
    #[track_caller]
    pub(crate) fn start<F>(name: &'static str, on_drop: OnDrop, future: F) -> Self
    where
        F: Future<Output = Result<T, Error>> + Send + 'static,
    {
        let (sender, result) = oneshot::channel();
        let cancel = match engine::handle() {
            Ok(engine) => {
                let running = engine.spawn(async move {
                    // A result that nobody takes is dropped right here, on the engine.
                    let _ = sender.send(future.await);
                });
                (on_drop == OnDrop::Cancel).then(|| running.abort_handle())
            }
            Err(error) => {
                let _ = sender.send(Err(error));
                None
            }
        };
        Self { result, name, at: Location::caller(), cancel }
    }

    /// Waits for the result on this thread, with or without a runtime.
    ///
    /// # Errors
    ///
    /// Those of the operation. Within the engine itself, where waiting would never end, an error that says so.
    pub fn wait(mut self) -> Result<T, Failure> {
        if engine::is_current_thread() {
            let error = Error::new(ErrorKind::Internal, self.name)
                .because("`.wait()` was called on ec2-harness's own thread, which would wait for itself")
                .advise("use `.await` there");
            return Err(Failure::new(error, self.at));
        }
        block_on(&mut self)
    }
}

impl<T> Future for Task<T> {
    type Output = Result<T, Failure>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let (name, at) = (self.name, self.at);
        Pin::new(&mut self.result).poll(context).map(|received| {
            let result = received.unwrap_or_else(|_| {
                Err(Error::new(ErrorKind::Internal, name).because("the operation panicked, or was cancelled"))
            });
            result.map_err(|error| Failure::new(error, at))
        })
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        if let Some(cancel) = &self.cancel {
            cancel.abort();
        }
    }
}

/// An operation without settings: does nothing until it is awaited, waited for or started.
#[must_use = "nothing happens before `.await`, `.wait()` or `.start()`"]
pub struct Operation<T> {
    name: &'static str,
    on_drop: OnDrop,
    future: Pin<Box<dyn Future<Output = Result<T, Error>> + Send>>,
}

impl<T> fmt::Debug for Operation<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Operation").field(&self.name).finish()
    }
}

impl<T: Send + 'static> Operation<T> {
    pub(crate) fn new<F>(name: &'static str, on_drop: OnDrop, future: F) -> Self
    where
        F: Future<Output = Result<T, Error>> + Send + 'static,
    {
        Self { name, on_drop, future: Box::pin(future) }
    }

    /// Starts it, and returns at once.
    #[track_caller]
    pub fn start(self) -> Task<T> {
        Task::start(self.name, self.on_drop, self.future)
    }

    /// Runs it and waits for it on this thread; no runtime is needed, and none is disturbed.
    ///
    /// # Errors
    ///
    /// Those of the operation.
    #[track_caller]
    pub fn wait(self) -> Result<T, Failure> {
        self.start().wait()
    }
}

impl<T: Send + 'static> IntoFuture for Operation<T> {
    type Output = Result<T, Failure>;
    type IntoFuture = Task<T>;

    #[track_caller]
    fn into_future(self) -> Task<T> {
        self.start()
    }
}

/// Drives a future on this thread: a few lines, so that no runtime is needed, or disturbed, where a test waits.
///
/// Nor does it depend on who calls it. Within a task of Tokio's that has used up its cooperative budget, Tokio's channels would answer
/// that they are pending and leave it to the scheduler to wake us, which never comes to it while we hold its thread; so we
/// wait outside of the budget. And a wake-up counts even where somebody else has taken the thread's token.
pub(crate) fn block_on<F: Future + Unpin>(future: F) -> F::Output {
    struct Unpark {
        thread: Thread,
        is_woken: AtomicBool,
    }
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.is_woken.store(true, Ordering::Release);
            self.thread.unpark();
        }
    }
    let unpark = Arc::new(Unpark { thread: thread::current(), is_woken: AtomicBool::new(false) });
    let waker = Waker::from(unpark.clone());
    let mut context = Context::from_waker(&waker);
    let mut future = tokio::task::unconstrained(future);
    loop {
        if let Poll::Ready(output) = Pin::new(&mut future).poll(&mut context) {
            return output;
        }
        while !unpark.is_woken.swap(false, Ordering::Acquire) {
            thread::park();
        }
    }
}

/// Makes an operation of a builder: `.await`, `.wait()` and `.start()`.
///
/// The builder has `fn run(self) -> impl Future<Output = Result<Output, Error>> + Send + 'static`.
macro_rules! operation {
    ($builder:ident -> $output:ty, $name:literal, $on_drop:ident) => {
        impl $builder {
            /// Starts it, and returns at once.
            #[track_caller]
            pub fn start(self) -> $crate::Task<$output> {
                $crate::Task::start($name, $crate::task::OnDrop::$on_drop, self.run())
            }

            /// Runs it and waits for it on this thread; no runtime is needed, and none is disturbed.
            ///
            /// # Errors
            ///
            /// Those of the operation.
            #[track_caller]
            pub fn wait(self) -> $crate::Result<$output> {
                self.start().wait()
            }
        }

        impl ::std::future::IntoFuture for $builder {
            type Output = $crate::Result<$output>;
            type IntoFuture = $crate::Task<$output>;

            #[track_caller]
            fn into_future(self) -> Self::IntoFuture {
                self.start()
            }
        }
    };
}
pub(crate) use operation;

#[cfg(test)]
mod tests {
    use super::*;
    use std::{sync::mpsc, time::Duration};

    /// How many of Tokio's channels a task may receive from in one poll before they answer that they are pending.
    const BUDGET: usize = 128;

    fn later() -> Operation<u32> {
        Operation::new("wait a little", OnDrop::Cancel, async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            Ok(7)
        })
    }

    /// Runs a body on a thread of its own; `None` if it hangs.
    fn within_patience<T: Send + 'static>(body: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || sender.send(body()));
        receiver.recv_timeout(Duration::from_secs(30)).ok()
    }

    #[test]
    fn a_wait_ends_in_a_task_that_has_used_up_its_budget() {
        let body = || {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(async {
                let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
                for n in 0..2 * BUDGET {
                    sender.send(n).unwrap();
                }
                for _ in 0..BUDGET {
                    receiver.recv().await.unwrap();
                }
                later().wait().unwrap()
            })
        };
        assert_eq!(within_patience(body), Some(7));
    }

    #[test]
    fn a_wait_ends_though_somebody_takes_its_threads_token() {
        struct Thief(Task<u32>);
        impl Future for Thief {
            type Output = u32;
            fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<u32> {
                let polled = Pin::new(&mut self.0).poll(context);
                // Long enough for the operation to end meanwhile, and to leave its token.
                thread::sleep(Duration::from_millis(200));
                thread::park_timeout(Duration::ZERO);
                polled.map(Result::unwrap)
            }
        }
        assert_eq!(within_patience(|| block_on(Thief(later().start()))), Some(7));
    }
}
