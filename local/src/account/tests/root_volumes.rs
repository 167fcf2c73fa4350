//! Root volumes that are replaced.

use super::*;

fn root(world: &mut World, instance: &str) -> String {
    let instance = world.instance(instance);
    let mapping = instance.structures("BlockDeviceMappings").next().unwrap();
    mapping.structure("Ebs").unwrap().string("VolumeId").unwrap().to_owned()
}

fn task(world: &mut World) -> Structure {
    let tasks = world.ok("DescribeReplaceRootVolumeTasks", Structure::new());
    tasks.structures("ReplaceRootVolumeTasks").next().unwrap().clone()
}

fn volumes(world: &mut World) -> Vec<(String, String)> {
    let volumes = world.ok("DescribeVolumes", Structure::new());
    let text = |volume: &Structure, member| volume.string(member).unwrap().to_owned();
    volumes.structures("Volumes").map(|volume| (text(volume, "VolumeId"), text(volume, "State"))).collect()
}

#[test]
fn an_instance_goes_on_as_it_was_launched() {
    let mut world = World::new();
    let instance = world.running();
    let old = root(&mut world, &instance);
    let request = Structure::new().with("InstanceId", instance.as_str()).with("ClientToken", "once");
    let made = world.ok("CreateReplaceRootVolumeTask", request.clone());
    assert_eq!(world.effects, [Effect::PowerOff { instance: instance.clone() }]);
    let again = world.ok("CreateReplaceRootVolumeTask", request.clone());
    let id = |answer: &Structure| {
        answer.structure("ReplaceRootVolumeTask").unwrap().string("ReplaceRootVolumeTaskId").unwrap().to_owned()
    };
    assert_eq!(id(&made), id(&again));
    let other = Structure::new().with("InstanceId", instance.as_str());
    assert!(world.err("CreateReplaceRootVolumeTask", other).starts_with("IncorrectState: "));
    world.effects.clear();
    world.event(&instance, Event::PoweredOff);
    let [Effect::Start(start)] = &world.effects[..] else { panic!("{:?}", world.effects) };
    // A new disk is to be made.
    assert!(!start.has_disk && start.volume != old && start.layers.is_empty(), "{start:?}");
    assert_eq!(world.state(&instance), "running");
    assert_eq!(task(&mut world).string("TaskState"), Some("in-progress"));
    world.settle();
    assert_eq!(task(&mut world).string("TaskState"), Some("succeeded"));
    let new = root(&mut world, &instance);
    assert_eq!(volumes(&mut world), [(old, "available".into()), (new, "in-use".into())]);
    // From now on it must be there.
    world.ok("RebootInstances", ids(&[&instance]));
    world.effects.clear();
    world.event(&instance, Event::PoweredOff);
    let [Effect::Start(start)] = &world.effects[..] else { panic!("{:?}", world.effects) };
    assert!(start.has_disk);
}

#[test]
fn it_may_go_back_to_a_snapshot_of_the_same_volume_or_take_an_image() {
    let mut world = World::new();
    let instance = world.running();
    let old = root(&mut world, &instance);
    let taken = world.ok("CreateSnapshot", Structure::new().with("VolumeId", old.as_str()));
    let snapshot = taken.string("SnapshotId").unwrap().to_owned();
    let request = Structure::new().with("InstanceId", instance.as_str()).with("SnapshotId", snapshot.as_str());
    assert!(world.err("CreateReplaceRootVolumeTask", request.clone()).starts_with("IncorrectState: "), "it is pending");
    world.settle();
    world.ok("CreateReplaceRootVolumeTask", request.clone().with("DeleteReplacedRootVolume", true));
    world.effects.clear();
    world.event(&instance, Event::PoweredOff);
    let [Effect::Discard { volume }, Effect::Start(start)] = &world.effects[..] else { panic!("{:?}", world.effects) };
    assert_eq!((volume.as_str(), start.layers.as_slice()), (old.as_str(), &[snapshot.clone()][..]));
    world.settle();
    let shown = task(&mut world);
    assert_eq!((shown.string("TaskState"), shown.string("SnapshotId")), (Some("succeeded"), Some(&*snapshot)));
    // It is another volume by now.
    assert!(world.err("CreateReplaceRootVolumeTask", request).starts_with("InvalidParameterValue: "));

    let image = Structure::new().with("InstanceId", instance.as_str()).with("Name", "golden").with("NoReboot", true);
    let image = world.ok("CreateImage", image).string("ImageId").unwrap().to_owned();
    world.settle();
    let request = Structure::new().with("InstanceId", instance.as_str()).with("ImageId", image.as_str());
    world.ok("CreateReplaceRootVolumeTask", request);
    world.settle();
    assert_eq!(world.instance(&instance).string("ImageId"), Some(&*image));
    world.ok("StopInstances", ids(&[&instance]));
    world.settle();
    let request = Structure::new().with("InstanceId", instance.as_str());
    assert!(world.err("CreateReplaceRootVolumeTask", request).starts_with("IncorrectInstanceState: "));
}

#[test]
fn a_terminated_instance_needs_no_other_any_more() {
    let mut world = World::new();
    let instance = world.running();
    let old = root(&mut world, &instance);
    let taken = world.ok("CreateSnapshot", Structure::new().with("VolumeId", old.as_str()));
    let snapshot = taken.string("SnapshotId").unwrap().to_owned();
    world.settle();
    let request = Structure::new().with("InstanceId", instance.as_str()).with("SnapshotId", snapshot.as_str());
    world.ok("CreateReplaceRootVolumeTask", request);
    world.ok("DeleteSnapshot", Structure::new().with("SnapshotId", snapshot.as_str()));
    assert!(!world.effects.contains(&Effect::DiscardLayer { snapshot: snapshot.clone() }), "it is still needed");
    world.ok("TerminateInstances", ids(&[&instance]));
    world.obey();
    world.pass(Duration::from_secs(10));
    assert!(world.effects.contains(&Effect::DiscardLayer { snapshot }), "{:?}", world.effects);
    assert_eq!(task(&mut world).string("TaskState"), Some("failed"));
    assert_eq!(world.account.layers().count(), 0);
}
