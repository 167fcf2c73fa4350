//! Asserting that a machine holds checks.

use super::{Machine, unrun::Unrun};
use crate::{
    check::{Checks, Host},
    error::{Error, ErrorKind},
    ssh::Command,
    task::operation,
};
use std::time::{Duration, Instant};

/// The pause between two looks within [`Assert::within`] grows with the age of the wait.
const PAUSE_PER_AGE: f64 = 0.1;
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(5);

impl Machine {
    /// Asserts that all checks hold: one round trip gathers the facts for all of them, and every failure is listed with its
    /// evidence. An assert that is never run fails its test.
    #[track_caller]
    pub fn assert(&self, checks: impl Into<Checks>) -> Assert {
        Assert {
            machine: self.clone(),
            checks: checks.into(),
            within: None,
            unrun: Unrun::new("the assert", self.scope().clone()),
        }
    }
}

impl From<&Machine> for Host {
    /// The private address; the name, where it isn't known yet.
    fn from(machine: &Machine) -> Self {
        machine.private_ip().map_or_else(|| Host::from(machine.name()), |address| Host::from(address.to_string()))
    }
}

impl From<&super::Instance> for Host {
    fn from(instance: &super::Instance) -> Self {
        Host::from(&**instance)
    }
}

/// An assert that is about to run; see [`Machine::assert`].
#[derive(Debug)]
#[must_use = "nothing is asserted before `.await`, `.wait()` or `.start()`"]
pub struct Assert {
    machine: Machine,
    checks: Checks,
    within: Option<Duration>,
    unrun: Unrun,
}

impl Assert {
    /// Looks again and again until all checks hold, for this long at most. Default: looks once.
    pub fn within(mut self, limit: Duration) -> Self {
        self.within = Some(limit);
        self
    }

    fn run(self) -> impl Future<Output = Result<(), Error>> + Send + 'static {
        let Self { machine, checks, within, unrun } = self;
        unrun.runs();
        async move {
            let look = look_until(&machine, &checks, within);
            machine.within_scope("check", look).await
        }
    }
}

operation!(Assert -> (), "check a machine", Cancel);

#[tracing::instrument(name = "assert", skip_all, fields(machine = %machine, checks = checks.len()))]
async fn look_until(machine: &Machine, checks: &Checks, within: Option<Duration>) -> Result<(), Error> {
    let since = Instant::now();
    let mut looks = 0_u32;
    loop {
        looks += 1;
        let error = match look(machine, checks).await {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        // What can't be answered now may be later: a booting machine gets its services one by one.
        let may_change = matches!(error.kind(), ErrorKind::Assertion | ErrorKind::Unanswerable | ErrorKind::Connection);
        let Some(limit) = within.filter(|_| may_change) else { return Err(error) };
        if since.elapsed() >= limit {
            return Err(error.advise(format!("looked {looks} times within {}", humantime::format_duration(limit))));
        }
        let pause = since.elapsed().mul_f64(PAUSE_PER_AGE).clamp(PAUSE_MIN, PAUSE_MAX);
        tokio::time::sleep(pause.min(limit.saturating_sub(since.elapsed()))).await;
    }
}

async fn look(machine: &Machine, checks: &Checks) -> Result<(), Error> {
    let command = Command::new("exec sh -s").stdin(checks.script());
    let output = machine.over_ssh(async { machine.session().await?.exec(command).await }).await?;
    checks.judge(output.stdout_bytes(), output.stderr_bytes()).into_result(&machine.to_string())
}
