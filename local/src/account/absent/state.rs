//! What is told of what is there, and has none of something: an account that blocks nothing, groups that nobody else refers to, snapshots
//! that nobody has locked.

use super::check_filters;
use crate::{
    account::{
        Context,
        ids::Id,
        pagination::Page,
        request::{invalid, required},
        table::Table,
    },
    error::{ApiError, Code},
    wire::Structure,
};
use std::net::Ipv4Addr;

type Answer = Result<Structure, ApiError>;

fn none(member: &'static str) -> Answer {
    Ok(Structure::new().with(member, Vec::<Structure>::new()))
}

/// None of those that are named, all of which must be there.
fn none_of<I: Id, R>(input: &Structure, ids: &str, table: &Table<I, R>, member: &'static str) -> Answer {
    table.parse_all(input.strings(ids))?;
    none(member)
}

/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeAddressTransfers.html>.
pub(in crate::account) fn address_transfers(context: &mut Context<'_>, input: &Structure) -> Answer {
    Page::read(input, "DescribeAddressTransfers", &(5..=1000))?;
    none_of(input, "AllocationIds", &context.region.elastic_addresses, "AddressTransfers")
}

/// Addresses of EC2-Classic moved to VPCs.
/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeMovingAddresses.html>.
pub(in crate::account) fn moving_addresses(context: &mut Context<'_>, input: &Structure) -> Answer {
    check_filters(input, &["moving-status"], false)?;
    Page::read(input, "DescribeMovingAddresses", &(5..=1000))?;
    let is_ours = |text: &&str| {
        let address = text.parse::<Ipv4Addr>();
        address.is_ok_and(|address| context.region.elastic_addresses.iter().any(|(_, own)| own.public == address))
    };
    match input.strings("PublicIps").find(|text| !is_ours(text)) {
        Some(text) => Err(ApiError::new(Code::InvalidAddressNotFound, format!("Address '{text}' not found."))),
        None => none("MovingAddressStatuses"),
    }
}

/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeByoipCidrs.html>.
pub(in crate::account) fn byoip_cidrs(_: &mut Context<'_>, input: &Structure) -> Answer {
    Page::read(input, "DescribeByoipCidrs", &(1..=100))?;
    none("ByoipCidrs")
}

/// No instance is linked to EC2-Classic any more.
/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeClassicLinkInstances.html>.
pub(in crate::account) fn classic_link_instances(context: &mut Context<'_>, input: &Structure) -> Answer {
    check_filters(input, &["group-id", "instance-id", "vpc-id"], true)?;
    Page::read(input, "DescribeClassicLinkInstances", &(5..=1000))?;
    none_of(input, "InstanceIds", &context.region.instances, "Instances")
}

/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeConversionTasks.html>.
pub(in crate::account) fn conversion_tasks(_: &mut Context<'_>, input: &Structure) -> Answer {
    match input.strings("ConversionTaskIds").next() {
        Some(id) => {
            Err(ApiError::new(Code::InvalidConversionTaskId, format!("The conversion task '{id}' does not exist")))
        }
        None => none("ConversionTasks"),
    }
}

/// Of types whose topology AWS tells there is no instance here.
/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeInstanceTopology.html>.
pub(in crate::account) fn instance_topology(context: &mut Context<'_>, input: &Structure) -> Answer {
    check_filters(input, &["availability-zone", "instance-type", "zone-id"], false)?;
    Page::read(input, "DescribeInstanceTopology", &(1..=100))?;
    none_of(input, "InstanceIds", &context.region.instances, "Instances")
}

/// A group can be referred to from its own VPC alone.
/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeSecurityGroupReferences.html>.
pub(in crate::account) fn security_group_references(context: &mut Context<'_>, input: &Structure) -> Answer {
    none_of(input, "GroupId", &context.region.security_groups, "SecurityGroupReferenceSet")
}

/// Nor does a rule outlive what it refers to.
/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeStaleSecurityGroups.html>.
pub(in crate::account) fn stale_security_groups(context: &mut Context<'_>, input: &Structure) -> Answer {
    context.region.vpcs.parse(required(input, "VpcId")?)?;
    Page::read(input, "DescribeStaleSecurityGroups", &(5..=255))?;
    none("StaleSecurityGroupSet")
}

/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_GetSubnetCidrReservations.html>.
pub(in crate::account) fn subnet_cidr_reservations(context: &mut Context<'_>, input: &Structure) -> Answer {
    context.region.subnets.parse(required(input, "SubnetId")?)?;
    check_filters(input, &["reservationType", "subnet-id"], true)?;
    Page::read(input, "GetSubnetCidrReservations", &(5..=1000))?;
    Ok(none("SubnetIpv4CidrReservations")?.with("SubnetIpv6CidrReservations", Vec::<Structure>::new()))
}

/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeLockedSnapshots.html>.
pub(in crate::account) fn locked_snapshots(context: &mut Context<'_>, input: &Structure) -> Answer {
    check_filters(input, &["lock-state"], false)?;
    Page::read(input, "DescribeLockedSnapshots", &(5..=1000))?;
    none_of(input, "SnapshotIds", &context.region.snapshots, "Snapshots")
}

/// Without a rule that retains it, nothing gets into a recycle bin: who is named isn't there.
/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_ListImagesInRecycleBin.html>.
pub(in crate::account) fn images_in_recycle_bin(_: &mut Context<'_>, input: &Structure) -> Answer {
    Page::read(input, "ListImagesInRecycleBin", &(1..=1000))?;
    empty_bin(input, "ImageIds", Code::InvalidAmiIdNotFound, "Images")
}

