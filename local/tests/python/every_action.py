"""The lives of some instances and of all around them, through every action that the endpoint serves.

`life` is for any client: `local/model/check_account.py` has one that compares every answer. As a program it is for boto3 and
for the AWS CLI, unmodified, at the endpoint that the environment names:

    ec2-local serve --no-default-vpc
    eval "$(ec2-local env)"
    python3 every_action.py boto3|cli Action…

with the actions that there are; none may be left out.
"""

import contextlib
import io
import json
import pathlib
import subprocess
import sys
import time

from patience import is_unknown, patiently, until

sys.path.append(str(pathlib.Path(__file__).parents[2] / "model"))
import table

# A client may be newer, and know of more than the endpoint does.
KNOWN, _ = table.read()


# There are many types, and a page of five is the smallest.
FEW = {"Filters": [{"Name": "instance-type", "Values": ["t3*"]}]}
FEW = {
    "DescribeInstanceTypes": FEW, "DescribeInstanceTypeOfferings": FEW,
    # Of all templates there are but these.
    "DescribeLaunchTemplateVersions": {"Versions": ["$Latest", "$Default"]},
    "DescribeSpotPriceHistory": {"InstanceTypes": ["t3.micro"]},
}

KEY = b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIILxJHyT7qNnuW4ZN/Hn8NCSyVuqxrjwqmuYXoyyyBk5"
ODD = [{"Key": "odd: <&> \"'", "Value": " \té日\r\n]]>"}, {"Key": "empty", "Value": ""}]


def tagged(kind):
    return [{"ResourceType": kind, "Tags": ODD}]


