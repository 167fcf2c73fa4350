//! Route tables: the main one of the default VPC.

use super::{
    Context,
    describe::Listing,
    ids::{InternetGatewayId, RouteTableAssociationId, VpcId},
    region::Region,
};
use crate::{error::ApiError, wire::Structure};
use serde::{Deserialize, Serialize};

/// A route table.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct RouteTable {
    pub(super) vpc: VpcId,
    /// The bond that makes it the VPC's main one.
    pub(super) main: Option<RouteTableAssociationId>,
    /// Where all goes that isn't for the VPC.
    pub(super) gateway: Option<InternetGatewayId>,
}

impl RouteTable {
    /// The main table of a VPC with an internet gateway.
    pub(super) fn main(vpc: VpcId, gateway: &InternetGatewayId, association: RouteTableAssociationId) -> Self {
        Self { vpc, main: Some(association), gateway: Some(gateway.clone()) }
    }
}

/// Whether a VPC's main table, which all of its subnets use, sends what is for elsewhere to an internet gateway that is
/// attached.
/// Source: <https://docs.aws.amazon.com/vpc/latest/userguide/VPC_Internet_Gateway.html>.
pub(super) fn leads_to_internet(region: &Region, vpc: &VpcId) -> bool {
    let mut tables = region.route_tables.iter().map(|(_, table)| table);
    let gateway =
        tables.find(|table| table.vpc == *vpc && table.main.is_some()).and_then(|table| table.gateway.as_ref());
    let gateway = gateway.and_then(|id| region.internet_gateways.get(id));
    gateway.is_some_and(|gateway| gateway.vpc.as_ref() == Some(vpc))
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
        ("route.destination-ipv6-cidr-block", ""),
        ("route.destination-prefix-list-id", ""),
        ("route.egress-only-internet-gateway-id", ""),
        ("route.gateway-id", "Routes.GatewayId"),
        ("route.instance-id", ""),
        ("route.nat-gateway-id", ""),
        ("route.transit-gateway-id", ""),
        ("route.origin", "Routes.Origin"),
        ("route.state", "Routes.State"),
        ("route.vpc-peering-connection-id", ""),
        ("vpc-id", "VpcId"),
    ],
};

pub(super) fn describe(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let region = &*context.region;
    LISTING.answer("RouteTables", input, &region.route_tables, &region.tags, |id, table| {
        let route = |destination: String, gateway: &str, origin: &str| {
            Structure::new()
                .with("DestinationCidrBlock", destination)
                .with("GatewayId", gateway)
                .with("Origin", origin)
                .with("State", "active")
        };
        let local = region.vpcs.get(&table.vpc).map(|vpc| route(vpc.cidr.to_string(), "local", "CreateRouteTable"));
        let outside = table.gateway.as_ref().map(|id| route("0.0.0.0/0".to_owned(), id.as_ref(), "CreateRoute"));
        let associations: Vec<Structure> = table
            .main
            .iter()
            .map(|association| {
                Structure::new()
                    .with("Main", true)
                    .with("RouteTableAssociationId", association)
                    .with("RouteTableId", id)
                    .with("AssociationState", Structure::new().with("State", "associated"))
            })
            .collect();
        Structure::new()
            .with("RouteTableId", id)
            .with("VpcId", &table.vpc)
            .with("OwnerId", context.settings.account.as_str())
            .with("Associations", associations)
            .with("PropagatingVgws", Vec::<Structure>::new())
            .with("Routes", local.into_iter().chain(outside).collect::<Vec<_>>())
            .with("Tags", region.tags.shown(id))
    })
}
