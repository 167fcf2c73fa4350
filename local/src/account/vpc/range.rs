//! The IPv4 ranges that a VPC has beside its first one.

use super::{
    Vpc,
    create::{PREFIXES, not_a_range},
    range6,
};
use crate::{
    account::{
        Context,
        address::Cidr,
        address6::Range,
        ids::{Id, VpcCidrAssociationId, VpcId},
        quota,
        request::{combination, required},
    },
    error::{ApiError, Code},
    wire::Structure,
};
use std::net::Ipv4Addr;

pub(super) fn shown(association: &VpcCidrAssociationId, cidr: Cidr, state: &'static str) -> Structure {
    Structure::new()
        .with("AssociationId", association)
        .with("CidrBlock", cidr.to_string())
        .with("CidrBlockState", Structure::new().with("State", state))
}

fn answer(vpc: &VpcId, range: Structure) -> Structure {
    Structure::new().with("VpcId", vpc).with("CidrBlockAssociation", range)
}

/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_AssociateVpcCidrBlock.html>.
pub(in crate::account) fn associate(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let id = context.region.vpcs.parse(required(input, "VpcId")?)?;
    if range6::is_wanted(context, input)? {
        return match input.string("CidrBlock") {
            Some(_) => {
                Err(combination("The parameters cidrBlock and amazonProvidedIpv6CidrBlock cannot be used together"))
            }
            None => range6::associate(context, &id),
        };
    }
    let text = required(input, "CidrBlock")?;
    let cidr = Cidr::parse(text).ok_or_else(|| not_a_range("cidrBlock", text))?;
    let vpc = context.region.vpcs.require(&id)?;
    if !PREFIXES.contains(&cidr.prefix)
        || is_restricted(vpc.cidr, cidr)
        || vpc.ranges().any(|range| range.overlaps(cidr))
        || conflicts_with_route(context, &id, cidr)
    {
        return Err(ApiError::new(Code::InvalidVpcRange, format!("The CIDR '{text}' is invalid.")));
    }
    let message = format!(
        "This network '{id}' has met its maximum number of allowed CIDRs: {}",
        context.settings.quotas.ranges_per_vpc
    );
    let quota = context.settings.quotas.ranges_per_vpc;
    quota::one_more(vpc.ranges().count(), quota, Code::CidrLimitExceeded, message)?;
    let association: VpcCidrAssociationId = context.shared.source.id();
    context.region.vpcs.require_mut(&id)?.more.push((association.clone(), cidr));
    context.network_changed(&id);
    Ok(answer(&id, shown(&association, cidr, "associating")))
}

/// A range may not be the same as, or larger than, what a route leads elsewhere.
/// Source: <https://docs.aws.amazon.com/vpc/latest/userguide/vpc-cidr-blocks.html>.
fn conflicts_with_route(context: &Context<'_>, vpc: &VpcId, cidr: Cidr) -> bool {
    let tables = context.region.route_tables.iter().filter(|(_, table)| table.vpc == *vpc);
    tables.flat_map(|(_, table)| table.destinations()).any(|destination| Range::V4(cidr).covers(destination))
}

/// Private networks (RFC 1918): a VPC has ranges of one of them at most.
const PRIVATE: [([u8; 4], u8); 3] = [([10, 0, 0, 0], 8), ([172, 16, 0, 0], 12), ([192, 168, 0, 0], 16)];
/// What no VPC has: nobody's networks, loopback, link-local, multicast and beyond.
const NEVER: [([u8; 4], u8); 4] = [([0, 0, 0, 0], 8), ([127, 0, 0, 0], 8), ([169, 254, 0, 0], 16), ([224, 0, 0, 0], 3)];
/// What AWS has for itself: no VPC has it beside its first range.
const OWN: ([u8; 4], u8) = ([198, 19, 0, 0], 16);
/// What a VPC of 172.16.0.0/12 doesn't have beside its first range either.
const CLOUD9: ([u8; 4], u8) = ([172, 31, 0, 0], 16);

fn range((address, prefix): ([u8; 4], u8)) -> Cidr {
    Cidr::new(Ipv4Addr::from(address), prefix)
}

/// Whether a range has addresses that no machine can have.
pub(super) fn is_nobodys(cidr: Cidr) -> bool {
    NEVER.iter().any(|never| range(*never).overlaps(cidr))
}

/// Whether a VPC can't have a range beside its first one.
/// Source: <https://docs.aws.amazon.com/vpc/latest/userguide/vpc-cidr-blocks.html#add-cidr-block-restrictions>.
fn is_restricted(first: Cidr, other: Cidr) -> bool {
    is_nobodys(other)
        || range(OWN).overlaps(other)
        || PRIVATE.iter().any(|private| range(*private).overlaps(other) && !range(*private).covers(first))
        || range(PRIVATE[1]).covers(first) && range(CLOUD9).overlaps(other)
}

/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DisassociateVpcCidrBlock.html>.
pub(in crate::account) fn disassociate(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let association = VpcCidrAssociationId::parse(required(input, "AssociationId")?)?;
    let region = &mut *context.region;
    if region.vpcs.iter().any(|(_, vpc)| vpc.association == association) {
        let message = format!(
            "The vpc CIDR block with association ID {association} may not be disassociated. It is the primary IPv4 CIDR \
             block of the VPC"
        );
        return Err(ApiError::new(Code::OperationNotPermitted, message));
    }
    let found = |vpc: &Vpc| vpc.more.iter().find(|(known, _)| *known == association).map(|(_, cidr)| *cidr);
    let found = region.vpcs.iter().find_map(|(id, vpc)| Some((id.clone(), found(vpc)?)));
    let Some((id, cidr)) = found else { return range6::disassociate(context, &association) };
    if region.subnets.iter().any(|(_, subnet)| subnet.vpc == id && cidr.covers(subnet.cidr)) {
        let message =
            format!("The vpc CIDR block with association ID {association} cannot be disassociated: a subnet uses it.");
        return Err(ApiError::new(Code::DependencyViolation, message));
    }
    region.vpcs.require_mut(&id)?.more.retain(|(known, _)| *known != association);
    context.network_changed(&id);
    Ok(answer(&id, shown(&association, cidr, "disassociating")))
}
