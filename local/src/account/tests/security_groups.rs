//! Security groups and their rules.

use super::*;

fn group(world: &mut World, name: &str) -> String {
    let input = Structure::new().with("GroupName", name).with("Description", "for tests");
    world.ok("CreateSecurityGroup", input).string("GroupId").unwrap().to_owned()
}

fn flat(id: &str, port: i64, cidr: &str) -> Structure {
    Structure::new()
        .with("GroupId", id)
        .with("IpProtocol", "tcp")
        .with("FromPort", port)
        .with("ToPort", port)
        .with("CidrIp", cidr)
}

fn permission(port: i64) -> Structure {
    Structure::new().with("IpProtocol", "tcp").with("FromPort", port).with("ToPort", port)
}

fn permissions(id: &str, list: Vec<Structure>) -> Structure {
    Structure::new().with("GroupId", id).with("IpPermissions", list)
}

fn shown(world: &mut World, id: &str) -> Structure {
    let answer = world.ok("DescribeSecurityGroups", Structure::new().with("GroupIds", vec![id]));
    answer.structures("SecurityGroups").next().unwrap().clone()
}

#[test]
fn a_rule_that_is_named_twice_is_revoked_once() {
    let mut world = World::new();
    let id = group(&mut world, "web");
    let made = world.ok("AuthorizeSecurityGroupIngress", flat(&id, 22, "10.0.0.0/8"));
    let rule = made.structures("SecurityGroupRules").next().unwrap().string("SecurityGroupRuleId").unwrap();
    let twice = Structure::new().with("GroupId", id.as_str()).with("SecurityGroupRuleIds", vec![rule, rule]);
    let revoked = world.ok("RevokeSecurityGroupIngress", twice);
    assert_eq!(revoked.list("RevokedSecurityGroupRules").len(), 1);
}

#[test]
fn a_rule_names_a_group_of_its_own_vpc_without_the_vpc() {
    let mut world = World::new();
    let id = group(&mut world, "web");
    let pair = Structure::new().with("GroupId", id.as_str());
    let own = permissions(&id, vec![permission(80).with("UserIdGroupPairs", vec![pair])]);
    let made = world.ok("AuthorizeSecurityGroupIngress", own);
    let listed = world.ok("DescribeSecurityGroupRules", filters(&[("group-id", &[&id])]));
    for rule in made.structures("SecurityGroupRules").chain(listed.structures("SecurityGroupRules")) {
        if let Some(info) = rule.structure("ReferencedGroupInfo") {
            let members: Vec<&str> = info.members().map(|(name, _)| name).collect();
            assert_eq!(members, ["GroupId", "UserId"]);
        }
    }
}

#[test]
fn groups() {
    let mut world = World::new();
    let id = group(&mut world, "web");
    let create = |name: &str| Structure::new().with("GroupName", name).with("Description", "x");
    assert!(
        world
            .err("CreateSecurityGroup", create("web"))
            .starts_with("InvalidGroup.Duplicate: The security group 'web' already exists for VPC 'vpc-")
    );
    // Packer names a VPC always, an empty one where it has none.
    world.ok("CreateSecurityGroup", create("anywhere").with("VpcId", ""));
    for name in ["WEB", "web  "] {
        assert!(world.err("CreateSecurityGroup", create(name)).starts_with("InvalidGroup.Duplicate: "), "{name}");
    }
    for name in ["default", "Default", "default "] {
        assert!(world.err("CreateSecurityGroup", create(name)).starts_with("InvalidGroup.Reserved: "), "{name}");
    }
    for bad in ["sg-web", "", "é", &"x".repeat(256)] {
        assert!(world.err("CreateSecurityGroup", create(bad)).starts_with("InvalidParameterValue: "), "{bad}");
    }
    assert!(
        world
            .err("CreateSecurityGroup", create("x").with("VpcId", "vpc-0123456789abcdef0"))
            .starts_with("InvalidVpcID.NotFound: ")
    );
    let contents = shown(&mut world, &id);
    assert!(contents.list("IpPermissions").is_empty());
    assert_eq!(contents.list("IpPermissionsEgress").len(), 1, "all is let out");
    let by_name = world.ok("DescribeSecurityGroups", Structure::new().with("GroupNames", vec!["web"]));
    let unknown = world.err("DescribeSecurityGroups", Structure::new().with("GroupNames", vec!["nope"]));
    let vpc = by_name.structures("SecurityGroups").next().unwrap().string("VpcId").unwrap();
    assert_eq!(
        unknown,
        format!("InvalidGroup.NotFound: The security group 'nope' does not exist in default VPC '{vpc}'")
    );
    assert_eq!(by_name.list("SecurityGroups").len(), 1);

    let launch = world.launch().with("SecurityGroupIds", vec![id.as_str()]);
    let instance = instance_id(&world.ok("RunInstances", launch));
    let named = Structure::new().with("GroupId", id.as_str());
    assert_eq!(
        world.err("DeleteSecurityGroup", named.clone()),
        format!("DependencyViolation: resource {id} has a dependent object")
    );
    world.ok("TerminateInstances", ids(&[&instance]));
    assert!(
        world.err("DeleteSecurityGroup", named.clone()).starts_with("DependencyViolation: "),
        "while shutting down"
    );
    world.settle();
    world.ok("DeleteSecurityGroup", named.clone());
    assert!(world.err("DeleteSecurityGroup", named).starts_with("InvalidGroup.NotFound: "));
    let error = world.err("DeleteSecurityGroup", Structure::new().with("GroupName", "default"));
    assert!(error.starts_with("CannotDelete: "), "{error}");
}

