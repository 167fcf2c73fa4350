//! Every action, and every parameter that the public model gives it: none takes what it shouldn't.
//!
//! Each is asked with DryRun, so that nothing changes: `DryRunOperation` says that the request would have been carried out.
//! The few that can't be rehearsed are carried out.

use crate::{account::World, samples::SAMPLES};
use ec2_local::{
    account::Account,
    error::{ApiError, Code},
};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

static MODEL: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(include_str!("../../model/ec2-2016-11-15.json")).unwrap());

/// A parameter that bears a value.
struct Parameter {
    name: String,
    kind: &'static str,
    /// Whether it is one of a few words.
    is_enum: bool,
}

/// The parameters of an action; of each list one element, of each structure all members.
fn parameters(action: &str) -> Vec<Parameter> {
    let mut found = Vec::new();
    collect(&MODEL["operations"][action]["input"], String::new(), &mut found);
    found.retain(|parameter| parameter.name != "DryRun");
    assert!(MODEL["operations"][action]["input"].is_string(), "the model has no {action}");
    found
}

fn collect(shape: &'static Value, name: String, found: &mut Vec<Parameter>) {
    let shape_name = shape.as_str().unwrap();
    let shape = &MODEL["shapes"][shape_name];
    if let Some(members) = shape["members"].as_object() {
        for (member, target) in members {
            let own = match (target["queryName"].as_str(), target["locationName"].as_str()) {
                (Some(name), _) => name.to_owned(),
                (None, location) => capital(location.unwrap_or(member)),
            };
            collect(&target["shape"], if name.is_empty() { own } else { format!("{name}.{own}") }, found);
        }
    } else if shape["list"].is_object() {
        collect(&shape["list"]["shape"], format!("{name}.1"), found);
    } else {
        // What has no rules of its own is named by its type.
        found.push(Parameter {
            name,
            kind: shape["type"].as_str().unwrap_or(shape_name),
            is_enum: !shape["enum"].is_null(),
        });
    }
}

fn capital(name: &str) -> String {
    let (first, rest) = name.split_at(1);
    first.to_uppercase() + rest
}

impl Parameter {
    /// Whether it is a string of any content.
    fn is_text(&self) -> bool {
        self.kind == "string" && !self.is_enum
    }

    /// What it can't be by its type.
    fn wrong(&self) -> &'static [&'static str] {
        match self.kind {
            "integer" | "long" => &["", "x", "1.5", "0x10", "1e3", "99999999999999999999", " 1", "+1", "NaN"],
            "float" | "double" => &["", "x", "NaN", "inf", "1e999"],
            "boolean" => &["", "x", "yes", "0", "1"],
            "timestamp" => &["", "x", "yesterday", "2026-13-01T00:00:00Z", "99999999999"],
            "blob" => &["%25", "!", "a"],
            "string" if self.is_enum => &["no-such", "", "\u{1f600}"],
            "string" => &[],
            other => panic!("there is no type {other}"),
        }
    }
}

/// The sample of an action, without a parameter and what hangs on it, as pairs.
fn sample_without(action: &str, name: &str) -> Vec<(String, String)> {
    let (_, sample) = SAMPLES.iter().find(|(sampled, _)| *sampled == action).unwrap();
    let pairs = sample.split('&').filter_map(|pair| pair.split_once('='));
    pairs.filter(|(key, _)| *key != name).map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

/// What makes a rehearsal of a request; nothing where the action has none.
fn rehearsal(action: &str) -> &'static str {
    let input = MODEL["operations"][action]["input"].as_str().unwrap();
    if MODEL["shapes"][input]["members"]["DryRun"].is_null() { "" } else { "&DryRun=true" }
}

/// What became of a rehearsal; what can't be rehearsed was done.
fn outcome(answer: &Result<String, ApiError>) -> Code {
    answer.as_ref().err().map_or(Code::DryRunOperation, |error| error.code)
}

