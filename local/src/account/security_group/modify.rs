//! ModifySecurityGroupRules: a rule keeps its id, its direction and its kind of peer; all else can change.

use super::{
    permission,
    rule::{Peer, Ports, Rule},
};
use crate::{
    account::{
        Context,
        ids::{SecurityGroupId, SecurityGroupRuleId},
        request::{combination, invalid, missing, only, required},
    },
    error::{ApiError, Code},
    wire::Structure,
};
use std::collections::BTreeMap;

/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_ModifySecurityGroupRules.html>.
pub(in crate::account) fn modify_rules(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let group = context.region.security_groups.parse(required(input, "GroupId")?)?;
    if input.list("SecurityGroupRules").is_empty() {
        return Err(missing("SecurityGroupRule"));
    }
    let mut changed: BTreeMap<SecurityGroupRuleId, Rule> = BTreeMap::new();
    for update in input.structures("SecurityGroupRules") {
        let (id, rule) = read(context, update, &group)?;
        if changed.insert(id.clone(), rule).is_some() {
            return Err(invalid(format!("The security group rule ID '{id}' must not appear multiple times")));
        }
    }
    check_repeated(context, &group, &changed)?;
    for (id, rule) in changed {
        *context.region.security_group_rules.require_mut(&id)? = rule;
    }
    context.group_changed(&group);
    Ok(Structure::new().with("Return", true))
}

fn read(
    context: &Context<'_>,
    update: &Structure,
    group: &SecurityGroupId,
) -> Result<(SecurityGroupRuleId, Rule), ApiError> {
    let id = context.region.security_group_rules.parse(required(update, "SecurityGroupRuleId")?)?;
    let before = context.region.security_group_rules.require(&id)?;
    if before.group != *group {
        let message = format!("The security group rule ID '{id}' does not exist in the security group '{group}'");
        return Err(ApiError::new(Code::InvalidSecurityGroupRuleIdNotFound, message));
    }
    let request = update.structure("SecurityGroupRule").ok_or_else(|| missing("SecurityGroupRule"))?;
    only(
        request,
        "SecurityGroupRules.SecurityGroupRule.",
        &["CidrIpv4", "CidrIpv6", "Description", "FromPort", "IpProtocol", "ReferencedGroupId", "ToPort"],
    )?;
    let ports = Ports::read(required(request, "IpProtocol")?, request.integer("FromPort"), request.integer("ToPort"))?;
    let peer = peer(context, request, group)?;
    if std::mem::discriminant(&peer) != std::mem::discriminant(&before.peer) {
        return Err(invalid(format!(
            "The source or destination type of the security group rule '{id}' can't be changed"
        )));
    }
    let description = permission::description(request)?;
    Ok((id, Rule { ports, peer, description, ..before.clone() }))
}

fn peer(context: &Context<'_>, request: &Structure, group: &SecurityGroupId) -> Result<Peer, ApiError> {
    match (request.string("CidrIpv4"), request.string("CidrIpv6"), request.string("ReferencedGroupId")) {
        (Some(range), None, None) => Peer::v4(range),
        (None, Some(range), None) => Peer::v6(range),
        (None, None, Some(id)) => permission::peer_group(context, &Structure::new().with("GroupId", id), group),
        (None, None, None) => Err(missing("CidrIpv4, CidrIpv6 or ReferencedGroupId")),
        _ => Err(combination("Only one of CidrIpv4, CidrIpv6 and ReferencedGroupId can be specified")),
    }
}

/// Sees that no rule says in the end what another one says.
fn check_repeated(
    context: &Context<'_>,
    group: &SecurityGroupId,
    changed: &BTreeMap<SecurityGroupRuleId, Rule>,
) -> Result<(), ApiError> {
    let ids = &context.region.security_groups.require(group)?.rules;
    let rules: Vec<&Rule> =
        ids.iter().filter_map(|id| changed.get(id).or_else(|| context.region.security_group_rules.get(id))).collect();
    let repeated = rules.iter().enumerate().find(|(at, rule)| rules[..*at].iter().any(|before| before.same(rule)));
    match repeated {
        None => Ok(()),
        Some((_, rule)) => Err(ApiError::new(
            Code::InvalidPermissionDuplicate,
            format!("the specified rule \"{}\" already exists", rule.named()),
        )),
    }
}