#[test]
fn authorize_and_revoke() {
    let mut world = World::new();
    let id = group(&mut world, "web");
    let answer = world.ok("AuthorizeSecurityGroupIngress", flat(&id, 22, "10.1.2.3/8"));
    let rule = answer.structures("SecurityGroupRules").next().unwrap();
    assert_eq!((rule.string("CidrIpv4"), rule.boolean("IsEgress")), (Some("10.0.0.0/8"), Some(false)));
    let error = world.err("AuthorizeSecurityGroupIngress", flat(&id, 22, "10.0.0.0/8"));
    assert_eq!(
        error,
        "InvalidPermission.Duplicate: the specified rule \"peer: 10.0.0.0/8, TCP, from port: 22, to port: 22, ALLOW\" already exists"
    );

    let range = Structure::new().with("CidrIpv6", "2001:db8::/32").with("Description", "office");
    let pair = Structure::new().with("GroupId", id.as_str());
    let both = permission(443).with("Ipv6Ranges", vec![range]).with("UserIdGroupPairs", vec![pair]);
    let answer = world.ok("AuthorizeSecurityGroupIngress", permissions(&id, vec![both.clone()]));
    assert_eq!(answer.list("SecurityGroupRules").len(), 2);
    let contents = shown(&mut world, &id);
    assert_eq!(contents.list("IpPermissions").len(), 2);
    let https = contents.structures("IpPermissions").nth(1).unwrap();
    assert_eq!(https.structures("Ipv6Ranges").next().unwrap().string("Description"), Some("office"));
    for (name, value, found) in [
        ("ip-permission.from-port", "443", 1),
        ("ip-permission.cidr", "10.0.0.0/8", 1),
        ("ip-permission.ipv6-cidr", "2001:*", 1),
        ("ip-permission.group-id", id.as_str(), 1),
        ("ip-permission.from-port", "80", 0),
        ("egress.ip-permission.protocol", "-1", 2),
    ] {
        assert_eq!(
            world.ok("DescribeSecurityGroups", filters(&[(name, &[value])])).list("SecurityGroups").len(),
            found,
            "{name}"
        );
    }

    let rules = world.ok("DescribeSecurityGroupRules", filters(&[("group-id", &[&id])]));
    assert_eq!(rules.list("SecurityGroupRules").len(), 4);
    let revoked = world.ok("RevokeSecurityGroupIngress", permissions(&id, vec![both]));
    assert_eq!(revoked.list("RevokedSecurityGroupRules").len(), 2);
    let rule = rules.structures("SecurityGroupRules").nth(1).unwrap().string("SecurityGroupRuleId").unwrap();
    let by_id = Structure::new().with("GroupId", id.as_str()).with("SecurityGroupRuleIds", vec![rule]);
    assert!(
        world.err("RevokeSecurityGroupEgress", by_id.clone()).starts_with("InvalidSecurityGroupRuleId.NotFound: "),
        "another direction"
    );
    world.ok("RevokeSecurityGroupIngress", by_id);
    assert!(shown(&mut world, &id).list("IpPermissions").is_empty());
    let unknown = world.ok("RevokeSecurityGroupIngress", flat(&id, 22, "10.0.0.0/8"));
    assert_eq!(unknown.list("UnknownIpPermissions").len(), 1, "as the default VPC does");
    for vpc in world.account.regions.get_mut(REGION).into_iter().flat_map(|region| region.vpcs.values_mut()) {
        vpc.is_default = false;
    }
    assert!(
        world
            .err("RevokeSecurityGroupIngress", flat(&id, 22, "10.0.0.0/8"))
            .starts_with("InvalidPermission.NotFound: ")
    );
}

