#!/usr/bin/env python3
"""Writes the table that drives the codec, `ec2-2016-11-15.json`, from the public service model.

The model is the one that botocore bears (Apache-2.0, see `LICENSE.md` beside this file). Install it first, in a
virtual environment if you like, then run this script without arguments:

    pip install botocore
    python3 local/model/regenerate.py

The table holds the names of all operations, and of those named below the shapes that they reach: names, types, list shapes, enums, bounds of
numbers, required members, and each member's `locationName` and `queryName`. Enums are sorted, to be searched. Documentation is left out. A scalar shape
without an enum or a bound is replaced by its type, so that the table stays small.
"""

import json

import botocore
import botocore.loaders

from table import PATH, VERSION, Table

OPERATIONS = """
    RunInstances DescribeInstances StartInstances StopInstances RebootInstances TerminateInstances
    DescribeInstanceStatus DescribeInstanceAttribute ModifyInstanceAttribute ResetInstanceAttribute
    ModifyInstanceMetadataOptions MonitorInstances UnmonitorInstances GetConsoleOutput
    DescribeInstanceTypes DescribeInstanceTypeOfferings DescribeInstanceCreditSpecifications
    CreateReplaceRootVolumeTask DescribeReplaceRootVolumeTasks
    ModifyInstancePlacement ModifyInstanceCpuOptions ModifyInstanceCreditSpecification
    ModifyInstanceMaintenanceOptions ModifyPrivateDnsNameOptions
    GetInstanceMetadataDefaults ModifyInstanceMetadataDefaults GetPasswordData
    GetSerialConsoleAccessStatus EnableSerialConsoleAccess DisableSerialConsoleAccess
    AssociateIamInstanceProfile DisassociateIamInstanceProfile ReplaceIamInstanceProfileAssociation
    DescribeIamInstanceProfileAssociations
    RequestSpotInstances CancelSpotInstanceRequests DescribeSpotInstanceRequests DescribeSpotPriceHistory
    DescribeFleets DescribeSpotFleetRequests DescribeSpotDatafeedSubscription
    DescribeReservedInstances DescribeCapacityReservations DescribeHosts

    CreateLaunchTemplate CreateLaunchTemplateVersion DescribeLaunchTemplates DescribeLaunchTemplateVersions
    ModifyLaunchTemplate DeleteLaunchTemplate DeleteLaunchTemplateVersions GetLaunchTemplateData

    DescribeImages CreateImage RegisterImage DeregisterImage CopyImage
    DescribeImageAttribute ModifyImageAttribute ResetImageAttribute
    EnableImage DisableImage EnableImageDeprecation DisableImageDeprecation
    EnableImageDeregistrationProtection DisableImageDeregistrationProtection

    CreateSnapshot CreateSnapshots DescribeSnapshots DeleteSnapshot CopySnapshot
    DescribeSnapshotAttribute ModifySnapshotAttribute ResetSnapshotAttribute
    DescribeSnapshotTierStatus DescribeFastSnapshotRestores

    CreateVolume DescribeVolumes DeleteVolume AttachVolume DetachVolume ModifyVolume
    DescribeVolumesModifications DescribeVolumeStatus DescribeVolumeAttribute ModifyVolumeAttribute EnableVolumeIO
    GetEbsEncryptionByDefault EnableEbsEncryptionByDefault DisableEbsEncryptionByDefault
    GetEbsDefaultKmsKeyId ModifyEbsDefaultKmsKeyId ResetEbsDefaultKmsKeyId

    CreateNetworkInterface DescribeNetworkInterfaces DeleteNetworkInterface AttachNetworkInterface
    DetachNetworkInterface DescribeNetworkInterfaceAttribute ModifyNetworkInterfaceAttribute
    ResetNetworkInterfaceAttribute
    AssignPrivateIpAddresses UnassignPrivateIpAddresses AssignIpv6Addresses UnassignIpv6Addresses
    CreateNetworkInterfacePermission DescribeNetworkInterfacePermissions DeleteNetworkInterfacePermission

    AllocateAddress AssociateAddress DisassociateAddress ReleaseAddress DescribeAddresses
    DescribeAddressesAttribute ModifyAddressAttribute ResetAddressAttribute

    CreateVpc CreateDefaultVpc DescribeVpcs DeleteVpc DescribeVpcAttribute ModifyVpcAttribute
    AssociateVpcCidrBlock DisassociateVpcCidrBlock ModifyVpcTenancy
    CreateDhcpOptions DescribeDhcpOptions DeleteDhcpOptions AssociateDhcpOptions
    CreateNetworkAcl DescribeNetworkAcls DeleteNetworkAcl ReplaceNetworkAclAssociation
    CreateNetworkAclEntry ReplaceNetworkAclEntry DeleteNetworkAclEntry
    CreateVpcPeeringConnection AcceptVpcPeeringConnection RejectVpcPeeringConnection
    DescribeVpcPeeringConnections DeleteVpcPeeringConnection ModifyVpcPeeringConnectionOptions
    DescribeVpcEndpoints DescribeVpcEndpointServices DescribeVpcClassicLink DescribeVpcClassicLinkDnsSupport
    DescribePrefixLists DescribeManagedPrefixLists GetManagedPrefixListEntries
    CreateSubnet CreateDefaultSubnet DescribeSubnets DeleteSubnet ModifySubnetAttribute
    AssociateSubnetCidrBlock DisassociateSubnetCidrBlock

    CreateRouteTable DescribeRouteTables DeleteRouteTable AssociateRouteTable DisassociateRouteTable
    ReplaceRouteTableAssociation CreateRoute ReplaceRoute DeleteRoute

    CreateInternetGateway DescribeInternetGateways DeleteInternetGateway AttachInternetGateway
    DetachInternetGateway
    CreateNatGateway DescribeNatGateways DeleteNatGateway
    CreateEgressOnlyInternetGateway DescribeEgressOnlyInternetGateways DeleteEgressOnlyInternetGateway
    DescribeIpv6Pools GetAssociatedIpv6PoolCidrs
    DescribeVpnGateways DescribeVpnConnections DescribeCustomerGateways DescribeTransitGateways

    CreateSecurityGroup DescribeSecurityGroups DeleteSecurityGroup DescribeSecurityGroupRules
    ModifySecurityGroupRules AuthorizeSecurityGroupIngress AuthorizeSecurityGroupEgress
    RevokeSecurityGroupIngress RevokeSecurityGroupEgress
    UpdateSecurityGroupRuleDescriptionsIngress UpdateSecurityGroupRuleDescriptionsEgress

    CreateKeyPair ImportKeyPair DeleteKeyPair DescribeKeyPairs

    CreatePlacementGroup DescribePlacementGroups DeletePlacementGroup

    CreateTags DeleteTags DescribeTags

    DescribeRegions DescribeAvailabilityZones DescribeAccountAttributes

    DescribeAddressTransfers DescribeAggregateIdFormat DescribeBundleTasks DescribeByoipCidrs DescribeCarrierGateways
    DescribeClassicLinkInstances DescribeCoipPools DescribeConversionTasks DescribeElasticGpus DescribeExportTasks
    DescribeFlowLogs DescribeHostReservations DescribeIdFormat DescribeIdentityIdFormat DescribeImportImageTasks
    DescribeImportSnapshotTasks DescribeInstanceEventNotificationAttributes DescribeInstanceEventWindows
    DescribeInstanceImageMetadata DescribeInstanceTopology
    DescribeLocalGatewayRouteTableVirtualInterfaceGroupAssociations DescribeLocalGatewayRouteTableVpcAssociations
    DescribeLocalGatewayRouteTables DescribeLocalGatewayVirtualInterfaceGroups DescribeLocalGatewayVirtualInterfaces
    DescribeLocalGateways DescribeLockedSnapshots DescribeMovingAddresses DescribePublicIpv4Pools
    DescribeReservedInstancesOfferings DescribeScheduledInstances DescribeSecurityGroupReferences
    DescribeSecurityGroupVpcAssociations DescribeStaleSecurityGroups DescribeVpcBlockPublicAccessExclusions
    DescribeVpcBlockPublicAccessOptions GetAllowedImagesSettings GetImageBlockPublicAccessState GetSecurityGroupsForVpc
    GetSnapshotBlockPublicAccessState GetSubnetCidrReservations ListImagesInRecycleBin ListSnapshotsInRecycleBin
    ListVolumesInRecycleBin ReportInstanceStatus
""".split()

