//! One test, from its declaration to its report.

use super::{
    body::{self, Clock, Over, notice},
    context::TestContext,
    ending,
    inject::{Given, Plan},
    outcome::{Ended, Outcome, panic_text},
    record::{self, Record},
    requirement,
    test::Test,
};
use crate::{
    config::Config,
    ec2::{Ec2, Instance},
    error::{Error, ErrorKind, Failure},
    scope::Scope,
    task::block_on,
    teardown::signals,
};
use futures_util::stream::{FuturesUnordered, StreamExt};
use std::{
    fmt::Write,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    time::{Instant, SystemTime},
};

/// A body that is ready to run; `None`: it had to be dropped.
type Body<'a> = Box<dyn FnOnce(Over) -> Option<Result<(), String>> + 'a>;

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
            Ok(output) => output.map(Outcome::verdict),
            Err(error) => Some(Err(format!("failed to {error}"))),
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
    let clock = Instant::now();
    let config = Config::load().map(|config| test.configure(config));
    let scope = Scope::test(&test.name);
    let attempted = match &config {
        Ok(config) => attempt(test, config, &scope, clock, plan, receive),
        Err(error) => Ok(Ended::Failed(format!("failed to {error}"))),
    };
    signals::give_way();
    let config = config.unwrap_or_default();
    let (ended, skip) = match attempted {
        Ok(ended) => (ended, None),
        Err(Hindrance::Error(error)) => {
            scope.note_failed_launch();
            (Ended::Failed(format!("failed to {error}")), None)
        }
        Err(Hindrance::Skip(reason)) if config.no_skip => {
            let text = format!("skipped: {reason}\n(skipping is forbidden by EC2_HARNESS_NO_SKIP or `no_skip`)");
            (Ended::Failed(text), None)
        }
        Err(Hindrance::Skip(reason)) => (Ended::Passed, Some(reason)),
    };

    let mut causes = if skip.is_some() { scope.take_complaints() } else { causes(test, &scope, &ended) };
    let ending = ending::end(scope.close(), !causes.is_empty(), config.keep);
    if let Some(error) = &ending.left {
        let text = format!("something may have been left behind: failed to {error}");
        notice(&format!("test `{}`: {text}", test.name));
        causes.push(text);
    }
    for how in &ending.kept {
        notice(&format!("test `{}`: {how}", test.name));
    }

    let report = report(test, &causes, scope.local_seed(), &ending.evidence);
    let (result, text) = match (&skip, causes.is_empty()) {
        (_, false) => (record::Result::Failed, report.as_str()),
        (Some(reason), true) => (record::Result::Skipped, reason.as_str()),
        (None, true) => (record::Result::Passed, ""),
    };
    Record { test: &test.name, at: test.at, result, duration: clock.elapsed(), text }.emit();
    match (result, skip) {
        (record::Result::Skipped, Some(reason)) => skipped(test, &reason),
        (record::Result::Failed, _) => fail(test, ended, &report),
        _ => pass(ended),
    }
}

/// Provides what the test declares, and runs its body.
fn attempt(
    test: &Test,
    config: &Config,
    scope: &Scope,
    clock: Instant,
    plan: &Plan,
    receive: Receive<'_>,
) -> Result<Ended, Hindrance> {
    if let Some(reason) = requirement::missing_at_target(&test.requirements, config) {
        return Err(Hindrance::Skip(reason));
    }
    let started = SystemTime::now();
    let (_counting, over) = Clock::start(scope, config.timeout)?;
    let context = if plan.connects {
        let ec2 = Ec2::connect().config(config.clone()).scope(scope.clone()).wait()?;
        scope.note_local_seed(ec2.local_seed());
        Some(TestContext { name: test.name.clone(), ec2, started, clock })
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
    let body = receive(&mut Given::new(context, machines))?;
    Ok(match catch_unwind(AssertUnwindSafe(|| body(over))) {
        Ok(Some(Ok(()))) => Ended::Passed,
        Ok(Some(Err(text))) => Ended::Failed(text),
        Ok(None) => Ended::Failed(format!(
            "timed out: the test's {} have passed, and {} later its body had not returned; it was dropped",
            humantime::format_duration(config.timeout),
            humantime::format_duration(body::GRACE)
        )),
        Err(payload) => Ended::Panicked(payload),
    })
}

/// Launches all machines together, in the order of the plan. With the first that fails the others are given up.
fn launch(test: &Test, ec2: &Ec2, plan: &Plan, scope: &Scope) -> Result<Vec<Instance>, Error> {
    let mut launches = plan
        .machines()
        .iter()
        .enumerate()
        .map(|(position, planned)| {
            let launch = planned.launch(ec2, test.user_data.as_deref()).start();
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

/// Why a test fails, the first cause first; empty if it passes.
fn causes(test: &Test, scope: &Scope, ended: &Ended) -> Vec<String> {
    let mut causes = Vec::new();
    match (ended, test.should_panic) {
        (Ended::Passed, None) => {}
        (Ended::Passed, Some(_)) => causes.push("it did not panic, as `#[should_panic]` expects".into()),
        (Ended::Failed(text), None) => causes.push(text.clone()),
        (Ended::Failed(text), Some(_)) => {
            causes.push(format!("{text}\n(no panic of the test, as `#[should_panic]` expects)"))
        }
        (Ended::Panicked(payload), None) => causes.push(format!("panicked: {}", panic_text(&**payload))),
        (Ended::Panicked(payload), Some(expected)) => {
            let text = panic_text(&**payload);
            if scope.failed_launches() > 0 {
                causes
                    .push(format!("panicked, but after a failed launch, which `#[should_panic]` never means: {text}"));
            } else if !text.contains(expected) {
                causes.push(format!("panicked with other words than `{expected}`: {text}"));
            }
        }
    }
    if let Some(limit) = scope.expired()
        && !causes.iter().any(|cause| cause.contains("timed out"))
    {
        causes.push(format!("timed out: the test's {} have passed", humantime::format_duration(limit)));
    }
    causes.extend(scope.take_complaints());
    causes
}

fn report(test: &Test, causes: &[String], local_seed: Option<u64>, evidence: &str) -> String {
    let mut report = String::new();
    // Writing to a string can't fail. The first word is the one by which nextest finds the cause.
    for (n, cause) in causes.iter().enumerate() {
        let _ = match n {
            0 => writeln!(report, "Error: test `{}` failed: {}\n  test at {}", test.name, cause.trim_end(), test.at),
            _ => writeln!(report, "also: {}", cause.trim_end()),
        };
    }
    if let Some(seed) = local_seed {
        let _ =
            writeln!(report, "  at the local EC2 of seed {seed}; EC2_HARNESS_LOCAL_SEED={seed} draws the same again");
    }
    report.push_str(evidence);
    report
}

/// Lets libtest see a passed test: an expected panic goes on.
fn pass(ended: Ended) {
    if let Ended::Panicked(payload) = ended {
        resume_unwind(payload);
    }
}

/// Lets libtest see a failed test. Where it expects a panic, returning is what fails.
fn fail(test: &Test, ended: Ended, report: &str) {
    eprint!("{report}");
    match (test.should_panic, ended) {
        (None, Ended::Panicked(payload)) => resume_unwind(payload),
        // No panic hook runs for it: the report is printed already.
        (None, _) => resume_unwind(Box::new("the test failed")),
        (Some(expected), Ended::Panicked(payload)) if !panic_text(&*payload).contains(expected) => {
            resume_unwind(payload)
        }
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
