//! Network interfaces of one's own: made, attached, changed, detached, and several at a launch.

use super::*;
use crate::wire::Value;

/// A subnet of the zone in which an instance is, or of another one.
pub(super) fn subnet_of(world: &mut World, instance: &str, same: bool) -> String {
    let zone = world.instance(instance).structure("Placement").unwrap().string("AvailabilityZone").unwrap().to_owned();
    let answer = world.ok("DescribeSubnets", Structure::new());
    let mut subnets = answer.structures("Subnets");
    let found = subnets.find(|subnet| (subnet.string("AvailabilityZone") == Some(&zone)) == same).unwrap();
    found.string("SubnetId").unwrap().to_owned()
}

/// Makes an interface in a subnet.
pub(super) fn interface(world: &mut World, subnet: &str) -> String {
    let answer = world.ok("CreateNetworkInterface", Structure::new().with("SubnetId", subnet));
    answer.structure("NetworkInterface").unwrap().string("NetworkInterfaceId").unwrap().to_owned()
}

pub(super) fn named(id: &str) -> Structure {
    Structure::new().with("NetworkInterfaceId", id)
}

pub(super) fn described(world: &mut World, id: &str) -> Structure {
    let answer = world.ok("DescribeNetworkInterfaces", Structure::new().with("NetworkInterfaceIds", vec![id]));
    answer.structures("NetworkInterfaces").next().unwrap().clone()
}

pub(super) fn addresses(interface: &Structure) -> Vec<String> {
    let shown = interface.structures("PrivateIpAddresses");
    shown.map(|address| address.string("PrivateIpAddress").unwrap().to_owned()).collect()
}

fn attach(id: &str, instance: &str, index: i64) -> Structure {
    named(id).with("InstanceId", instance).with("DeviceIndex", index)
}

fn status(world: &mut World, id: &str) -> (String, Option<String>) {
    let shown = described(world, id);
    let attachment = shown.structure("Attachment").map(|it| it.string("Status").unwrap().to_owned());
    (shown.string("Status").unwrap().to_owned(), attachment)
}

#[test]
fn one_is_made_with_the_addresses_that_it_is_to_have() {
    let mut world = World::new();
    let id = world.running();
    let subnet = subnet_of(&mut world, &id, true);
    let listed =
        |address: &str, primary: bool| Structure::new().with("PrivateIpAddress", address).with("Primary", primary);
    let base = world.instance(&id).string("PrivateIpAddress").unwrap().to_owned();
    let near =
        |last: u8| format!("{}.{last}", base.rsplit_once('.').unwrap().0.rsplit_once('.').unwrap().0.to_owned() + ".1");
    let (first, second) = (near(77), near(78));
    let request = Structure::new()
        .with("SubnetId", subnet.as_str())
        .with("Description", "mine")
        .with("ClientToken", "t")
        .with("PrivateIpAddresses", vec![listed(&second, false), listed(&first, true)])
        .with(
            "TagSpecifications",
            vec![
                Structure::new()
                    .with("ResourceType", "network-interface")
                    .with("Tags", vec![Structure::new().with("Key", "k").with("Value", "v")]),
            ],
        );
    let made = world.ok("CreateNetworkInterface", request.clone());
    let shown = made.structure("NetworkInterface").unwrap();
    let eni = shown.string("NetworkInterfaceId").unwrap().to_owned();
    assert_eq!((shown.string("Status"), made.string("ClientToken")), (Some("available"), Some("t")));
    assert_eq!(addresses(shown), [first.clone(), second.clone()]);
    let again = world.ok("CreateNetworkInterface", request.clone());
    assert_eq!(again.structure("NetworkInterface").unwrap().string("NetworkInterfaceId"), Some(eni.as_str()));
    let other = request.clone().with("Description", "other");
    assert!(world.err("CreateNetworkInterface", other).starts_with("IdempotentParameterMismatch: "));
    let shown = described(&mut world, &eni);
    assert_eq!((shown.string("Status"), shown.string("Description")), (Some("available"), Some("mine")));
    assert_eq!(shown.list("TagSet").len(), 1);
    for filter in [
        ("addresses.private-ip-address", second.as_str()),
        ("tag:k", "v"),
        ("status", "available"),
        ("description", "m*"),
    ] {
        let found = world.ok("DescribeNetworkInterfaces", filters(&[(filter.0, &[filter.1])]));
        assert_eq!(found.list("NetworkInterfaces").len(), 1, "{filter:?}");
    }
    let taken = Structure::new().with("SubnetId", subnet.as_str()).with("PrivateIpAddress", second.as_str());
    assert!(world.err("CreateNetworkInterface", taken).starts_with("InvalidIPAddress.InUse: "));
    let counted = Structure::new().with("SubnetId", subnet.as_str()).with("SecondaryPrivateIpAddressCount", 3_i64);
    let made = world.ok("CreateNetworkInterface", counted);
    assert_eq!(addresses(made.structure("NetworkInterface").unwrap()).len(), 4);
    let both = Structure::new()
        .with("SubnetId", subnet.as_str())
        .with("SecondaryPrivateIpAddressCount", 3_i64)
        .with("PrivateIpAddresses", vec![listed(&near(80), true), listed(&near(81), false)]);
    assert!(world.err("CreateNetworkInterface", both).starts_with("InvalidParameterCombination: "));

    world.ok("DeleteNetworkInterface", named(&eni));
    assert!(world.err("DeleteNetworkInterface", named(&eni)).starts_with("InvalidNetworkInterfaceID.NotFound: "));
    let taken = Structure::new().with("SubnetId", subnet).with("PrivateIpAddress", second);
    world.ok("CreateNetworkInterface", taken);
    world.ok("CreateNetworkInterface", request.with("PrivateIpAddresses", Vec::<Structure>::new()));
    assert_eq!(world.account.whole(), Ok(()));
}

