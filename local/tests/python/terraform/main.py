"""Terraform's order, without Terraform: a configuration is applied, planned, changed, planned again and destroyed, by the calls that
its AWS provider makes for each resource.

    ec2-local run -- python3 main.py
"""

import json
import subprocess
import sys
import time

from beside import *
from dual import *
from groups import *
from instances import *
from networks import *
from routes import *
from storage import *

# What a client may see change although nobody changes it: an address may be given back late.
COUNTERS = {"AvailableIpAddressCount"}
# How often what was read must be the same in a row, and how long apart, before a fresh thing is one that everybody knows.
SAME, APART = 2, 0.05


def configuration():
    """All resources, each after those that it needs."""
    zone = "us-east-1a"
    vpc, peer, third = Vpc("10.10.0.0/16"), Vpc("10.11.0.0/16"), DualVpc("10.13.0.0/16", moves=True)
    block = VpcIpv4Block(vpc, "10.12.0.0/16")
    subnet, other_subnet = Subnet(vpc, "10.10.1.0/24", zone), Subnet(vpc, "10.12.1.0/24", "us-east-1b")
    gateway, moving = InternetGateway(vpc), InternetGateway(third, peer)
    eip, nat_eip = Eip(), Eip()
    nat, private_nat = NatGateway(subnet, nat_eip), NatGateway(other_subnet)
    to_gateway = lambda: {"GatewayId": gateway.id}
    to_nat = lambda: {"NatGatewayId": nat.id}
    table = RouteTable(vpc, "0.0.0.0/0", to_gateway)
    other_table = RouteTable(vpc, "0.0.0.0/0", to_nat)
    peering, accepted = Peering(vpc, peer, auto_accept=True), Peering(peer, third, auto_accept=False)
    to_peer = lambda: {"VpcPeeringConnectionId": peering.id}
    peer_table = RouteTable(peer, "10.10.0.0/16", to_peer)
    options = DhcpOptions()
    acl = NetworkAcl(vpc, other_subnet)
    group, other_group = SecurityGroup(vpc, "web"), SecurityGroup(vpc, "db")
    from_group = lambda: permission("tcp", 5432, UserIdGroupPairs=[{"GroupId": group.id}])
    key = KeyPair("terraform")
    cluster, spread = PlacementGroup("cluster", Strategy="cluster"), PlacementGroup("spread", Strategy="spread", SpreadLevel="rack")
    partition = PlacementGroup("partition", Strategy="partition", PartitionCount=2)
    disk = {"DeviceName": "/dev/sdf", "Ebs": {"DeleteOnTermination": True, "VolumeSize": 2, "VolumeType": "gp3"}}
    instance = Instance(subnet, [group, other_group], key, spread, volumes=[disk])
    other_instance = Instance(subnet, [group], key)
    interface = NetworkInterface(subnet, [group, other_group])
    volume, small = Volume(zone, Size=8, VolumeType="gp2"), Volume(zone, Size=8, VolumeType="gp3", Encrypted=True)
    primary = NetworkInterface(subnet, [group])
    template = LaunchTemplate("terraform", key, [group])
    attached = NetworkInterfaceAttachment(interface, other_instance)
    both = DualVpc("10.14.0.0/16")
    dual, moving_dual = DualSubnet(both, "10.14.1.0/24", zone, 1), DualSubnet(both, "10.14.2.0/24", zone, 2, other=3)
    egress, both_gateway, both_group = EgressOnlyInternetGateway(both), InternetGateway(both), SecurityGroup(both, "dual")
    to_egress, to_both = lambda: {"EgressOnlyInternetGatewayId": egress.id}, lambda: {"GatewayId": both_gateway.id}
    dual_table = RouteTable(both, "::/0", to_egress)
    several = LaunchTemplate("several", key, [both_group], lambda: template_blocks(dual, both_group, spread))
    root = Snapshot(lambda: instance.found()["BlockDeviceMappings"][0]["Ebs"]["VolumeId"])
    data, copied = Snapshot(lambda: volume.id), SnapshotCopy(root)
    restored = Volume(zone, SnapshotId=lambda: data.id, VolumeType="gp3")
    ami, golden = Ami("terraform-registered", root), AmiFromInstance("terraform-golden", instance)
    return [
        vpc, peer, third, block, DefaultVpc(), DefaultSubnet(zone), subnet, other_subnet, gateway, moving, eip, nat_eip, nat,
        private_nat, table, other_table, Route(table, "203.0.113.0/24", to_gateway, lambda: {"NetworkInterfaceId": interface.id}),
        RouteTableAssociation(table, subnet, other_table),
        peering, accepted, Route(table, "10.11.0.0/16", to_peer, to_gateway), peer_table, MainRouteTableAssociation(peer, peer_table),
        options, DhcpOptionsAssociation(vpc, options), acl,
        NetworkAclRule(
            acl, 200, False, Protocol="1", RuleAction="allow", CidrBlock="0.0.0.0/0", IcmpTypeCode={"Type": -1, "Code": -1},
        ),
        NetworkAclRule(acl, 200, True, Protocol="-1", RuleAction="deny", CidrBlock="192.0.2.0/24"),
        DefaultNetworkAcl(peer), DefaultSecurityGroup(peer), group, other_group,
        SecurityGroupRule(other_group, "ingress", from_group),
        SecurityGroupRule(group, "egress", lambda: permission("udp", 53, IpRanges=[{"CidrIp": "10.0.0.0/8"}])),
        VpcSecurityGroupRule(
            other_group, "ingress", lambda: permission("tcp", 80, IpRanges=[{"CidrIp": "198.51.100.0/24"}]),
            {"IpProtocol": "tcp", "FromPort": 81, "ToPort": 82, "CidrIpv4": "192.0.2.0/24", "Description": "changed"},
        ),
        VpcSecurityGroupRule(
            other_group, "egress", lambda: permission("tcp", 80, Ipv6Ranges=[{"CidrIpv6": "2001:db8::/32"}]),
            {"IpProtocol": "tcp", "FromPort": 81, "ToPort": 81, "CidrIpv6": "2001:db8:1::/48"},
        ),
        key, cluster, spread, partition, interface, instance, other_instance, primary,
        Instance(subnet, [group], key, interface=primary), template, Instance(other_subnet, [group], key, template=template),
        SpotInstanceRequest(subnet, [group], key), attached, EipAssociation(eip, NetworkInterfaceId=interface),
        both, dual, moving_dual, egress, both_gateway, both_group, dual_table,
        Route(dual_table, "2001:db8::/32", to_both, to_egress), DualNetworkInterface(dual, [both_group, both_group]),
        several, Instance(None, [], key, template=several), Instance(dual, [both_group], key, ipv6=1, profile=("web", "db")),
        volume, small, VolumeAttachment(volume, other_instance, "/dev/sdh"), root, data, copied, restored, ami, golden, AmiCopy("terraform-copied", golden),
    ]


