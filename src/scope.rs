//! What belongs to one test, or to the process outside of any test: its deadline, what it complains of, and what waits
//! for its end.
//!
//! Operations ask it whether they may go on; guards ask it whether to end at once or to wait for the test's outcome.
//! What this room isn't: the runner, which opens and closes a scope and reports.

use crate::{
    error::{Error, ErrorKind},
    teardown::owned::Owned,
};
use std::{
    fmt,
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::sync::watch;

/// What helps against a test's timeout.
pub(crate) const MORE_TIME: &str = "raise it with #[ec2_test(timeout = \"…\")] or EC2_HARNESS_TIMEOUT";

/// A handle on a scope; cheap to clone.
#[derive(Clone)]
pub(crate) struct Scope(Arc<Inner>);

struct Inner {
    /// The test's name; `None` outside of a test.
    test: Option<String>,
    ended: watch::Sender<Option<Ended>>,
    /// How many pauses there are just now, in which its time doesn't count.
    pauses: watch::Sender<usize>,
    state: Mutex<State>,
}

/// A test's clock stands still for as long as this lives.
#[derive(Debug)]
pub(crate) struct Paused(Scope);

impl Drop for Paused {
    fn drop(&mut self) {
        self.0.0.pauses.send_modify(|pauses| *pauses = pauses.saturating_sub(1));
    }
}

/// Why no further operation runs.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Ended {
    /// The test's time, this much, has passed.
    Expired(Duration),
    /// The test has failed already.
    Cancelled(String),
}

#[derive(Default)]
struct State {
    closed: bool,
    parked: Vec<Arc<dyn Owned>>,
    complaints: Vec<String>,
    failed_launches: usize,
    local_seed: Option<u64>,
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Scope").field(&self.0.test).finish()
    }
}

impl Scope {
    /// The scope of what is done outside of a test: no deadline, nothing is parked.
    pub(crate) fn process() -> Self {
        Self::new(None)
    }

    /// The scope of one test.
    pub(crate) fn test(name: impl Into<String>) -> Self {
        Self::new(Some(name.into()))
    }

    fn new(test: Option<String>) -> Self {
        Self(Arc::new(Inner {
            test,
            ended: watch::Sender::new(None),
            pauses: watch::Sender::new(0),
            state: Mutex::default(),
        }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The test's name.
    pub(crate) fn test_name(&self) -> Option<&str> {
        self.0.test.as_deref()
    }

    /// Keeps something whose guard was dropped until the test's outcome is known. Gives it back where nobody will come
    /// for it: outside of a test, or after the test's end.
    pub(crate) fn park(&self, owned: Arc<dyn Owned>) -> Option<Arc<dyn Owned>> {
        let mut state = self.state();
        if self.0.test.is_none() || state.closed {
            return Some(owned);
        }
        state.parked.push(owned);
        None
    }

    /// Notes what makes a test fail though its body passed, for example an assert that was never run.
    pub(crate) fn complain(&self, complaint: String) {
        if self.0.test.is_some() {
            self.state().complaints.push(complaint);
        } else {
            tracing::warn!("{complaint}");
        }
    }

    /// Takes the complaints.
    pub(crate) fn take_complaints(&self) -> Vec<String> {
        std::mem::take(&mut self.state().complaints)
    }

    /// Stops the test's clock until the value is dropped.
    pub(crate) fn pause(&self) -> Paused {
        self.0.pauses.send_modify(|pauses| *pauses += 1);
        Paused(self.clone())
    }

    /// Returns once so much time has passed in which the test wasn't paused.
    pub(crate) async fn sleep(&self, mut left: Duration) {
        let mut pauses = self.0.pauses.subscribe();
        loop {
            // It lives as long as the scope.
            let _ = pauses.wait_for(|pauses| *pauses == 0).await;
            let since = Instant::now();
            tokio::select! {
                () = tokio::time::sleep(left) => return,
                _ = pauses.changed() => left = left.saturating_sub(since.elapsed()),
            }
        }
    }

    /// Lets the deadline pass: from now on every operation of this scope but teardown fails with `timed out`.
    pub(crate) fn expire(&self, after: Duration) {
        self.end(Ended::Expired(after));
    }

    /// Whether the deadline has passed, and how long it was.
    pub(crate) fn expired(&self) -> Option<Duration> {
        match *self.0.ended.borrow() {
            Some(Ended::Expired(after)) => Some(after),
            _ => None,
        }
    }

    /// Ends what is under way, because the test has failed already: every operation but teardown fails as cancelled.
    pub(crate) fn cancel(&self, reason: impl Into<String>) {
        self.end(Ended::Cancelled(reason.into()));
    }

    /// The first reason stays.
    fn end(&self, reason: Ended) {
        self.0.ended.send_if_modified(|ended| {
            let first = ended.is_none();
            ended.get_or_insert(reason);
            first
        });
    }

    /// Notes that a launch of this test has failed, no matter who sees the error: a panic about it is not the one that
    /// `#[should_panic]` means.
    pub(crate) fn note_failed_launch(&self) {
        self.state().failed_launches += 1;
    }

    /// Notes what the local EC2's chance follows from, for the report.
    pub(crate) fn note_local_seed(&self, seed: Option<u64>) {
        self.state().local_seed = seed;
    }

    /// What the local EC2's chance follows from, if this test is at one.
    pub(crate) fn local_seed(&self) -> Option<u64> {
        self.state().local_seed
    }

    /// How many launches have failed.
    pub(crate) fn failed_launches(&self) -> usize {
        self.state().failed_launches
    }

    /// Closes the scope and hands out what waits for its end; guards that are dropped later end at once.
    pub(crate) fn close(&self) -> Vec<Arc<dyn Owned>> {
        let mut state = self.state();
        state.closed = true;
        std::mem::take(&mut state.parked)
    }

    /// Runs a future until the scope's deadline, or until the test has failed for another reason.
    pub(crate) async fn run<T>(
        &self,
        tried: impl Fn() -> String,
        future: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let mut ended = self.0.ended.subscribe();
        tokio::select! {
            biased;
            reason = ended.wait_for(Option::is_some) => Err(match reason.ok().and_then(|reason| reason.clone()) {
                Some(Ended::Expired(limit)) => Error::new(ErrorKind::TimedOut, tried())
                    .because(format!("timed out: the test's {} have passed", humantime::format_duration(limit)))
                    .advise(MORE_TIME),
                Some(Ended::Cancelled(reason)) => Error::new(ErrorKind::Cancelled, tried()).because(reason),
                None => Error::new(ErrorKind::Cancelled, tried()).because("the test is over"),
            }),
            result = future => result,
        }
    }
}
