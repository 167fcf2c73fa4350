//! DescribeInstanceImageMetadata: instances, and the images that they were launched from.

use crate::{
    account::{Context, describe::Listing, filter::whole_second, image},
    error::ApiError,
    wire::Structure,
};

const LISTING: Listing = Listing {
    action: "DescribeInstanceImageMetadata",
    ids: "InstanceIds",
    id: "InstanceId",
    sizes: 1..=1000,
    filters: &[
        ("availability-zone", "AvailabilityZone"),
        ("image-allowed", "ImageMetadata.ImageAllowed"),
        ("instance-id", "InstanceId"),
        ("instance-state-name", "State.Name"),
        ("instance-type", "InstanceType"),
        ("launch-time", "LaunchTime"),
        ("owner-alias", "ImageMetadata.ImageOwnerAlias"),
        ("owner-id", "OwnerId"),
        ("zone-id", "ZoneId"),
    ],
};

/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeInstanceImageMetadata.html>.
pub(in crate::account) fn describe(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let region = &*context.region;
    LISTING.answer("InstanceImageMetadata", input, &region.instances, &region.tags, |id, instance| {
        Structure::new()
            .with("InstanceId", id)
            .with("InstanceType", instance.instance_type.name)
            .with("LaunchTime", whole_second(instance.launched))
            .with("AvailabilityZone", instance.zone.name())
            .with("ZoneId", instance.zone.id())
            .with("State", instance.state.shown())
            .with("OwnerId", context.settings.account.as_str())
            .with("Tags", region.tags.shown(id))
            .with("ImageMetadata", image::of_instance(context, &instance.image))
            .with("Operator", Structure::new().with("Managed", false))
    })
}
