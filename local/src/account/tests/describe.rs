//! Describe: filters, pages, and what a fresh account holds.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

fn instance_ids(answer: &Structure) -> Vec<String> {
    let instances = answer.structures("Reservations").flat_map(|r| r.structures("Instances"));
    instances.map(|i| i.string("InstanceId").unwrap().to_owned()).collect()
}

#[test]
fn a_fresh_account_has_a_default_network_in_each_region() {
    let mut world = World::new();
    for (action, member, count) in [
        ("DescribeVpcs", "Vpcs", 1),
        ("DescribeSubnets", "Subnets", 3),
        ("DescribeRouteTables", "RouteTables", 1),
        ("DescribeInternetGateways", "InternetGateways", 1),
        ("DescribeSecurityGroups", "SecurityGroups", 1),
        ("DescribeSecurityGroupRules", "SecurityGroupRules", 2),
        ("DescribeImages", "Images", 2),
        ("DescribeAvailabilityZones", "AvailabilityZones", 3),
        ("DescribeRegions", "Regions", place::REGIONS.len()),
        ("DescribeInstances", "Reservations", 0),
        ("DescribeKeyPairs", "KeyPairs", 0),
        ("DescribeVolumes", "Volumes", 0),
        ("DescribeAccountAttributes", "AccountAttributes", 6),
    ] {
        assert_eq!(world.ok(action, Structure::new()).list(member).len(), count, "{action}");
    }
    let vpc = world
        .ok("DescribeVpcs", Structure::new())
        .structures("Vpcs")
        .next()
        .unwrap()
        .string("VpcId")
        .unwrap()
        .to_owned();
    for attribute in ["enableDnsSupport", "enableDnsHostnames"] {
        world.ok("DescribeVpcAttribute", Structure::new().with("VpcId", vpc.as_str()).with("Attribute", attribute));
    }
    let offers = world.ok(
        "DescribeInstanceTypeOfferings",
        Structure::new().with("LocationType", "availability-zone").with("MaxResults", 5_i64),
    );
    assert_eq!(offers.list("InstanceTypeOfferings").len(), 5);
    assert!(
        world
            .err("DescribeInstanceTypes", Structure::new().with("InstanceTypes", vec!["x.y"]))
            .starts_with("InvalidInstanceType: ")
    );
}

/// All pages of a listing.
fn pages(world: &mut World, action: &str, member: &str, input: &Structure) -> Vec<Vec<Structure>> {
    let (mut pages, mut input) = (Vec::new(), input.clone());
    loop {
        let answer = world.ok(action, input.clone());
        pages.push(answer.structures(member).cloned().collect());
        let Some(next) = answer.string("NextToken") else { return pages };
        input.set("NextToken", next);
    }
}

#[test]
fn instance_types_come_in_pages_and_by_any_filter() {
    let mut world = World::new();
    let all = pages(&mut world, "DescribeInstanceTypes", "InstanceTypes", &Structure::new());
    assert_eq!(all[0].len(), 100, "so many come where nothing is said");
    let names: Vec<&str> = all.iter().flatten().map(|shown| shown.string("InstanceType").unwrap()).collect();
    assert!(names.len() > 1300 && names.is_sorted_by(|a, b| a < b), "{}", names.len());
    for family in ["t1", "m4", "c7i-flex", "m8g", "p5", "u7in-32tb", "mac2", "trn1"] {
        assert!(names.iter().any(|name| name.starts_with(&format!("{family}."))), "{family}");
    }
    let mut found = |wanted: &[(&str, &[&str])]| -> Vec<String> {
        let found = pages(&mut world, "DescribeInstanceTypes", "InstanceTypes", &filters(wanted));
        found.iter().flatten().map(|shown| shown.string("InstanceType").unwrap().to_owned()).collect()
    };
    assert_eq!(
        found(&[("instance-type", &["t2.*"]), ("vcpu-info.default-vcpus", &["1"])]),
        ["t2.micro", "t2.nano", "t2.small"]
    );
    assert_eq!(found(&[("hypervisor", &["xen"]), ("free-tier-eligible", &["true"])]), [""; 0]);
    let disk = [("instance-storage-info.disk.size-in-gb", &["7500"][..]), ("bare-metal", &["true"])];
    assert_eq!(found(&[disk[0], disk[1], ("instance-type", &["i8g*"])]), ["i8ge.metal-24xl", "i8ge.metal-48xl"]);
    assert_eq!(
        found(&[("ebs-info.ebs-optimized-info.maximum-iops", &["18750"]), ("instance-type", &["m5d.xl*"])]),
        ["m5d.xlarge"]
    );
    assert_eq!(
        found(&[("network-info.efa-info.maximum-efa-interfaces", &["32"]), ("instance-type", &["p5.*"])]),
        ["p5.48xlarge"]
    );
    let offered = Structure::new().with("LocationType", "availability-zone");
    let offered = pages(&mut world, "DescribeInstanceTypeOfferings", "InstanceTypeOfferings", &offered);
    assert_eq!((offered[0].len(), offered.iter().flatten().count()), (1000, 3 * names.len()));
}

