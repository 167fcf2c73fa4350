//! Networks: a NAT gateway, a peering connection, and an interface that is configured by hand.

use crate::{client::start, endpoint::Endpoint};

/// What a machine does until it reaches an SSH server.
fn until_reached(address: &str) -> String {
    format!(
        "until timeout 2 bash -c 'exec 3<>/dev/tcp/{address}/22 && head -c 4 <&3' | grep -q SSH-; do sleep 0.2; done"
    )
}

/// A VPC whose default group lets SSH in, with subnets.
fn network<const COUNT: usize>(endpoint: &Endpoint, second: u8) -> (String, [String; COUNT]) {
    let vpc = endpoint.call_twice(&format!("Action=CreateVpc&CidrBlock=10.{second}.0.0/16")).one("vpcId");
    let of_vpc = format!("Filter.1.Name=vpc-id&Filter.1.Value.1={vpc}");
    let group = endpoint.find(&format!("Action=DescribeSecurityGroups&{of_vpc}"), "groupId");
    let ssh = "IpProtocol=tcp&FromPort=22&ToPort=22&CidrIp=0.0.0.0%2F0";
    let open = format!("Action=AuthorizeSecurityGroupIngress&GroupId={group}&{ssh}");
    endpoint.insist(&open, "InvalidPermission.Duplicate");
    let subnets = std::array::from_fn(|number| {
        let range = format!("10.{second}.{number}.0/24");
        endpoint.insist(&format!("Action=CreateSubnet&VpcId={vpc}&CidrBlock={range}"), "InvalidSubnet.Conflict");
        let described = format!("Action=DescribeSubnets&{of_vpc}&Filter.2.Name=cidr-block&Filter.2.Value.1={range}");
        endpoint.find(&described, "subnetId")
    });
    (vpc, subnets)
}

fn main_table(endpoint: &Endpoint, vpc: &str) -> String {
    let of_vpc = format!("Filter.1.Name=vpc-id&Filter.1.Value.1={vpc}");
    let main = "Filter.2.Name=association.main&Filter.2.Value.1=true";
    endpoint.find(&format!("Action=DescribeRouteTables&{of_vpc}&{main}"), "routeTableId")
}

fn route(endpoint: &Endpoint, table: &str, destination: &str, target: &str) {
    let request = format!("Action=CreateRoute&RouteTableId={table}&DestinationCidrBlock={destination}&{target}");
    endpoint.insist(&request, "RouteAlreadyExists");
}

/// A machine of a private subnet reaches another's public address by a NAT gateway, and gets a second interface, which a machine of another
/// VPC reaches.
fn come_through(conditions: &'static str) {
    let mut endpoint = start(conditions);
    let (near, [public, private]) = network(&endpoint, 7);
    endpoint.call(&format!("Action=ModifySubnetAttribute&SubnetId={public}&MapPublicIpOnLaunch.Value=true"));
    let gateway = endpoint.call_twice("Action=CreateInternetGateway").one("internetGatewayId");
    let attach = format!("Action=AttachInternetGateway&InternetGatewayId={gateway}&VpcId={near}");
    endpoint.insist(&attach, "Resource.AlreadyAssociated");
    let table = endpoint.call_twice(&format!("Action=CreateRouteTable&VpcId={near}")).one("routeTableId");
    let associate = format!("Action=AssociateRouteTable&RouteTableId={table}&SubnetId={public}");
    endpoint.insist(&associate, "Resource.AlreadyAssociated");
    route(&endpoint, &table, "0.0.0.0/0", &format!("GatewayId={gateway}"));
    let allocation = endpoint.call_twice("Action=AllocateAddress").one("allocationId");
    let nat = format!("Action=CreateNatGateway&SubnetId={public}&AllocationId={allocation}&ClientToken=nat");
    let nat = endpoint.call(&nat).one("natGatewayId");
    endpoint.until(&format!("Action=DescribeNatGateways&NatGatewayId.1={nat}"), "<state>available</state>");
    let main = main_table(&endpoint, &near);
    route(&endpoint, &main, "0.0.0.0/0", &format!("NatGatewayId={nat}"));

    let image = endpoint.available("host");
    let server = endpoint.boot(&image, "server", "true", &format!("&SubnetId={public}"));
    let address = endpoint.find(&format!("Action=DescribeInstances&InstanceId.1={server}"), "ipAddress");
    let by_hand = "until test -e /sys/class/net/eth1; do sleep 0.1; done
        ip addr add 10.7.1.77/32 dev eth1; ip link set eth1 up; ip rule add from 10.7.1.77 table 100
        ip route add 10.7.1.0/24 dev eth1 src 10.7.1.77 table 100
        ip route add default via 10.7.1.1 dev eth1 src 10.7.1.77 table 100; echo configured: $((40 + 3))";
    let script = format!("{}\necho by nat: $((40 + 2))\n{by_hand}", until_reached(&address));
    let hidden = endpoint.boot(&image, "hidden", &script, &format!("&SubnetId={private}"));
    endpoint.until_console(&hidden, "by nat: 42");
    endpoint.until_state(&hidden, "running");
    let make = format!("Action=CreateNetworkInterface&SubnetId={private}&PrivateIpAddress=10.7.1.77&ClientToken=nic");
    let interface = endpoint.call(&make).one("networkInterfaceId");
    let attach = format!("NetworkInterfaceId={interface}&InstanceId={hidden}&DeviceIndex=1");
    endpoint.insist(&format!("Action=AttachNetworkInterface&{attach}"), "InvalidNetworkInterface.InUse");
    endpoint.until_console(&hidden, "configured: 43");

    let (far, [theirs]) = network(&endpoint, 8);
    let peer = format!("Action=CreateVpcPeeringConnection&VpcId={near}&PeerVpcId={far}");
    endpoint.insist(&peer, "VpcPeeringConnectionAlreadyExists");
    let described =
        format!("Action=DescribeVpcPeeringConnections&Filter.1.Name=accepter-vpc-info.vpc-id&Filter.1.Value.1={far}");
    let peering = endpoint.find(&described, "vpcPeeringConnectionId");
    let accept = format!("Action=AcceptVpcPeeringConnection&VpcPeeringConnectionId={peering}");
    endpoint.insist(&accept, "InvalidStateTransition");
    let target = format!("VpcPeeringConnectionId={peering}");
    route(&endpoint, &main, "10.8.0.0/16", &target);
    route(&endpoint, &main_table(&endpoint, &far), "10.7.0.0/16", &target);
    let script = format!("{}\necho by peering: $((40 + 4))", until_reached("10.7.1.77"));
    let stranger = endpoint.boot(&image, "stranger", &script, &format!("&SubnetId={theirs}"));
    endpoint.until_console(&stranger, "by peering: 44");

    // All of it holds for the next endpoint.
    endpoint.succeed();
    let script = format!("{}\necho by nat: $((40 + 5))", until_reached(&address));
    endpoint.until_state(&server, "running");
    let other = endpoint.boot(&image, "other", &script, &format!("&SubnetId={private}"));
    endpoint.until_console(&other, "by nat: 45");
    endpoint.terminate(&[&server, &hidden, &stranger, &other]);
}

#[test]
fn they_come_through_typical_conditions() {
    come_through("typical");
}

#[test]
fn they_come_through_hostile_conditions() {
    come_through("hostile");
}
