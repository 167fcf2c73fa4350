//! Egress-only internet gateways: the way out of IPv6, by which nobody comes in.
//!
//! Source: <https://docs.aws.amazon.com/vpc/latest/userguide/egress-only-internet-gateway.html>.

use super::{
    Context,
    action::{Action, action},
    describe::Listing,
    ids::{EgressOnlyInternetGatewayId, Id, VpcId},
    quota,
    request::required,
    tags::TagSpecifications,
};
use crate::{
    error::{ApiError, Code},
    wire::Structure,
};
use serde::{Deserialize, Serialize};

pub(super) const ACTIONS: &[Action] = &[
    action("CreateEgressOnlyInternetGateway", create, &["ClientToken", "TagSpecifications", "VpcId"]),
    action("DeleteEgressOnlyInternetGateway", delete, &["EgressOnlyInternetGatewayId"]),
    action(
        "DescribeEgressOnlyInternetGateways",
        describe,
        &["EgressOnlyInternetGatewayIds", "Filters", "MaxResults", "NextToken"],
    ),
];

/// An egress-only internet gateway.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct EgressOnlyGateway {
    /// What it is attached to, all its life.
    pub(super) vpc: VpcId,
    client_token: Option<String>,
}

const LISTING: Listing = Listing {
    action: "DescribeEgressOnlyInternetGateways",
    ids: "EgressOnlyInternetGatewayIds",
    id: "EgressOnlyInternetGatewayId",
    sizes: 5..=255,
    filters: &[],
};

/// What isn't there is left out and no error, unlike elsewhere: Terraform's provider takes a gateway for deleted by an empty answer.
pub(super) fn describe(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    const MEMBER: &str = "EgressOnlyInternetGateways";
    let table = &context.region.egress_only_gateways;
    let asked: Vec<_> = input.strings(LISTING.ids).map(EgressOnlyInternetGatewayId::parse).collect::<Result<_, _>>()?;
    let known: Vec<_> = asked.iter().filter(|id| table.sees(id)).map(AsRef::as_ref).collect::<Vec<&str>>();
    if known.is_empty() && !asked.is_empty() {
        return Ok(Structure::new().with(MEMBER, Vec::<Structure>::new()));
    }
    let input = input.clone().with(LISTING.ids, known);
    LISTING.answer(MEMBER, &input, table, &context.region.tags, |id, gateway| shown(context, id, gateway))
}

fn shown(context: &Context<'_>, id: &EgressOnlyInternetGatewayId, gateway: &EgressOnlyGateway) -> Structure {
    let attachment = Structure::new().with("State", "attached").with("VpcId", &gateway.vpc);
    Structure::new()
        .with("EgressOnlyInternetGatewayId", id)
        .with("Attachments", vec![attachment])
        .with("Tags", context.region.tags.shown(id))
}

const CREATE: &str = "CreateEgressOnlyInternetGateway";

/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateEgressOnlyInternetGateway.html>.
pub(super) fn create(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let token = match context.region.tokens.read(CREATE, input)? {
        Ok(token) => token,
        Err(made) => return answer(context, &context.region.egress_only_gateways.parse(made)?),
    };
    let vpc = context.region.vpcs.parse(required(input, "VpcId")?)?;
    const TYPE: &str = "egress-only-internet-gateway";
    let tags = TagSpecifications::read(input, &[TYPE])?.of(TYPE);
    let message = "The maximum number of egress-only internet gateways has been reached.";
    let (count, quota) = (context.region.egress_only_gateways.len(), context.settings.quotas.vpcs);
    quota::one_more(count, quota, Code::InternetGatewayLimitExceeded, message)?;
    let id: EgressOnlyInternetGatewayId = context.shared.source.id();
    context.region.tokens.remember(CREATE, token.clone(), input, id.as_ref(), 1);
    context.region.egress_only_gateways.insert(id.clone(), EgressOnlyGateway { vpc, client_token: token });
    context.region.tags.set(&id, tags);
    answer(context, &id)
}

fn answer(context: &Context<'_>, id: &EgressOnlyInternetGatewayId) -> Result<Structure, ApiError> {
    let gateway = context.region.egress_only_gateways.require(id)?;
    Ok(Structure::new()
        .with("EgressOnlyInternetGateway", shown(context, id, gateway))
        .with_some("ClientToken", gateway.client_token.as_deref()))
}

/// Routes that lead to it lead nowhere then.
/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DeleteEgressOnlyInternetGateway.html>.
pub(super) fn delete(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let region = &mut *context.region;
    let id = region.egress_only_gateways.parse(required(input, "EgressOnlyInternetGatewayId")?)?;
    region.egress_only_gateways.require(&id)?;
    if let Some(EgressOnlyGateway { vpc, client_token }) = region.egress_only_gateways.remove(&id) {
        if let Some(token) = client_token {
            region.tokens.release(CREATE, &token);
        }
        region.tags.forget(&id);
        context.network_changed(&vpc);
    }
    Ok(Structure::new().with("ReturnCode", true))
}
