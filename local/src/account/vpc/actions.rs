//! The actions of this room.

use super::{associate, create, create_default, delete, describe, describe_attribute, disassociate, modify_attribute};
use crate::account::action::{Action, action};

pub(in crate::account) const ACTIONS: &[Action] = &[
    action(
        "AssociateVpcCidrBlock",
        associate,
        &["AmazonProvidedIpv6CidrBlock", "CidrBlock", "Ipv6CidrBlockNetworkBorderGroup", "VpcId"],
    ),
    action("CreateDefaultVpc", create_default, &[]),
    action(
        "CreateVpc",
        create,
        &[
            "AmazonProvidedIpv6CidrBlock",
            "CidrBlock",
            "InstanceTenancy",
            "Ipv6CidrBlockNetworkBorderGroup",
            "TagSpecifications",
        ],
    ),
    action("DeleteVpc", delete, &["VpcId"]),
    action("DescribeVpcAttribute", describe_attribute, &["Attribute", "VpcId"]),
    action("DescribeVpcs", describe, &["Filters", "MaxResults", "NextToken", "VpcIds"]),
    action("DisassociateVpcCidrBlock", disassociate, &["AssociationId"]),
    action(
        "ModifyVpcAttribute",
        modify_attribute,
        &["EnableDnsHostnames", "EnableDnsSupport", "EnableNetworkAddressUsageMetrics", "VpcId"],
    ),
];
