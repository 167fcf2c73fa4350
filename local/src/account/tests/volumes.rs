//! Volumes: made, attached, modified, and gone.

use super::*;

fn one(member: &'static str, value: impl Into<crate::wire::Value>) -> Structure {
    Structure::new().with(member, value)
}

/// The least that CreateVolume must say.
fn least() -> Structure {
    one("AvailabilityZone", "us-east-1a").with("Size", 4_i64)
}

impl World {
    /// A volume in the zone where launches go.
    fn volume(&mut self) -> String {
        let answer = self.ok("CreateVolume", least());
        answer.string("VolumeId").unwrap().to_owned()
    }

    fn shown(&mut self, volume: &str) -> Structure {
        let answer = self.ok("DescribeVolumes", one("VolumeIds", vec![volume]));
        answer.structures("Volumes").next().unwrap().clone()
    }

    /// The states of a volume and of its attachment.
    fn states(&mut self, volume: &str) -> (String, Option<String>) {
        let shown = self.shown(volume);
        let attachment = shown.structures("Attachments").next();
        let state = attachment.map(|attachment| attachment.string("State").unwrap().to_owned());
        (shown.string("State").unwrap().to_owned(), state)
    }

    /// An instance that runs where volumes are made.
    fn running_in_a(&mut self) -> String {
        let launch = self.launch().with("Placement", one("AvailabilityZone", "us-east-1a"));
        let id = instance_id(&self.ok("RunInstances", launch));
        self.settle();
        id
    }

    fn attach(&mut self, volume: &str, instance: &str, device: &str) -> Structure {
        self.ok("AttachVolume", attachment(volume, instance, device))
    }

    /// One that waits for nothing: clients are patient, and AWS's times pass by hand.
    fn impatient() -> Self {
        let mut world = Self::with(|settings| {
            settings.pace = 1.0;
            settings.conditions = "calm".parse().unwrap();
        });
        world.patience = Duration::ZERO;
        world
    }
}

fn attachment(volume: &str, instance: &str, device: &str) -> Structure {
    one("VolumeId", volume).with("InstanceId", instance).with("Device", device)
}

fn in_use(attachment: &str) -> (String, Option<String>) {
    ("in-use".to_owned(), Some(attachment.to_owned()))
}

fn available() -> (String, Option<String>) {
    ("available".to_owned(), None)
}

#[test]
fn a_volume_passes_through_its_states() {
    let mut world = World::impatient();
    let made = world.ok("CreateVolume", least().with("VolumeType", "gp3"));
    let id = made.string("VolumeId").unwrap().to_owned();
    assert_eq!(made.string("State"), Some("creating"));
    assert_eq!(
        (made.integer("Iops"), made.integer("Throughput"), made.integer("Size")),
        (Some(3000), Some(125), Some(4))
    );
    assert!(world.err("DeleteVolume", one("VolumeId", &id)).starts_with("IncorrectState: "));
    world.pass(Duration::from_secs(3));
    assert_eq!(world.states(&id), available());
    let mut shown = world.shown(&id);
    shown.set("State", "creating");
    assert_eq!(shown, made, "it is shown as it was answered");
    world.ok("DeleteVolume", one("VolumeId", &id));
    assert_eq!(world.effects, [Effect::Discard { volume: id.clone() }]);
    assert_eq!(world.states(&id).0, "deleting");
    assert!(world.err("DeleteVolume", one("VolumeId", &id)).starts_with("InvalidVolume.NotFound: "));
    world.pass(Duration::from_secs(3));
    assert!(world.err("DescribeVolumes", one("VolumeIds", vec![id])).starts_with("InvalidVolume.NotFound: "));
    assert!(world.ok("DescribeTags", Structure::new()).list("Tags").is_empty() || world.account.whole().is_ok());
}

