//! IPv6 in VPCs: ranges, addresses, rules, routes, and the gateways that let out alone.

use super::{vpcs::of, *};
use std::net::Ipv6Addr;

/// A VPC with IPv6, and a subnet of it, with its range.
fn dual(world: &mut World) -> (String, String, String) {
    let create = of("CidrBlock", "10.0.0.0/16").with("AmazonProvidedIpv6CidrBlock", true);
    let made = world.ok("CreateVpc", create);
    let vpc = made.structure("Vpc").unwrap().string("VpcId").unwrap().to_owned();
    let range = subnet_range(world, &vpc, 0);
    let subnet = of("VpcId", &vpc).with("CidrBlock", "10.0.0.0/24").with("Ipv6CidrBlock", range.as_str());
    let made = world.ok("CreateSubnet", subnet);
    (vpc, made.structure("Subnet").unwrap().string("SubnetId").unwrap().to_owned(), range)
}

fn vpc_shown(world: &mut World, vpc: &str) -> Structure {
    let answer = world.ok("DescribeVpcs", filters(&[("vpc-id", &[vpc])]));
    answer.structures("Vpcs").next().unwrap().clone()
}

fn vpc_range(world: &mut World, vpc: &str) -> String {
    let shown = vpc_shown(world, vpc);
    let association = shown.structures("Ipv6CidrBlockAssociationSet").next().unwrap();
    association.string("Ipv6CidrBlock").unwrap().to_owned()
}

/// The n-th /64 of a VPC's range.
fn subnet_range(world: &mut World, vpc: &str, n: u128) -> String {
    let range = vpc_range(world, vpc);
    let address: Ipv6Addr = range.split_once('/').unwrap().0.parse().unwrap();
    format!("{}/64", Ipv6Addr::from_bits(address.to_bits() | n << 64))
}

/// The address at a place in a range.
fn nth(range: &str, n: u128) -> String {
    let address: Ipv6Addr = range.split_once('/').unwrap().0.parse().unwrap();
    Ipv6Addr::from_bits(address.to_bits() | n).to_string()
}

fn subnet_shown(world: &mut World, subnet: &str) -> Structure {
    let answer = world.ok("DescribeSubnets", filters(&[("subnet-id", &[subnet])]));
    answer.structures("Subnets").next().unwrap().clone()
}

fn interface(world: &mut World, request: Structure) -> (String, Vec<String>) {
    let made = world.ok("CreateNetworkInterface", request);
    let made = made.structure("NetworkInterface").unwrap();
    (made.string("NetworkInterfaceId").unwrap().to_owned(), addresses(made))
}

fn addresses(interface: &Structure) -> Vec<String> {
    interface.structures("Ipv6Addresses").map(|it| it.string("Ipv6Address").unwrap().to_owned()).collect()
}

fn switch(subnet: &str, on: bool) -> Structure {
    of("SubnetId", subnet).with("AssignIpv6AddressOnCreation", Structure::new().with("Value", on))
}

