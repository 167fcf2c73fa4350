//! Volumes: those that instances are launched with.

use super::{
    Context, Effect,
    describe::Listing,
    filter::whole_second,
    ids::{InstanceId, SnapshotId, VolumeId},
    place::Zone,
    region::Region,
    request::{invalid, required},
    stored::by_name,
    system::System,
};
use crate::{
    error::{ApiError, Code},
    wire::Structure,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use time::OffsetDateTime;

/// A volume.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Volume {
    pub(super) zone: Zone,
    pub(super) shape: Shape,
    pub(super) snapshot: Option<SnapshotId>,
    /// What boots from it; none where nothing does.
    #[serde(default)]
    pub(super) system: Option<System>,
    /// Whether it has taken the place of another, and no machine has booted from it yet.
    #[serde(default)]
    pub(super) is_fresh: bool,
    pub(super) created: OffsetDateTime,
    pub(super) attachment: Option<Attachment>,
}

/// What kind of volume it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Shape {
    pub(super) volume_type: VolumeType,
    pub(super) gib: i64,
    pub(super) iops: Option<i64>,
    pub(super) throughput: Option<i64>,
    pub(super) encrypted: bool,
}

/// The bond between a volume and an instance.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Attachment {
    pub(super) instance: InstanceId,
    pub(super) device: String,
    pub(super) time: OffsetDateTime,
    pub(super) delete_on_termination: bool,
}

/// EC2's types of volumes, with their bounds.
/// Source: <https://docs.aws.amazon.com/ebs/latest/userguide/ebs-volume-types.html>.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TypeRules {
    name: &'static str,
    gib: (i64, i64),
    /// Bounds of Iops, where it may be given.
    iops: Option<(i64, i64)>,
    /// IOPS for each GiB at most.
    iops_per_gib: i64,
    /// Bounds of Throughput in MiB/s, where it may be given.
    throughput: Option<(i64, i64)>,
    bootable: bool,
}

/// One of EC2's types of volumes.
pub(super) type VolumeType = &'static TypeRules;

const TYPES: &[TypeRules] = &[
    rules("gp2", (1, 16384), None, 0, None, true),
    rules("gp3", (1, 65536), Some((3000, 80000)), 500, Some((125, 2000)), true),
    rules("io1", (4, 16384), Some((100, 64000)), 50, None, true),
    rules("io2", (4, 65536), Some((100, 256_000)), 1000, None, true),
    rules("st1", (125, 16384), None, 0, None, false),
    rules("sc1", (125, 16384), None, 0, None, false),
    rules("standard", (1, 1024), None, 0, None, true),
];

const fn rules(
    name: &'static str,
    gib: (i64, i64),
    iops: Option<(i64, i64)>,
    iops_per_gib: i64,
    throughput: Option<(i64, i64)>,
    bootable: bool,
) -> TypeRules {
    TypeRules { name, gib, iops, iops_per_gib, throughput, bootable }
}

/// Stored by its name.
impl Serialize for TypeRules {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.name)
    }
}

impl<'de> Deserialize<'de> for VolumeType {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        by_name(from, "volume type", |name| TYPES.iter().find(|rules| rules.name == name))
    }
}

impl Shape {
    /// Reads the members of an `Ebs` structure; `default` is what the image says of the device.
    pub(super) fn read(ebs: &Structure, default: Option<&Shape>) -> Result<Self, ApiError> {
        let name = ebs.string("VolumeType").unwrap_or(default.map_or("gp2", |shape| shape.volume_type.name));
        let volume_type = TYPES.iter().find(|rules| rules.name == name).ok_or_else(|| {
            ApiError::new(Code::UnknownVolumeType, format!("Unsupported volume type '{name}' for volume creation."))
        })?;
        let gib = ebs.integer("VolumeSize").or(default.map(|shape| shape.gib));
        let gib = gib.ok_or_else(|| {
            ApiError::new(Code::MissingParameter, "The request must contain the parameter size or snapshotId")
        })?;
        let (low, high) = volume_type.gib;
        if !(low..=high).contains(&gib) {
            let (relation, bound) = if gib < low { ("at least", low) } else { ("at most", high) };
            return Err(invalid(format!(
                "Volume of {gib}GiB is not valid for type {name}; volumes must be {relation} {bound}GiB"
            )));
        }
        let iops = volume_type.iops(ebs.integer("Iops"), gib)?;
        let throughput = volume_type.throughput(ebs.integer("Throughput"), iops)?;
        let encrypted = ebs.boolean("Encrypted").or(default.map(|shape| shape.encrypted)).unwrap_or(false);
        Ok(Self { volume_type, gib, iops, throughput, encrypted })
    }

