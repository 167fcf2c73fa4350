//! The actions of this room.

use super::{
    copy, create, create_many, delete, describe, describe_attribute, describe_tiers, modify_attribute, reset_attribute,
};
use crate::account::action::{Action, action};

pub(in crate::account) const ACTIONS: &[Action] = &[
    action(
        "CopySnapshot",
        copy,
        &[
            "Description",
            "DestinationRegion",
            "Encrypted",
            "KmsKeyId",
            "PresignedUrl",
            "SourceRegion",
            "SourceSnapshotId",
            "TagSpecifications",
        ],
    ),
    action("CreateSnapshot", create, &["Description", "Location", "TagSpecifications", "VolumeId"]),
    action(
        "CreateSnapshots",
        create_many,
        &["CopyTagsFromSource", "Description", "InstanceSpecification", "Location", "TagSpecifications"],
    ),
    action("DeleteSnapshot", delete, &["SnapshotId"]),
    action("DescribeSnapshotAttribute", describe_attribute, &["Attribute", "SnapshotId"]),
    action("DescribeSnapshotTierStatus", describe_tiers, &["Filters", "MaxResults", "NextToken"]),
    action(
        "DescribeSnapshots",
        describe,
        &["Filters", "MaxResults", "NextToken", "OwnerIds", "RestorableByUserIds", "SnapshotIds"],
    ),
    action(
        "ModifySnapshotAttribute",
        modify_attribute,
        &["Attribute", "CreateVolumePermission", "GroupNames", "OperationType", "SnapshotId", "UserIds"],
    ),
    action("ResetSnapshotAttribute", reset_attribute, &["Attribute", "SnapshotId"]),
];
