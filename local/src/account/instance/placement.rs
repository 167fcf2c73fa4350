//! In which placement group an instance is, and in which of its partitions.
//!
//! Nothing is nearer here or farther away than anything else: what holds are the rules and what is shown. Source:
//! <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/placement-strategies.html>, and of the limits
//! <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/limitations-placement-groups.html>.

use super::{Instance, State};
use crate::{
    account::{
        Context,
        ids::PlacementGroupId,
        instance_type::InstanceType,
        place::Zone,
        placement_group::{self, CLUSTER, PARTITION, PlacementGroup, SPREAD},
        quota::Room,
        region::Region,
        request::{combination, given, invalid},
        spot::{Behavior, Market},
    },
    error::{ApiError, Code},
    wire::Structure,
};
use serde::{Deserialize, Serialize};

/// How many instances of a spread group run in a zone at most.
const SPREAD_MOST: usize = 7;

/// In which placement group an instance is, and in which of its partitions.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::account) struct Placement {
    group: PlacementGroupId,
    partition: Option<i64>,
}

/// Reads what a launch says of it; without the number of a partition, that is found when an instance is made.
pub(super) fn read(
    region: &Region,
    input: &Structure,
    instance_type: &InstanceType,
    market: Option<&Market>,
) -> Result<Option<Placement>, ApiError> {
    let Some(placement) = input.structure("Placement") else { return Ok(None) };
    let (name, id) = (given(placement, "GroupName"), given(placement, "GroupId"));
    let partition = placement.integer("PartitionNumber");
    let id = match (name, id) {
        (Some(_), Some(_)) => {
            return Err(combination("The parameters groupName and groupId cannot be used together"));
        }
        (Some(name), None) => placement_group::named(region, name)?,
        (None, Some(id)) => region.placement_groups.parse(id)?,
        (None, None) if partition.is_some() => {
            return Err(combination("The parameter partitionNumber is for instances in a partition placement group"));
        }
        (None, None) => return Ok(None),
    };
    let group = region.placement_groups.require(&id)?;
    check_type(group, instance_type)?;
    if market.is_some_and(|market| market.behavior() == Behavior::Stop) {
        return Err(combination(
            "A Spot Instance that is configured to stop on interruption can't be launched in a placement group.",
        ));
    }
    match (partition, group.partitions()) {
        (None, _) => {}
        (Some(_), None) => {
            return Err(combination("The parameter partitionNumber is for instances in a partition placement group"));
        }
        (Some(number), Some(count)) if !(1..=count).contains(&number) => {
            return Err(invalid(format!(
                "Value ({number}) for parameter partitionNumber is invalid. The placement group '{}' has {count} partitions.",
                group.name
            )));
        }
        (Some(_), Some(_)) => {}
    }
    Ok(Some(Placement { group: id, partition }))
}

fn check_type(group: &PlacementGroup, instance_type: &InstanceType) -> Result<(), ApiError> {
    let (strategy, name) = (group.strategy(), instance_type.name);
    if instance_type.has_strategy(strategy) {
        return Ok(());
    }
    let strategy = match strategy {
        CLUSTER => "Cluster",
        PARTITION => "Partition",
        _ => "Spread",
    };
    Err(combination(format!(
        "{strategy} placement groups are not supported by the '{name}' instance type. Specify a supported instance type or \
         change the placement group strategy, and try again."
    )))
}

/// The instances of a group that aren't gone.
pub(in crate::account) fn members<'a>(
    region: &'a Region,
    group: &'a PlacementGroupId,
) -> impl Iterator<Item = &'a Instance> {
    let is_of = |instance: &&Instance| instance.placement.as_ref().is_some_and(|placement| placement.group == *group);
    let there = region.instances.iter().map(|(_, instance)| instance);
    there.filter(|instance| instance.state != State::Terminated).filter(is_of)
}

impl Placement {
    fn group<'a>(&self, region: &'a Region) -> Option<&'a PlacementGroup> {
        region.placement_groups.get(&self.group)
    }

    /// Whether instances may be launched in a zone: those of a cluster are in one.
    pub(super) fn fits(&self, region: &Region, zone: Zone) -> bool {
        let is_cluster = self.group(region).is_some_and(|group| group.strategy() == CLUSTER);
        !is_cluster || members(region, &self.group).all(|instance| instance.zone == zone)
    }

    /// Sees that they may.
    pub(super) fn check(&self, region: &Region, zone: Zone) -> Result<(), ApiError> {
        if self.fits(region, zone) {
            return Ok(());
        }
        let name = self.group(region).map(|group| group.name.as_str()).unwrap_or_default();
        Err(combination(format!(
            "The placement group '{name}' has instances in another Availability Zone than {}. A cluster placement group can't \
             span multiple Availability Zones.",
            zone.name()
        )))
    }

    /// How many more instances may run in a zone, beside those that are started ahead of them.
    pub(super) fn room(&self, context: &Context<'_>, ahead: &[&Instance], zone: Zone) -> Room {
        let region = &*context.region;
        let is_spread = self.group(region).is_some_and(|group| group.strategy() == SPREAD);
        let is_live = |instance: &&Instance| instance.state.is_live() && instance.zone == zone;
        let live = members(region, &self.group).filter(is_live).count();
        let of_group = |instance: &&&Instance| {
            instance.zone == zone && instance.placement.as_ref().is_some_and(|other| other.group == self.group)
        };
        let taken = live + ahead.iter().filter(of_group).count();
        let message = format!(
            "We currently do not have sufficient capacity in the Availability Zone you requested ({}): a spread placement group \
             can have {SPREAD_MOST} running instances in each.",
            zone.name()
        );
        let left = SPREAD_MOST.saturating_sub(taken) as u64;
        Room {
            count: if is_spread { left } else { u64::MAX },
            refusal: ApiError::new(Code::InsufficientInstanceCapacity, message),
        }
    }

    /// The placement of one more instance: without a number, in the partition that has the fewest.
    pub(super) fn of_next(&self, region: &Region) -> Self {
        let count = self.group(region).and_then(PlacementGroup::partitions);
        let held = |number: i64| {
            let numbers = members(region, &self.group).filter_map(|instance| instance.placement.as_ref()?.partition);
            numbers.filter(|held| *held == number).count()
        };
        let found = count.and_then(|count| (1..=count).min_by_key(|number| held(*number)));
        Self { group: self.group.clone(), partition: self.partition.or(found) }
    }

    pub(super) fn name<'a>(&self, region: &'a Region) -> Option<&'a str> {
        self.group(region).map(|group| group.name.as_str())
    }

    pub(super) fn partition(&self) -> Option<i64> {
        self.partition
    }

    /// As Describe shows it, beside the zone.
    pub(super) fn shown(&self, region: &Region, placement: Structure) -> Structure {
        placement
            .with("GroupName", self.name(region).unwrap_or_default())
            .with("GroupId", &self.group)
            .with_some("PartitionNumber", self.partition)
    }
}
