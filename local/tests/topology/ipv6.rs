//! Machines that have IPv6.

use crate::endpoint::Endpoint;
use std::net::Ipv6Addr;

/// A VPC with both families, and its subnet: its default group lets SSH in by IPv6 from anywhere.
struct Dual {
    vpc: String,
    subnet: String,
    /// The first address of the subnet.
    base: u128,
}

impl Dual {
    fn new(endpoint: &Endpoint, second: u8) -> Self {
        let (vpc, subnet) = endpoint.network(second);
        endpoint.call(&format!("Action=AssociateVpcCidrBlock&VpcId={vpc}&AmazonProvidedIpv6CidrBlock=true"));
        let described = format!("Action=DescribeVpcs&Filter.1.Name=vpc-id&Filter.1.Value.1={vpc}");
        let range = endpoint.find(&described, "ipv6CidrBlock");
        let base = range.strip_suffix("/56").unwrap().parse::<Ipv6Addr>().unwrap().to_bits();
        let of_subnet = format!("{}%2F64", Ipv6Addr::from_bits(base));
        endpoint.call(&format!("Action=AssociateSubnetCidrBlock&SubnetId={subnet}&Ipv6CidrBlock={of_subnet}"));
        let this = Self { vpc, subnet, base };
        this.let_in(endpoint, "Authorize");
        this
    }

    fn address(&self, host: u128) -> String {
        Ipv6Addr::from_bits(self.base + host).to_string()
    }

    fn group(&self, endpoint: &Endpoint) -> String {
        let of_vpc = format!("Filter.1.Name=vpc-id&Filter.1.Value.1={}", self.vpc);
        endpoint.find(&format!("Action=DescribeSecurityGroups&{of_vpc}"), "groupId")
    }

    /// Authorizes or revokes that SSH comes in.
    fn let_in(&self, endpoint: &Endpoint, how: &str) {
        let group = self.group(endpoint);
        endpoint.call(&format!(
            "Action={how}SecurityGroupIngress&GroupId={group}&IpPermissions.1.IpProtocol=tcp&IpPermissions.1.FromPort=22\
             &IpPermissions.1.ToPort=22&IpPermissions.1.Ipv6Ranges.1.CidrIpv6=%3A%3A%2F0"
        ));
    }

    /// No member reaches another because it is one.
    fn be_strangers(&self, endpoint: &Endpoint) {
        let group = self.group(endpoint);
        endpoint.call(&format!(
            "Action=RevokeSecurityGroupIngress&GroupId={group}&IpPermissions.1.IpProtocol=-1\
             &IpPermissions.1.Groups.1.GroupId={group}"
        ));
    }
}

#[test]
fn machines_talk_over_ipv6_as_far_as_their_groups_let_them() {
    let endpoint = Endpoint::start(&[]);
    let dual = Dual::new(&endpoint, 6);
    dual.be_strangers(&endpoint);
    let (server, client) = (dual.address(0x10), dual.address(0x11));
    let script = format!(
        "#!/bin/bash\nip -6 address show dev eth0\nip -6 route\n\
         curl -sg -m 5 -o /dev/null -w 'metadata by IPv6: %{{http_code}}\\n' 'http://[fd00:ec2::254]/latest/meta-data/ipv6'\n\
         was=\nwhile :; do\nif timeout 2 bash -c 'exec 3<>/dev/tcp/{server}/22 && head -c 4 <&3' 2>/dev/null | grep -q SSH-; \
         then now=reached; else now=lost; fi\n[ \"$was\" = $now ] || echo \"it has $now {server}\" >/dev/console\n\
         was=$now\nsleep 0.2\ndone &\n"
    );
    let six = |address: &str| format!("&Ipv6Address.1.Ipv6Address={address}");
    endpoint.put_with(&dual.subnet, "10.6.0.16", "", &six(&server));
    let watcher = endpoint.watcher_with(&dual.subnet, "10.6.0.17", &server, &script, &six(&client));
    watcher.until("reached");
    endpoint.until_console(&watcher.instance, &format!("inet6 {client}/128"));
    endpoint.until_console(&watcher.instance, &format!("{}/64 dev eth0", dual.address(0)));
    endpoint.until_console(&watcher.instance, "default via fe80::8ec:20ff:fe00:1 dev eth0");
    // Its options are those of EC2: there is no metadata by IPv6 unless it was asked for.
    endpoint.until_console(&watcher.instance, "metadata by IPv6: 403");
    dual.let_in(&endpoint, "Revoke");
    watcher.until("lost");
    dual.let_in(&endpoint, "Authorize");
    watcher.until("reached");
}

#[test]
fn an_address_that_is_assigned_is_reached_once_the_machine_has_it_and_another_vpc_by_the_internet_alone() {
    let endpoint = Endpoint::start(&[]);
    let (near, far) = (Dual::new(&endpoint, 7), Dual::new(&endpoint, 8));
    let own = near.address(0x10);
    let later = far.address(0x20);
    // As EC2's own tools do, it looks what it has, and takes it.
    let script = "#!/bin/bash\nwhile :; do\nmac=$(cat /sys/class/net/eth0/address)\n\
                  for ip in $(curl -s -m 2 http://169.254.169.254/latest/meta-data/network/interfaces/macs/$mac/ipv6s); do\n\
                  ip -6 address replace $ip/128 dev eth0 nodad\ndone\nsleep 0.2\ndone &\n";
    let first = format!("&Ipv6Address.1.Ipv6Address={}", far.address(0x10));
    let server = endpoint.put_with(&far.subnet, "10.8.0.16", script, &first);
    let watcher = endpoint.watcher_with(
        &near.subnet,
        "10.7.0.16",
        &later,
        &Endpoint::watching(&later),
        &format!("&Ipv6Address.1.Ipv6Address={own}"),
    );
    watcher.until("lost");
    let described = format!("Action=DescribeInstances&InstanceId.1={server}");
    let nic = endpoint.find(&described, "networkInterfaceId");
    endpoint.call(&format!("Action=AssignIpv6Addresses&NetworkInterfaceId={nic}&Ipv6Addresses.1={later}"));
    for vpc in [&near.vpc, &far.vpc] {
        let gateway = endpoint.find("Action=CreateInternetGateway", "internetGatewayId");
        endpoint.call(&format!("Action=AttachInternetGateway&InternetGatewayId={gateway}&VpcId={vpc}"));
        let table = endpoint.main_table(vpc);
        endpoint.call(&format!(
            "Action=CreateRoute&RouteTableId={table}&DestinationIpv6CidrBlock=%3A%3A%2F0&GatewayId={gateway}"
        ));
    }
    watcher.until("reached");
    endpoint.call(&format!("Action=UnassignIpv6Addresses&NetworkInterfaceId={nic}&Ipv6Addresses.1={later}"));
    watcher.until("lost");
}
