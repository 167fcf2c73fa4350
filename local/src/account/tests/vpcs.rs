//! VPCs and subnets: how they come, what they may be, how they go.

use super::*;
use crate::wire::Value;

/// What the tests of networks make.
impl World {
    pub(super) fn vpc(&mut self, cidr: &str) -> String {
        let made = self.ok("CreateVpc", Structure::new().with("CidrBlock", cidr));
        made.structure("Vpc").unwrap().string("VpcId").unwrap().to_owned()
    }

    pub(super) fn subnet(&mut self, vpc: &str, cidr: &str) -> String {
        let made = self.ok("CreateSubnet", of("VpcId", vpc).with("CidrBlock", cidr));
        made.structure("Subnet").unwrap().string("SubnetId").unwrap().to_owned()
    }

    /// An internet gateway that is attached.
    pub(super) fn gateway(&mut self, vpc: &str) -> String {
        let made = self.ok("CreateInternetGateway", Structure::new());
        let id = made.structure("InternetGateway").unwrap().string("InternetGatewayId").unwrap().to_owned();
        self.ok("AttachInternetGateway", of("InternetGatewayId", &id).with("VpcId", vpc));
        id
    }

    /// The ids of all of a kind that are of a VPC.
    pub(super) fn all_of(&mut self, vpc: &str, action: &str, list: &str, id: &str) -> Vec<String> {
        let answer = self.ok(action, filters(&[("vpc-id", &[vpc])]));
        answer.structures(list).map(|row| row.string(id).unwrap().to_owned()).collect()
    }

    /// Launches into a subnet, and waits until it runs.
    pub(super) fn running_in(&mut self, subnet: &str) -> String {
        let launch = self.launch().with("SubnetId", subnet);
        let answer = self.ok("RunInstances", launch);
        self.settle();
        instance_id(&answer)
    }
}

/// A request of one parameter.
pub(super) fn of(member: &'static str, value: &str) -> Structure {
    Structure::new().with(member, value)
}

fn value(on: bool) -> Structure {
    Structure::new().with("Value", on)
}

#[test]
fn a_vpc_comes_with_what_each_has_and_goes_with_it() {
    let mut world = World::new();
    let tags = vec![Structure::new().with("Key", "k").with("Value", "v")];
    let tagged = vec![Structure::new().with("ResourceType", "vpc").with("Tags", tags)];
    let create = of("CidrBlock", "10.1.2.3/16").with("TagSpecifications", tagged);
    assert!(world.err("CreateVpc", create.clone().with("DryRun", true)).starts_with("DryRunOperation"));
    let made = world.ok("CreateVpc", create);
    let vpc = made.structure("Vpc").unwrap();
    assert_eq!((vpc.string("State"), vpc.string("CidrBlock")), (Some("pending"), Some("10.1.0.0/16")));
    assert_eq!(vpc.boolean("IsDefault"), Some(false));
    let id = vpc.string("VpcId").unwrap();
    let described = world.ok("DescribeVpcs", filters(&[("tag:k", &["v"])]));
    let mut available = vpc.clone();
    available.set("State", Value::from("available"));
    assert_eq!(described.structures("Vpcs").collect::<Vec<_>>(), [&available]);
    for (action, list, row) in [
        ("DescribeRouteTables", "RouteTables", "RouteTableId"),
        ("DescribeNetworkAcls", "NetworkAcls", "NetworkAclId"),
        ("DescribeSecurityGroups", "SecurityGroups", "GroupId"),
    ] {
        let [own] = world.all_of(id, action, list, row).try_into().unwrap();
        assert!(!own.is_empty());
    }
    for (attribute, member, on) in
        [("enableDnsSupport", "EnableDnsSupport", true), ("enableDnsHostnames", "EnableDnsHostnames", false)]
    {
        let answer = world.ok("DescribeVpcAttribute", of("VpcId", id).with("Attribute", attribute));
        assert_eq!(answer.structure(member).unwrap().boolean("Value"), Some(on), "{attribute}");
        world.ok("ModifyVpcAttribute", of("VpcId", id).with(member, value(!on)));
        let answer = world.ok("DescribeVpcAttribute", of("VpcId", id).with("Attribute", attribute));
        assert_eq!(answer.structure(member).unwrap().boolean("Value"), Some(!on), "{attribute}");
    }
    world.ok("DeleteVpc", of("VpcId", id));
    let gone = world.err("DescribeVpcs", Structure::new().with("VpcIds", vec![id]));
    assert_eq!(gone, format!("InvalidVpcID.NotFound: The vpc ID '{id}' does not exist"));
    for (action, list, row) in [
        ("DescribeRouteTables", "RouteTables", "RouteTableId"),
        ("DescribeNetworkAcls", "NetworkAcls", "NetworkAclId"),
        ("DescribeSecurityGroups", "SecurityGroups", "GroupId"),
    ] {
        assert!(world.all_of(id, action, list, row).is_empty());
    }
    assert_eq!(world.account.whole(), Ok(()));
}

