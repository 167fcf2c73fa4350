//! What joins VPCs with each other and with the world: NAT gateways, peering connections; and what their machines are told.

use super::{vpcs::of, *};
use crate::network::{Change, Via};

const HOUR: Duration = Duration::from_secs(3600);

fn state(world: &mut World, id: &str) -> String {
    let answer = world.ok("DescribeNatGateways", Structure::new().with("NatGatewayIds", vec![id]));
    answer.structures("NatGateways").next().unwrap().string("State").unwrap().to_owned()
}

#[test]
fn a_nat_gateway_comes_and_goes_and_has_an_interface_meanwhile() {
    let mut world = World::new();
    let vpc = world.vpc("10.0.0.0/16");
    let subnet = world.subnet(&vpc, "10.0.0.0/24");
    let request = of("SubnetId", &subnet).with("ConnectivityType", "private").with("ClientToken", "t");
    let made = world.ok("CreateNatGateway", request.clone().with("PrivateIpAddress", "10.0.0.9"));
    let gateway = made.structure("NatGateway").unwrap();
    let id = gateway.string("NatGatewayId").unwrap();
    assert_eq!((gateway.string("State"), made.string("ClientToken")), (Some("pending"), Some("t")));
    let address = gateway.structures("NatGatewayAddresses").next().unwrap();
    assert_eq!(address.string("PrivateIp"), Some("10.0.0.9"));
    let nic = address.string("NetworkInterfaceId").unwrap();
    let error = world.err("CreateNatGateway", request);
    assert!(error.starts_with("IdempotentParameterMismatch"), "{error}");
    world.pass(Duration::from_secs(2));
    assert_eq!(state(&mut world, id), "available");
    let wanted = Structure::new().with("Name", "state").with("Values", vec!["available"]);
    let found = world.ok("DescribeNatGateways", Structure::new().with("Filter", vec![wanted]));
    assert_eq!(found.structures("NatGateways").count(), 1);

    let shown = world.ok("DescribeNetworkInterfaces", Structure::new().with("NetworkInterfaceIds", vec![nic]));
    let shown = shown.structures("NetworkInterfaces").next().unwrap();
    assert_eq!((shown.string("InterfaceType"), shown.boolean("RequesterManaged")), (Some("natGateway"), Some(true)));
    assert_eq!(shown.string("Description"), Some(format!("Interface for NAT Gateway {id}").as_str()));
    let error = world.err("DeleteSubnet", of("SubnetId", &subnet));
    assert!(error.starts_with("DependencyViolation"), "{error}");

    let [main] = world.all_of(&vpc, "DescribeRouteTables", "RouteTables", "RouteTableId").try_into().unwrap();
    let route = of("RouteTableId", &main).with("DestinationCidrBlock", "0.0.0.0/0").with("NatGatewayId", id);
    world.ok("CreateRoute", route);
    let routes = |world: &mut World| {
        let tables = world.ok("DescribeRouteTables", Structure::new().with("RouteTableIds", vec![main.as_str()]));
        let route = tables.structures("RouteTables").next().unwrap().structures("Routes").nth(1).unwrap().clone();
        (route.string("NatGatewayId").unwrap().to_owned(), route.string("State").unwrap().to_owned())
    };
    assert_eq!(routes(&mut world), (id.to_owned(), "active".to_owned()));
    world.ok("DeleteNatGateway", of("NatGatewayId", id));
    assert_eq!(state(&mut world, id), "deleting");
    assert_eq!(routes(&mut world), (id.to_owned(), "blackhole".to_owned()));
    let error = world.err("DeleteNatGateway", of("NatGatewayId", id));
    assert_eq!(error, format!("NatGatewayNotFound: The Nat Gateway {id} was not found"));
    world.pass(Duration::from_secs(1));
    assert_eq!(state(&mut world, id), "deleted");
    world.ok("DeleteSubnet", of("SubnetId", &subnet));
    world.pass(HOUR);
    let error = world.err("DescribeNatGateways", Structure::new().with("NatGatewayIds", vec![id]));
    assert!(error.starts_with("NatGatewayNotFound"), "{error}");
    assert_eq!(world.account.whole(), Ok(()));
}

