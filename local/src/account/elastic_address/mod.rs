//! Elastic addresses: the resource, and by files what it is bound to, and what is told of it.
//!
//! What else holds an address for a while, such as a gateway, does so through an interface of its own, by [`associate::bind`] and
//! [`disassociate_from`].

mod actions;
mod associate;
mod attribute;
mod describe;

pub(super) use actions::ACTIONS;

pub(super) use associate::{associate, bind, disassociate, disassociate_from, follow_private_address, leave_interface};
pub(super) use attribute::{describe as describe_attribute, modify as modify_attribute, reset as reset_attribute};
pub(super) use describe::describe;

use super::{
    Context,
    address::draw_public,
    ids::{AllocationId, AssociationId, NetworkInterfaceId},
    quota,
    region::Region,
    request::{combination, invalid, missing, unsupported},
    tags::TagSpecifications,
};
use crate::{
    error::{ApiError, Code},
    wire::Structure,
};
use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;

/// An elastic address.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct ElasticAddress {
    pub(super) public: Ipv4Addr,
    pub(super) association: Option<Association>,
    /// The name that it has in reverse.
    pub(super) reverse_name: Option<String>,
}

/// The bond between an elastic address and a private one.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Association {
    pub(super) id: AssociationId,
    pub(super) interface: NetworkInterfaceId,
    pub(super) private: Ipv4Addr,
}

/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_AllocateAddress.html>.
pub(super) fn allocate(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    if input.string("Domain").is_some_and(|domain| domain != "vpc") {
        return Err(unsupported("An address of the domain 'standard', that of EC2-Classic,"));
    }
    check_border_group(context.region, input, Code::InvalidParameterValue)?;
    if input.string("PublicIpv4Pool").is_some_and(|pool| pool != POOL) {
        return Err(unsupported("A pool of public addresses other than 'amazon'"));
    }
    let tags = TagSpecifications::read(input, &["elastic-ip"])?.of("elastic-ip");
    let (count, quota) = (context.region.elastic_addresses.len(), context.settings.quotas.elastic_addresses);
    let message = "The maximum number of addresses has been reached.";
    quota::one_more(count, quota, Code::AddressLimitExceeded, message)?;
    let public = draw_public(&mut context.shared.source, &context.shared.public_addresses);
    let public = public.ok_or_else(|| ApiError::new(Code::AddressLimitExceeded, message))?;
    context.shared.public_addresses.insert(public, (context.region.place.name, None));
    let id: AllocationId = context.shared.source.id();
    let address = ElasticAddress { public, association: None, reverse_name: None };
    context.region.elastic_addresses.insert(id.clone(), address);
    context.region.tags.set(&id, tags);
    Ok(Structure::new()
        .with("AllocationId", &id)
        .with("PublicIp", public.to_string())
        .with("PublicIpv4Pool", POOL)
        .with("NetworkBorderGroup", context.region.place.name)
        .with("Domain", "vpc"))
}

/// The pool that all addresses are of.
const POOL: &str = "amazon";

fn check_border_group(region: &Region, input: &Structure, code: Code) -> Result<(), ApiError> {
    match input.string("NetworkBorderGroup").filter(|group| *group != region.place.name) {
        None => Ok(()),
        Some(group) => {
            let message = format!("Value ({group}) for parameter networkBorderGroup is invalid.");
            Err(ApiError::new(code, message))
        }
    }
}

/// The address that a request names by AllocationId or PublicIp.
fn named(region: &Region, input: &Structure) -> Result<AllocationId, ApiError> {
    match (input.string("AllocationId"), input.string("PublicIp")) {
        (Some(_), Some(_)) => {
            Err(combination("You may specify public IP or allocation id, but not both in the same call"))
        }
        (Some(id), None) => region.elastic_addresses.parse(id),
        (None, Some(text)) => by_address(region, text),
        (None, None) => Err(missing("AllocationId")),
    }
}

/// The address of this text.
fn by_address(region: &Region, text: &str) -> Result<AllocationId, ApiError> {
    let address: Ipv4Addr = text
        .parse()
        .map_err(|_| invalid(format!("Value ({text}) for parameter publicIp is invalid. Invalid IPv4 address.")))?;
    let mut known = region.elastic_addresses.iter().filter(|(id, _)| region.elastic_addresses.sees(id));
    let found = known.find(|(_, known)| known.public == address).map(|(id, _)| id.clone());
    found.ok_or_else(|| ApiError::new(Code::InvalidAddressNotFound, format!("Address '{text}' not found.")))
}

/// EC2 refuses to release one that is in use, whatever its reference says of default VPCs.
/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_ReleaseAddress.html>.
pub(super) fn release(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let id = named(context.region, input)?;
    check_border_group(context.region, input, Code::InvalidAddressNotFound)?;
    let address = context.region.elastic_addresses.require(&id)?;
    if address.association.is_some() {
        return Err(ApiError::new(Code::InvalidIpAddressInUse, format!("Address {} is in use.", address.public)));
    }
    context.shared.public_addresses.remove(&address.public);
    context.region.elastic_addresses.remove(&id);
    context.region.tags.forget(&id);
    Ok(Structure::new())
}