#[test]
fn a_vpc_is_of_one_range_of_a_size_and_there_are_five() {
    let mut world = World::new();
    for (cidr, error) in [
        ("10.0.0.0/15", "InvalidVpc.Range: The CIDR '10.0.0.0/15' is invalid."),
        ("10.0.0.0/29", "InvalidVpc.Range: The CIDR '10.0.0.0/29' is invalid."),
        (
            "ten",
            "InvalidParameterValue: Value (ten) for parameter cidrBlock is invalid. This is not a valid CIDR block.",
        ),
    ] {
        assert_eq!(world.err("CreateVpc", of("CidrBlock", cidr)), error);
    }
    let dedicated = of("CidrBlock", "10.0.0.0/16").with("InstanceTenancy", "dedicated");
    assert!(world.err("CreateVpc", dedicated).starts_with("UnsupportedOperation: A tenancy other than 'default' "));
    let v6 = of("CidrBlock", "10.0.0.0/16").with("Ipv6Pool", "ipv6pool-ec2-0123456789abcdef0");
    assert!(world.err("CreateVpc", v6).starts_with("UnsupportedOperation: The parameter Ipv6Pool "));
    // The same range may be several VPCs'.
    for _ in 0..4 {
        world.vpc("10.0.0.0/16");
    }
    let error = world.err("CreateVpc", of("CidrBlock", "10.0.0.0/16"));
    assert_eq!(error, "VpcLimitExceeded: The maximum number of VPCs has been reached.");
}

#[test]
fn an_elastic_address_needs_an_internet_gateway() {
    let mut world = World::new();
    let vpc = world.vpc("10.0.0.0/16");
    let subnet = world.subnet(&vpc, "10.0.0.0/24");
    let interface = world.ok("CreateNetworkInterface", of("SubnetId", &subnet));
    let interface = interface.structure("NetworkInterface").unwrap().string("NetworkInterfaceId").unwrap().to_owned();
    let allocation = world.ok("AllocateAddress", Structure::new()).string("AllocationId").unwrap().to_owned();
    let associate = of("AllocationId", &allocation).with("NetworkInterfaceId", interface);
    let refused = world.err("AssociateAddress", associate.clone());
    assert_eq!(refused, format!("Gateway.NotAttached: Network {vpc} is not attached to any internet gateway"));
    world.gateway(&vpc);
    world.ok("AssociateAddress", associate);
}

