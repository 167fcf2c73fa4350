//! The actions of this room.

use super::{cancel, describe, describe_history, request};
use crate::account::action::{Action, action};

pub(in crate::account) const ACTIONS: &[Action] = &[
    action("CancelSpotInstanceRequests", cancel, &["SpotInstanceRequestIds"]),
    action("DescribeSpotInstanceRequests", describe, &["Filters", "MaxResults", "NextToken", "SpotInstanceRequestIds"]),
    action(
        "DescribeSpotPriceHistory",
        describe_history,
        &[
            "AvailabilityZone",
            "AvailabilityZoneId",
            "EndTime",
            "Filters",
            "InstanceTypes",
            "MaxResults",
            "NextToken",
            "ProductDescriptions",
            "StartTime",
        ],
    ),
    action(
        "RequestSpotInstances",
        request,
        &[
            "ClientToken",
            "InstanceCount",
            "InstanceInterruptionBehavior",
            "LaunchSpecification",
            "SpotPrice",
            "TagSpecifications",
            "Type",
            "ValidFrom",
            "ValidUntil",
        ],
    ),
];
