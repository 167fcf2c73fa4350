//! Images: those of the settings, and those that come and go while the account lives.

use super::{
    Context,
    describe::Listing,
    filter::{timestamp, whole_second},
    ids::{self, ImageId, SnapshotId},
    region::Region,
    request::{invalid, required},
    settings::ImageSettings,
    volume::Shape,
};
use crate::{
    error::{ApiError, Code},
    wire::Structure,
};
use serde::{Deserialize, Serialize};

/// An image.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Image {
    pub(super) settings: ImageSettings,
    pub(super) root_snapshot: SnapshotId,
    pub(super) root: Shape,
}

/// The name of the root device of all images: that of Ubuntu's, since pycloudlib maps it whatever the image.
pub(super) const ROOT_DEVICE: &str = "/dev/sda1";

/// Puts images into a region, as far as it hasn't them already. Their ids follow from region and name, so they stay the same.
pub(super) fn install(region: &mut Region, images: &[ImageSettings]) {
    for image in images {
        let parts = [region.place.name, image.name.as_str()];
        let id = id(region.place.name, &image.name);
        if region.images.get(&id).is_some_and(|known| known.settings == *image) {
            continue;
        }
        let ebs = Structure::new().with("VolumeSize", image.root_gib.clamp(1, 16384)).with("VolumeType", "gp3");
        let Ok(root) = Shape::read(&ebs, None) else { continue };
        let mut tags = region.tags.get(&id).cloned().unwrap_or_default();
        tags.extend(image.tags.iter().cloned());
        region.tags.set(&id, tags);
        region.images.insert(id, Image { settings: image.clone(), root_snapshot: ids::derived(&parts), root });
    }
}

/// The id of the image of a name.
pub(super) fn id(region: &str, name: &str) -> ImageId {
    ids::derived(&[region, name])
}

/// Takes images of the account's own away that aren't among these.
pub(super) fn withdraw(region: &mut Region, images: &[ImageSettings]) {
    let gone = |image: &Image| image.settings.root.is_some() && !images.contains(&image.settings);
    let gone: Vec<ImageId> = region.images.iter().filter(|(_, image)| gone(image)).map(|(id, _)| id.clone()).collect();
    for id in gone {
        region.images.remove(&id);
        region.tags.forget(&id);
    }
}

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
        ("source-image-id", ""),
        ("source-image-region", ""),
        ("source-instance-id", ""),
        ("sriov-net-support", "SriovNetSupport"),
        ("state", "State"),
        ("state-reason-code", ""),
        ("state-reason-message", ""),
        ("usage-operation", "UsageOperation"),
        ("virtualization-type", "VirtualizationType"),
    ],
};

pub(super) fn describe(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let region = &*context.region;
    let account = context.settings.account.as_str();
    let (own, public) = wanted(input, account)?;
    let wanted = |image: &Image| if image.settings.root.is_some() { own } else { public };
    LISTING.answer_where("Images", input, &region.images, &region.tags, wanted, |id, image| {
        shown(id, image, region, account)
    })
}

/// Whose the images are that everybody has: Amazon's, by the account that offers Amazon Linux.
/// Source: <https://docs.aws.amazon.com/linux/al2023/ug/ec2.html>.
const AMAZON: &str = "137112412989";

/// Whether the images of the account's own are asked for, and whether those that are public, which are Amazon's.
fn wanted(input: &Structure, account: &str) -> Result<(bool, bool), ApiError> {
    let owners: Vec<&str> = input.strings("Owners").collect();
    for owner in &owners {
        let known = matches!(*owner, "self" | "amazon" | "aws-marketplace" | "aws-backup-vault" | "microsoft");
        if !known && !is_account(owner) {
            return Err(invalid_user(owner));
        }
    }
    let users: Vec<&str> = input.strings("ExecutableUsers").collect();
    if let Some(user) = users.iter().find(|user| !matches!(**user, "self" | "all") && !is_account(user)) {
        return Err(invalid_user(user));
    }
    let of = |names: [&str; 2]| owners.is_empty() || owners.iter().any(|owner| names.contains(owner));
    // What is for all is for nobody in particular. Nobody was given leave to launch the account's own, and its owner needs none.
    let executable = users.is_empty() || users.contains(&"all");
    Ok((of(["self", account]) && users.is_empty(), of(["amazon", AMAZON]) && executable))
}

fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit())
}

fn invalid_user(user: &str) -> ApiError {
    ApiError::new(Code::InvalidUserIdMalformed, format!("Invalid user id: \"{user}\""))
}

fn mappings(image: &Image) -> Vec<Structure> {
    let ebs = image
        .root
        .shown()
        .with("DeleteOnTermination", true)
        .with("SnapshotId", &image.root_snapshot)
        .with("VolumeSize", image.root.gib);
    vec![Structure::new().with("DeviceName", ROOT_DEVICE).with("Ebs", ebs)]
}

fn shown(id: &ImageId, image: &Image, region: &Region, account: &str) -> Structure {
    let settings = &image.settings;
    let own = settings.root.is_some();
    let (owner, alias) = if own { (account, None) } else { (AMAZON, Some("amazon")) };
    Structure::new()
        .with("ImageId", id)
        .with("Name", settings.name.as_str())
        .with("Description", settings.description.as_str())
        .with("ImageLocation", format!("{}/{}", alias.unwrap_or(owner), settings.name))
        .with("ImageType", "machine")
        .with_some("ImageOwnerAlias", alias)
        .with("OwnerId", owner)
        .with("Public", !own)
        .with("State", "available")
        .with("CreationDate", timestamp(whole_second(settings.created)))
        .with("Architecture", settings.architecture.name())
        .with("PlatformDetails", "Linux/UNIX")
        .with("UsageOperation", "RunInstances")
        .with("EnaSupport", true)
        .with("SriovNetSupport", "simple")
        .with("Hypervisor", "xen")
        .with("VirtualizationType", "hvm")
        .with("BootMode", "uefi-preferred")
        .with("RootDeviceName", ROOT_DEVICE)
        .with("RootDeviceType", "ebs")
        .with("BlockDeviceMappings", mappings(image))
        .with("Tags", region.tags.shown(id))
}

/// Where to look for an image's block devices is DescribeImages.
/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeImageAttribute.html>.
pub(super) fn describe_attribute(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let id = context.region.images.parse(required(input, "ImageId")?)?;
    let image = context.region.images.require(&id)?;
    let value = |text: &str| Structure::new().with("Value", text);
    let answer = Structure::new().with("ImageId", &id);
    Ok(match required(input, "Attribute")? {
        "description" => answer.with("Description", value(&image.settings.description)),
        // Only its owner is told.
        "launchPermission" if image.settings.root.is_none() => {
            return Err(ApiError::new(Code::AuthFailure, format!("Not authorized for image:{id}")));
        }
        "launchPermission" => answer.with("LaunchPermissions", Vec::<Structure>::new()),
        "blockDeviceMapping" => {
            return Err(ApiError::new(Code::AuthFailure, "Unauthorized attempt to access restricted resource"));
        }
        "productCodes" => answer.with("ProductCodes", Vec::<Structure>::new()),
        "sriovNetSupport" => answer.with("SriovNetSupport", value("simple")),
        "bootMode" => answer.with("BootMode", value("uefi-preferred")),
        "kernel"
        | "ramdisk"
        | "tpmSupport"
        | "uefiData"
        | "lastLaunchedTime"
        | "deregistrationProtection"
        | "imdsSupport" => answer,
        other => {
            return Err(invalid(format!("Value ({other}) for parameter attribute is invalid. Unknown attribute.")));
        }
    })
}
