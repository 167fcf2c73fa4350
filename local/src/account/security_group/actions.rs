//! The actions of this room.

use super::{
    authorize_egress, authorize_ingress, create, delete, describe, describe_rules, for_vpc, modify_rules,
    revoke_egress, revoke_ingress, update_egress_descriptions, update_ingress_descriptions,
};
use crate::account::action::{Action, action};

const PERMISSIONS: &[&str] = &[
    "CidrIp",
    "FromPort",
    "GroupId",
    "GroupName",
    "IpPermissions",
    "IpProtocol",
    "SecurityGroupRuleIds",
    "SourceSecurityGroupName",
    "SourceSecurityGroupOwnerId",
    "TagSpecifications",
    "ToPort",
];

pub(in crate::account) const ACTIONS: &[Action] = &[
    action("AuthorizeSecurityGroupEgress", authorize_egress, PERMISSIONS),
    action("AuthorizeSecurityGroupIngress", authorize_ingress, PERMISSIONS),
    action("CreateSecurityGroup", create, &["Description", "GroupName", "VpcId", "TagSpecifications"]),
    action("DeleteSecurityGroup", delete, &["GroupId", "GroupName"]),
    action(
        "DescribeSecurityGroupRules",
        describe_rules,
        &["Filters", "MaxResults", "NextToken", "SecurityGroupRuleIds"],
    ),
    action("DescribeSecurityGroups", describe, &["Filters", "GroupIds", "GroupNames", "MaxResults", "NextToken"]),
    action("GetSecurityGroupsForVpc", for_vpc, &["Filters", "MaxResults", "NextToken", "VpcId"]),
    action("ModifySecurityGroupRules", modify_rules, &["GroupId", "SecurityGroupRules"]),
    action("RevokeSecurityGroupEgress", revoke_egress, PERMISSIONS),
    action("RevokeSecurityGroupIngress", revoke_ingress, PERMISSIONS),
    action(
        "UpdateSecurityGroupRuleDescriptionsEgress",
        update_egress_descriptions,
        &["GroupId", "GroupName", "IpPermissions", "SecurityGroupRuleDescriptions"],
    ),
    action(
        "UpdateSecurityGroupRuleDescriptionsIngress",
        update_ingress_descriptions,
        &["GroupId", "GroupName", "IpPermissions", "SecurityGroupRuleDescriptions"],
    ),
];
