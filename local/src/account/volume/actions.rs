//! The actions of this room.

use super::{attach, create, delete, describe, encryption, modify, status};
use crate::account::action::{Action, action};

pub(in crate::account) const ACTIONS: &[Action] = &[
    action("AttachVolume", attach::attach, &["Device", "InstanceId", "VolumeId"]),
    action(
        "CreateVolume",
        create,
        &[
            "AvailabilityZone",
            "AvailabilityZoneId",
            "ClientToken",
            "Encrypted",
            "Iops",
            "KmsKeyId",
            "Size",
            "SnapshotId",
            "TagSpecifications",
            "Throughput",
            "VolumeType",
        ],
    ),
    action("DeleteVolume", delete, &["VolumeId"]),
    action("DescribeVolumeAttribute", status::describe_attribute, &["Attribute", "VolumeId"]),
    action("DescribeVolumeStatus", status::describe, &["Filters", "MaxResults", "NextToken", "VolumeIds"]),
    action("DescribeVolumes", describe, &["Filters", "MaxResults", "NextToken", "VolumeIds"]),
    action("DescribeVolumesModifications", modify::describe, &["Filters", "MaxResults", "NextToken", "VolumeIds"]),
    action("DetachVolume", attach::detach, &["Device", "Force", "InstanceId", "VolumeId"]),
    action("DisableEbsEncryptionByDefault", encryption::disable, &[]),
    action("EnableEbsEncryptionByDefault", encryption::enable, &[]),
    action("EnableVolumeIO", status::enable_io, &["VolumeId"]),
    action("GetEbsDefaultKmsKeyId", encryption::get_key, &[]),
    action("GetEbsEncryptionByDefault", encryption::get, &[]),
    action("ModifyEbsDefaultKmsKeyId", encryption::modify_key, &["KmsKeyId"]),
    action("ModifyVolume", modify::modify, &["Iops", "Size", "Throughput", "VolumeId", "VolumeType"]),
    action("ModifyVolumeAttribute", status::modify_attribute, &["AutoEnableIO", "VolumeId"]),
    action("ResetEbsDefaultKmsKeyId", encryption::reset_key, &[]),
];
