//! How a VPC is deleted: with all of ours that is in it, and with nothing else.

use super::VpcHandle;
use crate::{
    connection::{
        Connection, api_error,
        patience::{LOOK_PAUSE, LOOK_PAUSE_MAX, OTHERS_VISIBLE_WITHIN, pauses, until_answered},
        tags,
    },
    error::{Error, ErrorKind},
    resource::{Ending, Found, INSTANCE, INTERNET_GATEWAY, Kind, SUBNET, VPC, in_order, inside},
    run,
    teardown::{
        detached::PATIENCE,
        live,
        owned::{end_all, free_within, is_in_use},
    },
};
use aws_sdk_ec2::types::{Filter, NetworkInterface, RouteTable, SecurityGroup, Tag};
use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

/// EC2's words for the kinds that are in a VPC and are found by it.
const INSIDE: &[&str] = &["instance", "network-interface", "security-group", "subnet", "route-table"];

/// Whether machines of ours that are kept are to go, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    Go,
    Stay,
}

/// Deletes it; `how` says where that was asked for.
pub(super) async fn delete(vpc: &VpcHandle, kept: Kept, how: &str) -> Result<(), Error> {
    let made = &vpc.0.made;
    if made.identity.is_forgotten() && made.identity.ended().is_some() {
        return Ok(());
    }
    let connection = &made.ec2.connection;
    let limit = free_within(connection) * 2;
    let (since, mut pauses) = (Instant::now(), pauses(LOOK_PAUSE, LOOK_PAUSE_MAX));
    loop {
        // Each time: what is fresh may not have been seen before.
        end_machines(vpc, kept).await?;
        let foreign = until_answered(connection, || foreign(connection, vpc.id(), kept)).await?;
        // Machines mostly take longer to end than this.
        if foreign.is_empty() && since.elapsed() < connection.paced(OTHERS_VISIBLE_WITHIN) {
            pauses.next().await;
            continue;
        }
        let attempt = if foreign.is_empty() { end(vpc, how).await } else { Err(is_anothers(vpc, &foreign)) };
        let error = match attempt {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        let patience = match error.kind() {
            // The tags of what is fresh are seen late.
            ErrorKind::Refused => connection.paced(OTHERS_VISIBLE_WITHIN),
            ErrorKind::NotFound => limit,
            _ if is_in_use(&error) || error.is_transient() => limit,
            _ => Duration::ZERO,
        };
        if since.elapsed() > patience {
            return Err(error);
        }
        pauses.next().await;
    }
}

/// Deletes it as its guard is dropped, within the time that anybody waits for it.
pub(super) async fn when_dropped(vpc: &VpcHandle) -> Result<(), Error> {
    let deleting = delete(vpc, Kept::Stay, "when its guard was dropped");
    tokio::time::timeout(PATIENCE, deleting).await.unwrap_or_else(|_| {
        Err(Error::new(ErrorKind::TimedOut, format!("delete {vpc}"))
            .because(format!("it isn't gone after {} s, since its machines aren't", PATIENCE.as_secs()))
            .advise("the end of the run ends it; `ec2-harness sweep` does so, too"))
    })
}

fn is_anothers(vpc: &VpcHandle, foreign: &BTreeSet<String>) -> Error {
    let named = foreign.iter().cloned().collect::<Vec<_>>().join(", ");
    Error::new(ErrorKind::Refused, format!("delete {vpc}"))
        .because(format!(
            "some of what is in it isn't ours, or is kept: {named}; that was left, and so was its network"
        ))
        .advise("end it, if it is yours, and delete the VPC again")
}

/// Ends our machines in it.
async fn end_machines(vpc: &VpcHandle, kept: Kept) -> Result<(), Error> {
    let connection = &vpc.ec2().connection;
    let (mut known, mut others) = (Vec::new(), Vec::new());
    for machine in of_ours(connection, vpc.id(), &INSTANCE).await? {
        if machine.has_ended || (kept == Kept::Stay && is_kept(&machine)?) {
            continue;
        }
        match live::known(&INSTANCE, &machine.id) {
            Some(owned) => {
                owned.identity().mark_ended(format!("with {vpc}"));
                known.push(owned);
            }
            None => others.push(machine.ending(true)),
        }
    }
    end_all(known).await?;
    if others.is_empty() {
        return Ok(());
    }
    (INSTANCE.end)(connection, others).await.map_err(|left| left.error)
}

fn is_kept(found: &Found) -> Result<bool, Error> {
    let run = found.tag(tags::RUN).unwrap_or_default();
    Ok(found.tag(tags::KEPT).is_some() || run::kept(run)?.contains(&found.id))
}

/// What we have made of a kind in a VPC, as far as EC2 shows it.
async fn of_ours(connection: &Arc<Connection>, vpc: &str, kind: &Kind) -> Result<Vec<Found>, Error> {
    let place = if kind == &INTERNET_GATEWAY { attached(vpc) } else { inside(vpc) };
    let ours = Filter::builder().name("tag-key").values(tags::RUN).build();
    let filters = vec![place, ours];
    until_answered(connection, || (kind.find)(connection, filters.clone())).await
}

fn attached(vpc: &str) -> Filter {
    Filter::builder().name("attachment.vpc-id").values(vpc).build()
}

/// Ends all of ours in it, and it, once; what was known to live here is forgotten.
async fn end(vpc: &VpcHandle, how: &str) -> Result<(), Error> {
    let connection = &vpc.ec2().connection;
    let is_inside = |kind: &&Kind| **kind == INTERNET_GATEWAY || INSIDE.contains(&kind.word);
    for kind in in_order().into_iter().filter(is_inside) {
        let found = of_ours(connection, vpc.id(), kind).await?;
        let found: Vec<Found> = found.into_iter().filter(|found| !found.has_ended).collect();
        if found.is_empty() {
            continue;
        }
        let endings = found.iter().map(|found| found.ending(true)).collect();
        (kind.end)(connection, endings).await.map_err(|left| left.error)?;
        for ended in found.iter().filter_map(|found| live::known(kind, &found.id)) {
            ended.identity().mark_ended(format!("with {vpc}"));
            ended.identity().forget();
            ended.release();
        }
    }
    let ending = Ending::new(vpc.id(), true);
    (VPC.end)(connection, vec![ending]).await.map_err(|left| left.error)?;
    vpc.0.made.identity.mark_ended(how);
    vpc.0.made.identity.forget();
    if let Some(known) = live::known(&VPC, vpc.id()) {
        known.identity().mark_ended(how);
        known.identity().forget();
    }
    Ok(())
}

/// What is in it that we haven't made, beside what it has by itself, and machines that are to stay.
async fn foreign(connection: &Arc<Connection>, vpc: &str, kept: Kept) -> Result<BTreeSet<String>, Error> {
    let (client, tried) = (&connection.client, format!("find what is in {vpc}"));
    let mut foreign = BTreeSet::new();
    let is_ours = |tags: &[Tag]| tags::value(tags, tags::RUN).is_some();
    for (kind, place) in [(&INSTANCE, inside(vpc)), (&SUBNET, inside(vpc)), (&INTERNET_GATEWAY, attached(vpc))] {
        for found in (kind.find)(connection, vec![place]).await?.into_iter().filter(|found| !found.has_ended) {
            let stays = kind == &INSTANCE && kept == Kept::Stay && is_kept(&found)?;
            if stays || !is_ours(&found.tags) {
                foreign.insert(found.id);
            }
        }
    }
    let call = client.describe_security_groups().filters(inside(vpc)).send().await;
    let groups = call.map_err(|e| api_error::failed("DescribeSecurityGroups", &tried, e))?.security_groups;
    let is_foreign = |group: &SecurityGroup| group.group_name() != Some("default") && !is_ours(group.tags());
    foreign.extend(groups.into_iter().flatten().filter(is_foreign).filter_map(|group| group.group_id));
    let call = client.describe_route_tables().filters(inside(vpc)).send().await;
    let tables = call.map_err(|e| api_error::failed("DescribeRouteTables", &tried, e))?.route_tables;
    let is_foreign = |table: &RouteTable| {
        !table.associations().iter().any(|association| association.main() == Some(true)) && !is_ours(table.tags())
    };
    foreign.extend(tables.into_iter().flatten().filter(is_foreign).filter_map(|table| table.route_table_id));
    let call = client.describe_network_interfaces().filters(inside(vpc)).send().await;
    let interfaces = call.map_err(|e| api_error::failed("DescribeNetworkInterfaces", &tried, e))?.network_interfaces;
    // One of an instance is the instance's.
    let is_foreign = |interface: &NetworkInterface| {
        interface.attachment().and_then(|attachment| attachment.instance_id()).is_none()
            && !is_ours(interface.tag_set())
    };
    let others = interfaces.into_iter().flatten().filter(is_foreign);
    foreign.extend(others.filter_map(|interface| interface.network_interface_id));
    Ok(foreign)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_a_vpc_ends_before_it() {
        for kind in in_order().into_iter().filter(|kind| INSIDE.contains(&kind.word)) {
            assert!(kind.rank < INTERNET_GATEWAY.rank, "{}", kind.word);
        }
        assert!(INTERNET_GATEWAY.rank < VPC.rank);
    }
}