def make(call):
    """Makes one of each kind of resource, of each shape that it has."""
    assert call("DescribeVpcs")["Vpcs"] == [] and call("CreateDefaultVpc")["Vpc"]["IsDefault"]
    call("CreateKeyPair", KeyName="made", KeyType="ed25519", TagSpecifications=tagged("key-pair"))
    call("ImportKeyPair", KeyName="imported", PublicKeyMaterial=KEY, TagSpecifications=tagged("key-pair"))
    for name, more in [("cluster", {}), ("partition", {"PartitionCount": 3}), ("spread", {"SpreadLevel": "rack"})]:
        placement = tagged("placement-group")
        made = call("CreatePlacementGroup", GroupName=name, Strategy=name, TagSpecifications=placement, **more)
        assert more.items() <= made["PlacementGroup"].items(), made
    group = call("CreateSecurityGroup", GroupName="g", Description="a & b", TagSpecifications=tagged("security-group"))
    group = group["GroupId"]
    permissions = [
        {
            "IpProtocol": "tcp", "FromPort": 22, "ToPort": 22,
            "IpRanges": [{"CidrIp": "10.0.0.0/8", "Description": "a & b"}, {"CidrIp": "192.0.2.1/32"}],
            "Ipv6Ranges": [{"CidrIpv6": "2001:db8::/32"}],
            "UserIdGroupPairs": [{"GroupId": group}],
        },
        {"IpProtocol": "icmp", "FromPort": -1, "ToPort": -1, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]},
    ]
    made = call(
        "AuthorizeSecurityGroupIngress",
        GroupId=group, IpPermissions=permissions, TagSpecifications=tagged("security-group-rule"),
    )
    assert len(made["SecurityGroupRules"]) == 5, made
    call("AuthorizeSecurityGroupEgress", GroupId=group, IpPermissions=permissions)
    image = call("DescribeImages", Filters=[{"Name": "name", "Values": ["blank"]}])["Images"][0]["ImageId"]
    template = make_template(call)
    request_spot(call, image, group)
    launched = call(
        "RunInstances",
        ImageId=image, LaunchTemplate={"LaunchTemplateId": template, "Version": "2"}, MinCount=1, MaxCount=2, KeyName="made", ClientToken="<token>",
        UserData="aGVsbG8=", SecurityGroupIds=[group], IamInstanceProfile={"Name": "web"},
        BlockDeviceMappings=[
            {"DeviceName": "/dev/sda1", "Ebs": {"VolumeType": "io2", "Iops": 500, "VolumeSize": 20, "DeleteOnTermination": False}},
            {"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 1}},
        ],
        TagSpecifications=tagged("instance") + tagged("volume") + tagged("network-interface"),
    )
    assert launched["Instances"][0]["State"]["Name"] == "pending", launched
    instances = [instance["InstanceId"] for instance in launched["Instances"]]
    made = call("CreateSnapshots", InstanceSpecification={"InstanceId": instances[0]}, TagSpecifications=tagged("snapshot"))
    assert len(made["Snapshots"]) == 2, made
    call("AllocateAddress", Domain="vpc", TagSpecifications=tagged("elastic-ip"))
    interface = call(
        "CreateNetworkInterface",
        SubnetId=launched["Instances"][0]["SubnetId"], Description="a & b", Groups=[group], ClientToken="<interface>",
        SecondaryPrivateIpAddressCount=1, TagSpecifications=tagged("network-interface"),
    )["NetworkInterface"]
    assert len(interface["PrivateIpAddresses"]) == 2, interface
    return image, group, instances


def request_spot(call, image, group):
    """A request that waits until it is cancelled: its instance would be one too many."""
    request = call(
        "RequestSpotInstances",
        LaunchSpecification={"ImageId": image, "InstanceType": "t3.micro", "SecurityGroupIds": [group], "UserData": "aGVsbG8="},
        SpotPrice="0.05", Type="persistent", InstanceInterruptionBehavior="stop",
        ValidFrom="%d-12-31T00:00:00Z" % (time.gmtime().tm_year + 1), TagSpecifications=tagged("spot-instances-request"),
    )["SpotInstanceRequests"][0]
    assert (request["State"], request["SpotPrice"]) == ("open", "0.050000"), request
    prices = call("DescribeSpotPriceHistory", InstanceTypes=["t3.micro"], ProductDescriptions=["Linux/UNIX"])
    assert prices["SpotPriceHistory"], prices


def cancel_spot(call):
    request = call("DescribeSpotInstanceRequests")["SpotInstanceRequests"][0]["SpotInstanceRequestId"]
    cancelled = call("CancelSpotInstanceRequests", SpotInstanceRequestIds=[request])["CancelledSpotInstanceRequests"]
    assert cancelled == [{"SpotInstanceRequestId": request, "State": "cancelled"}], cancelled


def make_template(call):
    """A launch template of several versions, the second of which is that of the instances."""
    data = {"InstanceType": "t3.small", "KernelId": "aki-12345678", "TagSpecifications": tagged("instance")}
    template = call(
        "CreateLaunchTemplate",
        LaunchTemplateName="template", LaunchTemplateData=data, VersionDescription="<&>", ClientToken="<template>",
        TagSpecifications=tagged("launch-template"),
    )["LaunchTemplate"]["LaunchTemplateId"]
    for data in [{"InstanceType": "t3.micro"}, {"Monitoring": {"Enabled": True}}]:
        # Not of the first one, which names a kernel.
        source = {} if "InstanceType" in data else {"SourceVersion": "2"}
        made = call("CreateLaunchTemplateVersion", LaunchTemplateId=template, LaunchTemplateData=data, **source)
        held = made["LaunchTemplateVersion"]["LaunchTemplateData"]
        assert data.items() <= held.items() and held["InstanceType"] == "t3.micro", made
    modified = call("ModifyLaunchTemplate", LaunchTemplateId=template, DefaultVersion="3")["LaunchTemplate"]
    assert (modified["DefaultVersionNumber"], modified["LatestVersionNumber"]) == (3, 3), modified
    return template


def end_template(call, instance):
    """What the instance has of its template, and the end of that."""
    tags = [{"Name": "resource-id", "Values": [instance]}, {"Name": "key", "Values": ["aws:ec2launchtemplate:version"]}]
    assert [tag["Value"] for tag in call("DescribeTags", Filters=tags)["Tags"]] == ["2"]
    data = call("GetLaunchTemplateData", InstanceId=instance)["LaunchTemplateData"]
    assert (data["InstanceType"], data["KeyName"]) == ("t3.micro", "made"), data
    template = call("DescribeLaunchTemplates")["LaunchTemplates"][0]["LaunchTemplateId"]
    numbers = lambda: [
        version["VersionNumber"]
        for version in call("DescribeLaunchTemplateVersions", LaunchTemplateId=template)["LaunchTemplateVersions"]
    ]
    assert numbers() == [3, 2, 1]
    ended = call("DeleteLaunchTemplateVersions", LaunchTemplateId=template, Versions=["1", "3", "9"])
    assert len(ended["SuccessfullyDeletedLaunchTemplateVersions"]) == 1, ended
    codes = [item["ResponseError"]["Code"] for item in ended["UnsuccessfullyDeletedLaunchTemplateVersions"]]
    assert codes == ["unexpectedError", "launchTemplateVersionDoesNotExist"], ended
    assert numbers() == [3, 2]
    call("DeleteLaunchTemplate", LaunchTemplateId=template)


# What nobody has here, so it is described as none.
ABSENT = {
    "DescribeAddressTransfers", "DescribeBundleTasks", "DescribeCapacityReservations", "DescribeCarrierGateways",
    "DescribeClassicLinkInstances", "DescribeCoipPools", "DescribeConversionTasks", "DescribeCustomerGateways",
    "DescribeElasticGpus", "DescribeExportTasks", "DescribeFastSnapshotRestores", "DescribeFleets", "DescribeFlowLogs",
    "DescribeHostReservations", "DescribeHosts", "DescribeImportImageTasks", "DescribeImportSnapshotTasks",
    "DescribeInstanceEventWindows", "DescribeInstanceTopology", "DescribeIpv6Pools",
    "DescribeLocalGatewayRouteTableVirtualInterfaceGroupAssociations", "DescribeLocalGatewayRouteTableVpcAssociations",
    "DescribeLocalGatewayRouteTables", "DescribeLocalGatewayVirtualInterfaceGroups",
    "DescribeLocalGatewayVirtualInterfaces", "DescribeLocalGateways", "DescribeLockedSnapshots",
    "DescribeManagedPrefixLists", "DescribeMovingAddresses", "DescribePrefixLists", "DescribePublicIpv4Pools",
    "DescribeReservedInstances", "DescribeReservedInstancesOfferings", "DescribeScheduledInstances",
    "DescribeSecurityGroupVpcAssociations", "DescribeSpotFleetRequests", "DescribeTransitGateways", "DescribeVpcBlockPublicAccessExclusions",
    "DescribeVpcEndpointServices", "DescribeVpcEndpoints", "DescribeVpnConnections", "DescribeVpnGateways",
    "ListImagesInRecycleBin", "ListSnapshotsInRecycleBin", "ListVolumesInRecycleBin",
}
# What is said by an error.
REFUSED = {"DescribeSpotDatafeedSubscription", "GetManagedPrefixListEntries"}
# What must be asked of something.
OF_SOMETHING = {"DescribeByoipCidrs", "DescribeStaleSecurityGroups", "GetSecurityGroupsForVpc", "GetSubnetCidrReservations"}
# What there is for a while, or never.
PASSING = {
    "DescribeEgressOnlyInternetGateways", "DescribeNatGateways", "DescribeVpcPeeringConnections",
    "GetAssociatedIpv6PoolCidrs",
}


def joined(call, made, vpc, subnet):
    """Joins a VPC with others and the world, and separates them again."""
    for name in ABSENT:
        assert not any(value for value in call(name).values() if isinstance(value, list)), name
    options = [{"Key": "domain-name-servers", "Values": ["10.2.5.1", "AmazonProvidedDNS"]}]
    options = made(
        "CreateDhcpOptions", "DhcpOptions", "DhcpOptionsId",
        DhcpConfigurations=options, TagSpecifications=tagged("dhcp-options"),
    )
    for id in [options, "default"]:
        call("AssociateDhcpOptions", VpcId=vpc, DhcpOptionsId=id)
    call("DeleteDhcpOptions", DhcpOptionsId=options)
    nat = made(
        "CreateNatGateway", "NatGateway", "NatGatewayId",
        SubnetId=subnet, ConnectivityType="private", TagSpecifications=tagged("natgateway"),
    )
    assert call("DescribeNatGateways", NatGatewayIds=[nat])["NatGateways"][0]["VpcId"] == vpc
    call("DeleteNatGateway", NatGatewayId=nat)
    other = made("CreateVpc", "Vpc", "VpcId", CidrBlock="10.200.0.0/16")
    for name in ["RejectVpcPeeringConnection", "AcceptVpcPeeringConnection"]:
        peering = made(
            "CreateVpcPeeringConnection", "VpcPeeringConnection", "VpcPeeringConnectionId",
            VpcId=vpc, PeerVpcId=other, TagSpecifications=tagged("vpc-peering-connection"),
        )
        call(name, VpcPeeringConnectionId=peering)
    off = {"AllowDnsResolutionFromRemoteVpc": False}
    call("ModifyVpcPeeringConnectionOptions", VpcPeeringConnectionId=peering, AccepterPeeringConnectionOptions=off)
    found = call("DescribeVpcPeeringConnections", VpcPeeringConnectionIds=[peering])["VpcPeeringConnections"]
    assert found[0]["Status"]["Code"] == "active", found
    call("DeleteVpcPeeringConnection", VpcPeeringConnectionId=peering)
    call("DeleteVpc", VpcId=other)


def ipv6(call, made, vpc, subnet):
    """Gives a VPC IPv6, an interface addresses, and a way out that leads nobody in; takes all of it away again."""
    assert call("DescribeIpv6Pools")["Ipv6Pools"] == []
    assert call("GetAssociatedIpv6PoolCidrs", PoolId="ipv6pool-ec2-0123456789abcdef0")["Ipv6CidrAssociations"] == []
    bond = call("AssociateVpcCidrBlock", VpcId=vpc, AmazonProvidedIpv6CidrBlock=True)["Ipv6CidrBlockAssociation"]
    bond = {"AssociationId": bond["AssociationId"]}
    known = lambda: call("DescribeVpcs", VpcIds=[vpc])["Vpcs"][0]["Ipv6CidrBlockAssociationSet"][0]["Ipv6CidrBlock"]
    unknown = lambda error: isinstance(error, (IndexError, KeyError))
    range = until(known, unknown).replace("::/56", "::/64")
    of_subnet = call("AssociateSubnetCidrBlock", SubnetId=subnet, Ipv6CidrBlock=range)["Ipv6CidrBlockAssociation"]
    for on in [True, False]:
        call("ModifySubnetAttribute", SubnetId=subnet, AssignIpv6AddressOnCreation={"Value": on})
    interface = call("CreateNetworkInterface", SubnetId=subnet, Ipv6AddressCount=1)["NetworkInterface"]
    interface = {"NetworkInterfaceId": interface["NetworkInterfaceId"]}
    wanted = [range.replace("::/64", "::7")]
    assert call("AssignIpv6Addresses", Ipv6Addresses=wanted, **interface)["AssignedIpv6Addresses"] == wanted
    assert call("UnassignIpv6Addresses", Ipv6Addresses=wanted, **interface)["UnassignedIpv6Addresses"] == wanted
    call("DeleteNetworkInterface", **interface)
    gateway = made(
        "CreateEgressOnlyInternetGateway", "EgressOnlyInternetGateway", "EgressOnlyInternetGatewayId",
        VpcId=vpc, TagSpecifications=tagged("egress-only-internet-gateway"),
    )

    def seen():
        [found] = call("DescribeEgressOnlyInternetGateways", EgressOnlyInternetGatewayIds=[gateway])["EgressOnlyInternetGateways"]
        assert found["Attachments"][0]["VpcId"] == vpc, found

    # One that isn't known yet is left out.
    until(seen, lambda error: isinstance(error, ValueError))
    assert call("DeleteEgressOnlyInternetGateway", EgressOnlyInternetGatewayId=gateway)["ReturnCode"]
    call("DisassociateSubnetCidrBlock", AssociationId=of_subnet["AssociationId"])
    call("DisassociateVpcCidrBlock", **bond)


def networks(call):
    """Makes a VPC with what a VPC can have, and deletes it again."""
    def made(name, member, id, **parameters):
        return call(name, **parameters)[member][id]

    def seen(name, member, filters):
        """The one that the filters find, once it is known."""
        return until(lambda: call(name, Filters=filters)[member][0], lambda error: isinstance(error, IndexError))

    vpc = made("CreateVpc", "Vpc", "VpcId", CidrBlock="10.0.0.0/16", TagSpecifications=tagged("vpc"))
    other = call("AssociateVpcCidrBlock", VpcId=vpc, CidrBlock="10.1.0.0/16")["CidrBlockAssociation"]["AssociationId"]
    subnet = made(
        "CreateSubnet", "Subnet", "SubnetId",
        VpcId=vpc, CidrBlock="10.1.7.0/24", AvailabilityZone="us-east-1a", TagSpecifications=tagged("subnet"),
    )
    call("ModifySubnetAttribute", SubnetId=subnet, MapPublicIpOnLaunch={"Value": True})
    gateway = made(
        "CreateInternetGateway", "InternetGateway", "InternetGatewayId", TagSpecifications=tagged("internet-gateway"),
    )
    attachment = {"InternetGatewayId": gateway, "VpcId": vpc}
    call("AttachInternetGateway", **attachment)
    tables = [
        made("CreateRouteTable", "RouteTable", "RouteTableId", VpcId=vpc, TagSpecifications=tagged("route-table")) for _ in "ab"
    ]
    route = {"RouteTableId": tables[0], "DestinationCidrBlock": "0.0.0.0/0"}
    for name in ["CreateRoute", "ReplaceRoute"]:
        call(name, GatewayId=gateway, **route)
    bond = call("AssociateRouteTable", RouteTableId=tables[0], SubnetId=subnet)["AssociationId"]
    bond = call("ReplaceRouteTableAssociation", AssociationId=bond, RouteTableId=tables[1])["NewAssociationId"]
    acl = made("CreateNetworkAcl", "NetworkAcl", "NetworkAclId", VpcId=vpc, TagSpecifications=tagged("network-acl"))
    rule = {"NetworkAclId": acl, "RuleNumber": 100, "Egress": False}
    entry = {"CidrBlock": "0.0.0.0/0", "RuleAction": "allow", **rule}
    call("CreateNetworkAclEntry", Protocol="6", PortRange={"From": 22, "To": 22}, **entry)
    call("ReplaceNetworkAclEntry", Protocol="1", IcmpTypeCode={"Type": -1, "Code": -1}, **entry)
    of_subnet = [{"Name": "association.subnet-id", "Values": [subnet]}]

    def bond_with_acl():
        found = seen("DescribeNetworkAcls", "NetworkAcls", of_subnet)
        return next(bond["NetworkAclAssociationId"] for bond in found["Associations"] if bond["SubnetId"] == subnet)

    call("ReplaceNetworkAclAssociation", AssociationId=bond_with_acl(), NetworkAclId=acl)
    assert seen("DescribeNetworkAcls", "NetworkAcls", of_subnet)["NetworkAclId"] == acl

    joined(call, made, vpc, subnet)
    ipv6(call, made, vpc, subnet)
    call("DeleteNetworkAclEntry", **rule)
    call("DisassociateRouteTable", AssociationId=bond)
    call("DeleteRoute", **route)
    for table in tables:
        call("DeleteRouteTable", RouteTableId=table)
    # What AWS holds goes when the gateway has gone.
    until(lambda: call("DeleteSubnet", SubnetId=subnet), lambda error: "DependencyViolation" in str(error))
    call("DeleteNetworkAcl", NetworkAclId=acl)
    call("DisassociateVpcCidrBlock", AssociationId=other)
    call("DetachInternetGateway", **attachment)
    call("DeleteInternetGateway", InternetGatewayId=gateway)
    call("DeleteVpc", VpcId=vpc)
    default = seen("DescribeSubnets", "Subnets", [{"Name": "availability-zone", "Values": ["us-east-1c"]}])
    call("DeleteSubnet", SubnetId=default["SubnetId"])
    again = made("CreateDefaultSubnet", "Subnet", "CidrBlock", AvailabilityZone="us-east-1c")
    assert again == default["CidrBlock"], again


def make_volume(call, wait, instance):
    """A volume of each type, one of which is attached, modified and detached."""
    assert call("GetEbsEncryptionByDefault")["EbsEncryptionByDefault"] is False
    own = call("GetEbsDefaultKmsKeyId")["KmsKeyId"]
    assert call("ModifyEbsDefaultKmsKeyId", KmsKeyId="alias/mine")["KmsKeyId"] != own
    assert call("EnableEbsEncryptionByDefault")["EbsEncryptionByDefault"] is True
    zone = call("DescribeInstances", InstanceIds=[instance])["Reservations"][0]["Instances"][0]["Placement"]["AvailabilityZone"]
    made = []
    for shape in [
        {"VolumeType": "gp2"}, {"VolumeType": "gp3", "Iops": 4000, "Throughput": 200}, {"VolumeType": "io1", "Iops": 100},
        {"VolumeType": "io2", "Iops": 100}, {"VolumeType": "st1", "Size": 125}, {"VolumeType": "sc1", "Size": 125},
        {"VolumeType": "standard"},
    ]:
        tags = tagged("volume")
        volume = call("CreateVolume", **{"AvailabilityZone": zone, "Size": 8, **shape}, TagSpecifications=tags)
        assert volume["Encrypted"] and volume["KmsKeyId"] != own and volume["VolumeType"] == shape["VolumeType"], volume
        made.append(volume["VolumeId"])
    assert call("DisableEbsEncryptionByDefault")["EbsEncryptionByDefault"] is False
    assert call("ResetEbsDefaultKmsKeyId")["KmsKeyId"] == own
    wait("volume_available", made)
    volume = made[0]
    attached = call("AttachVolume", VolumeId=volume, InstanceId=instance, Device="/dev/sdg")
    assert attached["State"] == "attaching", attached
    modified = call("ModifyVolume", VolumeId=volume, Size=10, VolumeType="gp3")["VolumeModification"]
    assert (modified["TargetSize"], modified["OriginalVolumeType"]) == (10, "gp2"), modified
    wait("volume_in_use", [volume])
    call("EnableVolumeIO", VolumeId=volume)
    call("ModifyVolumeAttribute", VolumeId=volume, AutoEnableIO={"Value": True})
    assert call("DescribeVolumeAttribute", VolumeId=volume, Attribute="autoEnableIO")["AutoEnableIO"]["Value"] is True
    return made


def end_volumes(call, wait, volumes):
    assert call("DetachVolume", VolumeId=volumes[0])["State"] == "detaching"
    wait("volume_available", volumes)
    for volume in volumes:
        call("DeleteVolume", VolumeId=volume)
    wait("volume_deleted", volumes)


def profiles(call, instances):
    """An instance changes its profile, loses it, and has one again."""
    def bond():
        found = call("DescribeIamInstanceProfileAssociations", Filters=[{"Name": "instance-id", "Values": instances[:1]}])
        return found["IamInstanceProfileAssociations"][0]["AssociationId"]

    first = until(bond, lambda error: isinstance(error, IndexError))
    replaced = call("ReplaceIamInstanceProfileAssociation", AssociationId=first, IamInstanceProfile={"Name": "other"})
    replaced = replaced["IamInstanceProfileAssociation"]
    assert replaced["State"] in ("associating", "associated") and replaced["AssociationId"] != first, replaced
    ended = call("DisassociateIamInstanceProfile", AssociationId=replaced["AssociationId"])
    assert ended["IamInstanceProfileAssociation"]["State"] in ("disassociating", "disassociated"), ended
    again = lambda: call("AssociateIamInstanceProfile", InstanceId=instances[0], IamInstanceProfile={"Name": "web"})
    made = until(again, lambda error: "existing association" in str(error))["IamInstanceProfileAssociation"]
    assert made["IamInstanceProfile"]["Arn"].endswith(":instance-profile/web"), made


def options(call, group, instances):
    """What instances can be told while they run, and what an account chooses for all of them."""
    one = {"InstanceId": instances[0]}
    for name, states in [("MonitorInstances", {"pending", "enabled"}), ("UnmonitorInstances", {"disabling", "disabled"})]:
        told = call(name, InstanceIds=instances)["InstanceMonitorings"]
        assert {instance["Monitoring"]["State"] for instance in told} <= states, told
    credits = [{**one, "CpuCredits": "standard"}]
    changed = call("ModifyInstanceCreditSpecification", InstanceCreditSpecifications=credits, ClientToken="<credits>")
    assert changed["SuccessfulInstanceCreditSpecifications"] == [one], changed
    call("ModifyInstanceCreditSpecification", InstanceCreditSpecifications=[{**one, "CpuCredits": "unlimited"}])
    assert call("ModifyInstanceMaintenanceOptions", **one, AutoRecovery="disabled")["AutoRecovery"] == "disabled"
    call("ModifyPrivateDnsNameOptions", **one, EnableResourceNameDnsARecord=True)
    call("ResetInstanceAttribute", **one, Attribute="sourceDestCheck")
    assert call("GetPasswordData", **one)["PasswordData"] == ""
    call("ReportInstanceStatus", Instances=instances, Status="impaired", ReasonCodes=["other"])
    call("ModifyInstanceMetadataDefaults", HttpTokens="required")
    assert call("GetInstanceMetadataDefaults")["AccountLevel"]["HttpTokens"] == "required"
    call("ModifyInstanceMetadataDefaults", HttpTokens="no-preference")
    for name, on in [("EnableSerialConsoleAccess", True), ("DisableSerialConsoleAccess", False)]:
        call(name)
        assert call("GetSerialConsoleAccessStatus")["SerialConsoleAccessEnabled"] is on
    vpc = call("DescribeVpcs")["Vpcs"][0]["VpcId"]
    groups = call("GetSecurityGroupsForVpc", VpcId=vpc)["SecurityGroupForVpcs"]
    assert group in {found["GroupId"] for found in groups}, groups
    assert call("DescribeStaleSecurityGroups", VpcId=vpc)["StaleSecurityGroupSet"] == []
    assert call("DescribeSecurityGroupReferences", GroupId=[group])["SecurityGroupReferenceSet"] == []
    subnet = call("DescribeSubnets")["Subnets"][0]["SubnetId"]
    assert call("GetSubnetCidrReservations", SubnetId=subnet)["SubnetIpv4CidrReservations"] == []
    assert call("DescribeByoipCidrs", MaxResults=5)["ByoipCidrs"] == []
    account = call("DescribeVpcBlockPublicAccessOptions")["VpcBlockPublicAccessOptions"]["AwsAccountId"]
    for name, more in [
        ("DescribeIdFormat", {}), ("DescribeAggregateIdFormat", {}),
        ("DescribeIdentityIdFormat", {"PrincipalArn": f"arn:aws:iam::{account}:root"}),
    ]:
        statuses = call(name, **more)["Statuses"]
        assert statuses and all(status["UseLongIds"] for status in statuses), statuses
    assert call("GetImageBlockPublicAccessState")["ImageBlockPublicAccessState"] == "unblocked"
    assert call("GetSnapshotBlockPublicAccessState")["State"] == "unblocked"
    assert call("GetAllowedImagesSettings")["State"] == "disabled"
    assert not call("DescribeInstanceEventNotificationAttributes")["InstanceTagAttribute"]["IncludeAllTagsOfInstance"]


def look(call, instances):
    """Describes all there is, whole and page by page."""
    for name in [
        "DescribeAccountAttributes", "DescribeAddresses", "DescribeAddressesAttribute", "DescribeAvailabilityZones",
        "DescribeDhcpOptions", "DescribeIamInstanceProfileAssociations", "DescribeImages", "DescribeInstanceCreditSpecifications",
        "DescribeInstanceImageMetadata", "DescribeInstanceStatus",
        "DescribeInstanceTypeOfferings", "DescribeInstanceTypes", "DescribeInstances", "DescribeInternetGateways", "DescribeLaunchTemplates",
        "DescribeNetworkAcls",
        "DescribeNetworkInterfaces", "DescribePlacementGroups", "DescribeRegions", "DescribeRouteTables", "DescribeSecurityGroupRules",
        "DescribeSecurityGroups", "DescribeSnapshotTierStatus", "DescribeSnapshots", "DescribeSubnets", "DescribeTags",
        "DescribeVolumeStatus", "DescribeVolumes", "DescribeVolumesModifications", "DescribeVpcClassicLink",
        "DescribeVpcClassicLinkDnsSupport", "DescribeVpcs",
    ]:
        listed = [value for value in call(name).values() if isinstance(value, list)]
        assert listed and all(listed), (name, listed)
    assert len(call("DescribeKeyPairs", IncludePublicKey=True)["KeyPairs"]) == 2
    for name in ["DescribeInstanceTypes", "DescribeSecurityGroupRules", "DescribeTags"]:
        pages, token = [], {}
        while token is not None:
            page = call(name, MaxResults=5, **FEW.get(name, {}), **token)
            token = {"NextToken": page["NextToken"]} if page.get("NextToken") else None
            pages.append(page)
        assert len(pages) > 1, name
    vpc = call("DescribeVpcs")["Vpcs"][0]["VpcId"]
    for attribute in ["enableDnsSupport", "enableDnsHostnames", "enableNetworkAddressUsageMetrics"]:
        call("DescribeVpcAttribute", VpcId=vpc, Attribute=attribute)
    assert call("GetConsoleOutput", InstanceId=instances[0])["InstanceId"] == instances[0]


def look_at_attributes(call, image, instance):
    for attribute in KNOWN.enum("InstanceAttributeName"):
        call("DescribeInstanceAttribute", Attribute=attribute, InstanceId=instance)
    # These EC2 refuses, the second of an image that isn't one's own:
    # https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeImageAttribute.html
    for attribute in set(KNOWN.enum("ImageAttributeName")) - {"blockDeviceMapping", "launchPermission"}:
        call("DescribeImageAttribute", Attribute=attribute, ImageId=image)


def snapshots_and_images(call, instance):
    """Takes snapshots, makes images of all kinds, changes what can be changed of them, and ends them."""
    volume = call("DescribeVolumes", Filters=[{"Name": "attachment.instance-id", "Values": [instance]}])["Volumes"][0]
    taken = call("CreateSnapshot", VolumeId=volume["VolumeId"], Description="<&>", TagSpecifications=tagged("snapshot"))
    assert (taken["State"], taken["Progress"]) == ("pending", ""), taken
    created = call(
        "CreateImage",
        InstanceId=instance, Name="golden", Description="<&>", TagSpecifications=tagged("image") + tagged("snapshot"),
    )["ImageId"]

    def done():
        images = call("DescribeImages", Owners=["self"])["Images"]
        assert images and all(image["State"] == "available" for image in images), images
        snapshots = call("DescribeSnapshots", OwnerIds=["self"])["Snapshots"]
        assert snapshots and all(snapshot["State"] == "completed" for snapshot in snapshots), snapshots

    until(done)
    region = call("DescribeAvailabilityZones")["AvailabilityZones"][0]["RegionName"]
    call("CopySnapshot", SourceRegion=region, SourceSnapshotId=taken["SnapshotId"], Encrypted=True)
    copied = call("CopyImage", SourceRegion=region, SourceImageId=created, Name="copied", CopyImageTags=True)["ImageId"]
    mapping = {"DeviceName": "/dev/xvda", "Ebs": {"SnapshotId": taken["SnapshotId"], "VolumeType": "gp3"}}
    registered = call(
        "RegisterImage",
        Name="registered", RootDeviceName="/dev/xvda", Architecture="x86_64", VirtualizationType="hvm",
        EnaSupport=True, BootMode="uefi", TpmSupport="v2.0", BlockDeviceMappings=[mapping],
    )["ImageId"]
    until(done)
    for attribute in ["createVolumePermission", "productCodes"]:
        call("DescribeSnapshotAttribute", SnapshotId=taken["SnapshotId"], Attribute=attribute)
    add = {"Add": [{"UserId": "123456789012"}]}
    call("ModifySnapshotAttribute", SnapshotId=taken["SnapshotId"], CreateVolumePermission=add)
    call("ResetSnapshotAttribute", SnapshotId=taken["SnapshotId"], Attribute="createVolumePermission")
    call("ModifyImageAttribute", ImageId=created, LaunchPermission=add)
    shown = call("DescribeImageAttribute", ImageId=created, Attribute="launchPermission")
    assert shown["LaunchPermissions"] == add["Add"], shown
    call("ResetImageAttribute", ImageId=created, Attribute="launchPermission")
    for name in ["EnableImageDeregistrationProtection", "DisableImageDeregistrationProtection", "DisableImage", "EnableImage"]:
        call(name, ImageId=created)
    deprecated = "%d-12-31T00:00:00Z" % (time.gmtime().tm_year + 1)
    call("EnableImageDeprecation", ImageId=created, DeprecateAt=deprecated)
    call("DisableImageDeprecation", ImageId=created)
    task = call("CreateReplaceRootVolumeTask", InstanceId=instance, ImageId=created, DeleteReplacedRootVolume=True)
    task = task["ReplaceRootVolumeTask"]["ReplaceRootVolumeTaskId"]

    def replaced():
        tasks = call("DescribeReplaceRootVolumeTasks", ReplaceRootVolumeTaskIds=[task])["ReplaceRootVolumeTasks"]
        assert [(found["TaskState"], found["ImageId"]) for found in tasks] == [("succeeded", created)], tasks

    until(replaced)
    for image in [created, copied, registered]:
        ended = call("DeregisterImage", ImageId=image, DeleteAssociatedSnapshots=True)
        assert ended["DeleteSnapshotResults"], ended


def change(call, wait, group, instances):
    rule = call("DescribeSecurityGroupRules", Filters=[{"Name": "group-id", "Values": [group]}])["SecurityGroupRules"]
    incoming = next(found["SecurityGroupRuleId"] for found in rule if not found["IsEgress"])
    outgoing = next(found["SecurityGroupRuleId"] for found in rule if found["IsEgress"])
    opened = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 443, "CidrIpv4": "10.0.0.0/8", "Description": "changed"}
    first = next(found for found in rule if not found["IsEgress"] and found.get("CidrIpv4") == "10.0.0.0/8")
    changed = [{"SecurityGroupRuleId": first["SecurityGroupRuleId"], "SecurityGroupRule": opened}]
    call("ModifySecurityGroupRules", GroupId=group, SecurityGroupRules=changed)
    described = call("DescribeSecurityGroupRules", SecurityGroupRuleIds=[first["SecurityGroupRuleId"]])
    assert opened.items() <= described["SecurityGroupRules"][0].items(), described
    for direction, id in [("Ingress", incoming), ("Egress", outgoing)]:
        described = [{"SecurityGroupRuleId": id, "Description": direction}]
        call(f"UpdateSecurityGroupRuleDescriptions{direction}", GroupId=group, SecurityGroupRuleDescriptions=described)
        call(f"RevokeSecurityGroup{direction}", GroupId=group, SecurityGroupRuleIds=[id])
    # In the default VPC what isn't there is told about, and is no error.
    unknown = [{"IpProtocol": "udp", "FromPort": 1, "ToPort": 2, "IpRanges": [{"CidrIp": "10.0.0.0/8"}]}]
    answer = call("RevokeSecurityGroupIngress", GroupId=group, IpPermissions=unknown)
    assert len(answer["UnknownIpPermissions"]) == 1, answer
    vpc = call("DescribeVpcs")["Vpcs"][0]["VpcId"]
    for value in [False, True]:
        call("ModifyVpcAttribute", VpcId=vpc, EnableDnsHostnames={"Value": value})
        assert call("DescribeVpcAttribute", VpcId=vpc, Attribute="enableDnsHostnames")["EnableDnsHostnames"]["Value"] == value
    call("CreateTags", Resources=instances, Tags=[{"Key": "more", "Value": "<x/>"}])
    call("DeleteTags", Resources=instances, Tags=[{"Key": "empty"}])
    call("ModifyInstanceAttribute", InstanceId=instances[0], DisableApiStop={"Value": False})
    call("ModifyInstanceMetadataOptions", InstanceId=instances[0], HttpTokens="required", HttpPutResponseHopLimit=2)
    call("RebootInstances", InstanceIds=instances)
    for name, state in [("StopInstances", "stopped"), ("StartInstances", "running"), ("TerminateInstances", "terminated")]:
        changes = [value for value in call(name, InstanceIds=instances).values() if isinstance(value, list)]
        assert len(changes[0]) == len(instances), changes
        wait(f"instance_{state}", instances)
        if state == "stopped":
            call("ModifyInstancePlacement", InstanceId=instances[0], Tenancy="default")
            call("ModifyInstanceCpuOptions", InstanceId=instances[0], CoreCount=1, ThreadsPerCore=1)
        found = call("DescribeInstanceStatus", IncludeAllInstances=True)["InstanceStatuses"]
        assert {status["InstanceState"]["Name"] for status in found} == {state}, found


