//! Launch templates: their versions, and what launches have of them.

use super::*;
use crate::wire::Value;

fn one(member: &'static str, value: impl Into<Value>) -> Structure {
    Structure::new().with(member, value)
}

fn tagged(kind: &str, key: &str, value: &str) -> Structure {
    one("ResourceType", kind).with("Tags", vec![one("Key", key).with("Value", value)])
}

impl World {
    fn template(&mut self, name: &str, data: Structure) -> String {
        let answer = self.ok("CreateLaunchTemplate", one("LaunchTemplateName", name).with("LaunchTemplateData", data));
        answer.structure("LaunchTemplate").unwrap().string("LaunchTemplateId").unwrap().to_owned()
    }

    fn version(&mut self, template: &str, source: Option<&str>, data: Structure) -> Structure {
        let input = one("LaunchTemplateId", template).with("LaunchTemplateData", data);
        let answer = self.ok("CreateLaunchTemplateVersion", input.with_some("SourceVersion", source));
        answer.structure("LaunchTemplateVersion").unwrap().clone()
    }

    fn versions(&mut self, input: Structure) -> Vec<i64> {
        let answer = self.ok("DescribeLaunchTemplateVersions", input);
        let versions = answer.structures("LaunchTemplateVersions");
        versions.map(|version| version.integer("VersionNumber").unwrap()).collect()
    }

    /// A launch of a template, and what more the request says.
    fn launched(&mut self, template: &str, version: &str, more: Structure) -> Structure {
        let template = one("LaunchTemplateId", template).with("Version", version);
        let launch = more.with("MinCount", 1_i64).with("MaxCount", 1_i64).with("LaunchTemplate", template);
        let id = instance_id(&self.ok("RunInstances", launch));
        self.settle();
        self.instance(&id)
    }
}

fn tags(of: &Structure) -> Vec<(&str, &str)> {
    of.structures("Tags").map(|tag| (tag.string("Key").unwrap(), tag.string("Value").unwrap())).collect()
}

#[test]
fn versions_are_numbered_and_numbers_never_given_twice() {
    let mut world = World::new();
    let id = world.template("web", one("InstanceType", "t3.micro"));
    let mapping = one("DeviceName", "/dev/sdf").with("Ebs", one("SnapshotId", "snap-1").with("VolumeSize", 9_i64));
    world.version(&id, None, one("BlockDeviceMappings", vec![mapping]).with("KeyName", "k"));
    let third = world.version(&id, Some("2"), one("KeyName", "other").with("ImageId", "ami-1"));
    let data = third.structure("LaunchTemplateData").unwrap();
    assert_eq!((data.string("KeyName"), data.string("ImageId")), (Some("other"), Some("ami-1")));
    let ebs = data.structures("BlockDeviceMappings").next().unwrap().structure("Ebs").unwrap();
    assert_eq!((ebs.get("SnapshotId"), ebs.integer("VolumeSize")), (None, Some(9)), "snapshots are the source's alone");
    assert_eq!(data.get("InstanceType"), None, "that of another version");

    let of = || one("LaunchTemplateId", id.as_str());
    assert_eq!(world.versions(of()), [3, 2, 1]);
    assert_eq!(world.versions(of().with("Versions", vec!["$Default", "3"])), [3, 1]);
    assert_eq!(world.versions(of().with("MinVersion", "2")), [3, 2]);
    assert_eq!(world.versions(of().with("MaxVersion", "2").with("MinVersion", "2")), [2]);
    assert_eq!(
        world.versions(of().with("Filters", filters(&[("image-id", &["ami-*"])]).list("Filters").to_vec())),
        [3]
    );
    let error = world.err("DescribeLaunchTemplateVersions", of().with("Versions", vec!["4"]));
    assert!(
        error.starts_with("InvalidLaunchTemplateId.VersionNotFound: Could not find the specified version 4"),
        "{error}"
    );

    world.ok("ModifyLaunchTemplate", of().with("DefaultVersion", "2"));
    let ended = world.ok("DeleteLaunchTemplateVersions", of().with("Versions", vec!["2", "3", "7"]));
    let numbers = |member: &str| ended.structures(member).map(|it| it.integer("VersionNumber")).collect::<Vec<_>>();
    assert_eq!(numbers("SuccessfullyDeletedLaunchTemplateVersions"), [Some(3)]);
    assert_eq!(numbers("UnsuccessfullyDeletedLaunchTemplateVersions"), [Some(2), Some(7)]);
    assert_eq!(world.version(&id, None, one("KeyName", "k")).integer("VersionNumber"), Some(4));
    let described = world.ok("DescribeLaunchTemplates", Structure::new());
    let template = described.structures("LaunchTemplates").next().unwrap();
    assert_eq!((template.integer("DefaultVersionNumber"), template.integer("LatestVersionNumber")), (Some(2), Some(4)));

    world.ok("DeleteLaunchTemplate", one("LaunchTemplateName", "web"));
    let error = world.err("DescribeLaunchTemplates", one("LaunchTemplateIds", vec![id.as_str()]));
    assert!(error.starts_with("InvalidLaunchTemplateId.NotFound: "), "{error}");
    let error = world.err("DescribeLaunchTemplateVersions", one("LaunchTemplateName", "web"));
    assert!(error.starts_with("InvalidLaunchTemplateName.NotFoundException: "), "{error}");
}