#[test]
fn what_runs_gets_it_at_once_and_gives_it_back() {
    let mut world = World::new();
    let id = world.running();
    let subnet = subnet_of(&mut world, &id, true);
    let eni = interface(&mut world, &subnet);
    world.effects.clear();
    let attachment =
        world.ok("AttachNetworkInterface", attach(&eni, &id, 1)).string("AttachmentId").unwrap().to_owned();
    let [Effect::Plug { instance, nic }] = &world.effects[..] else { panic!("{:?}", world.effects) };
    assert_eq!((instance.as_str(), nic.id.as_str(), nic.addresses.len()), (id.as_str(), eni.as_str(), 1));
    let check =
        Structure::new().with("InstanceId", id.as_str()).with("Attribute", "sourceDestCheck").with("Value", "false");
    assert!(
        world.err("ModifyInstanceAttribute", check).starts_with("InvalidInstanceID: There are multiple interfaces ")
    );
    world.effects.clear();
    world.settle();
    assert_eq!(status(&mut world, &eni), ("in-use".to_owned(), Some("attached".to_owned())));
    let instance = world.instance(&id);
    let indexes: Vec<_> = instance
        .structures("NetworkInterfaces")
        .map(|nic| nic.structure("Attachment").unwrap().integer("DeviceIndex").unwrap())
        .collect();
    assert_eq!(indexes, [0, 1]);
    assert!(instance.string("PublicIpAddress").is_some(), "it keeps what it has");
    let tree = world.account.metadata(&eni).unwrap().tree;
    let told = |name: &str| {
        tree.iter().filter(|(path, _)| path.ends_with(name)).map(|(_, text)| text.clone()).collect::<Vec<_>>()
    };
    assert_eq!(told("/device-number"), ["0", "1"]);
    assert!(told("/interface-id").contains(&eni));

    let busy = world.err("DeleteNetworkInterface", named(&eni));
    assert_eq!(busy, format!("InvalidParameterValue: Network interface '{eni}' is currently in use."));
    let twice = world.err("AttachNetworkInterface", attach(&eni, &id, 2));
    assert_eq!(twice, format!("InvalidNetworkInterface.InUse: Interface: [{eni}] in use."));
    let detach = Structure::new().with("AttachmentId", attachment.as_str());
    world.ok("DetachNetworkInterface", detach.clone());
    assert_eq!(world.effects, [Effect::Unplug { instance: id.clone(), nic: eni.clone() }]);
    assert!(
        world
            .account
            .metadata(instance.structures("NetworkInterfaces").next().unwrap().string("NetworkInterfaceId").unwrap())
            .unwrap()
            .tree
            .iter()
            .all(|(_, text)| *text != eni)
    );
    world.settle();
    assert_eq!(status(&mut world, &eni), ("available".to_owned(), None));
    assert_eq!(world.instance(&id).list("NetworkInterfaces").len(), 1);
    let gone = world.err("DetachNetworkInterface", detach);
    assert_eq!(gone, format!("InvalidAttachmentID.NotFound: The attachment ID '{attachment}' does not exist"));
    world.ok("DeleteNetworkInterface", named(&eni));
    assert_eq!(world.account.whole(), Ok(()));
}

