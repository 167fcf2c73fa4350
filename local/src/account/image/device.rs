//! The block devices of an image beside the root's.

use crate::{
    account::{
        Context,
        ids::SnapshotId,
        instance::is_device_name,
        request::{invalid, only},
        snapshot,
        volume::Shape,
    },
    error::{ApiError, Code},
    wire::Structure,
};
use serde::{Deserialize, Serialize};

/// A block device.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::account) struct Device {
    pub(in crate::account) name: String,
    pub(in crate::account) contents: Contents,
}

/// What is at a device.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::account) enum Contents {
    /// A volume, of a snapshot or empty.
    Volume { shape: Shape, snapshot: Option<SnapshotId>, delete_on_termination: bool },
    /// A disk of the host's, `ephemeral0` and so on. Types without any have none there.
    Ephemeral(String),
}

/// What a mapping of a request says of a device.
pub(super) enum Mapped {
    Device(Device),
    /// `NoDevice`.
    Nothing(String),
}

impl Device {
    pub(super) fn snapshot(&self) -> Option<&SnapshotId> {
        match &self.contents {
            Contents::Volume { snapshot, .. } => snapshot.as_ref(),
            Contents::Ephemeral(_) => None,
        }
    }

    pub(super) fn shown(&self) -> Structure {
        let shown = Structure::new().with("DeviceName", self.name.as_str());
        match &self.contents {
            Contents::Ephemeral(name) => shown.with("VirtualName", name.as_str()),
            Contents::Volume { shape, snapshot, delete_on_termination } => shown.with(
                "Ebs",
                shape
                    .shown()
                    .with("DeleteOnTermination", *delete_on_termination)
                    .with_some("SnapshotId", snapshot.as_ref())
                    .with("VolumeSize", shape.gib),
            ),
        }
    }
}

fn refused(message: impl Into<String>) -> ApiError {
    ApiError::new(Code::InvalidBlockDeviceMapping, message)
}

/// Reads the mappings of a request. `default` is what is known of a device already: its volume as it is, and whether the
/// request may change nothing but how volumes are made of it.
pub(super) fn read(
    context: &Context<'_>,
    input: &Structure,
    default: impl Fn(&str) -> Option<Device>,
) -> Result<Vec<Mapped>, ApiError> {
    let mut names: Vec<&str> = Vec::new();
    let mut mapped = Vec::new();
    for mapping in input.structures("BlockDeviceMappings") {
        only(mapping, "BlockDeviceMappings.", &["DeviceName", "Ebs", "NoDevice", "VirtualName"])?;
        let name = mapping
            .string("DeviceName")
            .ok_or_else(|| refused("Device name is required for a block device mapping"))?;
        if !is_device_name(name) {
            return Err(invalid(format!(
                "Value ({name}) for parameter blockDeviceMapping is invalid. {name} is not a valid EBS device name."
            )));
        }
        if names.contains(&name) {
            return Err(refused(format!("Duplicate device name {name}")));
        }
        names.push(name);
        mapped.push(one(context, name, mapping, default(name))?);
    }
    Ok(mapped)
}

fn one(context: &Context<'_>, name: &str, mapping: &Structure, default: Option<Device>) -> Result<Mapped, ApiError> {
    let named = |contents| Mapped::Device(Device { name: name.to_owned(), contents });
    match (mapping.structure("Ebs"), mapping.string("VirtualName"), mapping.string("NoDevice")) {
        (None, None, Some(_)) => Ok(Mapped::Nothing(name.to_owned())),
        (None, Some(disk), None) => {
            let number = disk.strip_prefix("ephemeral").and_then(|number| number.parse::<u8>().ok());
            match number {
                Some(..24) => Ok(named(Contents::Ephemeral(disk.to_owned()))),
                _ => Err(invalid(format!(
                    "Value ({disk}) for parameter virtualName is invalid. Expected format: 'ephemeralNUMBER'"
                ))),
            }
        }
        (Some(ebs), None, None) => volume(context, name, ebs, default).map(named),
        _ => Err(refused(format!("{name}: one of Ebs, VirtualName or NoDevice is required"))),
    }
}

fn volume(context: &Context<'_>, name: &str, ebs: &Structure, default: Option<Device>) -> Result<Contents, ApiError> {
    let members = ["DeleteOnTermination", "Encrypted", "Iops", "SnapshotId", "Throughput", "VolumeSize", "VolumeType"];
    only(ebs, "BlockDeviceMappings.Ebs.", &members)?;
    if let Some(Device { contents: Contents::Volume { shape, snapshot, delete_on_termination }, .. }) = default {
        // Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateImage.html>.
        if let Some(size) = ebs.integer("VolumeSize").filter(|size| *size != shape.gib) {
            return Err(refused(format!(
                "{name}: the size of a volume ({}GB) can't be changed to {size}GB",
                shape.gib
            )));
        }
        if ebs.string("SnapshotId").is_some() || ebs.boolean("Encrypted").is_some_and(|it| it != shape.encrypted) {
            return Err(refused(format!("{name}: snapshot and encryption of an attached volume can't be changed")));
        }
        let delete_on_termination = ebs.boolean("DeleteOnTermination").unwrap_or(delete_on_termination);
        return Ok(Contents::Volume { shape: shape.changed(ebs)?, snapshot, delete_on_termination });
    }
    let delete_on_termination = ebs.boolean("DeleteOnTermination").unwrap_or(true);
    let Some(id) = ebs.string("SnapshotId") else {
        return Ok(Contents::Volume { shape: Shape::read(ebs, None)?, snapshot: None, delete_on_termination });
    };
    let (id, snapshot) = snapshot::usable(context, id)?;
    if let Some(encrypted) = ebs.boolean("Encrypted").filter(|it| *it != snapshot.encrypted) {
        return Err(refused(format!("{name}: Encrypted ({encrypted}) can't be said of the snapshot '{id}'")));
    }
    let mut shape = Shape::of_snapshot(ebs, snapshot.gib, snapshot.encrypted)?;
    shape.kms_key.clone_from(&snapshot.kms_key);
    if shape.gib < snapshot.gib {
        return Err(refused(format!(
            "Volume of size {}GB is smaller than snapshot '{id}', expect size >= {}GB",
            shape.gib, snapshot.gib
        )));
    }
    Ok(Contents::Volume { shape, snapshot: Some(id), delete_on_termination })
}