#[test]
fn an_instance_has_the_cores_that_its_type_allows() {
    let mut world = World::new();
    let mut launch = |instance_type: &str, cores: i64, threads: i64| {
        let options = Structure::new().with("CoreCount", cores).with("ThreadsPerCore", threads);
        let launch = world.launch().with("InstanceType", instance_type).with("CpuOptions", options);
        world.call("RunInstances", launch).map_err(|error| error.code.name())
    };
    for (instance_type, cores, threads, allowed) in [
        ("m5.4xlarge", 4, 1, true),
        ("m5.4xlarge", 3, 1, false),
        ("m5.4xlarge", 10, 1, false),
        ("m5.4xlarge", 8, 3, false),
        ("t2.micro", 1, 1, true),
        ("t2.medium", 1, 1, false),
    ] {
        let answer = launch(instance_type, cores, threads);
        assert_eq!(answer.is_ok(), allowed, "{instance_type} {cores} {threads}: {answer:?}");
    }
}

#[test]
fn what_one_request_may_name_is_bounded() {
    let mut world = World::new();
    let id = world.running();
    let status = |count| Structure::new().with("InstanceIds", vec![id.as_str(); count]);
    assert_eq!(world.ok("DescribeInstanceStatus", status(100)).list("InstanceStatuses").len(), 1);
    assert!(world.err("DescribeInstanceStatus", status(101)).starts_with("InvalidRequest: 101 exceeds the maximum"));
    let types = |count| Structure::new().with("InstanceTypes", vec!["t3.micro"; count]);
    assert_eq!(world.ok("DescribeInstanceTypes", types(100)).list("InstanceTypes").len(), 1);
    assert!(world.err("DescribeInstanceTypes", types(101)).starts_with("InvalidParameterValue: "));
}

/// A status has no tags, so what is asked for by them isn't found in vain.
#[test]
fn the_status_of_instances_is_not_filtered_by_tags() {
    let mut world = World::new();
    for name in ["tag:Name", "tag-key", "tag-value"] {
        let error = world.err("DescribeInstanceStatus", filters(&[(name, &["*"])]));
        assert_eq!(error, format!("InvalidParameterValue: The filter '{name}' is invalid"));
    }
}

