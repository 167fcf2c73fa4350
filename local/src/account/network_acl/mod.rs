//! Network ACLs: the resource, and by files its rules.

mod actions;
mod entry;

pub(super) use actions::ACTIONS;

pub(super) use entry::{Entry, create_entry, delete_entry, replace_entry};

use super::{
    Context,
    describe::{Listing, Row},
    ids::{self, Id, NetworkAclAssociationId, NetworkAclId, SubnetId, VpcId},
    quota,
    region::Region,
    request::{invalid, required},
    tags::TagSpecifications,
    vpc::has_dependencies,
};
use crate::{
    error::{ApiError, Code},
    network::AclRule,
    wire::Structure,
};
use serde::{Deserialize, Serialize};

/// A network ACL.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct NetworkAcl {
    pub(super) vpc: VpcId,
    pub(super) is_default: bool,
    /// Its rules, by direction and number, without the last ones, which nobody can change.
    entries: Vec<Entry>,
    /// Its bonds with subnets; each subnet has one.
    associations: Vec<(NetworkAclAssociationId, SubnetId)>,
    client_token: Option<String>,
}

impl NetworkAcl {
    /// The subnets that have it.
    pub(super) fn subnets(&self) -> impl Iterator<Item = &SubnetId> {
        self.associations.iter().map(|(_, subnet)| subnet)
    }
}

/// Makes the ACL that each VPC has: it lets all through.
/// Source: <https://docs.aws.amazon.com/vpc/latest/userguide/default-network-acl.html>.
pub(super) fn make_default(region: &mut Region, id: NetworkAclId, vpc: VpcId) {
    let entries = Entry::all().into();
    let acl = NetworkAcl { vpc, is_default: true, entries, associations: Vec::new(), client_token: None };
    region.network_acls.insert(id, acl);
}

fn default_of(region: &Region, vpc: &VpcId) -> Option<NetworkAclId> {
    region.network_acls.iter().find(|(_, acl)| acl.is_default && acl.vpc == *vpc).map(|(id, _)| id.clone())
}

/// Gives a new subnet the ACL of its VPC.
pub(super) fn join_default(region: &mut Region, vpc: &VpcId, subnet: SubnetId, association: NetworkAclAssociationId) {
    if let Some(id) = default_of(region, vpc)
        && let Some(acl) = region.network_acls.get_mut(&id)
    {
        acl.associations.push((association, subnet));
    }
}

/// Lets IPv6 pass by the ACL of a VPC that has its first IPv6 range, where nobody has changed that.
/// Source: <https://docs.aws.amazon.com/vpc/latest/userguide/default-network-acl.html>.
pub(super) fn let_ipv6_pass(region: &mut Region, vpc: &VpcId) {
    if let Some(id) = default_of(region, vpc)
        && let Some(acl) = region.network_acls.get_mut(&id)
        && acl.entries == Entry::all()
    {
        acl.entries = with_ipv6();
    }
}

/// The rules that let all of both families pass.
fn with_ipv6() -> Vec<Entry> {
    let ([out, in_], [out6, in6]) = (Entry::all(), Entry::all6());
    vec![out, out6, in_, in6]
}

/// Makes the ACLs that VPCs and subnets lack which were written down before there were any.
pub(super) fn complete(region: &mut Region) {
    let bare: Vec<VpcId> =
        region.vpcs.iter().map(|(id, _)| id.clone()).filter(|id| default_of(region, id).is_none()).collect();
    for vpc in bare {
        let subnets: Vec<SubnetId> =
            region.subnets.iter().filter(|(_, subnet)| subnet.vpc == vpc).map(|(id, _)| id.clone()).collect();
        make_default(region, ids::derived(&[vpc.as_ref()]), vpc.clone());
        for subnet in subnets {
            let association = ids::derived(&[subnet.as_ref()]);
            join_default(region, &vpc, subnet, association);
        }
    }
}

/// Deletes the ACL that each VPC has, with the VPC.
pub(super) fn delete_default(region: &mut Region, vpc: &VpcId) {
    if let Some(id) = default_of(region, vpc) {
        region.network_acls.remove(&id);
        region.tags.forget(&id);
    }
}

/// Forgets a subnet that is gone.
pub(super) fn forget_subnet(region: &mut Region, subnet: &SubnetId) {
    let found = of_subnet(region, subnet).map(|(id, _)| id.clone());
    if let Some(acl) = found.and_then(|id| region.network_acls.get_mut(&id)) {
        acl.associations.retain(|(_, known)| known != subnet);
    }
}

/// The ACL of a subnet.
pub(super) fn of_subnet<'a>(region: &'a Region, subnet: &SubnetId) -> Option<(&'a NetworkAclId, &'a NetworkAcl)> {
    region.network_acls.iter().find(|(_, acl)| acl.subnets().any(|known| known == subnet))
}

/// The rules of a subnet's ACL, as the switch knows them; none where they let all pass.
pub(super) fn rules(region: &Region, subnet: &SubnetId) -> Option<Vec<AclRule>> {
    let (_, acl) = of_subnet(region, subnet)?;
    let has_ipv6 = has_ipv6(region, acl);
    let all = if has_ipv6 { with_ipv6() } else { Entry::all().into() };
    (acl.entries != all).then(|| acl.entries.iter().filter_map(Entry::for_switch).collect())
}

fn has_ipv6(region: &Region, acl: &NetworkAcl) -> bool {
    region.vpcs.get(&acl.vpc).is_some_and(|vpc| vpc.ranges6().next().is_some())
}

