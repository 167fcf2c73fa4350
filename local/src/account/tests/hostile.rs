//! No input makes the account panic, and no answer is one that the model doesn't have.

use super::*;
use crate::wire::Value;
use proptest::prelude::*;

/// Names that some structure of some request has.
const NESTED: &[&str] = &[
    "AssociatePublicIpAddress",
    "AvailabilityZone",
    "CidrIp",
    "CidrIpv6",
    "CoreCount",
    "DeleteOnTermination",
    "Description",
    "DeviceIndex",
    "DeviceName",
    "Ebs",
    "Enabled",
    "Encrypted",
    "FromPort",
    "GroupId",
    "GroupName",
    "Groups",
    "HttpPutResponseHopLimit",
    "HttpTokens",
    "Iops",
    "IpProtocol",
    "IpRanges",
    "Ipv6Ranges",
    "Key",
    "Name",
    "NetworkInterfaceId",
    "NoDevice",
    "PrivateIpAddress",
    "PrivateIpAddresses",
    "Primary",
    "ResourceType",
    "SecondaryPrivateIpAddressCount",
    "SecurityGroupRuleId",
    "SubnetId",
    "Tags",
    "Tenancy",
    "ThreadsPerCore",
    "Throughput",
    "ToPort",
    "UserId",
    "UserIdGroupPairs",
    "Value",
    "Values",
    "VolumeId",
    "VolumeSize",
    "VolumeType",
];

fn text() -> impl Strategy<Value = String> {
    let known = [
        "",
        "default",
        "self",
        "/dev/sda1",
        "gp3",
        "io2",
        "tcp",
        "-1",
        "icmp",
        "0.0.0.0/0",
        "::/0",
        "172.31.0.9",
        "instance",
        "i-1",
        "i-0123456789abcdef0",
        "sg-0123456789abcdef0",
        "t3.micro",
        "us-east-1a",
        "enabled",
        "required",
        "terminate",
        "userData",
        "instance-state-name",
        "tag:x",
        "running",
        "aGVsbG8=",
        "k",
        "host",
        "*",
        "\\",
        "é",
        "\u{0}",
        "aws:x",
    ];
    prop_oneof![4 => proptest::sample::select(known.to_vec()).prop_map(str::to_owned), 1 => any::<String>(), 1 => "x{300}"]
}

fn value() -> impl Strategy<Value = Value> {
    let number = prop_oneof![Just(0), Just(1), Just(5), Just(-1), Just(i64::MAX), Just(i64::MIN), any::<i64>()];
    let leaf = prop_oneof![
        4 => text().prop_map(Value::String),
        2 => number.prop_map(Value::Integer),
        1 => any::<bool>().prop_map(Value::Boolean),
        1 => any::<f64>().prop_map(Value::Double),
        1 => proptest::collection::vec(any::<u8>(), 0..40).prop_map(Value::Blob),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::List),
            proptest::collection::vec((proptest::sample::select(NESTED), inner), 0..5).prop_map(|members| {
                let mut structure = Structure::new();
                for (name, value) in members {
                    structure.set(name, value);
                }
                Value::Structure(structure)
            }),
        ]
    })
}

pub(super) fn request() -> impl Strategy<Value = (&'static str, Structure)> {
    let actions: Vec<&action::Action> = actions::all().filter(|action| !action.parameters().is_empty()).collect();
    proptest::sample::select(actions).prop_flat_map(|action| {
        let names = action.parameters().to_vec();
        let members = proptest::collection::vec((proptest::sample::select(names), value()), 0..6);
        (members, any::<bool>()).prop_map(move |(members, dry_run)| {
            let mut input = Structure::new();
            for (name, value) in members {
                // Real ones, so that more than the first check is reached.
                let real = matches!(name, "MinCount" | "MaxCount").then_some(Value::Integer(1));
                input.set(name, real.unwrap_or(value));
            }
            if dry_run {
                input.set("DryRun", true);
            }
            (action.name, input)
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn nothing_makes_it_panic(requests in proptest::collection::vec(request(), 1..12)) {
        let mut world = World::new();
        world.ok("ImportKeyPair", {
            let mut input = Structure::new().with("KeyName", "k");
            let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIILxJHyT7qNnuW4ZN/Hn8NCSyVuqxrjwqmuYXoyyyBk5";
            input.set("PublicKeyMaterial", Value::Blob(key.into()));
            input
        });
        let id = world.running();
        let (launch, image) = (world.launch(), world.image("host"));
        for (action, mut input) in requests {
            // A machine's key takes long to make.
            if action == "CreateKeyPair" {
                input.set("KeyType", "ed25519");
            }
            for (member, value) in [("InstanceId", Value::from(id.as_str())), ("InstanceIds", vec![id.as_str()].into()), ("ImageId", image.as_str().into())] {
                if input.get(member).is_some() {
                    input.set(member, value);
                }
            }
            if action == "RunInstances" {
                for (member, value) in launch.members() {
                    if input.get(member).is_none() {
                        input.set(member.to_owned(), value.clone());
                    }
                }
            }
            // The door lets no text through that XML can't hold, so the account need not either.
            let answer = world.account.call(world.now, REGION, action, &input);
            if let Err(error) = answer {
                prop_assert!(error.code != Code::InternalError, "{action}: {error}");
            }
            world.effects.extend(world.account.take_effects());
            world.settle();
        }
    }
}
