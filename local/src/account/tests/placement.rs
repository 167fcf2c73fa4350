//! Placement groups: who may be in which, and where.

use super::*;
use crate::wire::Value;

fn one(member: &'static str, value: impl Into<Value>) -> Structure {
    Structure::new().with(member, value)
}

impl World {
    fn group(&mut self, name: &str, strategy: &str) -> String {
        let answer = self.ok("CreatePlacementGroup", one("GroupName", name).with("Strategy", strategy));
        answer.structure("PlacementGroup").unwrap().string("GroupId").unwrap().to_owned()
    }

    /// A launch of a type that all strategies take.
    fn placed(&mut self, placement: Structure) -> Structure {
        let instance_type = if Architecture::host() == Architecture::Arm64 { "m6g.medium" } else { "m5.large" };
        self.launch().with("InstanceType", instance_type).with("Placement", placement)
    }

    fn launch_into(&mut self, placement: Structure) -> Structure {
        let launch = self.placed(placement);
        let answer = self.ok("RunInstances", launch);
        self.settle();
        first_instance(&answer).clone()
    }
}

fn partition(instance: &Structure) -> Option<i64> {
    instance.structure("Placement").unwrap().integer("PartitionNumber")
}

#[test]
fn instances_show_their_group_which_stays_until_they_are_gone() {
    let mut world = World::new();
    let id = world.group("web", "cluster");
    let first = world.launch_into(one("GroupName", "web"));
    let second = world.launch_into(one("GroupId", id.as_str()));
    for instance in [&first, &second] {
        let placement = instance.structure("Placement").unwrap();
        assert_eq!((placement.string("GroupName"), placement.string("GroupId")), (Some("web"), Some(id.as_str())));
    }
    let found = world.ok("DescribeInstances", filters(&[("placement-group-name", &["web"])]));
    assert_eq!(found.structures("Reservations").count(), 2);
    let in_use = "InvalidPlacementGroup.InUse: The placement group 'web' is in use and may not be deleted.";
    let ids: Vec<&str> = [&first, &second].iter().map(|it| it.string("InstanceId").unwrap()).collect();
    world.ok("StopInstances", one("InstanceIds", ids.clone()));
    world.settle();
    assert_eq!(world.err("DeletePlacementGroup", one("GroupName", "web")), in_use);
    world.ok("TerminateInstances", one("InstanceIds", ids));
    assert_eq!(world.err("DeletePlacementGroup", one("GroupName", "web")), in_use);
    world.settle();
    world.ok("DeletePlacementGroup", one("GroupName", "web"));
}

#[test]
fn partitions_fill_up_evenly_or_as_it_is_said() {
    let mut world = World::new();
    world.ok(
        "CreatePlacementGroup",
        one("GroupName", "web").with("Strategy", "partition").with("PartitionCount", 3_i64),
    );
    let numbers: Vec<_> = (0..4).map(|_| partition(&world.launch_into(one("GroupName", "web")))).collect();
    assert_eq!(numbers, [Some(1), Some(2), Some(3), Some(1)]);
    let told = world.launch_into(one("GroupName", "web").with("PartitionNumber", 3_i64));
    assert_eq!(partition(&told), Some(3));
    let found = world.ok("DescribeInstances", filters(&[("placement-partition-number", &["3"])]));
    assert_eq!(found.structures("Reservations").count(), 2);
    let launch = world.placed(one("GroupName", "web").with("PartitionNumber", 4_i64));
    assert!(
        world.err("RunInstances", launch).starts_with("InvalidParameterValue: Value (4) for parameter partitionNumber")
    );
}

#[test]
fn a_spread_group_has_seven_running_instances_in_a_zone() {
    let mut world = World::new();
    world.group("web", "spread");
    let zone = |zone: &str| one("GroupName", "web").with("AvailabilityZone", zone);
    let launch = world.placed(zone("us-east-1a")).with("MaxCount", 9_i64);
    let launched = world.ok("RunInstances", launch.clone());
    world.settle();
    assert_eq!(launched.structures("Instances").count(), 7, "what fits");
    assert!(world.err("RunInstances", launch.clone()).starts_with("InsufficientInstanceCapacity: "));
    world.launch_into(zone("us-east-1b"));
    // One that is stopped doesn't count; but it can't come back while others are in its place.
    let id = instance_id(&launched);
    world.ok("StopInstances", ids(&[&id]));
    world.settle();
    world.ok("RunInstances", launch);
    world.settle();
    assert!(world.err("StartInstances", ids(&[&id])).starts_with("InsufficientInstanceCapacity: "));
}

#[test]
fn a_cluster_is_in_one_zone_and_of_types_that_can() {
    let mut world = World::new();
    world.group("web", "cluster");
    let in_zone = one("GroupName", "web").with("AvailabilityZone", "us-east-1b");
    world.launch_into(in_zone);
    let next = world.launch_into(one("GroupName", "web"));
    assert_eq!(
        next.structure("Placement").unwrap().string("AvailabilityZone"),
        Some("us-east-1b"),
        "where the others are"
    );
    let launch = world.placed(one("GroupName", "web").with("AvailabilityZone", "us-east-1a"));
    assert!(world.err("RunInstances", launch).contains("can't span multiple Availability Zones"));
    let launch = world.launch().with("Placement", one("GroupName", "web"));
    let error = world.err("RunInstances", launch);
    assert!(
        error.starts_with("InvalidParameterCombination: Cluster placement groups are not supported by the 't"),
        "{error}"
    );
}

#[test]
fn what_makes_no_sense_is_refused() {
    let mut world = World::new();
    let id = world.group("web", "spread");
    let both = one("GroupName", "web").with("GroupId", id.as_str());
    let numbered = one("GroupName", "web").with("PartitionNumber", 1_i64);
    for (placement, error) in [
        (both, "InvalidParameterCombination: "),
        (numbered, "InvalidParameterCombination: "),
        (one("PartitionNumber", 1_i64), "InvalidParameterCombination: "),
        (one("GroupName", "lost"), "InvalidPlacementGroup.Unknown: "),
        (one("GroupId", "pg-0123456789abcdef0"), "InvalidPlacementGroup.Unknown: "),
    ] {
        let launch = world.placed(placement);
        let refused = world.err("RunInstances", launch);
        assert!(refused.starts_with(error), "{refused}");
    }
    let error = world.err("CreatePlacementGroup", one("GroupName", "time").with("Strategy", "precision-time"));
    assert!(error.starts_with("UnsupportedOperation: "), "{error}");
}