#[test]
fn amazon_provides_ranges_that_are_nobody_elses_and_they_go_when_nothing_uses_them() {
    let mut world = World::new();
    let create = of("CidrBlock", "10.0.0.0/16").with("AmazonProvidedIpv6CidrBlock", true);
    let made = world.ok("CreateVpc", create.clone());
    let made = made.structure("Vpc").unwrap();
    let association = made.structures("Ipv6CidrBlockAssociationSet").next().unwrap();
    assert_eq!(association.string("Ipv6CidrBlock"), Some(""), "it is still being associated");
    assert_eq!(association.structure("Ipv6CidrBlockState").unwrap().string("State"), Some("associating"));
    let vpc = made.string("VpcId").unwrap().to_owned();
    let shown = vpc_shown(&mut world, &vpc);
    let association = shown.structures("Ipv6CidrBlockAssociationSet").next().unwrap();
    assert_eq!(association.string("Ipv6Pool"), Some("Amazon"));
    assert_eq!(association.string("NetworkBorderGroup"), Some(REGION));
    let range = association.string("Ipv6CidrBlock").unwrap().to_owned();
    assert!(range.starts_with("3fff:") && range.ends_with("::/56"), "{range}");
    for (name, value) in [
        ("ipv6-cidr-block-association.ipv6-cidr-block", range.as_str()),
        ("ipv6-cidr-block-association.state", "associated"),
        ("ipv6-cidr-block-association.ipv6-pool", "Amazon"),
    ] {
        let found = world.ok("DescribeVpcs", filters(&[(name, &[value])]));
        assert_eq!(found.structures("Vpcs").count(), 1, "{name}");
    }
    let associate = of("VpcId", &vpc).with("AmazonProvidedIpv6CidrBlock", true);
    let both = world.err("AssociateVpcCidrBlock", associate.clone().with("CidrBlock", "10.1.0.0/16"));
    assert!(both.starts_with("InvalidParameterCombination: "), "{both}");
    for _ in 1..5 {
        let answer = world.ok("AssociateVpcCidrBlock", associate.clone());
        assert!(answer.structure("Ipv6CidrBlockAssociation").is_some() && answer.get("CidrBlockAssociation").is_none());
    }
    assert!(world.err("AssociateVpcCidrBlock", associate).starts_with("CidrLimitExceeded: "));
    let shown = vpc_shown(&mut world, &vpc);
    let all: Vec<&Structure> = shown.structures("Ipv6CidrBlockAssociationSet").collect();
    let mut ranges: Vec<&str> = all.iter().filter_map(|it| it.string("Ipv6CidrBlock")).collect();
    ranges.sort();
    ranges.dedup();
    assert_eq!(ranges.len(), 5);

    let subnet = subnet_range(&mut world, &vpc, 7);
    world.ok("CreateSubnet", of("VpcId", &vpc).with("CidrBlock", "10.0.0.0/24").with("Ipv6CidrBlock", subnet));
    let first = of("AssociationId", all[0].string("AssociationId").unwrap());
    let used = world.err("DisassociateVpcCidrBlock", first);
    assert_eq!(used, format!("InvalidCidrBlock.InUse: The vpc {vpc} currently has a subnet within CIDR block {range}"));
    let second = of("AssociationId", all[1].string("AssociationId").unwrap());
    let gone = world.ok("DisassociateVpcCidrBlock", second.clone());
    let gone = gone.structure("Ipv6CidrBlockAssociation").unwrap();
    assert_eq!(gone.structure("Ipv6CidrBlockState").unwrap().string("State"), Some("disassociating"));
    assert!(world.err("DisassociateVpcCidrBlock", second).starts_with("InvalidVpcCidrBlockAssociationID.NotFound: "));
    assert_eq!(vpc_shown(&mut world, &vpc).structures("Ipv6CidrBlockAssociationSet").count(), 4);
    let elsewhere = create.with("Ipv6CidrBlockNetworkBorderGroup", "us-west-2-lax-1");
    assert!(world.err("CreateVpc", elsewhere).starts_with("InvalidParameterValue: "));
}

