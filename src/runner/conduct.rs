//! One test, from its declaration to its record.

use super::{
    body::{self, Clock, Over, notice},
    context::TestContext,
    ending,
    inject::{Given, Plan},
    outcome::{Ended, Outcome, Verdict},
    record::{Cause, Conclusion, Phase, Record},
    report, requirement,
    test::Test,
};
use crate::{
    config::Config,
    ec2::{Ec2, Instance, Vpc},
    error::{Error, ErrorKind, Failure, panic_text},
    scope::Scope,
    task::block_on,
    teardown::signals,
};
use futures_util::stream::{FuturesUnordered, StreamExt};
use std::{
    any::Any,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    time::{Duration, Instant, SystemTime},
};

/// A body that is ready to run; `None`: it had to be dropped.
type Body<'a> = Box<dyn FnOnce(Over) -> Option<Result<(), Cause>> + 'a>;

/// What a body panicked with.
type Panic = Box<dyn Any + Send>;

/// Makes a body of what was provided.
type Receive<'a> = Box<dyn FnOnce(&mut Given) -> Result<Body<'a>, Error> + 'a>;

/// Runs a test whose body is sync.
pub fn run<P, R, B, T>(test: Test, plan: P)
where
    P: FnOnce(&mut Plan) -> R,
    R: FnOnce(&mut Given) -> Result<B, Error>,
    B: FnOnce() -> T,
    T: Outcome,
{
    let mut declared = Plan::default();
    let receive = plan(&mut declared);
    let receive = |given: &mut Given| {
        let body = receive(given)?;
        Ok(Box::new(move |_| Some(body().verdict())) as Body)
    };
    conduct(&test, &declared, Box::new(receive));
}

/// Runs a test whose body is async.
pub fn run_async<P, R, B, F>(test: Test, plan: P)
where
    P: FnOnce(&mut Plan) -> R,
    R: FnOnce(&mut Given) -> Result<B, Error>,
    B: FnOnce() -> F,
    F: Future<Output: Outcome>,
{
    let mut declared = Plan::default();
    let receive = plan(&mut declared);
    let receive = |given: &mut Given| {
        let body = receive(given)?;
        let body = move |over| match body::block_on(body, over) {
            Ok(output) => output.map(Verdict::verdict),
            Err(error) => Some(Err(Cause::NotProvided(error))),
        };
        Ok(Box::new(body) as Body)
    };
    conduct(&test, &declared, Box::new(receive));
}

/// Why a body was never begun.
enum Hindrance {
    /// Something that the test requires isn't there.
    Skip(String),
    /// What it declares could not be provided.
    Error(Error),
}

impl From<Failure> for Hindrance {
    fn from(failure: Failure) -> Self {
        Self::Error(failure.into_error())
    }
}

impl From<Error> for Hindrance {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

fn conduct(test: &Test, plan: &Plan, receive: Receive<'_>) {
    let (began, mut phases) = (SystemTime::now(), Phases::begin());
    let scope = Scope::test(&test.name);
    let (config, attempted) = match Config::load() {
        Ok(config) => {
            let config = test.configure(config);
            let attempted = attempt(test, &config, &scope, &mut phases, plan, receive);
            (config, attempted)
        }
        Err(error) => (Config::default(), Ok(Ended::Failed(Cause::NotProvided(error)))),
    };
    signals::give_way();
    let (ended, skip) = match attempted {
        Ok(ended) => (ended, None),
        Err(Hindrance::Error(error)) => {
            scope.note_failed_launch();
            (Ended::Failed(Cause::NotProvided(error)), None)
        }
        Err(Hindrance::Skip(reason)) if config.no_skip => (Ended::Failed(Cause::SkipForbidden(reason)), None),
        Err(Hindrance::Skip(reason)) => (Ended::Passed, Some(reason)),
    };
    let (mut causes, panic) = match skip {
        Some(_) => (complaints(&scope).collect(), None),
        None => causes(test, &scope, ended),
    };

    let ending = ending::end(scope.close(), !causes.is_empty(), config.keep);
    phases.end(Phase::End);
    if let Some(error) = ending.left {
        let cause = Cause::LeftBehind(error);
        notice(&format!("test `{}`: {cause}", test.name));
        causes.push(cause);
    }
    for how in ending.machines.iter().filter_map(|machine| machine.kept.as_ref()) {
        notice(&format!("test `{}`: {how}", test.name));
    }
    let outcome = match skip {
        _ if !causes.is_empty() => Conclusion::Failed,
        Some(reason) => Conclusion::Skipped(reason),
        None => Conclusion::Passed,
    };
    let record = Record {
        test: test.name.clone(),
        at: test.at,
        began,
        outcome,
        causes,
        phases: phases.done,
        machines: ending.machines,
        no_evidence: ending.no_evidence,
        local_seed: scope.local_seed(),
    };
    let text = report::text(&record);
    record.emit(&text);
    match &record.outcome {
        Conclusion::Skipped(reason) => skipped(test, reason),
        Conclusion::Failed => fail(test, panic, &text),
        Conclusion::Passed => pass(panic),
    }
}

/// What a test's phases take.
struct Phases {
    began: Instant,
    since: Instant,
    done: Vec<(Phase, Duration)>,
}

impl Phases {
    fn begin() -> Self {
        let now = Instant::now();
        Self { began: now, since: now, done: Vec::new() }
    }

