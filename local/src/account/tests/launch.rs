//! RunInstances: what it takes, and what it refuses.

use super::*;

fn refused(change: impl FnOnce(Structure) -> Structure) -> String {
    let mut world = World::new();
    let launch = world.launch();
    let error = world.err("RunInstances", change(launch));
    assert!(world.effects.is_empty());
    assert!(world.ok("DescribeInstances", Structure::new()).list("Reservations").is_empty());
    assert!(world.ok("DescribeNetworkInterfaces", Structure::new()).list("NetworkInterfaces").is_empty());
    error
}

fn one(member: &'static str, value: impl Into<crate::wire::Value>) -> Structure {
    Structure::new().with(member, value)
}

#[test]
fn refusals() {
    type Change = fn(Structure) -> Structure;
    let cases: &[(&str, Change)] = &[
        ("InvalidAMIID.Malformed: Invalid id: \"debian\" (expecting \"ami-...\")", |l| l.with("ImageId", "debian")),
        ("InvalidAMIID.NotFound: The image id '[ami-0123456789abcdef0]' does not exist", |l| {
            l.with("ImageId", "ami-0123456789abcdef0")
        }),
        ("InvalidParameterValue: Invalid value 't9.huge' for InstanceType.", |l| l.with("InstanceType", "t9.huge")),
        ("InvalidParameterValue: Value (0) for parameter minCount", |l| l.with("MinCount", 0_i64)),
        ("InvalidParameterValue: Value (1) for parameter maxCount", |l| l.with("MinCount", 2_i64)),
        ("InsufficientFreeAddressesInSubnet: ", |l| l.with("MinCount", 5000_i64).with("MaxCount", 5000_i64)),
        ("InstanceLimitExceeded: ", |l| l.with("MinCount", i64::MAX).with("MaxCount", i64::MAX)),
        ("InvalidKeyPair.NotFound: The key pair 'nope' does not exist", |l| l.with("KeyName", "nope")),
        ("InvalidGroup.NotFound: The security group 'sg-0123456789abcdef0' does not exist", |l| {
            l.with("SecurityGroupIds", vec!["sg-0123456789abcdef0"])
        }),
        ("InvalidGroupId.Malformed: ", |l| l.with("SecurityGroupIds", vec!["default"])),
        ("InvalidGroup.NotFound: The security group 'nope' does not exist in default VPC", |l| {
            l.with("SecurityGroups", vec!["nope"])
        }),
        ("InvalidSubnetID.NotFound: The subnet ID 'subnet-0123456789abcdef0' does not exist", |l| {
            l.with("SubnetId", "subnet-0123456789abcdef0")
        }),
        ("InvalidParameterValue: Invalid availability zone: [us-east-1z]", |l| {
            l.with("Placement", one("AvailabilityZone", "us-east-1z"))
        }),
        ("UnsupportedOperation: A tenancy", |l| l.with("Placement", one("Tenancy", "dedicated"))),
        ("InvalidPlacementGroup.Unknown: The Placement Group 'x' is unknown.", |l| {
            l.with("Placement", one("GroupName", "x"))
        }),
        ("InvalidParameterValue: Invalid BASE64 encoding of user data.", |l| l.with("UserData", "#!/bin/sh")),
        ("UnsupportedOperation: The market type 'capacity-block' ", |l| {
            l.with("InstanceMarketOptions", one("MarketType", "capacity-block"))
        }),
        ("UnsupportedOperation: The parameter HibernationOptions ", |l| {
            l.with("HibernationOptions", one("Configured", true))
        }),
        ("InvalidParameterValue: 'vpc' is not a valid taggable resource type for this operation.", |l| {
            l.with("TagSpecifications", vec![one("ResourceType", "vpc").with("Tags", vec![one("Key", "a")])])
        }),
        ("InvalidParameterValue: 'elastic-gpu' is not a valid taggable resource type", |l| {
            l.with("TagSpecifications", vec![one("ResourceType", "elastic-gpu").with("Tags", vec![one("Key", "a")])])
        }),
        ("InvalidParameterValue: You cannot specify tags for Spot instances requests", |l| {
            let tags = one("ResourceType", "spot-instances-request").with("Tags", vec![one("Key", "a")]);
            l.with("TagSpecifications", vec![tags])
        }),
        ("InvalidParameterValue: Tag specification must have at least one tag", |l| {
            l.with("TagSpecifications", vec![one("ResourceType", "instance")])
        }),
        ("InvalidParameterValue: Tag specification resource type must have a value", |l| {
            l.with("TagSpecifications", vec![one("Tags", vec![one("Key", "a")])])
        }),
        ("InvalidParameterValue: 'a/b' is not a valid tag key.", |l| {
            let tags = one("ResourceType", "instance").with("Tags", vec![one("Key", "a/b")]);
            l.with("TagSpecifications", vec![tags]).with("MetadataOptions", one("InstanceMetadataTags", "enabled"))
        }),
        ("InvalidParameterValue: Value (65) for parameter HttpPutResponseHopLimit", |l| {
            l.with("MetadataOptions", one("HttpPutResponseHopLimit", 65_i64))
        }),
        ("InvalidBlockDeviceMapping: Volume of size 7GB is smaller than snapshot", |l| {
            l.with("BlockDeviceMappings", vec![one("DeviceName", "/dev/sda1").with("Ebs", one("VolumeSize", 7_i64))])
        }),
        ("UnknownVolumeType: ", |l| {
            l.with("BlockDeviceMappings", vec![one("DeviceName", "/dev/sda1").with("Ebs", one("VolumeType", "gp9"))])
        }),
        ("InvalidParameterCombination: The parameter iops is not supported for gp2 volumes.", |l| {
            let ebs = one("VolumeType", "gp2").with("Iops", 3000_i64);
            l.with("BlockDeviceMappings", vec![one("DeviceName", "/dev/sda1").with("Ebs", ebs)])
        }),
        ("MissingParameter: The parameter iops must be specified for io2 volumes.", |l| {
            l.with("BlockDeviceMappings", vec![one("DeviceName", "/dev/sda1").with("Ebs", one("VolumeType", "io2"))])
        }),
        ("InvalidBlockDeviceMapping: The volume type of the root device", |l| {
            let ebs = one("VolumeType", "st1").with("VolumeSize", 200_i64);
            l.with("BlockDeviceMappings", vec![one("DeviceName", "/dev/sda1").with("Ebs", ebs)])
        }),
        ("InvalidBlockDeviceMapping: The virtual name 'ephemeral24'", |l| {
            l.with("BlockDeviceMappings", vec![one("DeviceName", "/dev/sdf").with("VirtualName", "ephemeral24")])
        }),
        ("InvalidParameterDependency: The parameter KmsKeyId requires", |l| {
            let ebs = one("VolumeSize", 1_i64).with("KmsKeyId", "alias/mine");
            l.with("BlockDeviceMappings", vec![one("DeviceName", "/dev/sdf").with("Ebs", ebs)])
        }),
        ("AttachmentLimitExceeded: ", |l| {
            let mapping = |n: char| one("DeviceName", format!("/dev/xvdb{n}")).with("Ebs", one("VolumeSize", 1_i64));
            l.with(
                "BlockDeviceMappings",
                ('a'..='z')
                    .map(mapping)
                    .chain([one("DeviceName", "/dev/sdf").with("Ebs", one("VolumeSize", 1_i64))])
                    .collect::<Vec<_>>(),
            )
        }),
        ("InvalidBlockDeviceMapping: Duplicate device name /dev/sda1", |l| {
            let mapping = one("DeviceName", "/dev/sda1").with("Ebs", one("VolumeSize", 9_i64));
            l.with("BlockDeviceMappings", vec![mapping.clone(), mapping])
        }),
        ("InvalidParameterCombination: Network interfaces and an instance-level subnet ID", |l| {
            l.with("NetworkInterfaces", vec![one("DeviceIndex", 0_i64)]).with("SubnetId", "subnet-0123456789abcdef0")
        }),
        ("InvalidParameterCombination: Network interfaces and an instance-level security groups", |l| {
            l.with("NetworkInterfaces", vec![one("DeviceIndex", 0_i64)]).with("SecurityGroups", vec!["default"])
        }),
        ("MissingParameter: The request must contain the parameter NetworkInterface.DeviceIndex", |l| {
            l.with("NetworkInterfaces", vec![one("Description", "x")])
        }),
        ("InvalidParameterCombination: The associatePublicIPAddress parameter", |l| {
            let first = one("DeviceIndex", 0_i64).with("AssociatePublicIpAddress", true);
            l.with("NetworkInterfaces", vec![first, one("DeviceIndex", 1_i64)])
        }),
        ("InvalidParameterValue: Address 10.0.0.1 does not fall within", |l| l.with("PrivateIpAddress", "10.0.0.1")),
        ("InvalidParameterValue: Address 172.31.0.3 is in subnet's reserved", |l| {
            l.with("PrivateIpAddress", "172.31.0.3")
        }),
        ("InvalidParameterValue: Value (x) for parameter address", |l| l.with("PrivateIpAddress", "x")),
        ("InvalidParameterCombination: The parameter privateIpAddress", |l| {
            l.with("PrivateIpAddress", "172.31.0.9").with("MaxCount", 2_i64)
        }),
        ("InvalidParameterCombination: CoreCount and ThreadsPerCore", |l| {
            l.with("CpuOptions", one("CoreCount", 1_i64))
        }),
        ("InvalidParameterValue: Value (", |l| l.with("ClientToken", "x".repeat(65))),
    ];
    for (expected, change) in cases {
        let error = refused(change);
        assert!(error.starts_with(expected), "{error}, not {expected}");
    }
    let too_long = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, vec![0; 16385]);
    assert_eq!(refused(|l| l.with("UserData", too_long)), "InvalidParameterValue: User data is limited to 16384 bytes");
    let other = if Architecture::host() == Architecture::Arm64 { "t3.micro" } else { "t4g.micro" };
    assert!(refused(|l| l.with("InstanceType", other)).starts_with("InvalidParameterValue: The architecture"));
    assert_eq!(
        refused(|l| l.with("DryRun", true)),
        "DryRunOperation: Request would have succeeded, but DryRun flag is set."
    );
    assert!(refused(|l| l.with("DryRun", true).with("KeyName", "nope")).starts_with("InvalidKeyPair.NotFound"));
}

