//! GetSecurityGroupsForVpc: the groups that interfaces of a VPC may have, which are its own.

use super::SecurityGroup;
use crate::{
    account::{Context, describe::Listing, request::required},
    error::ApiError,
    wire::Structure,
};

const LISTING: Listing = Listing {
    action: "GetSecurityGroupsForVpc",
    ids: "GroupIds",
    id: "GroupId",
    sizes: 5..=1000,
    filters: &[
        ("description", "Description"),
        ("group-id", "GroupId"),
        ("group-name", "GroupName"),
        ("owner-id", "OwnerId"),
        ("primary-vpc-id", "PrimaryVpcId"),
    ],
};

/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_GetSecurityGroupsForVpc.html>.
pub(in crate::account) fn for_vpc(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let region = &*context.region;
    let vpc = region.vpcs.parse(required(input, "VpcId")?)?;
    let wanted = |group: &SecurityGroup| group.vpc == vpc;
    LISTING.answer_where("SecurityGroupForVpcs", input, &region.security_groups, &region.tags, wanted, |id, group| {
        Structure::new()
            .with("GroupId", id)
            .with("GroupName", group.name.as_str())
            .with("Description", group.description.as_str())
            .with("OwnerId", context.settings.account.as_str())
            .with("PrimaryVpcId", &group.vpc)
            .with("Tags", region.tags.shown(id))
    })
}
