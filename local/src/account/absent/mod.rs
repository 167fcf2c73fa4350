//! What every account may ask for, and none has here: endpoints, VPNs, transit gateways, reservations, tasks; and what EC2 itself has
//! no more. `kinds` are those that are described as none.

mod actions;
mod kinds;
mod state;

pub(super) use actions::ACTIONS;

pub(super) use kinds::*;
pub(super) use state::{
    address_transfers, aggregate_id_format, allowed_images, block_public_access, byoip_cidrs, classic_link_instances,
    conversion_tasks, event_notification_attributes, id_format, identity_id_format, image_block_public_access,
    images_in_recycle_bin, instance_topology, locked_snapshots, moving_addresses, security_group_references,
    snapshot_block_public_access, snapshots_in_recycle_bin, stale_security_groups, subnet_cidr_reservations,
    volumes_in_recycle_bin,
};

use super::{
    Context,
    describe::Listing,
    filter::{Definition, Filters},
    pagination::Page,
    request::{invalid, required},
};
use crate::{
    error::{ApiError, Code},
    wire::Structure,
};
use std::ops::RangeInclusive;

/// A kind of which there is none.
struct Kind {
    action: &'static str,
    /// The list in the answer.
    member: &'static str,
    /// The parameter that names some, if there is one, and the code of one that doesn't exist.
    ids: Option<(&'static str, Code)>,
    filters: &'static [&'static str],
    has_tags: bool,
    /// What MaxResults may be, where there are pages.
    sizes: Option<RangeInclusive<i64>>,
}

impl Kind {
    /// Describes none: what is asked must still make sense, and who is named doesn't exist.
    fn answer(&self, input: &Structure) -> Result<Structure, ApiError> {
        check_filters(input, self.filters, self.has_tags)?;
        if let Some(sizes) = &self.sizes {
            Page::read(input, self.action, sizes)?;
        }
        if let Some((parameter, code)) = self.ids
            && let Some(id) = input.strings(parameter).next()
        {
            return Err(ApiError::new(code, format!("The ID '{id}' does not exist")));
        }
        Ok(Structure::new().with(self.member, Vec::<Structure>::new()))
    }
}

/// Some actions have them in the singular.
fn check_filters(input: &Structure, names: &[&'static str], has_tags: bool) -> Result<(), ApiError> {
    let known: Vec<Definition> = names.iter().map(|name| (*name, "")).collect();
    Filters::read(input, &known, has_tags)?;
    match input.get("Filter") {
        Some(filters) => Filters::read(&Structure::new().with("Filters", filters.clone()), &known, has_tags).map(drop),
        None => Ok(()),
    }
}

/// Fleets aren't served: there is none to be named.
pub(super) fn fleets(_: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    const KIND: Kind = Kind {
        action: "DescribeFleets",
        member: "Fleets",
        ids: Some(("FleetIds", Code::InvalidFleetIdNotFound)),
        filters: &[
            "activity-status",
            "excess-capacity-termination-policy",
            "fleet-state",
            "replace-unhealthy-instances",
            "type",
        ],
        has_tags: true,
        sizes: Some(1..=1000),
    };
    KIND.answer(input)
}

pub(super) fn spot_fleet_requests(_: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    const KIND: Kind = Kind {
        action: "DescribeSpotFleetRequests",
        member: "SpotFleetRequestConfigs",
        ids: None,
        filters: &[],
        has_tags: false,
        sizes: Some(1..=1000),
    };
    let answer = KIND.answer(input)?;
    let Some(id) = input.strings("SpotFleetRequestIds").next() else { return Ok(answer) };
    let digits = id.strip_prefix("sfr-").filter(|digits| uuid::Uuid::try_parse(digits).is_ok());
    Err(match digits {
        Some(_) => ApiError::new(
            Code::InvalidSpotFleetRequestIdNotFound,
            format!("The spot fleet request ID '{id}' does not exist"),
        ),
        None => ApiError::new(
            Code::InvalidSpotFleetRequestIdMalformed,
            format!("Invalid id: \"{id}\" (expecting \"sfr-...\")"),
        ),
    })
}

/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-data-feeds.html>.
pub(super) fn spot_data_feed(_: &mut Context<'_>, _: &Structure) -> Result<Structure, ApiError> {
    Err(ApiError::new(Code::InvalidSpotDatafeedNotFound, "Spot datafeed subscription does not exist."))
}

/// There is no list of which there could be any.
/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_GetManagedPrefixListEntries.html>.
pub(super) fn prefix_list_entries(_: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    Page::read(input, "GetManagedPrefixListEntries", &(1..=100))?;
    let id = required(input, "PrefixListId")?;
    Err(ApiError::new(Code::InvalidPrefixListIdNotFound, format!("The prefix list ID '{id}' does not exist")))
}

/// Ranges that are the account's own, which it would have brought along.
pub(super) fn ipv6_pools(_: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    pools("DescribeIpv6Pools", "Ipv6Pools", true, input)
}

pub(super) fn ipv6_pool_ranges(_: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let pool = required(input, "PoolId")?;
    let digits = pool.strip_prefix("ipv6pool-ec2-").filter(|digits| digits.len() == 17);
    if !digits.is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit())) {
        return Err(invalid(format!("Value ({pool}) for parameter poolId is invalid. Expected: 'ipv6pool-ec2-...'.")));
    }
    pools("GetAssociatedIpv6PoolCidrs", "Ipv6CidrAssociations", true, input)
}

fn pools(action: &'static str, member: &'static str, has_tags: bool, input: &Structure) -> Result<Structure, ApiError> {
    Kind { action, member, ids: None, filters: &[], has_tags, sizes: Some(1..=1000) }.answer(input)
}

const CLASSIC: Listing = Listing {
    action: "DescribeVpcClassicLink",
    ids: "VpcIds",
    id: "VpcId",
    sizes: 5..=1000,
    filters: &[("is-classic-link-enabled", "ClassicLinkEnabled")],
};

/// No VPC is linked to EC2-Classic any more.
/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeVpcClassicLink.html>.
pub(super) fn classic_links(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let region = &*context.region;
    CLASSIC.answer("Vpcs", input, &region.vpcs, &region.tags, |id, _| {
        Structure::new().with("VpcId", id).with("ClassicLinkEnabled", false).with("Tags", region.tags.shown(id))
    })
}

const CLASSIC_DNS: Listing =
    Listing { action: "DescribeVpcClassicLinkDnsSupport", ids: "VpcIds", id: "VpcId", sizes: 5..=255, filters: &[] };

/// Nor has any names for it.
pub(super) fn classic_link_names(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    CLASSIC_DNS.answer_where(
        "Vpcs",
        input,
        &context.region.vpcs,
        None,
        |_| true,
        |id, _| Structure::new().with("VpcId", id).with("ClassicLinkDnsSupported", false),
    )
}