#[test]
fn a_nat_gateway_is_public_with_an_allocation_and_there_are_five_in_a_zone() {
    let mut world = World::new();
    let vpc = world.vpc("10.0.0.0/16");
    let subnet = world.subnet(&vpc, "10.0.0.0/24");
    let request = of("SubnetId", &subnet);
    assert!(world.err("CreateNatGateway", request.clone()).starts_with("MissingParameter"));
    let error = world.err("CreateNatGateway", request.clone().with("AllocationId", "eipalloc-0123456789abcdef0"));
    assert!(error.starts_with("InvalidAllocationID.NotFound"), "{error}");
    let private = request.with("ConnectivityType", "private");
    let both = private.clone().with("AllocationId", "eipalloc-0123456789abcdef0");
    assert!(world.err("CreateNatGateway", both).starts_with("InvalidParameterCombination"));
    for _ in 0..5 {
        world.ok("CreateNatGateway", private.clone());
    }
    let error = world.err("CreateNatGateway", private);
    assert_eq!(error.split(':').next(), Some("NatGatewayLimitExceeded"), "{error}");
}

fn status(world: &mut World, id: &str) -> String {
    let answer = world.ok("DescribeVpcPeeringConnections", Structure::new().with("VpcPeeringConnectionIds", vec![id]));
    let peering = answer.structures("VpcPeeringConnections").next().unwrap();
    peering.structure("Status").unwrap().string("Code").unwrap().to_owned()
}

fn peer(world: &mut World, one: &str, other: &str) -> String {
    let made = world.ok("CreateVpcPeeringConnection", of("VpcId", one).with("PeerVpcId", other));
    let made = made.structure("VpcPeeringConnection").unwrap();
    assert_eq!(made.structure("Status").unwrap().string("Code"), Some("initiating-request"));
    made.string("VpcPeeringConnectionId").unwrap().to_owned()
}

#[test]
fn a_public_nat_gateway_holds_its_address_and_leads_out_as_far_as_its_subnet_does() {
    let mut world = World::new();
    let vpc = world.vpc("10.0.0.0/16");
    let (public, private) = (world.subnet(&vpc, "10.0.0.0/24"), world.subnet(&vpc, "10.0.1.0/24"));
    let allocated = world.ok("AllocateAddress", Structure::new());
    let (allocation, address) = (allocated.string("AllocationId").unwrap(), allocated.string("PublicIp").unwrap());
    let request = of("SubnetId", &public).with("AllocationId", allocation);
    let made = world.ok("CreateNatGateway", request.clone());
    let gateway = made.structure("NatGateway").unwrap();
    let id = gateway.string("NatGatewayId").unwrap();
    let shown = gateway.structures("NatGatewayAddresses").next().unwrap();
    assert_eq!((shown.string("PublicIp"), shown.string("AllocationId")), (Some(address), Some(allocation)));
    let nic = shown.string("NetworkInterfaceId").unwrap();
    // Nobody else may have what is the gateway's.
    assert!(world.err("CreateNatGateway", request).starts_with("Resource.AlreadyAssociated"));
    assert!(world.err("ReleaseAddress", of("AllocationId", allocation)).starts_with("InvalidIPAddress.InUse"));
    let named = of("NetworkInterfaceId", nic);
    for (action, request) in [
        ("DeleteNetworkInterface", named.clone()),
        ("ModifyNetworkInterfaceAttribute", named.clone().with("Description", Structure::new().with("Value", "mine"))),
        ("AssignPrivateIpAddresses", named.clone().with("SecondaryPrivateIpAddressCount", 1_i64)),
        ("DisassociateAddress", of("PublicIp", address)),
        ("AssociateAddress", named.with("AllocationId", allocation)),
    ] {
        assert!(world.err(action, request).starts_with("AuthFailure"), "{action}");
    }

    let [main] = world.all_of(&vpc, "DescribeRouteTables", "RouteTables", "RouteTableId").try_into().unwrap();
    let route = of("RouteTableId", &main).with("DestinationCidrBlock", "0.0.0.0/0");
    world.ok("CreateRoute", route.clone().with("NatGatewayId", id));
    world.running_in(&private);
    let via = |world: &mut World| {
        let mut told = world.account.take_changes().into_iter().filter_map(|change| match change {
            Change::NetworkInterface { attributes: Some(attributes), .. } => Some(attributes),
            _ => None,
        });
        let attributes = told.find(|attributes| !attributes.groups.is_empty()).expect("a machine's interface");
        let route = attributes.routes.into_iter().find(|route| route.destination.1 == 0).unwrap();
        (route.via, attributes.reaches_internet)
    };
    assert_eq!(via(&mut world), (Via::Nothing, false), "the gateway's own subnet has no way out yet");
    let made = world.ok("CreateInternetGateway", Structure::new());
    let internet = made.structure("InternetGateway").unwrap().string("InternetGatewayId").unwrap().to_owned();
    world.ok("AttachInternetGateway", of("InternetGatewayId", &internet).with("VpcId", vpc.as_str()));
    let made = world.ok("CreateRouteTable", of("VpcId", &vpc));
    let table = made.structure("RouteTable").unwrap().string("RouteTableId").unwrap().to_owned();
    world.ok("AssociateRouteTable", of("RouteTableId", &table).with("SubnetId", public.as_str()));
    let out = of("RouteTableId", &table).with("DestinationCidrBlock", "0.0.0.0/0");
    world.ok("CreateRoute", out.with("GatewayId", internet.as_str()));
    assert_eq!(via(&mut world), (Via::Nat(address.parse().unwrap()), false));

    world.ok("DeleteNatGateway", of("NatGatewayId", id));
    assert_eq!(via(&mut world), (Via::Nothing, false));
    world.pass(Duration::from_secs(1));
    assert_eq!(state(&mut world, id), "deleted");
    world.ok("ReleaseAddress", of("AllocationId", allocation));
    assert_eq!(world.account.whole(), Ok(()));
}

