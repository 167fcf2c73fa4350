//! Snapshots of volumes beside the root's, and what is made of them, by the control plane alone.

use super::*;
use crate::machine::BlockDevice;

const ZONE: &str = "us-east-1a";

fn created(world: &mut World, more: Structure) -> String {
    let answer = world.ok("CreateVolume", more.with("AvailabilityZone", ZONE));
    answer.string("VolumeId").unwrap().to_owned()
}

fn volume(world: &mut World, id: &str) -> Structure {
    let answer = world.ok("DescribeVolumes", Structure::new().with("VolumeIds", vec![id]));
    answer.structures("Volumes").next().unwrap().clone()
}

fn snapshot(world: &mut World, id: &str) -> Structure {
    let answer = world.ok("DescribeSnapshots", Structure::new().with("SnapshotIds", vec![id]));
    answer.structures("Snapshots").next().unwrap().clone()
}

fn sized(gib: i64) -> Structure {
    Structure::new().with("Size", gib)
}

fn of_volume(id: &str) -> Structure {
    Structure::new().with("VolumeId", id)
}

fn of_snapshot(id: &str) -> Structure {
    Structure::new().with("SnapshotId", id)
}

/// A snapshot of a volume, once it is completed.
fn taken(world: &mut World, volume: &str) -> String {
    let id = world.ok("CreateSnapshot", of_volume(volume)).string("SnapshotId").unwrap().to_owned();
    world.settle();
    id
}

/// An instance in the first zone with a data volume, and that.
fn with_data(world: &mut World) -> (String, String) {
    let ebs = Structure::new().with("VolumeSize", 3_i64).with("DeleteOnTermination", false);
    let data = Structure::new().with("DeviceName", "/dev/sdf").with("Ebs", ebs);
    let place = Structure::new().with("AvailabilityZone", ZONE);
    let launch = world.launch().with("BlockDeviceMappings", vec![data]).with("Placement", place);
    let instance = instance_id(&world.ok("RunInstances", launch));
    world.settle();
    (instance.clone(), volumes(world, &instance).remove(1))
}

fn volumes(world: &mut World, instance: &str) -> Vec<String> {
    let instance = world.instance(instance);
    let ids = instance.structures("BlockDeviceMappings").map(|it| it.structure("Ebs").unwrap().string("VolumeId"));
    ids.map(|id| id.unwrap().to_owned()).collect()
}

#[test]
fn a_volume_of_a_snapshot_is_created_once_it_has_its_bytes() {
    let mut world = World::new();
    let first = created(&mut world, sized(2));
    let id = world.ok("CreateSnapshot", of_volume(&first)).string("SnapshotId").unwrap().to_owned();
    let [Effect::Take { instance: None, parts }] = &world.effects[..] else { panic!("{:?}", world.effects) };
    let part = Part { snapshot: id.clone(), volume: first.clone(), content: Content::Bytes { filling: None } };
    assert_eq!(parts[..], [part]);
    let error = world.err("CreateVolume", of_snapshot(&id).with("AvailabilityZone", ZONE));
    assert!(error.starts_with("IncorrectState: "), "{error}");
    world.settle();
    let second = created(&mut world, of_snapshot(&id).with("Size", 5_i64).with("VolumeType", "gp3"));
    let filling = Filling { volume: second.clone(), snapshot: id.clone(), gib: 5 };
    assert_eq!(world.effects, [Effect::Fill(filling.clone())]);
    world.effects.clear();
    world.pass(Duration::from_secs(10));
    let shown = volume(&mut world, &second);
    assert_eq!((shown.string("State"), shown.string("SnapshotId")), (Some("creating"), Some(&*id)));

    // Its bytes are needed until it has them, though the snapshot is gone; and so they are by the next endpoint.
    world.ok("DeleteSnapshot", of_snapshot(&id));
    assert_eq!(world.effects, []);
    world.account.take_over(world.now);
    assert_eq!(world.account.take_effects(), [Effect::Fill(filling)]);
    assert_eq!(world.account.layers().collect::<Vec<_>>(), [id.as_str()]);
    world.event(&second, Event::Filled);
    assert_eq!(world.effects, [Effect::DiscardLayer { snapshot: id }]);
    let shown = volume(&mut world, &second);
    assert_eq!((shown.string("State"), shown.integer("Size")), (Some("available"), Some(5)));
    assert_eq!(shown, volume(&mut world, &second));

    let third = created(&mut world, sized(2));
    let id = taken(&mut world, &third);
    let same = volume(&mut world, &third).integer("Size");
    let fourth = created(&mut world, of_snapshot(&id));
    assert_eq!(volume(&mut world, &fourth).integer("Size"), same);
    let small = world.err("CreateVolume", of_snapshot(&id).with("Size", 1_i64).with("AvailabilityZone", ZONE));
    assert!(small.starts_with("InvalidParameterValue: Volume of size 1GB is smaller than snapshot"), "{small}");
}

