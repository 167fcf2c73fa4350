//! Running a test's body on the test's own thread, and the clock beside it.

use crate::{
    engine,
    error::{Error, ErrorKind},
    scope::Scope,
};
use std::{
    future::Future,
    io::Write,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    time::Duration,
};
use tokio::{runtime::Builder, sync::oneshot, task::AbortHandle, time::sleep};

/// How long a body may go on after its test's time has passed and every operation has failed.
pub(crate) const GRACE: Duration = Duration::from_secs(5);

/// Tells that the body's grace is over.
pub(crate) type Over = oneshot::Receiver<()>;

/// Counts a test's time; dropping it stops the clock.
#[derive(Debug)]
pub(crate) struct Clock(AbortHandle);

impl Clock {
    /// Lets the scope expire after `limit`, and tells so a grace later.
    pub(crate) fn start(scope: &Scope, limit: Duration) -> Result<(Self, Over), Error> {
        let (sender, over) = oneshot::channel();
        let scope = scope.clone();
        let counting = engine::spawn(async move {
            scope.sleep(limit).await;
            scope.expire(limit);
            sleep(GRACE).await;
            let _ = sender.send(());
            sleep(GRACE).await;
            notice(&format!(
                "test `{}` hangs: its {} have passed, and a body that blocks its thread can't be stopped by its \
                 own process: wait by operations, which end in time, or let nextest's `slow-timeout` end it",
                scope.test_name().unwrap_or_default(),
                humantime::format_duration(limit)
            ));
        })?;
        Ok((Self(counting.abort_handle()), over))
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Runs an async body on a runtime of its own, on this thread; `None` if it had to be dropped.
///
/// What it has spawned is dropped with it; blocking work is waited for as long as a grace.
pub(crate) fn block_on<F: Future>(body: impl FnOnce() -> F, over: Over) -> Result<Option<F::Output>, Error> {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| Error::new(ErrorKind::Internal, "start a runtime for an async test").caused_by(source))?;
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        runtime.block_on(async {
            tokio::select! {
                biased;
                output = async { body().await } => Some(output),
                Ok(()) = over => None,
            }
        })
    }));
    runtime.shutdown_timeout(GRACE);
    outcome.map_or_else(|panic| resume_unwind(panic), Ok)
}

/// Writes a line that is shown though the test passes: libtest captures only what `print!` and its kin write.
pub(crate) fn notice(text: &str) {
    // Where nobody reads standard error there is nobody to tell.
    let _ = writeln!(std::io::stderr().lock(), "ec2-harness: {text}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        rc::Rc,
        sync::{
            Arc,
            atomic::{AtomicBool, Ordering},
        },
        thread,
    };

    fn never_over() -> (oneshot::Sender<()>, Over) {
        oneshot::channel()
    }

    #[test]
    fn an_async_body_has_tokio_on_its_own_thread() {
        let (_sender, over) = never_over();
        let here = thread::current().id();
        let not_send = Rc::new(7);
        let body = || async move {
            let spawned = tokio::spawn(async { 35 }).await.unwrap();
            tokio::time::sleep(Duration::from_millis(1)).await;
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            assert!(listener.local_addr().unwrap().port() > 0);
            (spawned + *not_send, thread::current().id())
        };
        assert_eq!(block_on(body, over).unwrap(), Some((42, here)));
    }

    #[test]
    fn a_body_that_does_not_return_is_dropped_with_what_it_spawned() {
        struct Dropped(Arc<AtomicBool>);
        impl Drop for Dropped {
            fn drop(&mut self) {
                self.0.store(true, Ordering::SeqCst);
            }
        }
        let flags = [Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false))];
        let (sender, over) = never_over();
        let (one, other) = (Dropped(flags[0].clone()), Dropped(flags[1].clone()));
        let body = || async move {
            tokio::spawn(async move {
                let _held = other;
                std::future::pending::<()>().await;
            });
            tokio::task::yield_now().await;
            sender.send(()).unwrap();
            let _held = one;
            std::future::pending::<()>().await;
        };
        assert_eq!(block_on(body, over).unwrap(), None);
        assert!(flags.iter().all(|flag| flag.load(Ordering::SeqCst)));
    }

    #[test]
    fn a_clock_that_nobody_listens_to_does_not_end_the_body() {
        let (sender, over) = never_over();
        drop(sender);
        let body = || async { tokio::time::sleep(Duration::from_millis(5)).await };
        assert_eq!(block_on(body, over).unwrap(), Some(()));
    }

    #[test]
    fn the_clock_stands_still_in_a_pause() {
        let scope = Scope::test("t");
        let paused = scope.pause();
        let (_clock, _over) = Clock::start(&scope, Duration::from_millis(1)).unwrap();
        thread::sleep(Duration::from_millis(50));
        assert_eq!(scope.expired(), None);
        drop(paused);
        while scope.expired().is_none() {
            thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn the_clock_lets_the_scope_expire() {
        let scope = Scope::test("t");
        let limit = Duration::from_millis(1);
        let (_clock, _over) = Clock::start(&scope, limit).unwrap();
        let waiting = scope.clone();
        let operation = crate::task::Task::start("wait", crate::task::OnDrop::Cancel, async move {
            waiting.run(|| "wait for nothing".into(), std::future::pending::<Result<(), Error>>()).await
        });
        let error = operation.wait().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert!(error.to_string().contains("the test's 1ms have passed"), "{error}");
        assert_eq!(scope.expired(), Some(limit));
    }
}