def change_network(call, instances):
    """An interface and an address come to an instance, and go."""
    mine = {"Filters": [{"Name": "description", "Values": ["a & b"]}]}
    interface = call("DescribeNetworkInterfaces", **mine)["NetworkInterfaces"][0]
    named = {"NetworkInterfaceId": interface["NetworkInterfaceId"]}
    secondary = [interface["PrivateIpAddresses"][1]["PrivateIpAddress"]]
    call("UnassignPrivateIpAddresses", **named, PrivateIpAddresses=secondary)
    assigned = call("AssignPrivateIpAddresses", **named, PrivateIpAddresses=secondary)["AssignedPrivateIpAddresses"]
    assert [address["PrivateIpAddress"] for address in assigned] == secondary, assigned
    call("ModifyNetworkInterfaceAttribute", **named, SourceDestCheck={"Value": False})
    call("ResetNetworkInterfaceAttribute", **named, SourceDestCheck="true")
    attached = call("AttachNetworkInterface", **named, InstanceId=instances[0], DeviceIndex=1)
    for attribute in KNOWN.enum("NetworkInterfaceAttribute"):
        call("DescribeNetworkInterfaceAttribute", **named, Attribute=attribute)
    address = call("DescribeAddresses")["Addresses"][0]
    allocation = {"AllocationId": address["AllocationId"]}
    call("ModifyAddressAttribute", **allocation, DomainName="mail.example.com")
    call("ResetAddressAttribute", **allocation, Attribute="domain-name")
    bound = call("AssociateAddress", **allocation, **named, PrivateIpAddress=secondary[0])["AssociationId"]
    shown = call("DescribeAddresses", PublicIps=[address["PublicIp"]])["Addresses"][0]
    assert (shown["AssociationId"], shown["InstanceId"]) == (bound, instances[0]), shown
    call("DisassociateAddress", AssociationId=bound)
    call("DetachNetworkInterface", AttachmentId=attached["AttachmentId"])
    in_use = lambda error: "in use" in str(error)
    until(lambda: call("DeleteNetworkInterface", **named), in_use)


