//! What there is no room for: quotas, capacity, and accounts without a default VPC.

use super::*;

/// A launch of blank instances of two vCPUs each.
fn launch(world: &mut World, least: i64, most: i64) -> Structure {
    let image = world.image("blank");
    let launch = Structure::new().with("ImageId", image).with("InstanceType", "t3.micro");
    launch.with("MinCount", least).with("MaxCount", most)
}

fn in_zone(launch: Structure, zone: &str) -> Structure {
    launch.with("Placement", Structure::new().with("AvailabilityZone", zone))
}

/// The zones of the instances that a launch makes.
fn zones(world: &mut World, launch: Structure) -> Vec<String> {
    let answer = world.ok("RunInstances", launch);
    world.settle();
    let zone = |instance: &Structure| instance.structure("Placement")?.string("AvailabilityZone").map(str::to_owned);
    answer.structures("Instances").filter_map(zone).collect()
}

fn capacity(bounds: &[&str]) -> Vec<Capacity> {
    bounds.iter().map(|bound| bound.parse().unwrap()).collect()
}

#[test]
fn as_many_as_fit_are_launched_unless_they_are_too_few() {
    let mut world = World::with(|settings| settings.quotas.instances = 3);
    let none = launch(&mut world, 4, 9);
    assert_eq!(
        world.err("RunInstances", none),
        "InstanceLimitExceeded: You have requested more instances (4) than your current instance limit of 3 allows for the \
         specified instance type. Please visit http://aws.amazon.com/contact-us/ec2-request to request an adjustment to \
         this limit."
    );
    assert!(world.effects.is_empty());
    let some = launch(&mut world, 1, 9);
    assert_eq!(zones(&mut world, some).len(), 3);
    let one = launch(&mut world, 1, 1);
    assert!(world.err("RunInstances", one.clone()).starts_with("InstanceLimitExceeded: "));
    let elsewhere = world.account.call(world.now, "eu-west-1", "RunInstances", &one).unwrap_err();
    assert_eq!(elsewhere.code, Code::InvalidAmiIdNotFound, "quotas are of one region");
}

#[test]
fn what_is_stopped_makes_room_and_needs_room_to_start() {
    let mut world = World::with(|settings| settings.quotas.vcpus = Some(5));
    let two = launch(&mut world, 1, 9);
    assert_eq!(zones(&mut world, two).len(), 2, "a t3.micro has two vCPUs");
    let one = launch(&mut world, 1, 1);
    assert!(
        world.err("RunInstances", one.clone()).starts_with("VcpuLimitExceeded: You have requested more vCPU capacity")
    );
    let running = world.ok("DescribeInstances", Structure::new());
    let all: Vec<String> = running
        .structures("Reservations")
        .flat_map(|reservation| reservation.structures("Instances"))
        .map(|instance| instance.string("InstanceId").unwrap().to_owned())
        .collect();
    let all = Structure::new().with("InstanceIds", all);
    world.ok("StopInstances", all.clone());
    assert!(world.err("RunInstances", one.clone()).starts_with("VcpuLimitExceeded: "), "they are stopping");
    world.settle();
    world.ok("RunInstances", one);
    world.settle();
    assert!(world.err("StartInstances", all.clone()).starts_with("VcpuLimitExceeded: "), "one would fit, not both");
    assert_eq!(
        world.ok("DescribeInstances", filters(&[("instance-state-name", &["stopped"])])).list("Reservations").len(),
        1
    );
}

#[test]
fn a_zone_has_room_for_so_many() {
    let bounds = capacity(&["us-east-1a/t3.micro=2", "us-east-1b/*=0"]);
    let mut world = World::with(|settings| settings.capacity = bounds);
    let base = launch(&mut world, 1, 9);
    assert_eq!(
        world.err("RunInstances", in_zone(base.clone(), "us-east-1b")),
        "InsufficientInstanceCapacity: We currently do not have sufficient t3.micro capacity in the Availability Zone you \
         requested (us-east-1b). Our system will be working on provisioning additional capacity. You can currently get \
         t3.micro capacity by not specifying an Availability Zone in your request or choosing us-east-1a, us-east-1c."
    );
    let too_many = in_zone(launch(&mut world, 3, 9), "us-east-1a");
    assert!(world.err("RunInstances", too_many).starts_with("InsufficientInstanceCapacity: "));
    assert_eq!(zones(&mut world, in_zone(base.clone(), "us-east-1a")), ["us-east-1a"; 2]);
    assert_eq!(
        zones(&mut world, base.with("MaxCount", 1_i64)),
        ["us-east-1c"],
        "where no zone is named, one with room"
    );
    let small = launch(&mut world, 1, 1).with("InstanceType", "t3.small");
    assert_eq!(zones(&mut world, in_zone(small, "us-east-1a")), ["us-east-1a"], "the bound is on another type");
}

#[test]
fn a_stopped_instance_may_find_its_place_taken() {
    let bounds = capacity(&["*/*=1"]);
    let mut world = World::with(|settings| settings.capacity = bounds);
    let one = in_zone(launch(&mut world, 1, 1), "us-east-1a");
    let first = instance_id(&world.ok("RunInstances", one.clone()));
    world.settle();
    world.ok("StopInstances", ids(&[&first]));
    world.settle();
    world.ok("RunInstances", one);
    assert!(world.err("StartInstances", ids(&[&first])).starts_with("InsufficientInstanceCapacity: "));
    assert_eq!(world.state(&first), "stopped");
}

