//! Block device mappings of a launch.

use crate::{
    account::{
        Context,
        ids::{InstanceId, SnapshotId, VolumeId},
        image::{self, Device, Image},
        place::Zone,
        request::{invalid, only, unsupported},
        snapshot::{self, Snapshot},
        system::System,
        tags::TagSet,
        volume::{Attachment, Shape, Volume, encryption},
    },
    error::{ApiError, Code},
    wire::Structure,
};
use std::collections::BTreeMap;

/// A volume that a launch makes.
#[derive(Debug, Clone)]
pub(super) struct Mapping {
    device: String,
    shape: Shape,
    snapshot: Option<SnapshotId>,
    system: Option<System>,
    /// The snapshot whose bytes it gets.
    filling: Option<SnapshotId>,
    delete_on_termination: bool,
}

fn refused(message: impl Into<String>) -> ApiError {
    ApiError::new(Code::InvalidBlockDeviceMapping, message)
}

/// Joins the image's mappings with those of the request.
pub(super) fn read(context: &Context<'_>, input: &Structure, image: &Image) -> Result<Vec<Mapping>, ApiError> {
    let root_device = image.root_device();
    let mut root = Mapping {
        device: root_device.to_owned(),
        shape: image.root.clone(),
        snapshot: Some(image.root_snapshot.clone()),
        system: Some(image.system()),
        filling: None,
        delete_on_termination: image.deletes_root(),
    };
    encryption::apply(context, &Structure::new(), &mut root.shape)?;
    let mut others: BTreeMap<String, Option<Mapping>> = BTreeMap::new();
    let implied = image.devices().iter().filter_map(|device| of_image(context, device).transpose());
    let implied = implied.collect::<Result<Vec<Mapping>, ApiError>>()?;
    let mut merged = root;
    for mapping in input.structures("BlockDeviceMappings") {
        only(mapping, "BlockDeviceMappings.", &["DeviceName", "Ebs", "NoDevice", "VirtualName"])?;
        let device = mapping
            .string("DeviceName")
            .ok_or_else(|| refused("Device name is required for a block device mapping"))?;
        if !is_device_name(device) {
            return Err(invalid(format!(
                "Value ({device}) for parameter blockDeviceMapping is invalid. {device} is not a valid EBS device name."
            )));
        }
        let removed = mapping.string("NoDevice").is_some();
        let is_ephemeral = mapping.string("VirtualName").map(check_virtual_name).transpose()?.is_some();
        let volume = match (mapping.structure("Ebs"), removed, is_ephemeral) {
            (Some(_), true, _) => return Err(refused(format!("{device}: NoDevice and Ebs can not be used together"))),
            (_, true, true) | (Some(_), _, true) => {
                return Err(refused(format!("{device}: VirtualName can not be used together with Ebs or NoDevice")));
            }
            (Some(ebs), false, false) => {
                Some(volume(context, device, ebs, image, implied.iter().find(|it| it.device == device))?)
            }
            // An instance store that the type hasn't, or that is there without being asked for.
            (None, true, false) | (None, false, true) => None,
            (None, false, false) => return Err(refused(format!("{device}: one of Ebs or NoDevice is required"))),
        };
        if others.insert(device.to_owned(), volume.clone()).is_some() {
            return Err(refused(format!("Duplicate device name {device}")));
        }
        match volume {
            Some(volume) if device == root_device => merged = volume,
            None if device == root_device => {
                return Err(refused("The root device can not be removed with NoDevice, nor be an instance store"));
            }
            _ => {}
        }
    }
    others.remove(root_device);
    for mapping in implied {
        others.entry(mapping.device.clone()).or_insert(Some(mapping));
    }
    let extra: Vec<Mapping> = others.into_values().flatten().collect();
    let boots = |extra: &&Mapping| extra.system.as_ref().is_some_and(|system| system.kind.has_machine());
    if let Some(extra) = extra.iter().find(boots)
        && image.settings.kind.has_machine()
    {
        return Err(unsupported(format!(
            "A volume of a root volume's snapshot beside the root {root_device} ({}) for the image '{}'",
            extra.device, image.settings.name
        )));
    }
    Ok(std::iter::once(merged).chain(extra).collect())
}

/// Mappings of instance stores are heeded by types of old alone, of which none runs here: those that have them show them unasked,
/// and the others ignore them.
/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instance-store-volumes.html>.
fn check_virtual_name(name: &str) -> Result<(), ApiError> {
    let number = name.strip_prefix("ephemeral").filter(|number| number.bytes().all(|byte| byte.is_ascii_digit()));
    match number.and_then(|number| number.parse::<u8>().ok()) {
        Some(0..=23) => Ok(()),
        _ => Err(refused(format!("The virtual name '{name}' is none of ephemeral0 to ephemeral23"))),
    }
}

/// Names of devices on Linux. Source: <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/device_naming.html>.
pub(in crate::account) fn is_device_name(name: &str) -> bool {
    let name = name.strip_prefix("/dev/").unwrap_or(name);
    let rest = name.strip_prefix("xvd").or(name.strip_prefix("sd"));
    rest.is_some_and(|rest| {
        let digits = rest.trim_start_matches(|c: char| c.is_ascii_lowercase());
        let letters = rest.len() - digits.len();
        matches!(letters, 1 | 2) && digits.len() <= 2 && digits.bytes().all(|b| b.is_ascii_digit())
    })
}