#[test]
fn further_ranges_are_beside_the_first_and_of_its_kind() {
    let mut world = World::new();
    let id = world.vpc("10.0.0.0/16");
    let associate = |cidr: &str| of("VpcId", &id).with("CidrBlock", cidr);
    for bad in ["10.0.128.0/24", "192.168.0.0/24", "198.19.0.0/24", "169.254.0.0/16", "10.1.0.0/15", "172.20.0.0/16"] {
        let error = world.err("AssociateVpcCidrBlock", associate(bad));
        assert_eq!(error, format!("InvalidVpc.Range: The CIDR '{bad}' is invalid."));
    }
    let answer = world.ok("AssociateVpcCidrBlock", associate("10.1.0.0/16"));
    let made = answer.structure("CidrBlockAssociation").unwrap();
    assert_eq!(made.structure("CidrBlockState").unwrap().string("State"), Some("associating"));
    let association = made.string("AssociationId").unwrap();
    world.ok("AssociateVpcCidrBlock", associate("100.64.0.0/16"));
    let filter = filters(&[("cidr-block-association.cidr-block", &["10.1.0.0/16"])]);
    assert_eq!(world.ok("DescribeVpcs", filter).structures("Vpcs").count(), 1);
    let subnet = world.subnet(&id, "10.1.7.0/24");
    let tables = world.ok("DescribeRouteTables", filters(&[("route.destination-cidr-block", &["10.1.0.0/16"])]));
    assert_eq!(tables.structures("RouteTables").count(), 1, "a range is routed within its VPC");
    let error = world.err("DisassociateVpcCidrBlock", of("AssociationId", association));
    assert!(error.starts_with("DependencyViolation"), "{error}");
    world.ok("DeleteSubnet", of("SubnetId", &subnet));
    world.ok("DisassociateVpcCidrBlock", of("AssociationId", association));
    let error = world.err("DisassociateVpcCidrBlock", of("AssociationId", association));
    assert!(error.starts_with("InvalidVpcCidrBlockAssociationID.NotFound"), "{error}");
    let vpcs = world.ok("DescribeVpcs", Structure::new().with("VpcIds", vec![id.as_str()]));
    let set = vpcs.structures("Vpcs").next().unwrap().structures("CidrBlockAssociationSet").collect::<Vec<_>>();
    let first = of("AssociationId", set[0].string("AssociationId").unwrap());
    assert!(world.err("DisassociateVpcCidrBlock", first).starts_with("OperationNotPermitted"));
    for third in 3..=5 {
        world.ok("AssociateVpcCidrBlock", associate(&format!("10.{third}.0.0/16")));
    }
    let error = world.err("AssociateVpcCidrBlock", associate("10.9.0.0/16"));
    assert!(error.starts_with("CidrLimitExceeded"), "{error}");
}

#[test]
fn subnets_are_within_their_vpc_and_beside_each_other() {
    let mut world = World::new();
    let vpc = world.vpc("10.0.0.0/16");
    let create = |cidr: &str| of("VpcId", &vpc).with("CidrBlock", cidr);
    for (cidr, error) in [
        ("10.1.0.0/24", "InvalidSubnet.Range: The CIDR '10.1.0.0/24' is invalid."),
        ("10.0.0.0/29", "InvalidSubnet.Range: The CIDR '10.0.0.0/29' is invalid."),
        ("10.0.0.0/8", "InvalidSubnet.Range: The CIDR '10.0.0.0/8' is invalid."),
    ] {
        assert_eq!(world.err("CreateSubnet", create(cidr)), error);
    }
    let made = world.ok("CreateSubnet", create("10.0.1.0/28").with("AvailabilityZoneId", "use1-az2"));
    let subnet = made.structure("Subnet").unwrap();
    assert_eq!((subnet.string("AvailabilityZone"), subnet.string("State")), (Some("us-east-1b"), Some("available")));
    assert_eq!((subnet.integer("AvailableIpAddressCount"), subnet.boolean("DefaultForAz")), (Some(11), Some(false)));
    let id = subnet.string("SubnetId").unwrap();
    let described = world.ok("DescribeSubnets", Structure::new().with("SubnetIds", vec![id]));
    assert_eq!(described.structures("Subnets").collect::<Vec<_>>(), [subnet]);
    let error = world.err("CreateSubnet", create("10.0.1.0/24"));
    assert_eq!(error, "InvalidSubnet.Conflict: The CIDR '10.0.1.0/24' conflicts with another subnet");
    let error = world.err("CreateSubnet", create("10.0.2.0/24").with("AvailabilityZone", "us-east-1z"));
    assert!(error.starts_with("InvalidParameterValue: Value (us-east-1z) for parameter availabilityZone"), "{error}");
    let both = create("10.0.2.0/24").with("AvailabilityZone", "us-east-1a").with("AvailabilityZoneId", "use1-az1");
    assert!(world.err("CreateSubnet", both).starts_with("InvalidParameterCombination"));

    let modify = of("SubnetId", id);
    world.ok("ModifySubnetAttribute", modify.clone().with("MapPublicIpOnLaunch", value(true)));
    let described =
        world.ok("DescribeSubnets", filters(&[("map-public-ip-on-launch", &["true"]), ("subnet-id", &[id])]));
    assert_eq!(described.structures("Subnets").count(), 1);
    world.ok("ModifySubnetAttribute", modify.clone().with("EnableDns64", value(false)));
    let error = world.err("ModifySubnetAttribute", modify.clone().with("EnableDns64", value(true)));
    assert!(error.starts_with("UnsupportedOperation: The parameter EnableDns64=true "), "{error}");
    let two = modify.clone().with("EnableDns64", value(false)).with("MapPublicIpOnLaunch", value(false));
    assert!(world.err("ModifySubnetAttribute", two).starts_with("InvalidParameterCombination"));
    assert!(world.err("ModifySubnetAttribute", modify).starts_with("InvalidParameterCombination"));
}

