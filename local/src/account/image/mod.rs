//! Images: those of the settings, those that come and go while the account lives, and those that it makes itself.

mod actions;
mod attribute;
mod copy;
mod create;
mod describe;
mod device;
mod life;
mod register;

pub(super) use actions::ACTIONS;

pub(super) use attribute::{describe as describe_attribute, modify as modify_attribute, reset as reset_attribute};
pub(super) use copy::copy;
pub(super) use create::create;
pub(super) use describe::{describe, of_instance};
pub(super) use device::{Contents, Device};
pub(super) use life::{
    deprecate, deregister, disable, disable_deprecation, disable_protection, enable, enable_protection,
};
pub(super) use register::register;

use super::{
    Context,
    ids::{self, ImageId, InstanceId, SnapshotId},
    permission::Permissions,
    region::Region,
    request::invalid,
    settings::ImageSettings,
    snapshot::Taking,
    system::System,
    volume::Shape,
};
use crate::{
    error::{ApiError, Code},
    wire::Structure,
};
use life::Protection;
use serde::{Deserialize, Serialize};
use std::{iter, time::Duration};
use time::OffsetDateTime;

/// How long AWS takes until one that is made is available, as far as that can be said at all.
const DURATION: Duration = Duration::from_secs(60);

/// An image.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Image {
    pub(super) settings: ImageSettings,
    pub(super) root_snapshot: SnapshotId,
    pub(super) root: Shape,
    /// What holds for one that the account has made.
    #[serde(default)]
    pub(super) made: Option<Made>,
    #[serde(default)]
    pub(super) options: Options,
}

/// An image that the account has made.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Made {
    /// When it is available at the earliest.
    available: OffsetDateTime,
    system: System,
    root_device: String,
    /// Whether the root volumes of its instances outlive them.
    keeps_root: bool,
    devices: Vec<Device>,
    source_instance: Option<InstanceId>,
    /// The image that it comes from, and the region of that.
    source_image: Option<(ImageId, String)>,
    boot_mode: Option<String>,
    ena: bool,
    sriov: bool,
    tpm: bool,
}

/// What can be changed of an image.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Options {
    /// In place of that of the settings.
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    launchers: Permissions,
    #[serde(default)]
    disabled: bool,
    #[serde(default)]
    deprecated: Option<OffsetDateTime>,
    #[serde(default)]
    protection: Option<Protection>,
    /// Whether its instances have IMDSv2 alone where their launch doesn't say otherwise.
    #[serde(default)]
    pub(super) imds_v2: bool,
}

/// The state of an image.
/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_Image.html>.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Pending,
    Available,
    Failed,
    Disabled,
}

impl State {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Available => "available",
            Self::Failed => "failed",
            Self::Disabled => "disabled",
        }
    }
}

/// The name of the root device of the settings' images: that of Ubuntu's, since pycloudlib maps it whatever the image.
pub(super) const ROOT_DEVICE: &str = "/dev/sda1";

/// Whose the images are that everybody has: Amazon's, by the account that offers Amazon Linux.
/// Source: <https://docs.aws.amazon.com/linux/al2023/ug/ec2.html>.
const AMAZON: &str = "137112412989";

impl Image {
    /// Whether it is the account's own. The others are public, and Amazon's.
    pub(super) fn is_own(&self) -> bool {
        self.settings.root.is_some() || self.made.is_some()
    }

    fn is_public(&self) -> bool {
        !self.is_own() || self.options.launchers.is_public()
    }

    fn description(&self) -> &str {
        self.options.description.as_deref().unwrap_or(&self.settings.description)
    }

    pub(super) fn state(&self, region: &Region, now: OffsetDateTime) -> State {
        let Some(made) = &self.made else {
            return if self.options.disabled { State::Disabled } else { State::Available };
        };
        let taking = |id| region.snapshots.get(id).map(|snapshot| &snapshot.taking);
        if self.snapshots().any(|id| matches!(taking(id), Some(Taking::Failed(_)))) {
            return State::Failed;
        }
        if now < made.available || self.snapshots().any(|id| taking(id) == Some(&Taking::Due)) {
            return State::Pending;
        }
        if self.options.disabled { State::Disabled } else { State::Available }
    }

    /// The snapshots that it can't do without.
    pub(super) fn snapshots(&self) -> impl Iterator<Item = &SnapshotId> {
        iter::once(&self.root_snapshot).chain(self.devices().iter().filter_map(Device::snapshot))
    }

    /// The block devices beside the root's.
    pub(super) fn devices(&self) -> &[Device] {
        self.made.as_ref().map_or(&[], |made| &made.devices)
    }

    pub(super) fn root_device(&self) -> &str {
        self.made.as_ref().map_or(ROOT_DEVICE, |made| &made.root_device)
    }

    /// Whether the root volumes of its instances end with them.
    pub(super) fn deletes_root(&self) -> bool {
        self.made.as_ref().is_none_or(|made| !made.keeps_root)
    }

    /// What boots from it.
    pub(super) fn system(&self) -> System {
        self.made.as_ref().map_or_else(|| System::of(&self.settings), |made| made.system.clone())
    }

    pub(super) fn has_ena(&self) -> bool {
        self.made.as_ref().is_none_or(|made| made.ena)
    }

    fn sriov(&self) -> Option<&'static str> {
        self.made.as_ref().is_none_or(|made| made.sriov).then_some("simple")
    }

    fn boot_mode(&self) -> Option<&str> {
        self.made.as_ref().map_or(Some("uefi-preferred"), |made| made.boot_mode.as_deref())
    }
}

