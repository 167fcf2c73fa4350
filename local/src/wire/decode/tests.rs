use super::*;
use crate::wire::{arbitrary::Choices, model::VERSION};
use proptest::prelude::*;
use time::macros::datetime;

fn run(query: &str) -> Result<Structure, ApiError> {
    decode(format!("{query}&Version=2016-11-15").as_bytes()).map(|(_, input)| input)
}

#[track_caller]
fn refused(query: &str, code: Code, message: &str) {
    let error = run(query).unwrap_err();
    assert_eq!((error.code, error.message.as_str()), (code, message), "{query}");
}

#[test]
fn every_type_is_read() {
    let input = run("Action=RunInstances&MinCount=1&MaxCount=2&ImageId=ami-1&DryRun=false&SecurityGroupId.1=sg-1\
                     &SecurityGroupId.2=sg-2&Placement.AvailabilityZone=eu-west-1a&BlockDeviceMapping.1.DeviceName=%2Fdev%2Fsda1\
                     &BlockDeviceMapping.1.Ebs.VolumeSize=20&InstanceMarketOptions.SpotOptions.ValidUntil=2026-11-22T10:00:00Z\
                     &NetworkInterface.1.Ipv6Addresses.1.Ipv6Address=%3A%3A1")
    .unwrap();
    assert_eq!(input.integer("MaxCount"), Some(2));
    assert_eq!(input.boolean("DryRun"), Some(false));
    assert_eq!(input.strings("SecurityGroupIds").collect::<Vec<_>>(), ["sg-1", "sg-2"]);
    let mapping = input.structures("BlockDeviceMappings").next().unwrap();
    assert_eq!(mapping.structure("Ebs").unwrap().integer("VolumeSize"), Some(20));
    let spot = input.structure("InstanceMarketOptions").unwrap().structure("SpotOptions").unwrap();
    assert_eq!(spot.get("ValidUntil"), Some(&Value::Timestamp(datetime!(2026-11-22 10:00 UTC))));
    // The one member whose `queryName` is not its `locationName`.
    let interface = input.structures("NetworkInterfaces").next().unwrap();
    assert_eq!(interface.structures("Ipv6Addresses").next().unwrap().string("Ipv6Address"), Some("::1"));
    let input = run("Action=ImportKeyPair&KeyName=k&PublicKeyMaterial=c3NoLWVkMjU1MTk%3D").unwrap();
    assert_eq!(input.get("PublicKeyMaterial"), Some(&Value::Blob(b"ssh-ed25519".to_vec())));
}

#[test]
fn lists_are_in_the_order_of_their_indexes() {
    let ids: String = (1..=12).rev().map(|n| format!("&InstanceId.{n}=i-{n}")).collect();
    let input = run(&format!("Action=StartInstances{ids}")).unwrap();
    let expected: Vec<_> = (1..=12).map(|n| format!("i-{n}")).collect();
    assert_eq!(input.strings("InstanceIds").collect::<Vec<_>>(), expected);
}

#[test]
fn unknown_parameters_are_named_in_full() {
    for (query, name) in [
        ("Action=DescribeRegions&Colour=red", "Colour"),
        ("Action=DescribeRegions&regionName.1=x", "regionName"),
        ("Action=DescribeRegions&RegionNames.1=x", "RegionNames"),
        ("Action=DescribeRegions&DryRun.1=true", "DryRun.1"),
        ("Action=DescribeRegions&DryRun=true&DryRun.Sub=1", "DryRun.Sub"),
        ("Action=DescribeRegions&=x", "="),
        ("Action=DescribeInstances&InstanceId.1=i-1&InstanceId=i-2", "InstanceId"),
        ("Action=DescribeInstances&InstanceId.1.Deep=i-1", "InstanceId.1.Deep"),
        ("Action=DescribeInstances&InstanceId.member.1=i-1", "InstanceId.member"),
        ("Action=DescribeInstances&InstanceId.=i-1", "InstanceId."),
        ("Action=DescribeInstances&InstanceId..1=i-1", "InstanceId."),
        ("Action=DescribeInstances&.InstanceId=i-1", ""),
        ("Action=DescribeInstances&Filter.1=x", "Filter.1"),
        ("Action=DescribeInstances&Filter.1.Value.1=v&Filter.1.Name=n&Filter.1.Values.1=v", "Filter.1.Values"),
        ("Action=DescribeInstances&action=x", "action"),
    ] {
        if name == "=" {
            assert_eq!(run(query).unwrap_err().code, Code::MalformedQueryString);
            continue;
        }
        refused(query, Code::UnknownParameter, &format!("The parameter {name} is not recognized"));
    }
}

