//! The IPv6 range of a subnet, and who holds which of its addresses.

use super::Subnet;
use crate::{
    account::{
        Context,
        address6::Cidr6,
        ids::{Id, NetworkInterfaceId, Source, SubnetCidrAssociationId, SubnetId, VpcId},
        region::Region,
        request::{invalid, required},
        vpc::not_a_range,
    },
    error::{ApiError, Code},
    wire::Structure,
};
use std::net::Ipv6Addr;

/// The first four addresses and the last one are EC2's own.
/// Source: <https://docs.aws.amazon.com/vpc/latest/userguide/subnet-sizing.html>.
const RESERVED: u128 = 4;

pub(super) fn shown(association: &SubnetCidrAssociationId, range: Cidr6, state: &'static str) -> Structure {
    Structure::new()
        .with("AssociationId", association)
        .with("Ipv6CidrBlock", range.to_string())
        .with("Ipv6CidrBlockState", Structure::new().with("State", state))
        .with("Ipv6AddressAttribute", "public")
        .with("IpSource", "amazon")
}

/// Reads a range that a subnet of a VPC is to have: from /44 to /64 in steps of four, within one of the VPC's, and no other subnet's.
/// Source: <https://docs.aws.amazon.com/vpc/latest/userguide/subnet-sizing.html>.
pub(super) fn read(region: &Region, vpc: &VpcId, text: &str) -> Result<Cidr6, ApiError> {
    let range = Cidr6::parse(text).ok_or_else(|| not_a_range("ipv6CidrBlock", text))?;
    let is_of_vpc = region.vpcs.require(vpc)?.ranges6().any(|known| known.covers(range));
    if !(44..=64).contains(&range.prefix) || !range.prefix.is_multiple_of(4) || !is_of_vpc {
        return Err(ApiError::new(Code::InvalidSubnetRange, format!("The CIDR '{text}' is invalid.")));
    }
    let overlaps = |subnet: &Subnet| subnet.range6().is_some_and(|known| known.overlaps(range));
    if region.subnets.iter().any(|(_, subnet)| overlaps(subnet)) {
        let message = format!("The CIDR '{text}' conflicts with another subnet");
        return Err(ApiError::new(Code::InvalidSubnetConflict, message));
    }
    Ok(range)
}

/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_AssociateSubnetCidrBlock.html>.
pub(in crate::account) fn associate(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let id = context.region.subnets.parse(required(input, "SubnetId")?)?;
    let text = required(input, "Ipv6CidrBlock")?;
    let subnet = context.region.subnets.require(&id)?;
    let vpc = subnet.vpc.clone();
    if let Some(known) = subnet.range6() {
        let message = format!("The subnet '{id}' already has an IPv6 CIDR block associated with it: {known}");
        return Err(ApiError::new(Code::CidrLimitExceeded, message));
    }
    let range = read(context.region, &vpc, text)?;
    let association: SubnetCidrAssociationId = context.shared.source.id();
    context.region.subnets.require_mut(&id)?.ipv6 = Some((association.clone(), range));
    context.network_changed(&vpc);
    let shown = shown(&association, range, "associating");
    Ok(Structure::new().with("SubnetId", &id).with("Ipv6CidrBlockAssociation", shown))
}

/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DisassociateSubnetCidrBlock.html>.
pub(in crate::account) fn disassociate(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let association = SubnetCidrAssociationId::parse(required(input, "AssociationId")?)?;
    let region = &mut *context.region;
    let is_it =
        |subnet: &Subnet| subnet.ipv6.as_ref().filter(|(known, _)| *known == association).map(|(_, range)| *range);
    let found = region.subnets.iter().find_map(|(id, subnet)| Some((id.clone(), subnet, is_it(subnet)?)));
    let Some((id, subnet, range)) = found else {
        let message = SubnetCidrAssociationId::not_found(&[association.as_ref()]);
        return Err(ApiError::new(SubnetCidrAssociationId::NOT_FOUND, message));
    };
    let why = if subnet.assign_ipv6 {
        Some("because its subnet has assign-ipv6-address-on-creation set to true")
    } else {
        (!subnet.holders6.is_empty()).then_some("because network interfaces have addresses of it")
    };
    if let Some(why) = why {
        let message =
            format!("The subnet IPv6 CIDR block with association ID {association} may not be disassociated, {why}.");
        return Err(ApiError::new(Code::InvalidCidrBlockInUse, message));
    }
    let vpc = subnet.vpc.clone();
    region.subnets.require_mut(&id)?.ipv6 = None;
    context.network_changed(&vpc);
    let shown = shown(&association, range, "disassociating");
    Ok(Structure::new().with("SubnetId", &id).with("Ipv6CidrBlockAssociation", shown))
}

impl Subnet {
    /// Its IPv6 range, if it has one.
    pub(in crate::account) fn range6(&self) -> Option<Cidr6> {
        self.ipv6.as_ref().map(|(_, range)| *range)
    }

    /// Whether an IPv6 address can be given away.
    pub(in crate::account) fn check6(&self, address: Ipv6Addr) -> Result<Ipv6Addr, ApiError> {
        let Some(range) = self.range6().filter(|range| range.contains(address)) else {
            return Err(invalid(format!("Address {address} does not fall within the subnet's address range")));
        };
        if is_reserved(range, address) {
            return Err(invalid(format!("Address {address} is in subnet's reserved address range")));
        }
        if self.holders6.contains_key(&address) {
            return Err(ApiError::new(Code::InvalidIpAddressInUse, format!("Address {address} is in use.")));
        }
        Ok(address)
    }

    /// Gives an interface an IPv6 address, drawn at random.
    pub(in crate::account) fn take6(
        &mut self,
        id: &SubnetId,
        holder: &NetworkInterfaceId,
        source: &mut Source,
    ) -> Result<Ipv6Addr, ApiError> {
        let range = self.range6().ok_or_else(|| has_none(id))?;
        let drawn = (0..10_000).find_map(|_| {
            let address = range.nth(u128::from(source.number()));
            (!is_reserved(range, address) && !self.holders6.contains_key(&address)).then_some(address)
        });
        let address = drawn.ok_or_else(|| crate::account::instance::full(id))?;
        self.holders6.insert(address, holder.clone());
        Ok(address)
    }
}

/// A subnet without IPv6 addresses.
pub(in crate::account) fn has_none(id: &SubnetId) -> ApiError {
    invalid(format!("The subnet '{id}' does not have an IPv6 CIDR block associated with it."))
}

fn is_reserved(range: Cidr6, address: Ipv6Addr) -> bool {
    let number = address.to_bits() - range.address.to_bits();
    number < RESERVED || address == range.nth(u128::MAX)
}
