//! Route tables, network ACLs, and their bonds with subnets.

use super::{vpcs::of, *};

fn table_of(world: &mut World, id: &str) -> Structure {
    let answer = world.ok("DescribeRouteTables", Structure::new().with("RouteTableIds", vec![id]));
    answer.structures("RouteTables").next().unwrap().clone()
}

fn make_table(world: &mut World, vpc: &str) -> String {
    let made = world.ok("CreateRouteTable", of("VpcId", vpc));
    made.structure("RouteTable").unwrap().string("RouteTableId").unwrap().to_owned()
}

fn states(world: &mut World, id: &str) -> Vec<(String, String)> {
    let text = |route: &Structure, member| route.string(member).unwrap().to_owned();
    let table = table_of(world, id);
    let routes = table.structures("Routes");
    routes.map(|route| (text(route, "DestinationCidrBlock"), text(route, "State"))).collect()
}

#[test]
fn routes_come_go_change_and_turn_black() {
    let mut world = World::new();
    let vpc = world.vpc("10.0.0.0/16");
    let table = make_table(&mut world, &vpc);
    let gateway = world.gateway(&vpc);
    let route = |cidr: &str| of("RouteTableId", &table).with("DestinationCidrBlock", cidr);
    let everywhere = route("0.0.0.0/0");
    let create = everywhere.clone().with("GatewayId", gateway.as_str());
    assert_eq!(world.ok("CreateRoute", create.clone()).boolean("Return"), Some(true));
    let error = world.err("CreateRoute", create.clone());
    assert_eq!(error, "RouteAlreadyExists: The route identified by 0.0.0.0/0 already exists.");
    let [local, outside] = states(&mut world, &table).try_into().unwrap();
    assert_eq!(local, ("10.0.0.0/16".to_owned(), "active".to_owned()));
    assert_eq!(outside, ("0.0.0.0/0".to_owned(), "active".to_owned()));

    for (request, error) in [
        (everywhere.clone(), "MissingParameter"),
        (create.clone().with("InstanceId", "i-0123456789abcdef0"), "InvalidParameterCombination"),
        (route("0.0.0.0/1").with("GatewayId", "local"), "UnsupportedOperation"),
        (route("0.0.0.0/1").with("GatewayId", "igw-0123456789abcdef0"), "InvalidInternetGatewayID.NotFound"),
        (route("0.0.0.0/1").with("TransitGatewayId", "tgw-0123456789abcdef0"), "UnsupportedOperation"),
        (route("10.0.0.0/16").with("GatewayId", gateway.as_str()), "RouteAlreadyExists"),
        (route("10.0.3.0/24").with("GatewayId", gateway.as_str()), "InvalidParameterValue"),
        (route("x").with("GatewayId", gateway.as_str()), "InvalidParameterValue"),
    ] {
        let answer = world.err("CreateRoute", request);
        assert!(answer.starts_with(error), "{answer}");
    }
    let detach = of("InternetGatewayId", &gateway).with("VpcId", vpc.as_str());
    world.ok("DetachInternetGateway", detach.clone());
    assert_eq!(states(&mut world, &table)[1].1, "blackhole");
    let error = world.err("ReplaceRoute", create);
    assert!(error.ends_with("belong to different networks"), "{error}");
    world.ok("AttachInternetGateway", detach);
    assert_eq!(states(&mut world, &table)[1].1, "active");

    let subnet = world.subnet(&vpc, "10.0.0.0/24");
    let id = world.running_in(&subnet);
    world.ok("ReplaceRoute", everywhere.clone().with("InstanceId", id.as_str()));
    let shown = table_of(&mut world, &table);
    let shown = shown.structures("Routes").nth(1).unwrap();
    assert_eq!((shown.string("InstanceId"), shown.string("State")), (Some(id.as_str()), Some("active")));
    assert!(shown.string("NetworkInterfaceId").is_some() && shown.string("GatewayId").is_none());
    world.ok("TerminateInstances", ids(&[&id]));
    world.settle();
    let shown = table_of(&mut world, &table);
    let shown = shown.structures("Routes").nth(1).unwrap();
    assert_eq!((shown.string("InstanceId"), shown.string("State")), (None, Some("blackhole")));

    let error = world.err("ReplaceRoute", route("10.9.0.0/16").with("GatewayId", gateway.as_str()));
    assert!(error.starts_with("InvalidParameterValue: There is no route defined for '10.9.0.0/16'"), "{error}");
    world.ok("DeleteRoute", everywhere.clone());
    let error = world.err("DeleteRoute", everywhere);
    let expected =
        format!("InvalidRoute.NotFound: no route with destination-cidr-block 0.0.0.0/0 in route table {table}");
    assert_eq!(error, expected);
    let error = world.err("DeleteRoute", route("10.0.0.0/16"));
    assert!(error.starts_with("InvalidParameterValue: cannot remove local route"), "{error}");
}