def template_blocks(subnet, group, placement):
    """What a launch template can have several of, and what else it can have."""
    face = {
        "DeleteOnTermination": True, "Description": "made", "Groups": [group.id], "SubnetId": subnet.id, "NetworkCardIndex": 0,
    }
    disk = {"DeleteOnTermination": True, "VolumeSize": 1, "VolumeType": "gp3"}
    return {
        "BlockDeviceMappings": [
            {"DeviceName": "/dev/sdf", "Ebs": disk | {"Iops": 3000, "Throughput": 125}}, {"DeviceName": "/dev/sdg", "Ebs": disk},
        ],
        "DisableApiStop": False, "DisableApiTermination": False, "EbsOptimized": False, "IamInstanceProfile": {"Name": "web"},
        "InstanceInitiatedShutdownBehavior": "terminate", "MaintenanceOptions": {"AutoRecovery": "disabled"},
        "MetadataOptions": {"HttpEndpoint": "enabled", "HttpProtocolIpv6": "enabled", "HttpPutResponseHopLimit": 2, "HttpTokens": "required"},
        "NetworkInterfaces": [
            face | {"DeviceIndex": 0, "Ipv6AddressCount": 1, "AssociatePublicIpAddress": False},
            face | {"DeviceIndex": 1, "SecondaryPrivateIpAddressCount": 1},
        ],
        "Placement": {"AvailabilityZone": "us-east-1a", "GroupName": placement.name},
        "PrivateDnsNameOptions": {"HostnameType": "resource-name", "EnableResourceNameDnsARecord": True},
        "TagSpecifications": [
            {"ResourceType": kind, "Tags": [{"Key": "template", "Value": "yes"}]} for kind in ["instance", "volume", "network-interface"]
        ],
        "UserData": "IyEvYmluL3NoCg==",
    }


