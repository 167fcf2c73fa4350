//! Security groups.

use super::{Found, Kind, Life, Token, network_interface::holders, pages::all_pages};
use crate::{
    connection::{Connection, api_error},
    error::Error,
};
use aws_sdk_ec2::types::Filter;

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

async fn users(connection: &Connection, id: &str) -> Result<Vec<String>, Error> {
    holders(connection, Filter::builder().name("group-id").values(id).build()).await
}

async fn find(connection: &Connection, filters: Vec<Filter>) -> Result<Vec<Found>, Error> {
    let call = connection.client.describe_security_groups().set_filters(Some(filters));
    let groups = all_pages!("DescribeSecurityGroups", "find security groups", call, security_groups);
    let found = groups.into_iter().filter_map(|group| {
        let (tags, id) = (group.tags.unwrap_or_default(), group.group_id?);
        Some(Found::new(&KIND, id, tags, false))
    });
    Ok(found.collect())
}
