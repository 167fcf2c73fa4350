//! Images that the account makes, by the control plane alone.

use super::*;

fn image(world: &mut World, id: &str) -> Structure {
    let answer = world.ok("DescribeImages", Structure::new().with("ImageIds", vec![id]).with("IncludeDisabled", true));
    answer.structures("Images").next().unwrap().clone()
}

fn create(instance: &str, name: &str) -> Structure {
    Structure::new().with("InstanceId", instance).with("Name", name)
}

fn make(world: &mut World, instance: &str, name: &str) -> String {
    let answer = world.ok("CreateImage", create(instance, name).with("NoReboot", true));
    answer.string("ImageId").unwrap().to_owned()
}

fn named(id: &str) -> Structure {
    Structure::new().with("ImageId", id)
}

fn root_snapshot(image: &Structure) -> String {
    let mapping = image.structures("BlockDeviceMappings").next().unwrap();
    mapping.structure("Ebs").unwrap().string("SnapshotId").unwrap().to_owned()
}

#[test]
fn the_machine_goes_off_is_taken_and_comes_again() {
    let mut world = World::new();
    let instance = world.running();
    let answer = world.ok("CreateImage", create(&instance, "golden"));
    let id = answer.string("ImageId").unwrap().to_owned();
    assert_eq!(world.effects, [Effect::PowerOff { instance: instance.clone() }]);
    assert_eq!(world.state(&instance), "running");
    assert_eq!(image(&mut world, &id).string("State"), Some("pending"));
    let launch = world.launch().with("ImageId", id.as_str());
    let error = world.err("RunInstances", launch);
    assert_eq!(error, format!("InvalidAMIID.Unavailable: AMI '{id}' is pending, and cannot be run"));
    world.effects.clear();
    world.event(&instance, Event::PoweredOff);
    let [Effect::Take { parts, .. }, Effect::Start(start)] = &world.effects[..] else { panic!("{:?}", world.effects) };
    assert_eq!((start.machine.instance.as_str(), start.has_disk), (instance.as_str(), true));
    let snapshot = parts[0].snapshot.clone();
    world.settle();
    let shown = image(&mut world, &id);
    assert_eq!((shown.string("State"), shown.string("SourceInstanceId")), (Some("available"), Some(&*instance)));
    assert_eq!(root_snapshot(&shown), snapshot);
    assert_eq!(world.state(&instance), "running");
    assert_eq!(shown, image(&mut world, &id));

    // Its instances have the layer below theirs.
    let launch = world.launch().with("ImageId", id.as_str());
    let second = instance_id(&world.ok("RunInstances", launch));
    let [Effect::Start(start)] = &world.effects[..] else { panic!("{:?}", world.effects) };
    assert_eq!((start.layers.clone(), start.image.as_str(), start.has_disk), (vec![snapshot], "host", false));
    world.settle();
    let third = make(&mut world, &second, "more");
    world.settle();
    let launch = world.launch().with("ImageId", third);
    world.ok("RunInstances", launch);
    let [Effect::Start(start)] = &world.effects[..] else { panic!("{:?}", world.effects) };
    assert_eq!(start.layers.len(), 2);
}

#[test]
fn a_stopped_or_unwilling_machine_is_taken_as_it_is() {
    let mut world = World::new();
    let instance = world.running();
    make(&mut world, &instance, "running");
    let [Effect::Take { .. }] = &world.effects[..] else { panic!("{:?}", world.effects) };
    world.settle();
    world.ok("StopInstances", ids(&[&instance]));
    world.ok("CreateImage", create(&instance, "stopping"));
    assert_eq!(world.effects, [Effect::PowerOff { instance: instance.clone() }]);
    world.effects.clear();
    world.event(&instance, Event::PoweredOff);
    let [Effect::Take { .. }] = &world.effects[..] else { panic!("{:?}", world.effects) };
    world.settle();
    world.ok("CreateImage", create(&instance, "stopped"));
    let [Effect::Take { .. }] = &world.effects[..] else { panic!("{:?}", world.effects) };
    world.settle();
    world.ok("TerminateInstances", ids(&[&instance]));
    let error = world.err("CreateImage", create(&instance, "ending"));
    assert!(error.starts_with("InvalidParameterValue: Invalid value"), "{error}");
}

