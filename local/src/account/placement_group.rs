//! Placement groups: their names, strategies and tags. How instances are placed by them stands beside the instances.

use super::{
    Context,
    action::{Action, action},
    describe::Listing,
    ids::PlacementGroupId,
    instance::placement::members,
    quota,
    region::Region,
    request::{invalid, one_of, required, unsupported},
    tags::TagSpecifications,
};
use crate::{
    error::{ApiError, Code},
    wire::{Structure, Value},
};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

pub(super) const ACTIONS: &[Action] = &[
    action(
        "CreatePlacementGroup",
        create,
        &["GroupName", "PartitionCount", "SpreadLevel", "Strategy", "TagSpecifications"],
    ),
    action("DeletePlacementGroup", delete, &["GroupName"]),
    action("DescribePlacementGroups", describe, &["Filters", "GroupIds", "GroupNames"]),
];

/// A placement group.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct PlacementGroup {
    pub(super) name: String,
    strategy: Cow<'static, str>,
    partitions: Option<i64>,
    spread_level: Option<Cow<'static, str>>,
}

pub(super) const CLUSTER: &str = "cluster";
pub(super) const PARTITION: &str = "partition";
pub(super) const SPREAD: &str = "spread";
/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreatePlacementGroup.html>.
const NAME_LENGTH: usize = 255;
/// The most that a zone has, and what is made where no number is said. Source:
/// <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/placement-strategies.html>.
const PARTITIONS: i64 = 7;
const PARTITIONS_DEFAULT: i64 = 2;

impl PlacementGroup {
    pub(super) fn strategy(&self) -> &str {
        &self.strategy
    }

    /// How many partitions it has, if it has any.
    pub(super) fn partitions(&self) -> Option<i64> {
        self.partitions
    }
}

/// The group of a name, as the present request sees it.
pub(super) fn named(region: &Region, name: &str) -> Result<PlacementGroupId, ApiError> {
    let groups = &region.placement_groups;
    let found = groups.iter().find(|(id, group)| group.name == name && groups.sees(id));
    found.map(|(id, _)| id.clone()).ok_or_else(|| unknown(name))
}

pub(super) fn create(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let name = required(input, "GroupName")?;
    if name.is_empty() || name.len() > NAME_LENGTH || !name.is_ascii() || name.trim() != name {
        return Err(invalid(format!(
            "Value ({name}) for parameter groupName is invalid. It must have 1 to {NAME_LENGTH} ASCII characters."
        )));
    }
    if context.region.placement_groups.iter().any(|(_, group)| group.name == name) {
        let message = format!("The placement group '{name}' already exists.");
        return Err(ApiError::new(Code::InvalidPlacementGroupDuplicate, message));
    }
    quota::one_more(
        context.region.placement_groups.len(),
        context.settings.quotas.placement_groups,
        Code::PlacementGroupLimitExceeded,
        "The maximum number of placement groups has been reached.",
    )?;
    if input.string("Strategy") == Some("precision-time") {
        return Err(unsupported("The strategy 'precision-time'"));
    }
    let strategy = one_of(input, "Strategy", &[CLUSTER, PARTITION, SPREAD])?.unwrap_or(CLUSTER);
    let partitions = match (input.get("PartitionCount"), strategy) {
        (Some(Value::Integer(count)), PARTITION) if (1..=PARTITIONS).contains(count) => Some(*count),
        (None, PARTITION) => Some(PARTITIONS_DEFAULT),
        (None, _) => None,
        _ => {
            let message =
                format!("PartitionCount is for the strategy 'partition', and at least 1 and at most {PARTITIONS}.");
            return Err(invalid(message));
        }
    };
    let spread_level = match (one_of(input, "SpreadLevel", &["host", "rack"])?, strategy) {
        (Some("host"), _) => return Err(invalid("SpreadLevel 'host' is for Outposts.")),
        (None | Some("rack"), SPREAD) => Some("rack".into()),
        (None, _) => None,
        _ => return Err(invalid("SpreadLevel is for the strategy 'spread'.")),
    };
    let tags = TagSpecifications::read(input, &["placement-group"])?.of("placement-group");
    let group =
        PlacementGroup { name: name.to_owned(), strategy: strategy.to_owned().into(), partitions, spread_level };
    let id: PlacementGroupId = context.shared.source.id();
    context.region.tags.set(&id, tags);
    let shown = shown(context, &id, &group).with("Tags", context.region.tags.shown(&id));
    context.region.placement_groups.insert(id, group);
    Ok(Structure::new().with("PlacementGroup", shown))
}

pub(super) fn delete(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let name = required(input, "GroupName")?;
    let region = &mut *context.region;
    // Names are taken at once, so they are given back at once.
    let known = region.placement_groups.iter().find(|(_, group)| group.name == name).map(|(id, _)| id.clone());
    let id = known.ok_or_else(|| unknown(name))?;
    if members(region, &id).next().is_some() {
        let message = format!("The placement group '{name}' is in use and may not be deleted.");
        return Err(ApiError::new(Code::InvalidPlacementGroupInUse, message));
    }
    region.placement_groups.remove(&id);
    region.tags.forget(&id);
    Ok(Structure::new())
}

const LISTING: Listing = Listing {
    action: "DescribePlacementGroups",
    ids: "GroupIds",
    id: "GroupId",
    sizes: 5..=1000,
    filters: &[
        ("group-arn", "GroupArn"),
        ("group-name", "GroupName"),
        ("spread-level", "SpreadLevel"),
        ("state", "State"),
        ("strategy", "Strategy"),
    ],
};

pub(super) fn describe(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let region = &*context.region;
    let names: Vec<&str> = input.strings("GroupNames").collect();
    let is_there = |name: &str| {
        region.placement_groups.iter().any(|(id, group)| group.name == name && region.placement_groups.sees(id))
    };
    if let Some(name) = names.iter().find(|name| !is_there(name)) {
        return Err(unknown(name));
    }
    let wanted = |group: &PlacementGroup| names.is_empty() || names.contains(&group.name.as_str());
    LISTING.answer_where("PlacementGroups", input, &region.placement_groups, &region.tags, wanted, |id, group| {
        shown(context, id, group).with("Tags", region.tags.shown(id))
    })
}

fn shown(context: &Context<'_>, id: &PlacementGroupId, group: &PlacementGroup) -> Structure {
    let (region, account) = (context.region.place.name, context.settings.account.as_str());
    Structure::new()
        .with("GroupName", group.name.as_str())
        .with("State", "available")
        .with("Strategy", &*group.strategy)
        .with_some("PartitionCount", group.partitions)
        .with("GroupId", id)
        .with("GroupArn", format!("arn:aws:ec2:{region}:{account}:placement-group/{}", group.name))
        .with_some("SpreadLevel", group.spread_level.as_deref())
}

fn unknown(name: &str) -> ApiError {
    ApiError::new(Code::InvalidPlacementGroupUnknown, format!("The Placement Group '{name}' is unknown."))
}