#[test]
fn vpcs_are_joined_when_the_other_one_accepts() {
    let mut world = World::new();
    let (one, two) = (world.vpc("10.1.0.0/16"), world.vpc("10.2.0.0/16"));
    let id = peer(&mut world, &one, &two);
    assert_eq!(status(&mut world, &id), "pending-acceptance");
    let again = of("VpcId", &two).with("PeerVpcId", one.as_str());
    assert!(world.err("CreateVpcPeeringConnection", again).starts_with("VpcPeeringConnectionAlreadyExists"));
    let [main] = world.all_of(&one, "DescribeRouteTables", "RouteTables", "RouteTableId").try_into().unwrap();
    let route = of("RouteTableId", &main).with("DestinationCidrBlock", "10.2.0.0/16");
    world.ok("CreateRoute", route.with("VpcPeeringConnectionId", id.as_str()));
    let subnet = world.subnet(&one, "10.1.0.0/24");
    world.running_in(&subnet);
    let via = |world: &mut World| {
        let destination = ([10, 2, 0, 0].into(), 16);
        let mut told = world.account.take_changes().into_iter().filter_map(|change| match change {
            Change::NetworkInterface { attributes: Some(attributes), .. } => Some(attributes),
            _ => None,
        });
        let routes = told.next_back().expect("an interface that changes").routes;
        routes.into_iter().find(|route| route.destination == destination).unwrap().via
    };
    assert_eq!(via(&mut world), Via::Nothing);
    let named = of("VpcPeeringConnectionId", &id);
    let accepted = world.ok("AcceptVpcPeeringConnection", named.clone());
    let info = accepted.structure("VpcPeeringConnection").unwrap().structure("AccepterVpcInfo").unwrap();
    assert_eq!((info.string("VpcId"), info.string("CidrBlock")), (Some(two.as_str()), Some("10.2.0.0/16")));
    assert_eq!(via(&mut world), Via::Peer(two.clone()));
    assert_eq!(status(&mut world, &id), "active");
    for action in ["AcceptVpcPeeringConnection", "RejectVpcPeeringConnection"] {
        assert!(world.err(action, named.clone()).starts_with("InvalidStateTransition"), "{action}");
    }
    assert!(world.err("DeleteVpc", of("VpcId", &two)).starts_with("DependencyViolation"));
    world.ok("DeleteVpcPeeringConnection", named.clone());
    assert_eq!(via(&mut world), Via::Nothing);
    assert_eq!(status(&mut world, &id), "deleted");
    world.ok("DeleteVpc", of("VpcId", &two));
    assert_eq!(status(&mut world, &id), "deleted");
    world.pass(2 * HOUR);
    let error = world.err("AcceptVpcPeeringConnection", named);
    assert!(error.starts_with("InvalidVpcPeeringConnectionID.NotFound"), "{error}");
    assert_eq!(world.account.whole(), Ok(()));
}

#[test]
fn a_request_that_cant_be_fails_and_one_that_nobody_answers_expires() {
    let mut world = World::new();
    let (one, two, three) = (world.vpc("10.1.0.0/16"), world.vpc("10.1.0.0/24"), world.vpc("10.3.0.0/16"));
    let overlapping = peer(&mut world, &one, &two);
    assert_eq!(status(&mut world, &overlapping), "failed");
    let lost = peer(&mut world, &one, "vpc-0123456789abcdef0");
    assert_eq!(status(&mut world, &lost), "failed");
    let refused = peer(&mut world, &one, &three);
    world.ok("RejectVpcPeeringConnection", of("VpcPeeringConnectionId", &refused));
    assert_eq!(status(&mut world, &refused), "rejected");
    let waits = peer(&mut world, &one, &three);
    let week = world.account.settings.paced(Duration::from_secs(7 * 86400));
    world.pass(week);
    assert_eq!(status(&mut world, &waits), "expired");
    let error = world.err("AcceptVpcPeeringConnection", of("VpcPeeringConnectionId", &waits));
    assert!(error.starts_with("InvalidStateTransition"), "{error}");
    let elsewhere = of("VpcId", &one).with("PeerVpcId", three.as_str()).with("PeerRegion", "eu-west-1");
    assert!(world.err("CreateVpcPeeringConnection", elsewhere).starts_with("UnsupportedOperation"));
    let names = Structure::new().with("AllowDnsResolutionFromRemoteVpc", true);
    let options = of("VpcPeeringConnectionId", &waits).with("RequesterPeeringConnectionOptions", names);
    assert!(world.err("ModifyVpcPeeringConnectionOptions", options).starts_with("UnsupportedOperation"));
}