#[test]
fn names_are_of_one_image_each() {
    let mut world = World::new();
    let instance = world.running();
    let id = make(&mut world, &instance, "one name");
    let error = world.err("CreateImage", create(&instance, "one name"));
    assert_eq!(error, format!("InvalidAMIName.Duplicate: AMI name one name is already in use by AMI {id}"));
    for bad in ["ab", "a{b}", &"x".repeat(129)] {
        assert!(world.err("CreateImage", create(&instance, bad)).starts_with("InvalidAMIName.Malformed"), "{bad}");
    }
    // That of Amazon's is anybody's.
    make(&mut world, &instance, "host");
}

#[test]
fn files_stay_as_long_as_anything_needs_them() {
    let mut world = World::new();
    let instance = world.running();
    let id = make(&mut world, &instance, "golden");
    world.settle();
    let snapshot = root_snapshot(&image(&mut world, &id));
    let error = world.err("DeleteSnapshot", Structure::new().with("SnapshotId", snapshot.as_str()));
    assert_eq!(error, format!("InvalidSnapshot.InUse: The snapshot {snapshot} is currently in use by {id}"));
    let launch = world.launch().with("ImageId", id.as_str());
    let second = instance_id(&world.ok("RunInstances", launch));
    world.settle();
    let results = world.ok("DeregisterImage", named(&id).with("DeleteAssociatedSnapshots", true));
    assert_eq!(results.structures("DeleteSnapshotResults").next().unwrap().string("ReturnCode"), Some("success"));
    assert_eq!(world.effects, [], "a volume has it");
    let error = world.err("DescribeImages", Structure::new().with("ImageIds", vec![&*id]));
    assert!(error.starts_with("InvalidAMIID.NotFound"), "{error}");
    assert_eq!(world.account.layers().collect::<Vec<_>>(), [snapshot.as_str()]);
    world.ok("TerminateInstances", ids(&[&second]));
    world.obey();
    world.pass(Duration::from_secs(10));
    assert!(world.effects.contains(&Effect::DiscardLayer { snapshot }), "{:?}", world.effects);
    assert_eq!(world.account.layers().count(), 0);
}

#[test]
fn an_image_is_registered_of_a_snapshot() {
    let mut world = World::new();
    let instance = world.running();
    let golden = make(&mut world, &instance, "golden");
    let snapshot = root_snapshot(&image(&mut world, &golden));
    let ebs = Structure::new().with("SnapshotId", snapshot.as_str()).with("VolumeSize", 20_i64);
    let mapping = Structure::new().with("DeviceName", "/dev/xvda").with("Ebs", ebs);
    let register = Structure::new()
        .with("Name", "registered")
        .with("RootDeviceName", "/dev/xvda")
        .with("Architecture", Architecture::host().name())
        .with("VirtualizationType", "hvm")
        .with("BlockDeviceMappings", vec![mapping]);
    assert!(world.err("RegisterImage", register.clone()).starts_with("IncorrectState: "), "it is pending");
    world.settle();
    let id = world.ok("RegisterImage", register.clone()).string("ImageId").unwrap().to_owned();
    let shown = image(&mut world, &id);
    assert_eq!((shown.string("State"), shown.string("RootDeviceName")), (Some("available"), Some("/dev/xvda")));
    let launch = world.launch().with("ImageId", id.as_str());
    let error = world.err("RunInstances", launch.clone());
    assert!(error.starts_with("InvalidParameterCombination: Enhanced networking"), "{error}");
    world.ok("DeregisterImage", named(&id));
    let id = world.ok("RegisterImage", register.with("EnaSupport", true)).string("ImageId").unwrap().to_owned();
    let second = instance_id(&world.ok("RunInstances", launch.with("ImageId", id)));
    let [Effect::Start(start)] = &world.effects[..] else { panic!("{:?}", world.effects) };
    assert_eq!((start.layers.as_slice(), start.machine.disk_gib), (&[snapshot][..], Some(20)));
    world.settle();
    assert_eq!(world.instance(&second).string("RootDeviceName"), Some("/dev/xvda"));
}