#[test]
fn a_subnet_has_a_range_of_its_vpcs_or_none() {
    let mut world = World::new();
    let (vpc, subnet, range) = dual(&mut world);
    let shown = subnet_shown(&mut world, &subnet);
    let association = shown.structures("Ipv6CidrBlockAssociationSet").next().unwrap();
    assert_eq!(association.string("Ipv6CidrBlock"), Some(range.as_str()));
    let create = |v4: &str, v6: &str| of("VpcId", &vpc).with("CidrBlock", v4).with("Ipv6CidrBlock", v6);
    for (v6, error) in [
        ("2001:db8::/64", "InvalidSubnet.Range: The CIDR '2001:db8::/64' is invalid."),
        (&range.replace("/64", "/80"), "InvalidSubnet.Range: "),
        (&range.replace("/64", "/63"), "InvalidSubnet.Range: "),
        (&range, "InvalidSubnet.Conflict: "),
        ("ten", "InvalidParameterValue: Value (ten) for parameter ipv6CidrBlock is invalid."),
    ] {
        let refused = world.err("CreateSubnet", create("10.0.9.0/24", v6));
        assert!(refused.starts_with(error), "{v6}: {refused}");
    }
    let native = create("10.0.9.0/24", &range).with("Ipv6Native", true);
    assert!(world.err("CreateSubnet", native).starts_with("UnsupportedOperation: The parameter Ipv6Native "));

    let plain = world.subnet(&vpc, "10.0.1.0/24");
    let refused = world.err("ModifySubnetAttribute", switch(&plain, true));
    assert!(refused.starts_with("InvalidParameterValue: Invalid value 'true' for assign-ipv6-address-on-creation. "));
    let other = subnet_range(&mut world, &vpc, 1);
    let associate = of("SubnetId", &plain).with("Ipv6CidrBlock", other.as_str());
    let made = world.ok("AssociateSubnetCidrBlock", associate.clone());
    let made = made.structure("Ipv6CidrBlockAssociation").unwrap();
    assert_eq!(made.structure("Ipv6CidrBlockState").unwrap().string("State"), Some("associating"));
    assert!(world.err("AssociateSubnetCidrBlock", associate).starts_with("CidrLimitExceeded: "));
    let found = world.ok("DescribeSubnets", filters(&[("ipv6-cidr-block-association.ipv6-cidr-block", &[&other])]));
    assert_eq!(found.structures("Subnets").next().unwrap().string("SubnetId"), Some(plain.as_str()));

    world.ok("ModifySubnetAttribute", switch(&plain, true));
    assert_eq!(subnet_shown(&mut world, &plain).boolean("AssignIpv6AddressOnCreation"), Some(true));
    let bond = of("AssociationId", made.string("AssociationId").unwrap());
    let used = world.err("DisassociateSubnetCidrBlock", bond.clone());
    assert!(used.starts_with("InvalidCidrBlock.InUse: The subnet IPv6 CIDR block with association ID "), "{used}");
    assert!(used.ends_with("because its subnet has assign-ipv6-address-on-creation set to true."), "{used}");
    let (nic, given) = interface(&mut world, of("SubnetId", &plain));
    assert_eq!(given.len(), 1);
    world.ok("ModifySubnetAttribute", switch(&plain, false));
    assert!(world.err("DisassociateSubnetCidrBlock", bond.clone()).starts_with("InvalidCidrBlock.InUse: "));
    world.ok("DeleteNetworkInterface", of("NetworkInterfaceId", &nic));
    let gone = world.ok("DisassociateSubnetCidrBlock", bond.clone());
    assert_eq!(gone.string("SubnetId"), Some(plain.as_str()));
    assert!(world.err("DisassociateSubnetCidrBlock", bond).starts_with("InvalidSubnetCidrBlockAssociationID.NotFound"));
    assert_eq!(subnet_shown(&mut world, &plain).structures("Ipv6CidrBlockAssociationSet").count(), 0);
}