#[test]
fn a_vpc_gives_public_names_or_not() {
    let mut world = World::new();
    let id = world.running();
    let vpc = world.instance(&id).string("VpcId").unwrap().to_owned();
    let of = |member: &'static str, value: bool| {
        Structure::new().with("VpcId", vpc.as_str()).with(member, Structure::new().with("Value", value))
    };
    let names = |world: &mut World| {
        let instance = world.instance(&id);
        let interface = instance.structures("NetworkInterfaces").next().unwrap().clone();
        let association = interface.structure("Association").unwrap();
        assert!(instance.string("PublicIpAddress").is_some());
        let nic = interface.string("NetworkInterfaceId").unwrap();
        let told =
            world.account.metadata(nic).unwrap().tree.iter().any(|(path, _)| path == "meta-data/public-hostname");
        (
            instance.string("PublicDnsName").unwrap().is_empty(),
            association.string("PublicDnsName").unwrap().is_empty(),
            !told,
        )
    };
    assert_eq!(names(&mut world), (false, false, false));
    world.ok("ModifyVpcAttribute", of("EnableDnsHostnames", false));
    assert_eq!(names(&mut world), (true, true, true));
    let attribute = |world: &mut World, name: &str, member: &str| {
        let input = Structure::new().with("VpcId", vpc.as_str()).with("Attribute", name);
        world.ok("DescribeVpcAttribute", input).structure(member).unwrap().boolean("Value").unwrap()
    };
    assert!(!attribute(&mut world, "enableDnsHostnames", "EnableDnsHostnames"));
    world.ok("ModifyVpcAttribute", of("EnableNetworkAddressUsageMetrics", true));
    assert!(attribute(&mut world, "enableNetworkAddressUsageMetrics", "EnableNetworkAddressUsageMetrics"));

    world.ok("ModifyVpcAttribute", of("EnableDnsSupport", true));
    assert!(attribute(&mut world, "enableDnsSupport", "EnableDnsSupport"));
    let both = of("EnableDnsSupport", true).with("EnableDnsHostnames", Structure::new().with("Value", true));
    assert_eq!(
        world.err("ModifyVpcAttribute", both),
        "InvalidParameterCombination: Fields for multiple attribute types specified: enableDnsHostnames, enableDnsSupport"
    );
    let none = Structure::new().with("VpcId", vpc.as_str());
    assert!(world.err("ModifyVpcAttribute", none).starts_with("InvalidParameterCombination: "));
    world.ok("ModifyVpcAttribute", of("EnableDnsHostnames", true));
    assert_eq!(names(&mut world), (false, false, false));
}

#[test]
fn images_by_owner_and_name() {
    let mut world = World::new();
    let names = |world: &mut World, input: Structure| -> Vec<String> {
        let answer = world.ok("DescribeImages", input);
        answer.structures("Images").map(|image| image.string("Name").unwrap().to_owned()).collect()
    };
    for owner in ["amazon", "137112412989"] {
        assert_eq!(names(&mut world, Structure::new().with("Owners", vec![owner])), ["host", "blank"]);
        assert_eq!(names(&mut world, Structure::new().with("Owners", vec![owner, "self"])), ["host", "blank"]);
    }
    for owner in ["self", "000000000000", "099720109477"] {
        assert!(names(&mut world, Structure::new().with("Owners", vec![owner])).is_empty(), "{owner}");
    }
    assert_eq!(names(&mut world, filters(&[("owner-id", &["137112412989"])])), ["host", "blank"]);
    assert!(names(&mut world, filters(&[("owner-id", &["000000000000"])])).is_empty());
    let shown = world.ok("DescribeImages", filters(&[("owner-alias", &["amazon"]), ("name", &["host"])]));
    let shown = shown.structures("Images").next().unwrap();
    assert_eq!((shown.string("OwnerId"), shown.string("ImageLocation")), (Some("137112412989"), Some("amazon/host")));
    assert!(
        world
            .err("DescribeImages", Structure::new().with("Owners", vec!["me"]))
            .starts_with("InvalidUserID.Malformed: ")
    );
    assert_eq!(names(&mut world, filters(&[("name", &["ho?t"])])), ["host"]);
    assert_eq!(names(&mut world, filters(&[("tag:os-release:ID", &["debian"]), ("state", &["available"])])), ["host"]);
    let host = world.image("host");
    let mut other = World::with(|settings| settings.seed = [1; 32]);
    assert_eq!(other.image("host"), host, "ids of images don't follow from the seed");
    let attribute = |name: &str| Structure::new().with("ImageId", host.as_str()).with("Attribute", name);
    assert!(world.ok("DescribeImageAttribute", attribute("description")).structure("Description").is_some());
    assert!(world.err("DescribeImageAttribute", attribute("blockDeviceMapping")).starts_with("AuthFailure: "));
    let permission = world.err("DescribeImageAttribute", attribute("launchPermission"));
    assert_eq!(permission, format!("AuthFailure: Not authorized for image:{host}"));
}