#[test]
fn without_a_type_it_is_one_that_runs_no_image_of_today() {
    let mut world = World::new();
    let image = world.image("blank");
    let launch = one("ImageId", image).with("MinCount", 1_i64).with("MaxCount", 1_i64);
    let error = world.err("RunInstances", launch);
    assert!(
        error.starts_with("InvalidParameterCombination: Non-Windows instances with a virtualization type"),
        "{error}"
    );
}

#[test]
fn what_a_launch_says_is_what_describe_shows() {
    let mut world = World::new();
    let tags = |kind: &str| one("ResourceType", kind).with("Tags", vec![one("Key", "run").with("Value", kind)]);
    let ebs = one("VolumeSize", 20_i64).with("VolumeType", "io2").with("Iops", 500_i64).with("Encrypted", true);
    let launch = world
        .launch()
        .with("MaxCount", 3_i64)
        .with("TagSpecifications", vec![tags("instance"), tags("volume"), tags("network-interface")])
        .with("BlockDeviceMappings", vec![one("DeviceName", "/dev/sda1").with("Ebs", ebs)])
        .with("Placement", one("AvailabilityZone", "us-east-1b"))
        .with("MetadataOptions", one("HttpTokens", "required").with("HttpPutResponseHopLimit", 2_i64))
        .with("Monitoring", one("Enabled", true))
        .with("EbsOptimized", true)
        .with("UserData", "aGVsbG8=");
    let answer = world.ok("RunInstances", launch);
    let instances: Vec<&Structure> = answer.structures("Instances").collect();
    let indexes: Vec<i64> = instances.iter().map(|instance| instance.integer("AmiLaunchIndex").unwrap()).collect();
    assert_eq!(indexes, [0, 1, 2]);
    let first = instances[0];
    assert_eq!(first.structure("Placement").unwrap().string("AvailabilityZone"), Some("us-east-1b"));
    assert_eq!(first.structure("MetadataOptions").unwrap().string("HttpTokens"), Some("required"));
    assert_eq!(first.structure("Monitoring").unwrap().string("State"), Some("pending"));
    assert_eq!(first.boolean("EbsOptimized"), Some(true));
    for (action, member) in [("DescribeVolumes", "Volumes"), ("DescribeNetworkInterfaces", "NetworkInterfaces")] {
        assert_eq!(world.ok(action, filters(&[("tag:run", &["*"])])).list(member).len(), 3, "{action}");
    }
    let volumes = world.ok("DescribeVolumes", Structure::new());
    let volume = volumes.structures("Volumes").next().unwrap();
    assert_eq!(
        (volume.integer("Size"), volume.integer("Iops"), volume.boolean("Encrypted")),
        (Some(20), Some(500), Some(true))
    );
    let id = first.string("InstanceId").unwrap();
    let data = world.ok("DescribeInstanceAttribute", one("InstanceId", id).with("Attribute", "userData"));
    assert_eq!(data.structure("UserData").unwrap().string("Value"), Some("aGVsbG8="));
    let reservations = world.ok("DescribeInstances", Structure::new());
    assert_eq!(reservations.list("Reservations").len(), 1);
    assert_eq!(reservations.structures("Reservations").next().unwrap().list("Instances").len(), 3);
}