#[test]
fn a_volume_that_cannot_have_its_bytes_is_in_error_and_can_be_deleted() {
    let mut world = World::new();
    let first = created(&mut world, sized(1));
    let id = taken(&mut world, &first);
    let second = created(&mut world, of_snapshot(&id));
    world.effects.clear();
    world.event(&second, Event::Failed("no room".into()));
    assert_eq!(volume(&mut world, &second).string("State"), Some("error"));
    assert!(world.err("CreateSnapshot", of_volume(&second)).starts_with("IncorrectState: "));
    world.ok("DeleteSnapshot", of_snapshot(&id));
    assert_eq!(world.effects, []);
    world.ok("DeleteVolume", of_volume(&second));
    assert_eq!(world.effects, [Effect::Discard { volume: second }, Effect::DiscardLayer { snapshot: id }]);
}

#[test]
fn all_volumes_of_a_machine_are_taken_at_one_moment() {
    let mut world = World::new();
    let (instance, data) = with_data(&mut world);
    let specification = Structure::new().with("InstanceId", &*instance);
    let request = Structure::new().with("InstanceSpecification", specification);
    world.ok("CreateSnapshots", request.clone());
    let [Effect::Take { instance: Some(of), parts }] = &world.effects[..] else { panic!("{:?}", world.effects) };
    assert_eq!((of, parts.len(), &parts[1].volume), (&instance, 2, &data));
    world.effects.clear();
    // So they are when the next endpoint does it.
    world.account.take_over(world.now);
    let effects = world.account.take_effects();
    let [Effect::Take { parts, .. }, Effect::Start(_)] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!(parts.len(), 2);
}

#[test]
fn an_image_has_the_data_volumes_and_its_instances_get_them() {
    let mut world = World::new();
    let (instance, _) = with_data(&mut world);
    let image = Structure::new().with("InstanceId", &*instance).with("Name", "golden");
    let id = world.ok("CreateImage", image.with("NoReboot", true)).string("ImageId").unwrap().to_owned();
    let [Effect::Take { parts, .. }] = &world.effects[..] else { panic!("{:?}", world.effects) };
    let snapshot = parts[1].snapshot.clone();
    world.settle();
    assert!(world.err("DeleteSnapshot", of_snapshot(&snapshot)).starts_with("InvalidSnapshot.InUse: "));

    let larger = Structure::new().with("VolumeSize", 4_i64).with("VolumeType", "gp3");
    let larger = Structure::new().with("DeviceName", "/dev/sdf").with("Ebs", larger);
    let launch = world.launch().with("ImageId", id.as_str());
    let second = instance_id(&world.ok("RunInstances", launch.clone().with("BlockDeviceMappings", vec![larger])));
    let made = volumes(&mut world, &second).remove(1);
    let [Effect::Start(start)] = &world.effects[..] else { panic!("{:?}", world.effects) };
    assert_eq!(start.fillings, [Filling { volume: made.clone(), snapshot: snapshot.clone(), gib: 4 }]);
    assert_eq!(start.machine.volumes, [BlockDevice::new(&made, "/dev/sdf", 4)]);
    let small = Structure::new().with("DeviceName", "/dev/sdf").with("Ebs", Structure::new().with("VolumeSize", 2_i64));
    let error = world.err("RunInstances", launch.clone().with("BlockDeviceMappings", vec![small]));
    assert!(error.starts_with("InvalidBlockDeviceMapping: "), "{error}");
    let without = Structure::new().with("DeviceName", "/dev/sdf").with("NoDevice", "");
    let third = instance_id(&world.ok("RunInstances", launch.clone().with("BlockDeviceMappings", vec![without])));
    assert_eq!(volumes(&mut world, &third).len(), 1);

    // Which snapshot's bytes are still needed follows from the volumes that wait for them.
    let fourth = instance_id(&world.ok("RunInstances", launch));
    let kept = volumes(&mut world, &fourth).remove(1);
    world.effects.clear();
    let request = Structure::new().with("ImageId", id.as_str()).with("DeleteAssociatedSnapshots", true);
    let results = world.ok("DeregisterImage", request);
    assert_eq!(results.structures("DeleteSnapshotResults").count(), 2);
    assert!(!world.effects.contains(&Effect::DiscardLayer { snapshot: snapshot.clone() }));
    // A machine that didn't come up has left its volume unmade, which outlives it.
    world.event(&second, Event::Started);
    world.effects.clear();
    world.event(&fourth, Event::Failed("no room".into()));
    world.pass(Duration::from_secs(2));
    let filling = Filling { volume: kept.clone(), snapshot: snapshot.clone(), gib: 3 };
    assert_eq!(world.effects.last(), Some(&Effect::Fill(filling)));
    world.effects.clear();
    world.event(&kept, Event::Filled);
    assert_eq!(world.effects, [Effect::DiscardLayer { snapshot }]);
}