#[test]
fn lists_may_count_from_zero_or_have_no_index() {
    for (query, expected) in [
        ("InstanceId.0=i-0", &["i-0"][..]),
        ("InstanceId.0=i-0&InstanceId.1=i-1&InstanceId.2=i-2", &["i-0", "i-1", "i-2"]),
        ("InstanceId=i-1", &["i-1"]),
    ] {
        let input = run(&format!("Action=StartInstances&{query}")).unwrap();
        assert_eq!(input.strings("InstanceIds").collect::<Vec<_>>(), expected, "{query}");
    }
    let input = run("Action=CreateTags&ResourceId.0=i-1&Tag.0.Key=k&Tag.0.Value=v&Tag.1.Key=l&Tag.1.Value=w").unwrap();
    let keys: Vec<_> = input.structures("Tags").filter_map(|tag| tag.string("Key")).collect();
    assert_eq!(keys, ["k", "l"]);
    let input = run("Action=DescribeInstances&Filter.0.Name=n&Filter.0.Value=v").unwrap();
    let filter = input.structures("Filters").next().unwrap();
    assert_eq!(filter.strings("Values").collect::<Vec<_>>(), ["v"]);
}

#[test]
fn malformed_lists_are_refused() {
    for index in ["00", "01", "-1", "+1", "1x", "x", "99999999999999999999", "1e3", "\u{661}"] {
        let error = run(&format!("Action=StartInstances&InstanceId.{}=i-1", query::escape(index))).unwrap_err();
        assert_eq!(error.code, Code::UnknownParameter, "{index}");
    }
    for (query, first) in [
        ("InstanceId.2=i-1", "InstanceId.1"),
        ("InstanceId.1=i-1&InstanceId.3=i-3", "InstanceId.2"),
        ("InstanceId.1=i-1&InstanceId.4000000000=i-3", "InstanceId.2"),
        ("InstanceId.0=i-0&InstanceId.2=i-2", "InstanceId.1"),
    ] {
        let message = format!("The request must contain the parameter {first}");
        refused(&format!("Action=StartInstances&{query}"), Code::MissingParameter, &message);
    }
}

#[test]
fn a_parameter_is_given_once() {
    let message = "The parameter InstanceId.1 may only be specified once";
    refused("Action=StartInstances&InstanceId.1=a&InstanceId.1=a", Code::InvalidParameterCombination, message);
    let message = "The parameter Action may only be specified once";
    refused("Action=StartInstances&Action=StopInstances", Code::InvalidParameterCombination, message);
    let message = "The parameter Version may only be specified once";
    refused("Action=StartInstances&Version=2016-11-15", Code::InvalidParameterCombination, message);
}

#[test]
fn depth_is_bounded() {
    let deep = format!("Action=DescribeRegions&{}=1", ["A"; 100_000].join("."));
    assert_eq!(run(&deep).unwrap_err().code, Code::UnknownParameter);
    assert!(run(&deep).unwrap_err().message.len() < 500);
}

#[test]
fn required_parameters_are_missed_where_they_belong() {
    for (query, name) in [
        ("Action=RunInstances&MinCount=1", "MaxCount"),
        ("Action=StartInstances", "InstanceId"),
        ("Action=CreateTags&ResourceId.1=i-1", "Tag"),
        ("Action=ImportKeyPair&KeyName=k", "PublicKeyMaterial"),
    ] {
        refused(query, Code::MissingParameter, &format!("The request must contain the parameter {name}"));
    }
}

#[test]
fn values_of_the_wrong_type_are_refused() {
    for (query, message) in [
        (
            "RunInstances&MinCount=one&MaxCount=1",
            "Value (one) for parameter minCount is invalid. Expecting a whole number.",
        ),
        ("RunInstances&MinCount=&MaxCount=1", "Value () for parameter minCount is invalid. Expecting a whole number."),
        (
            "RunInstances&MinCount=%2B1&MaxCount=1",
            "Value (+1) for parameter minCount is invalid. Expecting a whole number.",
        ),
        (
            "RunInstances&MinCount=-&MaxCount=1",
            "Value (-) for parameter minCount is invalid. Expecting a whole number.",
        ),
        (
            "RunInstances&MinCount=1&MaxCount=2147483648",
            "Value (2147483648) for parameter maxCount is invalid. Expecting a whole number.",
        ),
        ("DescribeRegions&DryRun=yes", "Value (yes) for parameter dryRun is invalid. Expecting true or false."),
        (
            "ImportKeyPair&KeyName=k&PublicKeyMaterial=%21",
            "Value (!) for parameter publicKeyMaterial is invalid. Expecting base64.",
        ),
        (
            "CreateKeyPair&KeyName=%01",
            "Value (\u{fffd}) for parameter keyName is invalid. It contains a character that XML can't represent.",
        ),
        (
            "DescribeVpcs&MaxResults=1",
            "Value ( 1 ) for parameter maxResults is invalid. Expecting a value greater than 5.",
        ),
        (
            "DescribeVpcs&MaxResults=2000",
            "Value ( 2000 ) for parameter maxResults is invalid. Expecting a value less than 1000.",
        ),
    ] {
        refused(&format!("Action={query}"), Code::InvalidParameterValue, message);
    }
    assert_eq!(run("Action=DescribeVpcs&MaxResults=1000").unwrap().integer("MaxResults"), Some(1000));
}