#[test]
fn an_image_is_copied_from_another_region_once_for_each_token() {
    let mut world = World::new();
    let instance = world.running();
    let golden = make(&mut world, &instance, "golden");
    world.settle();
    let copy = Structure::new()
        .with("Name", "golden")
        .with("SourceImageId", golden.as_str())
        .with("SourceRegion", REGION)
        .with("ClientToken", "once");
    let ask = |world: &mut World, action: &str, input: &Structure| {
        world.account.call(world.now, "eu-west-1", action, input).unwrap()
    };
    let made = ask(&mut world, "CopyImage", &copy);
    assert_eq!(made, ask(&mut world, "CopyImage", &copy));
    world.pass(Duration::from_secs(1));
    let own = Structure::new().with("Owners", vec!["self"]);
    let images = ask(&mut world, "DescribeImages", &own);
    let image = images.structures("Images").next().unwrap();
    assert_eq!((image.string("State"), image.string("SourceImageRegion")), (Some("available"), Some(REGION)));
    assert_eq!(image.string("SourceImageId"), Some(&*golden));
    let launch = world.launch().with("ImageId", made.string("ImageId").unwrap());
    ask(&mut world, "RunInstances", &launch);
    let effects = world.account.take_effects();
    let [Effect::Start(start)] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!(start.layers.len(), 1);
}

#[test]
fn what_is_said_of_an_image_can_be_changed_by_its_owner() {
    let mut world = World::new();
    let instance = world.running();
    let id = make(&mut world, &instance, "golden");
    let described = named(&id).with("Description", Structure::new().with("Value", "better"));
    assert!(world.err("ModifyImageAttribute", described.clone()).starts_with("InvalidAMIID.Unavailable"));
    world.settle();
    world.ok("ModifyImageAttribute", described);
    world.ok("ModifyImageAttribute", named(&id).with("Attribute", "imdsSupport").with("Value", "v2.0"));
    let add = Structure::new().with("Add", vec![Structure::new().with("Group", "all")]);
    world.ok("ModifyImageAttribute", named(&id).with("LaunchPermission", add.clone()));
    let shown = image(&mut world, &id);
    assert_eq!((shown.string("Description"), shown.boolean("Public")), (Some("better"), Some(true)));
    world.ok("ResetImageAttribute", named(&id).with("Attribute", "launchPermission"));
    assert_eq!(image(&mut world, &id).boolean("Public"), Some(false));
    let host = world.image("host");
    let refused = world.err("ModifyImageAttribute", named(&host).with("LaunchPermission", add));
    assert!(refused.starts_with("AuthFailure"), "{refused}");
    let launch = world.launch().with("ImageId", id);
    let second = instance_id(&world.ok("RunInstances", launch));
    let options = world.instance(&second).structure("MetadataOptions").unwrap().clone();
    assert_eq!(options.string("HttpTokens"), Some("required"));
    assert_eq!(options.integer("HttpPutResponseHopLimit"), Some(2));
}

#[test]
fn a_launch_names_its_image_by_a_parameter_too() {
    let mut world = World::new();
    let by = |parameter: &str| format!("resolve:ssm:{parameter}");
    let launch = world.launch().with("ImageId", by("/aws/service/ec2-local/host"));
    let instance = instance_id(&world.ok("RunInstances", launch));
    let host = world.image("host");
    assert_eq!(world.instance(&instance).string("ImageId"), Some(host.as_str()));
    for parameter in ["/aws/service/ec2-local/hos", "/aws/service/ec2-local/", "/host", "host"] {
        let launch = world.launch().with("ImageId", by(parameter));
        let refused = world.err("RunInstances", launch);
        assert_eq!(refused, format!("SsmInvalidParameter: The following aliases are invalid: {parameter}"));
    }
    let describe = Structure::new().with("ImageIds", vec![by("/aws/service/ec2-local/host")]);
    assert!(world.err("DescribeImages", describe).starts_with("InvalidAMIID.Malformed"));
}

