//! Rules come, go, and change their descriptions.

use super::{
    add_rule, named, permission, remove_rule,
    rule::{Direction, Peer, Rule},
};
use crate::{
    account::{
        Context,
        ids::{SecurityGroupId, SecurityGroupRuleId},
        request::required,
        tags::TagSpecifications,
    },
    error::{ApiError, Code},
    wire::Structure,
};

pub(in crate::account) fn authorize_ingress(
    context: &mut Context<'_>,
    input: &Structure,
) -> Result<Structure, ApiError> {
    authorize(context, input, Direction::Ingress)
}

pub(in crate::account) fn authorize_egress(
    context: &mut Context<'_>,
    input: &Structure,
) -> Result<Structure, ApiError> {
    authorize(context, input, Direction::Egress)
}

/// The rules of a group in one direction.
fn rules_of<'a>(
    context: &'a Context<'_>,
    group: &SecurityGroupId,
    direction: Direction,
) -> impl Iterator<Item = (&'a SecurityGroupRuleId, &'a Rule)> {
    let rules = context.region.security_groups.get(group).map_or(&[][..], |group| &group.rules);
    rules
        .iter()
        .filter_map(|id| Some((id, context.region.security_group_rules.get(id)?)))
        .filter(move |(_, rule)| rule.direction == direction)
}

fn group_of(context: &Context<'_>, input: &Structure, direction: Direction) -> Result<SecurityGroupId, ApiError> {
    if direction == Direction::Egress && input.string("GroupName").is_none() {
        return context.region.security_groups.parse(required(input, "GroupId")?);
    }
    named(context.region, input)
}

/// How many rules there are of IPv4, or of IPv6 if these are more. One that names a group is of both.
/// Source: <https://docs.aws.amazon.com/vpc/latest/userguide/amazon-vpc-limits.html>.
fn most_of_a_family<'a>(rules: impl Iterator<Item = &'a Rule> + Clone) -> usize {
    let v4 = rules.clone().filter(|rule| !matches!(rule.peer, Peer::V6(..))).count();
    v4.max(rules.filter(|rule| !matches!(rule.peer, Peer::V4(_))).count())
}

fn authorize(context: &mut Context<'_>, input: &Structure, direction: Direction) -> Result<Structure, ApiError> {
    let group = group_of(context, input, direction)?;
    let tags = TagSpecifications::read(input, &["security-group-rule"])?.of("security-group-rule");
    let rules = permission::read(context, input, &group, direction)?;
    let present: Vec<&Rule> = rules_of(context, &group, direction).map(|(_, rule)| rule).collect();
    if let Some(rule) = rules.iter().find(|rule| present.iter().any(|before| before.same(rule))) {
        let message = format!("the specified rule \"{}\" already exists", rule.named());
        return Err(ApiError::new(Code::InvalidPermissionDuplicate, message));
    }
    let all = present.iter().copied().chain(&rules);
    if most_of_a_family(all) as u64 > context.settings.quotas.rules_per_security_group {
        let message = "The maximum number of rules per security group has been reached.";
        return Err(ApiError::new(Code::RulesPerSecurityGroupLimitExceeded, message));
    }
    let mut shown = Vec::new();
    for rule in rules {
        let described = rule.clone();
        let id = add_rule(context.region, &mut context.shared.source, rule, tags.clone());
        shown.push(described.shown(&id, context.settings).with("Tags", context.region.tags.shown(&id)));
    }
    context.group_changed(&group);
    Ok(Structure::new().with("Return", true).with("SecurityGroupRules", shown))
}

pub(in crate::account) fn revoke_ingress(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    revoke(context, input, Direction::Ingress)
}

pub(in crate::account) fn revoke_egress(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    revoke(context, input, Direction::Egress)
}

/// A rule that isn't there is told about in the default VPC, and an error elsewhere.
/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_RevokeSecurityGroupIngress.html>.
fn revoke(context: &mut Context<'_>, input: &Structure, direction: Direction) -> Result<Structure, ApiError> {
    let group = group_of(context, input, direction)?;
    let (found, unknown) = if input.list("SecurityGroupRuleIds").is_empty() {
        by_permissions(context, input, &group, direction)?
    } else {
        (by_ids(context, input, &group, direction)?, Vec::new())
    };
    let vpc = &context.region.security_groups.require(&group)?.vpc;
    if !unknown.is_empty() && !context.region.vpcs.require(vpc)?.is_default {
        let message = "The specified rule does not exist in this security group.";
        return Err(ApiError::new(Code::InvalidPermissionNotFound, message));
    }
    let revoked: Vec<Structure> =
        found.iter().filter_map(|id| Some(revoked(id, context.region.security_group_rules.get(id)?))).collect();
    for id in &found {
        remove_rule(context.region, id);
    }
    context.group_changed(&group);
    let unknown = permission::shown(unknown.iter(), context.region, &context.settings.account);
    Ok(Structure::new()
        .with("Return", true)
        .with("UnknownIpPermissions", unknown)
        .with("RevokedSecurityGroupRules", revoked))
}

