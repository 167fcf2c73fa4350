//! When a machine is ready: running, SSH answers, cloud-init, if there is one, is done.
//!
//! sshd can answer before the key is there, so a refused key is final only once cloud-init has shown its completion on the
//! console, or after a minute's grace.

mod boot;
mod cause;
mod console;
mod host_key;
mod ingress;
mod login;
mod outside;
mod route;
mod watch;

pub(crate) use boot::{Boot, wait_for_boot_after};
pub(crate) use console::{console, tail};
pub(crate) use host_key::verify_host_key;
pub(crate) use watch::with_state;

use super::{Machine, machine::Reached};
use crate::{
    connection::patience::pause_at,
    error::{Error, ErrorKind},
    progress::Line,
};
use aws_sdk_ec2::types::{Instance as Description, InstanceStateName};
use cause::LastCause;
use std::time::{Duration, Instant};
use watch::Watch;

/// The longest pause between two attempts, which grows with the age of the wait.
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// One attempt to connect may take this long at first, and half of the wait's age later: a booting machine drops packets,
/// and a slow one needs time for its keys.
const ATTEMPT_MIN: Duration = Duration::from_secs(3);
const ATTEMPT_MAX: Duration = Duration::from_secs(30);

/// The pause before the next attempt of a wait that began then.
fn pause(since: Instant) -> Duration {
    pause_at(since.elapsed(), PAUSE_MAX)
}

/// The state of a described instance; one that EC2 doesn't name counts as pending.
pub(crate) fn state(described: &Description) -> InstanceStateName {
    described.state().and_then(|state| state.name().cloned()).unwrap_or(InstanceStateName::Pending)
}

/// Whether an instance in this state never comes back.
pub(crate) fn has_ended(state: &InstanceStateName) -> bool {
    matches!(state, InstanceStateName::ShuttingDown | InstanceStateName::Terminated)
}

/// An instance ended while something else was waited for.
pub(crate) fn ended_early(machine: &Machine, described: &Description) -> Error {
    Error::new(ErrorKind::Provisioning, format!("wait for {machine}")).because(state_and_reason(described))
}

/// What EC2 says of an instance: "it is stopped: …".
fn state_and_reason(described: &Description) -> String {
    let reason = described
        .state_reason()
        .and_then(|reason| reason.message())
        .or(described.state_transition_reason())
        .filter(|reason| !reason.is_empty())
        .unwrap_or("EC2 gives no reason");
    format!("it is {}: {reason}", state(described))
}

/// Waits until a machine is as far as wanted; the error has state, reason and the console's tail.
pub(crate) async fn wait(
    machine: &Machine,
    reached: Reached,
    deadline: Instant,
    line: Option<&Line>,
) -> Result<(), Error> {
    let phase = |text: &str| {
        if let Some(line) = line {
            line.phase(text);
        }
    };
    let last = LastCause::default();
    let watch = Watch::new(machine);
    let getting_there = async {
        phase("pending");
        login::connect(machine, deadline, line, &last).await?;
        if reached == Reached::Ready {
            phase("waiting for cloud-init");
            boot::cloud_init(machine, deadline, line, &last).await?;
        }
        // A way that needs no address may be there before EC2 shows the machine as running.
        if reached == Reached::Ready || route::immediate(machine).is_none() {
            last.set("SSH answers, but EC2 doesn't show it as running".to_owned());
            watch.running().await;
        }
        Ok(())
    };
    // Mostly a machine that needs no address answers before there is anything to see.
    let patience =
        if reached == Reached::Ssh && route::immediate(machine).is_some() { LOOK_AFTER } else { Duration::ZERO };
    let waiting = async {
        tokio::select! {
            biased;
            there = getting_there => there,
            // For as long as it is waited for: what has ended, or was stopped, will never answer.
            error = watch.end(patience) => Err(error),
        }
    };
    let result = tokio::time::timeout_at(deadline.into(), waiting).await;
    match result {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) if is_the_hosts(&error) => Err(error),
        Ok(Err(error)) => Err(console::attached(machine, error).await),
        Err(_) => Err(console::attached(machine, timed_out(machine, &last).await).await),
    }
}

/// Whether an error has its cause here, so that the machine's console says nothing of it.
fn is_the_hosts(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Unauthorized | ErrorKind::Internal | ErrorKind::Configuration)
}

/// How long a machine is waited for that needs no address before it is looked whether it has ended: mostly it answers at once.
const LOOK_AFTER: Duration = Duration::from_secs(2);

async fn timed_out(machine: &Machine, last: &LastCause) -> Error {
    let state = machine.last_described().map_or("never visible".to_owned(), |described| state(&described).to_string());
    let (what, hint) = match (&*state, last.get()) {
        ("running", Some(cause)) => {
            let hint = match last.is_of_connecting() {
                true => ingress::closed(machine).await.or(outside::unrouted(machine).await),
                false => None,
            };
            (format!("it is running, and {cause}"), hint)
        }
        ("running", None) => ("it is running, but has no address yet".to_owned(), None),
        _ => (format!("its state is {state}"), None),
    };
    Error::new(ErrorKind::Provisioning, format!("wait for {machine}"))
        .because(format!("it timed out: {what}"))
        .advise(hint.unwrap_or_else(|| "raise `ready_timeout`, or look at the console below".to_owned()))
}
