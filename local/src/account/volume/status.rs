//! DescribeVolumeStatus, EnableVolumeIO, and the attributes of volumes. All volumes are well: nothing of theirs is lost by itself.
//!
//! Source: <https://docs.aws.amazon.com/ebs/latest/userguide/monitoring-volume-checks.html>.

use super::{State, Volume};
use crate::{
    account::{
        Context,
        describe::Listing,
        ids::VolumeId,
        request::{missing, one_of, required},
    },
    error::ApiError,
    wire::Structure,
};

const LISTING: Listing = Listing {
    action: "DescribeVolumeStatus",
    ids: "VolumeIds",
    id: "VolumeId",
    sizes: 5..=1000,
    filters: &[
        ("action.code", "Actions.Code"),
        ("action.description", "Actions.Description"),
        ("action.event-id", "Actions.EventId"),
        ("attachment-status.instance-id", "AttachmentStatuses.InstanceId"),
        ("attachment-status.io-performance", "AttachmentStatuses.IoPerformance"),
        ("availability-zone", "AvailabilityZone"),
        ("event.description", "Events.Description"),
        ("event.event-id", "Events.EventId"),
        ("event.event-type", "Events.EventType"),
        ("event.not-after", "Events.NotAfter"),
        ("event.not-before", "Events.NotBefore"),
        ("volume-status.details-name", "VolumeStatus.Details.Name"),
        ("volume-status.details-status", "VolumeStatus.Details.Status"),
        ("volume-status.status", "VolumeStatus.Status"),
    ],
};

/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeVolumeStatus.html>.
pub(in crate::account) fn describe(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let (settings, now, region) = (context.settings, context.now, &*context.region);
    let row = |id: &VolumeId, volume: &Volume| shown(id, volume, volume.state(settings, now));
    LISTING.answer_where("VolumeStatuses", input, &region.volumes, None, |_| true, row)
}

fn shown(id: &VolumeId, volume: &Volume, state: State) -> Structure {
    let detail = |name: &str, status: &str| Structure::new().with("Name", name).with("Status", status);
    // Only volumes with IOPS of their own are measured.
    let performance = match (volume.shape.volume_type.name(), state) {
        ("io1" | "io2", State::InUse) => "normal",
        _ => "not-applicable",
    };
    let (status, enabled) = if state == State::Creating { ("insufficient-data", "pending") } else { ("ok", "passed") };
    let details = vec![detail("io-enabled", enabled), detail("io-performance", performance)];
    let attachments =
        volume.attachment.iter().filter(|_| performance == "normal").map(|attachment| {
            Structure::new().with("InstanceId", &attachment.instance).with("IoPerformance", performance)
        });
    Structure::new()
        .with("VolumeId", id)
        .with("AvailabilityZone", volume.zone.name())
        .with("AvailabilityZoneId", volume.zone.id())
        .with("VolumeStatus", Structure::new().with("Status", status).with("Details", details))
        .with("Actions", Vec::<Structure>::new())
        .with("Events", Vec::<Structure>::new())
        .with("AttachmentStatuses", attachments.collect::<Vec<Structure>>())
}

/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeVolumeAttribute.html>.
pub(in crate::account) fn describe_attribute(
    context: &mut Context<'_>,
    input: &Structure,
) -> Result<Structure, ApiError> {
    let id = context.volume(input)?;
    required(input, "Attribute")?;
    let answer = Structure::new().with("VolumeId", &id);
    Ok(match one_of(input, "Attribute", &["autoEnableIO", "productCodes"])? {
        Some("productCodes") => answer.with("ProductCodes", Vec::<Structure>::new()),
        _ => {
            let enabled = context.region.volumes.require(&id)?.auto_enable_io;
            answer.with("AutoEnableIO", Structure::new().with("Value", enabled))
        }
    })
}

/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_ModifyVolumeAttribute.html>.
pub(in crate::account) fn modify_attribute(
    context: &mut Context<'_>,
    input: &Structure,
) -> Result<Structure, ApiError> {
    let id = context.volume(input)?;
    let asked = input.structure("AutoEnableIO").ok_or_else(|| missing("AutoEnableIO"))?;
    let enabled = asked.boolean("Value").ok_or_else(|| missing("AutoEnableIO.Value"))?;
    context.region.volumes.require_mut(&id)?.auto_enable_io = enabled;
    Ok(Structure::new())
}

/// I/O is always enabled.
/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_EnableVolumeIO.html>.
pub(in crate::account) fn enable_io(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    context.volume(input)?;
    Ok(Structure::new())
}
