//! Regions and availability zones.

use super::{
    Context,
    action::{Action, action},
    filter::{Definition, Filters},
    request::invalid,
    stored::by_name,
};
use crate::{error::ApiError, wire::Structure};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub(super) const ACTIONS: &[Action] = &[
    action(
        "DescribeAvailabilityZones",
        describe_availability_zones,
        &["AllAvailabilityZones", "Filters", "ZoneIds", "ZoneNames"],
    ),
    action("DescribeRegions", describe_regions, &["AllRegions", "Filters", "RegionNames"]),
];

/// A region of EC2.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) name: &'static str,
    /// How ids of its zones begin, for example `use1`.
    pub(super) short: &'static str,
    /// The geography that EC2 tells of it.
    pub(super) geography: &'static str,
}

/// The regions that are served, by name. Source: <https://docs.aws.amazon.com/global-infrastructure/latest/regions/aws-regions.html>.
pub(super) const REGIONS: &[Place] = &[
    place("ap-northeast-1", "apne1", "Japan"),
    place("ap-northeast-2", "apne2", "South Korea"),
    place("ap-south-1", "aps1", "India"),
    place("ap-southeast-1", "apse1", "Singapore"),
    place("ap-southeast-2", "apse2", "Australia"),
    place("ca-central-1", "cac1", "Canada"),
    place("eu-central-1", "euc1", "Germany"),
    place("eu-north-1", "eun1", "Sweden"),
    place("eu-west-1", "euw1", "Ireland"),
    place("eu-west-2", "euw2", "United Kingdom"),
    place("eu-west-3", "euw3", "France"),
    place("sa-east-1", "sae1", "Brazil"),
    place("us-east-1", "use1", "United States of America"),
    place("us-east-2", "use2", "United States of America"),
    place("us-west-1", "usw1", "United States of America"),
    place("us-west-2", "usw2", "United States of America"),
];

const fn place(name: &'static str, short: &'static str, geography: &'static str) -> Place {
    Place { name, short, geography }
}

/// An availability zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Zone {
    pub(super) region: &'static Place,
    /// 0 for `a`.
    pub(super) index: usize,
}

impl Place {
    /// The zones: three everywhere.
    pub(super) fn zones(&'static self) -> impl Iterator<Item = Zone> {
        (0..3).map(move |index| Zone { region: self, index })
    }
}

impl Zone {
    /// Those of all regions.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        REGIONS.iter().flat_map(Place::zones)
    }

    /// The zone of a name.
    pub(super) fn named(name: &str) -> Option<Self> {
        let place = REGIONS.iter().find(|place| name.starts_with(place.name))?;
        place.zones().find(|zone| zone.name() == name)
    }

    /// For example `us-east-1a`.
    pub(super) fn name(self) -> String {
        format!("{}{}", self.region.name, ["a", "b", "c"].get(self.index).unwrap_or(&"a"))
    }

    /// For example `use1-az1`.
    pub(super) fn id(self) -> String {
        format!("{}-az{}", self.region.short, self.index + 1)
    }
}

/// Stored by its name.
impl Serialize for Zone {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.name())
    }
}

impl<'de> Deserialize<'de> for Zone {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        by_name(from, "zone", Self::named)
    }
}

/// The error about a region that is not served.
pub(super) fn unknown_region(name: &str) -> ApiError {
    let served: Vec<&str> = REGIONS.iter().map(|place| place.name).collect();
    invalid(format!("The region '{name}' is not served by the local EC2. Served are: {}", served.join(", ")))
}

const REGION_FILTERS: &[Definition] =
    &[("endpoint", "Endpoint"), ("opt-in-status", "OptInStatus"), ("region-name", "RegionName")];

pub(super) fn describe_regions(_: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let wanted: Vec<&str> = input.strings("RegionNames").collect();
    if let Some(name) = wanted.iter().find(|name| !REGIONS.iter().any(|place| place.name == **name)) {
        return Err(invalid(format!("Invalid region names: [{name}]")));
    }
    let filters = Filters::read(input, REGION_FILTERS, false)?;
    let shown: Vec<Structure> = REGIONS
        .iter()
        .filter(|place| wanted.is_empty() || wanted.contains(&place.name))
        .map(|place| {
            Structure::new()
                .with("RegionName", place.name)
                .with("Endpoint", format!("ec2.{}.amazonaws.com", place.name))
                .with("OptInStatus", "opt-in-not-required")
                .with("Geography", geography(place))
        })
        .filter(|row| filters.pass(row, &Structure::new()))
        .collect();
    Ok(Structure::new().with("Regions", shown))
}

fn geography(place: &Place) -> Vec<Structure> {
    vec![Structure::new().with("Name", place.geography)]
}

const ZONE_FILTERS: &[Definition] = &[
    ("group-long-name", "GroupLongName"),
    ("group-name", "GroupName"),
    ("message", "Messages.Message"),
    ("opt-in-status", "OptInStatus"),
    ("parent-zone-id", "ParentZoneId"),
    ("parent-zone-name", "ParentZoneName"),
    ("region-name", "RegionName"),
    ("state", "State"),
    ("zone-id", "ZoneId"),
    ("zone-name", "ZoneName"),
    ("zone-type", "ZoneType"),
];

pub(super) fn describe_availability_zones(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let place = context.region.place;
    let names: Vec<&str> = input.strings("ZoneNames").collect();
    let ids: Vec<&str> = input.strings("ZoneIds").collect();
    if let Some(name) = names.iter().find(|name| !place.zones().any(|zone| zone.name() == **name)) {
        return Err(invalid(format!("Invalid availability zone: [{name}]")));
    }
    if let Some(id) = ids.iter().find(|id| !place.zones().any(|zone| zone.id() == **id)) {
        return Err(invalid(format!("Invalid availability zone-id: [{id}]")));
    }
    let filters = Filters::read(input, ZONE_FILTERS, false)?;
    let shown: Vec<Structure> = place
        .zones()
        .filter(|zone| {
            (names.is_empty() || names.contains(&zone.name().as_str()))
                && (ids.is_empty() || ids.contains(&zone.id().as_str()))
        })
        .map(|zone| {
            Structure::new()
                .with("State", "available")
                .with("OptInStatus", "opt-in-not-required")
                .with("Messages", Vec::<Structure>::new())
                .with("RegionName", place.name)
                .with("ZoneName", zone.name())
                .with("ZoneId", zone.id())
                .with("GroupName", format!("{}-zg-1", place.name))
                .with("NetworkBorderGroup", place.name)
                .with("ZoneType", "availability-zone")
                .with("Geography", geography(place))
        })
        .filter(|row| filters.pass(row, &Structure::new()))
        .collect();
    Ok(Structure::new().with("AvailabilityZones", shown))
}