#[test]
fn images_that_come_and_go() {
    let mut world = World::new();
    let image = |name: &str, root: &str| {
        ImageSettings::imported(name, "mia", "ID=tiny\nPRETTY_NAME=Tiny", root, OffsetDateTime::UNIX_EPOCH)
    };
    let names = |world: &mut World, input: Structure| -> Vec<String> {
        let answer = world.ok("DescribeImages", input);
        answer.structures("Images").map(|image| image.string("Name").unwrap().to_owned()).collect()
    };
    world.account.offer(vec![image("tiny", "1"), image("other", "2")]);
    assert_eq!(names(&mut world, Structure::new()), ["host", "blank", "tiny", "other"]);
    assert_eq!(names(&mut world, Structure::new().with("Owners", vec!["self"])), ["tiny", "other"]);
    assert_eq!(names(&mut world, Structure::new().with("Owners", vec!["000000000000"])), ["tiny", "other"]);
    assert_eq!(names(&mut world, filters(&[("owner-id", &["000000000000"])])), ["tiny", "other"]);
    // They are the account's own, and nobody else's.
    assert_eq!(names(&mut world, Structure::new().with("Owners", vec!["amazon"])), ["host", "blank"]);
    assert_eq!(names(&mut world, Structure::new().with("ExecutableUsers", vec!["all"])), ["host", "blank"]);
    // Nobody shared one with this account in particular.
    for user in ["self", "000000000000", "123456789012"] {
        assert!(names(&mut world, Structure::new().with("ExecutableUsers", vec![user])).is_empty(), "{user}");
    }
    assert_eq!(names(&mut world, filters(&[("is-public", &["false"])])), ["tiny", "other"]);
    let id = world.image("tiny");
    assert_eq!(id, Account::image_id("us-east-1", "tiny"));
    let permission = Structure::new().with("ImageId", id.clone()).with("Attribute", "launchPermission");
    assert!(world.ok("DescribeImageAttribute", permission).list("LaunchPermissions").is_empty());

    let launch = world.launch().with("ImageId", id.clone());
    world.ok("RunInstances", launch.clone());
    let Some(Effect::Start(start)) = world.effects.first() else { panic!("nothing is started") };
    assert_eq!((start.root.as_deref(), start.machine.login_user.as_str()), (Some("1"), "mia"));

    // What is offered again is as it was, tags and all; what isn't is gone.
    let tag = Structure::new().with("Key", "kept").with("Value", "yes");
    world.ok("CreateTags", Structure::new().with("Resources", vec![id.clone()]).with("Tags", vec![tag]));
    world.account.offer(vec![image("tiny", "1")]);
    assert_eq!(names(&mut world, filters(&[("tag:kept", &["yes"])])), ["tiny"]);
    assert_eq!(names(&mut world, Structure::new()), ["host", "blank", "tiny"]);
    world.account.offer(vec![image("tiny", "3")]);
    assert_eq!(world.image("tiny"), id, "the id follows from the name");
    assert!(names(&mut world, filters(&[("tag:kept", &["yes"])])).is_empty());
    world.account.offer(Vec::new());
    assert!(
        world
            .err("DescribeImages", Structure::new().with("ImageIds", vec![id.clone()]))
            .starts_with("InvalidAMIID.NotFound: ")
    );
    assert!(world.err("RunInstances", launch).starts_with("InvalidAMIID.NotFound: "));
}

