//! What is there of a VPC, as EC2 shows it.

use super::VpcHandle;
use crate::{
    connection::{
        api_error,
        patience::{
            LOOK_PAUSE, LOOK_PAUSE_MAX, OTHERS_VISIBLE_WITHIN, VISIBLE_WITHIN, pauses, until_answered,
            until_visible_within,
        },
    },
    ec2::{Ec2, made::Made},
    engine,
    error::{Error, ErrorKind},
    resource::inside,
    teardown::{signals, watchdog},
};
use aws_sdk_ec2::types::{Subnet, Vpc as Description};
use std::time::{Duration, Instant};

/// A subnet, and the zone that it is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::ec2) struct Place {
    pub(in crate::ec2) zone: String,
    pub(in crate::ec2) subnet: String,
}

/// How long what EC2 makes may take to be available.
const CHANGES_WITHIN: Duration = Duration::from_secs(5 * 60);

/// Joins the run, before the first call that makes anything.
pub(super) async fn join(ec2: &Ec2) -> Result<(), Error> {
    signals::install()?;
    let (connection, config) = (ec2.connection.clone(), ec2.config.clone());
    engine::blocking("join the run", move || watchdog::ensure(&connection, &config)).await
}

/// The VPC, once EC2 shows it.
pub(super) async fn described(vpc: &Made, limit: Duration) -> Result<Description, Error> {
    let connection = &vpc.ec2.connection;
    let tried = format!("find the VPC {}", vpc.id());
    let look = || async {
        let call = connection.client.describe_vpcs().vpc_ids(vpc.id()).send().await;
        let vpcs = call.map_err(|e| api_error::failed("DescribeVpcs", &tried, e))?.vpcs;
        let described = vpcs.into_iter().flatten().next();
        described.ok_or_else(|| Error::new(ErrorKind::NotFound, &tried).because("EC2 doesn't know it"))
    };
    let described =
        until_visible_within(connection.paced(limit), || until_answered(connection, look)).await.inspect(|_| {
            vpc.was_shown();
        })?;
    Ok(described)
}

/// Its subnets, as far as they are shown.
pub(super) async fn subnets(vpc: &Made) -> Result<Vec<Subnet>, Error> {
    let connection = &vpc.ec2.connection;
    let tried = format!("find the subnets of {}", vpc.id());
    until_answered(connection, || async {
        let call = connection.client.describe_subnets().filters(inside(vpc.id())).into_paginator().items().send();
        let subnets: Result<Vec<_>, _> = call.collect().await;
        subnets.map_err(|e| api_error::failed("DescribeSubnets", &tried, e))
    })
    .await
}

/// Looks again and again until there is what is wanted.
pub(super) async fn until<T, F>(ec2: &Ec2, tried: &str, look: impl Fn() -> F) -> Result<T, Error>
where
    F: Future<Output = Result<Option<T>, Error>>,
{
    let (since, mut pauses) = (Instant::now(), pauses(LOOK_PAUSE, LOOK_PAUSE_MAX));
    loop {
        let look = || until_answered(&ec2.connection, &look);
        if let Some(found) = until_visible_within(VISIBLE_WITHIN, look).await? {
            return Ok(found);
        }
        if since.elapsed() > CHANGES_WITHIN {
            let waited = humantime::format_duration(CHANGES_WITHIN);
            return Err(Error::new(ErrorKind::TimedOut, tried).because(format!("EC2 didn't show it within {waited}")));
        }
        pauses.next().await;
    }
}

impl VpcHandle {
    /// Its subnets, once those that we have just made are all shown.
    pub(super) async fn shown_subnets(&self) -> Result<Vec<Subnet>, Error> {
        let (vpc, tried) = (&self.0.made, format!("find the subnets of {self}"));
        until_visible_within(vpc.ec2.connection.paced(VISIBLE_WITHIN), || async {
            let shown = subnets(vpc).await?;
            let is_shown = |place: &Place| shown.iter().any(|subnet| subnet.subnet_id() == Some(&place.subnet));
            match self.0.places.iter().find(|place| !is_shown(place)) {
                Some(place) => {
                    Err(Error::new(ErrorKind::NotFound, &tried).because(format!("EC2 doesn't show {}", place.subnet)))
                }
                None => Ok(shown),
            }
        })
        .await
    }

    /// Where machines can stand in it, those first that get public addresses, and by zone.
    ///
    /// # Errors
    ///
    /// It has no subnet.
    pub(in crate::ec2) async fn places(&self) -> Result<Vec<Place>, Error> {
        if let Some(lease) = &self.0.lease {
            lease.renew(&self.0.made).await?;
        }
        if !self.0.places.is_empty() {
            return Ok(self.0.places.clone());
        }
        let (vpc, tried) = (&self.0.made, format!("find a subnet of {self}"));
        // It may be as fresh as what somebody has just made.
        let limit = vpc.ec2.connection.paced(OTHERS_VISIBLE_WITHIN);
        let mut subnets = until_visible_within(limit, || async {
            let subnets = subnets(vpc).await?;
            if subnets.is_empty() {
                return Err(Error::new(ErrorKind::NotFound, &tried)
                    .because("it has none")
                    .advise("make one, or name another VPC or a subnet"));
            }
            Ok(subnets)
        })
        .await?;
        let order = |subnet: &Subnet| {
            (subnet.map_public_ip_on_launch() != Some(true), subnet.availability_zone.clone(), subnet.subnet_id.clone())
        };
        subnets.sort_by_key(order);
        let place = |subnet: Subnet| Some(Place { zone: subnet.availability_zone?, subnet: subnet.subnet_id? });
        Ok(subnets.into_iter().filter_map(place).collect())
    }

    /// Whether we have just made it, so that what isn't found of it isn't seen yet.
    pub(in crate::ec2) fn is_ours(&self) -> bool {
        self.0.made.identity.is_ours()
    }
}
