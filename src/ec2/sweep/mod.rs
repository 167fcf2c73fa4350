//! The sweep: ends what a run has left, from tags, which everybody sees, and from the journals of this host.
//!
//! It is a fixpoint: EC2 is eventually consistent, so it looks again until two spaced looks find nothing, and nothing that a
//! journal names can come to light any more.

mod journaled;
mod look;

use super::{
    Ec2, api_error,
    end::{has_ended, instances, terminate},
    patience::until_answered,
    per_run, tags,
};
use crate::{
    error::{Error, ErrorKind},
    run,
    task::{OnDrop, Operation, operation},
    teardown::journal::Kind,
};
use aws_sdk_ec2::types::Instance;
use look::Found;
use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

/// How long what was found may take to end, once nothing new is found: machines hold their groups until they are terminated.
const ENDS_WITHIN: Duration = Duration::from_secs(5 * 60);

/// The two last looks are this far apart, so that what is seen late mostly is by then; the local EC2 shows everything sooner.
const PAUSE: Duration = Duration::from_secs(5);
const PAUSE_LOCAL: Duration = Duration::from_millis(100);

/// What a sweep takes.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Which {
    /// Runs of this user on this host that no process belongs to any more, and whatever is past its lease.
    Over,
    /// One run, whether it is over or not.
    Run(String),
    /// One instance of ours.
    Instance(String),
    /// All that ec2-harness has ever made for this user on this host.
    Mine,
}

impl Ec2 {
    /// Prepares a sweep of this region: it ends what runs that are over have left, and what is past its lease.
    pub fn sweep(&self) -> Sweep {
        Sweep { ec2: self.clone(), which: Which::Over, dry_run: false }
    }
}

/// What a run that is over has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Left {
    /// Machines that nobody wanted to keep.
    pub(crate) running: bool,
    /// Machines that were kept on purpose.
    pub(crate) kept: bool,
}

impl Ec2 {
    /// Looks what this run has left running.
    pub(crate) fn left_by_run(&self) -> Operation<Left> {
        let ec2 = self.clone();
        Operation::new(
            "look what a run has left",
            OnDrop::Cancel,
            async move { ec2.left_by(ec2.connection.run.id()).await },
        )
    }

    async fn left_by(&self, run: &str) -> Result<Left, Error> {
        let mut left = Left { running: false, kept: false };
        for instance in self.not_ended(&run_tag(), run).await? {
            let kept = is_kept(&instance)?;
            left.kept |= kept;
            left.running |= !kept;
        }
        // What a killed process was making, or has made, may not be seen just now.
        let journaled = run::directory_of(run)?.map(|directory| self.connection.journal_of(&directory).entries());
        left.running |= journaled.is_some_and(|entries| entries.iter().any(|entry| entry.kind() == Kind::Instance));
        Ok(left)
    }

    async fn not_ended(&self, filter: &str, value: &str) -> Result<Vec<Instance>, Error> {
        let values = [value.to_owned()];
        let mut found = until_answered(&self.connection, || instances(&self.connection, filter, &values)).await?;
        found.retain(|instance| !has_ended(instance));
        Ok(found)
    }
}

/// The filter that finds what bears a run's tag.
fn run_tag() -> String {
    format!("tag:{}", tags::RUN)
}

/// Whether a machine is kept: its tag says so, or, where that isn't seen yet, its run's directory.
fn is_kept(instance: &Instance) -> Result<bool, Error> {
    let run = tags::value(instance.tags(), tags::RUN).unwrap_or_default();
    let id = instance.instance_id().unwrap_or_default();
    Ok(tags::value(instance.tags(), tags::KEPT).is_some() || run::kept(run)?.contains(id))
}

/// A sweep that is about to run; see [`Ec2::sweep`].
#[derive(Debug, Clone)]
#[must_use = "nothing is swept before `.await`, `.wait()` or `.start()`"]
pub struct Sweep {
    ec2: Ec2,
    which: Which,
    dry_run: bool,
}

/// What a sweep has ended, or would end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Swept {
    /// Instances, by id.
    pub instances: BTreeSet<String>,
    /// Security groups, by id.
    pub security_groups: BTreeSet<String>,
    /// Key pairs, by name.
    pub key_pairs: BTreeSet<String>,
}

impl Swept {
    /// Adds what a look has found; says whether any of it is new.
    fn add(&mut self, found: Found) -> bool {
        let count = |it: &Self| it.instances.len() + it.security_groups.len() + it.key_pairs.len();
        let before = count(self);
        self.instances.extend(found.instances.into_keys());
        self.security_groups.extend(found.security_groups.into_keys());
        self.key_pairs.extend(found.key_pairs);
        count(self) > before
    }

