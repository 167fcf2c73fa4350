//! What EC2 shows of a machine while something of it is waited for: whether it runs, and whether it never will.

use super::{ended_early, has_ended, state, state_and_reason};
use crate::{
    connection::poller::Seen,
    ec2::Machine,
    error::{Error, ErrorKind},
};
use aws_sdk_ec2::types::InstanceStateName;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Follows a machine's state.
pub(super) struct Watch<'a> {
    machine: &'a Machine,
    is_running: watch::Sender<bool>,
}

impl<'a> Watch<'a> {
    pub(super) fn new(machine: &'a Machine) -> Self {
        Self { machine, is_running: watch::Sender::new(false) }
    }

    /// Returns once it was seen running; [`end`](Self::end) must be polled meanwhile.
    pub(super) async fn running(&self) {
        let _ = self.is_running.subscribe().wait_for(|is_running| *is_running).await;
    }

    /// Returns once it is in a state that leads nowhere, and says so. For so long at first it isn't looked at.
    pub(super) async fn end(&self, patience: Duration) -> Error {
        tokio::time::sleep(patience).await;
        self.look().await.unwrap_or_else(|error| error)
    }

    async fn look(&self) -> Result<Error, Error> {
        let machine = self.machine;
        let mut seen = machine.0.ec2.connection.poller.watch(machine.id(), machine.0.identity.is_ours())?;
        // Somebody else may have started it just now.
        let stopped_counts_from = machine.stopped_counts_from().max(Instant::now() + machine.visible_within());
        loop {
            match seen.next().await {
                Some(Seen::Instance(described)) => {
                    machine.set_described(described.clone());
                    match state(&described) {
                        InstanceStateName::Running => {
                            self.is_running.send_replace(true);
                            seen.be_patient();
                        }
                        InstanceStateName::Pending => {}
                        // A machine that is being started may still be shown as it was before.
                        InstanceStateName::Stopping | InstanceStateName::Stopped
                            if Instant::now() < stopped_counts_from => {}
                        _ => return Ok(ended_early(machine, &described)),
                    }
                }
                Some(Seen::Failed(text)) => {
                    return Ok(Error::new(ErrorKind::Unauthorized, format!("wait for {machine}")).because(text));
                }
                None => {
                    let ended = Error::new(ErrorKind::Internal, format!("wait for {machine}"));
                    return Ok(ended.because("the poller has ended"));
                }
            }
        }
    }
}

/// An error of a connection that broke, or couldn't be made, with the machine's state where that explains it.
pub(crate) async fn with_state(machine: &Machine, error: Error) -> Error {
    const WITHIN: Duration = Duration::from_secs(10);

    if error.kind() != ErrorKind::Connection {
        return error;
    }
    match tokio::time::timeout(WITHIN, machine.look_once()).await {
        Ok(Ok(())) => {}
        _ => return error,
    }
    match machine.last_described() {
        Some(described)
            if has_ended(&state(&described))
                || matches!(state(&described), InstanceStateName::Stopping | InstanceStateName::Stopped) =>
        {
            error.advise_also(&state_and_reason(&described))
        }
        _ => error,
    }
}
