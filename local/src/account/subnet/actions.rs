//! The actions of this room.

use super::{associate, create, create_default, delete, describe, disassociate, modify_attribute};
use crate::account::action::{Action, action};

pub(in crate::account) const ACTIONS: &[Action] = &[
    action("AssociateSubnetCidrBlock", associate, &["Ipv6CidrBlock", "SubnetId"]),
    action("CreateDefaultSubnet", create_default, &["AvailabilityZone", "AvailabilityZoneId"]),
    action(
        "CreateSubnet",
        create,
        &["AvailabilityZone", "AvailabilityZoneId", "CidrBlock", "Ipv6CidrBlock", "TagSpecifications", "VpcId"],
    ),
    action("DeleteSubnet", delete, &["SubnetId"]),
    action("DescribeSubnets", describe, &["Filters", "MaxResults", "NextToken", "SubnetIds"]),
    action("DisassociateSubnetCidrBlock", disassociate, &["AssociationId"]),
    action(
        "ModifySubnetAttribute",
        modify_attribute,
        &[
            "AssignIpv6AddressOnCreation",
            "EnableDns64",
            "EnableResourceNameDnsAAAARecordOnLaunch",
            "EnableResourceNameDnsARecordOnLaunch",
            "MapPublicIpOnLaunch",
            "PrivateDnsHostnameTypeOnLaunch",
            "SubnetId",
        ],
    ),
];
