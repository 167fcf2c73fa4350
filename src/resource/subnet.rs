//! Subnets of our VPCs.

use super::{Found, Kind, Life, Token, left::end_each};
use crate::{
    connection::{Connection, api_error},
    error::Error,
};
use aws_sdk_ec2::types::{Filter, NetworkInterface};

/// A subnet. Whatever has an interface in it holds it.
pub(crate) static KIND: Kind = Kind {
    word: "subnet",
    token: Token::Attempt,
    life: Life::Test,
    rank: 4,
    in_use: &["DependencyViolation"],
    users: Some(|connection, id| Box::pin(users(connection, id))),
    find: |connection, filters| Box::pin(find(connection, filters)),
    end: |connection, endings| {
        Box::pin(end_each(connection, endings, move |id| async move {
            let call = connection.client.delete_subnet().subnet_id(&id).send().await;
            call.map(drop).map_err(|e| api_error::failed("DeleteSubnet", format!("delete the subnet {id}"), e))
        }))
    },
};

/// The instances with an interface in it, or the interfaces that no instance has.
async fn users(connection: &Connection, id: &str) -> Result<Vec<String>, Error> {
    let in_subnet = Filter::builder().name("subnet-id").values(id).build();
    let call = connection.client.describe_network_interfaces().filters(in_subnet).send().await;
    let tried = format!("find what uses {id}");
    let found = call.map_err(|e| api_error::failed("DescribeNetworkInterfaces", tried, e))?.network_interfaces;
    let user = |interface: NetworkInterface| {
        let instance = interface.attachment.and_then(|attachment| attachment.instance_id);
        instance.or(interface.network_interface_id)
    };
    Ok(found.into_iter().flatten().filter_map(user).collect())
}

async fn find(connection: &Connection, filters: Vec<Filter>) -> Result<Vec<Found>, Error> {
    let mut pages = connection.client.describe_subnets().set_filters(Some(filters)).into_paginator().send();
    let mut found = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|e| api_error::failed("DescribeSubnets", "find subnets", e))?;
        found.extend(page.subnets.into_iter().flatten().filter_map(|subnet| {
            let (tags, id) = (subnet.tags.unwrap_or_default(), subnet.subnet_id?);
            Some(Found::new(&KIND, id, tags, false))
        }));
    }
    Ok(found)
}