#[test]
fn a_launch_answers_before_anything_is_attached() {
    let mut world = World::new();
    let launch = world.launch().with("ClientToken", "once");
    let answer = world.ok("RunInstances", launch.clone());
    let status = |instance: &Structure| {
        let interface = instance.structures("NetworkInterfaces").next().unwrap();
        interface.structure("Attachment").unwrap().string("Status").unwrap().to_owned()
    };
    let launched = first_instance(&answer);
    assert_eq!((launched.list("BlockDeviceMappings").len(), status(launched).as_str()), (0, "attaching"));
    for later in [world.instance(&instance_id(&answer)), first_instance(&world.ok("RunInstances", launch)).clone()] {
        assert_eq!((later.list("BlockDeviceMappings").len(), status(&later).as_str()), (1, "attached"));
    }
}

#[test]
fn a_blank_image_takes_further_volumes() {
    let mut world = World::new();
    let image = world.image("blank");
    let mapping = one("DeviceName", "/dev/sdf").with("Ebs", one("VolumeSize", 1_i64));
    let launch = one("ImageId", image).with("InstanceType", "t3.micro").with("MinCount", 1_i64).with("MaxCount", 1_i64);
    let answer = world.ok("RunInstances", launch.with("BlockDeviceMappings", vec![mapping]));
    let id = instance_id(&answer);
    assert_eq!(world.instance(&id).list("BlockDeviceMappings").len(), 2);
    assert!(matches!(&world.effects[..], [Effect::Start(start)] if start.kind.name() == "blank"));
}