#[test]
fn what_is_off_gets_it_when_it_starts() {
    let mut world = World::new();
    let small = world.launch();
    let large = small.string("InstanceType").unwrap().replace("micro", "large");
    let id = instance_id(&world.ok("RunInstances", small.with("InstanceType", large)));
    world.settle();
    let subnet = subnet_of(&mut world, &id, true);
    let (one, other) = (interface(&mut world, &subnet), interface(&mut world, &subnet));
    world.ok("StopInstances", ids(&[&id]));
    let refused = world.err("AttachNetworkInterface", attach(&one, &id, 1));
    assert!(refused.starts_with("IncorrectInstanceState: "), "{refused}");
    world.settle();
    world.ok("AttachNetworkInterface", attach(&other, &id, 2));
    world.ok("AttachNetworkInterface", attach(&one, &id, 1));
    assert_eq!(world.effects, []);
    world.ok("StartInstances", ids(&[&id]));
    let [Effect::Start(start)] = &world.effects[..] else { panic!("{:?}", world.effects) };
    let nics: Vec<&str> = start.machine.nics[1..].iter().map(|nic| nic.id.as_str()).collect();
    assert_eq!(nics, [&one, &other]);
    world.settle();
    assert_eq!(world.instance(&id).string("PublicIpAddress"), None, "it has more than one interface");
}

#[test]
fn what_is_terminated_leaves_what_came_later() {
    let mut world = World::new();
    let id = world.running();
    let subnet = subnet_of(&mut world, &id, true);
    let (kept, lost) = (interface(&mut world, &subnet), interface(&mut world, &subnet));
    world.ok("AttachNetworkInterface", attach(&kept, &id, 1));
    world.ok("TerminateInstances", ids(&[&id]));
    world.settle();
    assert_eq!(status(&mut world, &kept), ("available".to_owned(), None));

    let id = world.running();
    let subnet = subnet_of(&mut world, &id, true);
    assert_eq!(described(&mut world, &lost).string("SubnetId"), Some(subnet.as_str()));
    let attachment =
        world.ok("AttachNetworkInterface", attach(&lost, &id, 1)).string("AttachmentId").unwrap().to_owned();
    let change = Structure::new().with("AttachmentId", attachment).with("DeleteOnTermination", true);
    world.ok("ModifyNetworkInterfaceAttribute", named(&lost).with("Attachment", change));
    world.ok("TerminateInstances", ids(&[&id]));
    world.settle();
    let gone = world.err("DescribeNetworkInterfaces", Structure::new().with("NetworkInterfaceIds", vec![lost]));
    assert!(gone.starts_with("InvalidNetworkInterfaceID.NotFound: "), "{gone}");
    assert_eq!(world.account.whole(), Ok(()));
}

#[test]
fn where_it_does_not_fit_it_is_refused() {
    let mut world = World::new();
    let id = world.running();
    let (here, there) = (subnet_of(&mut world, &id, true), subnet_of(&mut world, &id, false));
    let elsewhere = interface(&mut world, &there);
    assert!(world.err("AttachNetworkInterface", attach(&elsewhere, &id, 1)).contains("same availability zone"));
    let enis: Vec<String> = (0..3).map(|_| interface(&mut world, &here)).collect();
    let taken = world.err("AttachNetworkInterface", attach(&enis[0], &id, 0));
    let expected =
        format!("InvalidParameterValue: Instance '{id}' already has an interface attached at device index '0'.");
    assert_eq!(taken, expected);
    let instance_type = world.instance(&id).string("InstanceType").unwrap().to_owned();
    let most = instance_type::named(&instance_type).unwrap().network_interfaces();
    for index in 1..most {
        let eni = interface(&mut world, &here);
        world.ok("AttachNetworkInterface", attach(&eni, &id, i64::try_from(index).unwrap()));
    }
    let full = world.err("AttachNetworkInterface", attach(&enis[0], &id, 7));
    let expected =
        format!("AttachmentLimitExceeded: Interface count {} exceeds the limit for {instance_type}", most + 1);
    assert_eq!(full, expected);
    let primary = world.instance(&id).structures("NetworkInterfaces").next().unwrap().clone();
    let attachment = primary.structure("Attachment").unwrap().string("AttachmentId").unwrap();
    let kept = world.err("DetachNetworkInterface", Structure::new().with("AttachmentId", attachment));
    assert_eq!(kept, "OperationNotPermitted: The network interface at device index 0 cannot be detached.");
    for unserved in ["Ipv4PrefixCount", "Ipv6PrefixCount"] {
        let request = Structure::new().with("SubnetId", here.as_str()).with(unserved, 1_i64);
        let refused = world.err("CreateNetworkInterface", request);
        assert!(refused.starts_with(&format!("UnsupportedOperation: The parameter {unserved} ")), "{refused}");
    }
}

