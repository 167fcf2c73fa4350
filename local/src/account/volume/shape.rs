//! What kind of volume it is: EC2's types, with their bounds.

use crate::{
    account::{
        request::{combination, invalid},
        stored::by_name,
    },
    error::{ApiError, Code},
    wire::Structure,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What kind of volume it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::account) struct Shape {
    pub(in crate::account) volume_type: VolumeType,
    pub(in crate::account) gib: i64,
    pub(in crate::account) iops: Option<i64>,
    pub(in crate::account) throughput: Option<i64>,
    pub(in crate::account) encrypted: bool,
    /// The ARN of the key that it is encrypted with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::account) kms_key: Option<String>,
}

/// EC2's types of volumes, with their bounds.
/// Source: <https://docs.aws.amazon.com/ebs/latest/userguide/ebs-volume-types.html>.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::account) struct TypeRules {
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
pub(in crate::account) type VolumeType = &'static TypeRules;

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
    pub(in crate::account) fn read(ebs: &Structure, default: Option<&Shape>) -> Result<Self, ApiError> {
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
        Ok(Self { volume_type, gib, iops, throughput, encrypted, kms_key: None })
    }

    /// What it becomes of a volume of this shape where a request changes something of it.
    pub(in crate::account) fn changed(&self, ebs: &Structure) -> Result<Self, ApiError> {
        if ["VolumeType", "Iops", "Throughput"].iter().all(|member| ebs.get(member).is_none()) {
            return Ok(self.clone());
        }
        Self::read(ebs, Some(self))
    }

    /// Reads the same of a volume that is made of a snapshot of this size, which is encrypted or not.
    pub(in crate::account) fn of_snapshot(ebs: &Structure, gib: i64, encrypted: bool) -> Result<Self, ApiError> {
        let size = ebs.integer("VolumeSize").unwrap_or(gib);
        let encrypted = encrypted || ebs.boolean("Encrypted") == Some(true);
        Self::read(&ebs.clone().with("VolumeSize", size).with("Encrypted", encrypted), None)
    }

    /// The same, encrypted where there is a key.
    pub(in crate::account) fn encrypted_with(self, key: Option<String>) -> Self {
        Self { encrypted: key.is_some(), kms_key: key, ..self }
    }

    /// Whether an instance can boot from it.
    pub(in crate::account) fn bootable(&self) -> bool {
        self.volume_type.bootable
    }

    /// The members that Describe shows of it.
    pub(in crate::account) fn shown(&self) -> Structure {
        Structure::new()
            .with("VolumeType", self.volume_type.name)
            .with_some("Iops", self.iops)
            .with_some("Throughput", self.throughput)
            .with("Encrypted", self.encrypted)
    }
}

impl TypeRules {
    /// EC2's name.
    pub(in crate::account) fn name(&self) -> &'static str {
        self.name
    }

    fn iops(&self, asked: Option<i64>, gib: i64) -> Result<Option<i64>, ApiError> {
        let Some((low, high)) = self.iops else {
            return match asked {
                Some(_) => Err(combination(format!("The parameter iops is not supported for {} volumes.", self.name))),
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
                Some(_) => {
                    Err(combination(format!("The parameter throughput is not supported for {} volumes.", self.name)))
                }
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
