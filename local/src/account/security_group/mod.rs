//! Security groups: the resource, and by files its rules, permissions as requests have them, and descriptions.

mod actions;
mod authorize;
mod describe;
mod for_vpc;
mod modify;
mod permission;
mod rule;

pub(super) use actions::ACTIONS;

pub(super) use authorize::{
    authorize_egress, authorize_ingress, revoke_egress, revoke_ingress, update_egress_descriptions,
    update_ingress_descriptions,
};
pub(super) use describe::{describe, describe_rules};
pub(super) use for_vpc::for_vpc;
pub(super) use modify::modify_rules;
pub(super) use rule::Rule;

use super::{
    Context,
    address::Cidr,
    ids::{SecurityGroupId, SecurityGroupRuleId, Source, VpcId},
    quota,
    region::Region,
    request::{combination, given, invalid, missing, required},
    tags::{TagSet, TagSpecifications},
};
use crate::{
    error::{ApiError, Code},
    network,
    wire::Structure,
};
use rule::{Direction, Peer, Ports};
use serde::{Deserialize, Serialize};
use std::net::{Ipv4Addr, Ipv6Addr};

/// A security group.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct SecurityGroup {
    pub(super) name: String,
    pub(super) description: String,
    pub(super) vpc: VpcId,
    /// Its rules, in the order of creation.
    pub(super) rules: Vec<SecurityGroupRuleId>,
}

/// The name of the group that each VPC has.
const DEFAULT: &str = "default";
const LENGTH: usize = 255;

/// Makes the group that each VPC has: its members reach each other, and all the world.
pub(super) fn make_default(region: &mut Region, source: &mut Source, vpc: VpcId) {
    let id = make(region, source, DEFAULT, "default VPC security group", vpc);
    let rule = Rule::new(id.clone(), Direction::Ingress, Ports::all(), Peer::Group(id));
    add_rule(region, source, rule, TagSet::new());
}

/// Whether a VPC has groups beside the one that each has.
pub(super) fn has_made(region: &Region, vpc: &VpcId) -> bool {
    region.security_groups.iter().any(|(_, group)| group.vpc == *vpc && group.name != DEFAULT)
}

/// Deletes the group that each VPC has, with the VPC.
pub(super) fn delete_default(region: &mut Region, vpc: &VpcId) -> Option<SecurityGroupId> {
    let id = region.default_group(vpc)?.clone();
    for rule in region.security_groups.get(&id).map(|group| group.rules.clone()).unwrap_or_default() {
        remove_rule(region, &rule);
    }
    region.security_groups.remove(&id);
    region.tags.forget(&id);
    Some(id)
}

/// Makes a group; it lets all out, and nothing in. Of IPv6 it says so where the VPC has that.
fn make(region: &mut Region, source: &mut Source, name: &str, description: &str, vpc: VpcId) -> SecurityGroupId {
    let id: SecurityGroupId = source.id();
    let has_ipv6 = region.vpcs.get(&vpc).is_some_and(|vpc| vpc.ranges6().next().is_some());
    let group = SecurityGroup { name: name.to_owned(), description: description.to_owned(), vpc, rules: Vec::new() };
    region.security_groups.insert(id.clone(), group);
    for anywhere in [Some(anywhere4()), has_ipv6.then(anywhere6)].into_iter().flatten() {
        add_rule(region, source, Rule::new(id.clone(), Direction::Egress, Ports::all(), anywhere), TagSet::new());
    }
    id
}

fn anywhere4() -> Peer {
    Peer::V4(Cidr::new(Ipv4Addr::UNSPECIFIED, 0))
}

fn anywhere6() -> Peer {
    Peer::V6(Ipv6Addr::UNSPECIFIED, 0)
}

/// Lets IPv6 out of the groups of a VPC that has its first IPv6 range, where all of IPv4 may go out as it was at first; says which.
/// Source: <https://docs.aws.amazon.com/vpc/latest/userguide/vpc-migrate-ipv6-add.html>.
pub(super) fn let_ipv6_out(region: &mut Region, source: &mut Source, vpc: &VpcId) -> Vec<SecurityGroupId> {
    let is_as_at_first = |id: &SecurityGroupId, group: &SecurityGroup| {
        let mut leaving = group.rules.iter().filter_map(|id| region.security_group_rules.get(id));
        let first = Rule::new(id.clone(), Direction::Egress, Ports::all(), anywhere4());
        leaving.clone().filter(|rule| rule.direction == Direction::Egress).count() == 1
            && leaving.any(|rule| rule.same(&first))
    };
    let groups = region.security_groups.iter().filter(|(id, group)| group.vpc == *vpc && is_as_at_first(id, group));
    let groups: Vec<SecurityGroupId> = groups.map(|(id, _)| id.clone()).collect();
    for id in &groups {
        let rule = Rule::new(id.clone(), Direction::Egress, Ports::all(), anywhere6());
        add_rule(region, source, rule, TagSet::new());
    }
    groups
}

fn add_rule(region: &mut Region, source: &mut Source, rule: Rule, tags: TagSet) -> SecurityGroupRuleId {
    let id: SecurityGroupRuleId = source.id();
    if let Some(group) = region.security_groups.get_mut(&rule.group) {
        group.rules.push(id.clone());
    }
    region.security_group_rules.insert(id.clone(), rule);
    region.tags.set(&id, tags);
    id
}

