"""VPCs and what they consist of."""

from provider import *


def attributes_of(vpc):
    names = ["enableDnsHostnames", "enableDnsSupport", "enableNetworkAddressUsageMetrics"]
    return {name: plain(ec2.describe_vpc_attribute(VpcId=vpc, Attribute=name)) for name in names}


class Vpc(Resource):
    """aws_vpc"""

    def __init__(self, cidr, ipv6=False):
        self.cidr, self.ipv6 = cidr, ipv6

    def create(self):
        made = ec2.create_vpc(
            CidrBlock=self.cidr, InstanceTenancy="default", AmazonProvidedIpv6CidrBlock=self.ipv6, TagSpecifications=tagged("vpc", "made"),
        )
        self.id = made["Vpc"]["VpcId"]
        wait(self.found, lambda vpc: vpc["State"] == "available")
        self.settle(made["Vpc"])
        self.attribute("EnableDnsHostnames", "enableDnsHostnames", True)

    def settle(self, made):
        """Waits for what else was asked for."""

    def attribute(self, parameter, name, value):
        patiently(ec2.modify_vpc_attribute, VpcId=self.id, **{parameter: {"Value": value}})
        wait(lambda: ec2.describe_vpc_attribute(VpcId=self.id, Attribute=name)[parameter]["Value"], lambda now: now == value)

    def found(self):
        return find(ec2.describe_vpcs, "Vpcs", ["InvalidVpcID.NotFound"], VpcIds=[self.id])

    def read(self):
        of_vpc = {"vpc_id": self.id}
        return {
            "vpc": self.found(),
            "attributes": attributes_of(self.id),
            "acl": find(ec2.describe_network_acls, "NetworkAcls", Filters=filters(default="true", **of_vpc)),
            "table": find(ec2.describe_route_tables, "RouteTables", Filters=filters(association__main="true", **of_vpc))["RouteTableId"],
            "group": find(ec2.describe_security_groups, "SecurityGroups", Filters=filters(group_name="default", **of_vpc)),
        }

    def change(self):
        self.attribute("EnableDnsHostnames", "enableDnsHostnames", False)
        self.attribute("EnableDnsSupport", "enableDnsSupport", False)
        self.attribute("EnableDnsSupport", "enableDnsSupport", True)
        self.attribute("EnableNetworkAddressUsageMetrics", "enableNetworkAddressUsageMetrics", True)
        retag(self, self.id)

    def destroy(self):
        delete(ec2.delete_vpc, ["InvalidVpcID.NotFound"], ["DependencyViolation"], VpcId=self.id)
        wait_gone(self.found)


class VpcIpv4Block(Resource):
    """aws_vpc_ipv4_cidr_block_association"""

    def __init__(self, vpc, cidr):
        self.vpc, self.cidr = vpc, cidr

    def create(self):
        made = patiently(ec2.associate_vpc_cidr_block, VpcId=self.vpc.id, CidrBlock=self.cidr)
        self.id = made["CidrBlockAssociation"]["AssociationId"]
        wait(self.read, lambda block: block["CidrBlockState"]["State"] == "associated")

    def read(self):
        vpc = find(ec2.describe_vpcs, "Vpcs", Filters=filters(cidr_block_association__association_id=self.id))
        blocks = [block for block in vpc["CidrBlockAssociationSet"] if block["AssociationId"] == self.id]
        if not blocks or blocks[0]["CidrBlockState"]["State"] == "disassociated":
            raise Gone(self.id)
        return blocks[0]

    def destroy(self):
        delete(ec2.disassociate_vpc_cidr_block, ["InvalidVpcCidrBlockAssociationID.NotFound"], AssociationId=self.id)
        wait_gone(self.read)


class Subnet(Resource):
    """aws_subnet"""

    def __init__(self, vpc, cidr, zone):
        self.vpc, self.cidr, self.zone = vpc, cidr, zone

    def create(self):
        made = patiently(
            ec2.create_subnet,
            VpcId=self.vpc.id, CidrBlock=self.cidr, AvailabilityZone=self.zone, TagSpecifications=tagged("subnet", "made"),
            **self.parameters(),
        )
        self.id = made["Subnet"]["SubnetId"]
        wait(self.found, lambda subnet: subnet["State"] == "available")
        self.settle()
        self.attribute("MapPublicIpOnLaunch", True)

    def parameters(self):
        """What else is asked for."""
        return {}

    def settle(self):
        """Waits for it, and sets what is no parameter."""

    def attribute(self, name, value):
        patiently(ec2.modify_subnet_attribute, SubnetId=self.id, **{name: {"Value": value}})
        wait(lambda: self.found()[name], lambda now: now == value)

    def found(self):
        return find(ec2.describe_subnets, "Subnets", ["InvalidSubnetID.NotFound"], SubnetIds=[self.id])

    def read(self):
        return self.found()

    def change(self):
        self.attribute("MapPublicIpOnLaunch", False)
        retag(self, self.id)

    def destroy(self):
        # What AWS holds there may linger.
        listed(ec2.describe_network_interfaces, "NetworkInterfaces", Filters=filters(subnet_id=self.id))
        delete(ec2.delete_subnet, ["InvalidSubnetID.NotFound"], ["DependencyViolation"], SubnetId=self.id)
        wait_gone(self.found)


