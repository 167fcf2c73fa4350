//! What a volume is to be: `gp3(20)`.

use super::super::specification::volume_gib;
use crate::{
    check::{Size, gib},
    error::{Error, ErrorKind},
};
use aws_sdk_ec2::{
    operation::create_volume::builders::CreateVolumeFluentBuilder,
    types::{BlockDeviceMapping, EbsBlockDevice, VolumeType},
};
use std::fmt;

/// A volume that is to be made; plain data.
///
/// What isn't said is EC2's default for its type; it is encrypted only where it is said, or the account encrypts all.
/// <https://docs.aws.amazon.com/ebs/latest/userguide/ebs-volume-types.html>
#[derive(Debug, Clone, PartialEq)]
#[must_use = "a volume isn't made before it is given to a launch, a machine or `create_volume`"]
pub struct NewVolume {
    pub(super) name: Option<String>,
    pub(in crate::ec2) volume_type: String,
    pub(in crate::ec2) size: Option<Size>,
    pub(in crate::ec2) iops: Option<i32>,
    pub(in crate::ec2) throughput: Option<i32>,
    pub(in crate::ec2) encrypted: bool,
    pub(in crate::ec2) kms_key: Option<String>,
    pub(in crate::ec2) snapshot: Option<String>,
    pub(in crate::ec2) device: Option<String>,
    pub(super) tags: Vec<(String, String)>,
}

/// A volume of so many GiB, of the type `gp3`.
pub fn gp3(size: u64) -> NewVolume {
    NewVolume::new("gp3").size(gib(size))
}

impl NewVolume {
    /// A volume of a type: `gp3`, `io2`, `st1`…
    pub fn new(volume_type: impl Into<String>) -> Self {
        Self {
            name: None,
            volume_type: volume_type.into(),
            size: None,
            iops: None,
            throughput: None,
            encrypted: false,
            kms_key: None,
            snapshot: None,
            device: None,
            tags: Vec::new(),
        }
    }

    /// Its size, of whole GiB. Default: its snapshot's.
    pub fn size(mut self, size: Size) -> Self {
        self.size = Some(size);
        self
    }

    /// Its I/O operations a second. Default: EC2's for its type.
    pub fn iops(mut self, iops: i32) -> Self {
        self.iops = Some(iops);
        self
    }

    /// Its throughput in MiB/s. Default: EC2's for its type.
    pub fn throughput(mut self, throughput: i32) -> Self {
        self.throughput = Some(throughput);
        self
    }

    /// Encrypts it with the account's default key. Default: not encrypted, unless the account encrypts all.
    pub fn encrypted(mut self) -> Self {
        self.encrypted = true;
        self
    }

    /// Encrypts it with this key: its id, alias or ARN. Default: the account's.
    pub fn kms_key(mut self, key: impl Into<String>) -> Self {
        self.encrypted = true;
        self.kms_key = Some(key.into());
        self
    }

    /// Makes it of a snapshot. Default: empty.
    pub fn snapshot(mut self, id: impl Into<String>) -> Self {
        self.snapshot = Some(id.into());
        self
    }

    /// The device that it is attached as: `/dev/sdf`. Default: the machine's next free one.
    pub fn device(mut self, device: impl Into<String>) -> Self {
        self.device = Some(device.into());
        self
    }

    /// Its `Name` tag. Default: the test's name, else `ec2-harness`.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// A tag on it, beside the configuration's and our own.
    pub fn tag(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.tags.push((key.into(), value.into()));
        self
    }

    /// The request for it.
    pub(super) fn request(
        &self,
        call: CreateVolumeFluentBuilder,
        tried: &str,
    ) -> Result<CreateVolumeFluentBuilder, Error> {
        Ok(call
            .volume_type(VolumeType::from(self.volume_type.as_str()))
            .set_size(self.size.map(|size| volume_gib(size, tried)).transpose()?)
            .set_iops(self.iops)
            .set_throughput(self.throughput)
            .set_encrypted(self.encrypted.then_some(true))
            .set_kms_key_id(self.kms_key.clone())
            .set_snapshot_id(self.snapshot.clone()))
    }
}

impl NewVolume {
    /// It as a part of a launch, which ends with the machine.
    ///
    /// # Errors
    ///
    /// EC2 would never take its size.
    pub(in crate::ec2) fn mapping(&self, device: String, tried: &str) -> Result<BlockDeviceMapping, Error> {
        if self.size.is_none() && self.snapshot.is_none() {
            return Err(Error::new(ErrorKind::Configuration, tried)
                .because("it has neither a size nor a snapshot")
                .advise("say `.size(gib(20))`"));
        }
        let ebs = EbsBlockDevice::builder()
            .volume_type(VolumeType::from(self.volume_type.as_str()))
            .set_volume_size(self.size.map(|size| volume_gib(size, tried)).transpose()?)
            .set_iops(self.iops)
            .set_throughput(self.throughput)
            .set_encrypted(self.encrypted.then_some(true))
            .set_kms_key_id(self.kms_key.clone())
            .set_snapshot_id(self.snapshot.clone())
            .delete_on_termination(true);
        Ok(BlockDeviceMapping::builder().device_name(device).ebs(ebs.build()).build())
    }

    /// The tags that it has for itself, where it is made with others in one call.
    pub(in crate::ec2) fn own_tags(&self) -> Vec<(String, String)> {
        let name = self.name.iter().map(|name| ("Name".to_owned(), name.clone()));
        name.chain(self.tags.iter().cloned()).collect()
    }
}

impl fmt::Display for NewVolume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a {} volume", self.volume_type)?;
        self.size.map_or(Ok(()), |size| write!(f, " of {size}"))?;
        self.snapshot.as_ref().map_or(Ok(()), |snapshot| write!(f, " of {snapshot}"))
    }
}
