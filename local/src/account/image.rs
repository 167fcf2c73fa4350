//! Images: those of the settings.

use super::{
    Context,
    describe::Listing,
    filter::timestamp,
    ids::{self, ImageId, SnapshotId},
    region::Region,
    request::{invalid, required},
    settings::{ImageSettings, Settings},
    volume::Shape,
};
use crate::{
    error::{ApiError, Code},
    wire::Structure,
};

/// An image.
#[derive(Debug, Clone)]
pub(super) struct Image {
    pub(super) settings: ImageSettings,
    pub(super) root_snapshot: SnapshotId,
    pub(super) root: Shape,
}

/// The name of the root device of all images.
pub(super) const ROOT_DEVICE: &str = "/dev/xvda";

/// Puts the images of the settings into a region. Their ids follow from region and name, so they stay the same.
pub(super) fn install(region: &mut Region, settings: &Settings) {
    for image in &settings.images {
        let parts = [region.place.name, image.name.as_str()];
        let id: ImageId = ids::derived(&parts);
        let ebs = Structure::new().with("VolumeSize", image.root_gib.clamp(1, 16384)).with("VolumeType", "gp3");
        let Ok(root) = Shape::read(&ebs, None) else { continue };
        region.tags.set(&id, image.tags.iter().cloned().collect());
        region.images.insert(id, Image { settings: image.clone(), root_snapshot: ids::derived(&parts), root });
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
    let owned = owners_include_this_account(input, account)?;
    let executable = executable_by(input)?;
    let wanted = |_: &Image| owned && executable;
    LISTING.answer_where("Images", input, &region.images, &region.tags, wanted, |id, image| {
        shown(id, image, region, account)
    })
}

/// All images here are the account's own and, as those that AWS offers to everybody, public and Amazon's.
fn owners_include_this_account(input: &Structure, account: &str) -> Result<bool, ApiError> {
    let owners: Vec<&str> = input.strings("Owners").collect();
    for owner in &owners {
        let known = matches!(*owner, "self" | "amazon" | "aws-marketplace" | "aws-backup-vault" | "microsoft");
        if !known && !is_account(owner) {
            return Err(invalid_user(owner));
        }
    }
    Ok(owners.is_empty() || owners.iter().any(|owner| matches!(*owner, "self" | "amazon") || *owner == account))
}

/// Whether the images may be launched by one of the users asked for: they may by all.
fn executable_by(input: &Structure) -> Result<bool, ApiError> {
    let users: Vec<&str> = input.strings("ExecutableUsers").collect();
    match users.iter().find(|user| !matches!(**user, "self" | "all") && !is_account(user)) {
        Some(user) => Err(invalid_user(user)),
        None => Ok(users.is_empty() || users.iter().any(|user| matches!(*user, "self" | "all"))),
    }
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
    Structure::new()
        .with("ImageId", id)
        .with("Name", settings.name.as_str())
        .with("Description", settings.description.as_str())
        .with("ImageLocation", format!("{account}/{}", settings.name))
        .with("ImageType", "machine")
        .with("ImageOwnerAlias", "amazon")
        .with("OwnerId", account)
        .with("Public", true)
        .with("State", "available")
        .with("CreationDate", timestamp(settings.created))
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

pub(super) fn describe_attribute(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let id = context.region.images.parse(required(input, "ImageId")?)?;
    let image = context.region.images.require(&id)?;
    let value = |text: &str| Structure::new().with("Value", text);
    let answer = Structure::new().with("ImageId", &id);
    Ok(match required(input, "Attribute")? {
        "description" => answer.with("Description", value(&image.settings.description)),
        "launchPermission" => answer.with("LaunchPermissions", vec![Structure::new().with("Group", "all")]),
        "blockDeviceMapping" => answer.with("BlockDeviceMappings", mappings(image)),
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