/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_ListSnapshotsInRecycleBin.html>.
pub(in crate::account) fn snapshots_in_recycle_bin(_: &mut Context<'_>, input: &Structure) -> Answer {
    Page::read(input, "ListSnapshotsInRecycleBin", &(5..=1000))?;
    empty_bin(input, "SnapshotIds", Code::InvalidSnapshotNotFound, "Snapshots")
}

/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_ListVolumesInRecycleBin.html>.
pub(in crate::account) fn volumes_in_recycle_bin(_: &mut Context<'_>, input: &Structure) -> Answer {
    Page::read(input, "ListVolumesInRecycleBin", &(5..=1000))?;
    empty_bin(input, "VolumeIds", Code::InvalidVolumeNotFound, "Volumes")
}

fn empty_bin(input: &Structure, ids: &str, code: Code, member: &'static str) -> Answer {
    match input.strings(ids).next() {
        Some(id) => Err(ApiError::new(code, format!("'{id}' is not in the Recycle Bin"))),
        None => none(member),
    }
}

/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeVpcBlockPublicAccessOptions.html>.
pub(in crate::account) fn block_public_access(context: &mut Context<'_>, _: &Structure) -> Answer {
    let options = Structure::new()
        .with("AwsAccountId", context.settings.account.as_str())
        .with("AwsRegion", context.region.place.name)
        .with("State", "default-state")
        .with("InternetGatewayBlockMode", "off")
        .with("ManagedBy", "account")
        .with("ExclusionsAllowed", "allowed");
    Ok(Structure::new().with("VpcBlockPublicAccessOptions", options))
}

/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_GetImageBlockPublicAccessState.html>.
pub(in crate::account) fn image_block_public_access(_: &mut Context<'_>, _: &Structure) -> Answer {
    Ok(Structure::new().with("ImageBlockPublicAccessState", "unblocked").with("ManagedBy", "account"))
}

/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_GetSnapshotBlockPublicAccessState.html>.
pub(in crate::account) fn snapshot_block_public_access(_: &mut Context<'_>, _: &Structure) -> Answer {
    Ok(Structure::new().with("State", "unblocked").with("ManagedBy", "account"))
}

/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_GetAllowedImagesSettings.html>.
pub(in crate::account) fn allowed_images(_: &mut Context<'_>, _: &Structure) -> Answer {
    Ok(none("ImageCriteria")?.with("State", "disabled").with("ManagedBy", "account"))
}

/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeInstanceEventNotificationAttributes.html>.
pub(in crate::account) fn event_notification_attributes(_: &mut Context<'_>, _: &Structure) -> Answer {
    let attribute =
        Structure::new().with("InstanceTagKeys", Vec::<String>::new()).with("IncludeAllTagsOfInstance", false);
    Ok(Structure::new().with("InstanceTagAttribute", attribute))
}

/// What could once have shorter ids.
/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeIdFormat.html>.
const RESOURCES: &[&str] = &[
    "bundle",
    "conversion-task",
    "customer-gateway",
    "dhcp-options",
    "elastic-ip-allocation",
    "elastic-ip-association",
    "export-task",
    "flow-log",
    "image",
    "import-task",
    "instance",
    "internet-gateway",
    "network-acl",
    "network-acl-association",
    "network-interface",
    "network-interface-attachment",
    "prefix-list",
    "reservation",
    "route-table",
    "route-table-association",
    "security-group",
    "snapshot",
    "subnet",
    "subnet-cidr-block-association",
    "volume",
    "vpc",
    "vpc-cidr-block-association",
    "vpc-endpoint",
    "vpc-peering-connection",
    "vpn-connection",
    "vpn-gateway",
];

fn long_ids(resource: Option<&str>) -> Answer {
    if let Some(unknown) = resource.filter(|resource| !RESOURCES.contains(resource)) {
        let message = format!("The resource type '{unknown}' is not supported");
        return Err(ApiError::new(Code::InvalidResourceTypeUnknown, message));
    }
    let wanted = RESOURCES.iter().filter(|known| resource.is_none_or(|resource| **known == resource));
    let statuses = wanted.map(|known| Structure::new().with("Resource", *known).with("UseLongIds", true));
    Ok(Structure::new().with("Statuses", statuses.collect::<Vec<_>>()))
}

pub(in crate::account) fn id_format(_: &mut Context<'_>, input: &Structure) -> Answer {
    long_ids(input.string("Resource"))
}

/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeAggregateIdFormat.html>.
pub(in crate::account) fn aggregate_id_format(_: &mut Context<'_>, _: &Structure) -> Answer {
    Ok(long_ids(None)?.with("UseLongIdsAggregated", true))
}

/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeIdentityIdFormat.html>.
pub(in crate::account) fn identity_id_format(context: &mut Context<'_>, input: &Structure) -> Answer {
    let principal = required(input, "PrincipalArn")?;
    let own = principal.strip_prefix(&format!("arn:aws:iam::{}:", context.settings.account));
    let is_name = |name: &str| (1..=512).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic());
    let is_known =
        |own: &str| own == "root" || ["role/", "user/"].iter().any(|kind| own.strip_prefix(kind).is_some_and(is_name));
    if !own.is_some_and(is_known) {
        return Err(ApiError::new(Code::InvalidTargetArnUnknown, format!("The ARN '{principal}' is not valid")));
    }
    if input.string("Resource").is_some_and(str::is_empty) {
        return Err(invalid("The resource type must not be empty"));
    }
    long_ids(input.string("Resource"))
}
