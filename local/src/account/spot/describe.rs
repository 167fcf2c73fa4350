//! DescribeSpotInstanceRequests.

use super::SpotRequest;
use crate::{
    account::{Context, describe::Listing, filter::whole_second, ids::SpotInstanceRequestId, region::Region},
    error::ApiError,
    wire::Structure,
};

const LISTING: Listing = Listing {
    action: "DescribeSpotInstanceRequests",
    ids: "SpotInstanceRequestIds",
    id: "SpotInstanceRequestId",
    sizes: 5..=1000,
    filters: &[
        ("availability-zone-group", ""),
        ("create-time", "CreateTime"),
        ("fault-code", "Fault.Code"),
        ("fault-message", "Fault.Message"),
        ("instance-id", "InstanceId"),
        ("launch-group", ""),
        (
            "launch.block-device-mapping.delete-on-termination",
            "LaunchSpecification.BlockDeviceMappings.Ebs.DeleteOnTermination",
        ),
        ("launch.block-device-mapping.device-name", "LaunchSpecification.BlockDeviceMappings.DeviceName"),
        ("launch.block-device-mapping.snapshot-id", "LaunchSpecification.BlockDeviceMappings.Ebs.SnapshotId"),
        ("launch.block-device-mapping.volume-size", "LaunchSpecification.BlockDeviceMappings.Ebs.VolumeSize"),
        ("launch.block-device-mapping.volume-type", "LaunchSpecification.BlockDeviceMappings.Ebs.VolumeType"),
        ("launch.group-id", "LaunchSpecification.SecurityGroups.GroupId"),
        ("launch.group-name", "LaunchSpecification.SecurityGroups.GroupName"),
        ("launch.image-id", "LaunchSpecification.ImageId"),
        ("launch.instance-type", "LaunchSpecification.InstanceType"),
        ("launch.kernel-id", ""),
        ("launch.key-name", "LaunchSpecification.KeyName"),
        ("launch.monitoring-enabled", "LaunchSpecification.Monitoring.Enabled"),
        ("launch.ramdisk-id", ""),
        ("launched-availability-zone", "LaunchedAvailabilityZone"),
        ("launched-availability-zone-id", "LaunchedAvailabilityZoneId"),
        ("network-interface.addresses.primary", "LaunchSpecification.NetworkInterfaces.PrivateIpAddresses.Primary"),
        ("network-interface.delete-on-termination", "LaunchSpecification.NetworkInterfaces.DeleteOnTermination"),
        ("network-interface.description", "LaunchSpecification.NetworkInterfaces.Description"),
        ("network-interface.device-index", "LaunchSpecification.NetworkInterfaces.DeviceIndex"),
        ("network-interface.group-id", "LaunchSpecification.NetworkInterfaces.Groups"),
        ("network-interface.network-interface-id", "LaunchSpecification.NetworkInterfaces.NetworkInterfaceId"),
        ("network-interface.private-ip-address", "LaunchSpecification.NetworkInterfaces.PrivateIpAddress"),
        ("network-interface.subnet-id", "LaunchSpecification.NetworkInterfaces.SubnetId"),
        ("product-description", "ProductDescription"),
        ("spot-instance-request-id", "SpotInstanceRequestId"),
        ("spot-price", "SpotPrice"),
        ("state", "State"),
        ("status-code", "Status.Code"),
        ("status-message", "Status.Message"),
        ("type", "Type"),
        ("valid-from", "ValidFrom"),
        ("valid-until", "ValidUntil"),
    ],
};

/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeSpotInstanceRequests.html>.
pub(in crate::account) fn describe(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let region = &*context.region;
    LISTING.answer("SpotInstanceRequests", input, &region.spot_requests, &region.tags, |id, row| shown(region, id, row))
}

pub(super) fn shown(region: &Region, id: &SpotInstanceRequestId, row: &SpotRequest) -> Structure {
    let status = Structure::new()
        .with("Code", &*row.status.code)
        .with("Message", row.status.message.as_str())
        .with("UpdateTime", whole_second(row.status.updated));
    let fault = (row.status.code == "bad-parameters")
        .then(|| Structure::new().with("Code", &*row.status.code).with("Message", row.status.message.as_str()));
    Structure::new()
        .with("SpotInstanceRequestId", id)
        .with("CreateTime", whole_second(row.created))
        .with("Type", if row.market.persistent { "persistent" } else { "one-time" })
        .with("State", row.state.name())
        .with("Status", status)
        .with_some("Fault", fault)
        .with("SpotPrice", row.price.to_string())
        .with("ProductDescription", "Linux/UNIX")
        .with("InstanceInterruptionBehavior", row.market.behavior.name())
        .with("LaunchSpecification", row.specification.clone())
        .with_some("InstanceId", row.instance.as_ref())
        .with_some("LaunchedAvailabilityZone", row.zone.map(|zone| zone.name()))
        .with_some("LaunchedAvailabilityZoneId", row.zone.map(|zone| zone.id()))
        .with_some("ValidFrom", row.valid_from.map(whole_second))
        .with_some("ValidUntil", row.market.valid_until.map(whole_second))
        .with("Tags", region.tags.shown(id))
}
