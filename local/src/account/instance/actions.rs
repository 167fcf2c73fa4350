//! The actions of this room.

use super::{
    PARAMETERS, attribute, credits, describe, image_metadata, metadata_options, monitoring, names, options, run, status,
};
use crate::account::action::{Action, action};

pub(in crate::account) const ACTIONS: &[Action] = &[
    action("DescribeInstanceAttribute", attribute::describe, &["Attribute", "InstanceId"]),
    action(
        "DescribeInstanceCreditSpecifications",
        credits::describe,
        &["Filters", "InstanceIds", "MaxResults", "NextToken"],
    ),
    action(
        "DescribeInstanceImageMetadata",
        image_metadata::describe,
        &["Filters", "InstanceIds", "MaxResults", "NextToken"],
    ),
    action(
        "DescribeInstanceStatus",
        status::describe,
        &["Filters", "IncludeAllInstances", "InstanceIds", "MaxResults", "NextToken"],
    ),
    action("DescribeInstances", describe::describe, &["Filters", "InstanceIds", "MaxResults", "NextToken"]),
    action("GetPasswordData", options::password, &["InstanceId"]),
    action(
        "ModifyInstanceAttribute",
        attribute::modify,
        &[
            "Attribute",
            "BlockDeviceMappings",
            "DisableApiStop",
            "DisableApiTermination",
            "EbsOptimized",
            "Groups",
            "InstanceId",
            "InstanceInitiatedShutdownBehavior",
            "InstanceType",
            "SourceDestCheck",
            "UserData",
            "Value",
        ],
    ),
    action("ModifyInstanceCpuOptions", options::modify_cpu, &["CoreCount", "InstanceId", "ThreadsPerCore"]),
    action("ModifyInstanceCreditSpecification", credits::modify, &["ClientToken", "InstanceCreditSpecifications"]),
    action("ModifyInstanceMaintenanceOptions", options::modify_maintenance, &["AutoRecovery", "InstanceId"]),
    action(
        "ModifyInstanceMetadataOptions",
        metadata_options::modify,
        &[
            "HttpEndpoint",
            "HttpProtocolIpv6",
            "HttpPutResponseHopLimit",
            "HttpTokens",
            "InstanceId",
            "InstanceMetadataTags",
        ],
    ),
    action("ModifyInstancePlacement", options::modify_placement, &["Affinity", "GroupName", "InstanceId", "Tenancy"]),
    action(
        "ModifyPrivateDnsNameOptions",
        names::modify,
        &["EnableResourceNameDnsAAAARecord", "EnableResourceNameDnsARecord", "InstanceId", "PrivateDnsHostnameType"],
    ),
    action("MonitorInstances", monitoring::monitor, &["InstanceIds"]),
    action("RebootInstances", run::reboot, &["InstanceIds"]),
    action(
        "ReportInstanceStatus",
        options::report_status,
        &["Description", "EndTime", "Instances", "ReasonCodes", "StartTime", "Status"],
    ),
    action("ResetInstanceAttribute", options::reset_attribute, &["Attribute", "InstanceId"]),
    action("RunInstances", run::run, PARAMETERS),
    action("StartInstances", run::start, &["InstanceIds"]),
    action("StopInstances", run::stop, &["Force", "Hibernate", "InstanceIds", "SkipOsShutdown"]),
    action("TerminateInstances", run::terminate, &["Force", "InstanceIds", "SkipOsShutdown"]),
    action("UnmonitorInstances", monitoring::unmonitor, &["InstanceIds"]),
];