#[test]
fn versions_of_all_templates_come_page_by_page() {
    let mut world = World::new();
    for name in ["one", "two", "three"] {
        let id = world.template(name, one("InstanceType", "t3.micro"));
        world.version(&id, None, one("InstanceType", "t3.small"));
    }
    let all = one("Versions", vec!["$Latest", "$Default"]);
    assert_eq!(world.versions(all.clone()), [2, 1, 2, 1, 2, 1]);
    let (mut seen, mut token) = (Vec::new(), None);
    loop {
        let page = all.clone().with("MaxResults", 4_i64).with_some("NextToken", token.clone());
        let answer = world.ok("DescribeLaunchTemplateVersions", page);
        let versions = answer.structures("LaunchTemplateVersions");
        seen.extend(versions.map(|it| {
            format!("{} {}", it.string("LaunchTemplateName").unwrap(), it.integer("VersionNumber").unwrap())
        }));
        token = answer.string("NextToken").map(str::to_owned);
        if token.is_none() {
            break;
        }
    }
    assert_eq!(seen, ["one 2", "one 1", "two 2", "two 1", "three 2", "three 1"]);
    assert!(world.err("DescribeLaunchTemplateVersions", Structure::new()).starts_with("MissingParameter: "));
    let error = world.err("DescribeLaunchTemplateVersions", one("Versions", vec!["1"]));
    assert!(error.starts_with("InvalidParameterValue: "), "{error}");
}

#[test]
fn the_same_token_makes_one_template_and_one_version() {
    let mut world = World::new();
    let create = one("LaunchTemplateName", "web")
        .with("LaunchTemplateData", one("KeyName", "k"))
        .with("ClientToken", "x".repeat(128));
    let first = world.ok("CreateLaunchTemplate", create.clone());
    assert_eq!(world.ok("CreateLaunchTemplate", create.clone()), first);
    let other = create.clone().with("LaunchTemplateName", "other");
    assert!(world.err("CreateLaunchTemplate", other).starts_with("IdempotentParameterMismatch: "));
    let version =
        one("LaunchTemplateName", "web").with("LaunchTemplateData", one("KeyName", "k")).with("ClientToken", "v");
    let made = world.ok("CreateLaunchTemplateVersion", version.clone());
    assert_eq!(world.ok("CreateLaunchTemplateVersion", version), made);
    assert_eq!(world.versions(one("LaunchTemplateName", "web")), [2, 1]);
    world.ok("DeleteLaunchTemplate", one("LaunchTemplateName", "web"));
    assert_ne!(world.ok("CreateLaunchTemplate", create), first, "the token is forgotten with its template");
}