/// Asks with DryRun, with one parameter in the place of the sample's own.
fn ask(world: &World, action: &str, name: &str, value: &str) -> Code {
    let mut pairs = sample_without(action, name.strip_suffix(".Bogus").unwrap_or(name));
    pairs.push((name.to_owned(), encoded(value)));
    let query: String = pairs.iter().map(|(key, value)| format!("&{key}={value}")).collect();
    let error = match world.direct(&format!("Action={action}{query}{}", rehearsal(action))) {
        Ok(_) if rehearsal(action).is_empty() => return Code::DryRunOperation,
        answer => answer.expect_err("a dry run"),
    };
    assert!(!matches!(error.code.status(), 500..), "{action} {name}={value:?}: {error}");
    assert!(error.message.len() < 2000, "{action} {name}: {} bytes of a message", error.message.len());
    error.code
}

fn encoded(value: &str) -> String {
    let byte =
        |byte: u8| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    value.bytes().map(byte).collect()
}

/// Lets every parameter of every action be asked.
fn each(mut check: impl FnMut(&World, &str, &Parameter)) {
    let world = World::new();
    for action in Account::actions() {
        for parameter in parameters(action) {
            check(&world, action, &parameter);
        }
    }
}

/// An account in which an action can be done.
fn world_for(action: &str) -> World {
    match action {
        "CreateDefaultVpc" => World::bare(|settings| settings.default_vpc = false),
        "CreateDefaultSubnet" => {
            let mut world = World::bare(|_| {});
            world.delete_default_subnet();
            world
        }
        "ModifyInstanceCpuOptions" | "ModifyInstancePlacement" => {
            let world = World::new();
            world.stop();
            world
        }
        _ => World::new(),
    }
}

/// What EC2 says by an error that there is none of.
const REFUSED: [(&str, Code); 2] = [
    ("DescribeSpotDatafeedSubscription", Code::InvalidSpotDatafeedNotFound),
    ("GetManagedPrefixListEntries", Code::InvalidPrefixListIdNotFound),
];

#[test]
fn there_is_a_good_request_for_every_action() {
    let sampled: BTreeSet<&str> = SAMPLES.iter().map(|(action, _)| *action).collect();
    assert_eq!(sampled, Account::actions().collect());
    for (action, sample) in SAMPLES {
        let world = world_for(action);
        // What a rehearsal would have done it has not done: the same request can be rehearsed again, and then be made.
        let refused = REFUSED.into_iter().find(|(name, _)| name == action);
        for _ in 0..if rehearsal(action).is_empty() || refused.is_some() { 0 } else { 2 } {
            let refused = world.direct(&format!("Action={action}&{sample}&DryRun=true")).unwrap_err();
            assert_eq!(refused.code, Code::DryRunOperation, "{action}: {refused}");
        }
        let answer = world.direct(&format!("Action={action}&{sample}"));
        match refused {
            Some((_, code)) => assert_eq!(answer.unwrap_err().code, code),
            None => drop(answer.unwrap_or_else(|error| panic!("{action}: {error}"))),
        }
    }
}

#[test]
fn bogus_members_are_unknown_parameters() {
    each(|world, action, parameter| {
        assert_eq!(ask(world, action, "Bogus", "x"), Code::UnknownParameter, "{action}");
        let below = format!("{}.Bogus", parameter.name);
        assert_eq!(ask(world, action, &below, "x"), Code::UnknownParameter, "{action} {below}");
        for beside in parameter.name.match_indices('.').map(|(at, _)| format!("{}.Bogus", &parameter.name[..at])) {
            assert_eq!(ask(world, action, &beside, "x"), Code::UnknownParameter, "{action} {beside}");
        }
    });
}

#[test]
fn values_of_the_wrong_type_are_refused() {
    each(|world, action, parameter| {
        for value in parameter.wrong() {
            let code = ask(world, action, &parameter.name, value);
            assert_ne!(code, Code::DryRunOperation, "{action} {}={value:?}", parameter.name);
        }
    });
}

#[test]
fn numbers_at_the_edges_are_refused() {
    each(|world, action, parameter| {
        if !matches!(parameter.kind, "integer" | "long") {
            return;
        }
        for value in [i32::MIN.into(), i32::MAX.into(), i64::MIN, i64::MAX] {
            // EC2 launches as many as there is room for, and all protocols have no ports.
            // What a launch template holds is looked at when it is launched.
            let takes_it = parameter.name == "MaxCount" && value == i64::from(i32::MAX)
                || parameter.name.starts_with(TEMPLATE)
                || action.ends_with("Egress") && parameter.name.ends_with("Port");
            let taken = ask(world, action, &parameter.name, &value.to_string()) == Code::DryRunOperation;
            assert!(!taken || takes_it, "{action} {}={value}", parameter.name);
        }
    });
}

