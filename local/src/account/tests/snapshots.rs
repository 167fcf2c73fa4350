//! Snapshots, by the control plane alone.

use super::*;

fn volume(world: &mut World, instance: &str) -> String {
    let instance = world.instance(instance);
    let mapping = instance.structures("BlockDeviceMappings").next().unwrap();
    mapping.structure("Ebs").unwrap().string("VolumeId").unwrap().to_owned()
}

fn snapshot(world: &mut World, id: &str) -> Structure {
    let answer = world.ok("DescribeSnapshots", Structure::new().with("SnapshotIds", vec![id]));
    answer.structures("Snapshots").next().unwrap().clone()
}

fn take(world: &mut World, volume: &str) -> String {
    let answer = world.ok("CreateSnapshot", Structure::new().with("VolumeId", volume).with("Description", "mine"));
    answer.string("SnapshotId").unwrap().to_owned()
}

fn named(id: &str) -> Structure {
    Structure::new().with("SnapshotId", id)
}

#[test]
fn a_snapshot_is_pending_until_it_is_taken_and_its_time_has_come() {
    let mut world = World::new();
    let instance = world.running();
    let volume = volume(&mut world, &instance);
    let tags = Structure::new()
        .with("ResourceType", "snapshot")
        .with("Tags", vec![Structure::new().with("Key", "k").with("Value", "v")]);
    let request = Structure::new().with("VolumeId", volume.as_str()).with("TagSpecifications", vec![tags]);
    let made = world.ok("CreateSnapshot", request);
    assert_eq!((made.string("State"), made.string("Progress")), (Some("pending"), Some("")));
    let id = made.string("SnapshotId").unwrap().to_owned();
    let [Effect::Take { instance: holder, parts }] = &world.effects[..] else { panic!("{:?}", world.effects) };
    let [Part { snapshot: taken, volume: of, content: Content::Layer { .. } }] = &parts[..] else {
        panic!("{parts:?}")
    };
    assert_eq!((taken.as_str(), of.as_str(), holder.as_deref()), (id.as_str(), volume.as_str(), Some(&*instance)));
    world.pass(Duration::from_secs(10));
    let shown = snapshot(&mut world, &id);
    assert_eq!((shown.string("State"), shown.string("Progress")), (Some("pending"), Some("99%")), "it isn't taken");
    world.obey();
    let shown = snapshot(&mut world, &id);
    assert_eq!((shown.string("State"), shown.string("Progress")), (Some("completed"), Some("100%")));
    assert_eq!((shown.integer("VolumeSize"), shown.boolean("Encrypted")), (Some(8), Some(false)));
    assert_eq!(shown, snapshot(&mut world, &id));
    let by_tag = world.ok("DescribeSnapshots", filters(&[("tag:k", &["v"]), ("status", &["completed"])]));
    assert_eq!(by_tag.structures("Snapshots").count(), 1);
    let others = world.ok("DescribeSnapshots", Structure::new().with("OwnerIds", vec!["amazon"]));
    assert_eq!(others.structures("Snapshots").count(), 0);

    // What is taken stays as it is, whatever becomes of its volume.
    world.ok("TerminateInstances", ids(&[&instance]));
    world.settle();
    world.pass(Duration::from_secs(3));
    assert!(
        world.err("DescribeVolumes", Structure::new().with("VolumeIds", vec![&*volume])).starts_with("InvalidVolume")
    );
    world.ok("DeleteSnapshot", named(&id));
    assert_eq!(world.effects, [Effect::DiscardLayer { snapshot: id.clone() }]);
    assert!(world.err("DeleteSnapshot", named(&id)).starts_with("InvalidSnapshot.NotFound"));
}

#[test]
fn what_cannot_be_taken_is_an_error_with_its_reason() {
    let mut world = World::new();
    let instance = world.running();
    let volume = volume(&mut world, &instance);
    let id = take(&mut world, &volume);
    world.event(&id, Event::Failed("no room".into()));
    let shown = snapshot(&mut world, &id);
    assert_eq!((shown.string("State"), shown.string("StateMessage")), (Some("error"), Some("no room")));
}

#[test]
fn five_of_a_volume_may_be_pending() {
    let mut world = World::new();
    world.patience = Duration::ZERO;
    let instance = world.running();
    let volume = volume(&mut world, &instance);
    let ids: Vec<String> = (0..5).map(|_| take(&mut world, &volume)).collect();
    let sixth = Structure::new().with("VolumeId", volume.as_str());
    assert!(world.err("CreateSnapshot", sixth.clone()).starts_with("ConcurrentSnapshotLimitExceeded"));
    world.settle();
    world.ok("CreateSnapshot", sixth);
    let unique: BTreeSet<&String> = ids.iter().collect();
    assert_eq!(unique.len(), 5);
}

