//! VPCs: the resource, and by files how they come and go, their ranges of addresses, their attributes.

mod actions;
mod attribute;
mod create;
mod range;
mod range6;

pub(super) use actions::ACTIONS;

pub(super) use attribute::{describe_attribute, modify_attribute};
pub(super) use create::{PREFIXES, create, create_default, delete, has_dependencies, make_default, not_a_range};
pub(super) use range::{associate, disassociate};

use super::{
    Context,
    address::Cidr,
    address6::{Cidr6, Range},
    describe::Listing,
    filter::Definition,
    ids::{DhcpOptionsId, VpcCidrAssociationId, VpcId},
    region::Region,
    settings::Settings,
};
use crate::{error::ApiError, wire::Structure};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use time::OffsetDateTime;

/// A VPC.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Vpc {
    pub(super) cidr: Cidr,
    association: VpcCidrAssociationId,
    pub(super) is_default: bool,
    /// Whether public addresses have names.
    #[serde(default = "on")]
    pub(super) dns_hostnames: bool,
    /// Whether there is a name server.
    #[serde(default = "on")]
    pub(super) dns_support: bool,
    #[serde(default)]
    usage_metrics: bool,
    /// When it was made; none: since ever.
    #[serde(default)]
    created: Option<OffsetDateTime>,
    /// Its ranges beside the first one.
    #[serde(default)]
    more: Vec<(VpcCidrAssociationId, Cidr)>,
    /// Its IPv6 ranges.
    #[serde(default)]
    ipv6: Vec<(VpcCidrAssociationId, Cidr6)>,
    /// Its own set of DHCP options: none is the region's, or that there are none.
    #[serde(default)]
    pub(super) dhcp_options: Dhcp,
}

/// Which DHCP options a VPC has.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Dhcp {
    /// The set that each region has.
    #[default]
    Regional,
    /// One of the account's own.
    Own(DhcpOptionsId),
    /// None at all.
    None,
}

/// What a default VPC has, unlike others.
fn on() -> bool {
    true
}

/// How long a VPC is pending, of AWS's.
const PENDING: Duration = Duration::from_secs(1);

impl Vpc {
    /// All of its ranges, the first one first.
    pub(super) fn ranges(&self) -> impl Iterator<Item = Cidr> {
        std::iter::once(self.cidr).chain(self.more.iter().map(|(_, cidr)| *cidr))
    }

    /// Its IPv6 ranges.
    pub(super) fn ranges6(&self) -> impl Iterator<Item = Cidr6> {
        self.ipv6.iter().map(|(_, range)| *range)
    }

    /// Its ranges of both families.
    pub(super) fn all_ranges(&self) -> impl Iterator<Item = Range> {
        self.ranges().map(Range::V4).chain(self.ranges6().map(Range::V6))
    }

    fn is_pending(&self, settings: &Settings, now: OffsetDateTime) -> bool {
        self.created.is_some_and(|created| now < created + settings.paced(PENDING))
    }
}

const LISTING: Listing =
    Listing { action: "DescribeVpcs", ids: "VpcIds", id: "VpcId", sizes: 5..=1000, filters: FILTERS };

const FILTERS: &[Definition] = &[
    ("cidr", "CidrBlock"),
    ("cidr-block", "CidrBlock"),
    ("cidr-block-association.cidr-block", "CidrBlockAssociationSet.CidrBlock"),
    ("cidr-block-association.association-id", "CidrBlockAssociationSet.AssociationId"),
    ("cidr-block-association.state", "CidrBlockAssociationSet.CidrBlockState.State"),
    ("dhcp-options-id", "DhcpOptionsId"),
    ("ipv6-cidr-block-association.ipv6-cidr-block", "Ipv6CidrBlockAssociationSet.Ipv6CidrBlock"),
    ("ipv6-cidr-block-association.ipv6-pool", "Ipv6CidrBlockAssociationSet.Ipv6Pool"),
    ("ipv6-cidr-block-association.association-id", "Ipv6CidrBlockAssociationSet.AssociationId"),
    ("ipv6-cidr-block-association.state", "Ipv6CidrBlockAssociationSet.Ipv6CidrBlockState.State"),
    ("is-default", "IsDefault"),
    ("isDefault", "IsDefault"),
    ("owner-id", "OwnerId"),
    ("state", "State"),
    ("vpc-id", "VpcId"),
];

pub(super) fn describe(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let region = &*context.region;
    LISTING.answer("Vpcs", input, &region.vpcs, &region.tags, |id, vpc| shown(context, id, vpc))
}

fn shown(context: &Context<'_>, id: &VpcId, vpc: &Vpc) -> Structure {
    let region = &*context.region;
    let first = (&vpc.association, vpc.cidr);
    let ranges = std::iter::once(first).chain(vpc.more.iter().map(|(association, cidr)| (association, *cidr)));
    let ranges: Vec<Structure> =
        ranges.map(|(association, cidr)| range::shown(association, cidr, "associated")).collect();
    let ranges6 =
        vpc.ipv6.iter().map(|(association, range)| range6::shown(region, association, Some(*range), "associated"));
    let ranges6: Vec<Structure> = ranges6.collect();
    let shown = if ranges6.is_empty() {
        Structure::new()
    } else {
        Structure::new().with("Ipv6CidrBlockAssociationSet", ranges6)
    };
    shown
        .with("VpcId", id)
        .with("OwnerId", context.settings.account.as_str())
        .with("State", if vpc.is_pending(context.settings, context.now) { "pending" } else { "available" })
        .with("CidrBlock", vpc.cidr.to_string())
        .with("CidrBlockAssociationSet", ranges)
        .with("DhcpOptionsId", dhcp_options(region, vpc))
        .with("InstanceTenancy", "default")
        .with("IsDefault", vpc.is_default)
        .with("Tags", region.tags.shown(id))
}

/// The id of a VPC's DHCP options; `default` stands for none.
/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_AssociateDhcpOptions.html>.
fn dhcp_options<'a>(region: &'a Region, vpc: &'a Vpc) -> &'a str {
    match &vpc.dhcp_options {
        Dhcp::Regional => region.dhcp_options.as_ref(),
        Dhcp::Own(id) => id.as_ref(),
        Dhcp::None => "default",
    }
}