#[test]
fn a_launch_has_what_its_template_says_and_the_request_goes_before() {
    let mut world = World::new();
    let launch = world.launch();
    let group = world.ok("CreateSecurityGroup", one("GroupName", "g").with("Description", "x"));
    let group = group.string("GroupId").unwrap().to_owned();
    let volume = |device: &str, gib: i64| {
        one("DeviceName", device).with("Ebs", one("VolumeSize", gib).with("VolumeType", "gp3"))
    };
    let data = Structure::new()
        .with("ImageId", launch.string("ImageId").unwrap())
        .with("InstanceType", launch.string("InstanceType").unwrap())
        .with("UserData", "aGVsbG8=")
        .with("Monitoring", one("Enabled", true))
        .with("MetadataOptions", one("HttpTokens", "required").with("HttpPutResponseHopLimit", 3_i64))
        .with("Placement", one("AvailabilityZone", "us-east-1b"))
        .with("SecurityGroupIds", vec![group.as_str()])
        .with("BlockDeviceMappings", vec![volume("/dev/sdf", 1), volume("/dev/sdg", 2), volume("/dev/sdh", 3)])
        .with("TagSpecifications", vec![tagged("instance", "Owner", "a"), tagged("volume", "v", "1")]);
    let template = world.template("web", data);
    let plain = world.launched(&template, "$Latest", Structure::new());
    assert_eq!(plain.structures("SecurityGroups").next().unwrap().string("GroupId"), Some(group.as_str()));
    let own = [("Owner", "a"), ("aws:ec2launchtemplate:id", template.as_str()), ("aws:ec2launchtemplate:version", "1")];
    assert_eq!(tags(&plain), own);

    let more = Structure::new()
        .with("Monitoring", one("Enabled", false))
        .with("MetadataOptions", one("HttpTokens", "optional"))
        .with("Placement", one("AvailabilityZoneId", "use1-az1"))
        .with("SecurityGroups", vec!["default"])
        .with(
            "BlockDeviceMappings",
            vec![
                one("DeviceName", "/dev/sdf").with("Ebs", one("VolumeSize", 7_i64)),
                one("DeviceName", "/dev/sdg").with("NoDevice", ""),
                volume("/dev/sdi", 4),
            ],
        )
        .with(
            "TagSpecifications",
            vec![tagged("instance", "Owner", "b"), tagged("instance", "more", "c")][..1].to_vec(),
        );
    let changed = world.launched(&template, "$Default", more);
    let placement = changed.structure("Placement").unwrap();
    assert_eq!(placement.string("AvailabilityZone"), Some("us-east-1a"));
    assert_eq!(changed.structure("Monitoring").unwrap().string("State"), Some("disabled"));
    let options = changed.structure("MetadataOptions").unwrap();
    assert_eq!((options.string("HttpTokens"), options.integer("HttpPutResponseHopLimit")), (Some("optional"), Some(3)));
    assert_eq!(changed.structures("SecurityGroups").next().unwrap().string("GroupName"), Some("default"));
    assert_eq!(tags(&changed)[0], ("Owner", "b"));
    let of = filters(&[("attachment.instance-id", &[changed.string("InstanceId").unwrap()])]);
    let volumes = world.ok("DescribeVolumes", of);
    let held = |volume: &Structure| {
        let device = volume.structures("Attachments").next().unwrap().string("Device").unwrap().to_owned();
        (device, volume.integer("Size").unwrap(), volume.string("VolumeType").unwrap().to_owned())
    };
    let mut held: Vec<_> = volumes.structures("Volumes").map(held).collect();
    held.sort();
    let held: Vec<_> = held
        .iter()
        .filter(|(device, ..)| device != "/dev/sda1")
        .map(|(d, gib, kind)| (d.as_str(), *gib, kind.as_str()))
        .collect();
    assert_eq!(held, [("/dev/sdf", 7, "gp3"), ("/dev/sdh", 3, "gp3"), ("/dev/sdi", 4, "gp3")]);
    assert!(volumes.structures("Volumes").all(|volume| tags(volume) == [("v", "1")]));
}

#[test]
fn interfaces_are_overridden_by_their_indexes() {
    let mut world = World::new();
    let launch = world.launch();
    let first = one("DeviceIndex", 0_i64).with("Description", "of the template").with("DeleteOnTermination", false);
    let data = one("ImageId", launch.string("ImageId").unwrap())
        .with("InstanceType", launch.string("InstanceType").unwrap())
        .with("NetworkInterfaces", vec![first]);
    let template = world.template("web", data);
    let over = one("DeviceIndex", 0_i64).with("Description", "of the request");
    let launched = world.launched(&template, "1", one("NetworkInterfaces", vec![over, one("DeviceIndex", 1_i64)]));
    let interfaces: Vec<_> = launched.structures("NetworkInterfaces").collect();
    assert_eq!(interfaces.len(), 2);
    assert_eq!(interfaces[0].string("Description"), Some("of the request"));
    assert_eq!(interfaces[0].structure("Attachment").unwrap().boolean("DeleteOnTermination"), Some(false));
}