#[test]
fn what_a_volume_can_not_be_is_refused() {
    let mut world = World::new();
    let of_type = |name: &str| least().with("VolumeType", name);
    for (expected, input) in [
        ("MissingParameter: ", one("Size", 1_i64)),
        ("MissingParameter: ", one("AvailabilityZone", "us-east-1a")),
        ("InvalidParameterCombination: ", least().with("AvailabilityZoneId", "use1-az1")),
        ("InvalidZone.NotFound: The zone 'eu-west-1a'", one("AvailabilityZone", "eu-west-1a").with("Size", 1_i64)),
        ("InvalidParameterValue: Volume of 4GiB is not valid for type st1", of_type("st1")),
        ("InvalidParameterValue: Volume of 0GiB", one("AvailabilityZone", "us-east-1a").with("Size", 0_i64)),
        ("InvalidParameterValue: Volume of 16385GiB", one("AvailabilityZone", "us-east-1a").with("Size", 16385_i64)),
        ("MissingParameter: The parameter iops", of_type("io1")),
        ("InvalidParameterValue: Volume iops of 99 is too low", of_type("io2").with("Iops", 99_i64)),
        ("InvalidParameterValue: Iops to volume size ratio of 201:4", of_type("io1").with("Iops", 201_i64)),
        ("InvalidParameterCombination: ", of_type("gp2").with("Iops", 300_i64)),
        ("InvalidParameterCombination: ", of_type("io2").with("Iops", 300_i64).with("Throughput", 125_i64)),
        ("InvalidParameterValue: Throughput of 124", of_type("gp3").with("Throughput", 124_i64)),
        ("UnsupportedOperation: The parameter MultiAttachEnabled", least().with("MultiAttachEnabled", true)),
        ("InvalidSnapshot.NotFound: ", least().with("SnapshotId", "snap-0123456789abcdef0")),
        ("InvalidParameterDependency: ", least().with("KmsKeyId", "alias/mine")),
        ("InvalidParameterValue: Value (mine) for", least().with("Encrypted", true).with("KmsKeyId", "mine")),
        (
            "InvalidParameterValue: Value (arn:aws:kms:eu-west-1:",
            least().with("Encrypted", true).with("KmsKeyId", "arn:aws:kms:eu-west-1:000000000000:alias/mine"),
        ),
    ] {
        let error = world.err("CreateVolume", input);
        assert!(error.starts_with(expected), "{expected}: {error}");
    }
}

#[test]
fn a_client_token_makes_one_volume() {
    let mut world = World::new();
    let input = least().with("ClientToken", "once");
    let id = world.ok("CreateVolume", input.clone()).string("VolumeId").unwrap().to_owned();
    assert_eq!(world.ok("CreateVolume", input.clone()).string("VolumeId"), Some(id.as_str()));
    assert!(world.err("CreateVolume", input.clone().with("Size", 5_i64)).starts_with("IdempotentParameterMismatch: "));
    world.ok("DeleteVolume", one("VolumeId", id.as_str()));
    world.pass(Duration::from_secs(1));
    assert_ne!(world.ok("CreateVolume", input).string("VolumeId"), Some(id.as_str()));
}

#[test]
fn a_volume_is_attached_and_detached() {
    let mut world = World::impatient();
    let (instance, volume) = (world.run(), world.volume());
    assert!(
        world.err("AttachVolume", attachment(&volume, &instance, "/dev/sdf")).starts_with("IncorrectState: Instance")
    );
    world.obey();
    world.pass(Duration::from_secs(5));
    let answer = world.attach(&volume, &instance, "/dev/sdf");
    assert_eq!((answer.string("State"), answer.string("Device")), (Some("attaching"), Some("/dev/sdf")));
    let device = crate::machine::BlockDevice::new(&volume, "/dev/sdf", 4);
    assert_eq!(world.effects, [Effect::Attach { instance: instance.clone(), device }]);
    assert_eq!(world.states(&volume), in_use("attaching"));
    world.obey();
    world.pass(Duration::from_secs(2));
    assert_eq!(world.states(&volume), in_use("attached"));
    let mappings = world.instance(&instance);
    let mapping = mappings.structures("BlockDeviceMappings").nth(1).unwrap();
    assert_eq!(mapping.string("DeviceName"), Some("/dev/sdf"));
    let ebs = mapping.structure("Ebs").unwrap();
    assert_eq!((ebs.boolean("DeleteOnTermination"), ebs.string("Status")), (Some(false), Some("attached")));
    assert!(world.err("DeleteVolume", one("VolumeId", volume.as_str())).starts_with("VolumeInUse: "));

    let answer = world.ok("DetachVolume", one("VolumeId", volume.as_str()));
    assert_eq!(answer.string("State"), Some("detaching"));
    let detach = |force| Effect::Detach { instance: instance.clone(), volume: volume.clone(), force };
    assert_eq!(world.effects, [detach(false)]);
    world.effects.clear();
    assert_eq!(world.states(&volume), in_use("detaching"));
    // Its machine has it mounted.
    world.pass(Duration::from_secs(60));
    assert_eq!(world.states(&volume), in_use("busy"));
    world.ok("DetachVolume", one("VolumeId", volume.as_str()));
    assert_eq!(world.effects, [], "it was told already");
    world.ok("DetachVolume", one("VolumeId", volume.as_str()).with("Force", true));
    assert_eq!(world.effects, [detach(true)]);
    world.obey();
    assert_eq!(world.states(&volume), available());
    assert_eq!(world.instance(&instance).list("BlockDeviceMappings").len(), 1);
    assert!(world.err("DetachVolume", one("VolumeId", volume.as_str())).starts_with("IncorrectState: Volume"));
    world.account.whole().unwrap();
}