#[test]
fn subnets_have_the_main_table_or_one_of_their_own() {
    let mut world = World::new();
    let vpc = world.vpc("10.0.0.0/16");
    let subnet = world.subnet(&vpc, "10.0.0.0/24");
    let [main] = world.all_of(&vpc, "DescribeRouteTables", "RouteTables", "RouteTableId").try_into().unwrap();
    let (one, two) = (make_table(&mut world, &vpc), make_table(&mut world, &vpc));
    let associate = |table: &str| of("RouteTableId", table).with("SubnetId", subnet.as_str());
    let answer = world.ok("AssociateRouteTable", associate(&one));
    let association = answer.string("AssociationId").unwrap();
    assert_eq!(answer.structure("AssociationState").unwrap().string("State"), Some("associated"));
    let error = world.err("AssociateRouteTable", associate(&two));
    assert!(error.starts_with("Resource.AlreadyAssociated: the specified association for route table rtb-"), "{error}");
    let filter = filters(&[("association.subnet-id", &[&subnet])]);
    let described = world.ok("DescribeRouteTables", filter);
    assert_eq!(described.structures("RouteTables").next().unwrap().string("RouteTableId"), Some(one.as_str()));
    let error = world.err("DeleteRouteTable", of("RouteTableId", &one));
    assert_eq!(error, format!("DependencyViolation: The routeTable '{one}' has dependencies and cannot be deleted."));
    let replace = of("AssociationId", association).with("RouteTableId", two.as_str());
    let answer = world.ok("ReplaceRouteTableAssociation", replace.clone());
    let error = world.err("ReplaceRouteTableAssociation", replace);
    assert_eq!(error, format!("InvalidAssociationID.NotFound: The association ID '{association}' does not exist"));
    world.ok("DeleteRouteTable", of("RouteTableId", &one));
    world.ok("DisassociateRouteTable", of("AssociationId", answer.string("NewAssociationId").unwrap()));

    let shown = table_of(&mut world, &main);
    let bond = shown.structures("Associations").next().unwrap();
    assert_eq!(bond.boolean("Main"), Some(true));
    let bond = of("AssociationId", bond.string("RouteTableAssociationId").unwrap());
    let error = world.err("DisassociateRouteTable", bond.clone());
    assert!(error.starts_with("InvalidParameterValue: cannot disassociate the main route table"), "{error}");
    world.ok("ReplaceRouteTableAssociation", bond.with("RouteTableId", two.as_str()));
    world.ok("DeleteRouteTable", of("RouteTableId", &main));
    assert!(world.err("DeleteRouteTable", of("RouteTableId", &two)).starts_with("DependencyViolation"));

    let elsewhere = world.vpc("10.0.0.0/16");
    let table = make_table(&mut world, &elsewhere);
    let error = world.err("AssociateRouteTable", associate(&table));
    assert!(error.ends_with("belong to different networks"), "{error}");
    world.ok("DeleteSubnet", of("SubnetId", &subnet));
    assert_eq!(world.account.whole(), Ok(()));
}

#[test]
fn a_token_makes_one_table_until_that_is_deleted() {
    let mut world = World::new();
    let vpc = world.vpc("10.0.0.0/16");
    for (create, member, id, delete) in [
        ("CreateRouteTable", "RouteTable", "RouteTableId", "DeleteRouteTable"),
        ("CreateNetworkAcl", "NetworkAcl", "NetworkAclId", "DeleteNetworkAcl"),
    ] {
        let request = of("VpcId", &vpc).with("ClientToken", "t");
        let first = world.ok(create, request.clone());
        assert_eq!(world.ok(create, request.clone()), first);
        assert_eq!(first.string("ClientToken"), Some("t"));
        let row = first.structure(member).unwrap().string(id).unwrap().to_owned();
        world.ok(delete, of(id, &row));
        let again = world.ok(create, request);
        assert_ne!(again.structure(member).unwrap().string(id), Some(row.as_str()));
    }
}

fn acl(world: &mut World, id: &str) -> Structure {
    let answer = world.ok("DescribeNetworkAcls", Structure::new().with("NetworkAclIds", vec![id]));
    answer.structures("NetworkAcls").next().unwrap().clone()
}