#[test]
fn no_public_address_where_none_is_wanted() {
    let mut world = World::new();
    let interface =
        one("DeviceIndex", 0_i64).with("AssociatePublicIpAddress", false).with("PrivateIpAddress", "172.31.0.77");
    let launch = world.launch().with("NetworkInterfaces", vec![interface]);
    let id = instance_id(&world.ok("RunInstances", launch));
    world.settle();
    let instance = world.instance(&id);
    assert_eq!(instance.get("PublicIpAddress"), None);
    assert_eq!(instance.string("PrivateIpAddress"), Some("172.31.0.77"));
    let again = world.launch().with("PrivateIpAddress", "172.31.0.77");
    assert_eq!(world.err("RunInstances", again), "InvalidIPAddress.InUse: Address 172.31.0.77 is in use.");
}

#[test]
fn client_tokens() {
    let mut world = World::new();
    let launch = world.launch().with("ClientToken", "token");
    let first = world.ok("RunInstances", launch.clone());
    world.effects.clear();
    let again = world.ok("RunInstances", launch.clone());
    assert_eq!(first.string("ReservationId"), again.string("ReservationId"));
    assert_eq!(instance_id(&first), instance_id(&again));
    assert!(world.effects.is_empty());
    let other = world.err("RunInstances", launch.clone().with("MaxCount", 2_i64));
    assert!(other.starts_with("IdempotentParameterMismatch: "));
    assert_eq!(world.ok("DescribeInstances", filters(&[("client-token", &["token"])])).list("Reservations").len(), 1);
    let id = instance_id(&first);
    world.ok("TerminateInstances", ids(&[&id]));
    world.event(&id, Event::PoweredOff);
    world.settle();
    assert!(world.err("RunInstances", launch.clone()).starts_with("IdempotentInstanceTerminated: "));
    world.pass(Duration::from_secs(3601));
    assert_ne!(instance_id(&world.ok("RunInstances", launch)), id);
}

#[test]
fn all_regions_and_ids_are_apart() {
    let mut world = World::new();
    let id = world.run();
    let launch = world.launch();
    let error = world.account.call(world.now, "eu-central-1", "RunInstances", &launch).unwrap_err();
    assert_eq!(error.code, Code::InvalidAmiIdNotFound, "an image's id is of one region");
    let error = world.account.call(world.now, "eu-central-1", "DescribeInstances", &ids(&[&id])).unwrap_err();
    assert_eq!(error.code, Code::InvalidInstanceIdNotFound);
}