#[test]
fn refusals() {
    let mut world = World::new();
    let id = group(&mut world, "web");
    let v4 = |cidr: &str| vec![Structure::new().with("CidrIp", cidr)];
    for (expected, input) in [
        ("InvalidParameterValue: CIDR block 1.2.3.4 is malformed", flat(&id, 22, "1.2.3.4")),
        ("InvalidParameterValue: TCP/UDP port (65536) out of range", flat(&id, 65536, "0.0.0.0/0")),
        ("MissingParameter: ", Structure::new().with("GroupId", id.as_str())),
        ("MissingParameter: ", permissions(&id, vec![permission(22)])),
        (
            "InvalidParameterCombination: ",
            flat(&id, 22, "0.0.0.0/0").with("IpPermissions", vec![permission(22).with("IpRanges", v4("0.0.0.0/0"))]),
        ),
        (
            "InvalidParameterValue: The same permission",
            permissions(
                &id,
                vec![
                    permission(22).with("IpRanges", v4("0.0.0.0/0")),
                    permission(22).with("IpRanges", v4("1.0.0.0/0")),
                ],
            ),
        ),
        (
            "UnsupportedOperation: The parameter IpPermissions.PrefixListIds",
            permissions(
                &id,
                vec![permission(22).with("PrefixListIds", vec![Structure::new().with("PrefixListId", "pl-1")])],
            ),
        ),
        ("InvalidGroup.NotFound: ", permissions("sg-0123456789abcdef0", vec![permission(22)])),
        (
            "InvalidParameterValue: Invalid rule description",
            permissions(
                &id,
                vec![
                    permission(22).with(
                        "IpRanges",
                        vec![Structure::new().with("CidrIp", "0.0.0.0/0").with("Description", "<b>")],
                    ),
                ],
            ),
        ),
        (
            "UnsupportedOperation: A security group of another account",
            permissions(
                &id,
                vec![permission(22).with(
                    "UserIdGroupPairs",
                    vec![Structure::new().with("GroupId", id.as_str()).with("UserId", "123456789012")],
                )],
            ),
        ),
    ] {
        let error = world.err("AuthorizeSecurityGroupIngress", input);
        assert!(error.starts_with(expected), "{error}");
    }
    let many: Vec<Structure> = (0..60).map(|n| permission(n).with("IpRanges", v4("0.0.0.0/0"))).collect();
    world.ok("AuthorizeSecurityGroupIngress", permissions(&id, many));
    let error = world.err("AuthorizeSecurityGroupIngress", flat(&id, 443, "0.0.0.0/0"));
    assert!(error.starts_with("RulesPerSecurityGroupLimitExceeded: "), "{error}");
}

#[test]
fn a_referenced_group_stays_and_descriptions_change() {
    let mut world = World::new();
    let (web, db) = (group(&mut world, "web"), group(&mut world, "db"));
    let pair = Structure::new().with("GroupName", "web");
    let answer = world.ok(
        "AuthorizeSecurityGroupIngress",
        permissions(&db, vec![permission(5432).with("UserIdGroupPairs", vec![pair])]),
    );
    let rule = answer.structures("SecurityGroupRules").next().unwrap();
    assert_eq!(rule.structure("ReferencedGroupInfo").unwrap().string("GroupId"), Some(web.as_str()));
    let named = Structure::new().with("GroupId", web.as_str());
    assert!(world.err("DeleteSecurityGroup", named.clone()).starts_with("DependencyViolation: "));
    let rule = rule.string("SecurityGroupRuleId").unwrap();
    let change = Structure::new().with("SecurityGroupRuleId", rule).with("Description", "from web");
    world.ok(
        "UpdateSecurityGroupRuleDescriptionsIngress",
        Structure::new().with("GroupId", db.as_str()).with("SecurityGroupRuleDescriptions", vec![change]),
    );
    let rules = world.ok("DescribeSecurityGroupRules", Structure::new().with("SecurityGroupRuleIds", vec![rule]));
    assert_eq!(rules.structures("SecurityGroupRules").next().unwrap().string("Description"), Some("from web"));
    world.ok("DeleteSecurityGroup", Structure::new().with("GroupId", db.as_str()));
    world.ok("DeleteSecurityGroup", named);
}