fn remove_rule(region: &mut Region, id: &SecurityGroupRuleId) {
    let rule = region.security_group_rules.remove(id);
    if let Some(group) = rule.and_then(|rule| region.security_groups.get_mut(&rule.group)) {
        group.rules.retain(|rule| rule != id);
    }
    region.tags.forget(id);
}

/// The rules of a group, as the switch knows them; `None` if there is no such group.
pub(super) fn rules(region: &Region, id: &SecurityGroupId) -> Option<Vec<network::Rule>> {
    let group = region.security_groups.get(id)?;
    let rules = group.rules.iter().filter_map(|id| region.security_group_rules.get(id));
    Some(rules.filter_map(Rule::for_switch).collect())
}

/// Source of the rules: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateSecurityGroup.html>.
fn check_text(parameter: &str, text: &str) -> Result<(), ApiError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || " ._-:/()#,@[]+=&;{}!$*".contains(c);
    if text.is_empty() || text.chars().count() > LENGTH || !text.chars().all(allowed) {
        return Err(invalid(format!(
            "Value ({text}) for parameter {parameter} is invalid. It must have 1 to {LENGTH} characters from the set \
             a-zA-Z0-9. _-:/()#,@[]+=&;{{}}!$*"
        )));
    }
    Ok(())
}

pub(super) fn create(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let name = required(input, "GroupName")?.trim_end_matches(' ');
    let description = required(input, "Description").map_err(|_| missing("GroupDescription"))?;
    if name.eq_ignore_ascii_case(DEFAULT) {
        let message = format!("Cannot use reserved security group name: {DEFAULT}");
        return Err(ApiError::new(Code::InvalidGroupReserved, message));
    }
    if name.starts_with("sg-") {
        return Err(invalid(format!(
            "Value ({name}) for parameter GroupName is invalid. Group names may not be in the format sg-*"
        )));
    }
    check_text("GroupName", name)?;
    check_text("GroupDescription", description)?;
    let region = &mut *context.region;
    let vpc = match given(input, "VpcId") {
        Some(id) => region.vpcs.parse(id)?,
        None => region.require_default_vpc()?.clone(),
    };
    let tags = TagSpecifications::read(input, &["security-group"])?.of("security-group");
    if region.has_group_named(&vpc, name) {
        let message = format!("The security group '{name}' already exists for VPC '{vpc}'");
        return Err(ApiError::new(Code::InvalidGroupDuplicate, message));
    }
    let message = format!("The maximum number of security groups for VPC '{vpc}' has been reached.");
    let quota = context.settings.quotas.security_groups;
    quota::one_more(region.security_groups.len(), quota, Code::SecurityGroupLimitExceeded, message)?;
    let id = make(region, &mut context.shared.source, name, description, vpc);
    region.tags.set(&id, tags);
    context.group_changed(&id);
    let region = &*context.region;
    Ok(Structure::new()
        .with("GroupId", &id)
        .with("SecurityGroupArn", arn(context.settings, region, "security-group", id.as_ref()))
        .with("Tags", region.tags.shown(&id)))
}

fn arn(settings: &super::settings::Settings, region: &Region, kind: &str, id: &str) -> String {
    format!("arn:aws:ec2:{}:{}:{kind}/{id}", region.place.name, settings.account)
}

/// The group that a request names by GroupId or, in the default VPC, by GroupName.
fn named(region: &Region, input: &Structure) -> Result<SecurityGroupId, ApiError> {
    match (input.string("GroupId"), input.string("GroupName")) {
        (Some(_), Some(_)) => Err(combination("The parameters groupName and groupId cannot be used together")),
        (Some(id), None) => region.security_groups.parse(id),
        (None, Some(name)) => by_name(region, name),
        (None, None) => {
            Err(ApiError::new(Code::MissingParameter, "The request must contain the parameter groupName or groupId"))
        }
    }
}

fn by_name(region: &Region, name: &str) -> Result<SecurityGroupId, ApiError> {
    let vpc = region.require_default_vpc()?;
    region.find_group(vpc, name).cloned().ok_or_else(|| {
        let message = format!("The security group '{name}' does not exist in default VPC '{vpc}'");
        ApiError::new(Code::InvalidGroupNotFound, message)
    })
}

pub(super) fn delete(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let region = &mut *context.region;
    let id = named(region, input)?;
    let group = region.security_groups.require(&id)?;
    if group.name == DEFAULT {
        let message = format!("the specified group: \"{id}\" name: \"{DEFAULT}\" cannot be deleted by a user");
        return Err(ApiError::new(Code::CannotDelete, message));
    }
    let held = region.network_interfaces.iter().any(|(_, interface)| interface.groups.contains(&id));
    let referenced =
        region.security_group_rules.iter().any(|(_, rule)| rule.group != id && rule.peer == Peer::Group(id.clone()));
    if held || referenced {
        return Err(ApiError::new(Code::DependencyViolation, format!("resource {id} has a dependent object")));
    }
    for rule in group.rules.clone() {
        remove_rule(region, &rule);
    }
    region.security_groups.remove(&id);
    region.tags.forget(&id);
    context.group_changed(&id);
    Ok(Structure::new().with("Return", true).with("GroupId", &id))
}