    /// What it becomes of a volume of this shape where a request changes something of it.
    pub(super) fn changed(&self, ebs: &Structure) -> Result<Self, ApiError> {
        if ["VolumeType", "Iops", "Throughput"].iter().all(|member| ebs.get(member).is_none()) {
            return Ok(self.clone());
        }
        Self::read(ebs, Some(self))
    }

    /// Reads the same of a volume that is made of a snapshot, whose size and encryption it has.
    pub(super) fn of_snapshot(ebs: &Structure, gib: i64, encrypted: bool) -> Result<Self, ApiError> {
        let size = ebs.integer("VolumeSize").unwrap_or(gib);
        Self::read(&ebs.clone().with("VolumeSize", size).with("Encrypted", encrypted), None)
    }

    /// Whether an instance can boot from it.
    pub(super) fn bootable(&self) -> bool {
        self.volume_type.bootable
    }

    /// The members that Describe shows of it.
    pub(super) fn shown(&self) -> Structure {
        Structure::new()
            .with("VolumeType", self.volume_type.name)
            .with_some("Iops", self.iops)
            .with_some("Throughput", self.throughput)
            .with("Encrypted", self.encrypted)
    }
}

impl TypeRules {
    fn iops(&self, asked: Option<i64>, gib: i64) -> Result<Option<i64>, ApiError> {
        let Some((low, high)) = self.iops else {
            return match asked {
                Some(_) => Err(super::request::combination(format!(
                    "The parameter iops is not supported for {} volumes.",
                    self.name
                ))),
                None if self.name == "gp2" => Ok(Some((gib * 3).clamp(100, 16000))),
                None => Ok(None),
            };
        };
        let Some(iops) = asked else {
            if self.name == "gp3" {
                return Ok(Some(low));
            }
            let message = format!("The parameter iops must be specified for {} volumes.", self.name);
            return Err(ApiError::new(Code::MissingParameter, message));
        };
        if iops < low {
            return Err(invalid(format!("Volume iops of {iops} is too low; minimum is {low}.")));
        }
        if iops > high {
            return Err(invalid(format!("Volume iops of {iops} is too high; maximum is {high}.")));
        }
        if iops > low && iops > gib.saturating_mul(self.iops_per_gib) {
            return Err(invalid(format!(
                "Iops to volume size ratio of {iops}:{gib} is too high; maximum is {}",
                self.iops_per_gib
            )));
        }
        Ok(Some(iops))
    }

    fn throughput(&self, asked: Option<i64>, iops: Option<i64>) -> Result<Option<i64>, ApiError> {
        let Some((low, high)) = self.throughput else {
            return match asked {
                Some(_) => Err(super::request::combination(format!(
                    "The parameter throughput is not supported for {} volumes.",
                    self.name
                ))),
                None => Ok(None),
            };
        };
        let throughput = asked.unwrap_or(low);
        if !(low..=high).contains(&throughput) {
            return Err(invalid(format!(
                "Throughput of {throughput} MiB/s is invalid; it must be between {low} and {high} MiB/s"
            )));
        }
        // A quarter of a MiB/s for each IOPS at most.
        if throughput > low && throughput * 4 > iops.unwrap_or(0) {
            return Err(invalid(format!(
                "Throughput (MiBps) to iops ratio of {throughput}:{} is too high; maximum is 0.25",
                iops.unwrap_or(0)
            )));
        }
        Ok(Some(throughput))
    }
}

