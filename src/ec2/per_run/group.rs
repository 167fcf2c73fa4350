//! The security group: SSH from where the tests run, and all between its members.

use super::{adopt, name, once_per_run};
use crate::{
    caller,
    config::Config,
    connection::{
        Connection, api_error, once,
        patience::{VISIBLE_WITHIN, until_answered, until_visible, until_visible_within},
        tags,
    },
    ec2::specification::Network,
    error::{Error, ErrorKind},
    resource::SECURITY_GROUP,
};
use aws_sdk_ec2::types::{Filter, IpPermission, IpRange, Ipv6Range, ResourceType, UserIdGroupPair};
use ipnet::IpNet;
use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};
use tokio::sync::Mutex;

/// The groups that a launch asks for; the run's own is made, one a VPC.
pub(crate) async fn security_groups(
    connection: &Arc<Connection>,
    config: &Config,
    network: &Network,
) -> Result<Vec<String>, Error> {
    if let Some(groups) = &network.security_groups {
        return Ok(groups.clone());
    }
    let vpc = match &network.vpc {
        Some(vpc) => vpc.id().to_owned(),
        None => vpc_once(connection, network.subnet.as_deref()).await?,
    };
    group_of(connection, config, &vpc).await.map(|id| vec![id])
}

/// The run's group in a VPC.
pub(crate) async fn group_of(connection: &Arc<Connection>, config: &Config, vpc: &str) -> Result<String, Error> {
    let make = |attempt| create(connection, config, vpc, attempt);
    once_per_run(connection, &SECURITY_GROUP, vpc, make).await
}

/// The VPCs of subnets, and under no name the default one.
#[derive(Debug, Default)]
struct Vpcs(Mutex<HashMap<Option<String>, String>>);

/// The VPC of a subnet, else the default one; looked up once.
async fn vpc_once(connection: &Connection, subnet: Option<&str>) -> Result<String, Error> {
    let vpcs = connection.memo.of::<Vpcs>();
    let mut vpcs = vpcs.0.lock().await;
    let subnet = subnet.map(str::to_owned);
    if let Some(known) = vpcs.get(&subnet) {
        return Ok(known.clone());
    }
    let vpc = vpc(connection, subnet.as_deref()).await?;
    vpcs.insert(subnet, vpc.clone());
    Ok(vpc)
}

async fn create(connection: &Arc<Connection>, config: &Config, vpc: &str, attempt: String) -> Result<String, Error> {
    let name = name(connection);
    let from = open_to(connection, config).await?;
    let tried = format!("create the run's security group {name} in {vpc}");
    let tags = tags::tags(config, connection.run, &[(tags::ATTEMPT.to_owned(), attempt)], None, config.lease);
    let creating = || async {
        let answer = connection
            .client
            .create_security_group()
            .group_name(&name)
            .description("SSH from where ec2-harness runs, all between its members")
            .vpc_id(vpc)
            .set_tag_specifications(Some(tags::specifications(&[ResourceType::SecurityGroup], &tags)))
            .customize()
            .config_override(once())
            .send()
            .await;
        match answer {
            Ok(answer) => Ok(answer.group_id.unwrap_or_default()),
            Err(e) => match api_error::failed("CreateSecurityGroup", &tried, e) {
                error if error.code() == Some("InvalidGroup.Duplicate") => {
                    let by = |key: &str, value: &str| Filter::builder().name(key).values(value).build();
                    let filters = [by("group-name", &name), by("vpc-id", vpc)];
                    let find = || (SECURITY_GROUP.find)(connection, filters.to_vec());
                    adopt(connection, &tried, find).await.map(|group| group.id)
                }
                error => Err(error),
            },
        }
    };
    // The VPC may be as fresh.
    let id = until_visible_within(connection.paced(VISIBLE_WITHIN), || until_answered(connection, creating)).await?;
    let ssh = IpPermission::builder()
        .ip_protocol("tcp")
        .from_port(22)
        .to_port(22)
        .set_ip_ranges(Some(
            from.iter()
                .filter(|n| n.addr().is_ipv4())
                .map(|n| IpRange::builder().cidr_ip(n.to_string()).build())
                .collect(),
        ))
        .set_ipv6_ranges(Some(
            from.iter()
                .filter(|n| n.addr().is_ipv6())
                .map(|n| Ipv6Range::builder().cidr_ipv6(n.to_string()).build())
                .collect(),
        ))
        .build();
    // Tests of several machines are about what they say to each other.
    let members = IpPermission::builder()
        .ip_protocol("-1")
        .user_id_group_pairs(UserIdGroupPair::builder().group_id(&id).build())
        .build();
    let tried = format!("open SSH in {id}, and all between its members");
    // The group may not be visible at once.
    until_visible(|| async {
        match connection
            .client
            .authorize_security_group_ingress()
            .group_id(&id)
            .ip_permissions(ssh.clone())
            .ip_permissions(members.clone())
            .send()
            .await
        {
            Ok(_) => Ok(()),
            Err(e) => match api_error::failed("AuthorizeSecurityGroupIngress", &tried, e) {
                error if error.code() == Some("InvalidPermission.Duplicate") => Ok(()),
                error => Err(error),
            },
        }
    })
    .await?;
    Ok(id)
}

/// The VPC of a subnet, else the default one.
async fn vpc(connection: &Connection, subnet: Option<&str>) -> Result<String, Error> {
    if let Some(subnet) = subnet {
        let tried = format!("find the VPC of {subnet}");
        let answer = connection
            .client
            .describe_subnets()
            .subnet_ids(subnet)
            .send()
            .await
            .map_err(|e| api_error::failed("DescribeSubnets", &tried, e))?;
        return answer
            .subnets
            .unwrap_or_default()
            .into_iter()
            .find_map(|subnet| subnet.vpc_id)
            .ok_or_else(|| Error::new(ErrorKind::NotFound, tried).because("EC2 doesn't know the subnet"));
    }
    let tried = format!("find the default VPC of {}", connection.region);
    let answer = connection
        .client
        .describe_vpcs()
        .filters(Filter::builder().name("is-default").values("true").build())
        .send()
        .await
        .map_err(|e| api_error::failed("DescribeVpcs", &tried, e))?;
    answer.vpcs.unwrap_or_default().into_iter().find_map(|vpc| vpc.vpc_id).ok_or_else(|| {
        Error::new(ErrorKind::NotFound, tried).because("this account has none").advise(api_error::NO_DEFAULT_VPC)
    })
}

/// From where SSH is open; never from everywhere, unless that is what was configured.
async fn open_to(connection: &Connection, config: &Config) -> Result<Vec<IpNet>, Error> {
    if !config.ssh_from.is_empty() {
        // EC2 refuses a rule that says something twice.
        let networks: BTreeSet<IpNet> = config.ssh_from.iter().map(IpNet::trunc).collect();
        return Ok(networks.into_iter().collect());
    }
    match &connection.local {
        Some(local) => local.outside().map(|network| vec![network]),
        None => caller::address().await.map(|address| vec![IpNet::from(address)]),
    }
}