#[test]
fn what_can_not_be_attached_or_detached_is_refused() {
    let mut world = World::new();
    let (instance, volume, other) = (world.running_in_a(), world.volume(), world.volume());
    let elsewhere = world.ok("CreateVolume", one("AvailabilityZoneId", "use1-az2").with("Size", 1_i64));
    let elsewhere = elsewhere.string("VolumeId").unwrap().to_owned();
    world.attach(&volume, &instance, "/dev/sdf");
    let root =
        world.instance(&instance).structures("BlockDeviceMappings").next().unwrap().structure("Ebs").unwrap().clone();
    let root = root.string("VolumeId").unwrap().to_owned();
    for (expected, action, input) in [
        ("MissingParameter: ", "AttachVolume", one("VolumeId", &other).with("InstanceId", &instance)),
        ("InvalidParameterValue: Value (nvme1n1) for", "AttachVolume", attachment(&other, &instance, "nvme1n1")),
        (
            "InvalidParameterValue: Invalid value '/dev/sdf' for unixDevice",
            "AttachVolume",
            attachment(&other, &instance, "/dev/sdf"),
        ),
        (
            "InvalidParameterValue: Invalid value '/dev/sda1' for",
            "AttachVolume",
            attachment(&other, &instance, "/dev/sda1"),
        ),
        ("InvalidVolume.ZoneMismatch: ", "AttachVolume", attachment(&elsewhere, &instance, "/dev/sdg")),
        ("VolumeInUse: ", "AttachVolume", attachment(&volume, &instance, "/dev/sdg")),
        ("InvalidInstanceID.NotFound: ", "AttachVolume", attachment(&other, "i-0123456789abcdef0", "/dev/sdg")),
        ("IncorrectState: ", "DetachVolume", one("VolumeId", &other)),
        ("InvalidAttachment.NotFound: ", "DetachVolume", one("VolumeId", &volume).with("Device", "/dev/sdg")),
        ("OperationNotPermitted: Unable to detach root volume", "DetachVolume", one("VolumeId", &root)),
    ] {
        let error = world.err(action, input);
        assert!(error.starts_with(expected), "{expected}: {error}");
    }
}

#[test]
fn a_type_has_room_for_so_many_volumes() {
    let mut world = World::new();
    let instance = world.running_in_a();
    let letters = ('a'..='z').chain('a'..='z').enumerate();
    let mut attached = 0;
    for (number, letter) in letters {
        let volume = world.volume();
        let device = format!("/dev/xvd{}{letter}", if number < 26 { 'b' } else { 'c' });
        match world.call("AttachVolume", attachment(&volume, &instance, &device)) {
            Ok(_) => attached += 1,
            Err(error) => {
                assert_eq!(error.code, Code::AttachmentLimitExceeded);
                break;
            }
        }
        world.pass(Duration::from_secs(1));
    }
    // With the root's these are as many as its type may have.
    assert_eq!(attached, 26);
}

#[test]
fn volumes_of_a_stopped_instance_come_and_go_at_once() {
    let mut world = World::new();
    let (instance, volume) = (world.running_in_a(), world.volume());
    world.ok("StopInstances", ids(&[&instance]));
    world.settle();
    world.attach(&volume, &instance, "/dev/xvdf");
    assert_eq!(world.effects, []);
    world.ok("StartInstances", ids(&[&instance]));
    let [Effect::Start(start)] = &world.effects[..] else { panic!("{:?}", world.effects) };
    assert_eq!(start.machine.volumes, [crate::machine::BlockDevice::new(&volume, "/dev/xvdf", 4)]);
    world.settle();
    // A machine that goes off lets go of what it was to let go of.
    world.ok("DetachVolume", one("VolumeId", volume.as_str()));
    world.effects.clear();
    assert_eq!(world.states(&volume), in_use("busy"));
    world.ok("StopInstances", ids(&[&instance]));
    world.settle();
    assert_eq!(world.states(&volume), available());
    world.attach(&volume, &instance, "/dev/xvdf");
    world.ok("DetachVolume", one("VolumeId", volume.as_str()));
    world.pass(Duration::from_millis(20));
    assert_eq!(world.states(&volume), available());
}