#[test]
fn keys_groups_and_rules_have_quotas() {
    let mut world = World::with(|settings| {
        settings.quotas.key_pairs = 1;
        settings.quotas.security_groups = 2;
        settings.quotas.rules_per_security_group = 1;
    });
    let key = |name: &str| Structure::new().with("KeyName", name).with("KeyType", "ed25519");
    world.ok("CreateKeyPair", key("first"));
    assert!(world.err("CreateKeyPair", key("second")).starts_with("KeyPairLimitExceeded: "));
    world.ok("DeleteKeyPair", Structure::new().with("KeyName", "first"));
    world.ok("CreateKeyPair", key("second"));

    let group = |name: &str| Structure::new().with("GroupName", name).with("Description", "x");
    world.ok("CreateSecurityGroup", group("first"));
    let error = world.err("CreateSecurityGroup", group("second"));
    assert!(
        error.starts_with("SecurityGroupLimitExceeded: The maximum number of security groups for VPC 'vpc-"),
        "{error}"
    );

    let rule = |port: i64| {
        let rule = Structure::new().with("GroupName", "first").with("IpProtocol", "tcp").with("CidrIp", "10.0.0.0/8");
        rule.with("FromPort", port).with("ToPort", port)
    };
    world.ok("AuthorizeSecurityGroupIngress", rule(1));
    assert_eq!(
        world.err("AuthorizeSecurityGroupIngress", rule(2)),
        "RulesPerSecurityGroupLimitExceeded: The maximum number of rules per security group has been reached."
    );
}

#[test]
fn rules_of_each_family_have_the_quota_for_themselves() {
    let mut world = World::with(|settings| settings.quotas.rules_per_security_group = 2);
    let group = Structure::new().with("GroupName", "web").with("Description", "x");
    let id = world.ok("CreateSecurityGroup", group).string("GroupId").unwrap().to_owned();
    let rule = |list: &'static str, member: &'static str, peer: &str| {
        let peers = vec![Structure::new().with(member, peer)];
        let permission = Structure::new().with("IpProtocol", "tcp").with("FromPort", 22_i64).with("ToPort", 22_i64);
        Structure::new().with("GroupId", id.as_str()).with("IpPermissions", vec![permission.with(list, peers)])
    };
    let v4 = |peer: &str| rule("IpRanges", "CidrIp", peer);
    let v6 = |peer: &str| rule("Ipv6Ranges", "CidrIpv6", peer);
    world.ok("AuthorizeSecurityGroupIngress", v4("10.0.0.0/8"));
    world.ok("AuthorizeSecurityGroupIngress", v6("2001:db8::/32"));
    // One that names a group is of both.
    world.ok("AuthorizeSecurityGroupIngress", rule("UserIdGroupPairs", "GroupId", &id));
    for full in [v4("11.0.0.0/8"), v6("2001:db9::/32")] {
        let error = world.err("AuthorizeSecurityGroupIngress", full);
        assert!(error.starts_with("RulesPerSecurityGroupLimitExceeded: "), "{error}");
    }
    // The other direction has one rule already, which lets all out by IPv4.
    world.ok("AuthorizeSecurityGroupEgress", v4("11.0.0.0/8"));
    for free in ["2001:db8::/32", "2001:db9::/32"] {
        world.ok("AuthorizeSecurityGroupEgress", v6(free));
    }
}

#[test]
fn an_account_without_a_default_vpc_must_be_told_where() {
    let mut world = World::with(|settings| settings.default_vpc = false);
    for (action, member) in
        [("DescribeVpcs", "Vpcs"), ("DescribeSubnets", "Subnets"), ("DescribeSecurityGroups", "SecurityGroups")]
    {
        assert!(world.ok(action, Structure::new()).list(member).is_empty(), "{action}");
    }
    let attributes =
        world.ok("DescribeAccountAttributes", Structure::new().with("AttributeNames", vec!["default-vpc"]));
    let attribute = attributes.structures("AccountAttributes").next().unwrap();
    assert_eq!(attribute.structures("AttributeValues").next().unwrap().string("AttributeValue"), Some("none"));

    let one = launch(&mut world, 1, 1);
    let group = Structure::new().with("GroupName", "g").with("Description", "x");
    for (action, input) in [
        ("RunInstances", one.clone()),
        ("CreateSecurityGroup", group.clone()),
        ("DeleteSecurityGroup", Structure::new().with("GroupName", "g")),
    ] {
        let error = world.err(action, input);
        assert!(error.starts_with("VPCIdNotSpecified: No default VPC for this user"), "{action}: {error}");
    }

    let made = world.ok("CreateDefaultVpc", Structure::new());
    assert_eq!(made.structure("Vpc").unwrap().boolean("IsDefault"), Some(true));
    assert!(world.err("CreateDefaultVpc", Structure::new()).starts_with("DefaultVpcAlreadyExists: "));
    world.ok("CreateSecurityGroup", group);
    world.ok("RunInstances", one);
    assert_eq!(world.ok("DescribeSubnets", Structure::new()).list("Subnets").len(), 3);
}
