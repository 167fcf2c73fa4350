"""Gateways, elastic addresses and routes."""

from provider import *


class InternetGateway(Resource):
    """aws_internet_gateway"""

    def __init__(self, vpc, other=None):
        self.vpc, self.other = vpc, other

    def create(self):
        made = ec2.create_internet_gateway(TagSpecifications=tagged("internet-gateway", "made"))
        self.id = made["InternetGateway"]["InternetGatewayId"]
        self.attach(self.vpc)

    def attach(self, vpc):
        patiently(ec2.attach_internet_gateway, InternetGatewayId=self.id, VpcId=vpc.id)
        self.attached = vpc
        wait(self.attachment, lambda attachment: attachment["State"] == "available")

    def attachment(self):
        for attachment in self.found()["Attachments"]:
            if attachment["VpcId"] == self.attached.id:
                return attachment
        raise Gone(self.id)

    def detach(self):
        delete(
            ec2.detach_internet_gateway, ["Gateway.NotAttached"], ["DependencyViolation"],
            InternetGatewayId=self.id, VpcId=self.attached.id,
        )
        wait_gone(self.attachment)

    def found(self):
        codes = ["InvalidInternetGatewayID.NotFound"]
        return find(ec2.describe_internet_gateways, "InternetGateways", codes, InternetGatewayIds=[self.id])

    def read(self):
        return {"gateway": self.found(), "attachment": self.attachment()}

    def change(self):
        for vpc in [self.other, self.vpc] if self.other else []:
            self.detach()
            self.attach(vpc)
        retag(self, self.id)

    def destroy(self):
        self.detach()
        codes = ["InvalidInternetGatewayID.NotFound"]
        delete(ec2.delete_internet_gateway, codes, ["DependencyViolation"], InternetGatewayId=self.id)
        wait_gone(self.found)


class Eip(Resource):
    """aws_eip"""

    def create(self):
        made = ec2.allocate_address(Domain="vpc", TagSpecifications=tagged("elastic-ip", "made"))
        self.id = made["AllocationId"]
        wait(self.found, lambda address: True)

    def found(self):
        codes = ["InvalidAllocationID.NotFound", "InvalidAddress.NotFound"]
        return find(ec2.describe_addresses, "Addresses", codes, AllocationIds=[self.id])

    def read(self):
        names = ec2.describe_addresses_attribute(AllocationIds=[self.id], Attribute="domain-name")["Addresses"]
        return {"address": self.found(), "names": [name.get("PtrRecord") for name in names]}

    def change(self):
        retag(self, self.id)

    def destroy(self):
        group = self.seen()["NetworkBorderGroup"]
        delete(ec2.release_address, ["InvalidAllocationID.NotFound"], AllocationId=self.id, NetworkBorderGroup=group)
        wait_gone(self.found)


class NatGateway(Resource):
    """aws_nat_gateway"""

    def __init__(self, subnet, eip=None):
        self.subnet, self.eip = subnet, eip

    def create(self):
        of_kind = {"ConnectivityType": "public", "AllocationId": self.eip.id} if self.eip else {"ConnectivityType": "private"}
        made = patiently(
            ec2.create_nat_gateway,
            SubnetId=self.subnet.id, ClientToken=f"nat-{id(self)}", TagSpecifications=tagged("natgateway", "made"), **of_kind,
        )
        self.id = made["NatGateway"]["NatGatewayId"]
        wait(self.looked, lambda gateway: gateway["State"] == "available")

    def looked(self):
        return find(ec2.describe_nat_gateways, "NatGateways", ["NatGatewayNotFound"], NatGatewayIds=[self.id])

    def found(self):
        gateway = self.looked()
        if gateway["State"] == "deleted":
            raise Gone(self.id)
        return gateway

    def read(self):
        return self.found()

    def change(self):
        retag(self, self.id)

    def destroy(self):
        delete(ec2.delete_nat_gateway, ["NatGatewayNotFound"], NatGatewayId=self.id)
        wait_gone(self.found)