# What EC2 answers, though its own model doesn't have it.
ALSO = {
    # https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeAccountAttributes.html
    "AccountAttributeName": ["max-elastic-ips", "max-instances", "vpc-max-elastic-ips", "vpc-max-security-groups-per-interface"],
    # https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_InternetGatewayAttachment.html
    "AttachmentStatus": ["available"],
    # Of c8i and others, as `instance-types.tsv` has it.
    "SupportedAdditionalProcessorFeature": ["metal-compatibility"],
}


def compact(model):
    """The table: the operations, and every shape that they reach."""
    shapes = {}

    def reference(name):
        """A shape's name in the table, or its type where the type says it all."""
        shape = model["shapes"][name]
        kind = shape["type"]
        if kind == "structure":
            if name not in shapes:
                shapes[name] = entry = {}
                if shape.get("required"):
                    entry["required"] = shape["required"]
                entry["members"] = {member: reach(target) for member, target in shape["members"].items()}
            return name
        if kind == "list":
            if name not in shapes:
                shapes[name] = entry = {}
                entry["list"] = reach(shape["member"])
            return name
        limits = {}
        if "enum" in shape:
            limits["enum"] = sorted({*shape["enum"], *ALSO.get(name, [])})
        if kind in ("integer", "long"):
            limits |= {bound: shape[bound] for bound in ("min", "max") if bound in shape}
        if not limits:
            return kind
        shapes[name] = {"type": kind} | limits
        return name

    def reach(target):
        """A member, or a list's element: its shape, and its names on the wire where they are given."""
        names = {key: target[key] for key in ("locationName", "queryName") if key in target}
        return {"shape": reference(target["shape"])} | names

    operations = {}
    for name in sorted(OPERATIONS):
        operation = model["operations"][name]
        operations[name] = {end: reference(operation[end]["shape"]) for end in ("input", "output") if end in operation}
    return Table(operations, shapes)


def main():
    model = botocore.loaders.Loader().load_service_model("ec2", "service-2", VERSION)
    table = compact(model)
    others = sorted(set(model["operations"]) - set(table.operations))

    def lines(entries):
        rows = (f"{json.dumps(key)}:{json.dumps(entries[key], separators=(',', ':'))}" for key in sorted(entries))
        return "{\n" + ",\n".join(rows) + "\n}"

    # A shape a line, so that the difference between two versions of the model can be read.
    PATH.write_text(
        f'{{"source":"botocore {botocore.__version__}",\n'
        f'"version":"{VERSION}",\n'
        f'"operations":{lines(table.operations)},\n'
        f'"others":{json.dumps(others, separators=(",", ":"))},\n'
        f'"shapes":{lines(table.shapes)}}}\n'
    )
    print(f"{PATH.name}: {len(table.operations)} operations, {len(others)} others, {len(table.shapes)} shapes, {PATH.stat().st_size} bytes")


if __name__ == "__main__":
    main()