#[test]
fn termination_takes_what_it_is_told_to() {
    let mut world = World::new();
    let mapping = |device: &str, keep: bool| {
        one("DeviceName", device).with("Ebs", one("VolumeSize", 1_i64).with("DeleteOnTermination", !keep))
    };
    let launch = world.launch().with("Placement", one("AvailabilityZone", "us-east-1a"));
    let launch = launch.with("BlockDeviceMappings", vec![mapping("/dev/sdf", false), mapping("/dev/sdg", true)]);
    let instance = instance_id(&world.ok("RunInstances", launch));
    let [Effect::Start(start)] = &world.effects[..] else { panic!("{:?}", world.effects) };
    let names: Vec<&str> = start.machine.volumes.iter().map(|device| device.name.as_str()).collect();
    assert_eq!(names, ["/dev/sdf", "/dev/sdg"]);
    world.settle();
    let later = world.volume();
    world.attach(&later, &instance, "/dev/sdh");
    world.obey();
    let told = one("DeviceName", "/dev/sdh").with("Ebs", one("DeleteOnTermination", true));
    world.ok("ModifyInstanceAttribute", one("InstanceId", &instance).with("BlockDeviceMappings", vec![told]));
    world.ok("TerminateInstances", ids(&[&instance]));
    world.settle();
    world.pass(Duration::from_secs(1));
    let left = world.ok("DescribeVolumes", Structure::new());
    let left: Vec<_> =
        left.structures("Volumes").map(|volume| (volume.integer("Size"), volume.string("State"))).collect();
    assert_eq!(left, [(Some(1), Some("available"))]);
    world.account.whole().unwrap();
}

#[test]
fn a_modification_takes_its_time_and_its_turn() {
    let mut world = World::impatient();
    let volume = world.volume();
    let named = || one("VolumeId", volume.as_str());
    assert!(world.err("ModifyVolume", named().with("Size", 5_i64)).starts_with("IncorrectState: "));
    world.pass(Duration::from_secs(3));
    for (expected, input) in [
        ("MissingParameter: ", named()),
        ("InvalidParameterValue: New size cannot be smaller than existing size", named().with("Size", 3_i64)),
        ("MissingParameter: ", one("Size", 5_i64)),
        ("InvalidParameterCombination: ", named().with("Iops", 4000_i64)),
        ("InvalidParameterValue: Volume of 4GiB is not valid for type st1", named().with("VolumeType", "st1")),
        ("UnsupportedOperation: The parameter MultiAttachEnabled", named().with("MultiAttachEnabled", true)),
    ] {
        let error = world.err("ModifyVolume", input);
        assert!(error.starts_with(expected), "{expected}: {error}");
    }
    let answer =
        world.ok("ModifyVolume", named().with("Size", 100_i64).with("VolumeType", "gp3").with("Iops", 5000_i64));
    let made = answer.structure("VolumeModification").unwrap().clone();
    assert_eq!((made.string("ModificationState"), made.integer("Progress")), (Some("modifying"), Some(0)));
    assert_eq!((made.integer("OriginalIops"), made.integer("TargetIops")), (Some(100), Some(5000)));
    let describe = |world: &mut World| {
        let all = world.ok("DescribeVolumesModifications", one("VolumeIds", vec![volume.as_str()]));
        all.structures("VolumesModifications").next().unwrap().clone()
    };
    assert_eq!(describe(&mut world), made);
    assert_eq!(world.shown(&volume).integer("Size"), Some(4));
    assert!(world.err("ModifyVolume", named().with("Size", 101_i64)).starts_with("IncorrectModificationState: "));
    world.pass(Duration::from_secs(35));
    let half = describe(&mut world);
    assert_eq!((half.string("ModificationState"), half.integer("Progress")), (Some("optimizing"), Some(53)));
    assert_eq!((world.shown(&volume).integer("Size"), world.shown(&volume).integer("Iops")), (Some(100), Some(5000)));
    world.pass(Duration::from_secs(30));
    let over = describe(&mut world);
    assert_eq!((over.string("ModificationState"), over.integer("Progress")), (Some("completed"), Some(100)));
    assert!(over.get("EndTime").is_some() && made.get("EndTime").is_none());
    for size in 101_i64..104 {
        world.ok("ModifyVolume", named().with("Size", size));
        world.pass(Duration::from_secs(65));
    }
    assert!(world.err("ModifyVolume", named().with("Size", 104_i64)).starts_with("VolumeModificationRateExceeded: "));
    world.pass(Duration::from_secs(24 * 3600));
    world.ok("ModifyVolume", named().with("Size", 104_i64));
    assert_eq!(world.ok("DescribeVolumesModifications", Structure::new()).list("VolumesModifications").len(), 1);
}

