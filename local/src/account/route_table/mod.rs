//! Route tables; by files their bonds with subnets, and their routes.

mod actions;
mod associate;
mod change;
mod route;

pub(super) use actions::ACTIONS;

pub(super) use associate::{associate, disassociate, forget_subnet, replace_association};
pub(super) use change::{create_route, delete_route, replace_route};
pub(super) use route::Via;

use super::{
    Context,
    address::Cidr,
    address6::Range,
    describe::Listing,
    ids::{InternetGatewayId, RouteTableAssociationId, RouteTableId, SubnetId, VpcId},
    quota,
    region::Region,
    request::required,
    tags::TagSpecifications,
    vpc::has_dependencies,
};
use crate::{
    error::{ApiError, Code},
    wire::Structure,
};
use route::{Route, Target};
use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;

/// A route table.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(from = "Written")]
pub(super) struct RouteTable {
    pub(super) vpc: VpcId,
    /// The bond that makes it the VPC's main one.
    pub(super) main: Option<RouteTableAssociationId>,
    /// Its bonds with subnets.
    associations: Vec<(RouteTableAssociationId, SubnetId)>,
    /// Where what isn't for the VPC goes.
    routes: Vec<Route>,
    client_token: Option<String>,
}

/// A route table as it may have been written down.
#[derive(Deserialize)]
struct Written {
    vpc: VpcId,
    main: Option<RouteTableAssociationId>,
    /// Before there were routes: where all went that wasn't for the VPC.
    #[serde(default)]
    gateway: Option<InternetGatewayId>,
    #[serde(default)]
    associations: Vec<(RouteTableAssociationId, SubnetId)>,
    #[serde(default)]
    routes: Vec<Route>,
    #[serde(default)]
    client_token: Option<String>,
}

impl From<Written> for RouteTable {
    fn from(written: Written) -> Self {
        let Written { vpc, main, gateway, associations, mut routes, client_token } = written;
        routes.extend(gateway.as_ref().map(to_internet));
        Self { vpc, main, associations, routes, client_token }
    }
}

/// The route of all that isn't for the VPC.
fn to_internet(gateway: &InternetGatewayId) -> Route {
    let everywhere = Range::V4(Cidr::new(Ipv4Addr::UNSPECIFIED, 0));
    Route { destination: everywhere, target: Target::InternetGateway(gateway.clone()) }
}

impl RouteTable {
    /// The main table of a VPC.
    pub(super) fn main(vpc: VpcId, association: RouteTableAssociationId) -> Self {
        Self { vpc, main: Some(association), associations: Vec::new(), routes: Vec::new(), client_token: None }
    }

    /// Where its routes lead, without those within its VPC.
    pub(super) fn destinations(&self) -> impl Iterator<Item = Range> {
        self.routes.iter().map(|route| route.destination)
    }

    /// The subnets that have it for their own.
    pub(super) fn subnets(&self) -> impl Iterator<Item = &SubnetId> {
        self.associations.iter().map(|(_, subnet)| subnet)
    }
}

/// Lets the main table of a VPC lead to an internet gateway.
pub(super) fn lead_to_internet(region: &mut Region, vpc: &VpcId, gateway: &InternetGatewayId) {
    if let Some(id) = main_of(region, vpc)
        && let Some(table) = region.route_tables.get_mut(&id)
    {
        table.routes.push(to_internet(gateway));
    }
}

fn main_of(region: &Region, vpc: &VpcId) -> Option<RouteTableId> {
    let mut tables = region.route_tables.iter();
    tables.find(|(_, table)| table.vpc == *vpc && table.main.is_some()).map(|(id, _)| id.clone())
}

/// The table of a subnet: its own, or its VPC's main one.
/// Source: <https://docs.aws.amazon.com/vpc/latest/userguide/subnet-route-tables.html>.
pub(super) fn of_subnet<'a>(region: &'a Region, vpc: &VpcId, subnet: &SubnetId) -> Option<&'a RouteTable> {
    let mut main = None;
    for (_, table) in region.route_tables.iter().filter(|(_, table)| table.vpc == *vpc) {
        if table.subnets().any(|known| known == subnet) {
            return Some(table);
        }
        if table.main.is_some() {
            main = Some(table);
        }
    }
    main
}

/// Where a subnet's routes lead, without those within the VPC and those that lead nowhere.
pub(super) fn routes(region: &Region, vpc: &VpcId, subnet: &SubnetId) -> Vec<(Range, Via)> {
    let Some(table) = of_subnet(region, vpc, subnet) else { return Vec::new() };
    table.routes.iter().map(|route| (route.destination, route.via(region, vpc))).collect()
}

/// Deletes the main table of a VPC, with the VPC.
pub(super) fn delete_main(region: &mut Region, vpc: &VpcId) {
    if let Some(id) = main_of(region, vpc) {
        region.route_tables.remove(&id);
        region.tags.forget(&id);
    }
}

