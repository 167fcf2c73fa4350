//! How VPCs come and go: those that are made, and the default one of each region.

use super::{Dhcp, Vpc, range::is_nobodys, range6, shown};
use crate::{
    account::{
        Context,
        address::Cidr,
        ids::{Source, VpcId},
        internet_gateway::InternetGateway,
        network_acl, quota,
        region::Region,
        request::{invalid, one_of, required, unsupported},
        route_table::{self, RouteTable},
        security_group,
        subnet::Subnet,
        tags::TagSpecifications,
    },
    error::{ApiError, Code},
    network,
    wire::Structure,
};
use std::net::Ipv4Addr;
use time::OffsetDateTime;

/// How long the prefix of a VPC's range, or of a subnet's, may be.
/// Source: <https://docs.aws.amazon.com/vpc/latest/userguide/vpc-cidr-blocks.html>.
pub(in crate::account) const PREFIXES: std::ops::RangeInclusive<u8> = 16..=28;

/// Makes a VPC, and what each has: a main route table, a network ACL, a group.
fn make(region: &mut Region, source: &mut Source, cidr: Cidr, now: Option<OffsetDateTime>) -> VpcId {
    let id: VpcId = source.id();
    let vpc = Vpc {
        cidr,
        association: source.id(),
        is_default: now.is_none(),
        dns_hostnames: now.is_none(),
        dns_support: true,
        usage_metrics: false,
        created: now,
        more: Vec::new(),
        ipv6: Vec::new(),
        dhcp_options: Dhcp::Regional,
    };
    region.vpcs.insert(id.clone(), vpc);
    region.route_tables.insert(source.id(), RouteTable::main(id.clone(), source.id()));
    let acl = source.id();
    network_acl::make_default(region, acl, id.clone());
    security_group::make_default(region, source, id.clone());
    id
}

/// Makes what a new account finds in each region: a VPC, a subnet in each zone, a way to the internet, a group.
/// Source: <https://docs.aws.amazon.com/vpc/latest/userguide/default-vpc-components.html>.
pub(in crate::account) fn make_default(region: &mut Region, source: &mut Source) -> VpcId {
    let id = make(region, source, Cidr::new(Ipv4Addr::new(172, 31, 0, 0), 16), None);
    for (zone, third) in region.place.zones().zip([0, 16, 32]) {
        let cidr = Cidr::new(Ipv4Addr::new(172, 31, third, 0), 20);
        let (subnet, association) = (source.id(), source.id());
        Subnet::default_of(id.clone(), zone, cidr).settle(region, subnet, association);
    }
    let gateway = source.id();
    route_table::lead_to_internet(region, &id, &gateway);
    region.internet_gateways.insert(gateway, InternetGateway { vpc: Some(id.clone()) });
    id
}

/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateVpc.html>.
pub(in crate::account) fn create(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let text = required(input, "CidrBlock")?;
    let cidr = Cidr::parse(text).ok_or_else(|| not_a_range("cidrBlock", text))?;
    if !PREFIXES.contains(&cidr.prefix) || is_nobodys(cidr) {
        return Err(ApiError::new(Code::InvalidVpcRange, format!("The CIDR '{text}' is invalid.")));
    }
    if Cidr::new(network::OUTSIDE.0, network::OUTSIDE.1).overlaps(cidr) {
        return Err(unsupported(format!(
            "A VPC in {}/{}, from where machines see this host,",
            network::OUTSIDE.0,
            network::OUTSIDE.1
        )));
    }
    if one_of(input, "InstanceTenancy", &["default", "dedicated", "host"])?.is_some_and(|tenancy| tenancy != "default")
    {
        return Err(unsupported("A tenancy other than 'default'"));
    }
    let with_ipv6 = range6::is_wanted(context, input)?;
    let tags = TagSpecifications::read(input, &["vpc"])?.of("vpc");
    let message = "The maximum number of VPCs has been reached.";
    quota::one_more(context.region.vpcs.len(), context.settings.quotas.vpcs, Code::VpcLimitExceeded, message)?;
    let id = make(context.region, &mut context.shared.source, cidr, Some(context.now));
    context.region.tags.set(&id, tags);
    context.group_made(&id);
    let association = with_ipv6.then(|| range6::provide(context, &id)).transpose()?;
    let shown = shown(context, &id, context.region.vpcs.require(&id)?);
    let associating = association.map(|it| vec![range6::shown(context.region, &it, None, "associating")]);
    Ok(Structure::new().with("Vpc", shown.with_some("Ipv6CidrBlockAssociationSet", associating)))
}

/// For accounts that have none.
pub(in crate::account) fn create_default(context: &mut Context<'_>, _: &Structure) -> Result<Structure, ApiError> {
    if context.region.default_vpc().is_some() {
        let message = "A Default VPC already exists for this account in this region.";
        return Err(ApiError::new(Code::DefaultVpcAlreadyExists, message));
    }
    let message = "The maximum number of VPCs has been reached.";
    quota::one_more(context.region.vpcs.len(), context.settings.quotas.vpcs, Code::VpcLimitExceeded, message)?;
    let id = make_default(context.region, &mut context.shared.source);
    context.group_made(&id);
    let vpc = context.region.vpcs.require(&id)?;
    Ok(Structure::new().with("Vpc", shown(context, &id, vpc)))
}

/// What a VPC has by itself goes with it; all else must be gone.
/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DeleteVpc.html>.
pub(in crate::account) fn delete(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let id = context.region.vpcs.parse(required(input, "VpcId")?)?;
    let (region, settings, now) = (&*context.region, context.settings, context.now);
    let is_used = region.subnets.iter().any(|(_, subnet)| subnet.vpc == id)
        || region.internet_gateways.iter().any(|(_, gateway)| gateway.vpc.as_ref() == Some(&id))
        || region.egress_only_gateways.iter().any(|(_, gateway)| gateway.vpc == id)
        || region.route_tables.iter().any(|(_, table)| table.vpc == id && table.main.is_none())
        || region.network_acls.iter().any(|(_, acl)| acl.vpc == id && !acl.is_default)
        || region.peering_connections.iter().any(|(_, peering)| peering.holds(&id, settings, now))
        || security_group::has_made(region, &id);
    if is_used {
        return Err(has_dependencies("vpc", &id));
    }
    route_table::delete_main(context.region, &id);
    network_acl::delete_default(context.region, &id);
    if let Some(group) = security_group::delete_default(context.region, &id) {
        context.group_changed(&group);
    }
    context.region.vpcs.remove(&id);
    context.region.tags.forget(&id);
    Ok(Structure::new())
}

/// What is answered to who deletes what is still used.
pub(in crate::account) fn has_dependencies(kind: &str, id: impl std::fmt::Display) -> ApiError {
    ApiError::new(Code::DependencyViolation, format!("The {kind} '{id}' has dependencies and cannot be deleted."))
}

/// A text that isn't a range of addresses.
pub(in crate::account) fn not_a_range(parameter: &str, text: &str) -> ApiError {
    invalid(format!("Value ({text}) for parameter {parameter} is invalid. This is not a valid CIDR block."))
}
