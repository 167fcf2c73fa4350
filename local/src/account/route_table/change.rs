//! How routes come, go, and change.

use super::route::{Route, Target};
use crate::{
    account::{
        Context,
        address::Cidr,
        address6::{Cidr6, Range},
        ids::{Id, NatGatewayId, RouteTableId, VpcId},
        quota,
        region::Region,
        request::{combination, invalid, missing, required, unsupported},
        subnet::Subnet,
        vpc::not_a_range,
    },
    error::{ApiError, Code},
    wire::Structure,
};

/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateRoute.html>.
pub(in crate::account) fn create_route(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let (id, destination) = named(context.region, input)?;
    let target = target(context.region, &id, input, destination)?;
    let table = context.region.route_tables.require(&id)?;
    check_destination(context.region, &table.vpc, destination)?;
    if table.destinations().any(|known| known == destination) {
        let message = format!("The route identified by {destination} already exists.");
        return Err(ApiError::new(Code::RouteAlreadyExists, message));
    }
    let message = format!("The maximum number of routes for route table '{id}' has been reached.");
    let quota = context.settings.quotas.routes_per_table;
    // Routes of IPv4 and those of IPv6 are counted by themselves.
    let count = table.destinations().filter(|known| known.is_v6() == destination.is_v6()).count();
    quota::one_more(count, quota, Code::RouteLimitExceeded, message)?;
    let table = context.region.route_tables.require_mut(&id)?;
    table.routes.push(Route { destination, target });
    let vpc = table.vpc.clone();
    context.network_changed(&vpc);
    Ok(Structure::new().with("Return", true))
}

/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_ReplaceRoute.html>.
pub(in crate::account) fn replace_route(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let (id, destination) = named(context.region, input)?;
    let target = target(context.region, &id, input, destination)?;
    let table = context.region.route_tables.require_mut(&id)?;
    let Some(route) = table.routes.iter_mut().find(|route| route.destination == destination) else {
        let message =
            format!("There is no route defined for '{destination}' in the route table. Use CreateRoute instead.");
        return Err(invalid(message));
    };
    route.target = target;
    let vpc = table.vpc.clone();
    context.network_changed(&vpc);
    Ok(Structure::new())
}

/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DeleteRoute.html>.
pub(in crate::account) fn delete_route(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let (id, destination) = named(context.region, input)?;
    let vpc = context.region.route_tables.require(&id)?.vpc.clone();
    if is_local(context.region, &vpc, destination) {
        return Err(invalid(format!("cannot remove local route {destination} in route table {id}")));
    }
    let table = context.region.route_tables.require_mut(&id)?;
    let before = table.routes.len();
    table.routes.retain(|route| route.destination != destination);
    if table.routes.len() == before {
        let family = if destination.is_v6() { "destination-ipv6-cidr-block" } else { "destination-cidr-block" };
        let message = format!("no route with {family} {destination} in route table {id}");
        return Err(ApiError::new(Code::InvalidRouteNotFound, message));
    }
    context.network_changed(&vpc);
    Ok(Structure::new())
}

/// The table and the destination that a request names.
fn named(region: &Region, input: &Structure) -> Result<(RouteTableId, Range), ApiError> {
    let id = region.route_tables.parse(required(input, "RouteTableId")?)?;
    let destination = match (input.string("DestinationCidrBlock"), input.string("DestinationIpv6CidrBlock")) {
        (Some(_), Some(_)) => {
            return Err(combination(
                "The parameters destinationCidrBlock and destinationIpv6CidrBlock cannot be used together",
            ));
        }
        (Some(text), None) => Range::V4(Cidr::parse(text).ok_or_else(|| not_a_range("destinationCidrBlock", text))?),
        (None, Some(text)) => {
            Range::V6(Cidr6::parse(text).ok_or_else(|| not_a_range("destinationIpv6CidrBlock", text))?)
        }
        (None, None) => {
            return Err(missing(
                "destinationCidrBlock or destinationIpv6CidrBlock; destinationPrefixListId is not served",
            ));
        }
    };
    Ok((id, destination))
}

fn is_local(region: &Region, vpc: &VpcId, destination: Range) -> bool {
    region.vpcs.get(vpc).is_some_and(|vpc| vpc.all_ranges().any(|range| range == destination))
}

