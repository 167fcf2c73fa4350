//! When a machine is ready: running, SSH answers, cloud-init, if there is one, is done.
//!
//! sshd can answer before the key is there, so a refused key is final only once cloud-init has shown its completion on the
//! console, or after a minute's grace.

mod boot;
mod console;
mod host_key;
mod login;
mod route;

pub(crate) use boot::{boot_id, wait_for_boot_after};
pub(crate) use console::{console, tail};
pub(crate) use host_key::verify_host_key;

use super::{Machine, machine::Reached};
use crate::{
    connection::{patience::pause_at, poller::Seen},
    error::{Error, ErrorKind},
    progress::Line,
};
use aws_sdk_ec2::types::{Instance as Description, InstanceStateName};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

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
    let reason = described
        .state_reason()
        .and_then(|reason| reason.message())
        .or(described.state_transition_reason())
        .filter(|reason| !reason.is_empty())
        .unwrap_or("EC2 gives no reason");
    Error::new(ErrorKind::Provisioning, format!("wait for {machine}"))
        .because(format!("it is {}: {reason}", state(described)))
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
    let waiting = async {
        phase("pending");
        let setting_up = async {
            login::connect(machine, deadline, line).await?;
            if reached == Reached::Ready {
                phase("waiting for cloud-init");
                boot::cloud_init(machine, deadline).await?;
            }
            Ok::<(), Error>(())
        };
        match reached {
            Reached::Ssh if route::immediate(machine).is_some() => tokio::select! {
                biased;
                reached = setting_up => reached,
                error = end_of(machine) => Err(error),
            },
            // Side by side, since some ways need no address; and a machine that has ended will never answer.
            Reached::Ssh | Reached::Ready => tokio::try_join!(run(machine), setting_up).map(|_| ()),
        }
    };
    let result = tokio::time::timeout_at(deadline.into(), waiting).await;
    match result {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) if matches!(error.kind(), ErrorKind::Unauthorized | ErrorKind::Internal) => Err(error),
        Ok(Err(error)) => Err(console::attached(machine, error).await),
        Err(_) => Err(console::attached(machine, timed_out(machine).await).await),
    }
}

async fn timed_out(machine: &Machine) -> Error {
    let state = machine.last_described().map_or("never visible".to_owned(), |described| state(&described).to_string());
    let connected = machine.0.session.lock().await.is_some();
    let what = match (&*state, connected) {
        ("running", true) => "SSH answers, but cloud-init is not done".to_owned(),
        ("running", false) => "it is running, but SSH doesn't answer".to_owned(),
        _ => format!("its state is {state}"),
    };
    Error::new(ErrorKind::Provisioning, format!("wait for {machine}"))
        .because(format!("it timed out: {what}"))
        .advise("raise `ready_timeout`, or look at the console below")
}

/// How long a machine is waited for that needs no address before it is looked whether it has ended: mostly it answers at once.
const LOOK_AFTER: Duration = Duration::from_secs(2);

/// Returns once a machine has ended, or has been stopped, that is expected to answer.
async fn end_of(machine: &Machine) -> Error {
    tokio::time::sleep(LOOK_AFTER).await;
    match run(machine).await {
        Err(error) => error,
        Ok(_) => std::future::pending().await,
    }
}

/// Waits until it is running.
async fn run(machine: &Machine) -> Result<Arc<Description>, Error> {
    let mut seen = machine.0.ec2.connection.poller.watch(machine.id(), machine.0.identity.is_ours())?;
    // Somebody else may have started it just now.
    let stopped_counts_from = machine.stopped_counts_from().max(Instant::now() + machine.visible_within());
    loop {
        match seen.next().await {
            Some(Seen::Instance(described)) => {
                machine.set_described(described.clone());
                match state(&described) {
                    InstanceStateName::Running => return Ok(described),
                    InstanceStateName::Pending => {}
                    // A machine that is being started may still be shown as it was before.
                    InstanceStateName::Stopping | InstanceStateName::Stopped
                        if Instant::now() < stopped_counts_from => {}
                    _ => return Err(ended_early(machine, &described)),
                }
            }
            Some(Seen::Failed(text)) => {
                return Err(Error::new(ErrorKind::Unauthorized, format!("wait for {machine}")).because(text));
            }
            None => {
                let ended = Error::new(ErrorKind::Internal, format!("wait for {machine}"));
                return Err(ended.because("the poller has ended"));
            }
        }
    }
}