#[test]
fn interfaces_have_addresses_that_are_named_or_drawn() {
    let mut world = World::new();
    let (vpc, subnet, range) = dual(&mut world);
    let named = |addresses: &[&str]| {
        let list: Vec<Structure> = addresses.iter().map(|it| of("Ipv6Address", it)).collect();
        of("SubnetId", &subnet).with("Ipv6Addresses", list)
    };
    let five = nth(&range, 5);
    let (first, given) = interface(&mut world, named(&[&five]));
    assert_eq!(given, [five.as_str()]);
    let counted = of("SubnetId", &subnet).with("Ipv6AddressCount", 2_i64);
    let (second, given) = interface(&mut world, counted.clone());
    assert_eq!(given.len(), 2);
    for (request, error) in [
        (named(&[&five]), "InvalidIPAddress.InUse: "),
        (named(&[&nth(&range, 3)]), "InvalidParameterValue: "),
        (named(&["2001:db8::5"]), "InvalidParameterValue: "),
        (named(&["five"]), "InvalidParameterValue: "),
        (named(&[&nth(&range, 6), &nth(&range, 6)]), "InvalidParameterValue: "),
        (named(&[&nth(&range, 6)]).with("Ipv6AddressCount", 1_i64), "InvalidParameterCombination: "),
        (of("SubnetId", &subnet).with("Ipv6AddressCount", 51_i64), "PrivateIpAddressLimitExceeded: "),
        (of("SubnetId", &subnet).with("Ipv6AddressCount", -1_i64), "InvalidParameterValue: "),
        (counted.clone().with("EnablePrimaryIpv6", true), "UnsupportedOperation: The parameter EnablePrimaryIpv6 "),
    ] {
        let refused = world.err("CreateNetworkInterface", request.clone());
        assert!(refused.starts_with(error), "{request:?}: {refused}");
    }
    let plain = world.subnet(&vpc, "10.0.1.0/24");
    let refused = world.err("CreateNetworkInterface", of("SubnetId", &plain).with("Ipv6AddressCount", 1_i64));
    assert!(refused.starts_with(&format!("InvalidParameterValue: The subnet '{plain}' ")), "{refused}");

    let nic = |id: &str| of("NetworkInterfaceId", id);
    let assigned = world.ok("AssignIpv6Addresses", nic(&first).with("Ipv6AddressCount", 1_i64));
    let assigned: Vec<String> = assigned.strings("AssignedIpv6Addresses").map(str::to_owned).collect();
    let found = world.ok("DescribeNetworkInterfaces", filters(&[("ipv6-addresses.ipv6-address", &[&assigned[0]])]));
    let found = found.structures("NetworkInterfaces").next().unwrap();
    assert_eq!(addresses(found), [five.clone(), assigned[0].clone()]);
    assert_eq!(found.string("Ipv6Address"), Some(five.as_str()));
    let taken = world.err("AssignIpv6Addresses", nic(&second).with("Ipv6Addresses", vec![five.as_str()]));
    assert!(taken.starts_with("InvalidIPAddress.InUse: "), "{taken}");
    assert!(world.err("AssignIpv6Addresses", nic(&second)).starts_with("MissingParameter: "));
    let gone = world.ok("UnassignIpv6Addresses", nic(&first).with("Ipv6Addresses", vec![five.as_str()]));
    assert_eq!(gone.strings("UnassignedIpv6Addresses").collect::<Vec<_>>(), [five.as_str()]);
    let again = world.err("UnassignIpv6Addresses", nic(&first).with("Ipv6Addresses", vec![five.as_str()]));
    assert!(again.starts_with("InvalidParameterValue: "), "{again}");
    world.ok("AssignIpv6Addresses", nic(&second).with("Ipv6Addresses", vec![five.as_str()]));
    world.ok("DeleteNetworkInterface", nic(&second));
    let (_, given) = interface(&mut world, named(&[&five]));
    assert_eq!(given, [five], "who is gone has none");
    assert_eq!(world.account.whole(), Ok(()));
}

