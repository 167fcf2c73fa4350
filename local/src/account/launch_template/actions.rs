//! The actions of this room.

use super::{create, create_version, delete, delete_versions, describe, describe_versions, get_data, modify};
use crate::account::action::{Action, action};

pub(in crate::account) const ACTIONS: &[Action] = &[
    action(
        "CreateLaunchTemplate",
        create,
        &["ClientToken", "LaunchTemplateData", "LaunchTemplateName", "TagSpecifications", "VersionDescription"],
    ),
    action(
        "CreateLaunchTemplateVersion",
        create_version,
        &[
            "ClientToken",
            "LaunchTemplateData",
            "LaunchTemplateId",
            "LaunchTemplateName",
            "SourceVersion",
            "VersionDescription",
        ],
    ),
    action("DeleteLaunchTemplate", delete, &["LaunchTemplateId", "LaunchTemplateName"]),
    action("DeleteLaunchTemplateVersions", delete_versions, &["LaunchTemplateId", "LaunchTemplateName", "Versions"]),
    action(
        "DescribeLaunchTemplateVersions",
        describe_versions,
        &[
            "Filters",
            "LaunchTemplateId",
            "LaunchTemplateName",
            "MaxResults",
            "MaxVersion",
            "MinVersion",
            "NextToken",
            "Versions",
        ],
    ),
    action(
        "DescribeLaunchTemplates",
        describe,
        &["Filters", "LaunchTemplateIds", "LaunchTemplateNames", "MaxResults", "NextToken"],
    ),
    action("GetLaunchTemplateData", get_data, &["InstanceId"]),
    action(
        "ModifyLaunchTemplate",
        modify,
        &["ClientToken", "DefaultVersion", "LaunchTemplateId", "LaunchTemplateName"],
    ),
];
