//! The sweep: ends what a run has left, from tags alone.
//!
//! It is a fixpoint: EC2 is eventually consistent, so it looks again until two spaced looks find nothing.

use super::{
    Ec2, api_error,
    end::terminate,
    patience::{LOOK_PAUSE, LOOK_PAUSE_MAX, pauses},
    per_run, tags,
};
use crate::{
    error::{Error, ErrorKind},
    run,
    task::{OnDrop, Operation, operation},
};
use aws_sdk_ec2::types::{Filter, Instance, InstanceStateName, Tag};
use std::{
    collections::BTreeSet,
    fs,
    time::{Duration, Instant, SystemTime},
};

/// How long the machines may take to let go of their groups.
const GROUPS_WITHIN: Duration = Duration::from_secs(5 * 60);

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
        for instance in self.not_ended(tagged(run)).await? {
            let kept = is_kept(&instance)?;
            left.kept |= kept;
            left.running |= !kept;
        }
        Ok(left)
    }

    async fn not_ended(&self, filter: Filter) -> Result<Vec<Instance>, Error> {
        let mut pages = self.connection.client.describe_instances().filters(filter).into_paginator().send();
        let mut instances = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|e| api_error::failed("DescribeInstances", "find what was left", e))?;
            let reservations = page.reservations.into_iter().flatten();
            instances.extend(reservations.flat_map(|it| it.instances.unwrap_or_default()).filter(|it| !ended(it)));
        }
        Ok(instances)
    }
}

/// What bears a run's tag.
fn tagged(run: &str) -> Filter {
    Filter::builder().name(format!("tag:{}", tags::RUN)).values(run).build()
}

/// Whether a machine is kept: its tag says so, or, where that isn't seen yet, its run's directory.
fn is_kept(instance: &Instance) -> Result<bool, Error> {
    let run = tags::value(instance.tags(), tags::RUN).unwrap_or_default();
    let id = instance.instance_id().unwrap_or_default();
    Ok(tags::value(instance.tags(), tags::KEPT).is_some() || run::kept(run)?.contains(id))
}