#[test]
fn filters_of_instances() {
    let mut world = World::new();
    let first = world.running();
    let second = world.running();
    world.ok("StopInstances", ids(&[&second]));
    world.settle();
    let instance = world.instance(&first);
    let find =
        |world: &mut World, list: &[(&str, &[&str])]| instance_ids(&world.ok("DescribeInstances", filters(list)));
    assert_eq!(find(&mut world, &[("instance-state-name", &["running"])]), [first.as_str()]);
    assert_eq!(
        find(&mut world, &[("instance-state-name", &["running", "stopped"])]),
        [first.as_str(), second.as_str()]
    );
    assert_eq!(find(&mut world, &[("instance-state-code", &["80"])]), [second.as_str()]);
    assert_eq!(
        find(&mut world, &[("instance-id", &[&first, &second]), ("instance-state-name", &["stopped"])]),
        [second.as_str()]
    );
    for (name, member) in
        [("ip-address", "PublicIpAddress"), ("private-ip-address", "PrivateIpAddress"), ("dns-name", "PublicDnsName")]
    {
        assert_eq!(find(&mut world, &[(name, &[instance.string(member).unwrap()])]), [first.as_str()], "{name}");
    }
    assert_eq!(find(&mut world, &[("network-interface.addresses.primary", &["true"])]).len(), 2);
    assert_eq!(find(&mut world, &[("launch-time", &["2026-11-22T*"])]).len(), 2);
    assert_eq!(find(&mut world, &[("iam-instance-profile.arn", &["*"])]).len(), 0);
    assert_eq!(
        world.err("DescribeInstances", filters(&[("colour", &["red"])])),
        "InvalidParameterValue: The filter 'colour' is invalid"
    );
    assert_eq!(world.err("DescribeInstances", ids(&["i-1"])), "InvalidInstanceID.Malformed: Invalid id: \"i-1\"");
    let error = world.err("DescribeInstances", ids(&["i-0123456789abcdef0", "i-0123456789abcdef1", &first]));
    assert_eq!(
        error,
        "InvalidInstanceID.NotFound: The instance IDs 'i-0123456789abcdef0, i-0123456789abcdef1' do not exist"
    );
    let error = world.err("DescribeInstances", ids(&[&first]).with("MaxResults", 5_i64));
    assert_eq!(
        error,
        "InvalidParameterCombination: The parameter instancesSet cannot be used with the parameter maxResults"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// Pages hold every instance once, in order, whatever their size, also while others come.
    #[test]
    fn pages_are_whole(count in 1_i64..40, size in 5_i64..12, split in any::<bool>()) {
        let mut world = World::new();
        if split {
            for _ in 0..count { world.run(); }
        } else {
            let launch = world.launch().with("MaxCount", count);
            world.ok("RunInstances", launch);
        }
        let all = instance_ids(&world.ok("DescribeInstances", Structure::new()));
        prop_assert_eq!(all.len() as i64, count);
        let mut paged = Vec::new();
        let mut token: Option<String> = None;
        loop {
            let input = Structure::new().with("MaxResults", size).with_some("NextToken", token.clone());
            let page = world.ok("DescribeInstances", input);
            let ids = instance_ids(&page);
            prop_assert!(ids.len() as i64 <= size && !ids.is_empty());
            paged.extend(ids);
            token = page.string("NextToken").map(str::to_owned);
            if token.is_none() { break; }
        }
        prop_assert_eq!(&paged, &all);
        prop_assert_eq!(paged.iter().collect::<BTreeSet<_>>().len() as i64, count);
    }
}

#[test]
fn a_thousand_instances_take_no_time() {
    let mut world = World::new();
    let image = world.image("blank");
    let launch = Structure::new().with("ImageId", image).with("InstanceType", "t3.micro");
    let tags = Structure::new().with("Key", "run").with("Value", "a");
    let tags = Structure::new().with("ResourceType", "instance").with("Tags", vec![tags]);
    for count in [1_i64, 999] {
        let mut launch = launch.clone().with("MinCount", count).with("MaxCount", count);
        if count == 1 {
            launch.set("TagSpecifications", vec![tags.clone()]);
        }
        world.ok("RunInstances", launch);
    }
    world.settle();
    assert_eq!(world.account.live_instances(), 1000);
    // Were this quadratic, or were every instance laid out for each of these, it would take minutes.
    for _ in 0..1000 {
        let answer = world.ok("DescribeInstances", filters(&[("tag:run", &["a"])]));
        assert_eq!(answer.list("Reservations").len(), 1);
    }
    let running = world.ok("DescribeInstances", filters(&[("instance-state-name", &["running"])]));
    let all = instance_ids(&running);
    assert_eq!(all.len(), 1000);
    let addresses: BTreeSet<&str> = running
        .structures("Reservations")
        .flat_map(|r| r.structures("Instances"))
        .map(|i| i.string("PublicIpAddress").unwrap())
        .collect();
    assert_eq!(addresses.len(), 1000);
    world.ok("TerminateInstances", Structure::new().with("InstanceIds", all));
    world.settle();
    assert_eq!(world.account.live_instances(), 0);
    world.pass(Duration::from_secs(3601));
    assert!(world.ok("DescribeInstances", Structure::new()).list("Reservations").is_empty());
}
