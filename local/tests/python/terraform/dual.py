"""What has addresses of both families: VPCs, subnets, egress-only gateways and interfaces."""

import ipaddress

from beside import NetworkInterface
from networks import Subnet, Vpc
from provider import *


def blocks(found):
    return [block for block in found.get("Ipv6CidrBlockAssociationSet", [])]


def associated(found):
    """The one block that is associated, of which there can be older ones beside it."""
    those = [block for block in blocks(found) if block["Ipv6CidrBlockState"]["State"] == "associated"]
    if len(those) != 1:
        raise Gone(found)
    return those[0]


def of_association(describe, member, id):
    """A block by the id of its association alone."""
    found = find(describe, member, Filters=filters(ipv6_cidr_block_association__association_id=id))
    for block in blocks(found):
        if block["AssociationId"] == id:
            if block["Ipv6CidrBlockState"]["State"] == "disassociated":
                raise Gone(id)
            return block
    raise Gone(id)


def wait_associated(look):
    wait(look, lambda block: block["Ipv6CidrBlockState"]["State"] == "associated")


class DualVpc(Vpc):
    """aws_vpc with assign_generated_ipv6_cidr_block"""

    def __init__(self, cidr, moves=False):
        super().__init__(cidr, ipv6=True)
        self.moves = moves

    def block(self, id):
        return of_association(ec2.describe_vpcs, "Vpcs", id)

    def settle(self, made):
        if blocks(self.seen()):
            wait_associated(lambda: self.block(blocks(made)[0]["AssociationId"]))

    def change(self):
        if self.moves:
            old = associated(self.seen())["AssociationId"]
            patiently(ec2.disassociate_vpc_cidr_block, AssociationId=old)
            wait_gone(lambda: self.block(old))
            made = patiently(ec2.associate_vpc_cidr_block, VpcId=self.id, AmazonProvidedIpv6CidrBlock=True)
            wait_associated(lambda: self.block(made["Ipv6CidrBlockAssociation"]["AssociationId"]))
        super().change()

    def read(self):
        block = associated(self.found())
        assert block["Ipv6Pool"] == "Amazon", block
        return super().read() | {"block": block}


class DualSubnet(Subnet):
    """aws_subnet with ipv6_cidr_block and assign_ipv6_address_on_creation"""

    def __init__(self, vpc, cidr, zone, number, other=None):
        super().__init__(vpc, cidr, zone)
        self.number, self.other = number, other

    def range(self, number):
        """cidrsubnet(aws_vpc.….ipv6_cidr_block, 8, number)"""
        whole = ipaddress.ip_network(associated(self.vpc.seen())["Ipv6CidrBlock"])
        return str(list(whole.subnets(new_prefix=64))[number])

    def parameters(self):
        return {"Ipv6CidrBlock": self.range(self.number)}

    def block(self, id):
        return of_association(ec2.describe_subnets, "Subnets", id)

    def settle(self):
        for block in blocks(self.seen()):
            if block["Ipv6CidrBlockState"]["State"] == "associating":
                wait_associated(lambda: self.block(block["AssociationId"]))
        wait(self.found, lambda subnet: associated(subnet)["Ipv6CidrBlock"] == self.range(self.number))
        self.attribute("AssignIpv6AddressOnCreation", True)
        self.name_by_id(True)

    def name_by_id(self, value):
        """enable_resource_name_dns_a_record_on_launch"""
        patiently(ec2.modify_subnet_attribute, SubnetId=self.id, EnableResourceNameDnsARecordOnLaunch={"Value": value})
        options = lambda: self.found()["PrivateDnsNameOptionsOnLaunch"]
        wait(options, lambda now: now["EnableResourceNameDnsARecord"] == value)

    def change(self):
        # Off before another range takes the place of the first, on after it.
        self.attribute("AssignIpv6AddressOnCreation", False)
        if self.other is not None:
            old = associated(self.seen())["AssociationId"]
            patiently(ec2.disassociate_subnet_cidr_block, AssociationId=old)
            wait_gone(lambda: self.block(old))
            made = patiently(ec2.associate_subnet_cidr_block, SubnetId=self.id, Ipv6CidrBlock=self.range(self.other))
            wait_associated(lambda: self.block(made["Ipv6CidrBlockAssociation"]["AssociationId"]))
        self.name_by_id(False)
        super().change()
        patiently(ec2.modify_subnet_attribute, SubnetId=self.id, PrivateDnsHostnameTypeOnLaunch="resource-name")
        wait(lambda: self.found()["PrivateDnsNameOptionsOnLaunch"]["HostnameType"], lambda now: now == "resource-name")
        self.attribute("AssignIpv6AddressOnCreation", True)


class EgressOnlyInternetGateway(Resource):
    """aws_egress_only_internet_gateway"""

    def __init__(self, vpc):
        self.vpc = vpc

    def create(self):
        made = patiently(
            ec2.create_egress_only_internet_gateway,
            VpcId=self.vpc.id, ClientToken=f"egress-{id(self)}", TagSpecifications=tagged("egress-only-internet-gateway", "made"),
        )
        self.id = made["EgressOnlyInternetGateway"]["EgressOnlyInternetGatewayId"]

    def found(self):
        describe = ec2.describe_egress_only_internet_gateways
        return find(describe, "EgressOnlyInternetGateways", EgressOnlyInternetGatewayIds=[self.id])

    def read(self):
        gateway = self.found()
        assert [(bond["State"], bond["VpcId"]) for bond in gateway["Attachments"]] == [("attached", self.vpc.id)], gateway
        return gateway

    def change(self):
        retag(self, self.id)

    def destroy(self):
        delete(ec2.delete_egress_only_internet_gateway, ["InvalidGatewayID.NotFound"], EgressOnlyInternetGatewayId=self.id)


class DualNetworkInterface(NetworkInterface):
    """aws_network_interface with ipv6_address_count, which grows and then shrinks"""

    def parameters(self):
        return {"Ipv6AddressCount": 2}

    def addresses(self):
        return [address["Ipv6Address"] for address in self.found()["Ipv6Addresses"]]

    def change(self):
        before = self.addresses()
        assert len(before) == 2, before
        patiently(ec2.assign_ipv6_addresses, NetworkInterfaceId=self.id, Ipv6AddressCount=1)
        three = wait(self.addresses, lambda addresses: len(addresses) == 3)
        assert set(before) < set(three), (before, three)
        patiently(ec2.unassign_ipv6_addresses, NetworkInterfaceId=self.id, Ipv6Addresses=before)
        wait(self.addresses, lambda addresses: set(addresses) == set(three) - set(before))
        super().change()