class DhcpOptions(Resource):
    """aws_vpc_dhcp_options"""

    def create(self):
        options = [{"Key": "domain-name", "Values": ["example.com"]}, {"Key": "domain-name-servers", "Values": ["AmazonProvidedDNS"]}]
        made = ec2.create_dhcp_options(DhcpConfigurations=options, TagSpecifications=tagged("dhcp-options", "made"))
        self.id = made["DhcpOptions"]["DhcpOptionsId"]
        wait(self.found, lambda options: True)

    def found(self):
        codes = ["InvalidDhcpOptionID.NotFound"]
        return find(ec2.describe_dhcp_options, "DhcpOptions", codes, DhcpOptionsIds=[self.id])

    def read(self):
        return self.found()

    def change(self):
        retag(self, self.id)

    def destroy(self):
        for vpc in listed(ec2.describe_vpcs, "Vpcs", Filters=filters(dhcp_options_id=self.id)):
            patiently(ec2.associate_dhcp_options, DhcpOptionsId="default", VpcId=vpc["VpcId"])
        codes = ["InvalidDhcpOptionID.NotFound", "InvalidDhcpOptionsID.NotFound"]
        delete(ec2.delete_dhcp_options, codes, ["DependencyViolation"], DhcpOptionsId=self.id)
        wait_gone(self.found)


class DhcpOptionsAssociation(Resource):
    """aws_vpc_dhcp_options_association"""

    def __init__(self, vpc, options):
        self.vpc, self.options = vpc, options

    def create(self):
        patiently(ec2.associate_dhcp_options, DhcpOptionsId=self.options.id, VpcId=self.vpc.id)

    def read(self):
        options = self.vpc.found()["DhcpOptionsId"]
        if options != self.options.id:
            raise Gone(options)
        return options

    def destroy(self):
        patiently(ec2.associate_dhcp_options, DhcpOptionsId="default", VpcId=self.vpc.id)
        wait_gone(self.read)


class Peering(Resource):
    """aws_vpc_peering_connection, aws_vpc_peering_connection_accepter and aws_vpc_peering_connection_options"""

    def __init__(self, vpc, peer, auto_accept):
        self.vpc, self.peer, self.auto_accept = vpc, peer, auto_accept

    def create(self):
        made = patiently(
            ec2.create_vpc_peering_connection,
            VpcId=self.vpc.id, PeerVpcId=self.peer.id, TagSpecifications=tagged("vpc-peering-connection", "made"),
        )
        self.id = made["VpcPeeringConnection"]["VpcPeeringConnectionId"]
        wait(self.found, lambda found: found["Status"]["Code"] in ["active", "pending-acceptance"])
        if not self.auto_accept:
            # The accepter is a resource of its own, which looks for it first.
            wait(self.found, lambda found: True)
        patiently(ec2.accept_vpc_peering_connection, VpcPeeringConnectionId=self.id)
        wait(self.found, lambda found: found["Status"]["Code"] == "active")

    def found(self):
        codes = ["InvalidVpcPeeringConnectionID.NotFound"]
        found = find(ec2.describe_vpc_peering_connections, "VpcPeeringConnections", codes, VpcPeeringConnectionIds=[self.id])
        if found["Status"]["Code"] in ["deleted", "expired", "failed", "rejected"]:
            raise Gone(self.id)
        return found

    def read(self):
        return self.found()

    def change(self):
        allow = {"AllowDnsResolutionFromRemoteVpc": False}
        options = {"AccepterPeeringConnectionOptions": allow, "RequesterPeeringConnectionOptions": allow}
        patiently(ec2.modify_vpc_peering_connection_options, VpcPeeringConnectionId=self.id, **options)
        ends = ["AccepterVpcInfo", "RequesterVpcInfo"]
        allowed = lambda found: all(allow.items() <= found[end]["PeeringOptions"].items() for end in ends)
        wait(self.found, allowed)
        retag(self, self.id)

    def destroy(self):
        codes = ["InvalidVpcPeeringConnectionID.NotFound", "InvalidStateTransition"]
        delete(ec2.delete_vpc_peering_connection, codes, VpcPeeringConnectionId=self.id)
        wait_gone(self.found)


class DefaultVpc(Resource):
    """aws_default_vpc, which is adopted, and forgotten"""

    def create(self):
        self.id = find(ec2.describe_vpcs, "Vpcs", Filters=filters(isDefault="true"))["VpcId"]

    def read(self):
        vpc = find(ec2.describe_vpcs, "Vpcs", ["InvalidVpcID.NotFound"], VpcIds=[self.id])
        return {"vpc": vpc, "attributes": attributes_of(self.id)}


class DefaultSubnet(Resource):
    """aws_default_subnet, likewise"""

    def __init__(self, zone):
        self.zone = zone

    def create(self):
        query = filters(availabilityZone=self.zone, defaultForAz="true")
        self.id = find(ec2.describe_subnets, "Subnets", Filters=query)["SubnetId"]

    def read(self):
        return find(ec2.describe_subnets, "Subnets", ["InvalidSubnetID.NotFound"], SubnetIds=[self.id])