fn ended(instance: &Instance) -> bool {
    let state = instance.state().and_then(|state| state.name());
    matches!(state, Some(InstanceStateName::Terminated | InstanceStateName::ShuttingDown))
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
        let mut empty_looks = 0;
        while empty_looks < 2 {
            let found = self.look().await?;
            let is_empty = found.is_empty();
            if !self.dry_run {
                self.end(&found).await?;
            }
            swept.instances.extend(found.instances);
            swept.security_groups.extend(found.security_groups);
            swept.key_pairs.extend(found.key_pairs);
            if self.dry_run {
                break;
            }
            empty_looks = if is_empty { empty_looks + 1 } else { 0 };
            if empty_looks < 2 {
                let local = self.ec2.target() == &crate::target::Target::Local;
                tokio::time::sleep(if local { PAUSE_LOCAL } else { PAUSE }).await;
            }
        }
        if self.which == Which::Over && !self.dry_run {
            self.remove_directories().await?;
            run::remove_stale(self.ec2.config.lease)?;
        }
        Ok(swept)
    }

    /// Removes the directories of runs that are over, and whose watchdog was killed along with them. The key in there is
    /// needed for as long as machines were kept.
    async fn remove_directories(&self) -> Result<(), Error> {
        for (directory, over) in run::abandoned(&per_run::place(&self.ec2.connection))? {
            let id = directory.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if !self.ec2.left_by(id).await?.kept {
                run::remove(&directory, over).map_err(|e| {
                    Error::new(ErrorKind::Internal, format!("remove {}", directory.display())).caused_by(e)
                })?;
            }
        }
        Ok(())
    }

    /// One look at everything that bears our tags.
    async fn look(&self) -> Result<Swept, Error> {
        let client = &self.ec2.connection.client;
        let ours = match &self.which {
            Which::Run(id) => tagged(id),
            _ => Filter::builder().name("tag-key").values(tags::RUN).build(),
        };
        let instances = self.ec2.not_ended(ours.clone()).await?;
        if let Which::Instance(wanted) = &self.which {
            let wanted = instances.iter().filter_map(Instance::instance_id).filter(|id| id == wanted);
            return Ok(Swept { instances: wanted.map(str::to_owned).collect(), ..Swept::default() });
        }
        let mut groups = Vec::new();
        let mut pages = client.describe_security_groups().filters(ours.clone()).into_paginator().send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|e| api_error::failed("DescribeSecurityGroups", "find what was left", e))?;
            groups.extend(page.security_groups.unwrap_or_default());
        }
        let keys = client.describe_key_pairs().filters(ours).send().await;
        let keys = keys.map_err(|e| api_error::failed("DescribeKeyPairs", "find what was left", e))?;

        // Only now: a run that began since then has made nothing of what was found, and one that made it shows as living.
        let mut spared = living_runs();
        let (mut taken, mut kept) = (Vec::new(), Vec::new());
        for instance in &instances {
            let is_kept = is_kept(instance)?;
            if self.takes(instance.tags(), is_kept, &spared) {
                taken.push(instance);
            } else if is_kept {
                kept.push(instance);
            }
        }
        // A machine that is kept needs its key and its group.
        spared.extend(kept.iter().filter_map(|kept| tags::value(kept.tags(), tags::RUN).map(str::to_owned)));
        let groups = groups.iter().filter(|group| self.takes(group.tags(), false, &spared));
        let keys = keys.key_pairs().iter().filter(|key| self.takes(key.tags(), false, &spared));
        Ok(Swept {
            instances: taken.into_iter().filter_map(|instance| instance.instance_id.clone()).collect(),
            security_groups: groups.filter_map(|group| group.group_id.clone()).collect(),
            key_pairs: keys.filter_map(|key| key.key_name.clone()).collect(),
        })
    }

    /// Whether something with these tags is to go; what belongs to the spared runs stays until its lease has ended.
    fn takes(&self, tags: &[Tag], kept: bool, spared: &BTreeSet<String>) -> bool {
        let mine = tags::value(tags, tags::OWNER) == Some(&tags::owner());
        match &self.which {
            Which::Run(_) => true,
            Which::Mine => mine,
            Which::Instance(_) => false,
            Which::Over => {
                let run = tags::value(tags, tags::RUN).unwrap_or_default();
                let expires = tags::value(tags, tags::EXPIRES_AT).and_then(|at| humantime::parse_rfc3339(at).ok());
                let expired = expires.is_some_and(|at| at < SystemTime::now());
                expired || (mine && !kept && !spared.contains(run))
            }
        }
    }

    async fn end(&self, found: &Swept) -> Result<(), Error> {
        let client = &self.ec2.connection.client;
        terminate(&self.ec2.connection, found.instances.iter().cloned().collect(), &|_| true)
            .await
            .map_err(|(_, error)| error)?;
        for name in &found.key_pairs {
            let call = client.delete_key_pair().key_name(name).send().await;
            call.map_err(|e| api_error::failed("DeleteKeyPair", format!("delete the key pair {name}"), e))?;
        }
        for group in &found.security_groups {
            self.delete_group(group).await?;
        }
        Ok(())
    }

    /// Machines that are shutting down still hold their groups.
    async fn delete_group(&self, group: &str) -> Result<(), Error> {
        let since = Instant::now();
        let mut pauses = pauses(LOOK_PAUSE, LOOK_PAUSE_MAX);
        loop {
            let call = self.ec2.connection.client.delete_security_group().group_id(group).send().await;
            let Err(e) = call else { return Ok(()) };
            let error = api_error::failed("DeleteSecurityGroup", format!("delete the security group {group}"), e);
            match error.code() {
                Some("InvalidGroup.NotFound") => return Ok(()),
                Some("DependencyViolation" | "InvalidGroup.InUse") if since.elapsed() < GROUPS_WITHIN => {
                    pauses.next().await;
                }
                _ => return Err(error),
            }
        }
    }
}

operation!(Sweep -> Swept, "sweep", Finish);

/// The runs of this user on this host that a process belongs to.
fn living_runs() -> BTreeSet<String> {
    let Ok(runs) = run::runs_directory() else { return BTreeSet::new() };
    let entries = fs::read_dir(runs).into_iter().flatten().filter_map(Result::ok);
    entries
        .filter(|entry| run::is_living(&entry.path()))
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect()
}