def everything():
    """What there is, but for what is only shown for a while after its end."""
    def of(call, member, **parameters):
        found = getattr(ec2, call)(**parameters)[member]
        states = [one.get("State", one.get("Status", "")) for one in found]
        codes = [state["Code"] if isinstance(state, dict) else state for state in states]
        return [one for one, code in zip(found, codes) if code not in ["deleted", "deleting", "rejected", "failed"]]

    mine = {"OwnerIds": ["self"]}
    found = {
        "instances": [
            instance
            for reservation in ec2.describe_instances()["Reservations"] for instance in reservation["Instances"]
            if instance["State"]["Name"] != "terminated"
        ],
        "images": of("describe_images", "Images", Owners=["self"]),
        "snapshots": of("describe_snapshots", "Snapshots", **mine),
    }
    for call, member in [
        ("describe_addresses", "Addresses"), ("describe_dhcp_options", "DhcpOptions"),
        ("describe_egress_only_internet_gateways", "EgressOnlyInternetGateways"), ("describe_launch_templates", "LaunchTemplates"),
        ("describe_iam_instance_profile_associations", "IamInstanceProfileAssociations"),
        ("describe_internet_gateways", "InternetGateways"), ("describe_key_pairs", "KeyPairs"),
        ("describe_nat_gateways", "NatGateways"), ("describe_network_acls", "NetworkAcls"),
        ("describe_network_interfaces", "NetworkInterfaces"), ("describe_placement_groups", "PlacementGroups"),
        ("describe_route_tables", "RouteTables"), ("describe_security_group_rules", "SecurityGroupRules"),
        ("describe_security_groups", "SecurityGroups"), ("describe_subnets", "Subnets"), ("describe_volumes", "Volumes"),
        ("describe_vpc_peering_connections", "VpcPeeringConnections"), ("describe_vpcs", "Vpcs"),
    ]:
        found[member] = of(call, member)
    return {kind: sorted(json.dumps(one, default=str, sort_keys=True) for one in ones) for kind, ones in found.items()}


def without_counters(value):
    if isinstance(value, dict):
        return {key: without_counters(one) for key, one in value.items() if key not in COUNTERS}
    return [without_counters(one) for one in value] if isinstance(value, list) else value


def settled(resource):
    """What is read of it, once it is the same each time."""
    deadline, known, times = time.monotonic() + PATIENCE, None, 0
    while times < SAME:
        try:
            now = without_counters(plain({"read": resource.read()}))
        except Exception as error:
            assert isinstance(error, Gone) or is_unknown(error), (resource, error)
            now = None
        times = times + 1 if now is not None and now == known else 0
        assert time.monotonic() < deadline, (resource, known, now)
        known = now
        time.sleep(APART)
    return known


def plan(resources):
    """What a plan reads; where it differs from the last one, Terraform would change something."""
    return {index: without_counters(plain({"read": resource.read()})) for index, resource in enumerate(resources)}


def check_plan(resources):
    for resource in resources:
        settled(resource)
    first, second = plan(resources), plan(resources)
    for index, resource in enumerate(resources):
        assert first[index] == second[index], (resource, first[index], second[index])
    return first


def throttle(program):
    """Has some calls refused that the provider tries again."""
    for fault in ["throttle chance 0.03", "unavailable chance 0.01"]:
        subprocess.run([program, "fault", "*", *fault.split()], check=True, stdout=subprocess.DEVNULL)


def main():
    if "--throttled-by" in sys.argv:
        throttle(sys.argv[sys.argv.index("--throttled-by") + 1])
    before = everything()
    resources = configuration()
    for resource in resources:
        at("create", resource, resource.create)
        at("read", resource, lambda: settled(resource))
    made = check_plan(resources)
    for resource in resources:
        at("change", resource, resource.change)
    changed = check_plan(resources)
    for index, resource in enumerate(resources):
        assert changed[index] != made[index] or not resource.changes, (resource, changed[index])
    for resource in reversed(resources):
        at("destroy", resource, resource.destroy)
    after = until(lambda: nothing_left(before))
    assert after == before


def nothing_left(before):
    after = everything()
    for kind, ones in after.items():
        assert ones == before[kind], (kind, set(ones) ^ set(before[kind]))
    return after


def at(step, resource, do):
    """Names the step and the resource where one fails."""
    begun = time.monotonic()
    try:
        do()
    except BaseException:
        print(f"failed to {step} {resource}", file=sys.stderr)
        raise
    if "-v" in sys.argv:
        print(f"{step} {resource}: {time.monotonic() - begun:.2f} s", flush=True)


if __name__ == "__main__":
    main()