#[test]
fn what_is_encrypted_stays_so_by_the_key_that_is_named() {
    let mut world = World::new();
    let key = "1234abcd-12ab-34cd-56ef-1234567890ab";
    let account = world.account.settings.account.clone();
    let arn = |key: &str| format!("arn:aws:kms:{REGION}:{account}:key/{key}");
    let encrypted = created(&mut world, sized(1).with("Encrypted", true).with("KmsKeyId", key));
    let id = taken(&mut world, &encrypted);
    let shown = snapshot(&mut world, &id);
    assert_eq!((shown.boolean("Encrypted"), shown.string("KmsKeyId")), (Some(true), Some(&*arn(key))));
    let same = created(&mut world, of_snapshot(&id));
    assert_eq!(volume(&mut world, &same).string("KmsKeyId"), Some(&*arn(key)));
    let other = "00000000-12ab-34cd-56ef-1234567890ab";
    let other_key = of_snapshot(&id).with("Encrypted", true).with("KmsKeyId", other);
    let other_key = created(&mut world, other_key);
    assert_eq!(volume(&mut world, &other_key).string("KmsKeyId"), Some(&*arn(other)));
    let plain = of_snapshot(&id).with("Encrypted", false).with("AvailabilityZone", ZONE);
    assert!(world.err("CreateVolume", plain).starts_with("InvalidParameterCombination: "));

    let plain = created(&mut world, sized(1));
    let id = taken(&mut world, &plain);
    let now = created(&mut world, of_snapshot(&id).with("Encrypted", true));
    assert!(volume(&mut world, &now).string("KmsKeyId").is_some());
    let copy = Structure::new().with("SourceRegion", REGION).with("SourceSnapshotId", id.as_str());
    let keyless = world.err("CopySnapshot", copy.clone().with("KmsKeyId", key));
    assert!(keyless.starts_with("InvalidParameterDependency: "), "{keyless}");
    let copied = world.ok("CopySnapshot", copy.with("KmsKeyId", key).with("Encrypted", true));
    let copied = copied.string("SnapshotId").unwrap().to_owned();
    assert_eq!(snapshot(&mut world, &copied).string("KmsKeyId"), Some(&*arn(key)));
    // The copy has the same bytes.
    world.settle();
    world.ok("DeleteSnapshot", of_snapshot(&id));
    let last = created(&mut world, of_snapshot(&copied));
    let filling = Filling { volume: last, snapshot: id, gib: 1 };
    assert!(world.effects.contains(&Effect::Fill(filling)), "{:?}", world.effects);
}