#[test]
fn dhcp_options_belong_to_vpcs() {
    let mut world = World::new();
    let vpc = world.vpc("10.0.0.0/16");
    let configuration = |key: &str, values: &[&str]| {
        let configuration = of("Key", key).with("Values", values.to_vec());
        Structure::new().with("DhcpConfigurations", vec![configuration])
    };
    let made = world.ok("CreateDhcpOptions", configuration("domain-name-servers", &["10.2.5.1", "AmazonProvidedDNS"]));
    let options = made.structure("DhcpOptions").unwrap();
    let id = options.string("DhcpOptionsId").unwrap();
    let described = world.ok("DescribeDhcpOptions", filters(&[("value", &["10.2.5.1"])]));
    assert_eq!(described.structures("DhcpOptions").collect::<Vec<_>>(), [options]);
    for (key, values) in [
        ("colour", &["red"][..]),
        ("ntp-servers", &["time.example"][..]),
        ("domain-name-servers", &["1.1.1.1", "1.1.1.2", "1.1.1.3", "1.1.1.4", "1.1.1.5"][..]),
        ("domain-name", &[][..]),
        ("netbios-node-type", &["3"][..]),
    ] {
        let error = world.err("CreateDhcpOptions", configuration(key, values));
        assert!(error.starts_with("InvalidParameterValue"), "{error}");
    }
    let shown = |world: &mut World| {
        let vpcs = world.ok("DescribeVpcs", Structure::new().with("VpcIds", vec![vpc.as_str()]));
        vpcs.structures("Vpcs").next().unwrap().string("DhcpOptionsId").unwrap().to_owned()
    };
    let regional = shown(&mut world);
    let described = world.ok("DescribeDhcpOptions", Structure::new().with("DhcpOptionsIds", vec![regional.as_str()]));
    assert_eq!(described.structures("DhcpOptions").next().unwrap().structures("DhcpConfigurations").count(), 2);
    let associate = |id: &str| of("VpcId", &vpc).with("DhcpOptionsId", id);
    world.ok("AssociateDhcpOptions", associate(id));
    assert_eq!(shown(&mut world), id);
    let delete = of("DhcpOptionsId", id);
    let error = world.err("DeleteDhcpOptions", delete.clone());
    assert_eq!(error, format!("DependencyViolation: The dhcpOptions '{id}' has dependencies and cannot be deleted."));
    world.ok("AssociateDhcpOptions", associate("default"));
    assert_eq!(shown(&mut world), "default");
    world.ok("DeleteDhcpOptions", delete);
    world.ok("AssociateDhcpOptions", associate(&regional));
    assert_eq!(shown(&mut world), regional);
    assert_eq!(world.account.whole(), Ok(()));
}

#[test]
fn what_nobody_has_is_described_as_none() {
    let mut world = World::new();
    for (action, member, filter) in [
        ("DescribeCustomerGateways", "CustomerGateways", "bgp-asn"),
        ("DescribeManagedPrefixLists", "PrefixLists", "prefix-list-name"),
        ("DescribePrefixLists", "PrefixLists", "prefix-list-name"),
        ("DescribeTransitGateways", "TransitGateways", "state"),
        ("DescribeVpcEndpointServices", "ServiceNames", "service-name"),
        ("DescribeVpcEndpoints", "VpcEndpoints", "vpc-id"),
        ("DescribeVpnConnections", "VpnConnections", "type"),
        ("DescribeVpnGateways", "VpnGateways", "state"),
    ] {
        let answer = world.ok(action, filters(&[(filter, &["x"])]));
        assert!(answer.list(member).is_empty(), "{action}");
        let error = world.err(action, filters(&[("colour", &["red"])]));
        assert!(error.starts_with("InvalidParameterValue: The filter 'colour' is invalid"), "{action}: {error}");
    }
    for action in ["DescribeVpcClassicLink", "DescribeVpcClassicLinkDnsSupport"] {
        assert_eq!(world.ok(action, Structure::new()).structures("Vpcs").count(), 1, "{action}");
    }
}
