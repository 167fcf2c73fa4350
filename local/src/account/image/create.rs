//! CreateImage.

use super::{
    DURATION, Image, Made, Options, check_name,
    device::{self, Contents, Device, Mapped},
};
use crate::{
    account::{
        Context,
        ids::{ImageId, InstanceId, VolumeId},
        instance::{State, later, power},
        request::{combination, invalid, one_of, required, unsupported},
        settings::ImageSettings,
        snapshot::{self, Wanted},
        tags::TagSpecifications,
    },
    error::{ApiError, Code},
    wire::Structure,
};
use std::collections::BTreeMap;

/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateImage.html>.
pub(in crate::account) fn create(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let instance_id = context.region.instances.parse(required(input, "InstanceId")?)?;
    let name = required(input, "Name")?;
    check_name(context.region, name)?;
    if one_of(input, "SnapshotLocation", &["local", "regional"])? == Some("local") {
        return Err(combination("SnapshotLocation is for instances in Local Zones and on Outposts."));
    }
    let description = snapshot::description(input)?.to_owned();
    let tags = TagSpecifications::read(input, &["image", "snapshot"])?;
    let instance = context.region.instances.require(&instance_id)?.clone();
    if !matches!(instance.state, State::Running | State::Stopping | State::Stopped) {
        return Err(invalid(format!(
            "Invalid value '{instance_id}' for instanceId. Instance is not in state 'running' or 'stopping' or 'stopped'"
        )));
    }
    if instance.root().is_none() {
        return Err(invalid(format!("The instance '{instance_id}' has no root volume")));
    }
    let devices = devices(context, input, &instance.volumes)?;
    for (volume, _) in devices.iter().filter_map(|(volume, device)| Some((volume.as_ref()?, device))) {
        snapshot::check_room(context, volume)?;
    }
    let id: ImageId = context.shared.source.id();
    let reboots = instance.state == State::Running && input.boolean("NoReboot") != Some(true);
    let wanted = Wanted {
        description: format!("Created by CreateImage({instance_id}) for {id}"),
        tags: tags.of("snapshot"),
        after_power_off: reboots || instance.state == State::Stopping,
    };
    let mut taken = Vec::new();
    for (volume, device) in devices {
        taken.push(with_snapshot(context, volume, device, &wanted)?);
    }
    let mut taken = taken.into_iter();
    let root = taken.next().ok_or_else(|| invalid(format!("The instance '{instance_id}' has no root volume")))?;
    let image = image(context, &instance_id, (name, &description), root, taken.collect(), input)?;
    if reboots {
        power::off(context, &instance_id, true);
    }
    context.region.tags.set(&id, tags.of("image"));
    context.region.images.insert(id.clone(), image);
    Ok(Structure::new().with("ImageId", &id))
}

/// The devices of the image, the root's first, each with the volume that a snapshot is to be taken of.
fn devices(
    context: &Context<'_>,
    input: &Structure,
    volumes: &[VolumeId],
) -> Result<Vec<(Option<VolumeId>, Device)>, ApiError> {
    let attached = volumes.iter().filter_map(|id| {
        let volume = context.region.volumes.get(id)?;
        let attachment = volume.attachment.as_ref()?;
        let delete_on_termination = attachment.delete_on_termination;
        let contents = Contents::Volume { shape: volume.shape.clone(), snapshot: None, delete_on_termination };
        Some((Some(id.clone()), Device { name: attachment.device.clone(), contents }))
    });
    let mut devices: Vec<(Option<VolumeId>, Device)> = attached.collect();
    let root = devices.first().map(|(_, device)| device.name.clone()).unwrap_or_default();
    let known: BTreeMap<String, Device> =
        devices.iter().map(|(_, device)| (device.name.clone(), device.clone())).collect();
    for mapped in device::read(context, input, |name| known.get(name).cloned())? {
        match mapped {
            Mapped::Nothing(name) if name == root => {
                let message = "The root device can not be removed with NoDevice";
                return Err(ApiError::new(Code::InvalidBlockDeviceMapping, message));
            }
            Mapped::Nothing(name) => devices.retain(|(_, device)| device.name != name),
            Mapped::Device(device) => match devices.iter_mut().find(|(_, known)| known.name == device.name) {
                Some((_, known)) => *known = device,
                None => devices.push((None, device)),
            },
        }
    }
    Ok(devices)
}

/// Takes the snapshot of an attached volume.
fn with_snapshot(
    context: &mut Context<'_>,
    volume: Option<VolumeId>,
    device: Device,
    wanted: &Wanted,
) -> Result<Device, ApiError> {
    match (volume, device.contents) {
        (Some(volume), Contents::Volume { shape, delete_on_termination, .. }) => {
            let snapshot = Some(snapshot::take(context, &volume, wanted)?);
            let contents = Contents::Volume { shape, snapshot, delete_on_termination };
            Ok(Device { name: device.name, contents })
        }
        (_, contents) => Ok(Device { name: device.name, contents }),
    }
}

fn image(
    context: &Context<'_>,
    instance_id: &InstanceId,
    (name, description): (&str, &str),
    root: Device,
    devices: Vec<Device>,
    input: &Structure,
) -> Result<Image, ApiError> {
    let Contents::Volume { shape, snapshot: Some(root_snapshot), delete_on_termination } = root.contents else {
        return Err(unsupported("An image without a root volume"));
    };
    if !shape.bootable() {
        let message = "The volume type of the root device must be one that can boot: gp2, gp3, io1, io2 or standard";
        return Err(ApiError::new(Code::InvalidBlockDeviceMapping, message));
    }
    let system = context.region.snapshots.require(&root_snapshot)?.system.clone();
    let system = system.ok_or_else(|| unsupported("An image of a volume that nothing boots from"))?;
    let instance = context.region.instances.require(instance_id)?;
    let boot_mode = one_of(input, "BootModeOverride", &["uefi"])?.unwrap_or("uefi-preferred");
    let source = context.region.images.get(&instance.image);
    let settings = ImageSettings::made(name, description, shape.gib, context.now, &system);
    let made = Made {
        available: later(later(context.now, context.settings.paced(DURATION)), context.verdict.stuck),
        system,
        root_device: root.name,
        keeps_root: !delete_on_termination,
        devices,
        source_instance: Some(instance_id.clone()),
        source_image: Some((instance.image.clone(), context.region.place.name.to_owned())),
        boot_mode: Some(boot_mode.to_owned()),
        ena: true,
        sriov: true,
        tpm: source.and_then(|image| image.made.as_ref()).is_some_and(|made| made.tpm),
    };
    let options = Options { imds_v2: source.is_some_and(|image| image.options.imds_v2), ..Options::default() };
    Ok(Image { settings, root_snapshot, root: shape, made: Some(made), options })
}
