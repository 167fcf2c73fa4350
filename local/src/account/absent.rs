//! What every account may ask for, and none has here: endpoints, VPNs, transit gateways, prefix lists; and what EC2 itself has
//! no more.

use super::{
    Context,
    describe::Listing,
    filter::{Definition, Filters},
    pagination::Page,
    request::{invalid, required},
};
use crate::{
    error::{ApiError, Code},
    wire::Structure,
};
use std::ops::RangeInclusive;

/// Describes none of a kind: what is asked must still make sense.
fn none(
    input: &Structure,
    action: &str,
    member: &'static str,
    filters: &[Definition],
    sizes: &RangeInclusive<i64>,
) -> Result<Structure, ApiError> {
    Filters::read(input, filters, true)?;
    Page::read(input, action, sizes)?;
    Ok(Structure::new().with(member, Vec::<Structure>::new()))
}

pub(super) fn endpoints(_: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let filters = [
        ("ip-address-type", ""),
        ("service-name", ""),
        ("service-region", ""),
        ("vpc-endpoint-id", ""),
        ("vpc-endpoint-state", ""),
        ("vpc-endpoint-type", ""),
        ("vpc-id", ""),
    ];
    none(input, "DescribeVpcEndpoints", "VpcEndpoints", &filters, &(5..=1000))
}

pub(super) fn endpoint_services(_: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let filters = [
        ("owner", ""),
        ("service-name", ""),
        ("service-region", ""),
        ("service-type", ""),
        ("supported-ip-address-types", ""),
    ];
    let answer = none(input, "DescribeVpcEndpointServices", "ServiceDetails", &filters, &(5..=1000))?;
    Ok(answer.with("ServiceNames", Vec::<String>::new()))
}

pub(super) fn prefix_lists(_: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let filters = [("prefix-list-id", ""), ("prefix-list-name", "")];
    none(input, "DescribePrefixLists", "PrefixLists", &filters, &(5..=1000))
}

pub(super) fn managed_prefix_lists(_: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let filters = [("owner-id", ""), ("prefix-list-id", ""), ("prefix-list-name", "")];
    none(input, "DescribeManagedPrefixLists", "PrefixLists", &filters, &(1..=100))
}

pub(super) fn vpn_gateways(_: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let filters = [
        ("amazon-side-asn", ""),
        ("attachment.state", ""),
        ("attachment.vpc-id", ""),
        ("availability-zone", ""),
        ("state", ""),
        ("type", ""),
        ("vpn-gateway-id", ""),
    ];
    none(input, "DescribeVpnGateways", "VpnGateways", &filters, &(5..=1000))
}

pub(super) fn vpn_connections(_: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let filters = [
        ("bgp-asn", ""),
        ("customer-gateway-configuration", ""),
        ("customer-gateway-id", ""),
        ("option.static-routes-only", ""),
        ("route.destination-cidr-block", ""),
        ("state", ""),
        ("transit-gateway-id", ""),
        ("type", ""),
        ("vpn-connection-id", ""),
        ("vpn-gateway-id", ""),
    ];
    none(input, "DescribeVpnConnections", "VpnConnections", &filters, &(5..=1000))
}

pub(super) fn customer_gateways(_: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let filters = [("bgp-asn", ""), ("customer-gateway-id", ""), ("ip-address", ""), ("state", ""), ("type", "")];
    none(input, "DescribeCustomerGateways", "CustomerGateways", &filters, &(5..=1000))
}

pub(super) fn transit_gateways(_: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let filters = [
        ("options.amazon-side-asn", ""),
        ("options.association-default-route-table-id", ""),
        ("options.auto-accept-shared-attachments", ""),
        ("options.default-route-table-association", ""),
        ("options.default-route-table-propagation", ""),
        ("options.dns-support", ""),
        ("options.propagation-default-route-table-id", ""),
        ("options.vpn-ecmp-support", ""),
        ("owner-id", ""),
        ("state", ""),
        ("transit-gateway-id", ""),
    ];
    none(input, "DescribeTransitGateways", "TransitGateways", &filters, &(5..=1000))
}

/// Fleets aren't served: there is none to be named.
pub(super) fn fleets(_: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let filters = [
        ("activity-status", ""),
        ("excess-capacity-termination-policy", ""),
        ("fleet-state", ""),
        ("replace-unhealthy-instances", ""),
        ("type", ""),
    ];
    let answer = none(input, "DescribeFleets", "Fleets", &filters, &(1..=1000))?;
    match input.strings("FleetIds").next() {
        None => Ok(answer),
        Some(id) => Err(ApiError::new(Code::InvalidFleetIdNotFound, format!("The fleet ID '{id}' does not exist"))),
    }
}

pub(super) fn spot_fleet_requests(_: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let answer = none(input, "DescribeSpotFleetRequests", "SpotFleetRequestConfigs", &[], &(1..=1000))?;
    let Some(id) = input.strings("SpotFleetRequestIds").next() else { return Ok(answer) };
    let digits = id.strip_prefix("sfr-").filter(|digits| uuid::Uuid::try_parse(digits).is_ok());
    Err(match digits {
        Some(_) => ApiError::new(
            Code::InvalidSpotFleetRequestIdNotFound,
            format!("The spot fleet request ID '{id}' does not exist"),
        ),
        None => ApiError::new(
            Code::InvalidSpotFleetRequestIdMalformed,
            format!("Invalid id: \"{id}\" (expecting \"sfr-...\")"),
        ),
    })
}

/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-data-feeds.html>.
pub(super) fn spot_data_feed(_: &mut Context<'_>, _: &Structure) -> Result<Structure, ApiError> {
    Err(ApiError::new(Code::InvalidSpotDatafeedNotFound, "Spot datafeed subscription does not exist."))
}

/// Ranges that are the account's own, which it would have brought along.
pub(super) fn ipv6_pools(_: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    none(input, "DescribeIpv6Pools", "Ipv6Pools", &[], &(1..=1000))
}

pub(super) fn ipv6_pool_ranges(_: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let pool = required(input, "PoolId")?;
    let digits = pool.strip_prefix("ipv6pool-ec2-").filter(|digits| digits.len() == 17);
    if !digits.is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit())) {
        return Err(invalid(format!("Value ({pool}) for parameter poolId is invalid. Expected: 'ipv6pool-ec2-...'.")));
    }
    none(input, "GetAssociatedIpv6PoolCidrs", "Ipv6CidrAssociations", &[], &(1..=1000))
}

const CLASSIC: Listing = Listing {
    action: "DescribeVpcClassicLink",
    ids: "VpcIds",
    id: "VpcId",
    sizes: 5..=1000,
    filters: &[("is-classic-link-enabled", "ClassicLinkEnabled")],
};

/// No VPC is linked to EC2-Classic any more.
/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeVpcClassicLink.html>.
pub(super) fn classic_links(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let region = &*context.region;
    CLASSIC.answer("Vpcs", input, &region.vpcs, &region.tags, |id, _| {
        Structure::new().with("VpcId", id).with("ClassicLinkEnabled", false).with("Tags", region.tags.shown(id))
    })
}

const CLASSIC_DNS: Listing =
    Listing { action: "DescribeVpcClassicLinkDnsSupport", ids: "VpcIds", id: "VpcId", sizes: 5..=255, filters: &[] };

/// Nor has any names for it.
pub(super) fn classic_link_names(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    CLASSIC_DNS.answer_where(
        "Vpcs",
        input,
        &context.region.vpcs,
        None,
        |_| true,
        |id, _| Structure::new().with("VpcId", id).with("ClassicLinkDnsSupported", false),
    )
}