class RouteTable(Resource):
    """aws_route_table, with a route of its own"""

    def __init__(self, vpc, cidr, target):
        self.vpc, self.cidr, self.target = vpc, cidr, target

    def create(self):
        made = patiently(ec2.create_route_table, VpcId=self.vpc.id, TagSpecifications=tagged("route-table", "made"))
        self.id = made["RouteTable"]["RouteTableId"]
        wait(self.found, lambda table: True)
        self.route(ec2.create_route, self.cidr)

    def route(self, call, cidr):
        patiently(call, RouteTableId=self.id, **destination(cidr), **self.target())
        wait(lambda: route_of(self.found(), cidr), lambda route: self.target().items() <= route.items())

    def found(self):
        return find(ec2.describe_route_tables, "RouteTables", ["InvalidRouteTableID.NotFound"], RouteTableIds=[self.id])

    def read(self):
        return self.found()

    def change(self):
        more = "2001:db8:1::/48" if ":" in self.cidr else "198.51.100.0/24"
        self.route(ec2.create_route, more)
        delete(ec2.delete_route, ["InvalidRoute.NotFound"], RouteTableId=self.id, **destination(more))
        wait_gone(lambda: route_of(self.found(), more))
        retag(self, self.id)

    def destroy(self):
        for bond in self.seen()["Associations"]:
            disassociate(bond["RouteTableAssociationId"])
        delete(ec2.delete_route_table, ["InvalidRouteTableID.NotFound"], RouteTableId=self.id)
        wait_gone(self.found)


def destination(cidr):
    return {"DestinationIpv6CidrBlock" if ":" in cidr else "DestinationCidrBlock": cidr}


def route_of(table, cidr):
    for route in table["Routes"]:
        if destination(cidr).items() <= route.items():
            return route
    raise Gone(cidr)


class Route(Resource):
    """aws_route"""

    def __init__(self, table, cidr, target, other):
        self.table, self.cidr, self.target, self.other = table, cidr, target, other

    def create(self):
        self.put(ec2.create_route, self.target())

    def put(self, call, target):
        patiently(call, RouteTableId=self.table.id, **destination(self.cidr), **target)
        wait(self.read, lambda route: target.items() <= route.items())

    def read(self):
        return route_of(self.table.found(), self.cidr)

    def change(self):
        self.put(ec2.replace_route, self.other())

    def destroy(self):
        named = {"RouteTableId": self.table.id, **destination(self.cidr)}
        delete(ec2.delete_route, ["InvalidRoute.NotFound"], **named)
        wait_gone(self.read)
        try:
            ec2.delete_route(**named)
            raise AssertionError("a route was deleted twice")
        except ClientError as error:
            assert code_of(error) == "InvalidRoute.NotFound", error


def association(id):
    """The bond of a route table, by its id alone."""
    codes = ["InvalidRouteTableID.NotFound"]
    query = filters(association__route_table_association_id=id)
    table = find(ec2.describe_route_tables, "RouteTables", codes, Filters=query)
    for bond in table["Associations"]:
        if bond["RouteTableAssociationId"] == id:
            if bond["AssociationState"]["State"] == "disassociated":
                raise Gone(id)
            return bond
    raise Gone(id)


def disassociate(id):
    delete(ec2.disassociate_route_table, ["InvalidAssociationID.NotFound"], AssociationId=id)
    wait_gone(lambda: association(id))


class RouteTableAssociation(Resource):
    """aws_route_table_association"""

    def __init__(self, table, subnet, other):
        self.table, self.subnet, self.other = table, subnet, other

    def create(self):
        made = patiently(ec2.associate_route_table, RouteTableId=self.table.id, SubnetId=self.subnet.id)
        self.settle(made["AssociationId"])

    def settle(self, id):
        self.id = id
        wait(self.read, lambda bond: bond["AssociationState"]["State"] == "associated")

    def read(self):
        return association(self.id)

    def change(self):
        # It is the same again at the end, but for its id.
        for table in [self.other, self.table]:
            made = patiently(ec2.replace_route_table_association, AssociationId=self.id, RouteTableId=table.id)
            self.settle(made["NewAssociationId"])

    def destroy(self):
        disassociate(self.id)


class MainRouteTableAssociation(Resource):
    """aws_main_route_table_association"""

    def __init__(self, vpc, table):
        self.vpc, self.table = vpc, table

    def main(self):
        query = filters(association__main="true", vpc_id=self.vpc.id)
        table = find(ec2.describe_route_tables, "RouteTables", Filters=query)
        return table, next(bond["RouteTableAssociationId"] for bond in table["Associations"] if bond["Main"])

    def create(self):
        table, bond = wait(self.main, lambda found: True)
        self.original = table["RouteTableId"]
        self.put(bond, self.table.id)

    def put(self, bond, table):
        self.id = patiently(ec2.replace_route_table_association, AssociationId=bond, RouteTableId=table)["NewAssociationId"]
        wait(lambda: association(self.id), lambda bond: bond["AssociationState"]["State"] == "associated" and bond["Main"])

    def read(self):
        return association(self.id)

    def destroy(self):
        self.put(self.id, self.original)
