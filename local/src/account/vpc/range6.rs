//! The IPv6 ranges of a VPC, which Amazon provides.

use super::Vpc;
use crate::{
    account::{
        Context,
        address6::Cidr6,
        ids::{Id, VpcCidrAssociationId, VpcId},
        network_acl, quota,
        region::Region,
        request::invalid,
        security_group,
    },
    error::{ApiError, Code},
    wire::Structure,
};

/// How many a VPC may have.
/// Source: <https://docs.aws.amazon.com/vpc/latest/userguide/amazon-vpc-limits.html>.
const MOST: u64 = 5;

/// As DescribeVpcs shows it; while it is being associated, its range isn't told yet.
/// Source: <https://docs.aws.amazon.com/cli/latest/reference/ec2/create-vpc.html>.
pub(super) fn shown(
    region: &Region,
    association: &VpcCidrAssociationId,
    range: Option<Cidr6>,
    state: &'static str,
) -> Structure {
    Structure::new()
        .with("AssociationId", association)
        .with("Ipv6CidrBlock", range.map(|range| range.to_string()).unwrap_or_default())
        .with("Ipv6CidrBlockState", Structure::new().with("State", state))
        .with("NetworkBorderGroup", region.place.name)
        .with("Ipv6Pool", "Amazon")
        .with("Ipv6AddressAttribute", "public")
        .with("IpSource", "amazon")
}

/// Checks what a request says of a range beside that it wants one: the border group is the region's.
pub(super) fn is_wanted(context: &Context<'_>, input: &Structure) -> Result<bool, ApiError> {
    let wanted = input.boolean("AmazonProvidedIpv6CidrBlock") == Some(true);
    match input.string("Ipv6CidrBlockNetworkBorderGroup") {
        Some(_) if !wanted => Err(crate::account::request::combination(
            "The parameter ipv6CidrBlockNetworkBorderGroup can only be used with amazonProvidedIpv6CidrBlock",
        )),
        Some(group) if group != context.region.place.name => {
            Err(invalid(format!("Value ({group}) for parameter ipv6CidrBlockNetworkBorderGroup is invalid.")))
        }
        _ => Ok(wanted),
    }
}

/// Gives a VPC a range, and with its first one what lets IPv6 pass wherever nobody has changed what lets IPv4 pass.
/// Source: <https://docs.aws.amazon.com/vpc/latest/userguide/vpc-migrate-ipv6-add.html>.
pub(super) fn provide(context: &mut Context<'_>, id: &VpcId) -> Result<VpcCidrAssociationId, ApiError> {
    let is_first = context.region.vpcs.require(id)?.ipv6.is_empty();
    let (region, others) = (&*context.region, context.others);
    let regions = || others.into_iter().flat_map(|others| others.values()).chain([region]);
    let is_taken = |range: Cidr6| {
        regions().any(|region| region.vpcs.iter().any(|(_, vpc)| vpc.ranges6().any(|known| known == range)))
    };
    let range = Cidr6::draw(&mut context.shared.source, is_taken)
        .ok_or_else(|| ApiError::new(Code::InternalError, "all IPv6 ranges are in use"))?;
    let association: VpcCidrAssociationId = context.shared.source.id();
    context.region.vpcs.require_mut(id)?.ipv6.push((association.clone(), range));
    if is_first {
        network_acl::let_ipv6_pass(context.region, id);
        for group in security_group::let_ipv6_out(context.region, &mut context.shared.source, id) {
            context.group_changed(&group);
        }
    }
    context.network_changed(id);
    Ok(association)
}

/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_AssociateVpcCidrBlock.html>.
pub(super) fn associate(context: &mut Context<'_>, id: &VpcId) -> Result<Structure, ApiError> {
    let message = format!("This network '{id}' has met its maximum number of allowed IPv6 CIDRs: {MOST}");
    quota::one_more(context.region.vpcs.require(id)?.ipv6.len(), MOST, Code::CidrLimitExceeded, message)?;
    let association = provide(context, id)?;
    let shown = shown(context.region, &association, None, "associating");
    Ok(Structure::new().with("VpcId", id).with("Ipv6CidrBlockAssociation", shown))
}

/// Takes a range away, if the association is one; its subnets must be gone, or have others.
pub(super) fn disassociate(
    context: &mut Context<'_>,
    association: &VpcCidrAssociationId,
) -> Result<Structure, ApiError> {
    let region = &mut *context.region;
    let found = |vpc: &Vpc| vpc.ipv6.iter().find(|(known, _)| known == association).map(|(_, range)| *range);
    let found = region.vpcs.iter().find_map(|(id, vpc)| Some((id.clone(), found(vpc)?)));
    let Some((id, range)) = found else {
        let message = VpcCidrAssociationId::not_found(&[association.as_ref()]);
        return Err(ApiError::new(VpcCidrAssociationId::NOT_FOUND, message));
    };
    let is_used = |range6: Option<Cidr6>| range6.is_some_and(|used| range.covers(used));
    if region.subnets.iter().any(|(_, subnet)| subnet.vpc == id && is_used(subnet.range6())) {
        let message = format!("The vpc {id} currently has a subnet within CIDR block {range}");
        return Err(ApiError::new(Code::InvalidCidrBlockInUse, message));
    }
    region.vpcs.require_mut(&id)?.ipv6.retain(|(known, _)| known != association);
    let shown = shown(region, association, Some(range), "disassociating");
    context.network_changed(&id);
    Ok(Structure::new().with("VpcId", &id).with("Ipv6CidrBlockAssociation", shown))
}