#[test]
fn a_disabled_image_is_hidden_and_a_protected_one_stays() {
    let mut world = World::new();
    let instance = world.running();
    let id = make(&mut world, &instance, "golden");
    world.settle();
    world.ok("DisableImage", named(&id));
    let own = Structure::new().with("Owners", vec!["self"]);
    assert_eq!(world.ok("DescribeImages", own.clone()).structures("Images").count(), 0);
    let launch = world.launch().with("ImageId", id.as_str());
    assert!(world.err("RunInstances", launch).starts_with("InvalidAMIID.Unavailable"));
    world.ok("EnableImage", named(&id));
    assert_eq!(world.ok("DescribeImages", own).structures("Images").count(), 1);

    let at = world.now + Duration::from_secs(3600);
    assert!(
        world
            .err("EnableImageDeprecation", named(&id).with("DeprecateAt", datetime!(2020-01-01 00:00 UTC)))
            .starts_with("InvalidParameterValue")
    );
    world.ok("EnableImageDeprecation", named(&id).with("DeprecateAt", at));
    assert!(image(&mut world, &id).string("DeprecationTime").is_some());
    world.ok("DisableImageDeprecation", named(&id));
    assert_eq!(image(&mut world, &id).string("DeprecationTime"), None);

    world.ok("EnableImageDeregistrationProtection", named(&id).with("WithCooldown", true));
    let refused = world.err("DeregisterImage", named(&id));
    assert!(refused.starts_with("OperationNotPermitted"), "{refused}");
    world.ok("DisableImageDeregistrationProtection", named(&id));
    assert!(world.err("DeregisterImage", named(&id)).starts_with("OperationNotPermitted"));
    world.pass(Duration::from_secs(24 * 3600));
    world.ok("DeregisterImage", named(&id));
}

#[test]
fn an_image_has_all_volumes_of_its_instance() {
    let mut world = World::new();
    let blank = world.image("blank");
    let data = Structure::new().with("DeviceName", "/dev/sdf").with("Ebs", Structure::new().with("VolumeSize", 3_i64));
    let launch = Structure::new()
        .with("ImageId", blank)
        .with("InstanceType", "t3.micro")
        .with("MinCount", 1_i64)
        .with("MaxCount", 1_i64);
    let instance = instance_id(&world.ok("RunInstances", launch.clone().with("BlockDeviceMappings", vec![data])));
    world.settle();
    let id = make(&mut world, &instance, "golden");
    world.settle();
    let shown = image(&mut world, &id);
    let devices: Vec<_> = shown.structures("BlockDeviceMappings").map(|it| it.string("DeviceName").unwrap()).collect();
    assert_eq!(devices, ["/dev/sda1", "/dev/sdf"]);
    let second = instance_id(&world.ok("RunInstances", launch.with("ImageId", id)));
    world.settle();
    assert_eq!(world.instance(&second).structures("BlockDeviceMappings").count(), 2);
    let larger =
        Structure::new().with("DeviceName", "/dev/sdf").with("Ebs", Structure::new().with("VolumeSize", 4_i64));
    let refused = world.err("CreateImage", create(&second, "larger").with("BlockDeviceMappings", vec![larger]));
    assert!(refused.starts_with("InvalidBlockDeviceMapping"), "{refused}");
    let without = Structure::new().with("DeviceName", "/dev/sdf").with("NoDevice", "");
    let id = world.ok("CreateImage", create(&second, "less").with("BlockDeviceMappings", vec![without]));
    let shown = image(&mut world, id.string("ImageId").unwrap());
    assert_eq!(shown.structures("BlockDeviceMappings").count(), 1);
}
