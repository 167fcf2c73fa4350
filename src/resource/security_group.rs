//! Security groups.

use super::{Found, Kind, Life, Token};
use crate::{
    connection::{Connection, api_error},
    error::Error,
};
use aws_sdk_ec2::types::{Filter, NetworkInterface};

/// A security group; one a run and VPC. Machines that are shutting down still hold theirs.
pub(crate) static KIND: Kind = Kind {
    word: "security-group",
    token: Token::Attempt,
    life: Life::Run,
    rank: 2,
    in_use: &["DependencyViolation", "InvalidGroup.InUse"],
    users: Some(|connection, id| Box::pin(users(connection, id))),
    find: |connection, filters| Box::pin(find(connection, filters)),
    end: |connection, endings| {
        Box::pin(super::left::end_each(connection, endings, move |id| async move {
            let call = connection.client.delete_security_group().group_id(&id).send().await;
            let tried = format!("delete the security group {id}");
            call.map(drop).map_err(|e| api_error::failed("DeleteSecurityGroup", tried, e))
        }))
    },
};

/// The instances with an interface in the group, or the interfaces that no instance has.
async fn users(connection: &Connection, id: &str) -> Result<Vec<String>, Error> {
    let in_group = Filter::builder().name("group-id").values(id).build();
    let call = connection.client.describe_network_interfaces().filters(in_group).send().await;
    let tried = format!("find what uses {id}");
    let found = call.map_err(|e| api_error::failed("DescribeNetworkInterfaces", tried, e))?.network_interfaces;
    let user = |interface: NetworkInterface| {
        let instance = interface.attachment.and_then(|attachment| attachment.instance_id);
        instance.or(interface.network_interface_id)
    };
    Ok(found.into_iter().flatten().filter_map(user).collect())
}

async fn find(connection: &Connection, filters: Vec<Filter>) -> Result<Vec<Found>, Error> {
    let call = connection.client.describe_security_groups().set_filters(Some(filters));
    let (mut found, mut pages) = (Vec::new(), call.into_paginator().send());
    while let Some(page) = pages.next().await {
        let page = page.map_err(|e| api_error::failed("DescribeSecurityGroups", "find security groups", e))?;
        found.extend(page.security_groups.into_iter().flatten().filter_map(|group| {
            let (tags, id) = (group.tags.unwrap_or_default(), group.group_id?);
            Some(Found::new(&KIND, id, tags, false))
        }));
    }
    Ok(found)
}
