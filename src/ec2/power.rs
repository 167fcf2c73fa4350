//! A machine's power: reboot, stop, start, end; each is asked of EC2, and waited for unless that isn't wanted.

use super::{Machine, machine::lock, ready};
use crate::{
    connection::{
        api_error,
        patience::{quota_pause, until_visible},
    },
    error::{Error, ErrorKind},
    task::{OnDrop, Operation, operation},
    teardown::owned::end_all,
};
use aws_sdk_ec2::types::InstanceStateName;
use std::{
    panic::Location,
    sync::Arc,
    time::{Duration, Instant},
};

impl Machine {
    /// Reboots it, and waits until SSH answers from the new boot: one of another boot id, or, where SSH didn't answer before, one
    /// that began since.
    ///
    /// # Errors
    ///
    /// EC2 refuses, as it does for one that is stopped, or it doesn't come back in time.
    pub fn reboot(&self) -> PowerChange {
        PowerChange::new(self, Change::Reboot)
    }

    /// Stops it, and waits until it is stopped. The disk stays, and so does what it costs; addresses that EC2 has lent go.
    ///
    /// # Errors
    ///
    /// EC2 refuses, or it doesn't stop in time.
    pub fn stop(&self) -> PowerChange {
        PowerChange::new(self, Change::Stop)
    }

    /// Starts it after a stop, and waits until it is ready; where a quota is used up or there is no capacity, for that, too.
    ///
    /// # Errors
    ///
    /// EC2 refuses, or it isn't ready in time.
    pub fn start(&self) -> PowerChange {
        PowerChange::new(self, Change::Start)
    }

    /// Ends it; returns once EC2 has accepted that. Ending what has ended already is no error.
    ///
    /// # Errors
    ///
    /// EC2 refuses, or can't be reached.
    #[track_caller]
    pub fn terminate(&self) -> Operation<()> {
        let (machine, at) = (self.clone(), Location::caller());
        Operation::new("terminate an instance", OnDrop::Finish, async move {
            machine.0.identity.mark_ended(format!("by terminate() at {at}"));
            end_all(machine.with_what_was_kept()).await
        })
    }

    /// Waits for the new boot, where a reboot wasn't waited for.
    pub(super) async fn await_reboot(&self, deadline: Instant) -> Result<(), Error> {
        let before = lock(&self.0.rebooting).clone();
        let Some(before) = before else { return Ok(()) };
        ready::wait_for_boot_after(self, &before, deadline).await?;
        lock(&self.0.rebooting).take_if(|pending| Arc::ptr_eq(pending, &before));
        Ok(())
    }
}

/// A change of a machine's power that is about to be asked for; see [`Machine::reboot`], [`Machine::stop`] and [`Machine::start`].
#[derive(Debug, Clone)]
#[must_use = "nothing happens before `.await`, `.wait()` or `.start()`"]
pub struct PowerChange {
    machine: Machine,
    change: Change,
    wait: bool,
    within: Option<Duration>,
}

#[derive(Debug, Clone, Copy)]
enum Change {
    Reboot,
    Stop,
    Start,
}

impl Change {
    fn name(self) -> &'static str {
        match self {
            Self::Reboot => "reboot an instance",
            Self::Stop => "stop an instance",
            Self::Start => "start an instance",
        }
    }
}

impl PowerChange {
    fn new(machine: &Machine, change: Change) -> Self {
        Self { machine: machine.clone(), change, wait: true, within: None }
    }

    /// Returns as soon as EC2 has accepted it. What needs SSH afterwards waits for the new boot; [`Machine::wait_ready`] and
    /// [`Machine::wait_stopped`] wait by themselves. Default: waits.
    pub fn without_waiting(mut self) -> Self {
        self.wait = false;
        self
    }

    /// How long it may take. Default: as long as the machine may take until it is ready.
    pub fn within(mut self, limit: Duration) -> Self {
        self.within = Some(limit);
        self
    }

    async fn run(self) -> Result<(), Error> {
        let (machine, name) = (self.machine.clone(), self.change.name());
        machine.within_scope(name, self.make()).await
    }

    async fn make(self) -> Result<(), Error> {
        let Self { machine, change, wait, within } = self;
        let deadline = machine.deadline_within(within);
        match change {
            Change::Reboot => reboot(&machine).await?,
            Change::Stop => stop(&machine).await?,
            Change::Start => start(&machine, deadline).await?,
        }
        match change {
            _ if !wait => Ok(()),
            Change::Reboot => machine.await_reboot(deadline).await,
            Change::Stop => {
                machine.await_state_by(|state| *state == InstanceStateName::Stopped, "stop", deadline).await.map(drop)
            }
            Change::Start => machine.await_ready(deadline).await,
        }
    }
}

operation!(PowerChange -> (), "change a machine's power", Cancel);

async fn reboot(machine: &Machine) -> Result<(), Error> {
    let before = ready::Boot::now(machine).await;
    let tried = format!("reboot {machine}");
    let call = machine.client().reboot_instances().instance_ids(machine.id());
    until_visible(|| async { call.clone().send().await.map_err(|e| api_error::failed("RebootInstances", &tried, e)) })
        .await?;
    *lock(&machine.0.rebooting) = Some(Arc::new(before));
    machine.disconnect().await;
    Ok(())
}

async fn stop(machine: &Machine) -> Result<(), Error> {
    let tried = format!("stop {machine}");
    let call = machine.client().stop_instances().instance_ids(machine.id());
    until_visible(|| async { call.clone().send().await.map_err(|e| api_error::failed("StopInstances", &tried, e)) })
        .await?;
    machine.disconnect().await;
    Ok(())
}

async fn start(machine: &Machine, deadline: Instant) -> Result<(), Error> {
    let tried = format!("start {machine}");
    let call = machine.client().start_instances().instance_ids(machine.id());
    let start = || async { call.clone().send().await.map_err(|e| api_error::failed("StartInstances", &tried, e)) };
    let pause = quota_pause(&machine.0.ec2.connection);
    while let Err(error) = until_visible(start).await {
        // Its zone is that of its disk: no other one could be tried.
        let may_pass = matches!(error.kind(), ErrorKind::Quota | ErrorKind::Capacity);
        if !may_pass || Instant::now() + pause >= deadline {
            return Err(error);
        }
        tracing::info!("waiting to {tried}: {error}");
        tokio::time::sleep(pause).await;
    }
    machine.was_started();
    Ok(())
}