#[test]
fn there_are_only_so_many() {
    let mut world = World::with(|settings| settings.quotas.network_interfaces = 2);
    let id = world.running();
    let subnet = subnet_of(&mut world, &id, true);
    interface(&mut world, &subnet);
    let refused = world.err("CreateNetworkInterface", Structure::new().with("SubnetId", subnet));
    assert!(refused.starts_with("NetworkInterfaceLimitExceeded: "), "{refused}");
    let launch = world.launch();
    assert!(world.err("RunInstances", launch).starts_with("NetworkInterfaceLimitExceeded: "));
}

#[test]
fn private_addresses_come_go_and_move() {
    let mut world = World::new();
    let id = world.running();
    let subnet = subnet_of(&mut world, &id, true);
    let (one, other) = (interface(&mut world, &subnet), interface(&mut world, &subnet));
    let counted = named(&one).with("SecondaryPrivateIpAddressCount", 2_i64);
    let answer = world.ok("AssignPrivateIpAddresses", counted);
    assert_eq!(answer.list("AssignedPrivateIpAddresses").len(), 2);
    let held = addresses(&described(&mut world, &one));
    assert_eq!(held.len(), 3);
    let wanted = |eni: &str, address: &str| named(eni).with("PrivateIpAddresses", vec![address]);
    let refused = world.err("AssignPrivateIpAddresses", wanted(&other, &held[1]));
    assert_eq!(refused, format!("InvalidParameterValue: Some of [{}] are assigned, but move is not allowed.", held[1]));
    let primary = wanted(&other, &held[0]).with("AllowReassignment", true);
    assert!(world.err("AssignPrivateIpAddresses", primary).starts_with("InvalidParameterValue: "));
    world.ok("AssignPrivateIpAddresses", wanted(&other, &held[1]).with("AllowReassignment", true));
    assert_eq!(addresses(&described(&mut world, &one)), [held[0].clone(), held[2].clone()]);
    assert_eq!(addresses(&described(&mut world, &other))[1], held[1]);
    let first = world.err("UnassignPrivateIpAddresses", wanted(&one, &held[0]));
    assert!(first.contains("cannot be unassigned"), "{first}");
    world.ok("UnassignPrivateIpAddresses", wanted(&one, &held[2]));
    assert!(world.err("UnassignPrivateIpAddresses", wanted(&one, &held[2])).starts_with("InvalidParameterValue: "));
    assert_eq!(world.account.whole(), Ok(()));

    let primary = world.instance(&id).structures("NetworkInterfaces").next().unwrap().clone();
    let primary = primary.string("NetworkInterfaceId").unwrap();
    let _ = world.account.take_changes();
    let most =
        instance_type::named(world.instance(&id).string("InstanceType").unwrap()).unwrap().addresses_per_interface();
    let more = |count: u64| named(primary).with("SecondaryPrivateIpAddressCount", i64::try_from(count).unwrap());
    let refused = world.err("AssignPrivateIpAddresses", more(most));
    assert_eq!(refused, "PrivateIpAddressLimitExceeded: Number of private addresses will exceed limit.");
    world.ok("AssignPrivateIpAddresses", more(most - 1));
    assert_eq!(world.account.take_changes().len(), 1, "the switch hears of it");
    let told = world.account.metadata(primary).unwrap().tree;
    let (_, lines) = told.iter().find(|(path, _)| path.ends_with("/local-ipv4s")).unwrap();
    assert_eq!(lines.lines().count() as u64, most);
}