def end(call, group):
    left = [volume for volume in call("DescribeVolumes")["Volumes"] if volume["State"] != "deleting"]
    assert [volume["State"] for volume in left] == ["available"] * 2, "those of the root were to stay"
    for volume in left:
        call("DeleteVolume", VolumeId=volume["VolumeId"])
    for snapshot in call("DescribeSnapshots", OwnerIds=["self"])["Snapshots"]:
        call("DeleteSnapshot", SnapshotId=snapshot["SnapshotId"])
    call("ReleaseAddress", AllocationId=call("DescribeAddresses")["Addresses"][0]["AllocationId"])
    call("DeleteSecurityGroup", GroupId=group)
    for name in ["cluster", "partition", "spread"]:
        call("DeletePlacementGroup", GroupName=name)
    assert call("DescribePlacementGroups")["PlacementGroups"] == []
    call("DeleteKeyPair", KeyName="made")
    assert call("DeleteKeyPair", KeyName="made")["Return"] is True
    until(lambda: gone(call))


def gone(call):
    for name in ["DescribeVolumes", "DescribeNetworkInterfaces"]:
        assert not next(iter(call(name).values())), name


def life(call, wait):
    """Calls every action; `wait` waits as a waiter of that name does."""
    image, group, instances = make(call)
    networks(call)
    wait("instance_running", instances)
    volumes = make_volume(call, wait, instances[0])
    until(lambda: look(call, instances))
    look_at_attributes(call, image, instances[0])
    profiles(call, instances)
    options(call, group, instances)
    snapshots_and_images(call, instances[0])
    change_network(call, instances)
    end_volumes(call, wait, volumes)
    end_template(call, instances[0])
    cancel_spot(call)
    change(call, wait, group, instances)
    end(call, group)


