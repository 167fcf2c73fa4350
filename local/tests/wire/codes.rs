//! Every row of the table of error codes, provoked.

use crate::{
    account::{LAUNCH, World},
    fixture::{Answer, Endpoint, Signed, session_key},
};
use ec2_local::{
    account::{Capacity, Quotas, Settings},
    error::Code,
    wire::Session,
};
use std::{collections::BTreeSet, io::Write, net::Shutdown};

/// Requests to the account: all are answered but the last one, which is refused with the code.
const ASKED: &[(Code, &[&str])] = &[
    (
        Code::AttachmentLimitExceeded,
        &["Action=AttachNetworkInterface&NetworkInterfaceId={spare-nic}&InstanceId={second}&DeviceIndex=2"],
    ),
    (Code::CannotDelete, &["Action=DeleteSecurityGroup&GroupId={default}"]),
    (Code::DefaultVpcAlreadyExists, &["Action=CreateDefaultVpc"]),
    (Code::DependencyViolation, &["Action=DeleteSecurityGroup&GroupId={group}"]),
    (Code::DryRunOperation, &["Action=TerminateInstances&InstanceId.1={instance}&DryRun=true"]),
    (Code::IdempotentInstanceTerminated, &["Action=TerminateInstances&InstanceId.1={instance}", LAUNCH]),
    (Code::IdempotentParameterMismatch, &["{launch}&ClientToken=made"]),
    (
        Code::IncorrectModificationState,
        &["Action=ModifyVolume&VolumeId={volume}&Size=10", "Action=ModifyVolume&VolumeId={volume}&Size=11"],
    ),
    (Code::IncorrectState, &["Action=DetachVolume&VolumeId={spare-volume}"]),
    (
        Code::IncorrectInstanceState,
        &["Action=TerminateInstances&InstanceId.1={instance}", "Action=StartInstances&InstanceId.1={instance}"],
    ),
    (
        Code::InsufficientFreeAddressesInSubnet,
        &["Action=RunInstances&ImageId={image}&InstanceType=t3.micro&MinCount=5000&MaxCount=5000"],
    ),
    (
        Code::InstanceCreditSpecificationNotSupported,
        &["Action=RunInstances&ImageId={image}&InstanceType=m5.large&MinCount=1&MaxCount=1\
           &CreditSpecification.CpuCredits=unlimited"],
    ),
    (Code::InvalidAction, &["Action=Fly"]),
    (Code::InvalidAddressNotFound, &["Action=DescribeAddresses&PublicIp.1=127.9.9.9"]),
    (Code::InvalidAllocationIdNotFound, &["Action=ReleaseAddress&AllocationId=eipalloc-0123456789abcdef0"]),
    (Code::InvalidAssociationIdNotFound, &["Action=DisassociateAddress&AssociationId=eipassoc-0123456789abcdef0"]),
    (Code::InvalidAttachmentIdNotFound, &["Action=DetachNetworkInterface&AttachmentId=eni-attach-0123456789abcdef0"]),
    (Code::InvalidAmiIdMalformed, &["Action=DescribeImages&ImageId.1=debian"]),
    (Code::InvalidAmiIdNotFound, &["Action=DescribeImages&ImageId.1=ami-0123456789abcdef0"]),
    (
        Code::InvalidAmiIdUnavailable,
        &[
            "Action=DisableImage&ImageId={own-image}",
            "Action=ModifyImageAttribute&ImageId={own-image}&Description.Value=x",
        ],
    ),
    (
        Code::SsmInvalidParameter,
        &["Action=RunInstances&ImageId=resolve:ssm:/aws/service/ec2-local/nothing&MinCount=1&MaxCount=1"],
    ),
    (Code::InvalidAmiNameMalformed, &["Action=CreateImage&InstanceId={instance}&Name=x"]),
    (Code::InvalidAmiNameDuplicate, &["Action=CreateImage&InstanceId={instance}&Name=golden"]),
    (
        Code::InvalidAmiAttributeItemValue,
        &["Action=ModifyImageAttribute&ImageId={own-image}&LaunchPermission.Add.1.UserId=me"],
    ),
    (Code::InvalidSnapshotInUse, &["Action=DeleteSnapshot&SnapshotId={image-snapshot}"]),
    (Code::InvalidAttachmentNotFound, &["Action=DetachVolume&VolumeId={attached-volume}&Device=/dev/sdy"]),
    (Code::InvalidBlockDeviceMapping, &["{launch}&BlockDeviceMapping.1.Ebs.VolumeSize=9"]),
    (Code::InvalidCidrBlockInUse, &["Action=DisassociateVpcCidrBlock&AssociationId={vpc-ipv6-range}"]),
    (
        Code::InvalidEgressOnlyInternetGatewayIdMalformed,
        &["Action=DeleteEgressOnlyInternetGateway&EgressOnlyInternetGatewayId=mine"],
    ),
    (
        Code::InvalidEgressOnlyInternetGatewayIdNotFound,
        &["Action=DeleteEgressOnlyInternetGateway&EgressOnlyInternetGatewayId=eigw-0123456789abcdef0"],
    ),
    (Code::InvalidSubnetCidrBlockAssociationIdMalformed, &["Action=DisassociateSubnetCidrBlock&AssociationId=mine"]),
    (
        Code::InvalidSubnetCidrBlockAssociationIdNotFound,
        &["Action=DisassociateSubnetCidrBlock&AssociationId=subnet-cidr-assoc-0123456789abcdef0"],
    ),
    (Code::InvalidGroupDuplicate, &["Action=CreateSecurityGroup&GroupName=g&GroupDescription=again"]),
    (Code::InvalidGroupIdMalformed, &["Action=DescribeSecurityGroups&GroupId.1=g"]),
    (Code::InvalidGroupNotFound, &["Action=DescribeSecurityGroups&GroupId.1=sg-0123456789abcdef0"]),
    (Code::InvalidGroupReserved, &["Action=CreateSecurityGroup&GroupName=default&GroupDescription=mine"]),
    (Code::InvalidId, &["Action=CreateTags&ResourceId.1=mine&Tag.1.Key=k"]),
    (
        Code::InvalidInstanceAttributeValue,
        &["Action=ModifyInstanceAttribute&InstanceId={instance}&InstanceType.Value=t9.huge"],
    ),
    (Code::InvalidInstanceId, &["Action=AssociateAddress&AllocationId={allocation}&InstanceId={second}"]),
    (Code::InvalidInstanceIdMalformed, &["Action=DescribeInstances&InstanceId.1=mine"]),
    (Code::InvalidInstanceIdNotFound, &["Action=DescribeInstances&InstanceId.1=i-0123456789abcdef0"]),
    (Code::InvalidInstanceType, &["Action=DescribeInstanceTypes&InstanceType.1=t9.huge"]),
    (Code::InvalidInternetGatewayIdMalformed, &["Action=DescribeInternetGateways&InternetGatewayId.1=mine"]),
    (
        Code::InvalidInternetGatewayIdNotFound,
        &["Action=DescribeInternetGateways&InternetGatewayId.1=igw-0123456789abcdef0"],
    ),
    (Code::InvalidIpAddressInUse, &["{launch}&PrivateIpAddress={address}"]),
    (Code::InvalidKeyFormat, &["Action=ImportKeyPair&KeyName=x&PublicKeyMaterial=aGVsbG8="]),
    (Code::InvalidKeyPairDuplicate, &["Action=CreateKeyPair&KeyName=k"]),
    (Code::InvalidKeyPairMalformed, &["Action=DescribeKeyPairs&KeyPairId.1=k"]),
    (Code::InvalidKeyPairNotFound, &["{launch}&KeyName=lost"]),
    (Code::InvalidNetworkInterfaceAttachmentIdMalformed, &["Action=DetachNetworkInterface&AttachmentId=mine"]),
    (
        Code::InvalidNetworkInterfaceInUse,
        &["Action=AttachNetworkInterface&NetworkInterfaceId={extra-nic}&InstanceId={instance}&DeviceIndex=1"],
    ),
    (Code::InvalidNetworkInterfaceIdMalformed, &["Action=DescribeNetworkInterfaces&NetworkInterfaceId.1=mine"]),
    (
        Code::InvalidNetworkInterfaceIdNotFound,
        &["Action=DescribeNetworkInterfaces&NetworkInterfaceId.1=eni-0123456789abcdef0"],
    ),
    (Code::InvalidNextToken, &["Action=DescribeInstances&NextToken=next"]),
    (Code::InvalidParameterCombination, &["Action=DescribeInstances&InstanceId.1={instance}&MaxResults=5"]),
    (Code::InvalidParameterValue, &["Action=DescribeVpcs&Filter.1.Name=colour&Filter.1.Value.1=red"]),
    (Code::InvalidParameterDependency, &["Action=CreateVolume&AvailabilityZone=us-east-1a&Size=1&KmsKeyId=alias/mine"]),
    (
        Code::InvalidPermissionDuplicate,
        &[
            "Action=AuthorizeSecurityGroupIngress&GroupId={group}&IpProtocol=tcp&FromPort=22&ToPort=22&CidrIp=10.0.0.0/8",
        ],
    ),
    (
        Code::InvalidPermissionNotFound,
        &["Action=UpdateSecurityGroupRuleDescriptionsIngress&GroupId={group}&IpPermissions.1.IpProtocol=tcp\
           &IpPermissions.1.FromPort=1&IpPermissions.1.ToPort=2&IpPermissions.1.IpRanges.1.CidrIp=10.0.0.0/8"],
    ),
    (
        Code::InvalidPlacementGroupDuplicate,
        &["Action=CreatePlacementGroup&GroupName=p", "Action=CreatePlacementGroup&GroupName=p&Strategy=spread"],
    ),
    (
        Code::InvalidPlacementGroupInUse,
        &["{launch}&Placement.GroupName=spare", "Action=DeletePlacementGroup&GroupName=spare"],
    ),
    (
        Code::InvalidSpotInstanceRequestIdMalformed,
        &["Action=DescribeSpotInstanceRequests&SpotInstanceRequestId.1=mine"],
    ),
    (
        Code::InvalidSpotInstanceRequestIdNotFound,
        &["Action=CancelSpotInstanceRequests&SpotInstanceRequestId.1=sir-0123456789abcdef0"],
    ),
    (
        Code::SpotMaxPriceTooLow,
        &["{launch}&InstanceMarketOptions.MarketType=spot&InstanceMarketOptions.SpotOptions.MaxPrice=0.001"],
    ),
    (
        Code::InvalidTime,
        &["Action=RequestSpotInstances&LaunchSpecification.ImageId={image}&LaunchSpecification.InstanceType=t3.micro\
           &ValidUntil=2020-01-01T00:00:00Z"],
    ),
    (Code::InvalidSpotDatafeedNotFound, &["Action=DescribeSpotDatafeedSubscription"]),
    (Code::InvalidSpotFleetRequestIdMalformed, &["Action=DescribeSpotFleetRequests&SpotFleetRequestId.1=mine"]),
    (
        Code::InvalidSpotFleetRequestIdNotFound,
        &["Action=DescribeSpotFleetRequests&SpotFleetRequestId.1=sfr-01234567-89ab-cdef-0123-456789abcdef"],
    ),
    (Code::InvalidFleetIdNotFound, &["Action=DescribeFleets&FleetId.1=fleet-01234567-89ab-cdef-0123-456789abcdef"]),
    (Code::InvalidLaunchTemplateIdMalformed, &["Action=DescribeLaunchTemplates&LaunchTemplateId.1=mine"]),
    (
        Code::InvalidLaunchTemplateIdNotFound,
        &["Action=DescribeLaunchTemplates&LaunchTemplateId.1=lt-0123456789abcdef0"],
    ),
    (
        Code::InvalidLaunchTemplateIdVersionNotFound,
        &["{launch}&LaunchTemplate.LaunchTemplateId={template}&LaunchTemplate.Version=3"],
    ),
    (
        Code::InvalidLaunchTemplateNameAlreadyExists,
        &["Action=CreateLaunchTemplate&LaunchTemplateName=made&LaunchTemplateData.InstanceType=t3.micro"],
    ),
    (
        Code::InvalidLaunchTemplateNameMalformed,
        &["Action=CreateLaunchTemplate&LaunchTemplateName=a+b&LaunchTemplateData.InstanceType=t3.micro"],
    ),
    (Code::InvalidLaunchTemplateNameNotFound, &["Action=DeleteLaunchTemplate&LaunchTemplateName=lost"]),
    (Code::InvalidPlacementGroupUnknown, &["Action=DeletePlacementGroup&GroupName=lost"]),
    (Code::InvalidReservationIdNotFound, &["Action=CreateTags&ResourceId.1=r-0123456789abcdef0&Tag.1.Key=k"]),
    (Code::InvalidRouteTableIdMalformed, &["Action=DescribeRouteTables&RouteTableId.1=mine"]),
    (Code::InvalidRouteTableIdNotFound, &["Action=DescribeRouteTables&RouteTableId.1=rtb-0123456789abcdef0"]),
    (Code::InvalidSecurityGroupRuleIdMalformed, &["Action=DescribeSecurityGroupRules&SecurityGroupRuleId.1=mine"]),
    (
        Code::InvalidSecurityGroupRuleIdNotFound,
        &["Action=DescribeSecurityGroupRules&SecurityGroupRuleId.1=sgr-0123456789abcdef0"],
    ),
    (
        Code::InvalidSnapshotIdMalformed,
        &["{launch}&BlockDeviceMapping.1.DeviceName=/dev/sdf&BlockDeviceMapping.1.Ebs.SnapshotId=mine"],
    ),
    (
        Code::InvalidSnapshotNotFound,
        &[
            "{launch}&BlockDeviceMapping.1.DeviceName=/dev/sdf&BlockDeviceMapping.1.Ebs.SnapshotId=snap-0123456789abcdef0",
        ],
    ),
    (Code::InvalidSubnetIdMalformed, &["Action=DescribeSubnets&SubnetId.1=mine"]),
    (Code::InvalidSubnetIdNotFound, &["Action=DescribeSubnets&SubnetId.1=subnet-0123456789abcdef0"]),
    (Code::InvalidUserIdMalformed, &["Action=DescribeImages&Owner.1=me"]),
    (Code::InvalidVolumeIdMalformed, &["Action=DescribeVolumes&VolumeId.1=mine"]),
    (Code::InvalidVolumeNotFound, &["Action=DeleteVolume&VolumeId=vol-0123456789abcdef0"]),
    (Code::InvalidVolumeModificationNotFound, &["Action=DescribeVolumesModifications&VolumeId.1={volume}"]),
    (
        Code::InvalidVolumeZoneMismatch,
        &["Action=AttachVolume&VolumeId={elsewhere-volume}&InstanceId={instance}&Device=/dev/sdf"],
    ),
    (Code::InvalidVpcIdMalformed, &["Action=DescribeVpcs&VpcId.1=mine"]),
    (Code::InvalidVpcIdNotFound, &["Action=DescribeVpcs&VpcId.1=vpc-0123456789abcdef0"]),
    (Code::InvalidZoneNotFound, &["Action=CreateVolume&AvailabilityZone=us-east-1z&Size=1"]),
    (Code::MalformedQueryString, &["Action=%zz"]),
    (Code::MissingAction, &["InstanceId.1={instance}"]),
    (Code::MissingParameter, &["Action=RebootInstances"]),
    (
        Code::OperationNotPermitted,
        &[
            "Action=ModifyInstanceAttribute&InstanceId={instance}&DisableApiTermination.Value=true",
            "Action=TerminateInstances&InstanceId.1={instance}",
        ],
    ),
    (
        Code::PrivateIpAddressLimitExceeded,
        &["Action=AssignPrivateIpAddresses&NetworkInterfaceId={nic}&SecondaryPrivateIpAddressCount=9"],
    ),
    (
        Code::ResourceAlreadyAssociated,
        &["Action=AssociateAddress&AllocationId={bound-allocation}&NetworkInterfaceId={nic}&AllowReassociation=false"],
    ),
    (Code::UnknownParameter, &["Action=DescribeVpcs&Colour=red"]),
    (
        Code::UnknownVolumeType,
        &["{launch}&BlockDeviceMapping.1.DeviceName=/dev/sda1&BlockDeviceMapping.1.Ebs.VolumeType=gp9"],
    ),
    (Code::UnsupportedOperation, &["{launch}&KernelId=aki-12345678"]),
    (
        Code::UnsupportedInstanceAttribute,
        &["Action=ModifyInstanceAttribute&InstanceId={instance}&Attribute=rootDeviceName&Value=/dev/sda1"],
    ),
    (Code::UnsupportedHibernationConfiguration, &["Action=StopInstances&InstanceId.1={instance}&Hibernate=true"]),
    (Code::VolumeInUse, &["Action=DeleteVolume&VolumeId={volume}"]),
    (Code::GatewayNotAttached, &["Action=DetachInternetGateway&InternetGatewayId={spare-gateway}&VpcId={made-vpc}"]),
    (
        Code::InvalidNetworkAclEntryNotFound,
        &["Action=DeleteNetworkAclEntry&NetworkAclId={spare-acl}&RuleNumber=7&Egress=true"],
    ),
    (Code::InvalidNetworkAclIdMalformed, &["Action=DescribeNetworkAcls&NetworkAclId.1=mine"]),
    (Code::InvalidNetworkAclIdNotFound, &["Action=DescribeNetworkAcls&NetworkAclId.1=acl-0123456789abcdef0"]),
    (Code::InvalidParameter, &["{launch}&SubnetId={made-subnet}&SecurityGroupId.1={group}"]),
    (Code::InvalidRouteNotFound, &["Action=DeleteRoute&RouteTableId={spare-table}&DestinationCidrBlock=1.2.3.4/32"]),
    (Code::InvalidSubnetConflict, &["Action=CreateSubnet&VpcId={made-vpc}&CidrBlock=10.0.0.0/25"]),
    (Code::InvalidSubnetRange, &["Action=CreateSubnet&VpcId={made-vpc}&CidrBlock=172.16.0.0/24"]),
    (
        Code::InvalidVpcCidrBlockAssociationIdNotFound,
        &["Action=DisassociateVpcCidrBlock&AssociationId=vpc-cidr-assoc-0123456789abcdef0"],
    ),
    (Code::InvalidVpcRange, &["Action=CreateVpc&CidrBlock=10.0.0.0/8"]),
    (
        Code::NetworkAclEntryAlreadyExists,
        &[
            "Action=CreateNetworkAclEntry&NetworkAclId={spare-acl}&RuleNumber=100&Protocol=-1&RuleAction=deny&Egress=false\
           &CidrBlock=0.0.0.0/0",
        ],
    ),
    (
        Code::RouteAlreadyExists,
        &["Action=CreateRoute&RouteTableId={spare-table}&DestinationCidrBlock=192.0.2.0/24&GatewayId={gateway}"],
    ),
    (Code::DefaultSubnetAlreadyExists, &["Action=CreateDefaultSubnet&AvailabilityZone=us-east-1a"]),
    (Code::InvalidDhcpOptionIdNotFound, &["Action=DescribeDhcpOptions&DhcpOptionsId.1=dopt-0123456789abcdef0"]),
    (Code::InvalidDhcpOptionsIdMalformed, &["Action=DescribeDhcpOptions&DhcpOptionsId.1=mine"]),
    (
        Code::InvalidStateTransition,
        &[
            "Action=RejectVpcPeeringConnection&VpcPeeringConnectionId={peering}",
            "Action=AcceptVpcPeeringConnection&VpcPeeringConnectionId={peering}",
        ],
    ),
    (
        Code::InvalidVpcPeeringConnectionIdMalformed,
        &["Action=DescribeVpcPeeringConnections&VpcPeeringConnectionId.1=mine"],
    ),
    (
        Code::InvalidVpcPeeringConnectionIdNotFound,
        &["Action=DescribeVpcPeeringConnections&VpcPeeringConnectionId.1=pcx-0123456789abcdef0"],
    ),
    (Code::NatGatewayMalformed, &["Action=DescribeNatGateways&NatGatewayId.1=mine"]),
    (Code::NatGatewayNotFound, &["Action=DescribeNatGateways&NatGatewayId.1=nat-0123456789abcdef0"]),
    (Code::VpcPeeringConnectionAlreadyExists, &["Action=CreateVpcPeeringConnection&VpcId={made-vpc}&PeerVpcId={vpc}"]),
    (
        Code::InvalidInstanceCreditSpecificationDuplicateInstanceId,
        &["Action=ModifyInstanceCreditSpecification&InstanceCreditSpecification.1.InstanceId={instance}\
           &InstanceCreditSpecification.1.CpuCredits=standard&InstanceCreditSpecification.2.InstanceId={instance}\
           &InstanceCreditSpecification.2.CpuCredits=standard"],
    ),
    (Code::InvalidInstanceState, &["Action=ModifyInstancePlacement&InstanceId={instance}&Tenancy=default"]),
    (Code::InvalidState, &["Action=MonitorInstances&InstanceId.1={terminated}"]),
    (Code::InvalidBundleIdNotFound, &["Action=DescribeBundleTasks&BundleId.1=bun-12345678"]),
    (
        Code::InvalidCapacityReservationIdNotFound,
        &["Action=DescribeCapacityReservations&CapacityReservationId.1=cr-0123456789abcdef0"],
    ),
    (
        Code::InvalidCarrierGatewayIdNotFound,
        &["Action=DescribeCarrierGateways&CarrierGatewayId.1=cagw-0123456789abcdef0"],
    ),
    (Code::InvalidPoolIdNotFound, &["Action=DescribeCoipPools&PoolId.1=ipv4pool-coip-0123456789abcdef0"]),
    (
        Code::InvalidPublicIpv4PoolIdNotFound,
        &["Action=DescribePublicIpv4Pools&PoolId.1=ipv4pool-ec2-0123456789abcdef0"],
    ),
    (Code::InvalidConversionTaskId, &["Action=DescribeConversionTasks&ConversionTaskId.1=import-i-12345678"]),
    (Code::InvalidConversionTaskIdMalformed, &["Action=DescribeImportImageTasks&ImportTaskId.1=import-ami-12345678"]),
    (
        Code::InvalidCustomerGatewayIdNotFound,
        &["Action=DescribeCustomerGateways&CustomerGatewayId.1=cgw-0123456789abcdef0"],
    ),
    (Code::InvalidElasticGpuIdNotFound, &["Action=DescribeElasticGpus&ElasticGpuId.1=egpu-0123456789abcdef0"]),
    (Code::InvalidExportTaskIdNotFound, &["Action=DescribeExportTasks&ExportTaskId.1=export-i-12345678"]),
    (Code::InvalidFlowLogIdNotFound, &["Action=DescribeFlowLogs&FlowLogId.1=fl-0123456789abcdef0"]),
    (Code::InvalidHostIdNotFound, &["Action=DescribeHosts&HostId.1=h-0123456789abcdef0"]),
    (Code::InvalidPrefixListIdNotFound, &["Action=DescribeManagedPrefixLists&PrefixListId.1=pl-0123456789abcdef0"]),
    (Code::InvalidReservedInstancesId, &["Action=DescribeReservedInstances&ReservedInstancesId.1=mine"]),
    (
        Code::InvalidReservedInstancesOfferingId,
        &["Action=DescribeReservedInstancesOfferings&ReservedInstancesOfferingId.1=mine"],
    ),
    (Code::InvalidScheduledInstance, &["Action=DescribeScheduledInstances&ScheduledInstanceId.1=sci-12345678"]),
    (Code::InvalidServiceName, &["Action=DescribeVpcEndpointServices&ServiceName.1=com.amazonaws.us-east-1.s3"]),
    (
        Code::InvalidTransitGatewayIdNotFound,
        &["Action=DescribeTransitGateways&TransitGatewayIds.1=tgw-0123456789abcdef0"],
    ),
    (Code::InvalidVpcEndpointIdNotFound, &["Action=DescribeVpcEndpoints&VpcEndpointId.1=vpce-0123456789abcdef0"]),
    (Code::InvalidVpnConnectionIdNotFound, &["Action=DescribeVpnConnections&VpnConnectionId.1=vpn-0123456789abcdef0"]),
    (Code::InvalidVpnGatewayIdNotFound, &["Action=DescribeVpnGateways&VpnGatewayId.1=vgw-0123456789abcdef0"]),
    (Code::InvalidResourceTypeUnknown, &["Action=DescribeIdFormat&Resource=machine"]),
    (Code::InvalidTargetArnUnknown, &["Action=DescribeIdentityIdFormat&PrincipalArn=arn:aws:iam::111122223333:root"]),
];