#[test]
fn instances_are_launched_with_addresses_and_show_them() {
    let mut world = World::new();
    let (_, subnet, range) = dual(&mut world);
    let six = nth(&range, 6);
    let list = vec![of("Ipv6Address", &six)];
    let launch = world.launch().with("SubnetId", subnet.as_str());
    let several = launch.clone().with("MaxCount", 2_i64).with("Ipv6Addresses", list.clone());
    assert!(world.err("RunInstances", several).starts_with("InvalidParameterCombination: "));
    let answer = world.ok("RunInstances", launch.clone().with("Ipv6Addresses", list));
    let id = instance_id(&answer);
    world.settle();
    let shown = world.instance(&id);
    assert_eq!(shown.string("Ipv6Address"), Some(six.as_str()));
    let nic = shown.structures("NetworkInterfaces").next().unwrap();
    assert_eq!(addresses(nic), [six.as_str()]);
    for name in ["ipv6-address", "network-interface.ipv6-addresses.ipv6-address", "network-interface.ipv6-address"] {
        let found = world.ok("DescribeInstances", filters(&[(name, &[&six])]));
        assert_eq!(instance_id(&found), id, "{name}");
    }
    let metadata = world.account.metadata(nic.string("NetworkInterfaceId").unwrap()).unwrap();
    let told = |name: &str| metadata.tree.iter().find(|(path, _)| path.ends_with(name)).map(|(_, it)| it.as_str());
    assert_eq!(told("meta-data/ipv6"), Some(six.as_str()));
    assert_eq!(told("/ipv6s"), Some(six.as_str()));
    assert_eq!(told("/subnet-ipv6-cidr-blocks"), Some(range.as_str()));
    assert!(told("/vpc-ipv6-cidr-blocks").unwrap().ends_with("::/56"));

    world.ok("ModifySubnetAttribute", switch(&subnet, true));
    let answer = world.ok("RunInstances", launch.clone());
    assert!(first_instance(&answer).string("Ipv6Address").is_some(), "the subnet gives one to all");
    let none = launch.clone().with("Ipv6AddressCount", 0_i64);
    let answer = world.ok("RunInstances", none);
    assert!(first_instance(&answer).get("Ipv6Address").is_none(), "but for those that want none");
    let described =
        Structure::new().with("DeviceIndex", 0_i64).with("SubnetId", subnet).with("Ipv6AddressCount", 2_i64);
    let mut by_interface = world.launch();
    by_interface.set("NetworkInterfaces", vec![described]);
    let both = by_interface.clone().with("Ipv6AddressCount", 1_i64);
    assert!(world.err("RunInstances", both).starts_with("InvalidParameterCombination: "));
    let answer = world.ok("RunInstances", by_interface.clone());
    assert_eq!(addresses(first_instance(&answer).structures("NetworkInterfaces").next().unwrap()).len(), 2);
    let mut old = launch;
    old.set("InstanceType", "m3.medium");
    if Architecture::host() != Architecture::Arm64 {
        let refused = world.err("RunInstances", old.with("Ipv6AddressCount", 1_i64));
        assert!(refused.starts_with("PrivateIpAddressLimitExceeded: "), "{refused}");
    }
}