    /// A phase is over, and the next begins.
    fn end(&mut self, phase: Phase) {
        self.done.push((phase, self.since.elapsed()));
        self.since = Instant::now();
    }
}

/// Provides what the test declares, and runs its body.
fn attempt(
    test: &Test,
    config: &Config,
    scope: &Scope,
    phases: &mut Phases,
    plan: &Plan,
    receive: Receive<'_>,
) -> Result<Ended, Hindrance> {
    if let Some(reason) = requirement::missing_at_target(&test.requirements, config) {
        return Err(Hindrance::Skip(reason));
    }
    let started = SystemTime::now();
    let (_counting, over) = Clock::start(scope, config.timeout)?;
    let mut given_vpc = None;
    let context = if plan.connects {
        let ec2 = Ec2::connect().config(config.clone()).scope(scope.clone()).wait()?;
        scope.note_local_seed(ec2.local_seed());
        let vpc = provide_vpc(test, plan, &ec2)?;
        let image = test.image.clone().filter(|image| image.as_query().is_none());
        let ec2 = Ec2 { vpc: vpc.as_ref().map(Vpc::handle), image, ..ec2 };
        given_vpc = vpc;
        Some(TestContext { name: test.name.clone(), ec2, started, clock: phases.began })
    } else {
        None
    };
    let machines = match &context {
        Some(context) => launch(test, &context.ec2, plan, scope)?,
        None => Vec::new(),
    };
    if let Some(reason) = requirement::missing_on_machines(&test.requirements, &machines)? {
        return Err(Hindrance::Skip(reason));
    }
    let body = receive(&mut Given::new(context, machines, given_vpc))?;
    phases.end(Phase::Provision);
    let returned = catch_unwind(AssertUnwindSafe(|| body(over)));
    phases.end(Phase::Body);
    Ok(match returned {
        Ok(Some(Ok(()))) => Ended::Passed,
        Ok(Some(Err(cause))) => Ended::Failed(cause),
        Ok(None) => Ended::Failed(Cause::Dropped { limit: config.timeout, grace: body::GRACE }),
        Err(payload) => Ended::Panicked(payload),
    })
}

/// The range of a test's own VPC where none is said.
const VPC_RANGE: &str = "10.20.0.0/16";

/// Makes the test's own VPC, if it declares one.
fn provide_vpc(test: &Test, plan: &Plan, ec2: &Ec2) -> Result<Option<Vpc>, Error> {
    let range = match (&test.vpc, &*plan.vpcs) {
        (None, []) => return Ok(None),
        (range, [] | [_]) => range.as_deref().unwrap_or(VPC_RANGE),
        (_, several) => {
            let names = several.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
            return Err(Error::new(ErrorKind::Configuration, format!("provide {names}"))
                .because("a test has one VPC of its own, in which its machines stand")
                .advise("make others in its body with `ec2.create_vpc(..)`"));
        }
    };
    let name = plan.vpcs.first().map_or("the test's VPC", |name| name);
    let made = ec2.create_vpc(range).wait();
    made.map(Some).map_err(|failure| failure.into_error().while_trying(&format!("provide {name}")))
}

/// Launches all machines together, in the order of the plan. With the first that fails the others are given up.
fn launch(test: &Test, ec2: &Ec2, plan: &Plan, scope: &Scope) -> Result<Vec<Instance>, Error> {
    let mut launches = plan
        .machines()
        .iter()
        .enumerate()
        .map(|(position, planned)| {
            let launch = planned.launch(ec2, test).start();
            async move { (position, launch.await.map_err(Error::from)) }
        })
        .collect::<FuturesUnordered<_>>();
    let mut launched = Vec::new();
    let mut failed: Option<Error> = None;
    while let Some((position, result)) = block_on(launches.next()) {
        match result {
            Ok(instance) => launched.push((position, instance)),
            Err(error) => {
                let name = &plan.machines()[position].name;
                scope.cancel(format!("`{name}`, which was launched together with it, has failed"));
                let error = error.while_trying(&format!("provide `{name}`"));
                // Those that were given up for the first one's sake are no cause.
                match failed.take() {
                    None => failed = Some(error),
                    Some(first) if error.kind() == ErrorKind::Cancelled => failed = Some(first),
                    Some(first) => failed = Some(first.with_evidence("another machine", format!("failed to {error}"))),
                }
            }
        }
    }
    match failed {
        Some(error) => Err(error),
        None => {
            launched.sort_by_key(|(position, _)| *position);
            Ok(launched.into_iter().map(|(_, instance)| instance).collect())
        }
    }
}

/// Why a test fails, the first cause first, and empty if it passes; and the panic of its body.
fn causes(test: &Test, scope: &Scope, ended: Ended) -> (Vec<Cause>, Option<Panic>) {
    let (cause, panic) = match (ended, test.should_panic) {
        (Ended::Passed, None) => (None, None),
        (Ended::Passed, Some(_)) => (Some(Cause::NoPanic), None),
        (Ended::Failed(cause), None) => (Some(cause), None),
        (Ended::Failed(cause), Some(_)) => (Some(Cause::InsteadOfPanic(Box::new(cause))), None),
        (Ended::Panicked(panic), expected) => {
            let text = panic_text(&*panic).to_owned();
            let cause = match expected {
                None => Some(Cause::Panicked(text)),
                Some(_) if scope.failed_launches() > 0 => Some(Cause::PanickedAfterFailedLaunch(text)),
                Some(expected) if !text.contains(expected) => {
                    Some(Cause::PanickedOtherwise { expected: expected.to_owned(), text })
                }
                Some(_) => None,
            };
            (cause, Some(panic))
        }
    };
    let mut causes = Vec::from_iter(cause);
    if let Some(limit) = scope.expired()
        && !causes.iter().any(Cause::is_timeout)
    {
        causes.push(Cause::TimedOut(limit));
    }
    causes.extend(complaints(scope));
    (causes, panic)
}

/// What the test never did.
fn complaints(scope: &Scope) -> impl Iterator<Item = Cause> {
    scope.take_complaints().into_iter().map(Cause::Complaint)
}

/// Lets libtest see a passed test: an expected panic goes on.
fn pass(panic: Option<Panic>) {
    if let Some(panic) = panic {
        resume_unwind(panic);
    }
}

/// Lets libtest see a failed test. Where it expects a panic, returning is what fails.
fn fail(test: &Test, panic: Option<Panic>, report: &str) {
    eprint!("{report}");
    match (test.should_panic, panic) {
        (None, Some(panic)) => resume_unwind(panic),
        // No panic hook runs for it: the report is printed already.
        (None, None) => resume_unwind(Box::new("the test failed")),
        (Some(expected), Some(panic)) if !panic_text(&*panic).contains(expected) => resume_unwind(panic),
        (Some(_), _) => {}
    }
}

/// Lets libtest see what it has no word for: a test that passes, and says that it was skipped.
fn skipped(test: &Test, reason: &str) {
    notice(&format!("test `{}` skipped: {reason}", test.name));
    if let Some(expected) = test.should_panic {
        resume_unwind(Box::new(expected));
    }
}

#[cfg(test)]
mod tests;
