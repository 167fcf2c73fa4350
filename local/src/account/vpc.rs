//! VPCs: the default one of each region.

use super::{
    Context,
    address::Cidr,
    describe::Listing,
    ids::{Source, VpcCidrAssociationId, VpcId},
    internet_gateway::InternetGateway,
    region::Region,
    request::{combination, invalid, lower, missing, required, unsupported},
    route_table::RouteTable,
    security_group,
    settings::Settings,
    subnet::Subnet,
};
use crate::{
    error::{ApiError, Code},
    wire::Structure,
};
use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;

/// A VPC.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Vpc {
    pub(super) cidr: Cidr,
    pub(super) association: VpcCidrAssociationId,
    pub(super) is_default: bool,
    /// Whether public addresses have names.
    #[serde(default = "on")]
    pub(super) dns_hostnames: bool,
    #[serde(default)]
    usage_metrics: bool,
}

/// What a default VPC has, unlike others.
fn on() -> bool {
    true
}

/// Makes what a new account finds in each region: a VPC, a subnet in each zone, a way to the internet, a group.
/// Source: <https://docs.aws.amazon.com/vpc/latest/userguide/default-vpc-components.html>.
pub(super) fn make_default(region: &mut Region, source: &mut Source) -> VpcId {
    let id: VpcId = source.id();
    let cidr = Cidr::new(Ipv4Addr::new(172, 31, 0, 0), 16);
    region.vpcs.insert(
        id.clone(),
        Vpc { cidr, association: source.id(), is_default: true, dns_hostnames: on(), usage_metrics: false },
    );
    for (zone, third) in region.place.zones().zip([0, 16, 32]) {
        let cidr = Cidr::new(Ipv4Addr::new(172, 31, third, 0), 20);
        region.subnets.insert(source.id(), Subnet::default_of(id.clone(), zone, cidr));
    }
    let gateway = source.id();
    region.route_tables.insert(source.id(), RouteTable::main(id.clone(), &gateway, source.id()));
    region.internet_gateways.insert(gateway, InternetGateway { vpc: Some(id.clone()) });
    security_group::make_default(region, source, id.clone());
    id
}

const LISTING: Listing = Listing {
    action: "DescribeVpcs",
    ids: "VpcIds",
    id: "VpcId",
    sizes: 5..=1000,
    filters: &[
        ("cidr", "CidrBlock"),
        ("cidr-block", "CidrBlock"),
        ("cidr-block-association.cidr-block", "CidrBlockAssociationSet.CidrBlock"),
        ("cidr-block-association.association-id", "CidrBlockAssociationSet.AssociationId"),
        ("cidr-block-association.state", "CidrBlockAssociationSet.CidrBlockState.State"),
        ("dhcp-options-id", "DhcpOptionsId"),
        ("ipv6-cidr-block-association.ipv6-cidr-block", ""),
        ("ipv6-cidr-block-association.ipv6-pool", ""),
        ("ipv6-cidr-block-association.association-id", ""),
        ("ipv6-cidr-block-association.state", ""),
        ("is-default", "IsDefault"),
        ("isDefault", "IsDefault"),
        ("owner-id", "OwnerId"),
        ("state", "State"),
        ("vpc-id", "VpcId"),
    ],
};

pub(super) fn describe(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let region = &*context.region;
    LISTING.answer("Vpcs", input, &region.vpcs, &region.tags, |id, vpc| shown(context.settings, region, id, vpc))
}

fn shown(settings: &Settings, region: &Region, id: &VpcId, vpc: &Vpc) -> Structure {
    let cidr = vpc.cidr.to_string();
    let association = Structure::new()
        .with("AssociationId", &vpc.association)
        .with("CidrBlock", cidr.as_str())
        .with("CidrBlockState", Structure::new().with("State", "associated"));
    Structure::new()
        .with("VpcId", id)
        .with("OwnerId", settings.account.as_str())
        .with("State", "available")
        .with("CidrBlock", cidr)
        .with("CidrBlockAssociationSet", vec![association])
        .with("DhcpOptionsId", &region.dhcp_options)
        .with("InstanceTenancy", "default")
        .with("IsDefault", vpc.is_default)
        .with("Tags", region.tags.shown(id))
}

/// For accounts that have none.
pub(super) fn create_default(context: &mut Context<'_>, _: &Structure) -> Result<Structure, ApiError> {
    if context.region.default_vpc().is_some() {
        let message = "A Default VPC already exists for this account in this region.";
        return Err(ApiError::new(Code::DefaultVpcAlreadyExists, message));
    }
    let id = make_default(context.region, &mut context.shared.source);
    let vpc = context.region.vpcs.require(&id)?;
    Ok(Structure::new().with("Vpc", shown(context.settings, context.region, &id, vpc)))
}

pub(super) fn describe_attribute(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let id = context.region.vpcs.parse(required(input, "VpcId")?)?;
    let vpc = context.region.vpcs.require(&id)?;
    let (member, value) = match required(input, "Attribute")? {
        "enableDnsSupport" => ("EnableDnsSupport", true),
        "enableDnsHostnames" => ("EnableDnsHostnames", vpc.dns_hostnames),
        "enableNetworkAddressUsageMetrics" => ("EnableNetworkAddressUsageMetrics", vpc.usage_metrics),
        other => {
            return Err(invalid(format!("Value ({other}) for parameter attribute is invalid. Unknown attribute.")));
        }
    };
    Ok(Structure::new().with("VpcId", &id).with(member, Structure::new().with("Value", value)))
}

/// Changes one attribute.
/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_ModifyVpcAttribute.html>.
pub(super) fn modify_attribute(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let id = context.region.vpcs.parse(required(input, "VpcId")?)?;
    let mut changes = Vec::new();
    for member in ["EnableDnsHostnames", "EnableDnsSupport", "EnableNetworkAddressUsageMetrics"] {
        if let Some(attribute) = input.structure(member) {
            let value = attribute.boolean("Value").ok_or_else(|| missing(&format!("{member}.Value")))?;
            changes.push((member, value));
        }
    }
    let &[(attribute, value)] = changes.as_slice() else {
        let named: Vec<String> = changes.iter().map(|(member, _)| lower(member)).collect();
        return Err(combination(match named.as_slice() {
            [] => "No attributes specified.".to_owned(),
            _ => format!("Fields for multiple attribute types specified: {}", named.join(", ")),
        }));
    };
    let vpc = context.region.vpcs.require_mut(&id)?;
    match attribute {
        "EnableDnsHostnames" => vpc.dns_hostnames = value,
        "EnableDnsSupport" if value => {}
        "EnableDnsSupport" => return Err(unsupported("A VPC without DNS")),
        _ => vpc.usage_metrics = value,
    }
    Ok(Structure::new())
}