#[test]
fn what_lets_ipv4_out_lets_ipv6_out_where_nobody_has_changed_it() {
    let mut world = World::new();
    let vpc = world.vpc("10.0.0.0/16");
    let group = |world: &mut World, name: &str, vpc: &str| {
        let create = of("GroupName", name).with("Description", "of the tests").with("VpcId", vpc);
        world.ok("CreateSecurityGroup", create).string("GroupId").unwrap().to_owned()
    };
    let (same, changed) = (group(&mut world, "same", &vpc), group(&mut world, "changed", &vpc));
    let all = Structure::new().with("IpProtocol", "-1").with("IpRanges", vec![of("CidrIp", "0.0.0.0/0")]);
    world.ok("RevokeSecurityGroupEgress", of("GroupId", &changed).with("IpPermissions", vec![all]));
    world.ok("AssociateVpcCidrBlock", of("VpcId", &vpc).with("AmazonProvidedIpv6CidrBlock", true));
    let after = group(&mut world, "after", &vpc);
    let leaving = |world: &mut World, id: &str| -> Vec<String> {
        let rules = world.ok("DescribeSecurityGroupRules", filters(&[("group-id", &[id])]));
        let rules = rules.structures("SecurityGroupRules").filter(|rule| rule.boolean("IsEgress") == Some(true));
        rules.filter_map(|rule| Some(rule.string("CidrIpv4").or(rule.string("CidrIpv6"))?.to_owned())).collect()
    };
    for id in [&same, &after] {
        assert_eq!(leaving(&mut world, id), ["0.0.0.0/0", "::/0"]);
    }
    assert_eq!(leaving(&mut world, &changed), [""; 0]);

    let entries = |world: &mut World, id: &str| -> Vec<(i64, bool, String, String)> {
        let acls = world.ok("DescribeNetworkAcls", filters(&[("network-acl-id", &[id])]));
        let acl = acls.structures("NetworkAcls").next().unwrap();
        let shown = acl.structures("Entries").map(|entry| {
            let range = entry.string("CidrBlock").or(entry.string("Ipv6CidrBlock")).unwrap();
            let (number, egress) = (entry.integer("RuleNumber").unwrap(), entry.boolean("Egress").unwrap());
            (number, egress, range.to_owned(), entry.string("RuleAction").unwrap().to_owned())
        });
        shown.collect()
    };
    let acl = world.all_of(&vpc, "DescribeNetworkAcls", "NetworkAcls", "NetworkAclId").remove(0);
    let expected = [true, false].into_iter().flat_map(|egress| {
        let rows = [
            (100, "0.0.0.0/0", "allow"),
            (101, "::/0", "allow"),
            (32767, "0.0.0.0/0", "deny"),
            (32768, "::/0", "deny"),
        ];
        rows.map(|(number, range, action)| (number, egress, range.to_owned(), action.to_owned()))
    });
    assert_eq!(entries(&mut world, &acl), expected.collect::<Vec<_>>());

    let own = world.ok("CreateNetworkAcl", of("VpcId", &vpc));
    let own = own.structure("NetworkAcl").unwrap().string("NetworkAclId").unwrap().to_owned();
    let entry = of("NetworkAclId", &own).with("RuleNumber", 7_i64).with("Egress", false).with("RuleAction", "allow");
    let icmp = Structure::new().with("Type", 128_i64).with("Code", -1_i64);
    let v6 = entry.with("Protocol", "58").with("IcmpTypeCode", icmp).with("Ipv6CidrBlock", "2001:db8::7/32");
    let both = v6.clone().with("CidrBlock", "10.0.0.0/8");
    assert!(world.err("CreateNetworkAclEntry", both).starts_with("InvalidParameterCombination: "));
    world.ok("CreateNetworkAclEntry", v6);
    let found = world.ok("DescribeNetworkAcls", filters(&[("entry.ipv6-cidr", &["2001:db8::/32"])]));
    let found = found.structures("NetworkAcls").next().unwrap();
    let shown = found.structures("Entries").find(|entry| entry.integer("RuleNumber") == Some(7)).unwrap();
    assert_eq!(shown.structure("IcmpTypeCode").unwrap().integer("Type"), Some(128));
    assert!(shown.get("CidrBlock").is_none());
}