#[test]
fn a_volume_of_a_roots_snapshot_is_no_data_volume_before_a_machine_has_booted_from_it() {
    let mut world = World::new();
    let (instance, _) = with_data(&mut world);
    let root = volumes(&mut world, &instance).remove(0);
    let id = taken(&mut world, &root);
    let made = created(&mut world, of_snapshot(&id));
    assert!(!world.effects.iter().any(|effect| matches!(effect, Effect::Fill(_))));
    world.pass(Duration::from_secs(10));
    let attach = of_volume(&made).with("InstanceId", &*instance).with("Device", "/dev/sdg");
    assert!(world.err("AttachVolume", attach).starts_with("UnsupportedOperation: "));
    let data = Structure::new().with("DeviceName", "/dev/sdf").with("Ebs", of_snapshot(&id));
    let launch = world.launch().with("BlockDeviceMappings", vec![data]);
    assert!(world.err("RunInstances", launch).starts_with("UnsupportedOperation: "));
    // It needs the layer as long as it is there.
    world.effects.clear();
    world.ok("DeleteSnapshot", of_snapshot(&id));
    assert_eq!(world.effects, []);
    world.ok("DeleteVolume", of_volume(&made));
    assert!(world.effects.contains(&Effect::DiscardLayer { snapshot: id }));
}

#[test]
fn a_stopped_instance_gives_its_root_volume_away_and_boots_from_another() {
    let mut world = World::new();
    let (instance, data) = with_data(&mut world);
    let root = volumes(&mut world, &instance).remove(0);
    let id = taken(&mut world, &root);
    let stop = |world: &mut World| {
        world.ok("StopInstances", ids(&[&instance]));
        world.settle();
    };
    stop(&mut world);
    world.ok("DetachVolume", of_volume(&root));
    let error = world.err("StartInstances", ids(&[&instance]));
    assert!(error.contains("does not have a volume attached at root (/dev/sda1)"), "{error}");
    world.pass(Duration::from_secs(10));
    assert_eq!(volume(&mut world, &root).string("State"), Some("available"));
    assert_eq!(volumes(&mut world, &instance), [data.as_str()]);
    let shown = world.instance(&instance);
    assert_eq!(shown.string("RootDeviceName"), Some("/dev/sda1"));
    assert!(world.err("StartInstances", ids(&[&instance])).contains("does not have a volume attached at root"));
    let image = Structure::new().with("InstanceId", &*instance).with("Name", "golden");
    assert!(world.err("CreateImage", image).starts_with("InvalidParameterValue: "));
    // So it is for the next endpoint, too, which doesn't take the other volume for the root's.
    world.account.take_over(world.now);
    assert_eq!(world.account.root_volumes().count(), 0);

    let attach = |volume: &str, device: &str| of_volume(volume).with("InstanceId", &*instance).with("Device", device);
    let empty = created(&mut world, sized(9));
    world.pass(Duration::from_secs(10));
    assert!(world.err("AttachVolume", attach(&empty, "/dev/sda1")).starts_with("UnsupportedOperation: "));
    let made = created(&mut world, of_snapshot(&id));
    world.pass(Duration::from_secs(10));
    world.ok("AttachVolume", attach(&made, "/dev/sda1"));
    world.ok("AttachVolume", attach(&root, "/dev/sdg"));
    world.pass(Duration::from_secs(10));
    world.effects.clear();
    world.ok("StartInstances", ids(&[&instance]));
    let [Effect::Start(start)] = &world.effects[..] else { panic!("{:?}", world.effects) };
    assert_eq!((&start.volume, &start.layers, start.has_disk), (&made, &vec![id], false));
    assert_eq!(start.machine.volumes.iter().map(|it| it.volume.as_str()).collect::<Vec<_>>(), [&*data, &*root]);
    world.settle();
    // Once a machine has booted from it, it has a file system.
    stop(&mut world);
    world.ok("DetachVolume", of_volume(&made));
    world.pass(Duration::from_secs(10));
    world.ok("AttachVolume", attach(&made, "/dev/sdh"));
}