#[test]
fn pages_are_of_ec2s_sizes_and_tokens_good_for_their_own_action() {
    let world = World::new();
    let paged: Vec<&str> =
        Account::actions().filter(|action| parameters(action).iter().any(|p| p.name == "NextToken")).collect();
    // They are of a pool and of a list, which nobody has.
    let of_none = ["GetAssociatedIpv6PoolCidrs", "GetManagedPrefixListEntries"];
    let paged: Vec<&str> = paged.into_iter().filter(|action| !of_none.contains(action)).collect();
    assert!(paged.len() >= 14, "{paged:?}");
    let token = world.direct("Action=DescribeInstanceTypes&MaxResults=5").unwrap();
    let token = token.split_once("<nextToken>").and_then(|(_, rest)| rest.split_once('<')).unwrap().0;
    for action in paged {
        let least = match action {
            "DescribeFastSnapshotRestores" => 0,
            "DescribeAddressesAttribute"
            | "DescribeByoipCidrs"
            | "DescribeCapacityReservations"
            | "DescribeFleets"
            | "DescribeImages"
            | "DescribeInstanceImageMetadata"
            | "DescribeInstanceTopology"
            | "DescribeLaunchTemplateVersions"
            | "DescribeLaunchTemplates"
            | "DescribeIpv6Pools"
            | "DescribeManagedPrefixLists"
            | "DescribePublicIpv4Pools"
            | "DescribeReplaceRootVolumeTasks"
            | "DescribeSpotFleetRequests"
            | "DescribeSpotPriceHistory"
            | "ListImagesInRecycleBin" => 1,
            "DescribeElasticGpus" => 10,
            "DescribeInstanceEventWindows" => 20,
            _ => 5,
        };
        let most = match action {
            "DescribePublicIpv4Pools" => 10,
            "DescribeReplaceRootVolumeTasks" => 50,
            "DescribeByoipCidrs"
            | "DescribeInstanceTopology"
            | "DescribeInstanceTypes"
            | "DescribeManagedPrefixLists"
            | "DescribeReservedInstancesOfferings"
            | "DescribeRouteTables" => 100,
            "DescribeFastSnapshotRestores" | "DescribeLaunchTemplateVersions" | "DescribeLaunchTemplates" => 200,
            "DescribeEgressOnlyInternetGateways"
            | "DescribeStaleSecurityGroups"
            | "DescribeVpcClassicLinkDnsSupport" => 255,
            "DescribeScheduledInstances" => 300,
            "DescribeHostReservations"
            | "DescribeHosts"
            | "DescribeInstanceEventWindows"
            | "DescribeVolumesModifications" => 500,
            _ => 1000,
        };
        for (size, code) in [
            (least - 1, Code::InvalidParameterValue),
            (least, Code::DryRunOperation),
            (most, Code::DryRunOperation),
            (most + 1, Code::InvalidParameterValue),
        ] {
            let answer =
                world.direct(&format!("Action={action}&MaxResults={size}{}{}", scope(action), rehearsal(action)));
            assert_eq!(outcome(&answer), code, "{action} MaxResults={size}: {answer:?}");
        }
        let next = format!("Action={action}&MaxResults={}&NextToken={}", least.max(5), encoded(token));
        let next = world.direct(&format!("{next}{}{}", scope(action), rehearsal(action)));
        let expected = if action == "DescribeInstanceTypes" { Code::DryRunOperation } else { Code::InvalidNextToken };
        assert_eq!(outcome(&next), expected, "{action}: {next:?}");
        let filtered = ask(&world, action, "NextToken", token);
        assert_eq!(filtered, Code::InvalidNextToken, "{action}");
    }
}