    /// Whether nothing was found.
    pub fn is_empty(&self) -> bool {
        self.instances.is_empty() && self.security_groups.is_empty() && self.key_pairs.is_empty()
    }
}

impl Sweep {
    /// Takes everything of one run, even while it goes on. Default: runs that are over, and what is past its lease.
    pub fn run_id(mut self, id: impl Into<String>) -> Self {
        self.which = Which::Run(id.into());
        self
    }

    /// Takes one instance that ec2-harness has launched.
    pub fn instance(mut self, id: impl Into<String>) -> Self {
        self.which = Which::Instance(id.into());
        self
    }

    /// Takes everything that ec2-harness has made for this user on this host, also what is in use.
    pub fn mine(mut self) -> Self {
        self.which = Which::Mine;
        self
    }

    /// Only looks. Default: ends what it finds.
    pub fn dry_run(mut self) -> Self {
        self.dry_run = true;
        self
    }

    async fn run(self) -> Result<Swept, Error> {
        let mut swept = Swept::default();
        let (mut empty_looks, mut since) = (0, Instant::now());
        while empty_looks < 2 {
            let found = until_answered(&self.ec2.connection, || self.look()).await?;
            let is_empty = found.is_empty();
            let ended = if self.dry_run { Ok(()) } else { self.end(&found).await };
            if swept.add(found) {
                since = Instant::now();
            }
            match ended {
                // Machines that are shutting down still hold their groups, and what was seen once may be gone for a moment.
                Err(error) if !may_pass(&error) || since.elapsed() > ENDS_WITHIN => return Err(error),
                _ if self.dry_run => return Ok(swept),
                _ => {}
            }
            empty_looks = if is_empty { empty_looks + 1 } else { 0 };
            if empty_looks < 2 {
                let local = self.ec2.target() == &crate::target::Target::Local;
                tokio::time::sleep(if local { PAUSE_LOCAL } else { PAUSE }).await;
            }
        }
        if self.which == Which::Over {
            self.remove_directories().await?;
            run::remove_stale(self.ec2.config.lease)?;
        }
        Ok(swept)
    }

    /// Removes the directories of runs that are over, and whose watchdog was killed along with them. The key in there is
    /// needed for as long as machines were kept, and the journal until it is settled: a run may have been killed since the last
    /// look.
    async fn remove_directories(&self) -> Result<(), Error> {
        for (directory, over) in run::abandoned(&per_run::place(&self.ec2.connection))? {
            let id = directory.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let is_settled = self.ec2.connection.journal_of(&directory).entries().is_empty();
            if is_settled && !self.ec2.left_by(id).await?.kept {
                run::remove(&directory, over)?;
            }
        }
        Ok(())
    }

    /// Ends what can be ended now; the error is the first of what can't.
    async fn end(&self, found: &Found) -> Result<(), Error> {
        let client = &self.ec2.connection.client;
        let mut result = Ok(());
        let ended = terminate(&self.ec2.connection, found.instances.keys().cloned().collect(), &|_| false).await;
        let left = ended.as_ref().err().map(|(left, _)| left.clone()).unwrap_or_default();
        let ended_now = found.instances.iter().filter(|(id, _)| !left.contains(id));
        ended_now.for_each(|(_, token)| found.settle(Kind::Instance, token));
        result = result.and(ended.map_err(|(_, error)| error));
        for name in &found.key_pairs {
            let call = client.delete_key_pair().key_name(name).send().await;
            let deleted =
                call.map_err(|e| api_error::failed("DeleteKeyPair", format!("delete the key pair {name}"), e));
            result = result.and(deleted.map(|_| found.settle(Kind::KeyPair, name)));
        }
        for (id, name) in &found.security_groups {
            let call = client.delete_security_group().group_id(id).send().await;
            let tried = format!("delete the security group {id}");
            let deleted = call.map_err(|e| api_error::failed("DeleteSecurityGroup", tried, e));
            result = result.and(deleted.map(|_| found.settle(Kind::SecurityGroup, name)));
        }
        result
    }
}

/// Whether what couldn't be ended may be so a little later.
fn may_pass(error: &Error) -> bool {
    let in_use = matches!(error.code(), Some("DependencyViolation" | "InvalidGroup.InUse"));
    in_use || error.is_transient() || error.kind() == ErrorKind::NotFound
}

operation!(Sweep -> Swept, "sweep", Finish);
