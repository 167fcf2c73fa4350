//! The table of actions: name, function, and the parameters that are served.

use super::{
    Context, absent, account_attributes, console, dhcp_options, egress_only_gateway, elastic_address, image, instance,
    instance_type, internet_gateway, key_pair, launch_template, nat_gateway, network_acl, network_interface, peering,
    place, placement_group, request::only, root_volume, route_table, security_group, snapshot, spot, subnet, tags,
    volume, vpc,
};
use crate::{
    error::ApiError,
    wire::{self, Structure},
};

/// What answers an action.
type Function = fn(&mut Context<'_>, &Structure) -> Result<Structure, ApiError>;

/// An action that is served.
#[derive(Debug)]
pub(super) struct Action {
    pub(super) name: &'static str,
    pub(super) run: Function,
    /// The parameters that are served, besides DryRun. Others are refused by name, never ignored.
    parameters: &'static [&'static str],
}

const fn action(name: &'static str, run: Function, parameters: &'static [&'static str]) -> Action {
    Action { name, run, parameters }
}

const PERMISSIONS: &[&str] = &[
    "CidrIp",
    "FromPort",
    "GroupId",
    "GroupName",
    "IpPermissions",
    "IpProtocol",
    "SecurityGroupRuleIds",
    "SourceSecurityGroupName",
    "SourceSecurityGroupOwnerId",
    "TagSpecifications",
    "ToPort",
];

const ACL_ENTRY: &[&str] = &[
    "CidrBlock",
    "Egress",
    "IcmpTypeCode",
    "Ipv6CidrBlock",
    "NetworkAclId",
    "PortRange",
    "Protocol",
    "RuleAction",
    "RuleNumber",
];

const ROUTE: &[&str] = &[
    "DestinationCidrBlock",
    "DestinationIpv6CidrBlock",
    "EgressOnlyInternetGatewayId",
    "GatewayId",
    "InstanceId",
    "NatGatewayId",
    "NetworkInterfaceId",
    "RouteTableId",
    "VpcPeeringConnectionId",
];

/// What a Describe has where there is none of a kind.
const PAGES: &[&str] = &["Filters", "MaxResults", "NextToken"];

/// Every action, by name.
pub(super) const ACTIONS: &[Action] = &[
    action("AcceptVpcPeeringConnection", peering::accept, &["VpcPeeringConnectionId"]),
    action(
        "AllocateAddress",
        elastic_address::allocate,
        &["Domain", "NetworkBorderGroup", "PublicIpv4Pool", "TagSpecifications"],
    ),
    action(
        "AssignIpv6Addresses",
        network_interface::assign6,
        &["Ipv6AddressCount", "Ipv6Addresses", "NetworkInterfaceId"],
    ),
    action(
        "AssignPrivateIpAddresses",
        network_interface::assign,
        &["AllowReassignment", "NetworkInterfaceId", "PrivateIpAddresses", "SecondaryPrivateIpAddressCount"],
    ),
    action(
        "AssociateAddress",
        elastic_address::associate,
        &["AllocationId", "AllowReassociation", "InstanceId", "NetworkInterfaceId", "PrivateIpAddress", "PublicIp"],
    ),
    action("AssociateDhcpOptions", dhcp_options::associate, &["DhcpOptionsId", "VpcId"]),
    action("AssociateRouteTable", route_table::associate, &["RouteTableId", "SubnetId"]),
    action("AssociateSubnetCidrBlock", subnet::associate, &["Ipv6CidrBlock", "SubnetId"]),
    action(
        "AssociateVpcCidrBlock",
        vpc::associate,
        &["AmazonProvidedIpv6CidrBlock", "CidrBlock", "Ipv6CidrBlockNetworkBorderGroup", "VpcId"],
    ),
    action("AttachInternetGateway", internet_gateway::attach, &["InternetGatewayId", "VpcId"]),
    action(
        "AttachNetworkInterface",
        network_interface::attach,
        &["DeviceIndex", "InstanceId", "NetworkCardIndex", "NetworkInterfaceId"],
    ),
    action("AttachVolume", volume::attach::attach, &["Device", "InstanceId", "VolumeId"]),
    action("AuthorizeSecurityGroupEgress", security_group::authorize_egress, PERMISSIONS),
    action("AuthorizeSecurityGroupIngress", security_group::authorize_ingress, PERMISSIONS),
    action("CancelSpotInstanceRequests", spot::cancel, &["SpotInstanceRequestIds"]),
    action(
        "CopyImage",
        image::copy,
        &[
            "ClientToken",
            "CopyImageTags",
            "Description",
            "Encrypted",
            "KmsKeyId",
            "Name",
            "SourceImageId",
            "SourceRegion",
            "TagSpecifications",
        ],
    ),
    action(
        "CopySnapshot",
        snapshot::copy,
        &[
            "Description",
            "DestinationRegion",
            "Encrypted",
            "KmsKeyId",
            "PresignedUrl",
            "SourceRegion",
            "SourceSnapshotId",
            "TagSpecifications",
        ],
    ),
    action("CreateDefaultSubnet", subnet::create_default, &["AvailabilityZone", "AvailabilityZoneId"]),
    action("CreateDefaultVpc", vpc::create_default, &[]),
    action("CreateDhcpOptions", dhcp_options::create, &["DhcpConfigurations", "TagSpecifications"]),
    action(
        "CreateEgressOnlyInternetGateway",
        egress_only_gateway::create,
        &["ClientToken", "TagSpecifications", "VpcId"],
    ),
    action(
        "CreateImage",
        image::create,
        &[
            "BlockDeviceMappings",
            "BootModeOverride",
            "Description",
            "InstanceId",
            "Name",
            "NoReboot",
            "SnapshotLocation",
            "TagSpecifications",
        ],
    ),
    action("CreateInternetGateway", internet_gateway::create, &["TagSpecifications"]),
    action("CreateKeyPair", key_pair::create, &["KeyName", "KeyType", "KeyFormat", "TagSpecifications"]),
    action(
        "CreateLaunchTemplate",
        launch_template::create,
        &["ClientToken", "LaunchTemplateData", "LaunchTemplateName", "TagSpecifications", "VersionDescription"],
    ),
    action(
        "CreateLaunchTemplateVersion",
        launch_template::create_version,
        &[
            "ClientToken",
            "LaunchTemplateData",
            "LaunchTemplateId",
            "LaunchTemplateName",
            "SourceVersion",
            "VersionDescription",
        ],
    ),
    action(
        "CreateNatGateway",
        nat_gateway::create,
        &["AllocationId", "ClientToken", "ConnectivityType", "PrivateIpAddress", "SubnetId", "TagSpecifications"],
    ),
    action("CreateNetworkAcl", network_acl::create, &["ClientToken", "TagSpecifications", "VpcId"]),
    action("CreateNetworkAclEntry", network_acl::create_entry, ACL_ENTRY),
    action(
        "CreateNetworkInterface",
        network_interface::create,
        &[
            "ClientToken",
            "Description",
            "Groups",
            "InterfaceType",
            "Ipv6AddressCount",
            "Ipv6Addresses",
            "PrivateIpAddress",
            "PrivateIpAddresses",
            "SecondaryPrivateIpAddressCount",
            "SubnetId",
            "TagSpecifications",
        ],
    ),
    action(
        "CreatePlacementGroup",
        placement_group::create,
        &["GroupName", "PartitionCount", "SpreadLevel", "Strategy", "TagSpecifications"],
    ),
    action(
        "CreateReplaceRootVolumeTask",
        root_volume::create,
        &["ClientToken", "DeleteReplacedRootVolume", "ImageId", "InstanceId", "SnapshotId", "TagSpecifications"],
    ),
    action("CreateRoute", route_table::create_route, ROUTE),
    action("CreateRouteTable", route_table::create, &["ClientToken", "TagSpecifications", "VpcId"]),
    action("CreateSecurityGroup", security_group::create, &["Description", "GroupName", "VpcId", "TagSpecifications"]),
    action("CreateSnapshot", snapshot::create, &["Description", "Location", "TagSpecifications", "VolumeId"]),
    action(
        "CreateSnapshots",
        snapshot::create_many,
        &["CopyTagsFromSource", "Description", "InstanceSpecification", "Location", "TagSpecifications"],
    ),
    action(
        "CreateSubnet",
        subnet::create,
        &["AvailabilityZone", "AvailabilityZoneId", "CidrBlock", "Ipv6CidrBlock", "TagSpecifications", "VpcId"],
    ),
    action("CreateTags", tags::create, &["Resources", "Tags"]),
    action(
        "CreateVolume",
        volume::create,
        &[
            "AvailabilityZone",
            "AvailabilityZoneId",
            "ClientToken",
            "Encrypted",
            "Iops",
            "KmsKeyId",
            "Size",
            "SnapshotId",
            "TagSpecifications",
            "Throughput",
            "VolumeType",
        ],
    ),
    action(
        "CreateVpc",
        vpc::create,
        &[
            "AmazonProvidedIpv6CidrBlock",
            "CidrBlock",
            "InstanceTenancy",
            "Ipv6CidrBlockNetworkBorderGroup",
            "TagSpecifications",
        ],
    ),
    action(
        "CreateVpcPeeringConnection",
        peering::create,
        &["PeerOwnerId", "PeerRegion", "PeerVpcId", "TagSpecifications", "VpcId"],
    ),
    action("DeleteDhcpOptions", dhcp_options::delete, &["DhcpOptionsId"]),
    action("DeleteEgressOnlyInternetGateway", egress_only_gateway::delete, &["EgressOnlyInternetGatewayId"]),
    action("DeleteInternetGateway", internet_gateway::delete, &["InternetGatewayId"]),
    action("DeleteKeyPair", key_pair::delete, &["KeyName", "KeyPairId"]),
    action("DeleteLaunchTemplate", launch_template::delete, &["LaunchTemplateId", "LaunchTemplateName"]),
    action(
        "DeleteLaunchTemplateVersions",
        launch_template::delete_versions,
        &["LaunchTemplateId", "LaunchTemplateName", "Versions"],
    ),
    action("DeleteNatGateway", nat_gateway::delete, &["NatGatewayId"]),
    action("DeleteNetworkAcl", network_acl::delete, &["NetworkAclId"]),
    action("DeleteNetworkAclEntry", network_acl::delete_entry, &["Egress", "NetworkAclId", "RuleNumber"]),
    action("DeleteNetworkInterface", network_interface::delete_unused, &["NetworkInterfaceId"]),
    action("DeletePlacementGroup", placement_group::delete, &["GroupName"]),
    action(
        "DeleteRoute",
        route_table::delete_route,
        &["DestinationCidrBlock", "DestinationIpv6CidrBlock", "RouteTableId"],
    ),
    action("DeleteRouteTable", route_table::delete, &["RouteTableId"]),
    action("DeleteSecurityGroup", security_group::delete, &["GroupId", "GroupName"]),
    action("DeleteSnapshot", snapshot::delete, &["SnapshotId"]),
    action("DeleteSubnet", subnet::delete, &["SubnetId"]),
    action("DeleteTags", tags::delete, &["Resources", "Tags"]),
    action("DeleteVolume", volume::delete, &["VolumeId"]),
    action("DeleteVpc", vpc::delete, &["VpcId"]),
    action("DeleteVpcPeeringConnection", peering::delete, &["VpcPeeringConnectionId"]),
    action("DeregisterImage", image::deregister, &["DeleteAssociatedSnapshots", "ImageId"]),
    action("DescribeAccountAttributes", account_attributes::describe, &["AttributeNames"]),
    action("DescribeAddresses", elastic_address::describe, &["AllocationIds", "Filters", "PublicIps"]),
    action(
        "DescribeAddressesAttribute",
        elastic_address::describe_attribute,
        &["AllocationIds", "Attribute", "MaxResults", "NextToken"],
    ),
    action(
        "DescribeAvailabilityZones",
        place::describe_availability_zones,
        &["AllAvailabilityZones", "Filters", "ZoneIds", "ZoneNames"],
    ),
    action("DescribeCustomerGateways", absent::customer_gateways, &["Filters"]),
    action("DescribeDhcpOptions", dhcp_options::describe, &["DhcpOptionsIds", "Filters", "MaxResults", "NextToken"]),
    action(
        "DescribeEgressOnlyInternetGateways",
        egress_only_gateway::describe,
        &["EgressOnlyInternetGatewayIds", "Filters", "MaxResults", "NextToken"],
    ),
    action("DescribeFleets", absent::fleets, &["Filters", "FleetIds", "MaxResults", "NextToken"]),
    action("DescribeImageAttribute", image::describe_attribute, &["Attribute", "ImageId"]),
    action(
        "DescribeImages",
        image::describe,
        &[
            "ExecutableUsers",
            "Filters",
            "ImageIds",
            "IncludeDeprecated",
            "IncludeDisabled",
            "MaxResults",
            "NextToken",
            "Owners",
        ],
    ),
    action("DescribeInstanceAttribute", instance::attribute::describe, &["Attribute", "InstanceId"]),
    action(
        "DescribeInstanceCreditSpecifications",
        instance::credits::describe,
        &["Filters", "InstanceIds", "MaxResults", "NextToken"],
    ),
    action(
        "DescribeInstanceStatus",
        instance::status::describe,
        &["Filters", "IncludeAllInstances", "InstanceIds", "MaxResults", "NextToken"],
    ),
    action(
        "DescribeInstanceTypeOfferings",
        instance_type::describe_offerings,
        &["Filters", "LocationType", "MaxResults", "NextToken"],
    ),
    action("DescribeInstanceTypes", instance_type::describe, &["Filters", "InstanceTypes", "MaxResults", "NextToken"]),
    action("DescribeInstances", instance::describe::describe, &["Filters", "InstanceIds", "MaxResults", "NextToken"]),
    action(
        "DescribeInternetGateways",
        internet_gateway::describe,
        &["Filters", "InternetGatewayIds", "MaxResults", "NextToken"],
    ),
    action("DescribeIpv6Pools", absent::ipv6_pools, PAGES),
    action("DescribeKeyPairs", key_pair::describe, &["Filters", "IncludePublicKey", "KeyNames", "KeyPairIds"]),
    action(
        "DescribeLaunchTemplateVersions",
        launch_template::describe_versions,
        &[
            "Filters",
            "LaunchTemplateId",
            "LaunchTemplateName",
            "MaxResults",
            "MaxVersion",
            "MinVersion",
            "NextToken",
            "Versions",
        ],
    ),
    action(
        "DescribeLaunchTemplates",
        launch_template::describe,
        &["Filters", "LaunchTemplateIds", "LaunchTemplateNames", "MaxResults", "NextToken"],
    ),
    action("DescribeManagedPrefixLists", absent::managed_prefix_lists, PAGES),
    action("DescribeNatGateways", nat_gateway::describe, &["Filter", "MaxResults", "NatGatewayIds", "NextToken"]),
    action("DescribeNetworkAcls", network_acl::describe, &["Filters", "MaxResults", "NetworkAclIds", "NextToken"]),
    action(
        "DescribeNetworkInterfaceAttribute",
        network_interface::describe_attribute,
        &["Attribute", "NetworkInterfaceId"],
    ),
    action(
        "DescribeNetworkInterfaces",
        network_interface::describe,
        &["Filters", "MaxResults", "NetworkInterfaceIds", "NextToken"],
    ),
    action("DescribePlacementGroups", placement_group::describe, &["Filters", "GroupIds", "GroupNames"]),
    action("DescribePrefixLists", absent::prefix_lists, PAGES),
    action("DescribeRegions", place::describe_regions, &["AllRegions", "Filters", "RegionNames"]),
    action(
        "DescribeReplaceRootVolumeTasks",
        root_volume::describe,
        &["Filters", "MaxResults", "NextToken", "ReplaceRootVolumeTaskIds"],
    ),
    action("DescribeRouteTables", route_table::describe, &["Filters", "MaxResults", "NextToken", "RouteTableIds"]),
    action(
        "DescribeSecurityGroupRules",
        security_group::describe_rules,
        &["Filters", "MaxResults", "NextToken", "SecurityGroupRuleIds"],
    ),
    action(
        "DescribeSecurityGroups",
        security_group::describe,
        &["Filters", "GroupIds", "GroupNames", "MaxResults", "NextToken"],
    ),
    action("DescribeSnapshotAttribute", snapshot::describe_attribute, &["Attribute", "SnapshotId"]),
    action("DescribeSnapshotTierStatus", snapshot::describe_tiers, &["Filters", "MaxResults", "NextToken"]),
    action(
        "DescribeSnapshots",
        snapshot::describe,
        &["Filters", "MaxResults", "NextToken", "OwnerIds", "RestorableByUserIds", "SnapshotIds"],
    ),
    action("DescribeSpotDatafeedSubscription", absent::spot_data_feed, &[]),
    action(
        "DescribeSpotFleetRequests",
        absent::spot_fleet_requests,
        &["MaxResults", "NextToken", "SpotFleetRequestIds"],
    ),
    action(
        "DescribeSpotInstanceRequests",
        spot::describe,
        &["Filters", "MaxResults", "NextToken", "SpotInstanceRequestIds"],
    ),
    action(
        "DescribeSpotPriceHistory",
        spot::describe_history,
        &[
            "AvailabilityZone",
            "AvailabilityZoneId",
            "EndTime",
            "Filters",
            "InstanceTypes",
            "MaxResults",
            "NextToken",
            "ProductDescriptions",
            "StartTime",
        ],
    ),
    action("DescribeSubnets", subnet::describe, &["Filters", "MaxResults", "NextToken", "SubnetIds"]),
    action("DescribeTags", tags::describe, &["Filters", "MaxResults", "NextToken"]),
    action("DescribeTransitGateways", absent::transit_gateways, PAGES),
    action("DescribeVolumeAttribute", volume::status::describe_attribute, &["Attribute", "VolumeId"]),
    action("DescribeVolumeStatus", volume::status::describe, &["Filters", "MaxResults", "NextToken", "VolumeIds"]),
    action("DescribeVolumes", volume::describe, &["Filters", "MaxResults", "NextToken", "VolumeIds"]),
    action(
        "DescribeVolumesModifications",
        volume::modify::describe,
        &["Filters", "MaxResults", "NextToken", "VolumeIds"],
    ),
    action("DescribeVpcAttribute", vpc::describe_attribute, &["Attribute", "VpcId"]),
    action("DescribeVpcClassicLink", absent::classic_links, &["Filters", "VpcIds"]),
    action("DescribeVpcClassicLinkDnsSupport", absent::classic_link_names, &["MaxResults", "NextToken", "VpcIds"]),
    action("DescribeVpcEndpointServices", absent::endpoint_services, PAGES),
    action("DescribeVpcEndpoints", absent::endpoints, PAGES),
    action(
        "DescribeVpcPeeringConnections",
        peering::describe,
        &["Filters", "MaxResults", "NextToken", "VpcPeeringConnectionIds"],
    ),
    action("DescribeVpcs", vpc::describe, &["Filters", "MaxResults", "NextToken", "VpcIds"]),
    action("DescribeVpnConnections", absent::vpn_connections, &["Filters"]),
    action("DescribeVpnGateways", absent::vpn_gateways, &["Filters"]),
    action("DetachInternetGateway", internet_gateway::detach, &["InternetGatewayId", "VpcId"]),
    action("DetachNetworkInterface", network_interface::detach, &["AttachmentId", "Force"]),
    action("DetachVolume", volume::attach::detach, &["Device", "Force", "InstanceId", "VolumeId"]),
    action("DisableEbsEncryptionByDefault", volume::encryption::disable, &[]),
    action("DisableImage", image::disable, &["ImageId"]),
    action("DisableImageDeprecation", image::disable_deprecation, &["ImageId"]),
    action("DisableImageDeregistrationProtection", image::disable_protection, &["ImageId"]),
    action("DisassociateAddress", elastic_address::disassociate, &["AssociationId", "PublicIp"]),
    action("DisassociateRouteTable", route_table::disassociate, &["AssociationId"]),
    action("DisassociateSubnetCidrBlock", subnet::disassociate, &["AssociationId"]),
    action("DisassociateVpcCidrBlock", vpc::disassociate, &["AssociationId"]),
    action("EnableEbsEncryptionByDefault", volume::encryption::enable, &[]),
    action("EnableImage", image::enable, &["ImageId"]),
    action("EnableImageDeprecation", image::deprecate, &["DeprecateAt", "ImageId"]),
    action("EnableImageDeregistrationProtection", image::enable_protection, &["ImageId", "WithCooldown"]),
    action("EnableVolumeIO", volume::status::enable_io, &["VolumeId"]),
    action("GetAssociatedIpv6PoolCidrs", absent::ipv6_pool_ranges, &["MaxResults", "NextToken", "PoolId"]),
    action("GetConsoleOutput", console::get_output, &["InstanceId", "Latest"]),
    action("GetEbsDefaultKmsKeyId", volume::encryption::get_key, &[]),
    action("GetEbsEncryptionByDefault", volume::encryption::get, &[]),
    action("GetLaunchTemplateData", launch_template::get_data, &["InstanceId"]),
    action("ImportKeyPair", key_pair::import, &["KeyName", "PublicKeyMaterial", "TagSpecifications"]),
    action("ModifyAddressAttribute", elastic_address::modify_attribute, &["AllocationId", "DomainName"]),
    action("ModifyEbsDefaultKmsKeyId", volume::encryption::modify_key, &["KmsKeyId"]),
    action(
        "ModifyImageAttribute",
        image::modify_attribute,
        &[
            "Attribute",
            "Description",
            "ImageId",
            "ImdsSupport",
            "LaunchPermission",
            "OperationType",
            "UserGroups",
            "UserIds",
            "Value",
        ],
    ),
    action(
        "ModifyInstanceAttribute",
        instance::attribute::modify,
        &[
            "Attribute",
            "BlockDeviceMappings",
            "DisableApiStop",
            "DisableApiTermination",
            "EbsOptimized",
            "Groups",
            "InstanceId",
            "InstanceInitiatedShutdownBehavior",
            "InstanceType",
            "SourceDestCheck",
            "UserData",
            "Value",
        ],
    ),
    action(
        "ModifyInstanceMetadataOptions",
        instance::metadata_options::modify,
        &[
            "HttpEndpoint",
            "HttpProtocolIpv6",
            "HttpPutResponseHopLimit",
            "HttpTokens",
            "InstanceId",
            "InstanceMetadataTags",
        ],
    ),
    action(
        "ModifyLaunchTemplate",
        launch_template::modify,
        &["ClientToken", "DefaultVersion", "LaunchTemplateId", "LaunchTemplateName"],
    ),
    action(
        "ModifyNetworkInterfaceAttribute",
        network_interface::modify_attribute,
        &["AssociatePublicIpAddress", "Attachment", "Description", "Groups", "NetworkInterfaceId", "SourceDestCheck"],
    ),
    action("ModifySecurityGroupRules", security_group::modify_rules, &["GroupId", "SecurityGroupRules"]),
    action(
        "ModifySnapshotAttribute",
        snapshot::modify_attribute,
        &["Attribute", "CreateVolumePermission", "GroupNames", "OperationType", "SnapshotId", "UserIds"],
    ),
    action(
        "ModifySubnetAttribute",
        subnet::modify_attribute,
        &[
            "AssignIpv6AddressOnCreation",
            "EnableDns64",
            "EnableResourceNameDnsAAAARecordOnLaunch",
            "EnableResourceNameDnsARecordOnLaunch",
            "MapPublicIpOnLaunch",
            "PrivateDnsHostnameTypeOnLaunch",
            "SubnetId",
        ],
    ),
    action("ModifyVolume", volume::modify::modify, &["Iops", "Size", "Throughput", "VolumeId", "VolumeType"]),
    action("ModifyVolumeAttribute", volume::status::modify_attribute, &["AutoEnableIO", "VolumeId"]),
    action(
        "ModifyVpcAttribute",
        vpc::modify_attribute,
        &["EnableDnsHostnames", "EnableDnsSupport", "EnableNetworkAddressUsageMetrics", "VpcId"],
    ),
    action(
        "ModifyVpcPeeringConnectionOptions",
        peering::modify_options,
        &["AccepterPeeringConnectionOptions", "RequesterPeeringConnectionOptions", "VpcPeeringConnectionId"],
    ),
    action("RebootInstances", instance::run::reboot, &["InstanceIds"]),
    action(
        "RegisterImage",
        image::register,
        &[
            "Architecture",
            "BlockDeviceMappings",
            "BootMode",
            "Description",
            "EnaSupport",
            "ImdsSupport",
            "Name",
            "RootDeviceName",
            "SriovNetSupport",
            "TagSpecifications",
            "TpmSupport",
            "VirtualizationType",
        ],
    ),
    action("RejectVpcPeeringConnection", peering::reject, &["VpcPeeringConnectionId"]),
    action("ReleaseAddress", elastic_address::release, &["AllocationId", "NetworkBorderGroup", "PublicIp"]),
    action("ReplaceNetworkAclAssociation", network_acl::replace_association, &["AssociationId", "NetworkAclId"]),
    action("ReplaceNetworkAclEntry", network_acl::replace_entry, ACL_ENTRY),
    action("ReplaceRoute", route_table::replace_route, ROUTE),
    action("ReplaceRouteTableAssociation", route_table::replace_association, &["AssociationId", "RouteTableId"]),
    action(
        "RequestSpotInstances",
        spot::request,
        &[
            "ClientToken",
            "InstanceCount",
            "InstanceInterruptionBehavior",
            "LaunchSpecification",
            "SpotPrice",
            "TagSpecifications",
            "Type",
            "ValidFrom",
            "ValidUntil",
        ],
    ),
    action("ResetAddressAttribute", elastic_address::reset_attribute, &["AllocationId", "Attribute"]),
    action("ResetEbsDefaultKmsKeyId", volume::encryption::reset_key, &[]),
    action("ResetImageAttribute", image::reset_attribute, &["Attribute", "ImageId"]),
    action(
        "ResetNetworkInterfaceAttribute",
        network_interface::reset_attribute,
        &["NetworkInterfaceId", "SourceDestCheck"],
    ),
    action("ResetSnapshotAttribute", snapshot::reset_attribute, &["Attribute", "SnapshotId"]),
    action("RevokeSecurityGroupEgress", security_group::revoke_egress, PERMISSIONS),
    action("RevokeSecurityGroupIngress", security_group::revoke_ingress, PERMISSIONS),
    action("RunInstances", instance::run::run, instance::PARAMETERS),
    action("StartInstances", instance::run::start, &["InstanceIds"]),
    action("StopInstances", instance::run::stop, &["Force", "Hibernate", "InstanceIds", "SkipOsShutdown"]),
    action("TerminateInstances", instance::run::terminate, &["Force", "InstanceIds", "SkipOsShutdown"]),
    action("UnassignIpv6Addresses", network_interface::unassign6, &["Ipv6Addresses", "NetworkInterfaceId"]),
    action("UnassignPrivateIpAddresses", network_interface::unassign, &["NetworkInterfaceId", "PrivateIpAddresses"]),
    action(
        "UpdateSecurityGroupRuleDescriptionsEgress",
        security_group::update_egress_descriptions,
        &["GroupId", "GroupName", "IpPermissions", "SecurityGroupRuleDescriptions"],
    ),
    action(
        "UpdateSecurityGroupRuleDescriptionsIngress",
        security_group::update_ingress_descriptions,
        &["GroupId", "GroupName", "IpPermissions", "SecurityGroupRuleDescriptions"],
    ),
];

/// The action of a name.
pub(super) fn find(name: &str) -> Result<&'static Action, ApiError> {
    let index = ACTIONS.binary_search_by(|action| action.name.cmp(name)).map_err(|_| wire::unserved(name))?;
    Ok(&ACTIONS[index])
}

impl Action {
    /// The parameters that are served.
    #[cfg(test)]
    pub(super) fn parameters(&self) -> &'static [&'static str] {
        self.parameters
    }

    /// Refuses parameters that are not served.
    pub(super) fn check(&self, input: &Structure) -> Result<(), ApiError> {
        let unserved = input.members().filter(|(name, _)| *name != "DryRun");
        let mut rest = Structure::new();
        for (name, value) in unserved.filter(|(name, _)| !self.parameters.contains(name)) {
            rest.set(name.to_owned(), value.clone());
        }
        only(&rest, "", &[])
    }
}
