//! Subnets of our VPCs.

use super::{Found, Kind, Life, Token, left::end_each, network_interface::holders, pages::all_pages};
use crate::{
    connection::{Connection, api_error},
    error::Error,
};
use aws_sdk_ec2::types::Filter;

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

async fn users(connection: &Connection, id: &str) -> Result<Vec<String>, Error> {
    holders(connection, Filter::builder().name("subnet-id").values(id).build()).await
}

async fn find(connection: &Connection, filters: Vec<Filter>) -> Result<Vec<Found>, Error> {
    let call = connection.client.describe_subnets().set_filters(Some(filters));
    let subnets = all_pages!("DescribeSubnets", "find subnets", call, subnets);
    let found = subnets.into_iter().filter_map(|subnet| {
        let (tags, id) = (subnet.tags.unwrap_or_default(), subnet.subnet_id?);
        Some(Found::new(&KIND, id, tags, false))
    });
    Ok(found.collect())
}
