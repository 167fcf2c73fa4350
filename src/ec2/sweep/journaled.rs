//! What the journals of this host's runs name: it may be on its way, or be there and not be seen yet, whatever its tags say.

use super::{Found, Sweep, Which, has_ended, is_kept};
use crate::{
    ec2::{end::made_with, patience::VISIBLE_WITHIN},
    error::Error,
    run,
    target::Target,
    teardown::journal::{Entry, Kind},
};
use aws_sdk_ec2::types::Filter;
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    time::Duration,
};

/// How long something may be on its way to a local EC2 and invisible there, at least, however fast all goes there.
const LOCAL_MIN: Duration = Duration::from_secs(5);

impl Sweep {
    /// Adds what the journals name and EC2 shows; settles what has ended, or can't come any more.
    pub(super) async fn add_journaled(&self, found: &mut Found, spared: &BTreeSet<String>) -> Result<(), Error> {
        let entries = self.entries(spared)?;
        let names =
            |kind| entries.iter().filter(move |entry| entry.kind() == kind).map(|entry| entry.name().to_owned());
        let instances = made_with(&self.ec2.connection, &names(Kind::Instance).collect::<Vec<_>>()).await?;
        let named = |filter: &str, name| Filter::builder().name(filter).values(name).build();
        let (mut groups, mut keys) = (Vec::new(), Vec::new());
        for name in names(Kind::SecurityGroup).collect::<BTreeSet<_>>() {
            groups.extend(self.security_groups(named("group-name", name)).await?);
        }
        for name in names(Kind::KeyPair).collect::<BTreeSet<_>>() {
            keys.extend(self.key_pairs(named("key-name", name)).await?);
        }
        let within = self.visible_within();
        for entry in &entries {
            let name = Some(entry.name());
            let is_seen = match entry.kind() {
                Kind::Instance => match instances.iter().find(|instance| instance.client_token() == name) {
                    Some(instance) if has_ended(instance) || is_kept(instance)? => {
                        entry.settle();
                        continue;
                    }
                    instance => instance.map(|it| found.take_instance(it)).is_some(),
                },
                Kind::KeyPair => {
                    keys.iter().find(|key| key.key_name() == name).map(|it| found.take_key_pair(it)).is_some()
                }
                Kind::SecurityGroup => {
                    groups.iter().find(|group| group.group_name() == name).map(|it| found.take_group(it)).is_some()
                }
            };
            if !is_seen && entry.age() > within {
                entry.settle();
            } else if !is_seen {
                found.more_may_come = true;
            }
        }
        found.journaled = entries;
        // What a watchdog is about to end isn't ours to settle, and isn't gone yet either.
        let is_at_it = |directory: &PathBuf| {
            run::is_being_ended(directory) && !self.ec2.connection.journal_of(directory).entries().is_empty()
        };
        found.more_may_come |= self.which == Which::Over && run::directories()?.iter().any(is_at_it);
        Ok(())
    }

    /// The entries of the runs that this sweep takes.
    fn entries(&self, spared: &BTreeSet<String>) -> Result<Vec<Entry>, Error> {
        let connection = &self.ec2.connection;
        let of = |directory: &Path| connection.journal_of(directory).entries();
        Ok(match &self.which {
            Which::Run(id) => run::directory_of(id)?.as_deref().map(of).unwrap_or_default(),
            // While nobody can join it: what a process makes that belongs to it later isn't among them.
            Which::Over => run::over()?
                .iter()
                .flat_map(|(directory, _over)| {
                    let id = directory.file_name().and_then(|name| name.to_str()).unwrap_or_default();
                    // A machine that is kept needs its key and its group.
                    let needed = spared.contains(id);
                    of(directory).into_iter().filter(move |entry| !needed || entry.kind() == Kind::Instance)
                })
                .collect(),
            Which::Mine => run::directories()?.iter().flat_map(|directory| of(directory)).collect(),
            Which::Instance(_) => Vec::new(),
        })
    }

    /// After which time what was sent is there for all to see, or was never made.
    fn visible_within(&self) -> Duration {
        match self.ec2.target() {
            Target::Local => VISIBLE_WITHIN.mul_f64(self.ec2.connection.pace()).max(LOCAL_MIN),
            Target::Aws | Target::Endpoint(_) => VISIBLE_WITHIN,
        }
    }
}
