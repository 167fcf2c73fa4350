//! Waiting for what becomes of a machine.

use super::{Machine, machine::Reached, ready};
use crate::{
    connection::poller::Seen,
    error::{Error, ErrorKind},
    task::operation,
};
use aws_sdk_ec2::types::{Instance as Description, InstanceStateName};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

impl Machine {
    /// Waits until it is ready: running, SSH answers, cloud-init, if there is one, is done.
    ///
    /// # Errors
    ///
    /// It ends or fails first, refuses the key, cloud-init reports an error, or the time for it has passed; with state,
    /// reason and the console's tail.
    pub fn wait_ready(&self) -> Wait {
        Wait::new(self, Goal::Ready)
    }

    /// Waits until SSH answers, whatever cloud-init does.
    ///
    /// # Errors
    ///
    /// As of [`wait_ready`](Self::wait_ready), but for cloud-init's.
    pub fn wait_for_ssh(&self) -> Wait {
        Wait::new(self, Goal::Ssh)
    }

    /// Waits until EC2 says that it is running.
    ///
    /// # Errors
    ///
    /// It ends first, or isn't running in time.
    pub fn wait_running(&self) -> Wait {
        Wait::new(self, Goal::Running)
    }

    /// Waits until EC2 says that it is stopped: after a stop that wasn't waited for, or a power-off from within.
    ///
    /// # Errors
    ///
    /// It ends first, or isn't stopped in time.
    pub fn wait_stopped(&self) -> Wait {
        Wait::new(self, Goal::Stopped)
    }

    /// Waits until EC2 says that it is terminated.
    ///
    /// # Errors
    ///
    /// It isn't in time.
    pub fn wait_terminated(&self) -> Wait {
        Wait::new(self, Goal::Terminated)
    }

    /// When a wait that begins now is over.
    pub(super) fn deadline_within(&self, within: Option<Duration>) -> Instant {
        within.map_or_else(|| self.deadline(), |limit| Instant::now() + limit)
    }

    /// Waits until it is ready, and what it was launched with is known.
    pub(super) async fn await_ready(&self, deadline: Instant) -> Result<(), Error> {
        self.await_reboot(deadline).await?;
        ready::wait(self, Reached::Ready, deadline, None).await?;
        self.know_volumes().await
    }

    /// Waits for a state; an instance that has ended never gets there.
    pub(crate) async fn await_state(
        &self,
        wanted: impl Fn(&InstanceStateName) -> bool,
        verb: &str,
    ) -> Result<Arc<Description>, Error> {
        self.await_state_by(wanted, verb, self.deadline()).await
    }

    /// The same, until a deadline.
    pub(super) async fn await_state_by(
        &self,
        wanted: impl Fn(&InstanceStateName) -> bool,
        verb: &str,
        deadline: Instant,
    ) -> Result<Arc<Description>, Error> {
        self.await_description(|described| wanted(&ready::state(described)), verb, deadline).await
    }

    /// Waits for a description; an instance that has ended never gets there.
    pub(super) async fn await_description(
        &self,
        wanted: impl Fn(&Description) -> bool,
        verb: &str,
        deadline: Instant,
    ) -> Result<Arc<Description>, Error> {
        let is_over = |described: &Description| ready::has_ended(&ready::state(described));
        let described = self.await_any(|described| wanted(described) || is_over(described), verb, deadline).await?;
        if wanted(&described) { Ok(described) } else { Err(ready::ended_early(self, &described)) }
    }

    async fn await_any(
        &self,
        wanted: impl Fn(&Description) -> bool,
        verb: &str,
        deadline: Instant,
    ) -> Result<Arc<Description>, Error> {
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

/// What is waited for of a machine; see [`Machine::wait_ready`] and its like.
#[derive(Debug, Clone)]
#[must_use = "nothing is waited for before `.await`, `.wait()` or `.start()`"]
pub struct Wait {
    machine: Machine,
    goal: Goal,
    within: Option<Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Goal {
    Ready,
    Ssh,
    Running,
    Stopped,
    Terminated,
}

impl Wait {
    fn new(machine: &Machine, goal: Goal) -> Self {
        Self { machine: machine.clone(), goal, within: None }
    }

    /// How long it may take. Default: as long as the machine may take until it is ready.
    pub fn within(mut self, limit: Duration) -> Self {
        self.within = Some(limit);
        self
    }

    async fn run(self) -> Result<(), Error> {
        let machine = self.machine.clone();
        match self.goal {
            // That of one that was ended is what it is there for.
            Goal::Terminated => self.reach().await,
            Goal::Ready | Goal::Ssh => machine.within_scope("wait for an instance", self.reach()).await,
            Goal::Running | Goal::Stopped => machine.within_scope("wait for an instance's state", self.reach()).await,
        }
    }

    async fn reach(self) -> Result<(), Error> {
        let Self { machine, goal, within } = self;
        let deadline = machine.deadline_within(within);
        let state = |wanted: InstanceStateName| move |state: &InstanceStateName| *state == wanted;
        match goal {
            Goal::Ready => machine.await_ready(deadline).await,
            Goal::Ssh => {
                machine.await_reboot(deadline).await?;
                ready::wait(&machine, Reached::Ssh, deadline, None).await
            }
            Goal::Running => machine.await_state_by(state(InstanceStateName::Running), "run", deadline).await.map(drop),
            Goal::Stopped => {
                machine.await_state_by(state(InstanceStateName::Stopped), "stop", deadline).await.map(drop)
            }
            Goal::Terminated => {
                let is_terminated = |described: &Description| ready::state(described) == InstanceStateName::Terminated;
                machine.await_any(is_terminated, "terminate", deadline).await.map(drop)
            }
        }
    }
}

operation!(Wait -> (), "wait for a machine", Cancel);
