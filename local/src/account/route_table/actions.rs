//! The actions of this room.

use super::{
    associate, create, create_route, delete, delete_route, describe, disassociate, replace_association, replace_route,
};
use crate::account::action::{Action, action};

const ROUTE: &[&str] = &[
    "DestinationCidrBlock",
    "DestinationIpv6CidrBlock",
    "EgressOnlyInternetGatewayId",
    "GatewayId",
    "InstanceId",
    "NatGatewayId",
    "NetworkInterfaceId",
    "RouteTableId",
    "VpcPeeringConnectionId",
];

pub(in crate::account) const ACTIONS: &[Action] = &[
    action("AssociateRouteTable", associate, &["RouteTableId", "SubnetId"]),
    action("CreateRoute", create_route, ROUTE),
    action("CreateRouteTable", create, &["ClientToken", "TagSpecifications", "VpcId"]),
    action("DeleteRoute", delete_route, &["DestinationCidrBlock", "DestinationIpv6CidrBlock", "RouteTableId"]),
    action("DeleteRouteTable", delete, &["RouteTableId"]),
    action("DescribeRouteTables", describe, &["Filters", "MaxResults", "NextToken", "RouteTableIds"]),
    action("DisassociateRouteTable", disassociate, &["AssociationId"]),
    action("ReplaceRoute", replace_route, ROUTE),
    action("ReplaceRouteTableAssociation", replace_association, &["AssociationId", "RouteTableId"]),
];
