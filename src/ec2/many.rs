//! Many machines at once: launched by one call, waited for together, ended together.

use super::{Ec2, Instance, Launch, Machine};
use crate::{
    error::{Error, ErrorKind},
    task::{OnDrop, Operation, operation},
    teardown::owned::end_all,
};
use futures_util::future::{join_all, try_join_all};
use std::panic::Location;

/// A launch of several machines by one call; see [`Launch::count`].
#[derive(Debug, Clone)]
#[must_use = "nothing is launched before `.await`, `.wait()` or `.start()`"]
pub struct LaunchMany {
    launch: Launch,
    count: u16,
}

impl Launch {
    /// Launches so many machines alike, by one call: all of them, or none is left. They are called `name[0]`, `name[1]`…, and share
    /// their tags, the `Name` included. Each has a guard of its own.
    ///
    /// ```no_run
    /// # use ec2_harness::prelude::*;
    /// # async fn example(ec2: Ec2) -> Result {
    /// let nodes: Vec<Instance> = ec2.launch("debian-12").name("node").count(5).without_waiting().await?;
    /// ec2.wait_all_ready(&nodes).await?;
    /// ec2.terminate_all(&nodes).await
    /// # }
    /// ```
    pub fn count(self, count: u16) -> LaunchMany {
        LaunchMany { launch: self, count }
    }
}

impl LaunchMany {
    /// Returns as soon as EC2 has accepted the launch; see [`Launch::without_waiting`].
    pub fn without_waiting(mut self) -> Self {
        self.launch = self.launch.without_waiting();
        self
    }

    async fn run(self) -> Result<Vec<Instance>, Error> {
        let Self { launch, count } = self;
        if count == 0 {
            let tried = format!("launch {}", launch.image_name());
            return Err(Error::new(ErrorKind::Configuration, tried).because("a launch of no machines makes none"));
        }
        launch.run_many(Some(count)).await
    }
}

operation!(LaunchMany -> Vec<Instance>, "launch instances", Finish);

impl Ec2 {
    /// Waits until all of these are ready, together.
    ///
    /// # Errors
    ///
    /// Of the first that isn't; see [`Machine::wait_ready`].
    pub fn wait_all_ready<M: AsRef<Machine>>(&self, machines: impl IntoIterator<Item = M>) -> Operation<()> {
        let machines = owned(machines);
        self.operation("wait for instances", OnDrop::Cancel, async move {
            let waits = machines.iter().map(|machine| machine.await_ready(machine.deadline()));
            try_join_all(waits).await.map(drop)
        })
    }

    /// Ends all of these, in one call; returns once EC2 has accepted that. Ending what has ended already is no error.
    ///
    /// # Errors
    ///
    /// EC2 refuses, or can't be reached; with all that may be left.
    #[track_caller]
    pub fn terminate_all<M: AsRef<Machine>>(&self, machines: impl IntoIterator<Item = M>) -> Operation<()> {
        let (machines, at) = (owned(machines), Location::caller());
        Operation::new("terminate instances", OnDrop::Finish, async move {
            let mark = |machine: Machine| {
                machine.0.identity.mark_ended(format!("by terminate_all() at {at}"));
                machine.with_what_was_kept()
            };
            end_all(machines.into_iter().flat_map(mark).collect()).await
        })
    }

    /// Waits until EC2 says that all of these are terminated.
    ///
    /// # Errors
    ///
    /// Of the first that isn't in time.
    pub fn wait_all_terminated<M: AsRef<Machine>>(&self, machines: impl IntoIterator<Item = M>) -> Operation<()> {
        let machines = owned(machines);
        Operation::new("wait for instances' end", OnDrop::Cancel, async move {
            let waits = machines.iter().map(|machine| machine.wait_terminated().start());
            let ended: Result<Vec<()>, _> = join_all(waits).await.into_iter().collect();
            ended.map(drop).map_err(Error::from)
        })
    }

    fn operation<T, F>(&self, name: &'static str, on_drop: OnDrop, future: F) -> Operation<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Error>> + Send + 'static,
    {
        let scope = self.scope.clone();
        Operation::new(name, on_drop, async move { scope.run(|| name.to_owned(), future).await })
    }
}

fn owned<M: AsRef<Machine>>(machines: impl IntoIterator<Item = M>) -> Vec<Machine> {
    machines.into_iter().map(|machine| machine.as_ref().clone()).collect()
}

impl AsRef<Machine> for Machine {
    fn as_ref(&self) -> &Machine {
        self
    }
}

impl AsRef<Machine> for Instance {
    fn as_ref(&self) -> &Machine {
        self
    }
}
