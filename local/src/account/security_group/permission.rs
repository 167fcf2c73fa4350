//! Permissions: rules as requests and descriptions of groups have them, several peers to one range of ports.

use super::{
    by_name,
    rule::{Direction, Peer, Ports, Rule},
};
use crate::{
    account::{
        Context,
        ids::SecurityGroupId,
        region::Region,
        request::{combination, invalid, lower, missing, only, unsupported},
    },
    error::{ApiError, Code},
    wire::Structure,
};
use std::collections::BTreeMap;

const DESCRIPTION: usize = 255;

/// The members of the form of old, for one rule without a list.
const FLAT: [&str; 6] =
    ["IpProtocol", "FromPort", "ToPort", "CidrIp", "SourceSecurityGroupName", "SourceSecurityGroupOwnerId"];

fn together(one: &str, other: &str) -> ApiError {
    combination(format!("The parameter '{one}' may not be used in combination with '{other}'"))
}

/// Sees that a request that names its rules by `other` doesn't name rules in another way, too.
pub(super) fn none(input: &Structure, other: &str) -> Result<(), ApiError> {
    let permissions = (!input.list("IpPermissions").is_empty()).then_some("IpPermissions");
    match permissions.or(FLAT.into_iter().find(|member| input.get(member).is_some())) {
        None => Ok(()),
        Some(member) => Err(together(&lower(member), other)),
    }
}

/// Reads the rules that a request names, in either of its two forms.
pub(super) fn read(
    context: &Context<'_>,
    input: &Structure,
    group: &SecurityGroupId,
    direction: Direction,
) -> Result<Vec<Rule>, ApiError> {
    let flat_used = FLAT.into_iter().find(|member| input.get(member).is_some());
    let mut permissions = input.structures("IpPermissions").peekable();
    if let (Some(_), Some(member)) = (permissions.peek(), flat_used) {
        return Err(together("ipPermissions", &lower(member)));
    }
    let mut rules = Vec::new();
    for permission in permissions {
        rules.extend(read_one(context, permission, group, direction)?);
    }
    if flat_used.is_some() {
        rules = read_flat(context, input, group, direction)?;
    }
    if rules.is_empty() {
        return Err(ApiError::new(
            Code::MissingParameter,
            "Either 'ipPermissions' or 'ipProtocol' and 'cidrIp' should be provided.",
        ));
    }
    let repeated = |(index, rule): (usize, &Rule)| rules.iter().take(index).any(|before| before.same(rule));
    if rules.iter().enumerate().any(repeated) {
        return Err(invalid("The same permission must not appear multiple times"));
    }
    Ok(rules)
}

fn read_flat(
    context: &Context<'_>,
    input: &Structure,
    group: &SecurityGroupId,
    direction: Direction,
) -> Result<Vec<Rule>, ApiError> {
    if direction == Direction::Egress {
        return Err(unsupported("An egress rule outside of IpPermissions"));
    }
    let rule = |ports, peer| Rule::new(group.clone(), direction, ports, peer);
    if let Some(name) = input.string("SourceSecurityGroupName") {
        if ["IpProtocol", "FromPort", "ToPort", "CidrIp"].iter().any(|member| input.get(member).is_some()) {
            return Err(combination(
                "SourceSecurityGroupName may not be used with CidrIp, IpProtocol, FromPort or ToPort",
            ));
        }
        check_owner(context, input.string("SourceSecurityGroupOwnerId"))?;
        let peer = Peer::Group(by_name(context.region, name)?);
        let all = [("tcp", 0, 65535), ("udp", 0, 65535), ("icmp", -1, -1)];
        return all
            .iter()
            .map(|(protocol, from, to)| Ok(rule(Ports::read(protocol, Some(*from), Some(*to))?, peer.clone())))
            .collect();
    }
    let protocol = input.string("IpProtocol").ok_or_else(|| missing("ipProtocol"))?;
    let cidr = input.string("CidrIp").ok_or_else(|| missing("cidrIp"))?;
    let ports = Ports::read(protocol, input.integer("FromPort"), input.integer("ToPort"))?;
    Ok(vec![rule(ports, Peer::v4(cidr)?)])
}