#[test]
fn routes_lead_ipv6_out_by_gateways_that_let_nobody_in() {
    let mut world = World::new();
    let (vpc, _, range) = dual(&mut world);
    let create = of("VpcId", &vpc).with("ClientToken", "once");
    let made = world.ok("CreateEgressOnlyInternetGateway", create.clone());
    assert_eq!(world.ok("CreateEgressOnlyInternetGateway", create), made);
    let gateway = made.structure("EgressOnlyInternetGateway").unwrap();
    let attachment = gateway.structures("Attachments").next().unwrap();
    assert_eq!((attachment.string("State"), attachment.string("VpcId")), (Some("attached"), Some(vpc.as_str())));
    let gateway = gateway.string("EgressOnlyInternetGatewayId").unwrap().to_owned();

    let table = world.all_of(&vpc, "DescribeRouteTables", "RouteTables", "RouteTableId").remove(0);
    let route = |destination: &str| of("RouteTableId", &table).with("DestinationIpv6CidrBlock", destination);
    let everywhere = route("::/0").with("EgressOnlyInternetGatewayId", gateway.as_str());
    world.ok("CreateRoute", everywhere.clone());
    assert!(world.err("CreateRoute", everywhere).starts_with("RouteAlreadyExists: "));
    let local = route(&vpc_range(&mut world, &vpc)).with("EgressOnlyInternetGatewayId", gateway.as_str());
    assert!(world.err("CreateRoute", local).starts_with("RouteAlreadyExists: "));
    let subnet = route(&range).with("EgressOnlyInternetGatewayId", gateway.as_str());
    assert!(world.err("CreateRoute", subnet).starts_with("UnsupportedOperation: "));
    let v4 = of("RouteTableId", &table).with("DestinationCidrBlock", "0.0.0.0/0");
    let v4 = v4.with("EgressOnlyInternetGatewayId", gateway.as_str());
    assert!(world.err("CreateRoute", v4.clone()).starts_with("InvalidParameterCombination: "));
    let both = v4.with("DestinationIpv6CidrBlock", "::/0");
    assert!(world.err("CreateRoute", both).starts_with("InvalidParameterCombination: "));

    let shown = |world: &mut World| {
        let tables = world.ok("DescribeRouteTables", filters(&[("vpc-id", &[&vpc])]));
        let routes = tables.structures("RouteTables").next().unwrap();
        let v6 = routes.structures("Routes").filter_map(|route| {
            let target = route.string("GatewayId").or(route.string("EgressOnlyInternetGatewayId"))?;
            let destination = route.string("DestinationIpv6CidrBlock")?;
            Some((destination.to_owned(), target.to_owned(), route.string("State")?.to_owned()))
        });
        v6.collect::<Vec<_>>()
    };
    let whole = vpc_range(&mut world, &vpc);
    let out = |state: &str| ("::/0".to_owned(), gateway.clone(), state.to_owned());
    let local = (whole, "local".to_owned(), "active".to_owned());
    assert_eq!(shown(&mut world), [local.clone(), out("active")]);
    for filter in
        [("route.egress-only-internet-gateway-id", gateway.as_str()), ("route.destination-ipv6-cidr-block", "::/0")]
    {
        let found = world.ok("DescribeRouteTables", filters(&[(filter.0, &[filter.1])]));
        assert_eq!(found.structures("RouteTables").count(), 1, "{}", filter.0);
    }
    assert!(world.err("DeleteVpc", of("VpcId", &vpc)).starts_with("DependencyViolation: "));
    let deleted = world.ok("DeleteEgressOnlyInternetGateway", of("EgressOnlyInternetGatewayId", &gateway));
    assert_eq!(deleted.boolean("ReturnCode"), Some(true));
    let gone = world.err("DeleteEgressOnlyInternetGateway", of("EgressOnlyInternetGatewayId", &gateway));
    assert_eq!(gone, format!("InvalidEgressOnlyInternetGatewayId.NotFound: The eigw ID '{gateway}' does not exist"));
    assert_eq!(shown(&mut world), [local, out("blackhole")]);
    let internet = world.gateway(&vpc);
    world.ok("ReplaceRoute", route("::/0").with("GatewayId", internet.as_str()));
    world.ok("DeleteRoute", route("::/0"));
    let gone = world.err("DeleteRoute", route("::/0"));
    assert!(gone.starts_with("InvalidRoute.NotFound: no route with destination-ipv6-cidr-block ::/0 "), "{gone}");
}