fn by_ids(
    context: &Context<'_>,
    input: &Structure,
    group: &SecurityGroupId,
    direction: Direction,
) -> Result<Vec<SecurityGroupRuleId>, ApiError> {
    permission::none(input, "securityGroupRuleIds")?;
    let mut ids = context.region.security_group_rules.parse_all(input.strings("SecurityGroupRuleIds"))?;
    ids.sort_unstable();
    ids.dedup();
    match ids.iter().find(|id| !rules_of(context, group, direction).any(|(known, _)| known == *id)) {
        None => Ok(ids),
        Some(id) => Err(ApiError::new(
            Code::InvalidSecurityGroupRuleIdNotFound,
            format!("The security group rule ID '{id}' does not exist in the security group '{group}'"),
        )),
    }
}

/// The rules that were found, and those that weren't.
type Sorted = (Vec<SecurityGroupRuleId>, Vec<Rule>);

fn by_permissions(
    context: &Context<'_>,
    input: &Structure,
    group: &SecurityGroupId,
    direction: Direction,
) -> Result<Sorted, ApiError> {
    let mut found = Vec::new();
    let mut unknown = Vec::new();
    for rule in permission::read(context, input, group, direction)? {
        match rules_of(context, group, direction).find(|(_, present)| present.same(&rule)) {
            Some((id, _)) => found.push(id.clone()),
            None => unknown.push(rule),
        }
    }
    Ok((found, unknown))
}

fn revoked(id: &SecurityGroupRuleId, rule: &Rule) -> Structure {
    let (from, to) = rule.ports.range.unwrap_or((-1, -1));
    let shown = Structure::new()
        .with("SecurityGroupRuleId", id)
        .with("GroupId", &rule.group)
        .with("IsEgress", rule.direction == Direction::Egress)
        .with("IpProtocol", rule.ports.protocol.as_str())
        .with("FromPort", from)
        .with("ToPort", to)
        .with_some("Description", rule.description.as_deref());
    let member = match rule.peer {
        Peer::V4(_) => "CidrIpv4",
        Peer::V6(..) => "CidrIpv6",
        Peer::Group(_) => "ReferencedGroupId",
    };
    shown.with(member, rule.peer.to_string())
}

pub(in crate::account) fn update_ingress_descriptions(
    context: &mut Context<'_>,
    input: &Structure,
) -> Result<Structure, ApiError> {
    update_descriptions(context, input, Direction::Ingress)
}

pub(in crate::account) fn update_egress_descriptions(
    context: &mut Context<'_>,
    input: &Structure,
) -> Result<Structure, ApiError> {
    update_descriptions(context, input, Direction::Egress)
}

fn update_descriptions(
    context: &mut Context<'_>,
    input: &Structure,
    direction: Direction,
) -> Result<Structure, ApiError> {
    let group = named(context.region, input)?;
    let mut changes: Vec<(SecurityGroupRuleId, Option<String>)> = Vec::new();
    if !input.list("SecurityGroupRuleDescriptions").is_empty() {
        permission::none(input, "securityGroupRuleDescriptions")?;
    }
    for change in input.structures("SecurityGroupRuleDescriptions") {
        let id = context.region.security_group_rules.parse(required(change, "SecurityGroupRuleId")?)?;
        if !rules_of(context, &group, direction).any(|(known, _)| *known == id) {
            let message = format!("The security group rule ID '{id}' does not exist in the security group '{group}'");
            return Err(ApiError::new(Code::InvalidSecurityGroupRuleIdNotFound, message));
        }
        changes.push((id, permission::description(change)?));
    }
    if changes.is_empty() {
        for rule in permission::read(context, input, &group, direction)? {
            let (id, _) =
                rules_of(context, &group, direction).find(|(_, present)| present.same(&rule)).ok_or_else(|| {
                    ApiError::new(
                        Code::InvalidPermissionNotFound,
                        "The specified rule does not exist in this security group.",
                    )
                })?;
            changes.push((id.clone(), rule.description));
        }
    }
    for (id, description) in changes {
        context.region.security_group_rules.require_mut(&id)?.description = description;
    }
    Ok(Structure::new().with("Return", true))
}