#[test]
fn rules_are_modified_as_a_whole_or_not_at_all() {
    let mut world = World::new();
    let (id, other) = (group(&mut world, "a"), group(&mut world, "b"));
    let mut made = |permission: Structure| {
        let answer = world.ok("AuthorizeSecurityGroupIngress", permissions(&id, vec![permission]));
        answer.structures("SecurityGroupRules").next().unwrap().string("SecurityGroupRuleId").unwrap().to_owned()
    };
    let range = |cidr: &str| permission(22).with("IpRanges", vec![Structure::new().with("CidrIp", cidr)]);
    let (first, second) = (made(range("10.0.0.0/8")), made(range("192.0.2.0/24")));
    let pair = made(permission(22).with("UserIdGroupPairs", vec![Structure::new().with("GroupId", id.as_str())]));
    let update = |rule: &str, request: Structure| {
        Structure::new().with("SecurityGroupRuleId", rule).with("SecurityGroupRule", request)
    };
    let modify = |group: &str, updates: Vec<Structure>| {
        Structure::new().with("GroupId", group).with("SecurityGroupRules", updates)
    };
    let v4 = |port: i64, cidr: &str| permission(port).with("CidrIpv4", cidr);
    for (expected, request) in [
        ("MissingParameter", modify(&id, vec![])),
        ("MissingParameter", modify(&id, vec![Structure::new().with("SecurityGroupRuleId", first.as_str())])),
        ("MissingParameter", modify(&id, vec![update(&first, permission(22))])),
        (
            "InvalidParameterCombination",
            modify(&id, vec![update(&first, v4(22, "10.0.0.0/8").with("CidrIpv6", "::/0"))]),
        ),
        ("InvalidParameterValue", modify(&id, vec![update(&first, permission(22).with("CidrIpv6", "::/0"))])),
        ("InvalidParameterValue", modify(&id, vec![update(&first, v4(70_000, "10.0.0.0/8"))])),
        (
            "InvalidParameterValue",
            modify(&id, vec![update(&first, v4(1, "10.0.0.0/8")), update(&first, v4(2, "10.0.0.0/8"))]),
        ),
        ("InvalidPermission.Duplicate", modify(&id, vec![update(&first, v4(22, "192.0.2.9/24"))])),
        ("InvalidSecurityGroupRuleId.NotFound", modify(&other, vec![update(&first, v4(22, "10.0.0.0/8"))])),
        (
            "InvalidSecurityGroupRuleId.NotFound",
            modify(&id, vec![update("sgr-0123456789abcdef0", v4(22, "10.0.0.0/8"))]),
        ),
        ("InvalidSecurityGroupRuleId.Malformed", modify(&id, vec![update("mine", v4(22, "10.0.0.0/8"))])),
        ("InvalidGroup.NotFound", modify("sg-0123456789abcdef0", vec![update(&first, v4(22, "10.0.0.0/8"))])),
        ("UnsupportedOperation", modify(&id, vec![update(&first, permission(22).with("PrefixListId", "pl-12345678"))])),
    ] {
        let error = world.err("ModifySecurityGroupRules", request.clone());
        assert!(error.starts_with(&format!("{expected}: ")), "{request:?}: {error}");
    }
    // Two that change places are no duplicates.
    let exchanged =
        vec![update(&first, v4(22, "192.0.2.0/24")), update(&second, v4(22, "10.0.0.0/8").with("Description", "new"))];
    world.ok("ModifySecurityGroupRules", modify(&id, exchanged));
    let referring = permission(80).with("ReferencedGroupId", other.as_str());
    world.ok("ModifySecurityGroupRules", modify(&id, vec![update(&pair, referring)]));
    let named = Structure::new().with("SecurityGroupRuleIds", vec![first.as_str(), second.as_str(), pair.as_str()]);
    let answer = world.ok("DescribeSecurityGroupRules", named);
    let rules: Vec<&Structure> = answer.structures("SecurityGroupRules").collect();
    assert_eq!((rules[0].string("CidrIpv4"), rules[1].string("CidrIpv4")), (Some("192.0.2.0/24"), Some("10.0.0.0/8")));
    assert_eq!((rules[0].string("Description"), rules[1].string("Description")), (None, Some("new")));
    assert_eq!(rules[2].structure("ReferencedGroupInfo").unwrap().string("GroupId"), Some(other.as_str()));
}