#[test]
fn attributes_are_changed_one_by_one() {
    let mut world = World::new();
    let id = world.running();
    let eni = world
        .instance(&id)
        .structures("NetworkInterfaces")
        .next()
        .unwrap()
        .string("NetworkInterfaceId")
        .unwrap()
        .to_owned();
    let value = |value: Value| Structure::new().with("Value", value);
    let attribute = |world: &mut World, name: &str| {
        world.ok("DescribeNetworkInterfaceAttribute", named(&eni).with("Attribute", name))
    };
    world.ok("ModifyNetworkInterfaceAttribute", named(&eni).with("Description", value("new".into())));
    assert_eq!(attribute(&mut world, "description").structure("Description").unwrap().string("Value"), Some("new"));
    world.ok("ModifyNetworkInterfaceAttribute", named(&eni).with("SourceDestCheck", value(false.into())));
    let check = attribute(&mut world, "sourceDestCheck").structure("SourceDestCheck").unwrap().boolean("Value");
    assert_eq!((check, world.instance(&id).boolean("SourceDestCheck")), (Some(false), Some(false)));
    world.ok("ResetNetworkInterfaceAttribute", named(&eni).with("SourceDestCheck", "true"));
    assert_eq!(world.instance(&id).boolean("SourceDestCheck"), Some(true));
    let group = world.ok("CreateSecurityGroup", Structure::new().with("GroupName", "g").with("Description", "x"));
    let group = group.string("GroupId").unwrap();
    world.ok("ModifyNetworkInterfaceAttribute", named(&eni).with("Groups", vec![group]));
    let groups = attribute(&mut world, "groupSet");
    assert_eq!(groups.structures("Groups").next().unwrap().string("GroupId"), Some(group));
    assert!(attribute(&mut world, "attachment").structure("Attachment").is_some());
    let several = named(&eni).with("Groups", vec![group]).with("Description", value("x".into()));
    assert!(world.err("ModifyNetworkInterfaceAttribute", several).starts_with("InvalidParameterCombination: "));
    assert!(world.err("ModifyNetworkInterfaceAttribute", named(&eni)).starts_with("InvalidParameterCombination: "));

    world.ok("ModifyNetworkInterfaceAttribute", named(&eni).with("AssociatePublicIpAddress", false));
    assert_eq!(world.instance(&id).string("PublicIpAddress"), None);
    world.ok("ModifyNetworkInterfaceAttribute", named(&eni).with("AssociatePublicIpAddress", true));
    assert!(world.instance(&id).string("PublicIpAddress").is_some());
}

#[test]
fn several_come_with_a_launch() {
    let mut world = World::new();
    let probe = world.running();
    let subnet = subnet_of(&mut world, &probe, true);
    let eni = interface(&mut world, &subnet);
    let new = |index: i64| Structure::new().with("DeviceIndex", index).with("SubnetId", subnet.as_str());
    let launch = world.launch();
    let with = |interfaces: Vec<Structure>| launch.clone().with("NetworkInterfaces", interfaces);
    let public = with(vec![new(0).with("AssociatePublicIpAddress", true), new(1)]);
    assert!(
        world.err("RunInstances", public).starts_with("InvalidParameterCombination: The associatePublicIPAddress ")
    );
    let twice = with(vec![new(0), new(1), new(1)]);
    if world.err("RunInstances", twice.clone()).starts_with("AttachmentLimitExceeded") {
        assert!(world.err("RunInstances", with(vec![new(0), new(0)])).contains("unique device index"));
    }
    let groups = with(vec![named(&eni).with("DeviceIndex", 0_i64).with("SubnetId", subnet.as_str())]);
    assert!(world.err("RunInstances", groups).starts_with("InvalidParameterCombination: "));
    let existing = named(&eni).with("DeviceIndex", 1_i64);
    let several = with(vec![existing.clone(), new(0).with("SecondaryPrivateIpAddressCount", 1_i64)]);
    assert!(
        world.err("RunInstances", several.clone().with("MaxCount", 2_i64)).starts_with("InvalidParameterCombination: ")
    );
    world.effects.clear();
    let answer = world.ok("RunInstances", several.clone());
    let id = instance_id(&answer);
    let [Effect::Start(start)] = &world.effects[..] else { panic!("{:?}", world.effects) };
    assert_eq!((start.machine.nics[0].addresses.len(), start.machine.nics[1].id.as_str()), (2, eni.as_str()));
    world.settle();
    assert!(world.err("RunInstances", several).starts_with("InvalidNetworkInterface.InUse: "));
    let instance = world.instance(&id);
    assert_eq!((instance.list("NetworkInterfaces").len(), instance.string("PublicIpAddress")), (2, None));
    world.ok("TerminateInstances", ids(&[&id]));
    world.settle();
    assert_eq!(status(&mut world, &eni), ("available".to_owned(), None));
    assert_eq!(world.ok("DescribeNetworkInterfaces", Structure::new()).list("NetworkInterfaces").len(), 2);

    let alone = world.launch().with("NetworkInterfaces", vec![named(&eni).with("DeviceIndex", 0_i64)]);
    let id = instance_id(&world.ok("RunInstances", alone));
    world.settle();
    assert_eq!(world.instance(&id).string("PublicIpAddress"), None);
    assert_eq!(world.account.whole(), Ok(()));
}