/// What a page must say of whose rows it is.
fn scope(action: &str) -> &'static str {
    match action {
        "DescribeLaunchTemplateVersions" => "&LaunchTemplateVersion.1=$Latest",
        "DescribeStaleSecurityGroups" | "GetSecurityGroupsForVpc" => "&VpcId={vpc}",
        "GetSubnetCidrReservations" => "&SubnetId={subnet}",
        _ => "",
    }
}

/// What a launch template holds: EC2 takes nearly all, and so does the account.
const TEMPLATE: &str = "LaunchTemplateData.";

/// What EC2 takes text for, and so hostile text too, within bounds and character sets.
const TEXT: [&str; 23] = [
    // Of an instance profile, an empty one is none.
    "Arn",
    // An empty zone, key, placement group, subnet, VPC, launch template or page token is none.
    "AvailabilityZone",
    "AvailabilityZoneId",
    "ClientToken",
    "Description",
    "GroupDescription",
    "GroupId",
    "GroupName",
    // `-1` is a protocol.
    "IpProtocol",
    "Key",
    "KeyName",
    "KmsKeyId",
    "LaunchTemplateId",
    "LaunchTemplateName",
    // An image's may have slashes and dots.
    "Name",
    "NextToken",
    "Protocol",
    // An empty one is none, as Terraform sends it.
    "SpotPrice",
    "SubnetId",
    "UserData",
    "Value",
    "VersionDescription",
    "VpcId",
];

/// What may be long: data, and the name of what is to be gone, since what isn't there is gone.
const LONG: [&str; 4] = [
    "DeleteKeyPair KeyName",
    "DeleteTags Tag.1.Value",
    "RequestSpotInstances LaunchSpecification.UserData",
    "RunInstances UserData",
];

#[test]
fn hostile_and_over_long_text_is_refused() {
    let [long, longer] = ["x".repeat(300), "x".repeat(70_000)];
    let hostile = [
        "",
        " ",
        "\0",
        "\u{1}",
        "../../etc/passwd",
        "<script>&amp;]]>",
        "'; DROP TABLE instances; --",
        "%s%n%00",
        "$(reboot)",
        "\u{202e}\u{1f600}",
        "-1",
        "a\r\nX-Header: x",
        "*",
        "\\",
        long.as_str(),
        longer.as_str(),
    ];
    let (mut taken, mut taken_long) = (BTreeSet::new(), BTreeSet::new());
    each(|world, action, parameter| {
        for value in hostile.iter().filter(|_| parameter.is_text()) {
            if ask(world, action, &parameter.name, value) != Code::DryRunOperation {
                continue;
            }
            // What isn't served is asked for by some text, and not by none.
            if value.is_empty() && ask(world, action, &parameter.name, "x") == Code::UnsupportedOperation {
                continue;
            }
            let name = format!("{action} {}", parameter.name);
            assert!(*value != longer && !value.contains(['\0', '\u{1}']), "{name}");
            if parameter.name.starts_with(TEMPLATE) {
                continue;
            }
            if *value == long {
                taken_long.insert(name);
            }
            taken.insert(parameter.name.rsplit('.').next().unwrap().to_owned());
        }
    });
    assert_eq!(taken.iter().map(String::as_str).collect::<Vec<_>>(), TEXT);
    assert_eq!(taken_long.iter().map(String::as_str).collect::<Vec<_>>(), LONG);
}

/// Of each kind something is tagged after it was made, but of bonds, which nobody tags.
#[test]
fn all_kinds_but_bonds_are_tagged() {
    let world = World::new();
    let mut kinds = BTreeMap::new();
    for id in world.ids() {
        let tagged = world.direct(&format!("Action=CreateTags&ResourceId.1={id}&Tag.1.Key=k")).is_ok();
        *kinds.entry(id.rsplit_once('-').unwrap().0).or_insert(false) |= tagged;
    }
    let untagged: Vec<&str> = kinds.iter().filter(|(_, tagged)| !**tagged).map(|(kind, _)| *kind).collect();
    assert_eq!(untagged, BONDS);
    assert!(kinds.len() - untagged.len() > 15, "{kinds:?}");
}

/// What binds two others.
const BONDS: [&str; 7] =
    ["aclassoc", "eipassoc", "eni-attach", "iip-assoc", "rtbassoc", "subnet-cidr-assoc", "vpc-cidr-assoc"];
