//! The actions of this room.

use super::{
    allocate, associate, describe, describe_attribute, disassociate, modify_attribute, release, reset_attribute,
};
use crate::account::action::{Action, action};

pub(in crate::account) const ACTIONS: &[Action] = &[
    action("AllocateAddress", allocate, &["Domain", "NetworkBorderGroup", "PublicIpv4Pool", "TagSpecifications"]),
    action(
        "AssociateAddress",
        associate,
        &["AllocationId", "AllowReassociation", "InstanceId", "NetworkInterfaceId", "PrivateIpAddress", "PublicIp"],
    ),
    action("DescribeAddresses", describe, &["AllocationIds", "Filters", "PublicIps"]),
    action(
        "DescribeAddressesAttribute",
        describe_attribute,
        &["AllocationIds", "Attribute", "MaxResults", "NextToken"],
    ),
    action("DisassociateAddress", disassociate, &["AssociationId", "PublicIp"]),
    action("ModifyAddressAttribute", modify_attribute, &["AllocationId", "DomainName"]),
    action("ReleaseAddress", release, &["AllocationId", "NetworkBorderGroup", "PublicIp"]),
    action("ResetAddressAttribute", reset_attribute, &["AllocationId", "Attribute"]),
];