#[test]
fn default_subnets_come_again_where_they_were_deleted() {
    let mut world = World::new();
    let ask = of("AvailabilityZone", "us-east-1b");
    let error = world.err("CreateDefaultSubnet", ask.clone());
    assert!(error.starts_with("DefaultSubnetAlreadyExistsInAvailabilityZone: 'subnet-"), "{error}");
    let described = world.ok("DescribeSubnets", filters(&[("availability-zone", &["us-east-1b"])]));
    let before = described.structures("Subnets").next().unwrap().clone();
    world.ok("DeleteSubnet", of("SubnetId", before.string("SubnetId").unwrap()));
    let answer = world.ok("CreateDefaultSubnet", ask);
    let made = answer.structure("Subnet").unwrap();
    for member in ["CidrBlock", "AvailabilityZone"] {
        assert_eq!(made.string(member), before.string(member));
    }
    assert_eq!((made.boolean("DefaultForAz"), made.boolean("MapPublicIpOnLaunch")), (Some(true), Some(true)));
    let mut without = World::with(|settings| settings.default_vpc = false);
    let error = without.err("CreateDefaultSubnet", of("AvailabilityZone", "us-east-1b"));
    assert_eq!(error, "DefaultVpcDoesNotExist: No default VPC exists for this account in this region.");
}

#[test]
fn nothing_goes_before_what_depends_on_it() {
    let mut world = World::new();
    let vpc = world.vpc("10.0.0.0/16");
    let subnet = world.subnet(&vpc, "10.0.0.0/24");
    let gateway = world.gateway(&vpc);
    let id = world.running_in(&subnet);
    let delete_vpc = of("VpcId", &vpc);
    let violation = format!("DependencyViolation: The vpc '{vpc}' has dependencies and cannot be deleted.");
    assert_eq!(world.err("DeleteVpc", delete_vpc.clone()), violation);
    let error = world.err("DeleteSubnet", of("SubnetId", &subnet));
    assert_eq!(error, format!("DependencyViolation: The subnet '{subnet}' has dependencies and cannot be deleted."));
    world.ok("TerminateInstances", ids(&[&id]));
    world.settle();
    world.ok("DeleteSubnet", of("SubnetId", &subnet));
    assert_eq!(world.err("DeleteVpc", delete_vpc.clone()), violation);
    let error = world.err("DeleteInternetGateway", of("InternetGatewayId", &gateway));
    assert!(error.starts_with("DependencyViolation: The internetGateway 'igw-"), "{error}");
    world.ok("DetachInternetGateway", of("InternetGatewayId", &gateway).with("VpcId", vpc.as_str()));
    world.ok("DeleteInternetGateway", of("InternetGatewayId", &gateway));
    for (create, member, row, delete) in [
        ("CreateRouteTable", "RouteTable", "RouteTableId", "DeleteRouteTable"),
        ("CreateNetworkAcl", "NetworkAcl", "NetworkAclId", "DeleteNetworkAcl"),
    ] {
        let made = world.ok(create, delete_vpc.clone());
        let made = made.structure(member).unwrap().string(row).unwrap().to_owned();
        assert_eq!(world.err("DeleteVpc", delete_vpc.clone()), violation, "{create}");
        world.ok(delete, of(row, &made));
    }
    let group = of("GroupName", "g").with("Description", "x").with("VpcId", vpc.as_str());
    let group = world.ok("CreateSecurityGroup", group).string("GroupId").unwrap().to_owned();
    assert_eq!(world.err("DeleteVpc", delete_vpc.clone()), violation);
    world.ok("DeleteSecurityGroup", of("GroupId", &group));
    world.ok("DeleteVpc", delete_vpc);
    assert_eq!(world.account.whole(), Ok(()));
}