#[test]
fn values_outside_of_enums_are_refused() {
    let one = "Action=RunInstances&MinCount=1&MaxCount=1";
    for (query, code, message) in [
        (
            format!("{one}&InstanceType=T3.micro"),
            Code::InvalidParameterValue,
            "Invalid value 'T3.micro' for InstanceType.",
        ),
        (
            format!("{one}&TagSpecification.1.ResourceType=house"),
            Code::InvalidParameterValue,
            "'house' is not a valid taggable resource type.",
        ),
        (
            "Action=DescribeInstanceAttribute&InstanceId=i-1&Attribute=colour".to_owned(),
            Code::InvalidParameterValue,
            "Value (colour) for parameter attribute is invalid. Unknown attribute.",
        ),
        (
            "Action=CreateVolume&AvailabilityZone=a&VolumeType=gp9".to_owned(),
            Code::UnknownVolumeType,
            "Unsupported volume type 'gp9' for volume creation.",
        ),
        (
            format!("{one}&InstanceInitiatedShutdownBehavior=explode"),
            Code::InvalidParameterValue,
            "Value (explode) for parameter instanceInitiatedShutdownBehavior is invalid.",
        ),
    ] {
        refused(&query, code, message);
    }
}

/// The page of the API has more of them than the model.
#[test]
fn every_attribute_of_an_account_may_be_asked_for() {
    for name in ["default-vpc", "max-instances", "vpc-max-elastic-ips"] {
        run(&format!("Action=DescribeAccountAttributes&AttributeName.1={name}")).unwrap();
    }
    let other = "Action=DescribeAccountAttributes&AttributeName.1=colour";
    refused(
        other,
        Code::InvalidParameterValue,
        "Value (colour) for parameter attributeName.1 is invalid. Unknown attribute.",
    );
}

#[test]
fn messages_stay_short() {
    let long = "x".repeat(500_000);
    for query in [
        format!("Action={long}"),
        format!("Action=DescribeRegions&DryRun={long}"),
        format!("Action=DescribeRegions&{long}=1"),
    ] {
        assert!(run(&query).unwrap_err().message.len() < 500);
    }
}

/// Writes a value as a client would: after the rules of botocore's serializer.
fn write(shape: ShapeId, value: &Value, path: &str, parameters: &mut Vec<Parameter>) {
    match (model().unwrap().shape(shape), value) {
        (Shape::Structure(members), Value::Structure(structure)) => {
            for (member, value) in structure.members() {
                let target = members.get(member).unwrap();
                write(target.shape, value, &join(path, &target.query_name(member)), parameters);
            }
        }
        (Shape::List(element), Value::List(list)) => {
            for (at, value) in list.iter().enumerate() {
                write(element.shape, value, &join(path, &(at + 1).to_string()), parameters);
            }
        }
        (Shape::Scalar(_), value) => parameters.push((
            path.to_owned(),
            match value {
                Value::String(text) => text.clone(),
                Value::Integer(number) => number.to_string(),
                Value::Double(number) => number.to_string(),
                Value::Boolean(boolean) => boolean.to_string(),
                Value::Timestamp(time) => time.format(&Iso8601::DEFAULT).unwrap(),
                Value::Blob(bytes) => BASE64_STANDARD.encode(bytes),
                Value::List(_) | Value::Structure(_) => panic!("{path} is a scalar"),
            },
        )),
        (_, value) => panic!("{path} is not {value:?}"),
    }
}

proptest! {
    #[test]
    fn what_a_client_writes_is_read(at in any::<prop::sample::Index>(), choices in Choices::strategy()) {
        let operations: Vec<_> = model().unwrap().operations().collect();
        let operation = operations[at.index(operations.len())];
        let input = Choices::new(choices).structure(operation.input);
        prop_assume!(input.is_empty() || Choices::is_sendable(&input.clone().into()));
        let own = [("Action", operation.name), ("Version", VERSION)].map(|(name, value)| (name.to_owned(), value.to_owned()));
        let mut parameters = own.to_vec();
        write(operation.input, &input.clone().into(), "", &mut parameters);
        parameters.sort();
        prop_assert_eq!(decode(query::canonical(&parameters).as_bytes()).unwrap(), (operation.name, input));
    }

    #[test]
    fn no_request_panics(
        at in any::<prop::sample::Index>(),
        names in prop::collection::vec("[A-Z][a-z]{0,6}(\\.([0-9]{1,3}|[A-Z][A-Za-z]{0,8})){0,4}|.{0,8}", 0..6),
        value in ".{0,12}",
    ) {
        let operations: Vec<_> = model().unwrap().operations().collect();
        let operation = operations[at.index(operations.len())];
        let mut parameters: Vec<_> = names.into_iter().map(|name| (name, value.clone())).collect();
        parameters.push(("Action".to_owned(), operation.name.to_owned()));
        parameters.push(("Version".to_owned(), VERSION.to_owned()));
        let _ = decode_parameters(&parameters);
    }
}
