//! Images as EC2 shows them.

use super::{AMAZON, Device, Image, State};
use crate::{
    account::{
        Context,
        describe::Listing,
        filter::{timestamp, whole_second},
        ids::ImageId,
        permission::is_account,
    },
    error::{ApiError, Code},
    wire::Structure,
};

const LISTING: Listing = Listing {
    action: "DescribeImages",
    ids: "ImageIds",
    id: "ImageId",
    sizes: 1..=1000,
    filters: &[
        ("architecture", "Architecture"),
        ("block-device-mapping.delete-on-termination", "BlockDeviceMappings.Ebs.DeleteOnTermination"),
        ("block-device-mapping.device-name", "BlockDeviceMappings.DeviceName"),
        ("block-device-mapping.snapshot-id", "BlockDeviceMappings.Ebs.SnapshotId"),
        ("block-device-mapping.volume-size", "BlockDeviceMappings.Ebs.VolumeSize"),
        ("block-device-mapping.volume-type", "BlockDeviceMappings.Ebs.VolumeType"),
        ("block-device-mapping.encrypted", "BlockDeviceMappings.Ebs.Encrypted"),
        ("boot-mode", "BootMode"),
        ("creation-date", "CreationDate"),
        ("description", "Description"),
        ("ena-support", "EnaSupport"),
        ("free-tier-eligible", "FreeTierEligible"),
        ("hypervisor", "Hypervisor"),
        ("image-allowed", "ImageAllowed"),
        ("image-id", "ImageId"),
        ("image-type", "ImageType"),
        ("image-watermark.source-image-creation-time", ""),
        ("image-watermark.source-image-id", ""),
        ("image-watermark.source-image-region", ""),
        ("image-watermark.watermark-creation-time", ""),
        ("image-watermark.watermark-key", ""),
        ("instance-type-specification.supported-instance-type", ""),
        ("instance-type-specification.unsupported-instance-type", ""),
        ("is-public", "Public"),
        ("kernel-id", ""),
        ("manifest-location", "ImageLocation"),
        ("name", "Name"),
        ("owner-alias", "ImageOwnerAlias"),
        ("owner-id", "OwnerId"),
        ("platform", "Platform"),
        ("platform-details", "PlatformDetails"),
        ("product-code", ""),
        ("product-code.type", ""),
        ("public-ssm-parameter-name", ""),
        ("ramdisk-id", ""),
        ("root-device-name", "RootDeviceName"),
        ("root-device-type", "RootDeviceType"),
        ("scan-result.critical-fix-available-since", ""),
        ("scan-result.finding-scan-date", ""),
        ("scan-result.high-fix-available-since", ""),
        ("scan-result.highest-finding-severity-label", ""),
        ("scan-result.informational-fix-available-since", ""),
        ("scan-result.low-fix-available-since", ""),
        ("scan-result.medium-fix-available-since", ""),
        ("source-image-id", "SourceImageId"),
        ("source-image-region", "SourceImageRegion"),
        ("source-instance-id", "SourceInstanceId"),
        ("sriov-net-support", "SriovNetSupport"),
        ("state", "State"),
        ("state-reason-code", "StateReason.Code"),
        ("state-reason-message", "StateReason.Message"),
        ("usage-operation", "UsageOperation"),
        ("virtualization-type", "VirtualizationType"),
    ],
};

/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeImages.html>.
pub(in crate::account) fn describe(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let wanted = Wanted::read(input, &context.settings.account)?;
    let region = &*context.region;
    LISTING.answer_where(
        "Images",
        input,
        &region.images,
        &region.tags,
        |image| wanted.has(image),
        |id, image| shown(context, id, image),
    )
}

/// Which images a request wants to see.
struct Wanted<'a> {
    account: &'a str,
    owners: Vec<&'a str>,
    users: Vec<&'a str>,
    disabled: bool,
}

impl<'a> Wanted<'a> {
    fn read(input: &'a Structure, account: &'a str) -> Result<Self, ApiError> {
        let owners: Vec<&str> = input.strings("Owners").collect();
        let words = ["self", "amazon", "aws-marketplace", "aws-backup-vault", "microsoft"];
        if let Some(owner) = owners.iter().find(|owner| !words.contains(owner) && !is_account(owner)) {
            return Err(invalid_user(owner));
        }
        let users: Vec<&str> = input.strings("ExecutableUsers").collect();
        if let Some(user) = users.iter().find(|user| !matches!(**user, "self" | "all") && !is_account(user)) {
            return Err(invalid_user(user));
        }
        // Deprecated ones are hidden from others than their owner, and only one's own can be deprecated.
        Ok(Self { account, owners, users, disabled: input.boolean("IncludeDisabled") == Some(true) })
    }

