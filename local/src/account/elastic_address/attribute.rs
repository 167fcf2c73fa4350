//! The name that an elastic address has in reverse: DescribeAddressesAttribute, ModifyAddressAttribute, ResetAddressAttribute.
//!
//! It is kept and told; no name server here answers with it.

use super::ElasticAddress;
use crate::{
    account::{
        Context,
        describe::Listing,
        ids::AllocationId,
        request::{invalid, one_of, required},
    },
    error::ApiError,
    wire::Structure,
};

const LISTING: Listing = Listing {
    action: "DescribeAddressesAttribute",
    ids: "AllocationIds",
    id: "AllocationId",
    sizes: 1..=1000,
    filters: &[],
};

/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeAddressesAttribute.html>.
pub(in crate::account) fn describe(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let region = &*context.region;
    let wants_name = one_of(input, "Attribute", &["domain-name"])?.is_some();
    LISTING.answer("Addresses", input, &region.elastic_addresses, &region.tags, |id, address| {
        shown(id, address).with_some("PtrRecord", address.reverse_name.as_deref().filter(|_| wants_name))
    })
}

fn shown(id: &AllocationId, address: &ElasticAddress) -> Structure {
    Structure::new().with("PublicIp", address.public.to_string()).with("AllocationId", id)
}

/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_ModifyAddressAttribute.html>.
pub(in crate::account) fn modify(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let id = context.region.elastic_addresses.parse(required(input, "AllocationId")?)?;
    let name = required(input, "DomainName")?.trim_end_matches('.');
    let is_label = |label: &str| {
        (1..=63).contains(&label.len()) && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
    };
    if name.len() > 253 || !name.contains('.') || !name.split('.').all(is_label) {
        return Err(invalid(format!("Value ({name}) for parameter domainName is invalid. It is no domain name.")));
    }
    let address = context.region.elastic_addresses.require_mut(&id)?;
    let name = format!("{name}.");
    address.reverse_name = Some(name.clone());
    Ok(pending(&id, address, &name))
}

/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_ResetAddressAttribute.html>.
pub(in crate::account) fn reset(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let id = context.region.elastic_addresses.parse(required(input, "AllocationId")?)?;
    required(input, "Attribute")?;
    let address = context.region.elastic_addresses.require_mut(&id)?;
    address.reverse_name = None;
    Ok(pending(&id, address, ""))
}

/// The answer says what is on its way.
fn pending(id: &AllocationId, address: &ElasticAddress, name: &str) -> Structure {
    let update = Structure::new().with("Value", name).with("Status", "PENDING");
    Structure::new().with("Address", shown(id, address).with("PtrRecordUpdate", update))
}