#[test]
fn a_machine_hears_that_its_volume_has_grown() {
    let mut world = World::new();
    let (instance, volume) = (world.running_in_a(), world.volume());
    world.attach(&volume, &instance, "/dev/sdf");
    world.obey();
    world.ok("ModifyVolume", one("VolumeId", volume.as_str()).with("Size", 9_i64));
    assert_eq!(world.effects, [Effect::Resize { instance, volume, gib: 9 }]);
}

#[test]
fn a_region_has_defaults_for_the_encryption_of_its_volumes() {
    let mut world = World::new();
    let key = |answer: &Structure| answer.string("KmsKeyId").unwrap().to_owned();
    let own = key(&world.ok("GetEbsDefaultKmsKeyId", Structure::new()));
    assert!(own.starts_with("arn:aws:kms:us-east-1:000000000000:key/"), "{own}");
    let plain = world.ok("CreateVolume", least());
    assert_eq!((plain.boolean("Encrypted"), plain.get("KmsKeyId")), (Some(false), None));
    assert_eq!(key(&world.ok("CreateVolume", least().with("Encrypted", true))), own);
    world.ok("EnableEbsEncryptionByDefault", Structure::new());
    assert_eq!(key(&world.ok("CreateVolume", least())), own);
    let id = "1234abcd-12ab-34cd-56ef-1234567890ab";
    let mine = format!("arn:aws:kms:us-east-1:000000000000:key/{id}");
    assert_eq!(key(&world.ok("ModifyEbsDefaultKmsKeyId", one("KmsKeyId", id))), mine);
    assert_eq!(key(&world.ok("CreateVolume", least())), mine);
    let named = world.ok("CreateVolume", least().with("Encrypted", true).with("KmsKeyId", "alias/other"));
    assert!(![own.clone(), mine].contains(&key(&named)));
    // Those of a launch are encrypted, too.
    world.run();
    let encrypted = world.ok("DescribeVolumes", filters(&[("encrypted", &["true"]), ("attachment.status", &["*"])]));
    assert_eq!(encrypted.list("Volumes").len(), 1);
    assert_eq!(key(&world.ok("ResetEbsDefaultKmsKeyId", Structure::new())), own);
    let elsewhere = world.account.call(world.now, "eu-west-1", "GetEbsEncryptionByDefault", &Structure::new()).unwrap();
    assert_eq!(elsewhere.boolean("EbsEncryptionByDefault"), Some(false), "each region has its own");
}

#[test]
fn a_volume_is_well() {
    let mut world = World::impatient();
    let volume = world.ok("CreateVolume", least().with("VolumeType", "io2").with("Iops", 100_i64));
    let volume = volume.string("VolumeId").unwrap().to_owned();
    let status = |world: &mut World| {
        let all = world.ok("DescribeVolumeStatus", one("VolumeIds", vec![volume.as_str()]));
        let shown = all.structures("VolumeStatuses").next().unwrap().clone();
        shown.structure("VolumeStatus").unwrap().string("Status").unwrap().to_owned()
    };
    assert_eq!(status(&mut world), "insufficient-data");
    world.pass(Duration::from_secs(3));
    assert_eq!(status(&mut world), "ok");
    let attribute = || one("VolumeId", volume.as_str()).with("Attribute", "autoEnableIO");
    let enabled = |answer: Structure| answer.structure("AutoEnableIO").unwrap().boolean("Value");
    assert_eq!(enabled(world.ok("DescribeVolumeAttribute", attribute())), Some(false));
    world.ok("ModifyVolumeAttribute", one("VolumeId", volume.as_str()).with("AutoEnableIO", one("Value", true)));
    assert_eq!(enabled(world.ok("DescribeVolumeAttribute", attribute())), Some(true));
    world.ok("EnableVolumeIO", one("VolumeId", volume.as_str()));
}