const LISTING: Listing = Listing {
    action: "DescribeNetworkAcls",
    ids: "NetworkAclIds",
    id: "NetworkAclId",
    sizes: 5..=1000,
    filters: &[
        ("association.association-id", "Associations.NetworkAclAssociationId"),
        ("association.network-acl-id", "Associations.NetworkAclId"),
        ("association.subnet-id", "Associations.SubnetId"),
        ("default", "IsDefault"),
        ("entry.cidr", "Entries.CidrBlock"),
        ("entry.egress", "Entries.Egress"),
        ("entry.icmp.code", "Entries.IcmpTypeCode.Code"),
        ("entry.icmp.type", "Entries.IcmpTypeCode.Type"),
        ("entry.ipv6-cidr", "Entries.Ipv6CidrBlock"),
        ("entry.port-range.from", "Entries.PortRange.From"),
        ("entry.port-range.to", "Entries.PortRange.To"),
        ("entry.protocol", "Entries.Protocol"),
        ("entry.rule-action", "Entries.RuleAction"),
        ("entry.rule-number", "Entries.RuleNumber"),
        ("network-acl-id", "NetworkAclId"),
        ("owner-id", "OwnerId"),
        ("vpc-id", "VpcId"),
    ],
};

pub(super) fn describe(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let region = &*context.region;
    LISTING
        .answer("NetworkAcls", input, &region.network_acls, &region.tags, |id, acl| Row::from(shown(context, id, acl)))
}

fn shown(context: &Context<'_>, id: &NetworkAclId, acl: &NetworkAcl) -> Structure {
    let associations = acl.associations.iter().map(|(association, subnet)| {
        Structure::new().with("NetworkAclAssociationId", association).with("NetworkAclId", id).with("SubnetId", subnet)
    });
    let has_ipv6 = has_ipv6(context.region, acl);
    let entries = [true, false].into_iter().flat_map(|egress| {
        let own = acl.entries.iter().filter(move |entry| entry.egress == egress).map(Entry::shown);
        own.chain(Entry::last(egress, has_ipv6).map(|entry| entry.shown()))
    });
    Structure::new()
        .with("NetworkAclId", id)
        .with("VpcId", &acl.vpc)
        .with("OwnerId", context.settings.account.as_str())
        .with("IsDefault", acl.is_default)
        .with("Associations", associations.collect::<Vec<_>>())
        .with("Entries", entries.collect::<Vec<_>>())
        .with("Tags", context.region.tags.shown(id))
}

const CREATE: &str = "CreateNetworkAcl";

/// A new one lets nothing through.
/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateNetworkAcl.html>.
pub(super) fn create(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let token = match context.region.tokens.read(CREATE, input)? {
        Ok(token) => token,
        Err(made) => return answer(context, &context.region.network_acls.parse(made)?),
    };
    let vpc = context.region.vpcs.parse(required(input, "VpcId")?)?;
    let tags = TagSpecifications::read(input, &["network-acl"])?.of("network-acl");
    let message = format!("The maximum number of network ACLs for VPC '{vpc}' has been reached.");
    let count = context.region.network_acls.iter().filter(|(_, acl)| acl.vpc == vpc).count();
    quota::one_more(count, context.settings.quotas.subnets_per_vpc, Code::NetworkAclLimitExceeded, message)?;
    let id: NetworkAclId = context.shared.source.id();
    context.region.tokens.remember(CREATE, token.clone(), input, id.as_ref(), 1);
    let acl = NetworkAcl { vpc, is_default: false, entries: Vec::new(), associations: Vec::new(), client_token: token };
    context.region.network_acls.insert(id.clone(), acl);
    context.region.tags.set(&id, tags);
    answer(context, &id)
}

fn answer(context: &Context<'_>, id: &NetworkAclId) -> Result<Structure, ApiError> {
    let acl = context.region.network_acls.require(id)?;
    Ok(Structure::new()
        .with("NetworkAcl", shown(context, id, acl))
        .with_some("ClientToken", acl.client_token.as_deref()))
}

pub(super) fn delete(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let region = &mut *context.region;
    let id = region.network_acls.parse(required(input, "NetworkAclId")?)?;
    let acl = region.network_acls.require(&id)?;
    if acl.is_default {
        return Err(invalid(format!("cannot delete default network ACL {id}")));
    }
    if !acl.associations.is_empty() {
        return Err(has_dependencies("networkAcl", &id));
    }
    if let Some(NetworkAcl { client_token: Some(token), .. }) = region.network_acls.remove(&id) {
        region.tokens.release(CREATE, &token);
    }
    region.tags.forget(&id);
    Ok(Structure::new())
}

/// The subnet of a bond gets another ACL.
/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_ReplaceNetworkAclAssociation.html>.
pub(super) fn replace_association(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let region = &mut *context.region;
    let id = region.network_acls.parse(required(input, "NetworkAclId")?)?;
    let association = NetworkAclAssociationId::parse(required(input, "AssociationId")?)?;
    let bond = |acl: &NetworkAcl| acl.associations.iter().find(|(known, _)| *known == association).cloned();
    let found = region.network_acls.iter().find_map(|(id, acl)| Some((id.clone(), acl.vpc.clone(), bond(acl)?.1)));
    let Some((before, vpc, subnet)) = found else {
        let message = NetworkAclAssociationId::not_found(&[association.as_ref()]);
        return Err(ApiError::new(NetworkAclAssociationId::NOT_FOUND, message));
    };
    if region.network_acls.require(&id)?.vpc != vpc {
        return Err(invalid(format!("network ACL {id} and subnet {subnet} belong to different networks")));
    }
    let new: NetworkAclAssociationId = context.shared.source.id();
    region.network_acls.require_mut(&before)?.associations.retain(|(known, _)| *known != association);
    region.network_acls.require_mut(&id)?.associations.push((new.clone(), subnet));
    context.network_changed(&vpc);
    Ok(Structure::new().with("NewAssociationId", &new))
}