#[test]
fn gateways_are_attached_to_one_vpc_and_stay_while_addresses_are_mapped() {
    let mut world = World::new();
    let (one, two) = (world.vpc("10.0.0.0/16"), world.vpc("10.0.0.0/16"));
    let gateway = world.gateway(&one);
    let attach = of("InternetGatewayId", &gateway);
    let error = world.err("AttachInternetGateway", attach.clone().with("VpcId", two.as_str()));
    assert_eq!(error, format!("Resource.AlreadyAssociated: resource {gateway} is already attached to network {one}"));
    let other = world.ok("CreateInternetGateway", Structure::new());
    let other = other.structure("InternetGateway").unwrap().string("InternetGatewayId").unwrap().to_owned();
    let error = world.err("AttachInternetGateway", of("InternetGatewayId", &other).with("VpcId", one.as_str()));
    assert!(error.ends_with("already has an internet gateway attached"), "{error}");
    let error = world.err("DetachInternetGateway", attach.clone().with("VpcId", two.as_str()));
    assert_eq!(error, format!("Gateway.NotAttached: resource {gateway} is not attached to network {two}"));
    let subnet = world.subnet(&one, "10.0.0.0/24");
    world.ok("ModifySubnetAttribute", of("SubnetId", &subnet).with("MapPublicIpOnLaunch", value(true)));
    let id = world.running_in(&subnet);
    assert!(world.instance(&id).string("PublicIpAddress").is_some());
    let detach = attach.with("VpcId", one.as_str());
    let error = world.err("DetachInternetGateway", detach.clone());
    assert!(
        error.starts_with(&format!("DependencyViolation: Network {one} has some mapped public address(es).")),
        "{error}"
    );
    world.ok("StopInstances", ids(&[&id]));
    world.settle();
    world.ok("DetachInternetGateway", detach);
}

#[test]
fn launches_go_into_made_vpcs_with_groups_of_theirs() {
    let mut world = World::new();
    let vpc = world.vpc("10.0.0.0/16");
    let subnet = world.subnet(&vpc, "10.0.0.0/24");
    let id = world.running_in(&subnet);
    let instance = world.instance(&id);
    assert_eq!((instance.string("VpcId"), instance.string("PublicIpAddress")), (Some(vpc.as_str()), None));
    assert!(instance.string("PrivateIpAddress").unwrap().starts_with("10.0.0."));
    let [own] = world.all_of(&vpc, "DescribeSecurityGroups", "SecurityGroups", "GroupId").try_into().unwrap();
    assert_eq!(instance.structures("SecurityGroups").next().unwrap().string("GroupId"), Some(own.as_str()));
    let other = of("GroupName", "g").with("Description", "of the default VPC");
    let other = world.ok("CreateSecurityGroup", other).string("GroupId").unwrap().to_owned();
    let launch = world.launch().with("SubnetId", subnet.as_str()).with("SecurityGroupIds", vec![other.as_str()]);
    let error = world.err("RunInstances", launch);
    let expected =
        format!("InvalidParameter: Security group {other} and subnet {subnet} belong to different networks.");
    assert_eq!(error, expected);
}
