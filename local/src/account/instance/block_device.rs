//! Block device mappings of a launch.

use crate::{
    account::{
        ids::{InstanceId, SnapshotId, Source, VolumeId},
        image::{Image, ROOT_DEVICE},
        place::Zone,
        region::Region,
        request::{invalid, only, unsupported},
        tags::TagSet,
        volume::{Attachment, Shape, Volume},
    },
    error::{ApiError, Code},
    wire::Structure,
};
use std::collections::BTreeMap;
use time::OffsetDateTime;

/// A volume that a launch makes.
#[derive(Debug, Clone)]
pub(super) struct Mapping {
    device: String,
    shape: Shape,
    snapshot: Option<SnapshotId>,
    delete_on_termination: bool,
}

fn refused(message: impl Into<String>) -> ApiError {
    ApiError::new(Code::InvalidBlockDeviceMapping, message)
}

/// Joins the image's mappings with those of the request.
pub(super) fn read(input: &Structure, image: &Image) -> Result<Vec<Mapping>, ApiError> {
    let root = Mapping {
        device: ROOT_DEVICE.to_owned(),
        shape: image.root.clone(),
        snapshot: Some(image.root_snapshot.clone()),
        delete_on_termination: true,
    };
    let mut others: BTreeMap<String, Option<Mapping>> = BTreeMap::new();
    let mut merged = root.clone();
    for mapping in input.structures("BlockDeviceMappings") {
        only(mapping, "BlockDeviceMappings.", &["DeviceName", "Ebs", "NoDevice"])?;
        let device = mapping
            .string("DeviceName")
            .ok_or_else(|| refused("Device name is required for a block device mapping"))?;
        if !is_device_name(device) {
            return Err(invalid(format!(
                "Value ({device}) for parameter blockDeviceMapping is invalid. {device} is not a valid EBS device name."
            )));
        }
        let removed = mapping.string("NoDevice").is_some();
        let volume = match (mapping.structure("Ebs"), removed) {
            (Some(_), true) => return Err(refused(format!("{device}: NoDevice and Ebs can not be used together"))),
            (Some(ebs), false) => Some(volume(device, ebs, image)?),
            (None, true) => None,
            (None, false) => return Err(refused(format!("{device}: one of Ebs or NoDevice is required"))),
        };
        if others.insert(device.to_owned(), volume.clone()).is_some() {
            return Err(refused(format!("Duplicate device name {device}")));
        }
        match volume {
            Some(volume) if device == ROOT_DEVICE => merged = volume,
            None if device == ROOT_DEVICE => return Err(refused("The root device can not be removed with NoDevice")),
            _ => {}
        }
    }
    others.remove(ROOT_DEVICE);
    let extra: Vec<Mapping> = others.into_values().flatten().collect();
    if let Some(extra) = extra.first()
        && image.settings.kind.has_machine()
    {
        return Err(unsupported(format!(
            "A volume besides the root {ROOT_DEVICE} ({}) for the image '{}'",
            extra.device, image.settings.name
        )));
    }
    Ok(std::iter::once(merged).chain(extra).collect())
}

/// Names of devices on Linux. Source: <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/device_naming.html>.
fn is_device_name(name: &str) -> bool {
    let name = name.strip_prefix("/dev/").unwrap_or(name);
    let rest = name.strip_prefix("xvd").or(name.strip_prefix("sd"));
    rest.is_some_and(|rest| {
        let digits = rest.trim_start_matches(|c: char| c.is_ascii_lowercase());
        let letters = rest.len() - digits.len();
        matches!(letters, 1 | 2) && digits.len() <= 2 && digits.bytes().all(|b| b.is_ascii_digit())
    })
}

fn volume(device: &str, ebs: &Structure, image: &Image) -> Result<Mapping, ApiError> {
    let members = ["DeleteOnTermination", "Iops", "SnapshotId", "VolumeSize", "VolumeType", "Throughput", "Encrypted"];
    only(ebs, "BlockDeviceMappings.Ebs.", &members)?;
    let is_root = device == ROOT_DEVICE;
    let default = is_root.then_some(&image.root);
    if let Some(snapshot) = ebs.string("SnapshotId")
        && (!is_root || snapshot != image.root_snapshot.as_ref())
    {
        <SnapshotId as crate::account::ids::Id>::parse(snapshot)?;
        return Err(ApiError::new(Code::InvalidSnapshotNotFound, format!("The snapshot '{snapshot}' does not exist.")));
    }
    let shape = Shape::read(ebs, default)?;
    if is_root && shape.gib < image.root.gib {
        return Err(refused(format!(
            "Volume of size {}GB is smaller than snapshot '{}', expect size >= {}GB",
            shape.gib, image.root_snapshot, image.root.gib
        )));
    }
    if is_root && !shape.bootable() {
        return Err(refused(
            "The volume type of the root device must be one that can boot: gp2, gp3, io1, io2 or standard",
        ));
    }
    Ok(Mapping {
        device: device.to_owned(),
        shape,
        snapshot: is_root.then(|| image.root_snapshot.clone()),
        delete_on_termination: ebs.boolean("DeleteOnTermination").unwrap_or(true),
    })
}

impl Mapping {
    /// Makes the volume, attached to an instance.
    pub(super) fn make(
        &self,
        region: &mut Region,
        source: &mut Source,
        now: OffsetDateTime,
        zone: Zone,
        instance: &InstanceId,
        tags: &TagSet,
    ) -> VolumeId {
        let id: VolumeId = source.id();
        let attachment = Attachment {
            instance: instance.clone(),
            device: self.device.clone(),
            time: now,
            delete_on_termination: self.delete_on_termination,
        };
        let volume = Volume {
            zone,
            shape: self.shape.clone(),
            snapshot: self.snapshot.clone(),
            created: now,
            attachment: Some(attachment),
        };
        region.volumes.insert(id.clone(), volume);
        region.tags.set(&id, tags.clone());
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
