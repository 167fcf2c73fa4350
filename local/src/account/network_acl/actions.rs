//! The actions of this room.

use super::{create, create_entry, delete, delete_entry, describe, replace_association, replace_entry};
use crate::account::action::{Action, action};

const ACL_ENTRY: &[&str] = &[
    "CidrBlock",
    "Egress",
    "IcmpTypeCode",
    "Ipv6CidrBlock",
    "NetworkAclId",
    "PortRange",
    "Protocol",
    "RuleAction",
    "RuleNumber",
];

pub(in crate::account) const ACTIONS: &[Action] = &[
    action("CreateNetworkAcl", create, &["ClientToken", "TagSpecifications", "VpcId"]),
    action("CreateNetworkAclEntry", create_entry, ACL_ENTRY),
    action("DeleteNetworkAcl", delete, &["NetworkAclId"]),
    action("DeleteNetworkAclEntry", delete_entry, &["Egress", "NetworkAclId", "RuleNumber"]),
    action("DescribeNetworkAcls", describe, &["Filters", "MaxResults", "NetworkAclIds", "NextToken"]),
    action("ReplaceNetworkAclAssociation", replace_association, &["AssociationId", "NetworkAclId"]),
    action("ReplaceNetworkAclEntry", replace_entry, ACL_ENTRY),
];