#[test]
fn attributes_and_when_they_can_be_changed() {
    let mut world = World::new();
    let id = world.running();
    let named = one("InstanceId", id.as_str());
    let retype = named.clone().with(
        "InstanceType",
        one("Value", if Architecture::host() == Architecture::Arm64 { "t4g.small" } else { "t3.small" }),
    );
    assert!(world.err("ModifyInstanceAttribute", retype.clone()).starts_with("IncorrectInstanceState: "));
    let both = named.clone().with("DisableApiStop", one("Value", true)).with("EbsOptimized", one("Value", true));
    assert!(world.err("ModifyInstanceAttribute", both).starts_with("InvalidParameterCombination: "));
    let error = world.err("ModifyInstanceAttribute", named.clone());
    assert_eq!(error, "InvalidParameterCombination: No attributes specified.");
    let unknown = named.clone().with("InstanceType", one("Value", "t9.huge"));
    assert!(world.err("ModifyInstanceAttribute", unknown).starts_with("InvalidInstanceAttributeValue: "));
    world.ok("ModifyInstanceAttribute", named.clone().with("Attribute", "disableApiStop").with("Value", "true"));
    assert!(world.err("StopInstances", ids(&[&id])).starts_with("OperationNotPermitted: "));
    world.ok("ModifyInstanceAttribute", named.clone().with("DisableApiStop", one("Value", false)));
    world.ok("StopInstances", ids(&[&id]));
    world.settle();
    let other = if Architecture::host() == Architecture::Arm64 { "t3.small" } else { "t4g.small" };
    let other = named.clone().with("InstanceType", one("Value", other));
    assert!(world.err("ModifyInstanceAttribute", other).starts_with("InvalidInstanceAttributeValue: "));
    world.ok("ModifyInstanceAttribute", retype);
    assert!(world.instance(&id).string("InstanceType").unwrap().ends_with(".small"));
    let volume = one("DeviceName", "/dev/sda1").with("Ebs", one("DeleteOnTermination", false));
    world.ok("ModifyInstanceAttribute", named.clone().with("BlockDeviceMappings", vec![volume]));
    let mappings = world.instance(&id);
    let mapping = mappings.structures("BlockDeviceMappings").next().unwrap();
    assert_eq!(mapping.structure("Ebs").unwrap().boolean("DeleteOnTermination"), Some(false));
    let silent = one("DeviceName", "/dev/sda1").with("Ebs", Structure::new());
    world.ok("ModifyInstanceAttribute", named.clone().with("BlockDeviceMappings", vec![silent]));
    let mapping = world.instance(&id).structures("BlockDeviceMappings").next().unwrap().clone();
    assert_eq!(mapping.structure("Ebs").unwrap().boolean("DeleteOnTermination"), Some(true), "it is the default");
    world.ok("ModifyInstanceMetadataOptions", named.clone().with("HttpTokens", "required"));
    assert_eq!(world.instance(&id).structure("MetadataOptions").unwrap().string("HttpTokens"), Some("required"));
    assert!(world.err("ModifyInstanceMetadataOptions", named).starts_with("MissingParameter: "));
}

/// Terraform and Packer send some members always, empty where they have nothing to say.
#[test]
fn what_is_empty_asks_for_nothing() {
    let mut world = World::new();
    let launch = world.launch().with("IamInstanceProfile", one("Name", "")).with("SubnetId", "").with("UserData", "");
    let answer = world.ok("RunInstances", launch.with("SecurityGroups", vec!["default"]));
    assert!(first_instance(&answer).string("SubnetId").unwrap().starts_with("subnet-"));
    for member in ["AvailabilityZone", "AvailabilityZoneId", "GroupName"] {
        let launch = world.launch().with("Placement", one(member, ""));
        let answer = world.ok("RunInstances", launch);
        let placement = first_instance(&answer).structure("Placement").unwrap();
        assert!(placement.string("AvailabilityZone").unwrap().starts_with(REGION), "{member}: {placement:?}");
    }
    let both = one("AvailabilityZone", "us-east-1b").with("AvailabilityZoneId", "").with("GroupName", "");
    let launch = world.launch().with("Placement", both);
    let answer = world.ok("RunInstances", launch);
    let placement = first_instance(&answer).structure("Placement").unwrap();
    assert_eq!(placement.string("AvailabilityZone"), Some("us-east-1b"));
}
