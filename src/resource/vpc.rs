//! VPCs.

use super::{Found, Kind, Life, SECURITY_GROUP, Token, left::end_each, network_interface::holders, pages::all_pages};
use crate::{
    connection::{Connection, api_error, tags},
    error::{Error, ErrorKind},
};
use aws_sdk_ec2::types::{Filter, InternetGateway, RouteTable, SecurityGroup, Subnet};
use std::sync::Arc;

/// A VPC. Its main route table, its default network ACL and its default group go with it; all else must be gone before.
pub(crate) static KIND: Kind = Kind {
    word: "vpc",
    token: Token::Attempt,
    life: Life::Test,
    rank: 6,
    in_use: &["DependencyViolation"],
    users: Some(|connection, id| Box::pin(users(connection, id))),
    find: |connection, filters| Box::pin(find(connection, filters)),
    end: |connection, endings| {
        Box::pin(end_each(connection, endings, move |id| async move {
            match delete(connection, &id).await {
                // What a run has made in there for its machines is of no use without it.
                Err(error)
                    if error.code() == Some("DependencyViolation") && delete_groups(connection, &id).await? > 0 =>
                {
                    delete(connection, &id).await
                }
                other => other,
            }
        }))
    },
};

async fn delete(connection: &Connection, id: &str) -> Result<(), Error> {
    let call = connection.client.delete_vpc().vpc_id(id).send().await;
    call.map(drop).map_err(|e| api_error::failed("DeleteVpc", format!("delete the VPC {id}"), e))
}

/// Deletes the security groups in it that runs have made; says how many.
async fn delete_groups(connection: &Arc<Connection>, id: &str) -> Result<usize, Error> {
    let ours = Filter::builder().name("tag-key").values(tags::RUN).build();
    let groups = (SECURITY_GROUP.find)(connection, vec![inside(id), ours]).await?;
    for group in &groups {
        let tried = format!("delete the security group {} of {id}", group.id);
        let call = connection.client.delete_security_group().group_id(&group.id).send().await;
        match call.map_err(|e| api_error::failed("DeleteSecurityGroup", tried, e)) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            other => drop(other?),
        }
    }
    Ok(groups.len())
}

/// What finds all that is in a VPC.
pub(crate) fn inside(id: &str) -> Filter {
    Filter::builder().name("vpc-id").values(id).build()
}

/// What is in there and must be gone before it: interfaces by their instances, where they have one.
async fn users(connection: &Connection, id: &str) -> Result<Vec<String>, Error> {
    let (client, tried) = (&connection.client, format!("find what is in {id}"));
    let mut users = holders(connection, inside(id)).await?;
    let call = client.describe_security_groups().filters(inside(id)).send().await;
    let groups = call.map_err(|e| api_error::failed("DescribeSecurityGroups", &tried, e))?.security_groups;
    let own = groups.into_iter().flatten().filter(|group| group.group_name() != Some("default"));
    users.extend(own.filter_map(|group: SecurityGroup| group.group_id));
    let call = client.describe_subnets().filters(inside(id)).send().await;
    let subnets = call.map_err(|e| api_error::failed("DescribeSubnets", &tried, e))?.subnets;
    users.extend(subnets.into_iter().flatten().filter_map(|subnet: Subnet| subnet.subnet_id));
    let attached = Filter::builder().name("attachment.vpc-id").values(id).build();
    let call = client.describe_internet_gateways().filters(attached).send().await;
    let gateways = call.map_err(|e| api_error::failed("DescribeInternetGateways", &tried, e))?.internet_gateways;
    users.extend(gateways.into_iter().flatten().filter_map(|gateway: InternetGateway| gateway.internet_gateway_id));
    let call = client.describe_route_tables().filters(inside(id)).send().await;
    let tables = call.map_err(|e| api_error::failed("DescribeRouteTables", &tried, e))?.route_tables;
    let is_main = |table: &RouteTable| table.associations().iter().any(|it| it.main() == Some(true));
    let own = tables.into_iter().flatten().filter(|table| !is_main(table));
    users.extend(own.filter_map(|table| table.route_table_id));
    users.dedup();
    Ok(users)
}

async fn find(connection: &Connection, filters: Vec<Filter>) -> Result<Vec<Found>, Error> {
    let call = connection.client.describe_vpcs().set_filters(Some(filters));
    let found = all_pages!("DescribeVpcs", "find VPCs", call, vpcs).into_iter().filter_map(|vpc| {
        let (tags, id) = (vpc.tags.unwrap_or_default(), vpc.vpc_id?);
        Some(Found::new(&KIND, id, tags, false))
    });
    Ok(found.collect())
}