def with_boto3(actions):
    import boto3
    ec2 = boto3.client("ec2")
    called = set()
    ec2.meta.events.register("before-call.ec2", lambda model, **_: called.add(model.name))
    methods = {action: method for method, action in ec2.meta.method_to_api_mapping.items()}

    def call(name, **parameters):
        return patiently(getattr(ec2, methods[name]), **parameters)

    def wait(name, ids):
        """As it is, but for the delay: it would be 15 s."""
        of = "VolumeIds" if name.startswith("volume") else "InstanceIds"
        # Most waiters take what isn't known yet for a failure.
        waiter = ec2.get_waiter(name)
        until(lambda: waiter.wait(**{of: ids}, WaiterConfig={"Delay": 1, "MaxAttempts": 120}), is_unknown)
        if name == "instance_running":
            in_time = {"WaiterConfig": {"Delay": 1, "MaxAttempts": 120}}
            for waiter in ["instance_exists", "instance_status_ok", "system_status_ok"]:
                ec2.get_waiter(waiter).wait(InstanceIds=ids, **in_time)
            for waiter in [
                "image_available", "image_exists", "key_pair_exists", "security_group_exists", "snapshot_completed", "subnet_available",
                "volume_in_use", "vpc_available", "vpc_exists",
            ]:
                ec2.get_waiter(waiter).wait(**in_time)
        if name == "volume_in_use":
            until(page_through)

    def page_through():
        is_paged = lambda action: "MaxResults" in KNOWN.members(KNOWN.operations[action]["input"])
        paged = [action for action in set(actions) - ABSENT - OF_SOMETHING - PASSING - REFUSED if is_paged(action) and ec2.can_paginate(methods[action])]
        assert len(paged) >= 14, paged
        # Its instance must run first.
        for action in set(paged) - {"DescribeReplaceRootVolumeTasks"}:
            few = FEW.get(action, {})
            pages = list(ec2.get_paginator(methods[action]).paginate(PaginationConfig={"PageSize": 5}, **few))
            whole = call(action, **few)
            listed = next(name for name, value in whole.items() if isinstance(value, list))
            assert sum(len(page[listed]) for page in pages) == len(whole[listed]) > 0, action

    life(call, wait)
    return called