#[test]
fn a_vpc_whose_only_dependency_is_an_egress_only_gateway_waits_for_it() {
    let mut world = World::new();
    let vpc = world.vpc("10.0.0.0/16");
    let made = world.ok("CreateEgressOnlyInternetGateway", of("VpcId", &vpc));
    let gateway = made.structure("EgressOnlyInternetGateway").unwrap().string("EgressOnlyInternetGatewayId").unwrap();
    assert!(world.err("DeleteVpc", of("VpcId", &vpc)).starts_with("DependencyViolation: "));
    let tag = Structure::new().with("Key", "kept").with("Value", "up");
    world.ok("CreateTags", Structure::new().with("Resources", vec![gateway]).with("Tags", vec![tag.clone()]));
    let named = Structure::new().with("EgressOnlyInternetGatewayIds", vec![gateway]);
    let found = world.ok("DescribeEgressOnlyInternetGateways", named.clone());
    let found = found.structures("EgressOnlyInternetGateways").next().unwrap();
    assert_eq!(found.structures("Tags").next(), Some(&tag));
    world.ok("DeleteEgressOnlyInternetGateway", of("EgressOnlyInternetGatewayId", gateway));
    let other = world.ok("CreateEgressOnlyInternetGateway", of("VpcId", &vpc));
    let gone = world.ok("DescribeEgressOnlyInternetGateways", named);
    assert_eq!(gone.list("EgressOnlyInternetGateways").len(), 0, "a client takes that for deleted");
    let other = other.structure("EgressOnlyInternetGateway").unwrap().string("EgressOnlyInternetGatewayId").unwrap();
    world.ok("DeleteEgressOnlyInternetGateway", of("EgressOnlyInternetGatewayId", other));
    world.ok("DeleteVpc", of("VpcId", &vpc));
}

/// The name that tells an instance's id means the addresses of the families that have a record.
#[test]
fn the_name_that_tells_an_id_leads_to_addresses_of_both_families() {
    let mut world = World::new();
    let (_, subnet, range) = dual(&mut world);
    let six = nth(&range, 0x15);
    let names = Structure::new().with("HostnameType", "resource-name").with("EnableResourceNameDnsAAAARecord", true);
    let launch = world.launch().with("SubnetId", subnet.as_str()).with("PrivateDnsNameOptions", names);
    let launch = launch.with("Ipv6Addresses", vec![of("Ipv6Address", &six)]);
    let id = instance_id(&world.ok("RunInstances", launch));
    world.settle();
    let shown = world.instance(&id);
    let options = shown.structure("PrivateDnsNameOptions").unwrap();
    assert_eq!(options.boolean("EnableResourceNameDnsAAAARecord"), Some(true));
    assert_eq!(options.boolean("EnableResourceNameDnsARecord"), Some(false));
    let four: std::net::IpAddr = shown.string("PrivateIpAddress").unwrap().parse().unwrap();
    let six: std::net::IpAddr = six.parse().unwrap();
    let nic = world.account.find(&id).unwrap().nic;
    assert_eq!(world.account.resource_name(&nic, &id), Some(vec![six]));
    let with = |a: bool, aaaa: bool| {
        of("InstanceId", &id).with("EnableResourceNameDnsARecord", a).with("EnableResourceNameDnsAAAARecord", aaaa)
    };
    for (a, aaaa, expected) in
        [(true, true, Some(vec![four, six])), (true, false, Some(vec![four])), (false, false, None)]
    {
        world.ok("ModifyPrivateDnsNameOptions", with(a, aaaa));
        assert_eq!(world.account.resource_name(&nic, &id), expected);
    }
    // A subnet says what holds where a launch doesn't; without an address the name is there, and has no record.
    let on =
        of("SubnetId", &subnet).with("EnableResourceNameDnsAAAARecordOnLaunch", Structure::new().with("Value", true));
    world.ok("ModifySubnetAttribute", on);
    let shown = subnet_shown(&mut world, &subnet);
    let options = shown.structure("PrivateDnsNameOptionsOnLaunch").unwrap();
    assert_eq!(options.boolean("EnableResourceNameDnsAAAARecord"), Some(true));
    let launch = world.launch().with("SubnetId", subnet.as_str());
    let id = instance_id(&world.ok("RunInstances", launch));
    world.settle();
    assert_eq!(world.account.resource_name(&nic, &id), Some(Vec::new()));
}