const LISTING: Listing = Listing {
    action: "DescribeVolumes",
    ids: "VolumeIds",
    id: "VolumeId",
    sizes: 5..=1000,
    filters: &[
        ("attachment.attach-time", "Attachments.AttachTime"),
        ("attachment.delete-on-termination", "Attachments.DeleteOnTermination"),
        ("attachment.device", "Attachments.Device"),
        ("attachment.instance-id", "Attachments.InstanceId"),
        ("attachment.status", "Attachments.State"),
        ("availability-zone", "AvailabilityZone"),
        ("availability-zone-id", "AvailabilityZoneId"),
        ("create-time", "CreateTime"),
        ("encrypted", "Encrypted"),
        ("fast-restored", "FastRestored"),
        ("multi-attach-enabled", "MultiAttachEnabled"),
        ("operator.managed", ""),
        ("operator.principal", ""),
        ("size", "Size"),
        ("snapshot-id", "SnapshotId"),
        ("status", "State"),
        ("volume-id", "VolumeId"),
        ("volume-type", "VolumeType"),
    ],
};

pub(super) fn describe(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let region = &*context.region;
    LISTING.answer("Volumes", input, &region.volumes, &region.tags, |id, volume| shown(id, volume, region))
}

fn shown(id: &VolumeId, volume: &Volume, region: &Region) -> Structure {
    let attachments: Vec<Structure> = volume
        .attachment
        .iter()
        .map(|attachment| {
            Structure::new()
                .with("VolumeId", id)
                .with("InstanceId", &attachment.instance)
                .with("Device", attachment.device.as_str())
                .with("State", "attached")
                .with("AttachTime", whole_second(attachment.time))
                .with("DeleteOnTermination", attachment.delete_on_termination)
        })
        .collect();
    volume
        .shape
        .shown()
        .with("VolumeId", id)
        .with("Size", volume.shape.gib)
        .with("SnapshotId", volume.snapshot.as_ref().map_or("", AsRef::as_ref))
        .with("AvailabilityZone", volume.zone.name())
        .with("AvailabilityZoneId", volume.zone.id())
        .with("State", if attachments.is_empty() { "available" } else { "in-use" })
        .with("CreateTime", volume.created)
        .with("Attachments", attachments)
        .with("MultiAttachEnabled", false)
        .with("Tags", region.tags.shown(id))
}

/// What earlier versions have not written down of root volumes follows from their instances and images.
pub(super) fn know_systems(region: &mut Region) {
    let of_instances = region.instances.iter().filter_map(|(_, instance)| {
        let system = System {
            kind: instance.kind,
            image: instance.image_name.clone(),
            root: instance.image_root.clone(),
            login_user: instance.login_user.clone(),
            architecture: instance.architecture,
            layers: Vec::new(),
        };
        Some((instance.volumes.first()?.clone(), system))
    });
    let made_of = |volume: &Volume| {
        let snapshot = volume.snapshot.as_ref()?;
        region.images.iter().find(|(_, image)| image.root_snapshot == *snapshot).map(|(_, image)| image.system())
    };
    let kept = region.volumes.iter().filter(|(_, volume)| volume.attachment.is_none());
    let kept = kept.filter_map(|(id, volume)| Some((id.clone(), made_of(volume)?)));
    for (id, system) in of_instances.chain(kept).collect::<Vec<_>>() {
        if region.volumes.get(&id).is_some_and(|volume| volume.system.is_none()) {
            region.volumes.derive(&id, |volume| volume.system = Some(system));
        }
    }
}

/// For the volumes that outlive their instance.
pub(super) fn delete(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let id = context.region.volumes.parse(required(input, "VolumeId")?)?;
    if let Some(attachment) = &context.region.volumes.require(&id)?.attachment {
        let message = format!("Volume {id} is currently attached to {}", attachment.instance);
        return Err(ApiError::new(Code::VolumeInUse, message));
    }
    end(context, &id);
    Ok(Structure::new())
}

/// The instance that a volume was attached to is terminated: the volume ends with it, or is kept with all that is on it.
pub(super) fn release(context: &mut Context<'_>, id: &VolumeId) {
    let attachment = context.region.volumes.get_mut(id).and_then(|volume| volume.attachment.take());
    if attachment.is_some_and(|attachment| attachment.delete_on_termination) {
        end(context, id);
    }
}

pub(super) fn end(context: &mut Context<'_>, id: &VolumeId) {
    let gone = context.region.volumes.remove(id);
    context.region.tags.forget(id);
    context.shared.effects.push(Effect::Discard { volume: id.to_string() });
    context.shared.release_layers(gone.and_then(|volume| volume.system).as_ref());
}
