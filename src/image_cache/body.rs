//! The body of a set-up: it runs on a thread of its own, as a test's does, so that it may block, and need not be `Send`.

use crate::{
    ec2::Machine,
    error::{Error, ErrorKind, Failure, panic_text},
    scope::Scope,
};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    thread,
    time::Duration,
};
use tokio::{runtime::Builder, sync::oneshot};

/// How long what a body has spawned may still block.
const GRACE: Duration = Duration::from_secs(5);

/// What the body of an [`#[ec2_snapshot]`](macro@crate::ec2_snapshot) may return: `()`, or a `Result` whose error `?` takes into a
/// [`Failure`].
#[diagnostic::on_unimplemented(
    message = "an `#[ec2_snapshot]` can't return `{Self}`",
    label = "not a set-up's outcome",
    note = "a set-up returns `()`, or a `Result` whose error `?` takes into an `ec2_harness::Failure`"
)]
pub trait SetUpOutcome {
    /// Whether it has succeeded.
    ///
    /// # Errors
    ///
    /// Why it hasn't.
    fn outcome(self) -> Result<(), Failure>;
}

impl SetUpOutcome for () {
    fn outcome(self) -> Result<(), Failure> {
        Ok(())
    }
}

impl<T, E> SetUpOutcome for Result<T, E>
where
    Failure: From<E>,
{
    fn outcome(self) -> Result<(), Failure> {
        self.map(drop).map_err(Failure::from)
    }
}

/// Runs a sync body.
///
/// # Errors
///
/// The body's.
pub fn run<T: SetUpOutcome>(body: impl FnOnce(Machine) -> T, machine: Machine) -> Result<(), Failure> {
    body(machine).outcome()
}

/// Runs an async body on a runtime of its own, on this thread; it is dropped when its time has passed.
///
/// # Errors
///
/// The body's, or that its time has passed.
pub fn run_async<F>(body: impl FnOnce(Machine) -> F, machine: Machine) -> Result<(), Failure>
where
    F: Future<Output: SetUpOutcome>,
{
    let failed = |e| Error::new(ErrorKind::Internal, "start a runtime for a set-up").caused_by(e);
    let runtime = Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let (scope, name) = (machine.scope().clone(), machine.name().to_owned());
    let body = async { Ok(body(machine).await.outcome()) };
    let outcome = runtime.block_on(scope.run(|| format!("set {name} up"), body));
    runtime.shutdown_timeout(GRACE);
    outcome?
}

/// Runs a body, of either kind, on a thread of its own.
pub(super) async fn conduct(
    body: fn(Machine) -> Result<(), Failure>,
    machine: Machine,
    scope: &Scope,
) -> Result<(), Error> {
    let tried = format!("set {machine} up");
    let (sender, ended) = oneshot::channel();
    let run = move || {
        let ended = catch_unwind(AssertUnwindSafe(|| body(machine)));
        // Nobody waits for one whose time has passed.
        let _ = sender.send(ended.map_err(|panic| panic_text(&*panic).to_owned()));
    };
    let thread = thread::Builder::new().name("ec2-harness-set-up".into()).spawn(run);
    thread.map_err(|e| Error::new(ErrorKind::Internal, &tried).caused_by(e))?;
    let lost = || Error::new(ErrorKind::Internal, &tried).because("its thread has ended");
    match scope.run(|| tried.clone(), async { ended.await.map_err(|_| lost()) }).await? {
        Ok(Ok(())) => Ok(()),
        Ok(Err(failure)) => {
            let at = format!("{}:{}", failure.location().file(), failure.location().line());
            let error = failure.into_error();
            Err(error.with_evidence("where", at))
        }
        Err(panic) => Err(Error::new(ErrorKind::Other, &tried).because(format!("it panicked: {panic}"))),
    }
}
