//! Machines of several networks.

use crate::endpoint::Endpoint;

#[test]
fn peers_reach_each_other_by_routes_on_both_sides_and_overlapping_networks_stay_apart() {
    let endpoint = Endpoint::start(&[]);
    let (one, near) = endpoint.network(1);
    let (two, far) = endpoint.network(2);
    // The same addresses once more, and nobody hears of it.
    let (_, other) = endpoint.network(2);
    endpoint.put(&other, "10.2.0.10", "");
    let watcher = endpoint.watcher(&near, "10.1.0.10", "10.2.0.10");
    watcher.until("lost");
    let peering = format!("Action=CreateVpcPeeringConnection&VpcId={one}&PeerVpcId={two}");
    let peering = endpoint.find(&peering, "vpcPeeringConnectionId");
    endpoint.call(&format!("Action=AcceptVpcPeeringConnection&VpcPeeringConnectionId={peering}"));
    for (vpc, network) in [(&one, "10.2.0.0/16"), (&two, "10.1.0.0/16")] {
        let table = endpoint.main_table(vpc);
        endpoint.call(&format!(
            "Action=CreateRoute&RouteTableId={table}&DestinationCidrBlock={network}&VpcPeeringConnectionId={peering}"
        ));
    }
    endpoint.put(&far, "10.2.0.10", "");
    watcher.until("reached");

    // A network ACL that lets nothing pass, at the border of the other one's subnet.
    let acl = endpoint.find(&format!("Action=CreateNetworkAcl&VpcId={two}"), "networkAclId");
    let bond = format!("Action=DescribeNetworkAcls&Filter.1.Name=association.subnet-id&Filter.1.Value.1={far}");
    let bond = endpoint.find(&bond, "networkAclAssociationId");
    let replace = format!("Action=ReplaceNetworkAclAssociation&AssociationId={bond}&NetworkAclId={acl}");
    endpoint.call(&replace);
    watcher.until("lost");
    for (egress, ports) in
        [("false", "PortRange.From=22&PortRange.To=22"), ("true", "PortRange.From=1024&PortRange.To=65535")]
    {
        endpoint.call(&format!(
            "Action=CreateNetworkAclEntry&NetworkAclId={acl}&RuleNumber=100&Protocol=6&RuleAction=allow&Egress={egress}\
             &CidrBlock=10.1.0.0/16&{ports}"
        ));
    }
    watcher.until("reached");
    endpoint.call(&format!("Action=DeleteVpcPeeringConnection&VpcPeeringConnectionId={peering}"));
    watcher.until("lost");
}

#[test]
fn public_addresses_are_reached_by_the_subnets_own_routes() {
    let endpoint = Endpoint::start(&[]);
    let (vpc, public) = endpoint.network(3);
    let private = endpoint.subnet(&vpc, "10.3.1.0/24");
    for subnet in [&public, &private] {
        endpoint.call(&format!("Action=ModifySubnetAttribute&SubnetId={subnet}&MapPublicIpOnLaunch.Value=true"));
    }
    let gateway = endpoint.find("Action=CreateInternetGateway", "internetGatewayId");
    endpoint.call(&format!("Action=AttachInternetGateway&InternetGatewayId={gateway}&VpcId={vpc}"));
    let table = endpoint.find(&format!("Action=CreateRouteTable&VpcId={vpc}"), "routeTableId");
    endpoint.call(&format!("Action=AssociateRouteTable&RouteTableId={table}&SubnetId={public}"));
    let route = |table: &str| {
        format!("Action=CreateRoute&RouteTableId={table}&DestinationCidrBlock=0.0.0.0/0&GatewayId={gateway}")
    };
    endpoint.call(&route(&table));
    let server = endpoint.put(&public, "10.3.0.10", "");
    let address = endpoint.find(&format!("Action=DescribeInstances&InstanceId.1={server}"), "ipAddress");
    let neighbour = endpoint.watcher(&public, "10.3.0.11", &address);
    neighbour.until("reached");
    // It has a public address, too, but its subnet has no way out.
    let hidden = endpoint.watcher(&private, "10.3.1.10", &address);
    hidden.until("lost");
    endpoint.call(&route(&endpoint.main_table(&vpc)));
    hidden.until("reached");
    endpoint.call(&format!("Action=DeleteRoute&RouteTableId={table}&DestinationCidrBlock=0.0.0.0/0"));
    neighbour.until("lost");
}

