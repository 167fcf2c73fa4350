//! VPCs that are shared by name, across threads, processes and hosts. EC2 itself is the meeting point.
//!
//! Each who finds none makes one with the name as its tag, waits until others would see it, and looks who else has: what is complete
//! wins, else the lowest id. The others delete theirs and take the winner's. Whatever the winner's lacks anybody completes who takes it,
//! as all come to the same; so it doesn't matter who has made it, and whether they still live.

use super::{
    NewVpc, VpcHandle, find,
    make::{GuardOf, Maker},
};
use crate::{
    connection::{
        api_error,
        patience::{
            LOOK_PAUSE, LOOK_PAUSE_MAX, OTHERS_VISIBLE_WITHIN, pauses, quota_pause, until_answered, until_visible,
        },
        tags,
    },
    ec2::{Ec2, machine::lock, made::Made},
    engine,
    error::{Error, ErrorKind},
    resource::{Found, INTERNET_GATEWAY, VPC},
    state_directory::SHARED,
    teardown::owned::end_all,
};
use aws_sdk_ec2::types::{Filter, Tag};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

/// One whose lease ends so soon is not to be relied on: somebody may just be sweeping it.
const LEASE_MIN: Duration = Duration::from_secs(60);

/// How often none must be seen before one is made.
const MISSES: u32 = 3;

/// The names that are asked for in this process, each by one at a time.
#[derive(Debug, Default)]
struct Names(Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>);

/// The lease of what is shared, and when it was renewed last.
#[derive(Debug)]
pub(super) struct Lease(Mutex<Option<Instant>>);

impl Lease {
    /// Renews it, where that was long ago.
    pub(super) async fn renew(&self, vpc: &Made) -> Result<(), Error> {
        let lease = vpc.ec2.config.lease;
        if lock(&self.0).is_some_and(|at| at.elapsed() < lease / 4) {
            return Ok(());
        }
        let mut resources = vec![vpc.id().to_owned()];
        resources.extend(find::subnets(vpc).await?.into_iter().filter_map(|subnet| subnet.subnet_id));
        let connection = &vpc.ec2.connection;
        let attached = Filter::builder().name("attachment.vpc-id").values(vpc.id()).build();
        let gateways =
            until_answered(connection, || (INTERNET_GATEWAY.find)(connection, vec![attached.clone()])).await?;
        resources.extend(gateways.into_iter().map(|gateway| gateway.id));
        tag(vpc, resources, tags::EXPIRES_AT, &tags::after(tags::lease_of_shared(lease))).await?;
        *lock(&self.0) = Some(Instant::now());
        Ok(())
    }
}

/// A VPC of the name, and whether it is whole.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    is_unfinished: bool,
    id: String,
}

/// The VPC of a name; made if there is none.
pub(super) async fn get_or_create(ec2: &Ec2, name: &str, new: &NewVpc) -> Result<VpcHandle, Error> {
    let tried = format!("get or create the VPC `{name}`");
    if name.is_empty() || name.chars().count() > 256 || name.contains(['*', '?', '\\']) {
        return Err(Error::new(ErrorKind::Configuration, tried)
            .because("a name has 1 to 256 characters, and none of `*`, `?` and `\\`"));
    }
    let new = NewVpc { name: Some(new.name.clone().unwrap_or_else(|| name.to_owned())), ..new.clone() };
    let maker = Maker::of(ec2, &new, &[(tags::SHARED.to_owned(), name.to_owned())])?;
    let connection = &ec2.connection;
    find::join(ec2).await?;
    // Here one is enough to ask: within the process by an async lock, within the run by a file's.
    let names = connection.memo.of::<Names>();
    let asked = names.0.lock().unwrap_or_else(PoisonError::into_inner).entry(name.to_owned()).or_default().clone();
    let _asked = asked.lock().await;
    let (run, file) = (connection.run, format!("{SHARED}vpc.lock"));
    let _of_run = engine::blocking("lock the run's directory", move || run.lock(&file)).await?;
    let deadline = Instant::now() + ec2.config.ready_timeout;
    let settled_after = connection.paced(OTHERS_VISIBLE_WITHIN);
    let (mut own, mut misses): (Option<GuardOf>, u32) = (None, 0);
    // Who would win, and since when.
    let mut winner: Option<(String, Instant)> = None;
    let mut pauses = pauses(LOOK_PAUSE, LOOK_PAUSE_MAX.min(settled_after / 4));
    loop {
        let mut candidates = candidates(ec2, name).await?;
        if let Some(own) = &own
            && !candidates.iter().any(|other| other.id == own.owned().id())
        {
            candidates.push(Candidate { is_unfinished: true, id: own.owned().id().to_owned() });
        }
        let Some(best) = candidates.into_iter().min() else {
            // What is there may not be seen for a moment.
            misses += 1;
            if misses < MISSES {
                tokio::time::sleep(settled_after / MISSES).await;
                continue;
            }
            match maker.vpc().await {
                Ok(made) => own = Some(made),
                // Somebody's of that name may be what has used it up.
                Err(error) if error.kind() == ErrorKind::Quota && Instant::now() < deadline => {
                    tokio::time::sleep(quota_pause(connection)).await;
                }
                Err(error) => return Err(error),
            }
            continue;
        };
        if best.is_unfinished {
            let since = winner.take_if(|(id, _)| *id == best.id).map_or_else(Instant::now, |(_, since)| since);
            if since.elapsed() < settled_after {
                winner = Some((best.id, since));
                pauses.next().await;
                continue;
            }
        }
        match take(ec2, &maker, &best, own.take()).await {
            // Whoever has made it has deleted it meanwhile.
            Err(error) if error.kind() == ErrorKind::NotFound && Instant::now() < deadline => winner = None,
            taken => return taken.map_err(|error| error.while_trying(&tried)),
        }
    }
}