type Provoke = fn() -> Answer;

/// What an empty account of these settings answers.
fn bare(change: impl FnOnce(&mut Settings), request: &str) -> Answer {
    World::bare(change).call(request)
}

/// What an account of these quotas answers, which has been in use.
fn crowded(change: impl FnOnce(&mut Quotas), request: &str) -> Answer {
    World::with(|settings| change(&mut settings.quotas)).call(request)
}

/// What it takes more to provoke.
const DONE: &[(Code, Provoke)] = &[
    (Code::AddressLimitExceeded, || bare(|settings| settings.quotas.elastic_addresses = 0, "Action=AllocateAddress")),
    (Code::AuthFailure, || send(Signed { key: "AKIDOTHER".to_owned(), ..question() })),
    (Code::ConcurrentSnapshotLimitExceeded, || {
        let world = World::new();
        let create = "Action=CreateSnapshot&VolumeId={volume}";
        assert_eq!(world.faulty("CreateSnapshot stuck=600 next 5", create).status, 200);
        for _ in 1..5 {
            assert_eq!(world.call(create).status, 200);
        }
        world.call(create)
    }),
    (Code::ExpiredToken, || as_role(0)),
    (Code::InvalidClientTokenId, || {
        let token = "IQoJb3JpZ2luX2Vjbm90aGluZw==";
        let whose = Signed::sts("Action=GetCallerIdentity&Version=2011-06-15");
        send(Signed { key: "ASIAOTHER".to_owned(), ..whose }.header("x-amz-security-token", token))
    }),
    (Code::FilterLimitExceeded, || {
        let values: String = (1..=201).map(|n| format!("&Filter.1.Value.{n}=x")).collect();
        World::new().call(&format!("Action=DescribeVpcs&Filter.1.Name=state{values}"))
    }),
    (Code::InstanceLimitExceeded, || bare(|settings| settings.quotas.instances = 0, PLAIN)),
    (Code::InsufficientInstanceCapacity, || {
        bare(|settings| settings.capacity.extend("*/t3.micro=0".parse::<Capacity>()), PLAIN)
    }),
    (Code::InvalidRequest, || {
        let ids: String = (1..=101).map(|n| format!("&InstanceId.{n}={{instance}}")).collect();
        World::new().call(&format!("Action=DescribeInstanceStatus{ids}"))
    }),
    (Code::KeyPairLimitExceeded, || {
        bare(|settings| settings.quotas.key_pairs = 0, "Action=CreateKeyPair&KeyName=k&KeyType=ed25519")
    }),
    (Code::PlacementGroupLimitExceeded, || {
        crowded(|quotas| quotas.placement_groups = 1, "Action=CreatePlacementGroup&GroupName=fresh")
    }),
    (Code::MaxSpotInstanceCountExceeded, || {
        let request = format!("{PLAIN}&InstanceMarketOptions.MarketType=spot");
        bare(|settings| settings.quotas.spot_vcpus = Some(1), &request)
    }),
    (Code::IncorrectSpotRequestState, || {
        let mut world = World::new();
        let terms = ["SpotInstanceType=persistent", "InstanceInterruptionBehavior=stop"];
        let terms = terms.map(|term| format!("&InstanceMarketOptions.SpotOptions.{term}")).concat();
        world.learn("spot", "instanceId", &format!("{PLAIN}&InstanceMarketOptions.MarketType=spot{terms}"));
        let of_spot = "Action=DescribeSpotInstanceRequests&Filter.1.Name=instance-id&Filter.1.Value.1={spot}";
        world.learn("its-request", "spotInstanceRequestId", of_spot);
        world.done("Action=StopInstances&InstanceId.1={spot}");
        world.done("Action=CancelSpotInstanceRequests&SpotInstanceRequestId.1={its-request}");
        world.call("Action=StartInstances&InstanceId.1={spot}")
    }),
    (Code::MaxTemplateLimitExceeded, || {
        let request = "Action=CreateLaunchTemplate&LaunchTemplateName=fresh&LaunchTemplateData.InstanceType=t3.micro";
        crowded(|quotas| quotas.launch_templates = 1, request)
    }),
    (Code::MaxTemplateVersionLimitExceeded, || {
        let request = "Action=CreateLaunchTemplateVersion&LaunchTemplateId={template}&LaunchTemplateData.KeyName=k";
        crowded(|quotas| quotas.versions_per_launch_template = 2, request)
    }),
    (Code::NetworkInterfaceLimitExceeded, || bare(|settings| settings.quotas.network_interfaces = 0, PLAIN)),
    (Code::SecurityGroupLimitExceeded, || {
        bare(
            |settings| settings.quotas.security_groups = 1,
            "Action=CreateSecurityGroup&GroupName=g&GroupDescription=beside+the+default+one",
        )
    }),
    (Code::VcpuLimitExceeded, || bare(|settings| settings.quotas.vcpus = Some(1), PLAIN)),
    (Code::VolumeModificationRateExceeded, || {
        // Each is over before the next request.
        let world = World::with(|settings| settings.pace = 0.0005);
        for size in 9..13 {
            let answer = world.call(&format!("Action=ModifyVolume&VolumeId={{volume}}&Size={size}"));
            assert_eq!(answer.status, 200, "{answer:?}");
        }
        world.call("Action=ModifyVolume&VolumeId={volume}&Size=13")
    }),
    (Code::VpcIdNotSpecified, || bare(|settings| settings.default_vpc = false, PLAIN)),
    // The stub panics on purpose.
    (Code::InternalError, || Endpoint::start().call("Action=TerminateInstances&InstanceId.1=i-1")),
    (Code::MethodNotAllowed, || send(Signed { method: "PUT", ..question() })),
    (Code::MissingAuthenticationToken, || {
        Endpoint::start().raw(b"POST / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
    }),
    (Code::NoSuchVersion, || send(Signed::ec2("Action=DescribeRegions&Version=2009-04-05"))),
    (Code::RequestEntityTooLarge, || {
        let endpoint = Endpoint::start();
        endpoint.raw(head(&endpoint, "9000000000").as_bytes())
    }),
    (Code::RequestExpired, || send(Signed { time: question().time - time::Duration::hours(1), ..question() })),
    (Code::RequestLimitExceeded, || World::new().faulty("* throttle", "Action=DescribeVpcs")),
    (Code::RequestTimeout, || {
        let endpoint = Endpoint::start();
        let mut stream = endpoint.connect();
        stream.write_all((head(&endpoint, "10") + "half").as_bytes()).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        Answer::read(stream)
    }),
    (Code::RulesPerSecurityGroupLimitExceeded, || {
        let ranges: String =
            (0..61).map(|n| format!("&IpPermissions.1.IpRanges.{}.CidrIp=10.{n}.0.0/16", n + 1)).collect();
        World::new().call(&format!(
            "Action=AuthorizeSecurityGroupEgress&GroupId={{group}}&IpPermissions.1.IpProtocol=tcp&IpPermissions.1.FromPort=1\
             &IpPermissions.1.ToPort=2{ranges}"
        ))
    }),
    (Code::SecurityGroupsPerInterfaceLimitExceeded, || {
        let world = World::new();
        let groups: String = (1..=6)
            .map(|n| {
                let made = world.call(&format!("Action=CreateSecurityGroup&GroupName=g{n}&GroupDescription=x"));
                format!("&SecurityGroupId.{n}={}", made.element("groupId"))
            })
            .collect();
        world.call(&format!("{PLAIN}{groups}"))
    }),
    (Code::SignatureDoesNotMatch, || send(Signed { secret: "guessed".to_owned(), ..question() })),
    (Code::TagLimitExceeded, || {
        let tags: String = (1..=51).map(|n| format!("&Tag.{n}.Key=k{n}")).collect();
        World::new().call(&format!("Action=CreateTags&ResourceId.1={{instance}}{tags}"))
    }),
    (Code::UnauthorizedOperation, || send(question().header("host", "evil.example"))),
    (Code::Unavailable, || World::new().faulty("DescribeVpcs unavailable", "Action=DescribeVpcs")),
    (Code::CidrLimitExceeded, || {
        crowded(
            |quotas| quotas.ranges_per_vpc = 2,
            "Action=AssociateVpcCidrBlock&VpcId={made-vpc}&CidrBlock=10.8.0.0/16",
        )
    }),
    (Code::DefaultVpcDoesNotExist, || {
        bare(|settings| settings.default_vpc = false, "Action=CreateDefaultSubnet&AvailabilityZone=us-east-1a")
    }),
    (Code::InternetGatewayLimitExceeded, || crowded(|quotas| quotas.vpcs = 3, "Action=CreateInternetGateway")),
    (Code::NetworkAclEntryLimitExceeded, || {
        let entry = "RuleNumber=9&Protocol=-1&RuleAction=allow&Egress=false&CidrBlock=0.0.0.0/0";
        let request = format!("Action=CreateNetworkAclEntry&NetworkAclId={{spare-acl}}&{entry}");
        crowded(|quotas| quotas.rules_per_network_acl = 1, &request)
    }),
    (Code::NetworkAclLimitExceeded, || {
        let world = World::with(|settings| settings.quotas.subnets_per_vpc = 3);
        assert_eq!(world.call("Action=CreateNetworkAcl&VpcId={made-vpc}").status, 200);
        world.call("Action=CreateNetworkAcl&VpcId={made-vpc}")
    }),
    (Code::RouteLimitExceeded, || {
        let route = "DestinationCidrBlock=0.0.0.0/0&GatewayId={gateway}";
        crowded(
            |quotas| quotas.routes_per_table = 1,
            &format!("Action=CreateRoute&RouteTableId={{spare-table}}&{route}"),
        )
    }),
    (Code::RouteTableLimitExceeded, || {
        crowded(|quotas| quotas.subnets_per_vpc = 3, "Action=CreateRouteTable&VpcId={made-vpc}")
    }),
    (Code::SubnetLimitExceeded, || {
        let world = World::with(|settings| settings.quotas.subnets_per_vpc = 3);
        assert_eq!(world.call("Action=CreateSubnet&VpcId={made-vpc}&CidrBlock=10.0.7.0/24").status, 200);
        world.call("Action=CreateSubnet&VpcId={made-vpc}&CidrBlock=10.0.8.0/24")
    }),
    (Code::VpcLimitExceeded, || crowded(|quotas| quotas.vpcs = 3, "Action=CreateVpc&CidrBlock=10.0.0.0/16")),
    (Code::ActiveVpcPeeringConnectionLimitExceeded, || {
        let request = "Action=CreateVpcPeeringConnection&VpcId={vpc}&PeerVpcId={bare-vpc}";
        crowded(|quotas| quotas.peering_connections_per_vpc = 1, request)
    }),
    (Code::NatGatewayLimitExceeded, || {
        let world = World::with(|settings| settings.quotas.nat_gateways_per_zone = 1);
        world.call("Action=CreateNatGateway&ConnectivityType=private&SubnetId={other-subnet}")
    }),
];

/// The least that a launch says.
const PLAIN: &str = "Action=RunInstances&ImageId={image}&InstanceType=t3.micro&MinCount=1&MaxCount=1";

/// A head that bears a signature, of a body of this length.
fn head(endpoint: &Endpoint, length: &str) -> String {
    let signed = String::from_utf8(Signed::ec2("").bytes(endpoint.address, true)).unwrap();
    signed.replace("Content-Length: 0", &format!("Content-Length: {length}"))
}

/// Asks STS by a role whose time ends at a second of 1970.
fn as_role(until: i64) -> Answer {
    let until = time::OffsetDateTime::from_unix_timestamp(until).unwrap();
    let issued = session_key().issue(&Session::new("web", "i-0123456789abcdef0", until));
    let whose = Signed::sts("Action=GetCallerIdentity&Version=2011-06-15");
    let whose = Signed { key: issued.access_key, secret: issued.secret, ..whose };
    send(whose.header("x-amz-security-token", &issued.token))
}

fn question() -> Signed {
    Signed::ec2("Action=DescribeRegions&Version=2016-11-15")
}

fn send(request: Signed) -> Answer {
    request.send(&Endpoint::start())
}

fn ask(requests: &[&str]) -> Answer {
    let world = World::new();
    let Some((last, before)) = requests.split_last() else { panic!("no request") };
    let call = |request: &str| world.call(&request.replace("{launch}", PLAIN));
    for request in before {
        let answer = call(request);
        assert_eq!(answer.status, 200, "{request}: {answer:?}");
    }
    call(last)
}

#[test]
fn every_code_is_answered_where_its_rule_is_broken() {
    let provoked = ASKED.iter().map(|(code, requests)| (*code, ask(requests)));
    let provoked = provoked.chain(DONE.iter().map(|(code, provoke)| (*code, provoke())));
    let mut seen = BTreeSet::new();
    for (code, answer) in provoked {
        assert_eq!((answer.element("Code"), answer.status), (code.name(), code.status()), "{answer:?}");
        assert!(!answer.element("Message").is_empty(), "{answer:?}");
        assert!(seen.insert(code.name()), "{} has two cases", code.name());
    }
    let unprovoked: Vec<&str> = Code::ALL.iter().map(|code| code.name()).filter(|name| !seen.contains(name)).collect();
    assert!(unprovoked.is_empty(), "nothing is answered with {unprovoked:?}");
}

#[test]
fn every_row_says_when_and_where_it_is_written_down() {
    let mut names = BTreeSet::new();
    for code in Code::ALL {
        assert!(names.insert(code.name()), "{} is there twice", code.name());
        assert!((400..600).contains(&code.status()), "{code:?}");
        assert!(code.rule().ends_with('.') && code.rule().len() > 20, "{code:?}: {}", code.rule());
        assert!(code.source().starts_with("https://"), "{code:?}: {}", code.source());
    }
}
