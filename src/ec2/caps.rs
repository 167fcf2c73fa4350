//! Caps: how many instances and vCPUs may exist at once, of all processes of this user on this host.
//!
//! A ledger in the state directory, under a lock, holds a line for each instance that is asked for or exists. A process
//! that died leaves its lines; they count until the lease has ended, since its machines may still be there.

use crate::{
    config::Config,
    connection::{Connection, api_error},
    error::{Error, ErrorKind},
    lock_file::{self, Lock},
    run, state_directory,
    target::Target,
};
use serde::{Deserialize, Serialize};
use std::{
    fs,
    io::{self, Read, Seek, Write},
    time::{Duration, SystemTime},
};

/// The caps where none is configured.
const INSTANCES_ON_AWS: u32 = 20;
const VCPUS_ON_AWS: u32 = 64;

/// A place below the cap; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Reservation {
    id: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Entry {
    id: String,
    place: String,
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
    let place = format!("{}/{}", connection.target, connection.account.as_deref().unwrap_or("any"));
    let (lease, instance_type) = (config.lease, instance_type.to_owned());
    tokio::task::spawn_blocking(move || take(place, &instance_type, wanted, instances, vcpus, lease))
        .await
        .map_err(|e| Error::new(ErrorKind::Internal, "look at the caps").caused_by(e))?
        .map(Some)
}

fn take(
    place: String,
    instance_type: &str,
    wanted: u32,
    instances: Option<u32>,
    vcpus: Option<u32>,
    lease: Duration,
) -> Result<Reservation, Error> {
    let id = run::random_id()?;
    let refused = |what: String, key: &str| {
        Err(Error::new(ErrorKind::Refused, format!("launch a {instance_type}"))
            .because(what)
            .advise(format!("raise `{key}` in ec2-harness.toml, or run fewer tests at once; nothing was created")))
    };
    with_ledger(|entries| {
        let here = || entries.iter().filter(|entry| entry.place == place);
        let (count, used) = (here().count(), here().map(|entry| entry.vcpus).sum::<u32>());
        if let Some(max) = instances.filter(|max| count >= *max as usize) {
            return refused(
                format!("{count} instances exist or are being launched, and {max} are allowed"),
                "max_instances",
            );
        }
        if let Some(max) = vcpus.filter(|max| used + wanted > *max) {
            return refused(format!("it has {wanted} vCPUs, {used} are in use, and {max} are allowed"), "max_vcpus");
        }
        entries.push(Entry { id: id.clone(), place: place.clone(), vcpus: wanted, until: SystemTime::now() + lease });
        Ok(Reservation { id: id.clone() })
    })?
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let given_back = with_ledger(|entries| entries.retain(|entry| entry.id != self.id));
        if let Err(error) = given_back {
            tracing::warn!("failed to {error}");
        }
    }
}

/// Reads the ledger without what has ended, changes it, and writes it, all under its lock.
fn with_ledger<T>(change: impl FnOnce(&mut Vec<Entry>) -> T) -> Result<T, Error> {
    let state = state_directory::make()?;
    let path = state.join("ledger");
    let failed =
        |e: io::Error| Error::new(ErrorKind::Internal, format!("use the ledger {}", path.display())).caused_by(e);
    let mut file = lock_file::lock(&path, Lock::Exclusive).map_err(failed)?;
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(failed)?;
    // A process that was killed while writing leaves half a line: its other lines still count.
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
    file.rewind()
        .and_then(|()| file.write_all(text.as_bytes()))
        .and_then(|()| file.set_len(text.len() as u64))
        .map_err(failed)?;
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