#[test]
fn all_volumes_of_an_instance_are_taken_but_those_left_out() {
    let mut world = World::new();
    let image = world.image("blank");
    let data = Structure::new().with("DeviceName", "/dev/sdf").with("Ebs", Structure::new().with("VolumeSize", 3_i64));
    let launch = Structure::new()
        .with("ImageId", image)
        .with("InstanceType", "t3.micro")
        .with("MinCount", 1_i64)
        .with("MaxCount", 1_i64)
        .with("BlockDeviceMappings", vec![data]);
    let instance = instance_id(&world.ok("RunInstances", launch));
    world.settle();
    let request = |more: Structure| {
        let specification = more.with("InstanceId", instance.as_str());
        Structure::new().with("InstanceSpecification", specification)
    };
    let sizes = |answer: Structure| {
        answer.structures("Snapshots").map(|it| it.integer("VolumeSize").unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(sizes(world.ok("CreateSnapshots", request(Structure::new()))), [8, 3]);
    assert_eq!(sizes(world.ok("CreateSnapshots", request(Structure::new().with("ExcludeBootVolume", true)))), [3]);
    // There is no machine, but any volume may have been another one's.
    let is_bytes = |part: &Part| part.content == Content::Bytes { filling: None };
    for effect in &world.effects {
        assert!(matches!(effect, Effect::Take { parts, .. } if parts.iter().all(is_bytes)), "{effect:?}");
    }
}

#[test]
fn a_copy_in_another_region_needs_the_files_of_its_source() {
    let mut world = World::new();
    let instance = world.running();
    let volume = volume(&mut world, &instance);
    let id = take(&mut world, &volume);
    let copy =
        Structure::new().with("SourceRegion", REGION).with("SourceSnapshotId", id.as_str()).with("Encrypted", true);
    let ask = |world: &mut World, action: &str, input: &Structure| {
        let answer = world.account.call(world.now, "eu-west-1", action, input);
        world.effects.extend(world.account.take_effects());
        answer
    };
    let error = ask(&mut world, "CopySnapshot", &copy).unwrap_err();
    assert_eq!(error.code, Code::IncorrectState);
    world.settle();
    let answer = ask(&mut world, "CopySnapshot", &copy).unwrap();
    let copied = answer.string("SnapshotId").unwrap().to_owned();
    world.ok("DeleteSnapshot", named(&id));
    assert_eq!(world.effects, [], "the copy has them");
    let shown = ask(&mut world, "DescribeSnapshots", &Structure::new()).unwrap();
    let shown = shown.structures("Snapshots").next().unwrap().clone();
    assert_eq!((shown.string("VolumeId"), shown.boolean("Encrypted")), (Some("vol-ffffffff"), Some(true)));
    ask(&mut world, "DeleteSnapshot", &named(&copied)).unwrap();
    assert_eq!(world.effects, [Effect::DiscardLayer { snapshot: id }]);
}

#[test]
fn it_is_for_whom_its_owner_says() {
    let mut world = World::new();
    let instance = world.running();
    let volume = volume(&mut world, &instance);
    let id = take(&mut world, &volume);
    let add = Structure::new().with("Add", vec![Structure::new().with("UserId", "123456789012")]);
    world.ok("ModifySnapshotAttribute", named(&id).with("CreateVolumePermission", add));
    let older = named(&id).with("OperationType", "add").with("GroupNames", vec!["all"]);
    world.ok("ModifySnapshotAttribute", older.with("Attribute", "createVolumePermission"));
    let attribute = named(&id).with("Attribute", "createVolumePermission");
    let shown = world.ok("DescribeSnapshotAttribute", attribute.clone());
    assert_eq!(shown.structures("CreateVolumePermissions").count(), 2);
    for (user, count) in [("123456789012", 1), ("all", 1), ("210987654321", 0), ("self", 1)] {
        let found = world.ok("DescribeSnapshots", Structure::new().with("RestorableByUserIds", vec![user]));
        assert_eq!(found.structures("Snapshots").count(), count, "{user}");
    }
    world.ok("ResetSnapshotAttribute", attribute.clone());
    assert_eq!(world.ok("DescribeSnapshotAttribute", attribute).structures("CreateVolumePermissions").count(), 0);
}

#[test]
fn what_was_to_be_taken_is_taken_by_the_next_endpoint() {
    let mut world = World::new();
    let instance = world.running();
    let volume = volume(&mut world, &instance);
    let id = take(&mut world, &volume);
    world.effects.clear();
    world.account.take_over(world.now);
    let effects = world.account.take_effects();
    let [Effect::Take { parts, .. }, Effect::Start(_)] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!(parts[0].snapshot, id);
}

#[test]
fn a_root_volume_that_another_machine_writes_to_is_taken_by_nobody() {
    let mut world = World::new();
    let kept = Structure::new().with("DeviceName", "/dev/sda1");
    let kept = kept.with("Ebs", Structure::new().with("DeleteOnTermination", false));
    let launch = world.launch().with("BlockDeviceMappings", vec![kept]);
    let former = instance_id(&world.ok("RunInstances", launch));
    world.settle();
    let root = volume(&mut world, &former);
    world.ok("TerminateInstances", ids(&[&former]));
    world.settle();
    take(&mut world, &root);
    world.settle();

    let instance = world.running();
    let of = |volume: &str| Structure::new().with("VolumeId", volume);
    world.ok("AttachVolume", of(&root).with("InstanceId", &*instance).with("Device", "/dev/sdf"));
    assert!(world.err("CreateSnapshot", of(&root)).starts_with("UnsupportedOperation: "));
    let image = Structure::new().with("InstanceId", &*instance).with("Name", "golden");
    assert!(world.err("CreateImage", image.clone()).starts_with("UnsupportedOperation: "));
    let without = Structure::new().with("DeviceName", "/dev/sdf").with("NoDevice", "");
    world.ok("CreateImage", image.with("BlockDeviceMappings", vec![without]));
}