/// The volume that an image has at a device; none where that is a disk of the host's, of which no type here has any.
fn of_image(context: &Context<'_>, device: &Device) -> Result<Option<Mapping>, ApiError> {
    let image::Contents::Volume { shape, snapshot, delete_on_termination } = &device.contents else { return Ok(None) };
    let made_of = snapshot.as_ref().and_then(|id| context.region.snapshots.get(id));
    let mut shape = shape.clone();
    encryption::apply(context, &Structure::new(), &mut shape)?;
    Ok(Some(Mapping {
        device: device.name.clone(),
        shape,
        snapshot: snapshot.clone(),
        system: made_of.and_then(|snapshot| snapshot.system.clone()),
        filling: made_of.and_then(|snapshot| snapshot.bytes.clone()),
        delete_on_termination: *delete_on_termination,
    }))
}

fn volume(
    context: &Context<'_>,
    device: &str,
    ebs: &Structure,
    image: &Image,
    implied: Option<&Mapping>,
) -> Result<Mapping, ApiError> {
    let members = [
        "DeleteOnTermination",
        "Encrypted",
        "Iops",
        "KmsKeyId",
        "SnapshotId",
        "Throughput",
        "VolumeSize",
        "VolumeType",
    ];
    only(ebs, "BlockDeviceMappings.Ebs.", &members)?;
    let is_root = device == image.root_device();
    let implied = implied.filter(|_| ebs.string("SnapshotId").is_none());
    let default = if is_root { Some(&image.root) } else { implied.map(|implied| &implied.shape) };
    if let Some(snapshot) = ebs.string("SnapshotId")
        && (!is_root || snapshot != image.root_snapshot.as_ref())
    {
        let (id, snapshot) = snapshot::usable(context, snapshot)?;
        if is_root {
            return Err(refused(format!(
                "{device}: the root device is of the snapshot '{}', not of '{id}'",
                image.root_snapshot
            )));
        }
        return of_snapshot(context, device, ebs, (id, snapshot));
    }
    let mut shape = Shape::read(ebs, default)?;
    encryption::apply(context, ebs, &mut shape)?;
    if let Some(implied) = implied.filter(|implied| shape.gib < implied.shape.gib) {
        return Err(too_small(&shape, implied.snapshot.as_ref(), implied.shape.gib));
    }
    if is_root && shape.gib < image.root.gib {
        return Err(too_small(&shape, Some(&image.root_snapshot), image.root.gib));
    }
    if is_root && !shape.bootable() {
        return Err(refused(
            "The volume type of the root device must be one that can boot: gp2, gp3, io1, io2 or standard",
        ));
    }
    Ok(Mapping {
        device: device.to_owned(),
        shape,
        snapshot: if is_root { Some(image.root_snapshot.clone()) } else { implied.and_then(|it| it.snapshot.clone()) },
        system: if is_root { Some(image.system()) } else { implied.and_then(|it| it.system.clone()) },
        filling: implied.filter(|_| !is_root).and_then(|it| it.filling.clone()),
        delete_on_termination: ebs.boolean("DeleteOnTermination").unwrap_or(if is_root {
            image.deletes_root()
        } else {
            implied.is_none_or(|it| it.delete_on_termination)
        }),
    })
}

fn too_small(shape: &Shape, snapshot: Option<&SnapshotId>, gib: i64) -> ApiError {
    let snapshot = snapshot.map(AsRef::as_ref).unwrap_or_default();
    refused(format!("Volume of size {}GB is smaller than snapshot '{snapshot}', expect size >= {gib}GB", shape.gib))
}

fn of_snapshot(
    context: &Context<'_>,
    device: &str,
    ebs: &Structure,
    (id, snapshot): (SnapshotId, &Snapshot),
) -> Result<Mapping, ApiError> {
    let mut shape = Shape::of_snapshot(ebs, snapshot.gib, snapshot.encrypted)?;
    encryption::apply_to_restored(context, ebs, snapshot, &mut shape)?;
    if shape.gib < snapshot.gib {
        return Err(too_small(&shape, Some(&id), snapshot.gib));
    }
    let delete_on_termination = ebs.boolean("DeleteOnTermination").unwrap_or(true);
    let (device, system, filling) = (device.to_owned(), snapshot.system.clone(), snapshot.bytes.clone());
    Ok(Mapping { device, shape, snapshot: Some(id), system, filling, delete_on_termination })
}

impl Mapping {
    /// Makes the volume, attached to an instance.
    pub(super) fn make(&self, context: &mut Context<'_>, zone: Zone, instance: &InstanceId, tags: &TagSet) -> VolumeId {
        let (now, id) = (context.now, context.shared.source.id::<VolumeId>());
        let attachment = Attachment::new(instance.clone(), &self.device, now, self.delete_on_termination);
        let volume = Volume {
            system: self.system.clone(),
            filling: self.filling.clone(),
            attachment: Some(attachment),
            ..Volume::new(zone, self.shape.clone(), self.snapshot.clone(), now)
        };
        context.shared.hold_layers(volume.system.as_ref());
        context.shared.hold_bytes(volume.filling.as_ref());
        context.region.volumes.insert(id.clone(), volume);
        context.region.tags.set(&id, tags.clone());
        id
    }
}

#[cfg(test)]
mod tests {
    use super::is_device_name;

    #[test]
    fn device_names() {
        for good in ["/dev/xvda", "/dev/sda1", "/dev/sdf", "xvdba", "sdf"] {
            assert!(is_device_name(good), "{good}");
        }
        for bad in
            ["", "/dev/", "/dev/xvd", "/dev/nvme0n1", "/dev/sdF", "../sda", "/dev/sdabc", "/dev/sda100", "/dev/sdé"]
        {
            assert!(!is_device_name(bad), "{bad}");
        }
    }
}
