//! A machine's power: reboot, stop, start, end, and waiting for the states in between.

use super::{Machine, machine::Reached, ready};
use crate::{
    connection::{
        api_error,
        patience::{quota_pause, until_visible},
        poller::Seen,
    },
    error::{Error, ErrorKind},
    task::{OnDrop, Operation},
    teardown::owned::end_all,
};
use aws_sdk_ec2::types::{Instance as Description, InstanceStateName};
use std::{panic::Location, sync::Arc, time::Instant};

impl Machine {
    /// Reboots it, and waits until SSH answers from the new boot: one of another boot id, or, where SSH didn't answer before, one
    /// that began since.
    ///
    /// # Errors
    ///
    /// EC2 refuses, as it does for one that is stopped, or it doesn't come back in time.
    pub fn reboot(&self) -> Operation<()> {
        let machine = self.clone();
        self.operation("reboot an instance", OnDrop::Cancel, async move { machine.do_reboot().await })
    }

    /// Stops it, and waits until it is stopped. The disk stays, and so does what it costs; addresses that EC2 has lent go.
    ///
    /// # Errors
    ///
    /// EC2 refuses, or it doesn't stop in time.
    pub fn stop(&self) -> Operation<()> {
        let machine = self.clone();
        self.operation("stop an instance", OnDrop::Cancel, async move {
            let tried = format!("stop {machine}");
            let call = machine.client().stop_instances().instance_ids(machine.id());
            until_visible(|| async {
                call.clone().send().await.map_err(|e| api_error::failed("StopInstances", &tried, e))
            })
            .await?;
            machine.disconnect().await;
            machine.await_state(|state| *state == InstanceStateName::Stopped, "stop").await.map(drop)
        })
    }

    /// Starts it after a stop, and waits until it is ready; where a quota is used up or there is no capacity, for that, too.
    ///
    /// # Errors
    ///
    /// EC2 refuses, or it isn't ready in time.
    pub fn start(&self) -> Operation<()> {
        let machine = self.clone();
        self.operation("start an instance", OnDrop::Cancel, async move {
            let tried = format!("start {machine}");
            let call = machine.client().start_instances().instance_ids(machine.id());
            let start =
                || async { call.clone().send().await.map_err(|e| api_error::failed("StartInstances", &tried, e)) };
            let (deadline, pause) = (machine.deadline(), quota_pause(&machine.0.ec2.connection));
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
            ready::wait(&machine, Reached::Ready, deadline, None).await
        })
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
            end_all(vec![Arc::new(machine)]).await
        })
    }

    /// Waits until EC2 says that it is terminated.
    ///
    /// # Errors
    ///
    /// It isn't in time.
    pub fn wait_terminated(&self) -> Operation<()> {
        let machine = self.clone();
        Operation::new("wait for an instance's end", OnDrop::Cancel, async move {
            let ended = machine.await_state_of_any(|state| *state == InstanceStateName::Terminated, "terminate").await;
            ended.map(drop)
        })
    }

    async fn do_reboot(&self) -> Result<(), Error> {
        let deadline = self.deadline();
        let before = ready::Boot::now(self).await;
        let tried = format!("reboot {self}");
        let call = self.client().reboot_instances().instance_ids(self.id());
        until_visible(|| async {
            call.clone().send().await.map_err(|e| api_error::failed("RebootInstances", &tried, e))
        })
        .await?;
        self.disconnect().await;
        ready::wait_for_boot_after(self, &before, deadline).await
    }

    /// Waits for a state; an instance that has ended never gets there.
    pub(crate) async fn await_state(
        &self,
        wanted: impl Fn(&InstanceStateName) -> bool,
        verb: &str,
    ) -> Result<Arc<Description>, Error> {
        let described = self.await_state_of_any(|state| wanted(state) || ready::has_ended(state), verb).await?;
        let state = ready::state(&described);
        if wanted(&state) { Ok(described) } else { Err(ready::ended_early(self, &described)) }
    }

    async fn await_state_of_any(
        &self,
        wanted: impl Fn(&InstanceStateName) -> bool,
        verb: &str,
    ) -> Result<Arc<Description>, Error> {
        self.await_described(|described| wanted(&ready::state(described)), verb).await
    }

    /// Waits for a description; an instance that has ended never gets there.
    pub(super) async fn await_description(
        &self,
        wanted: impl Fn(&Description) -> bool,
        verb: &str,
    ) -> Result<Arc<Description>, Error> {
        let is_over = |described: &Description| ready::has_ended(&ready::state(described));
        let described = self.await_described(|described| wanted(described) || is_over(described), verb).await?;
        if wanted(&described) { Ok(described) } else { Err(ready::ended_early(self, &described)) }
    }

    async fn await_described(
        &self,
        wanted: impl Fn(&Description) -> bool,
        verb: &str,
    ) -> Result<Arc<Description>, Error> {
        let deadline = self.deadline();
        let mut seen = self.0.ec2.connection.poller.watch(self.id(), self.0.identity.is_ours())?;
        let tried = format!("wait for {self} to {verb}");
        let wait = async {
            loop {
                match seen.next().await {
                    Some(Seen::Instance(described)) => {
                        self.set_described(described.clone());
                        if wanted(&described) {
                            return Ok(described);
                        }
                    }
                    Some(Seen::Failed(text)) => {
                        return Err(Error::new(ErrorKind::Unauthorized, &tried).because(text));
                    }
                    None => return Err(Error::new(ErrorKind::Internal, &tried).because("the poller has ended")),
                }
            }
        };
        tokio::time::timeout_at(deadline.into(), wait).await.unwrap_or_else(|_| {
            let state = self.last_described().map_or("unknown".to_owned(), |it| ready::state(&it).to_string());
            Err(Error::new(ErrorKind::TimedOut, &tried).because(format!("timed out; its state is {state}")))
        })
    }
}
