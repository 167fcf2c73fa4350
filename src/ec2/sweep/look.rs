//! One look at everything that a sweep may take.

use super::{Sweep, Which, is_kept, run_tag};
use crate::{
    ec2::{api_error, tags},
    error::Error,
    run,
    teardown::journal::{Entry, Kind},
};
use aws_sdk_ec2::types::{Filter, Instance, KeyPairInfo, SecurityGroup, Tag};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::SystemTime,
};

/// What one look has found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Client tokens, by the instances' ids.
    pub(super) instances: BTreeMap<String, String>,
    /// Names, by the groups' ids.
    pub(super) security_groups: BTreeMap<String, String>,
    /// Names.
    pub(super) key_pairs: BTreeSet<String>,
    /// What the journals name.
    pub(super) journaled: Vec<Entry>,
    /// Whether some of that isn't seen, and may yet be.
    pub(super) more_may_come: bool,
}

impl Found {
    pub(super) fn is_empty(&self) -> bool {
        self.instances.is_empty() && self.security_groups.is_empty() && self.key_pairs.is_empty() && !self.more_may_come
    }

    /// Settles what a journal has of something that has ended.
    pub(super) fn settle(&self, kind: Kind, name: &str) {
        let ended = self.journaled.iter().filter(|entry| entry.kind() == kind && entry.name() == name);
        ended.for_each(Entry::settle);
    }

    pub(super) fn take_instance(&mut self, instance: &Instance) {
        let Some(id) = instance.instance_id.clone() else { return };
        self.instances.insert(id, instance.client_token.clone().unwrap_or_default());
    }

    pub(super) fn take_key_pair(&mut self, key: &KeyPairInfo) {
        self.key_pairs.extend(key.key_name.clone());
    }

    pub(super) fn take_group(&mut self, group: &SecurityGroup) {
        let Some(id) = group.group_id.clone() else { return };
        self.security_groups.insert(id, group.group_name.clone().unwrap_or_default());
    }
}

impl Sweep {
    /// Looks by tags, and by the journals.
    pub(super) async fn look(&self) -> Result<Found, Error> {
        let mut found = Found::default();
        let (filter, value) = match &self.which {
            Which::Run(id) => (run_tag(), id.as_str()),
            _ => ("tag-key".to_owned(), tags::RUN),
        };
        let mut instances = self.ec2.not_ended(&filter, value).await?;
        if let Which::Instance(wanted) = &self.which {
            instances.retain(|instance| instance.instance_id() == Some(wanted));
            instances.iter().for_each(|instance| found.take_instance(instance));
            return Ok(found);
        }
        let filter = Filter::builder().name(filter).values(value).build();
        let groups = self.security_groups(filter.clone()).await?;
        let keys = self.key_pairs(filter).await?;

        // Only now: a run that began since then has made nothing of what was found, and one that made it shows as living.
        let mut spared = living_runs();
        let mut kept = Vec::new();
        for instance in &instances {
            let is_kept = is_kept(instance)?;
            if self.takes(instance.tags(), is_kept, &spared) {
                found.take_instance(instance);
            } else if is_kept {
                kept.push(instance);
            }
        }
        // A machine that is kept needs its key and its group.
        spared.extend(kept.iter().filter_map(|kept| tags::value(kept.tags(), tags::RUN).map(str::to_owned)));
        groups
            .iter()
            .filter(|group| self.takes(group.tags(), false, &spared))
            .for_each(|group| found.take_group(group));
        keys.iter().filter(|key| self.takes(key.tags(), false, &spared)).for_each(|key| found.take_key_pair(key));
        self.add_journaled(&mut found, &spared).await?;
        Ok(found)
    }

    pub(super) async fn security_groups(&self, filter: Filter) -> Result<Vec<SecurityGroup>, Error> {
        let call = self.ec2.connection.client.describe_security_groups().filters(filter);
        let (mut groups, mut pages) = (Vec::new(), call.into_paginator().send());
        while let Some(page) = pages.next().await {
            let page = page.map_err(|e| api_error::failed("DescribeSecurityGroups", "find what was left", e))?;
            groups.extend(page.security_groups.unwrap_or_default());
        }
        Ok(groups)
    }

    pub(super) async fn key_pairs(&self, filter: Filter) -> Result<Vec<KeyPairInfo>, Error> {
        let keys = self.ec2.connection.client.describe_key_pairs().filters(filter).send().await;
        let keys = keys.map_err(|e| api_error::failed("DescribeKeyPairs", "find what was left", e))?;
        Ok(keys.key_pairs.unwrap_or_default())
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
}

/// The runs of this user on this host that a process belongs to.
fn living_runs() -> BTreeSet<String> {
    let runs = run::directories().unwrap_or_default().into_iter().filter(|run| run::is_living(run));
    runs.filter_map(|run| Some(run.file_name()?.to_str()?.to_owned())).collect()
}