#[test]
fn network_acls_have_numbered_rules_and_each_subnet_has_one() {
    let mut world = World::new();
    let vpc = world.vpc("10.0.0.0/16");
    let subnet = world.subnet(&vpc, "10.0.0.0/24");
    let [default] = world.all_of(&vpc, "DescribeNetworkAcls", "NetworkAcls", "NetworkAclId").try_into().unwrap();
    let rules = |acl: &Structure| -> Vec<(bool, i64, String)> {
        let entries = acl.structures("Entries");
        let action = |entry: &Structure| entry.string("RuleAction").unwrap().to_owned();
        entries
            .map(|entry| (entry.boolean("Egress").unwrap(), entry.integer("RuleNumber").unwrap(), action(entry)))
            .collect()
    };
    let rule = |egress, number, action: &str| (egress, number, action.to_owned());
    let shown = acl(&mut world, &default);
    let all =
        [rule(true, 100, "allow"), rule(true, 32767, "deny"), rule(false, 100, "allow"), rule(false, 32767, "deny")];
    assert_eq!(rules(&shown), all);
    let bond = shown.structures("Associations").next().unwrap();
    assert_eq!(bond.string("SubnetId"), Some(subnet.as_str()));
    let association = bond.string("NetworkAclAssociationId").unwrap();

    let made = world.ok("CreateNetworkAcl", of("VpcId", &vpc));
    let id = made.structure("NetworkAcl").unwrap().string("NetworkAclId").unwrap().to_owned();
    let ports = Structure::new().with("From", 22_i64).with("To", 22_i64);
    let of_number = |number: i64| of("NetworkAclId", &id).with("RuleNumber", number).with("Egress", false);
    let entry = |number: i64, action: &str| {
        let cidr = of_number(number).with("CidrBlock", "10.1.2.3/8").with("Protocol", "tcp").with("RuleAction", action);
        cidr.with("PortRange", ports.clone())
    };
    world.ok("CreateNetworkAclEntry", entry(200, "allow"));
    world.ok("CreateNetworkAclEntry", entry(100, "deny"));
    let error = world.err("CreateNetworkAclEntry", entry(100, "deny"));
    assert_eq!(error, "NetworkAclEntryAlreadyExists: The network acl entry identified by 100 already exists.");
    let shown = acl(&mut world, &id);
    let expected =
        [rule(true, 32767, "deny"), rule(false, 100, "deny"), rule(false, 200, "allow"), rule(false, 32767, "deny")];
    assert_eq!(rules(&shown), expected);
    let first = shown.structures("Entries").nth(1).unwrap();
    assert_eq!((first.string("CidrBlock"), first.string("Protocol")), (Some("10.0.0.0/8"), Some("6")));
    assert_eq!(first.structure("PortRange").unwrap().integer("To"), Some(22));
    world.ok("ReplaceNetworkAclEntry", entry(100, "allow"));
    let error = world.err("ReplaceNetworkAclEntry", entry(300, "allow"));
    assert!(error.starts_with("InvalidNetworkAclEntry.NotFound"), "{error}");
    world.ok("DeleteNetworkAclEntry", of_number(100));
    let error = world.err("DeleteNetworkAclEntry", of_number(100));
    assert!(error.starts_with("InvalidNetworkAclEntry.NotFound"), "{error}");
    for bad in [entry(0, "allow"), entry(32767, "allow"), entry(1, "maybe"), of_number(5)] {
        world.err("CreateNetworkAclEntry", bad);
    }
    for number in 1..=19 {
        world.ok("CreateNetworkAclEntry", entry(number, "allow"));
    }
    let error = world.err("CreateNetworkAclEntry", entry(20, "allow"));
    assert!(error.starts_with("NetworkAclEntryLimitExceeded"), "{error}");

    let replace = of("AssociationId", association).with("NetworkAclId", id.as_str());
    let answer = world.ok("ReplaceNetworkAclAssociation", replace.clone());
    assert!(answer.string("NewAssociationId").is_some_and(|new| new != association));
    assert!(world.err("ReplaceNetworkAclAssociation", replace).starts_with("InvalidAssociationID.NotFound"));
    let error = world.err("DeleteNetworkAcl", of("NetworkAclId", &id));
    assert!(error.starts_with("DependencyViolation"), "{error}");
    world.ok("DeleteSubnet", of("SubnetId", &subnet));
    world.ok("DeleteNetworkAcl", of("NetworkAclId", &id));
    assert!(world.err("DeleteNetworkAcl", of("NetworkAclId", &default)).starts_with("InvalidParameterValue"));
    assert_eq!(world.account.whole(), Ok(()));
}
