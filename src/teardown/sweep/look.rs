//! One look at everything that a sweep may take.

use super::{Sweep, Which, is_cached, is_kept};
use crate::{
    connection::tags,
    error::Error,
    resource::{Found, KINDS, Life},
    run,
    teardown::journal::Entry,
};
use aws_sdk_ec2::types::Filter;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::SystemTime,
};

/// What one look has found.
#[derive(Debug, Default)]
pub(super) struct Look {
    pub(super) found: Vec<Found>,
    /// What the journals name.
    pub(super) journaled: Vec<Entry>,
    /// Whether some of that isn't seen, and may yet be.
    pub(super) more_may_come: bool,
    /// The runs that are left alone since EC2 shows that they live, and until when they do for sure.
    pub(super) alive: BTreeMap<String, SystemTime>,
}

impl Look {
    pub(super) fn is_empty(&self) -> bool {
        self.found.is_empty() && !self.more_may_come
    }

    /// Takes something, once.
    pub(super) fn take(&mut self, found: Found) {
        if !self.found.iter().any(|other| other.kind == found.kind && other.id == found.id) {
            self.found.push(found);
        }
    }

    /// Settles what a journal has of something that has ended.
    pub(super) fn settle(&self, ended: &Found) {
        let of_it = |entry: &&Entry| entry.kind() == ended.kind && Some(entry.token()) == ended.token();
        // Where one call makes several, the next look shows what is left of them.
        self.journaled.iter().filter(of_it).filter(|entry| entry.count() == 1).for_each(Entry::settle);
    }
}

/// The runs that something is spared of.
#[derive(Debug, Default)]
pub(super) struct Spared {
    /// Processes belong to these: all of them.
    living: BTreeSet<String>,
    /// Something of these is kept, and needs what the run shares.
    kept: BTreeSet<String>,
}

impl Spared {
    /// Whether something of that life stays.
    pub(super) fn spares(&self, run: &str, life: Life) -> bool {
        self.living.contains(run) || (life == Life::Run && self.kept.contains(run))
    }
}

impl Sweep {
    /// Looks by tags, and by the journals.
    pub(super) async fn look(&self) -> Result<Look, Error> {
        let mut look = Look::default();
        if let Which::Journaled(_) = self.which {
            self.add_journaled(&mut look, &Spared::default()).await?;
            return Ok(look);
        }
        let (filter, value) = match &self.which {
            Which::Run { id, .. } => (format!("tag:{}", tags::RUN), id.as_str()),
            _ => ("tag-key".to_owned(), tags::RUN),
        };
        let filter = Filter::builder().name(filter).values(value).build();
        let mut seen = Vec::new();
        for kind in KINDS {
            seen.extend((kind.find)(&self.connection, vec![filter.clone()]).await?);
        }
        let ended: BTreeSet<String> =
            seen.iter().filter(|found| found.has_ended).map(|found| found.id.clone()).collect();
        seen.retain(|found| !found.has_ended);
        if let Which::One(wanted) = &self.which {
            seen.into_iter().filter(|found| found.id == *wanted).for_each(|found| look.take(found));
            return Ok(look);
        }
        // Only now: a run that began since then has made nothing of what was found, and one that made it shows as living.
        let mut spared = Spared { living: living_runs(), kept: BTreeSet::new() };
        if self.which == Which::Over {
            look.alive = alive_elsewhere(&seen)?;
            spared.living.extend(look.alive.keys().cloned());
        }
        for found in &seen {
            if is_kept(found)? && !self.takes(found, true, &Spared::default()) {
                spared.kept.extend(found.tag(tags::RUN).map(str::to_owned));
            }
        }
        for run in run::directories()? {
            if run::has_kept_lately(&run, self.visible_within(), |id| ended.contains(id))? {
                spared.kept.extend(run.file_name().and_then(|name| name.to_str()).map(str::to_owned));
            }
        }
        for found in seen {
            let is_kept = is_kept(&found)?;
            if !is_cached(&found)? && self.takes(&found, is_kept, &spared) {
                look.take(found);
            }
        }
        self.add_journaled(&mut look, &spared).await?;
        Ok(look)
    }

    /// Whether something is to go; what is spared stays until its lease has ended.
    fn takes(&self, found: &Found, is_kept: bool, spared: &Spared) -> bool {
        let run = found.tag(tags::RUN).unwrap_or_default();
        let is_mine = found.tag(tags::OWNER) == Some(&tags::owner());
        match &self.which {
            Which::Run { spare_kept: false, .. } => true,
            Which::Run { spare_kept: true, .. } => {
                let is_of_it = found.tag(tags::INCARNATION) == self.connection.run.incarnation();
                is_mine && is_of_it && !is_kept && !(found.kind.life == Life::Run && spared.kept.contains(run))
            }
            Which::Mine => is_mine,
            Which::One(_) | Which::Journaled(_) => false,
            Which::Over => {
                let is_expired = tags::time(&found.tags, tags::EXPIRES_AT).is_some_and(|at| at < SystemTime::now());
                // What a kept machine needs lives as long as it does.
                let is_needed = found.kind.life == Life::Run && spared.kept.contains(run);
                (is_expired && !is_needed) || (is_mine && !is_kept && !spared.spares(run, found.kind.life))
            }
        }
    }
}

/// The runs of this user on this host whose processes aren't seen here, since their state directory is another, or is gone; but their
/// tags show that they live, and until when.
fn alive_elsewhere(seen: &[Found]) -> Result<BTreeMap<String, SystemTime>, Error> {
    let mut alive = BTreeMap::new();
    for found in seen.iter().filter(|found| found.tag(tags::OWNER) == Some(&tags::owner())) {
        let (Some(run), Some(until)) = (found.tag(tags::RUN), tags::time(&found.tags, tags::ALIVE_UNTIL)) else {
            continue;
        };
        if run == tags::NO_RUN {
            continue;
        }
        let here = run::directory_of(run)?.and_then(|directory| run::incarnation_of(&directory));
        let is_here = here.is_some() && here.as_deref() == found.tag(tags::INCARNATION);
        if !is_here && until > SystemTime::now() {
            let latest = alive.entry(run.to_owned()).or_insert(until);
            *latest = until.max(*latest);
        }
    }
    Ok(alive)
}

/// The runs of this user on this host that a process belongs to.
fn living_runs() -> BTreeSet<String> {
    let runs = run::directories().unwrap_or_default().into_iter().filter(|run| run::is_living(run));
    runs.filter_map(|run| Some(run.file_name()?.to_str()?.to_owned())).collect()
}
