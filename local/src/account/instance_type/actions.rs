//! The actions of this room.

use super::{describe, describe_offerings};
use crate::account::action::{Action, action};

pub(in crate::account) const ACTIONS: &[Action] = &[
    action(
        "DescribeInstanceTypeOfferings",
        describe_offerings,
        &["Filters", "LocationType", "MaxResults", "NextToken"],
    ),
    action("DescribeInstanceTypes", describe, &["Filters", "InstanceTypes", "MaxResults", "NextToken"]),
];
