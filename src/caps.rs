//! Caps: how many instances and vCPUs may exist at once, of all processes of this user on this host.
//!
//! A ledger in the state directory, under a lock, holds a line for each instance that is asked for or exists. A process
//! that died leaves its lines, since its machines may still be there: they count until a sweep has ended those, or their lease
//! has ended. So does one of a machine that is kept.

use crate::{
    config::Config,
    connection::{Connection, api_error},
    engine,
    error::{Error, ErrorKind},
    lock_file::{self, Lock},
    run,
    state_directory::{self, LEDGER},
    target::Target,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeSet,
    fs,
    io::{self, Read, Write},
    time::{Duration, SystemTime},
};

/// The caps where none is configured.
const INSTANCES_ON_AWS: u32 = 20;
const VCPUS_ON_AWS: u32 = 64;

/// A place below the cap; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Reservation {
    id: String,
    is_kept: bool,
}

/// A line of the ledger. What one of an earlier version doesn't say is empty.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Entry {
    id: String,
    place: String,
    #[serde(default)]
    region: String,
    #[serde(default)]
    run: String,
    /// The instance, once it is kept.
    #[serde(default)]
    kept: Option<String>,
    vcpus: u32,
    until: SystemTime,
}

/// Takes a place for one instance; `None` where nothing is capped.
pub(crate) async fn reserve(
    connection: &Connection,
    config: &Config,
    instance_type: &str,
) -> Result<Option<Reservation>, Error> {
    let on_aws = connection.target == Target::Aws;
    let instances = config.max_instances.or(on_aws.then_some(INSTANCES_ON_AWS));
    let vcpus = config.max_vcpus.or(on_aws.then_some(VCPUS_ON_AWS));
    if instances.is_none() && vcpus.is_none() {
        return Ok(None);
    }
    let wanted = match vcpus {
        Some(_) => vcpus_of(connection, instance_type).await?,
        None => 0,
    };
    let entry = Entry {
        id: run::random_id()?,
        place: place(connection),
        region: connection.region.clone(),
        run: connection.run.id().to_owned(),
        kept: None,
        vcpus: wanted,
        until: SystemTime::now() + config.lease,
    };
    let instance_type = instance_type.to_owned();
    engine::blocking("look at the caps", move || take(entry, &instance_type, instances, vcpus)).await.map(Some)
}

/// Where caps count together.
fn place(connection: &Connection) -> String {
    format!("{}/{}", connection.target, connection.account.as_deref().unwrap_or("any"))
}

fn take(entry: Entry, instance_type: &str, instances: Option<u32>, vcpus: Option<u32>) -> Result<Reservation, Error> {
    let refused = |what: String, key: &str| {
        Err(Error::new(ErrorKind::Refused, format!("launch a {instance_type}"))
            .because(what)
            .advise(format!("raise `{key}` in ec2-harness.toml, or run fewer tests at once; nothing was created")))
    };
    with_ledger(|entries| {
        let here = || entries.iter().filter(|other| other.place == entry.place);
        let (count, used) = (here().count(), here().map(|entry| entry.vcpus).sum::<u32>());
        if let Some(max) = instances.filter(|max| count >= *max as usize) {
            return refused(
                format!("{count} instances exist or are being launched, and {max} are allowed"),
                "max_instances",
            );
        }
        if let Some(max) = vcpus.filter(|max| used + entry.vcpus > *max) {
            let wanted = entry.vcpus;
            return refused(format!("it has {wanted} vCPUs, {used} are in use, and {max} are allowed"), "max_vcpus");
        }
        entries.push(entry.clone());
        Ok(Reservation { id: entry.id.clone(), is_kept: false })
    })?
}

impl Reservation {
    /// Leaves the place taken, by a machine that is kept for so long.
    pub(crate) fn keep(mut self, instance: &str, lease: Duration) -> Result<(), Error> {
        self.is_kept = true;
        with_ledger(|entries| {
            for entry in entries.iter_mut().filter(|entry| entry.id == self.id) {
                entry.kept = Some(instance.to_owned());
                entry.until = SystemTime::now() + lease;
            }
        })
    }
}

/// Forgets what a sweep of a connection's region has ended: what was kept of these ids, and whatever isn't kept of runs that are over.
pub(crate) async fn forget(
    connection: &Connection,
    ended: BTreeSet<String>,
    is_over: impl Fn(&str) -> bool + Send + 'static,
) -> Result<(), Error> {
    let (place, region) = (place(connection), connection.region.clone());
    engine::blocking("look at the caps", move || {
        if !state_directory::path()?.join(LEDGER).exists() {
            return Ok(());
        }
        with_ledger(|entries| {
            entries.retain(|entry| {
                let has_ended = match &entry.kept {
                    Some(kept) => ended.contains(kept),
                    None => is_over(&entry.run),
                };
                !(entry.place == place && entry.region == region && has_ended)
            });
        })
    })
    .await
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if self.is_kept {
            return;
        }
        let given_back = with_ledger(|entries| entries.retain(|entry| entry.id != self.id));
        if let Err(error) = given_back {
            tracing::warn!("failed to {error}");
        }
    }
}

/// Reads the ledger without what has ended, changes it, and writes it, all under its lock.
fn with_ledger<T>(change: impl FnOnce(&mut Vec<Entry>) -> T) -> Result<T, Error> {
    let state = state_directory::make()?;
    let path = state.join(LEDGER);
    let failed =
        |e: io::Error| Error::new(ErrorKind::Internal, format!("use the ledger {}", path.display())).caused_by(e);
    let mut file = lock_file::lock(&path, Lock::Exclusive).map_err(failed)?;
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(failed)?;
    // What an earlier version was killed writing is half a line: its other lines still count.
    let mut entries: Vec<Entry> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    entries.retain(|entry| entry.until > SystemTime::now());
    let result = change(&mut entries);
    if entries.is_empty() {
        return fs::remove_file(&path).map(|()| result).map_err(failed);
    }
    let mut text = String::new();
    for entry in &entries {
        text.push_str(&serde_json::to_string(entry).map_err(|e| failed(io::Error::other(e)))?);
        text.push('\n');
    }
    // Whole, or not at all. Anyone who waits for the lock of the file that was there finds that it is another now.
    let new = state.join(format!("{LEDGER}.new"));
    let written = lock_file::anew(&new).and_then(|mut file| file.write_all(text.as_bytes()));
    written.and_then(|()| fs::rename(new, &path)).map_err(failed)?;
    Ok(result)
}

async fn vcpus_of(connection: &Connection, instance_type: &str) -> Result<u32, Error> {
    let tried = format!("find out how many vCPUs a {instance_type} has");
    let answer = connection
        .client
        .describe_instance_types()
        .instance_types(instance_type.into())
        .send()
        .await
        .map_err(|e| api_error::failed("DescribeInstanceTypes", &tried, e))?;
    answer
        .instance_types()
        .first()
        .and_then(|info| info.v_cpu_info()?.default_v_cpus())
        .and_then(|vcpus| u32::try_from(vcpus).ok())
        .ok_or_else(|| Error::new(ErrorKind::NotFound, tried).because("EC2 doesn't say"))
}