/// Puts images into a region, as far as it hasn't them already. Their ids follow from region and name, so they stay the same.
pub(super) fn install(region: &mut Region, images: &[ImageSettings]) {
    for image in images {
        let parts = [region.place.name, image.name.as_str()];
        let id = id(region.place.name, &image.name);
        let known = region.images.get(&id);
        if known.is_some_and(|known| known.settings == *image) {
            continue;
        }
        let options = known.map(|known| known.options.clone()).unwrap_or_default();
        let ebs = Structure::new().with("VolumeSize", image.root_gib.clamp(1, 16384)).with("VolumeType", "gp3");
        let Ok(root) = Shape::read(&ebs, None) else { continue };
        let mut tags = region.tags.get(&id).cloned().unwrap_or_default();
        tags.extend(image.tags.iter().cloned());
        region.tags.set(&id, tags);
        let (settings, root_snapshot) = (image.clone(), ids::derived(&parts));
        region.images.insert(id, Image { settings, root_snapshot, root, made: None, options });
    }
}

/// The id of the image of a name.
pub(super) fn id(region: &str, name: &str) -> ImageId {
    ids::derived(&[region, name])
}

/// Takes imported images away that aren't among these.
pub(super) fn withdraw(region: &mut Region, images: &[ImageSettings]) {
    let is_imported = |image: &Image| image.settings.root.is_some() && image.made.is_none();
    let gone = |image: &Image| is_imported(image) && !images.contains(&image.settings);
    let gone: Vec<ImageId> = region.images.iter().filter(|(_, image)| gone(image)).map(|(id, _)| id.clone()).collect();
    for id in gone {
        end(region, &id);
    }
}

fn end(region: &mut Region, id: &ImageId) {
    region.images.remove(id);
    region.tags.forget(id);
}

/// The form of a name, and that no other of the account's images has it.
/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateImage.html>.
fn check_name(region: &Region, name: &str) -> Result<(), ApiError> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "()[] ./-'@_".contains(c);
    if !(3..=128).contains(&name.chars().count()) || !name.chars().all(fits) {
        let message = format!(
            "AMI names must be between 3 and 128 characters long, and may contain letters, numbers, '(', ')', '.', '-', \
             '/', '_', '[', ']', '@', ''' and spaces, which '{name}' doesn't"
        );
        return Err(ApiError::new(Code::InvalidAmiNameMalformed, message));
    }
    match region.images.iter().find(|(_, image)| image.is_own() && image.settings.name == name) {
        None => Ok(()),
        Some((id, _)) => {
            let message = format!("AMI name {name} is already in use by AMI {id}");
            Err(ApiError::new(Code::InvalidAmiNameDuplicate, message))
        }
    }
}

/// An image of the account's own, by the id that a request names; what is Amazon's nobody else can change.
fn own(context: &Context<'_>, id: &str) -> Result<ImageId, ApiError> {
    let id = context.region.images.parse(id)?;
    if context.region.images.require(&id)?.is_own() {
        return Ok(id);
    }
    Err(ApiError::new(Code::AuthFailure, format!("Not authorized for image:{id}")))
}

/// Sees that an image is available: what isn't can neither be launched from nor changed.
/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html>, `InvalidAMIID.Unavailable`.
fn check_available(context: &Context<'_>, id: &ImageId) -> Result<(), ApiError> {
    match context.region.images.require(id)?.state(context.region, context.now) {
        State::Available => Ok(()),
        state => {
            let state = state.name();
            let message = format!("The AMI ID '{id}' is currently {state} and may not be used for this operation");
            Err(ApiError::new(Code::InvalidAmiIdUnavailable, message))
        }
    }
}

/// Where the account's public parameters of Systems Manager are; they name Amazon's images. Parameters of one's own there are none.
const PARAMETERS: &str = "/aws/service/ec2-local/";

/// The image that a launch names: by its id, or by a parameter of Systems Manager's, `resolve:ssm:/aws/service/ec2-local/host`.
/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/finding-an-ami.html>.
pub(super) fn of_launch(region: &Region, id: &str) -> Result<ImageId, ApiError> {
    let Some(parameter) = id.strip_prefix("resolve:ssm:") else { return region.images.parse(id) };
    let is_it = |image: &Image| !image.is_own() && parameter.strip_prefix(PARAMETERS) == Some(&image.settings.name);
    let found = region.images.iter().find(|(_, image)| is_it(image)).map(|(id, _)| id.clone());
    found.ok_or_else(|| {
        ApiError::new(Code::SsmInvalidParameter, format!("The following aliases are invalid: {parameter}"))
    })
}

/// Sees that instances can be launched from an image.
pub(super) fn check_runnable(context: &Context<'_>, id: &ImageId) -> Result<(), ApiError> {
    let state = context.region.images.require(id)?.state(context.region, context.now);
    let message = match state {
        State::Available => return Ok(()),
        State::Disabled => format!("The image id '[{id}]' is disabled, and cannot be run"),
        state => format!("AMI '{id}' is {}, and cannot be run", state.name()),
    };
    Err(ApiError::new(Code::InvalidAmiIdUnavailable, message))
}

/// The value of an attribute that can only be `v2.0`.
fn is_v2(input: Option<&str>, member: &str) -> Result<bool, ApiError> {
    match input {
        None => Ok(false),
        Some("v2.0") => Ok(true),
        Some(other) => Err(invalid(format!("Value ({other}) for parameter {member} is invalid. It can be v2.0"))),
    }
}
