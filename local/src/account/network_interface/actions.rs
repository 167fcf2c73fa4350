//! The actions of this room.

use super::{
    assign, assign6, attach, create, delete_unused, describe, describe_attribute, detach, modify_attribute,
    reset_attribute, unassign, unassign6,
};
use crate::account::action::{Action, action};

pub(in crate::account) const ACTIONS: &[Action] = &[
    action("AssignIpv6Addresses", assign6, &["Ipv6AddressCount", "Ipv6Addresses", "NetworkInterfaceId"]),
    action(
        "AssignPrivateIpAddresses",
        assign,
        &["AllowReassignment", "NetworkInterfaceId", "PrivateIpAddresses", "SecondaryPrivateIpAddressCount"],
    ),
    action("AttachNetworkInterface", attach, &["DeviceIndex", "InstanceId", "NetworkCardIndex", "NetworkInterfaceId"]),
    action(
        "CreateNetworkInterface",
        create,
        &[
            "ClientToken",
            "Description",
            "Groups",
            "InterfaceType",
            "Ipv6AddressCount",
            "Ipv6Addresses",
            "PrivateIpAddress",
            "PrivateIpAddresses",
            "SecondaryPrivateIpAddressCount",
            "SubnetId",
            "TagSpecifications",
        ],
    ),
    action("DeleteNetworkInterface", delete_unused, &["NetworkInterfaceId"]),
    action("DescribeNetworkInterfaceAttribute", describe_attribute, &["Attribute", "NetworkInterfaceId"]),
    action("DescribeNetworkInterfaces", describe, &["Filters", "MaxResults", "NetworkInterfaceIds", "NextToken"]),
    action("DetachNetworkInterface", detach, &["AttachmentId", "Force"]),
    action(
        "ModifyNetworkInterfaceAttribute",
        modify_attribute,
        &["AssociatePublicIpAddress", "Attachment", "Description", "Groups", "NetworkInterfaceId", "SourceDestCheck"],
    ),
    action("ResetNetworkInterfaceAttribute", reset_attribute, &["NetworkInterfaceId", "SourceDestCheck"]),
    action("UnassignIpv6Addresses", unassign6, &["Ipv6Addresses", "NetworkInterfaceId"]),
    action("UnassignPrivateIpAddresses", unassign, &["NetworkInterfaceId", "PrivateIpAddresses"]),
];