const LISTING: Listing = Listing {
    action: "DescribeRouteTables",
    ids: "RouteTableIds",
    id: "RouteTableId",
    sizes: 5..=100,
    filters: &[
        ("association.gateway-id", "Associations.GatewayId"),
        ("association.route-table-association-id", "Associations.RouteTableAssociationId"),
        ("association.route-table-id", "Associations.RouteTableId"),
        ("association.subnet-id", "Associations.SubnetId"),
        ("association.main", "Associations.Main"),
        ("owner-id", "OwnerId"),
        ("route-table-id", "RouteTableId"),
        ("route.destination-cidr-block", "Routes.DestinationCidrBlock"),
        ("route.destination-ipv6-cidr-block", "Routes.DestinationIpv6CidrBlock"),
        ("route.destination-prefix-list-id", ""),
        ("route.egress-only-internet-gateway-id", "Routes.EgressOnlyInternetGatewayId"),
        ("route.gateway-id", "Routes.GatewayId"),
        ("route.instance-id", "Routes.InstanceId"),
        ("route.nat-gateway-id", "Routes.NatGatewayId"),
        ("route.transit-gateway-id", ""),
        ("route.origin", "Routes.Origin"),
        ("route.state", "Routes.State"),
        ("route.vpc-peering-connection-id", "Routes.VpcPeeringConnectionId"),
        ("vpc-id", "VpcId"),
    ],
};

pub(super) fn describe(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let region = &*context.region;
    LISTING.answer("RouteTables", input, &region.route_tables, &region.tags, |id, table| shown(context, id, table))
}

fn shown(context: &Context<'_>, id: &RouteTableId, table: &RouteTable) -> Structure {
    let (region, account) = (&*context.region, context.settings.account.as_str());
    let local = |range: Range| {
        let member = if range.is_v6() { "DestinationIpv6CidrBlock" } else { "DestinationCidrBlock" };
        Structure::new()
            .with(member, range.to_string())
            .with("GatewayId", "local")
            .with("Origin", "CreateRouteTable")
            .with("State", "active")
    };
    let ranges = region.vpcs.get(&table.vpc).into_iter().flat_map(|vpc| vpc.all_ranges());
    let routes = table.routes.iter().map(|route| route.shown(region, &table.vpc, account));
    let main = table.main.iter().map(|association| (association, None));
    let others = table.associations.iter().map(|(association, subnet)| (association, Some(subnet)));
    let associations = main.chain(others).map(|(association, subnet)| {
        Structure::new()
            .with("Main", subnet.is_none())
            .with("RouteTableAssociationId", association)
            .with("RouteTableId", id)
            .with_some("SubnetId", subnet)
            .with("AssociationState", Structure::new().with("State", "associated"))
    });
    Structure::new()
        .with("RouteTableId", id)
        .with("VpcId", &table.vpc)
        .with("OwnerId", account)
        .with("Associations", associations.collect::<Vec<_>>())
        .with("PropagatingVgws", Vec::<Structure>::new())
        .with("Routes", ranges.map(local).chain(routes).collect::<Vec<_>>())
        .with("Tags", region.tags.shown(id))
}

const CREATE: &str = "CreateRouteTable";

/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateRouteTable.html>.
pub(super) fn create(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let token = match context.region.tokens.read(CREATE, input)? {
        Ok(token) => token,
        Err(made) => return answer(context, &context.region.route_tables.parse(made)?),
    };
    let vpc = context.region.vpcs.parse(required(input, "VpcId")?)?;
    let tags = TagSpecifications::read(input, &["route-table"])?.of("route-table");
    let message = format!("The maximum number of route tables for VPC '{vpc}' has been reached.");
    let count = context.region.route_tables.iter().filter(|(_, table)| table.vpc == vpc).count();
    quota::one_more(count, context.settings.quotas.subnets_per_vpc, Code::RouteTableLimitExceeded, message)?;
    let id: RouteTableId = context.shared.source.id();
    context.region.tokens.remember(CREATE, token.clone(), input, id.as_ref(), 1);
    let table = RouteTable { vpc, main: None, associations: Vec::new(), routes: Vec::new(), client_token: token };
    context.region.route_tables.insert(id.clone(), table);
    context.region.tags.set(&id, tags);
    answer(context, &id)
}

fn answer(context: &Context<'_>, id: &RouteTableId) -> Result<Structure, ApiError> {
    let table = context.region.route_tables.require(id)?;
    let shown = shown(context, id, table);
    Ok(Structure::new().with("RouteTable", shown).with_some("ClientToken", table.client_token.as_deref()))
}

pub(super) fn delete(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let region = &mut *context.region;
    let id = region.route_tables.parse(required(input, "RouteTableId")?)?;
    let table = region.route_tables.require(&id)?;
    if table.main.is_some() || !table.associations.is_empty() {
        return Err(has_dependencies("routeTable", &id));
    }
    if let Some(RouteTable { client_token: Some(token), .. }) = region.route_tables.remove(&id) {
        region.tokens.release(CREATE, &token);
    }
    region.tags.forget(&id);
    Ok(Structure::new())
}
