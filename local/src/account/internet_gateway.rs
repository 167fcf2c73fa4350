//! Internet gateways: the one of the default VPC.

use super::{Context, describe::Listing, ids::VpcId};
use crate::{error::ApiError, wire::Structure};
use serde::{Deserialize, Serialize};

/// An internet gateway.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct InternetGateway {
    /// What it is attached to.
    pub(super) vpc: Option<VpcId>,
}

const LISTING: Listing = Listing {
    action: "DescribeInternetGateways",
    ids: "InternetGatewayIds",
    id: "InternetGatewayId",
    sizes: 5..=1000,
    filters: &[
        ("attachment.state", "Attachments.State"),
        ("attachment.vpc-id", "Attachments.VpcId"),
        ("internet-gateway-id", "InternetGatewayId"),
        ("owner-id", "OwnerId"),
    ],
};

pub(super) fn describe(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let region = &*context.region;
    LISTING.answer("InternetGateways", input, &region.internet_gateways, &region.tags, |id, gateway| {
        let attachments: Vec<Structure> =
            gateway.vpc.iter().map(|vpc| Structure::new().with("State", "available").with("VpcId", vpc)).collect();
        Structure::new()
            .with("InternetGatewayId", id)
            .with("OwnerId", context.settings.account.as_str())
            .with("Attachments", attachments)
            .with("Tags", region.tags.shown(id))
    })
}
