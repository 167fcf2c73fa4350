//! One good request for each action that the account serves; what stands in braces is of [`World`](crate::account::World).

/// The action, and its parameters.
pub const SAMPLES: &[(&str, &str)] = &[
    (
        "AuthorizeSecurityGroupEgress",
        "GroupId={group}&IpPermissions.1.IpProtocol=tcp&IpPermissions.1.FromPort=1&IpPermissions.1.ToPort=2\
         &IpPermissions.1.IpRanges.1.CidrIp=10.0.0.0/8",
    ),
    (
        "AuthorizeSecurityGroupIngress",
        "GroupId={group}&IpPermissions.1.IpProtocol=icmp&IpPermissions.1.FromPort=-1&IpPermissions.1.ToPort=-1\
         &IpPermissions.1.Ipv6Ranges.1.CidrIpv6=2001:db8::/32&TagSpecification.1.ResourceType=security-group-rule\
         &TagSpecification.1.Tag.1.Key=k",
    ),
    ("CopyImage", "Name=copied&SourceImageId={own-image}&SourceRegion=us-east-1&ClientToken=sample"),
    ("CopySnapshot", "SourceRegion=us-east-1&SourceSnapshotId={snapshot}"),
    ("CreateDefaultVpc", ""),
    ("CreateImage", "InstanceId={instance}&Name=fresh"),
    ("CreateKeyPair", "KeyName=fresh&KeyType=ed25519"),
    ("CreatePlacementGroup", "GroupName=fresh&Strategy=partition&PartitionCount=3"),
    ("CreateReplaceRootVolumeTask", "InstanceId={instance}&DeleteReplacedRootVolume=true&ClientToken=sample"),
    ("CreateSecurityGroup", "GroupName=fresh&GroupDescription=of+the+tests"),
    ("CreateSnapshot", "VolumeId={volume}"),
    ("CreateSnapshots", "InstanceSpecification.InstanceId={instance}"),
    ("CreateTags", "ResourceId.1={instance}&Tag.1.Key=k&Tag.1.Value=v"),
    ("DeleteKeyPair", "KeyName=k"),
    ("DeletePlacementGroup", "GroupName=spare"),
    ("DeleteSecurityGroup", "GroupId={spare-group}"),
    ("DeleteSnapshot", "SnapshotId={snapshot}"),
    ("DeleteTags", "ResourceId.1={instance}&Tag.1.Key=k"),
    ("DeleteVolume", "VolumeId={spare-volume}"),
    ("DeregisterImage", "ImageId={own-image}&DeleteAssociatedSnapshots=true"),
    ("DescribeAccountAttributes", ""),
    ("DescribeAvailabilityZones", ""),
    ("DescribeImageAttribute", "ImageId={image}&Attribute=description"),
    ("DescribeImages", ""),
    ("DescribeInstanceAttribute", "InstanceId={instance}&Attribute=userData"),
    ("DescribeInstanceCreditSpecifications", ""),
    ("DescribeInstanceStatus", "IncludeAllInstances=true"),
    ("DescribeInstanceTypeOfferings", ""),
    ("DescribeInstanceTypes", "InstanceType.1=t3.micro"),
    ("DescribeInstances", ""),
    ("DescribeInternetGateways", ""),
    ("DescribeKeyPairs", "IncludePublicKey=true"),
    ("DescribeNetworkInterfaces", ""),
    ("DescribePlacementGroups", "GroupName.1=spare"),
    ("DescribeRegions", ""),
    ("DescribeReplaceRootVolumeTasks", ""),
    ("DescribeRouteTables", ""),
    ("DescribeSecurityGroupRules", ""),
    ("DescribeSecurityGroups", ""),
    ("DescribeSnapshotAttribute", "SnapshotId={snapshot}&Attribute=createVolumePermission"),
    ("DescribeSnapshotTierStatus", ""),
    ("DescribeSnapshots", ""),
    ("DescribeSubnets", ""),
    ("DescribeTags", ""),
    ("DescribeVolumes", ""),
    ("DescribeVpcAttribute", "VpcId={vpc}&Attribute=enableDnsSupport"),
    ("DescribeVpcs", ""),
    ("DisableImage", "ImageId={own-image}"),
    ("DisableImageDeprecation", "ImageId={own-image}"),
    ("DisableImageDeregistrationProtection", "ImageId={own-image}"),
    ("EnableImage", "ImageId={own-image}"),
    ("EnableImageDeprecation", "ImageId={own-image}&DeprecateAt={tomorrow}"),
    ("EnableImageDeregistrationProtection", "ImageId={own-image}"),
    ("GetConsoleOutput", "InstanceId={instance}"),
    ("ImportKeyPair", "KeyName=fresh&PublicKeyMaterial={public-key}"),
    ("ModifyImageAttribute", "ImageId={own-image}&Description.Value=better"),
    ("ModifyInstanceAttribute", "InstanceId={instance}&DisableApiStop.Value=true"),
    ("ModifyInstanceMetadataOptions", "InstanceId={instance}&HttpTokens=required"),
    (
        "ModifySecurityGroupRules",
        "GroupId={group}&SecurityGroupRule.1.SecurityGroupRuleId={rule}&SecurityGroupRule.1.SecurityGroupRule.IpProtocol=tcp\
         &SecurityGroupRule.1.SecurityGroupRule.FromPort=22&SecurityGroupRule.1.SecurityGroupRule.ToPort=80\
         &SecurityGroupRule.1.SecurityGroupRule.CidrIpv4=10.0.0.0/8",
    ),
    ("ModifySnapshotAttribute", "SnapshotId={snapshot}&CreateVolumePermission.Add.1.UserId=123456789012"),
    ("ModifyVpcAttribute", "VpcId={vpc}&EnableDnsHostnames.Value=false"),
    ("RebootInstances", "InstanceId.1={instance}"),
    (
        "RegisterImage",
        "Name=registered&RootDeviceName=/dev/sda1&Architecture=x86_64&VirtualizationType=hvm\
         &BlockDeviceMapping.1.DeviceName=/dev/sda1&BlockDeviceMapping.1.Ebs.SnapshotId={snapshot}",
    ),
    ("ResetImageAttribute", "ImageId={own-image}&Attribute=launchPermission"),
    ("ResetSnapshotAttribute", "SnapshotId={snapshot}&Attribute=createVolumePermission"),
    (
        "RevokeSecurityGroupEgress",
        "GroupId={group}&IpPermissions.1.IpProtocol=-1&IpPermissions.1.IpRanges.1.CidrIp=0.0.0.0/0",
    ),
    ("RevokeSecurityGroupIngress", "GroupId={group}&SecurityGroupRuleId.1={rule}"),
    (
        "RunInstances",
        "ImageId={image}&InstanceType=t3.micro&MinCount=1&MaxCount=2&KeyName=k&UserData=aGVsbG8%3D&ClientToken=sample\
         &TagSpecification.1.ResourceType=instance&TagSpecification.1.Tag.1.Key=k",
    ),
    ("StartInstances", "InstanceId.1={instance}"),
    ("StopInstances", "InstanceId.1={instance}"),
    ("TerminateInstances", "InstanceId.1={instance}"),
    (
        "UpdateSecurityGroupRuleDescriptionsEgress",
        "GroupId={group}&IpPermissions.1.IpProtocol=-1&IpPermissions.1.IpRanges.1.CidrIp=0.0.0.0/0\
         &IpPermissions.1.IpRanges.1.Description=out",
    ),
    (
        "UpdateSecurityGroupRuleDescriptionsIngress",
        "GroupId={group}&SecurityGroupRuleDescription.1.SecurityGroupRuleId={rule}\
         &SecurityGroupRuleDescription.1.Description=in",
    ),
];