/// The VPCs of a name that EC2 shows.
async fn candidates(ec2: &Ec2, name: &str) -> Result<Vec<Candidate>, Error> {
    let connection = &ec2.connection;
    let by_name = Filter::builder().name(format!("tag:{}", tags::SHARED)).values(name).build();
    let found = until_answered(connection, || (VPC.find)(connection, vec![by_name.clone()])).await?;
    let lives = |found: &Found| {
        tags::time(&found.tags, tags::EXPIRES_AT).is_some_and(|until| until > SystemTime::now() + LEASE_MIN)
    };
    let candidate =
        |found: Found| Candidate { is_unfinished: found.tag(tags::COMPLETE).is_none(), id: found.id.clone() };
    Ok(found.into_iter().filter(lives).map(candidate).collect())
}

/// Takes the winner, and completes it if need be; what we have made beside it goes.
async fn take(ec2: &Ec2, maker: &Maker<'_>, winner: &Candidate, own: Option<GuardOf>) -> Result<VpcHandle, Error> {
    let mut is_own = false;
    let made = match own {
        Some(own) if own.owned().id() == winner.id => {
            is_own = true;
            give_up(own)
        }
        loser => {
            if let Some(loser) = loser {
                end_all(vec![Arc::new(loser.disarm())]).await?;
            }
            Arc::new(Made::new(ec2.clone(), &VPC, winner.id.clone(), winner.id.clone(), None))
        }
    };
    find::described(&made, OTHERS_VISIBLE_WITHIN).await?;
    let mut places = Vec::new();
    if winner.is_unfinished {
        let mut parts = Vec::new();
        let completed = maker.complete(&made, maker.subnets().await?, is_own, &mut parts).await;
        // They are everybody's now, as the VPC is.
        parts.into_iter().for_each(|part| drop(give_up(part)));
        places = completed?;
        tag(&made, vec![made.id().to_owned()], tags::COMPLETE, "yes").await?;
    }
    let lease = Lease(Mutex::default());
    lease.renew(&made).await?;
    Ok(VpcHandle::shared(made, places, lease))
}

/// It is left to its lease, as all that is shared.
fn give_up(guard: GuardOf) -> Arc<Made> {
    let made = guard.disarm();
    made.identity.forget();
    made
}

/// Sets a tag on what is ours.
async fn tag(vpc: &Made, resources: Vec<String>, key: &str, value: &str) -> Result<(), Error> {
    let (connection, tried) = (&vpc.ec2.connection, format!("tag the VPC {} and its parts", vpc.id()));
    let call = connection.client.create_tags().set_resources(Some(resources));
    let call = call.tags(Tag::builder().key(key).value(value).build());
    until_visible(|| {
        until_answered(connection, || async {
            call.clone().send().await.map(drop).map_err(|e| api_error::failed("CreateTags", &tried, e))
        })
    })
    .await
}
