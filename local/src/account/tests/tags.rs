//! Tags of all resources.

use super::*;

fn tag(key: &str, value: &str) -> Structure {
    Structure::new().with("Key", key).with("Value", value)
}

fn tags(id: &str, tags: Vec<Structure>) -> Structure {
    Structure::new().with("Resources", vec![id]).with("Tags", tags)
}

#[test]
fn tags_come_and_go() {
    let mut world = World::new();
    let id = world.running();
    world.ok("CreateTags", tags(&id, vec![tag("a", "1"), tag("b", "2"), tag("c", "")]));
    world.ok("CreateTags", tags(&id, vec![tag("a", "3")]));
    assert_eq!(world.instance(&id).list("Tags").len(), 3);
    assert_eq!(
        world.ok("DescribeInstances", filters(&[("tag:a", &["3"]), ("tag-key", &["b"])])).list("Reservations").len(),
        1
    );
    assert_eq!(world.ok("DescribeInstances", filters(&[("tag:a", &["1"])])).list("Reservations").len(), 0);
    world.ok("DeleteTags", tags(&id, vec![tag("a", "other")]));
    assert_eq!(world.instance(&id).list("Tags").len(), 3, "another value");
    world.ok("DeleteTags", tags(&id, vec![tag("a", "3"), Structure::new().with("Key", "b")]));
    assert_eq!(world.instance(&id).list("Tags").len(), 1);
    world.ok("DeleteTags", tags(&id, vec![]));
    assert_eq!(world.instance(&id).list("Tags").len(), 0);
}

#[test]
fn rules() {
    let mut world = World::new();
    let id = world.running();
    let many = |from: usize, count: usize| (from..from + count).map(|n| tag(&n.to_string(), "")).collect::<Vec<_>>();
    for (expected, input) in [
        ("InvalidParameterValue: Tag keys starting with 'aws:'", tags(&id, vec![tag("aws:x", "")])),
        ("InvalidParameterValue: Tag keys starting with 'aws:'", tags(&id, vec![tag("AWS:x", "")])),
        ("InvalidParameterValue: Tag key exceeds", tags(&id, vec![tag(&"é".repeat(129), "")])),
        ("InvalidParameterValue: Tag value exceeds", tags(&id, vec![tag("a", &"é".repeat(257))])),
        ("InvalidParameterValue: Tag key cannot be", tags(&id, vec![tag("", "")])),
        ("InvalidParameterValue: Duplicate tag key", tags(&id, vec![tag("a", ""), tag("a", "")])),
        ("TagLimitExceeded: ", tags(&id, many(0, 51))),
        ("MissingParameter: ", tags(&id, vec![])),
        ("InvalidID: The ID 'nothing' is not valid", tags("nothing", vec![tag("a", "")])),
        ("InvalidInstanceID.NotFound: ", tags("i-0123456789abcdef0", vec![tag("a", "")])),
        ("InvalidVolume.NotFound: ", tags("vol-0123456789abcdef0", vec![tag("a", "")])),
        (
            "InvalidParameterValue: 1001 values for parameter resourceIdSet",
            Structure::new().with("Resources", vec![id.as_str(); 1001]).with("Tags", vec![tag("a", "")]),
        ),
    ] {
        let error = world.err("CreateTags", input);
        assert!(error.starts_with(expected), "{error}");
    }
    world.ok("CreateTags", tags(&id, vec![tag(&"é".repeat(128), &"é".repeat(256))]));
    world.ok("CreateTags", tags(&id, many(0, 49)));
    world.ok("CreateTags", tags(&id, vec![tag("7", "changed")]));
    assert!(world.err("CreateTags", tags(&id, vec![tag("new", "")])).starts_with("TagLimitExceeded: "));
}

#[test]
fn every_resource_can_have_tags_and_shows_them() {
    let mut world = World::new();
    world.running();
    world.ok("CreateKeyPair", Structure::new().with("KeyName", "k").with("KeyType", "ed25519"));
    let kinds = [
        ("DescribeImages", "Images", "ImageId", "image"),
        ("DescribeKeyPairs", "KeyPairs", "KeyPairId", "key-pair"),
        ("DescribeSecurityGroups", "SecurityGroups", "GroupId", "security-group"),
        ("DescribeSecurityGroupRules", "SecurityGroupRules", "SecurityGroupRuleId", "security-group-rule"),
        ("DescribeVpcs", "Vpcs", "VpcId", "vpc"),
        ("DescribeSubnets", "Subnets", "SubnetId", "subnet"),
        ("DescribeRouteTables", "RouteTables", "RouteTableId", "route-table"),
        ("DescribeInternetGateways", "InternetGateways", "InternetGatewayId", "internet-gateway"),
        ("DescribeNetworkInterfaces", "NetworkInterfaces", "NetworkInterfaceId", "network-interface"),
        ("DescribeVolumes", "Volumes", "VolumeId", "volume"),
    ];
    for (action, list, id, kind) in kinds {
        let answer = world.ok(action, Structure::new());
        let id = answer.structures(list).next().unwrap().string(id).unwrap().to_owned();
        world.ok("CreateTags", tags(&id, vec![tag("mark", kind)]));
        let marked = world.ok(action, filters(&[("tag:mark", &[kind])]));
        let marked: Vec<&Structure> = marked.structures(list).collect();
        assert_eq!(marked.len(), 1, "{action}");
        let member = if marked[0].list("TagSet").is_empty() { "Tags" } else { "TagSet" };
        let mut shown = marked[0].structures(member);
        assert!(shown.any(|tag| tag.string("Key") == Some("mark")), "{action}");
        let described = world.ok("DescribeTags", filters(&[("resource-type", &[kind]), ("key", &["mark"])]));
        assert_eq!(described.structures("Tags").next().unwrap().string("ResourceId"), Some(id.as_str()));
    }
    let all = world.ok("DescribeTags", filters(&[("tag:mark", &["*"])]));
    assert_eq!(all.list("Tags").len(), kinds.len());
    let first = world.ok("DescribeTags", filters(&[("key", &["mark"])]).with("MaxResults", 5_i64));
    let token = first.string("NextToken").unwrap();
    let rest = world.ok("DescribeTags", filters(&[("key", &["mark"])]).with("NextToken", token));
    assert_eq!(first.list("Tags").len() + rest.list("Tags").len(), kinds.len());
}

#[test]
fn pages_of_tags_are_whole_while_tags_come_and_go() {
    let mut world = World::new();
    let id = world.running();
    let letters = |range: std::ops::RangeInclusive<char>| range.map(|c| tag(&c.to_string(), "")).collect::<Vec<_>>();
    world.ok("CreateTags", tags(&id, letters('d'..='m')));
    let question = filters(&[("resource-id", &[&id])]).with("MaxResults", 5_i64);
    let first = world.ok("DescribeTags", question.clone());
    // What was shown goes, and what is before it comes.
    world.ok("DeleteTags", tags(&id, letters('d'..='f')));
    world.ok("CreateTags", tags(&id, letters('a'..='b')));
    world.ok("DeleteTags", tags(&id, letters('h'..='i')));
    let rest = world.ok("DescribeTags", question.with("NextToken", first.string("NextToken").unwrap()));
    let keys: Vec<&str> = [&first, &rest]
        .into_iter()
        .flat_map(|page| page.structures("Tags"))
        .map(|tag| tag.string("Key").unwrap())
        .collect();
    assert_eq!(keys.concat(), "defghjklm");
    assert_eq!(rest.get("NextToken"), None);
}