#[test]
fn machines_behind_a_nat_gateway_reach_others_and_arent_reached() {
    let endpoint = Endpoint::start(&[]);
    let (vpc, public) = endpoint.network(5);
    let private = endpoint.subnet(&vpc, "10.5.1.0/24");
    endpoint.call(&format!("Action=ModifySubnetAttribute&SubnetId={public}&MapPublicIpOnLaunch.Value=true"));
    let gateway = endpoint.find("Action=CreateInternetGateway", "internetGatewayId");
    endpoint.call(&format!("Action=AttachInternetGateway&InternetGatewayId={gateway}&VpcId={vpc}"));
    let table = endpoint.find(&format!("Action=CreateRouteTable&VpcId={vpc}"), "routeTableId");
    endpoint.call(&format!("Action=AssociateRouteTable&RouteTableId={table}&SubnetId={public}"));
    let route = format!("Action=CreateRoute&RouteTableId={table}&DestinationCidrBlock=0.0.0.0/0");
    endpoint.call(&format!("{route}&GatewayId={gateway}"));
    let allocated = endpoint.call("Action=AllocateAddress");
    let (allocation, in_whose_name) = (allocated.element("allocationId"), allocated.element("publicIp"));
    let nat = format!("Action=CreateNatGateway&SubnetId={public}&AllocationId={allocation}");
    let nat = endpoint.find(&nat, "natGatewayId");
    let available =
        format!("Action=DescribeNatGateways&NatGatewayId.1={nat}&Filter.1.Name=state&Filter.1.Value.1=available");
    endpoint.find(&available, "natGatewayId");
    let server = endpoint.put(&public, "10.5.0.10", "");
    let address = endpoint.find(&format!("Action=DescribeInstances&InstanceId.1={server}"), "ipAddress");

    let hidden = endpoint.watcher(&private, "10.5.1.10", &address);
    hidden.until("lost");
    let main = endpoint.main_table(&vpc);
    let route = format!("Action=CreateRoute&RouteTableId={main}&DestinationCidrBlock=0.0.0.0/0");
    endpoint.call(&format!("{route}&NatGatewayId={nat}"));
    hidden.until("reached");
    // Its server knows it by the gateway's address alone.
    let group =
        endpoint.find(&format!("Action=DescribeSecurityGroups&Filter.1.Name=vpc-id&Filter.1.Value.1={vpc}"), "groupId");
    let rule = |verb: &str, from: &str| {
        let ports = "IpProtocol=tcp&FromPort=22&ToPort=22";
        endpoint.call(&format!("Action={verb}SecurityGroupIngress&GroupId={group}&{ports}&CidrIp={from}"));
    };
    rule("Authorize", &format!("{in_whose_name}/32"));
    rule("Revoke", "0.0.0.0/0");
    endpoint.watcher(&private, "10.5.1.11", &address).until("reached");
    rule("Revoke", &format!("{in_whose_name}/32"));
    hidden.until("lost");
    rule("Authorize", "0.0.0.0/0");
    hidden.until("reached");
    endpoint.watcher(&public, "10.5.0.11", in_whose_name).until("lost");
    endpoint.call(&format!("Action=DeleteNatGateway&NatGatewayId={nat}"));
    hidden.until("lost");
}

#[test]
fn what_was_made_holds_for_the_next_endpoint() {
    let mut endpoint = Endpoint::start(&[]);
    let (one, near) = endpoint.network(1);
    let (two, far) = endpoint.network(2);
    let peering = format!("Action=CreateVpcPeeringConnection&VpcId={one}&PeerVpcId={two}");
    let peering = endpoint.find(&peering, "vpcPeeringConnectionId");
    endpoint.call(&format!("Action=AcceptVpcPeeringConnection&VpcPeeringConnectionId={peering}"));
    for (vpc, network) in [(&one, "10.2.0.0/16"), (&two, "10.1.0.0/16")] {
        let table = endpoint.main_table(vpc);
        endpoint.call(&format!(
            "Action=CreateRoute&RouteTableId={table}&DestinationCidrBlock={network}&VpcPeeringConnectionId={peering}"
        ));
    }
    endpoint.put(&far, "10.2.0.10", "");
    endpoint.succeed();
    endpoint.watcher(&near, "10.1.0.10", "10.2.0.10").until("reached");
}

#[test]
fn machines_are_told_what_their_vpc_has_for_dhcp_options() {
    let endpoint = Endpoint::start(&[]);
    let (vpc, subnet) = endpoint.network(4);
    let options = "Action=CreateDhcpOptions&DhcpConfiguration.1.Key=domain-name&DhcpConfiguration.1.Value.1=example.test\
                   &DhcpConfiguration.2.Key=domain-name-servers&DhcpConfiguration.2.Value.1=10.4.0.53\
                   &DhcpConfiguration.2.Value.2=AmazonProvidedDNS";
    let options = endpoint.find(options, "dhcpOptionsId");
    endpoint.call(&format!("Action=AssociateDhcpOptions&VpcId={vpc}&DhcpOptionsId={options}"));
    let script = "#!/bin/sh\necho has $(grep -v '^options' /etc/resolv.conf)\n";
    let machine = endpoint.put(&subnet, "10.4.0.10", script);
    endpoint.until_console(&machine, "has nameserver 10.4.0.53 nameserver 10.4.0.2 search example.test");
}
