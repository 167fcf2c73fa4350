//! DescribeSecurityGroups and DescribeSecurityGroupRules.

use super::{SecurityGroup, arn, by_name, permission, rule::Direction};
use crate::{
    account::{Context, describe::Listing, ids::SecurityGroupId},
    error::ApiError,
    wire::Structure,
};

const GROUPS: Listing = Listing {
    action: "DescribeSecurityGroups",
    ids: "GroupIds",
    id: "GroupId",
    sizes: 5..=1000,
    filters: &[
        ("description", "Description"),
        ("egress.ip-permission.cidr", "IpPermissionsEgress.IpRanges.CidrIp"),
        ("egress.ip-permission.from-port", "IpPermissionsEgress.FromPort"),
        ("egress.ip-permission.group-id", "IpPermissionsEgress.UserIdGroupPairs.GroupId"),
        ("egress.ip-permission.group-name", "IpPermissionsEgress.UserIdGroupPairs.GroupName"),
        ("egress.ip-permission.ipv6-cidr", "IpPermissionsEgress.Ipv6Ranges.CidrIpv6"),
        ("egress.ip-permission.prefix-list-id", ""),
        ("egress.ip-permission.protocol", "IpPermissionsEgress.IpProtocol"),
        ("egress.ip-permission.to-port", "IpPermissionsEgress.ToPort"),
        ("egress.ip-permission.user-id", "IpPermissionsEgress.UserIdGroupPairs.UserId"),
        ("group-id", "GroupId"),
        ("group-name", "GroupName"),
        ("ip-permission.cidr", "IpPermissions.IpRanges.CidrIp"),
        ("ip-permission.from-port", "IpPermissions.FromPort"),
        ("ip-permission.group-id", "IpPermissions.UserIdGroupPairs.GroupId"),
        ("ip-permission.group-name", "IpPermissions.UserIdGroupPairs.GroupName"),
        ("ip-permission.ipv6-cidr", "IpPermissions.Ipv6Ranges.CidrIpv6"),
        ("ip-permission.prefix-list-id", ""),
        ("ip-permission.protocol", "IpPermissions.IpProtocol"),
        ("ip-permission.to-port", "IpPermissions.ToPort"),
        ("ip-permission.user-id", "IpPermissions.UserIdGroupPairs.UserId"),
        ("owner-id", "OwnerId"),
        ("vpc-id", "VpcId"),
    ],
};

pub(in crate::account) fn describe(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let region = &*context.region;
    let named =
        input.strings("GroupNames").map(|name| by_name(region, name)).collect::<Result<Vec<SecurityGroupId>, _>>()?;
    let default = region.default_vpc();
    let wanted = |group: &SecurityGroup| {
        named.is_empty()
            || named.iter().any(|id| {
                region.security_groups.get(id).is_some_and(|g| g.name == group.name && Some(&group.vpc) == default)
            })
    };
    let account = context.settings.account.as_str();
    GROUPS.answer_where("SecurityGroups", input, &region.security_groups, &region.tags, wanted, |id, group| {
        let rules = |direction: Direction| {
            let rules = group.rules.iter().filter_map(|id| region.security_group_rules.get(id));
            permission::shown(rules.filter(move |rule| rule.direction == direction), region, account)
        };
        Structure::new()
            .with("GroupId", id)
            .with("GroupName", group.name.as_str())
            .with("Description", group.description.as_str())
            .with("OwnerId", account)
            .with("VpcId", &group.vpc)
            .with("SecurityGroupArn", arn(context.settings, region, "security-group", id.as_ref()))
            .with("IpPermissions", rules(Direction::Ingress))
            .with("IpPermissionsEgress", rules(Direction::Egress))
            .with("Tags", region.tags.shown(id))
    })
}

const RULES: Listing = Listing {
    action: "DescribeSecurityGroupRules",
    ids: "SecurityGroupRuleIds",
    id: "SecurityGroupRuleId",
    sizes: 5..=1000,
    filters: &[("group-id", "GroupId"), ("security-group-rule-id", "SecurityGroupRuleId")],
};

pub(in crate::account) fn describe_rules(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let region = &*context.region;
    RULES.answer("SecurityGroupRules", input, &region.security_group_rules, &region.tags, |id, rule| {
        rule.shown(id, context.settings)
            .with("SecurityGroupRuleArn", arn(context.settings, region, "security-group-rule", id.as_ref()))
            .with("Tags", region.tags.shown(id))
    })
}
