//! Internet gateways.

use super::{
    Context,
    action::{Action, action},
    describe::Listing,
    ids::{InternetGatewayId, VpcId},
    network_interface::NetworkInterface,
    quota,
    request::{invalid, required},
    tags::TagSpecifications,
    vpc::has_dependencies,
};
use crate::{
    error::{ApiError, Code},
    wire::Structure,
};
use serde::{Deserialize, Serialize};

pub(super) const ACTIONS: &[Action] = &[
    action("AttachInternetGateway", attach, &["InternetGatewayId", "VpcId"]),
    action("CreateInternetGateway", create, &["TagSpecifications"]),
    action("DeleteInternetGateway", delete, &["InternetGatewayId"]),
    action("DescribeInternetGateways", describe, &["Filters", "InternetGatewayIds", "MaxResults", "NextToken"]),
    action("DetachInternetGateway", detach, &["InternetGatewayId", "VpcId"]),
];

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
        shown(context, id, gateway)
    })
}

fn shown(context: &Context<'_>, id: &InternetGatewayId, gateway: &InternetGateway) -> Structure {
    let attachments: Vec<Structure> =
        gateway.vpc.iter().map(|vpc| Structure::new().with("State", "available").with("VpcId", vpc)).collect();
    Structure::new()
        .with("InternetGatewayId", id)
        .with("OwnerId", context.settings.account.as_str())
        .with("Attachments", attachments)
        .with("Tags", context.region.tags.shown(id))
}

pub(super) fn create(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let tags = TagSpecifications::read(input, &["internet-gateway"])?.of("internet-gateway");
    let message = "The maximum number of internet gateways has been reached.";
    let (count, quota) = (context.region.internet_gateways.len(), context.settings.quotas.vpcs);
    quota::one_more(count, quota, Code::InternetGatewayLimitExceeded, message)?;
    let id: InternetGatewayId = context.shared.source.id();
    context.region.tags.set(&id, tags);
    let gateway = InternetGateway { vpc: None };
    let shown = shown(context, &id, &gateway);
    context.region.internet_gateways.insert(id, gateway);
    Ok(Structure::new().with("InternetGateway", shown))
}

/// The gateway and the VPC that a request names.
fn named(context: &Context<'_>, input: &Structure) -> Result<(InternetGatewayId, VpcId), ApiError> {
    let id = context.region.internet_gateways.parse(required(input, "InternetGatewayId")?)?;
    Ok((id, context.region.vpcs.parse(required(input, "VpcId")?)?))
}

/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_AttachInternetGateway.html>.
pub(super) fn attach(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let (id, vpc) = named(context, input)?;
    if let Some(other) = &context.region.internet_gateways.require(&id)?.vpc {
        let message = format!("resource {id} is already attached to network {other}");
        return Err(ApiError::new(Code::ResourceAlreadyAssociated, message));
    }
    if context.region.internet_gateways.iter().any(|(_, gateway)| gateway.vpc.as_ref() == Some(&vpc)) {
        return Err(invalid(format!("Network {vpc} already has an internet gateway attached")));
    }
    context.region.internet_gateways.require_mut(&id)?.vpc = Some(vpc.clone());
    context.network_changed(&vpc);
    Ok(Structure::new())
}

/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DetachInternetGateway.html>.
pub(super) fn detach(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let (id, vpc) = named(context, input)?;
    if context.region.internet_gateways.require(&id)?.vpc.as_ref() != Some(&vpc) {
        let message = format!("resource {id} is not attached to network {vpc}");
        return Err(ApiError::new(Code::GatewayNotAttached, message));
    }
    let is_mapped = |interface: &NetworkInterface| interface.vpc == vpc && interface.public_address.is_some();
    if context.region.network_interfaces.iter().any(|(_, interface)| is_mapped(interface)) {
        let message = format!(
            "Network {vpc} has some mapped public address(es). Please unmap those public address(es) before detaching the \
             gateway."
        );
        return Err(ApiError::new(Code::DependencyViolation, message));
    }
    context.region.internet_gateways.require_mut(&id)?.vpc = None;
    context.network_changed(&vpc);
    Ok(Structure::new())
}

pub(super) fn delete(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let id = context.region.internet_gateways.parse(required(input, "InternetGatewayId")?)?;
    if context.region.internet_gateways.require(&id)?.vpc.is_some() {
        return Err(has_dependencies("internetGateway", &id));
    }
    context.region.internet_gateways.remove(&id);
    context.region.tags.forget(&id);
    Ok(Structure::new())
}