    fn has(&self, image: &Image) -> bool {
        let owners = if image.is_own() { ["self", self.account] } else { ["amazon", AMAZON] };
        let is_of = self.owners.is_empty() || self.owners.iter().any(|owner| owners.contains(owner));
        let may_launch = |user: &&str| match *user {
            "all" => image.is_public(),
            // What is for all is for nobody in particular.
            "self" => image.options.launchers.names(self.account),
            user => image.options.launchers.names(user),
        };
        let is_for = self.users.is_empty() || self.users.iter().any(may_launch);
        is_of && is_for && (self.disabled || !image.options.disabled)
    }
}

fn invalid_user(user: &str) -> ApiError {
    ApiError::new(Code::InvalidUserIdMalformed, format!("Invalid user id: \"{user}\""))
}

/// The block devices, the root's first.
fn mappings(image: &Image) -> Vec<Structure> {
    let root = image
        .root
        .shown()
        .with("DeleteOnTermination", image.deletes_root())
        .with("SnapshotId", &image.root_snapshot)
        .with("VolumeSize", image.root.gib);
    let root = Structure::new().with("DeviceName", image.root_device()).with("Ebs", root);
    std::iter::once(root).chain(image.devices().iter().map(Device::shown)).collect()
}

/// What is told of an image beside an instance of it; little where it is gone.
pub(in crate::account) fn of_instance(context: &Context<'_>, id: &ImageId) -> Structure {
    let Some(image) = context.region.images.get(id) else { return Structure::new().with("ImageId", id) };
    let shown = shown(context, id, image);
    let members = ["ImageId", "Name", "OwnerId", "State", "ImageOwnerAlias", "CreationDate", "DeprecationTime"];
    let told =
        members.iter().fold(Structure::new(), |told, member| told.with_some(*member, shown.get(member).cloned()));
    told.with("ImageAllowed", true).with("IsPublic", image.is_public())
}

fn shown(context: &Context<'_>, id: &ImageId, image: &Image) -> Structure {
    let (settings, made, options) = (&image.settings, image.made.as_ref(), &image.options);
    let (owner, alias) =
        if image.is_own() { (context.settings.account.as_str(), None) } else { (AMAZON, Some("amazon")) };
    let state = image.state(context.region, context.now);
    let reason = (state == State::Failed).then(|| {
        Structure::new()
            .with("Code", "Client.InternalError")
            .with("Message", "Client.InternalError: A snapshot of the image couldn't be taken")
    });
    let source = made.and_then(|made| made.source_image.as_ref());
    Structure::new()
        .with("ImageId", id)
        .with("Name", settings.name.as_str())
        .with("Description", image.description())
        .with("ImageLocation", format!("{}/{}", alias.unwrap_or(owner), settings.name))
        .with("ImageType", "machine")
        .with_some("ImageOwnerAlias", alias)
        .with("OwnerId", owner)
        .with("Public", image.is_public())
        .with("State", state.name())
        .with_some("StateReason", reason)
        .with("CreationDate", timestamp(whole_second(settings.created)))
        .with_some("DeprecationTime", options.deprecated.map(|at| timestamp(whole_second(at))))
        .with_some("DeregistrationProtection", options.protection.as_ref().map(|it| it.shown(context.now)))
        .with("Architecture", settings.architecture.name())
        .with("PlatformDetails", "Linux/UNIX")
        .with("UsageOperation", "RunInstances")
        .with("EnaSupport", image.has_ena())
        .with_some("SriovNetSupport", image.sriov())
        .with("Hypervisor", "xen")
        .with("VirtualizationType", "hvm")
        .with_some("BootMode", image.boot_mode())
        .with_some("TpmSupport", made.filter(|made| made.tpm).map(|_| "v2.0"))
        .with_some("ImdsSupport", options.imds_v2.then_some("v2.0"))
        .with("RootDeviceName", image.root_device())
        .with("RootDeviceType", "ebs")
        .with_some("SourceInstanceId", made.and_then(|made| made.source_instance.as_ref()))
        .with_some("SourceImageId", source.map(|(id, _)| id))
        .with_some("SourceImageRegion", source.map(|(_, region)| region.as_str()))
        .with("BlockDeviceMappings", mappings(image))
        .with("Tags", context.region.tags.shown(id))
}