def with_cli(actions):
    import awscli.clidriver
    from botocore import xform_name

    shared = awscli.clidriver.create_clidriver()
    called = set()

    def call(name, **parameters):
        text = lambda value: value.decode()
        arguments = ["ec2", xform_name(name, "-"), "--cli-input-json", json.dumps(parameters, default=text)]
        # It would turn all pages by itself.
        arguments += ["--no-paginate"] if "MaxResults" in parameters else []
        return patiently(run, name=name, arguments=[*arguments, "--output", "json"])

    def run(name, arguments):
        # The program itself, but for its start: that would take a second each time.
        with contextlib.redirect_stdout(io.StringIO()) as output, contextlib.redirect_stderr(io.StringIO()) as said:
            # What it adds to one command's arguments it later looks for in those of others.
            driver = awscli.clidriver.create_clidriver() if name.startswith("Modify") else shared
            status = driver.main(arguments)
        assert status == 0, (arguments, status, said.getvalue())
        called.add(name)
        return json.loads(output.getvalue() or "{}")

    def wait(name, ids):
        """As a process of its own; it would look every 15 s, so what it waits for must have come about."""
        if name.startswith("volume"):
            return wait_for_volumes(name, ids)
        state = name.removeprefix("instance_")
        for _ in range(600):
            found = call("DescribeInstanceStatus", IncludeAllInstances=True)["InstanceStatuses"]
            if {status["InstanceState"]["Name"] for status in found} == {state}:
                break
            time.sleep(0.1)
        program = [sys.executable, "-m", "awscli", "ec2", "wait", name.replace("_", "-"), "--instance-ids", *ids]
        subprocess.run(program, check=True, timeout=120)

    def wait_for_volumes(name, ids):
        state = name.removeprefix("volume_").replace("_", "-")
        for _ in range(600):
            found = [volume for volume in call("DescribeVolumes")["Volumes"] if volume["VolumeId"] in ids]
            if {volume["State"] for volume in found} == (set() if state == "deleted" else {state}):
                break
            time.sleep(0.1)

    life(call, wait)
    return called


def main(client, *actions):
    called = {"boto3": with_boto3, "cli": with_cli}[client](actions)
    missed = set(actions) - called - REFUSED
    assert actions and not missed, f"{client} has not called {sorted(missed)}"


if __name__ == "__main__":
    main(*sys.argv[1:])
