//! The actions of this room.

use super::{associate, describe, disassociate, replace};
use crate::account::action::{Action, action};

pub(in crate::account) const ACTIONS: &[Action] = &[
    action("AssociateIamInstanceProfile", associate, &["IamInstanceProfile", "InstanceId"]),
    action(
        "DescribeIamInstanceProfileAssociations",
        describe,
        &["AssociationIds", "Filters", "MaxResults", "NextToken"],
    ),
    action("DisassociateIamInstanceProfile", disassociate, &["AssociationId"]),
    action("ReplaceIamInstanceProfileAssociation", replace, &["AssociationId", "IamInstanceProfile"]),
];