/// What is within the VPC is led by nothing else here; EC2 takes routes for a whole subnet, to a machine that stands between.
/// Source: <https://docs.aws.amazon.com/vpc/latest/userguide/route-table-options.html>.
fn check_destination(region: &Region, vpc: &VpcId, destination: Range) -> Result<(), ApiError> {
    let ranges = region.vpcs.get(vpc).into_iter().flat_map(|vpc| vpc.all_ranges());
    if !ranges.into_iter().any(|range| range.covers(destination)) {
        return Ok(());
    }
    if is_local(region, vpc, destination) {
        let message = format!("The route identified by {destination} already exists.");
        return Err(ApiError::new(Code::RouteAlreadyExists, message));
    }
    let is_it = |subnet: &Subnet| {
        Range::V4(subnet.cidr) == destination || subnet.range6().is_some_and(|range| Range::V6(range) == destination)
    };
    if region.subnets.iter().any(|(_, subnet)| subnet.vpc == *vpc && is_it(subnet)) {
        return Err(unsupported("A route that is more specific than the local one"));
    }
    Err(invalid(format!("The destination {destination} doesn't match any subnet CIDR blocks of the VPC {vpc}.")))
}

/// The one target that a request names.
fn target(region: &Region, table: &RouteTableId, input: &Structure, destination: Range) -> Result<Target, ApiError> {
    let members = [
        "EgressOnlyInternetGatewayId",
        "GatewayId",
        "InstanceId",
        "NatGatewayId",
        "NetworkInterfaceId",
        "VpcPeeringConnectionId",
    ];
    let named: Vec<(&str, &str)> = members.iter().filter_map(|member| Some((*member, input.string(member)?))).collect();
    let &[(member, text)] = named.as_slice() else {
        return Err(match named.len() {
            0 => missing(
                "egressOnlyInternetGatewayId, gatewayId, instanceId, natGatewayId, networkInterfaceId or vpcPeeringConnectionId",
            ),
            _ => combination("A route has exactly one target. Specify one of them, and try again."),
        });
    };
    let vpc = &region.route_tables.require(table)?.vpc;
    let elsewhere = |kind: &str| invalid(format!("route table {table} and {kind} {text} belong to different networks"));
    match member {
        "GatewayId" if text == "local" => Err(unsupported("The target 'local'")),
        "GatewayId" if text.starts_with("vgw-") || text.starts_with("vpce-") => {
            Err(unsupported("A route to a virtual private gateway or a VPC endpoint"))
        }
        "GatewayId" => {
            let id = region.internet_gateways.parse(text)?;
            let is_of_vpc = region.internet_gateways.require(&id)?.vpc.as_ref() == Some(vpc);
            if is_of_vpc { Ok(Target::InternetGateway(id)) } else { Err(elsewhere("network gateway")) }
        }
        // Source: <https://docs.aws.amazon.com/vpc/latest/userguide/egress-only-internet-gateway.html>.
        "EgressOnlyInternetGatewayId" => {
            let id = region.egress_only_gateways.parse(text)?;
            let is_of_vpc = region.egress_only_gateways.require(&id)?.vpc == *vpc;
            match (is_of_vpc, destination.is_v6()) {
                (false, _) => Err(elsewhere("egress only internet gateway")),
                (_, false) => Err(combination("An egress-only internet gateway is for destinations of IPv6 alone.")),
                _ => Ok(Target::EgressOnlyGateway(id)),
            }
        }
        "NatGatewayId" if destination.is_v6() => Err(unsupported("A route of IPv6 to a NAT gateway")),
        "NatGatewayId" => {
            let id = region.nat_gateways.parse(text)?;
            let gateway = region.nat_gateways.require(&id)?;
            if !gateway.is_there() {
                return Err(ApiError::new(NatGatewayId::NOT_FOUND, NatGatewayId::not_found(&[text])));
            }
            if gateway.vpc == *vpc { Ok(Target::NatGateway(id)) } else { Err(elsewhere("NAT gateway")) }
        }
        "VpcPeeringConnectionId" => {
            let id = region.peering_connections.parse(text)?;
            let is_of_vpc = region.peering_connections.require(&id)?.other(vpc).is_some();
            if is_of_vpc { Ok(Target::Peering(id)) } else { Err(elsewhere("VPC peering connection")) }
        }
        "InstanceId" => {
            let id = region.instances.parse(text)?;
            let [interface] = region.instances.require(&id)?.network_interfaces.as_slice() else {
                return Err(invalid(format!(
                    "The instance '{id}' has no network interface, or several. Specify an interface ID for the operation instead."
                )));
            };
            let is_of_vpc = region.network_interfaces.require(interface)?.vpc == *vpc;
            if is_of_vpc { Ok(Target::NetworkInterface(interface.clone())) } else { Err(elsewhere("instance")) }
        }
        _ => {
            let id = region.network_interfaces.parse(text)?;
            let is_of_vpc = region.network_interfaces.require(&id)?.vpc == *vpc;
            if is_of_vpc { Ok(Target::NetworkInterface(id)) } else { Err(elsewhere("interface")) }
        }
    }
}