fn read_one(
    context: &Context<'_>,
    permission: &Structure,
    group: &SecurityGroupId,
    direction: Direction,
) -> Result<Vec<Rule>, ApiError> {
    let members = ["IpProtocol", "FromPort", "ToPort", "IpRanges", "Ipv6Ranges", "UserIdGroupPairs"];
    only(permission, "IpPermissions.", &members)?;
    let protocol = permission.string("IpProtocol").ok_or_else(|| missing("ipProtocol"))?;
    let ports = Ports::read(protocol, permission.integer("FromPort"), permission.integer("ToPort"))?;
    let v4 = permission
        .structures("IpRanges")
        .map(|range| (range, range.string("CidrIp").ok_or_else(|| missing("cidrIp")).and_then(Peer::v4)));
    let v6 = permission
        .structures("Ipv6Ranges")
        .map(|range| (range, range.string("CidrIpv6").ok_or_else(|| missing("cidrIpv6")).and_then(Peer::v6)));
    let groups = permission.structures("UserIdGroupPairs").map(|pair| (pair, peer_group(context, pair, group)));
    let mut rules = Vec::new();
    for (structure, peer) in v4.chain(v6).chain(groups) {
        let mut rule = Rule::new(group.clone(), direction, ports.clone(), peer?);
        rule.description = description(structure)?;
        rules.push(rule);
    }
    if rules.is_empty() {
        return Err(ApiError::new(
            Code::MissingParameter,
            "A permission must have at least one of IpRanges, Ipv6Ranges and UserIdGroupPairs",
        ));
    }
    Ok(rules)
}

/// The description of a peer.
pub(super) fn description(structure: &Structure) -> Result<Option<String>, ApiError> {
    let Some(text) = structure.string("Description") else { return Ok(None) };
    let allowed = |c: char| c.is_ascii_alphanumeric() || " ._-:/()#,@[]+=&;{}!$*".contains(c);
    if text.chars().count() > DESCRIPTION || !text.chars().all(allowed) {
        return Err(invalid(format!(
            "Invalid rule description. Valid descriptions are strings less than 256 characters from the following set: \
             a-zA-Z0-9. _-:/()#,@[]+=&;{{}}!$* ('{text}')"
        )));
    }
    Ok(Some(text.to_owned()).filter(|text| !text.is_empty()))
}

/// The group that a pair names.
pub(super) fn peer_group(context: &Context<'_>, pair: &Structure, group: &SecurityGroupId) -> Result<Peer, ApiError> {
    only(pair, "IpPermissions.UserIdGroupPairs.", &["Description", "GroupId", "GroupName", "UserId", "VpcId"])?;
    check_owner(context, pair.string("UserId"))?;
    let region = &*context.region;
    let peer = match (pair.string("GroupId"), pair.string("GroupName")) {
        (Some(id), _) => region.security_groups.parse(id)?,
        (None, Some(name)) => by_name(region, name)?,
        (None, None) => return Err(missing("groupId")),
    };
    let vpc = |id| region.security_groups.get(id).map(|group| &group.vpc);
    if vpc(&peer) != vpc(group)
        || pair.string("VpcId").is_some_and(|named| vpc(&peer).is_none_or(|vpc| vpc.as_ref() != named))
    {
        let message =
            format!("You have specified two resources that belong to different networks: {group} and {peer}.");
        return Err(ApiError::new(Code::InvalidGroupNotFound, message));
    }
    Ok(Peer::Group(peer))
}

fn check_owner(context: &Context<'_>, owner: Option<&str>) -> Result<(), ApiError> {
    match owner {
        Some(owner) if owner != context.settings.account => Err(unsupported("A security group of another account")),
        _ => Ok(()),
    }
}

/// Rules as permissions: peers that share their ports stand together.
pub(super) fn shown<'a>(rules: impl Iterator<Item = &'a Rule>, region: &Region, account: &str) -> Vec<Structure> {
    let mut permissions: BTreeMap<&Ports, [Vec<Structure>; 3]> = BTreeMap::new();
    for rule in rules {
        let [v4, v6, groups] = permissions.entry(&rule.ports).or_default();
        let with_description = |structure: Structure| structure.with_some("Description", rule.description.as_deref());
        match &rule.peer {
            Peer::V4(cidr) => v4.push(with_description(Structure::new().with("CidrIp", cidr.to_string()))),
            Peer::V6(..) => v6.push(with_description(Structure::new().with("CidrIpv6", rule.peer.to_string()))),
            Peer::Group(id) => {
                let vpc = region.security_groups.get(&rule.group).map(|group| &group.vpc);
                let peer = region.security_groups.get(id);
                let other = peer.map(|peer| &peer.vpc).filter(|peer| Some(*peer) != vpc);
                let pair = Structure::new().with("GroupId", id).with("UserId", account).with_some("VpcId", other);
                groups.push(with_description(pair));
            }
        }
    }
    let shown = permissions.into_iter().map(|(ports, [v4, v6, groups])| {
        ports
            .show(Structure::new())
            .with("IpRanges", v4)
            .with("Ipv6Ranges", v6)
            .with("UserIdGroupPairs", groups)
            .with("PrefixListIds", Vec::<Structure>::new())
    });
    shown.collect()
}