#[test]
fn what_is_not_served_is_held_and_refused_at_the_launch_by_name() {
    let mut world = World::new();
    let launch = world.launch();
    let template = world.template("web", one("RamDiskId", "ari-12345678"));
    let launch = launch.with("LaunchTemplate", one("LaunchTemplateId", template.as_str()));
    let error = world.err("RunInstances", launch.clone());
    assert!(error.starts_with("UnsupportedOperation: The parameter RamdiskId "), "{error}");
    let both = one("LaunchTemplateId", template.as_str()).with("LaunchTemplateName", "web");
    let error = world.err("RunInstances", launch.clone().with("LaunchTemplate", both));
    assert!(error.starts_with("InvalidParameterCombination: "), "{error}");
    let missing = one("LaunchTemplateId", template.as_str()).with("Version", "2");
    let error = world.err("RunInstances", launch.with("LaunchTemplate", missing));
    assert!(error.starts_with("InvalidLaunchTemplateId.VersionNotFound: "), "{error}");
}

#[test]
fn what_an_instance_has_of_its_template_nobody_takes_from_it() {
    let mut world = World::new();
    let launch = world.launch();
    let data = one("ImageId", launch.string("ImageId").unwrap());
    let template = world.template("web", data.with("InstanceType", launch.string("InstanceType").unwrap()));
    let many: Vec<_> = (0..50).map(|number| one("Key", format!("k{number}"))).collect();
    let specification = one("ResourceType", "instance").with("Tags", many);
    let launched = world.launched(&template, "$Latest", one("TagSpecifications", vec![specification]));
    let id = launched.string("InstanceId").unwrap();
    assert_eq!(tags(&launched).len(), 52, "the own ones don't count");
    world.ok("DeleteTags", one("Resources", vec![id]));
    assert_eq!(tags(&world.instance(id)).len(), 2);
    let own = vec![one("Key", "aws:ec2launchtemplate:id")];
    let error = world.err("DeleteTags", one("Resources", vec![id]).with("Tags", own));
    assert!(error.contains("reserved"), "{error}");
}

#[test]
fn an_instance_says_what_a_template_for_others_must_hold() {
    let mut world = World::new();
    let launch =
        world.launch().with("UserData", "aGVsbG8=").with("TagSpecifications", vec![tagged("instance", "k", "v")]);
    let id = instance_id(&world.ok("RunInstances", launch.clone()));
    world.settle();
    let data = world.ok("GetLaunchTemplateData", one("InstanceId", id.as_str()));
    let data = data.structure("LaunchTemplateData").unwrap().clone();
    for same in ["ImageId", "InstanceType", "UserData"] {
        assert_eq!(data.string(same), launch.string(same));
    }
    // It is good for a launch as it is, but for the address, which is taken.
    let mut interface = data.structures("NetworkInterfaces").next().unwrap().clone();
    interface.set("PrivateIpAddresses", Vec::<Structure>::new());
    let template = world.template("again", data.with("NetworkInterfaces", vec![interface]));
    let again = world.launched(&template, "1", Structure::new());
    assert!(tags(&again).contains(&("k", "v")));
    assert!(again.string("PublicIpAddress").is_some());
}

#[test]
fn templates_outlive_the_endpoint() {
    let mut world = World::new();
    let id = world.template("web", one("KeyName", "k"));
    world.version(&id, None, one("KeyName", "l"));
    let before = world.ok("DescribeLaunchTemplateVersions", one("LaunchTemplateId", id.as_str()));
    let record = world.account.snapshot().unwrap();
    let record = serde_json::from_str(&serde_json::to_string(&record).unwrap()).unwrap();
    world.account = Account::restored(world.account.settings.clone(), None, [record]).unwrap();
    assert_eq!(world.ok("DescribeLaunchTemplateVersions", one("LaunchTemplateId", id.as_str())), before);
}
