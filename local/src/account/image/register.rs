//! RegisterImage: an image of snapshots.

use super::{
    Image, Made, Options, check_name,
    device::{self, Contents, Device, Mapped},
    is_v2,
};
use crate::{
    account::{
        Context,
        ids::ImageId,
        request::{combination, invalid, missing, one_of, required, unsupported},
        settings::{Architecture, ImageSettings},
        snapshot,
        tags::TagSpecifications,
    },
    error::{ApiError, Code},
    wire::Structure,
};

/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_RegisterImage.html>.
pub(in crate::account) fn register(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let name = required(input, "Name")?;
    check_name(context.region, name)?;
    let description = snapshot::description(input)?;
    let tags = TagSpecifications::read(input, &["image"])?.of("image");
    let root_device = input.string("RootDeviceName").ok_or_else(|| missing("RootDeviceName"))?;
    let (root, devices) = devices(context, input, root_device)?;
    let Contents::Volume { shape, snapshot: Some(root_snapshot), delete_on_termination } = root.contents else {
        let message = format!("The root device {root_device} must be of a snapshot");
        return Err(ApiError::new(Code::InvalidBlockDeviceMapping, message));
    };
    if !shape.bootable() {
        let message = "The volume type of the root device must be one that can boot: gp2, gp3, io1, io2 or standard";
        return Err(ApiError::new(Code::InvalidBlockDeviceMapping, message));
    }
    let system = context.region.snapshots.require(&root_snapshot)?.system.clone();
    let mut system = system.ok_or_else(|| {
        unsupported(format!("An image of the snapshot '{root_snapshot}', whose volume nothing boots from"))
    })?;
    system.architecture = architecture(input, &system)?;
    let boot_mode = one_of(input, "BootMode", &["legacy-bios", "uefi", "uefi-preferred"])?;
    let tpm = is_v2(input.string("TpmSupport"), "tpmSupport")?;
    if tpm && boot_mode != Some("uefi") {
        return Err(combination("TpmSupport is for images whose BootMode is uefi."));
    }
    let sriov = match input.string("SriovNetSupport") {
        None => false,
        Some("simple") => true,
        Some(other) => return Err(invalid(format!("Value ({other}) for parameter sriovNetSupport is invalid."))),
    };
    let options = Options { imds_v2: is_v2(input.string("ImdsSupport"), "imdsSupport")?, ..Options::default() };
    let settings = ImageSettings::made(name, description, shape.gib, context.now, &system);
    let made = Made {
        available: context.now,
        system,
        root_device: root_device.to_owned(),
        keeps_root: !delete_on_termination,
        devices,
        source_instance: None,
        source_image: None,
        boot_mode: boot_mode.map(str::to_owned),
        ena: input.boolean("EnaSupport") == Some(true),
        sriov,
        tpm,
    };
    let id: ImageId = context.shared.source.id();
    context.region.tags.set(&id, tags);
    context.region.images.insert(id.clone(), Image { settings, root_snapshot, root: shape, made: Some(made), options });
    Ok(Structure::new().with("ImageId", &id))
}

/// The root's device, and the others.
fn devices(context: &Context<'_>, input: &Structure, root: &str) -> Result<(Device, Vec<Device>), ApiError> {
    let mapped = device::read(context, input, |_| None)?;
    let devices = mapped.into_iter().filter_map(|mapped| match mapped {
        Mapped::Device(device) => Some(device),
        Mapped::Nothing(_) => None,
    });
    let (mut roots, others): (Vec<Device>, Vec<Device>) = devices.partition(|device| device.name == root);
    let root = roots.pop().ok_or_else(|| {
        let message = format!("The root device {root} must be among the block device mappings");
        ApiError::new(Code::InvalidBlockDeviceMapping, message)
    })?;
    Ok((root, others))
}

/// EC2 can't know what a snapshot's programs are built for; what runs them here does.
fn architecture(input: &Structure, system: &crate::account::system::System) -> Result<Architecture, ApiError> {
    if input.string("VirtualizationType").unwrap_or("paravirtual") != "hvm" {
        return Err(unsupported("An image with another VirtualizationType than 'hvm'"));
    }
    let name = input.string("Architecture").unwrap_or("i386");
    let known = [Architecture::X86_64, Architecture::Arm64].into_iter().find(|known| known.name() == name);
    let architecture = known.ok_or_else(|| unsupported(format!("An image of the architecture '{name}'")))?;
    if system.kind.has_machine() && architecture != system.architecture {
        return Err(invalid(format!(
            "The architecture '{name}' is not that of what is in the snapshot, which is '{}'",
            system.architecture.name()
        )));
    }
    Ok(architecture)
}
