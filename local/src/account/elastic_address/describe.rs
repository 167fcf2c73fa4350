//! DescribeAddresses.

use super::{ElasticAddress, POOL, by_address};
use crate::{
    account::{Context, describe::Listing, ids::AllocationId, region::Region},
    error::ApiError,
    wire::Structure,
};

const LISTING: Listing = Listing {
    action: "DescribeAddresses",
    ids: "AllocationIds",
    id: "AllocationId",
    sizes: 5..=1000,
    filters: &[
        ("allocation-id", "AllocationId"),
        ("association-id", "AssociationId"),
        ("instance-id", "InstanceId"),
        ("network-border-group", "NetworkBorderGroup"),
        ("network-interface-id", "NetworkInterfaceId"),
        ("network-interface-owner-id", "NetworkInterfaceOwnerId"),
        ("private-ip-address", "PrivateIpAddress"),
        ("public-ip", "PublicIp"),
    ],
};

pub(in crate::account) fn describe(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let region = &*context.region;
    let account = context.settings.account.as_str();
    let mut wanted = Vec::new();
    for text in input.strings("PublicIps") {
        wanted.extend(region.elastic_addresses.get(&by_address(region, text)?).map(|address| address.public));
    }
    let is_wanted = |address: &ElasticAddress| wanted.is_empty() || wanted.contains(&address.public);
    let shown = |id: &AllocationId, address: &ElasticAddress| shown(id, address, region, account);
    LISTING.answer_where("Addresses", input, &region.elastic_addresses, &region.tags, is_wanted, shown)
}

fn shown(id: &AllocationId, address: &ElasticAddress, region: &Region, account: &str) -> Structure {
    let bound = address.association.as_ref();
    let interface = bound.and_then(|bound| region.network_interfaces.get(&bound.interface));
    Structure::new()
        .with("AllocationId", id)
        .with("PublicIp", address.public.to_string())
        .with("Domain", "vpc")
        .with("PublicIpv4Pool", POOL)
        .with("NetworkBorderGroup", region.place.name)
        .with_some("AssociationId", bound.map(|bound| &bound.id))
        .with_some("InstanceId", interface.and_then(|interface| interface.instance()))
        .with_some("NetworkInterfaceId", bound.map(|bound| &bound.interface))
        .with_some("NetworkInterfaceOwnerId", bound.map(|_| account))
        .with_some("PrivateIpAddress", bound.map(|bound| bound.private.to_string()))
        .with("Tags", region.tags.shown(id))
}
