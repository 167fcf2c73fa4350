//! NAT gateways.

use super::{
    Context,
    action::{Action, action},
    address::draw_mac,
    describe::Listing,
    elastic_address,
    filter::whole_second,
    ids::{AllocationId, Id, NatGatewayId, NetworkInterfaceId, SubnetId, VpcId},
    network_interface::{self, NetworkInterface},
    quota,
    region::Region,
    request::{combination, invalid, missing, one_of, required},
    settings::Settings,
    tags::TagSpecifications,
};
use crate::{
    error::{ApiError, Code},
    wire::Structure,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, net::Ipv4Addr, time::Duration};
use time::OffsetDateTime;

pub(super) const ACTIONS: &[Action] = &[
    action(
        "CreateNatGateway",
        create,
        &["AllocationId", "ClientToken", "ConnectivityType", "PrivateIpAddress", "SubnetId", "TagSpecifications"],
    ),
    action("DeleteNatGateway", delete, &["NatGatewayId"]),
    action("DescribeNatGateways", describe, &["Filter", "MaxResults", "NatGatewayIds", "NextToken"]),
];

/// A NAT gateway.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct NatGateway {
    pub(super) vpc: VpcId,
    pub(super) subnet: SubnetId,
    /// Its public address; a private one has none.
    public: Option<Public>,
    /// Its network interface, as long as it is there, and the private address.
    interface: NetworkInterfaceId,
    address: Ipv4Addr,
    created: OffsetDateTime,
    /// When it was asked to go.
    deleted: Option<OffsetDateTime>,
    client_token: Option<String>,
}

/// The elastic address of a public NAT gateway.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Public {
    allocation: AllocationId,
    address: Ipv4Addr,
}

/// How long it takes to come and to go, and how long it is seen after that. AWS says "a few minutes" and "about an hour":
/// <https://docs.aws.amazon.com/vpc/latest/userguide/nat-gateway-working-with.html>.
const PENDING: Duration = Duration::from_secs(90);
const DELETING: Duration = Duration::from_secs(45);
const VISIBLE: Duration = Duration::from_secs(3600);

impl NatGateway {
    fn state(&self, settings: &Settings, now: OffsetDateTime) -> &'static str {
        match self.deleted {
            Some(deleted) if now < deleted + settings.paced(DELETING) => "deleting",
            Some(_) => "deleted",
            None if now < self.created + settings.paced(PENDING) => "pending",
            None => "available",
        }
    }

    /// Whether it is neither gone nor about to go.
    pub(super) fn is_there(&self) -> bool {
        self.deleted.is_none()
    }

    /// In whose name it leads to the internet, as far as its subnet's routes do.
    pub(super) fn public_address(&self) -> Option<Ipv4Addr> {
        self.public.as_ref().map(|public| public.address)
    }
}

/// Lets go of what those hold that are gone, and forgets those that nobody sees any more.
pub(super) fn sweep(context: &mut Context<'_>) {
    let (now, settings) = (context.now, context.settings);
    let mut over = Vec::new();
    for (id, gateway) in context.region.nat_gateways.iter() {
        let gone = gateway.deleted.map(|deleted| deleted + settings.paced(DELETING)).filter(|gone| *gone <= now);
        over.extend(gone.map(|gone| (id.clone(), gateway.interface.clone(), now >= gone + settings.paced(VISIBLE))));
    }
    for (id, interface, is_forgotten) in over {
        if context.region.network_interfaces.contains(&interface) {
            network_interface::delete(context, &interface);
        }
        if is_forgotten {
            if let Some(NatGateway { client_token: Some(token), .. }) = context.region.nat_gateways.remove(&id) {
                context.region.tokens.release(CREATE, &token);
            }
            context.region.tags.forget(&id);
        }
    }
}

const LISTING: Listing = Listing {
    action: "DescribeNatGateways",
    ids: "NatGatewayIds",
    id: "NatGatewayId",
    sizes: 5..=1000,
    filters: &[("nat-gateway-id", "NatGatewayId"), ("state", "State"), ("subnet-id", "SubnetId"), ("vpc-id", "VpcId")],
};

pub(super) fn describe(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let region = &*context.region;
    // Of all lists of filters, this one's name is singular.
    let mut input = input.clone();
    if let Some(filters) = input.get("Filter").cloned() {
        input.set("Filters", filters);
    }
    LISTING.answer("NatGateways", &input, &region.nat_gateways, &region.tags, |id, gateway| shown(context, id, gateway))
}

fn shown(context: &Context<'_>, id: &NatGatewayId, gateway: &NatGateway) -> Structure {
    let address = Structure::new()
        .with("NetworkInterfaceId", &gateway.interface)
        .with("PrivateIp", gateway.address.to_string())
        .with("IsPrimary", true)
        .with("Status", "succeeded")
        .with_some("AllocationId", gateway.public.as_ref().map(|public| &public.allocation))
        .with_some("PublicIp", gateway.public.as_ref().map(|public| public.address.to_string()));
    let gone = gateway.deleted.map(|deleted| deleted + context.settings.paced(DELETING));
    let gone = gone.filter(|gone| *gone <= context.now);
    Structure::new()
        .with("NatGatewayId", id)
        .with("VpcId", &gateway.vpc)
        .with("SubnetId", &gateway.subnet)
        .with("State", gateway.state(context.settings, context.now))
        .with("ConnectivityType", if gateway.public.is_some() { "public" } else { "private" })
        .with("AvailabilityMode", "zonal")
        .with("CreateTime", whole_second(gateway.created))
        .with_some("DeleteTime", gone.map(whole_second))
        .with("NatGatewayAddresses", vec![address])
        .with("Tags", context.region.tags.shown(id))
}

const CREATE: &str = "CreateNatGateway";

/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateNatGateway.html>.
pub(super) fn create(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let token = match context.region.tokens.read(CREATE, input)? {
        Ok(token) => token,
        Err(made) => return answer(context, &context.region.nat_gateways.parse(made)?),
    };
    let subnet = context.region.subnets.parse(required(input, "SubnetId")?)?;
    let is_private = one_of(input, "ConnectivityType", &["private", "public"])? == Some("private");
    let public = match input.string("AllocationId") {
        Some(_) if is_private => {
            return Err(combination("AllocationId cannot be specified for a NAT gateway with private connectivity"));
        }
        None if !is_private => return Err(missing("AllocationId")),
        Some(allocation) => Some(free_address(context.region, allocation)?),
        None => None,
    };
    let wanted = input.string("PrivateIpAddress").map(|text| {
        text.parse().map_err(|_| {
            invalid(format!("Value ({text}) for parameter privateIpAddress is invalid. Invalid IPv4 address."))
        })
    });
    let wanted = wanted.transpose()?;
    let tags = TagSpecifications::read(input, &["natgateway"])?.of("natgateway");
    check_quota(context, &subnet)?;
    let id: NatGatewayId = context.shared.source.id();
    let (vpc, interface, address) = make_interface(context, &id, &subnet, wanted)?;
    context.region.tokens.remember(CREATE, token.clone(), input, id.as_ref(), 1);
    let created = context.now;
    let gateway = NatGateway { vpc, subnet, public, interface, address, created, deleted: None, client_token: token };
    let bound = gateway.public.as_ref().map(|public| public.allocation.clone());
    let (holder, private) = (gateway.interface.clone(), gateway.address);
    context.region.nat_gateways.insert(id.clone(), gateway);
    context.region.tags.set(&id, tags);
    if let Some(allocation) = bound {
        elastic_address::bind(context, &allocation, &holder, private)?;
    }
    answer(context, &id)
}

/// An elastic address that nobody has.
fn free_address(region: &Region, allocation: &str) -> Result<Public, ApiError> {
    let allocation = region.elastic_addresses.parse(allocation)?;
    let address = region.elastic_addresses.require(&allocation)?;
    if let Some(bound) = &address.association {
        let message = format!("resource {allocation} is already associated with associate-id {}", bound.id);
        return Err(ApiError::new(Code::ResourceAlreadyAssociated, message));
    }
    Ok(Public { address: address.public, allocation })
}

fn check_quota(context: &Context<'_>, subnet: &SubnetId) -> Result<(), ApiError> {
    let region = &*context.region;
    let zone = region.subnets.require(subnet)?.zone;
    let is_of_zone =
        |gateway: &NatGateway| region.subnets.get(&gateway.subnet).is_some_and(|subnet| subnet.zone == zone);
    let count = region.nat_gateways.iter().filter(|(_, gateway)| gateway.is_there() && is_of_zone(gateway)).count();
    let message = format!("The maximum number of NAT gateways has been reached in {}.", zone.name());
    let quota = context.settings.quotas.nat_gateways_per_zone;
    quota::one_more(count, quota, Code::NatGatewayLimitExceeded, message)
}

/// Makes the network interface of a NAT gateway, which is AWS's.
fn make_interface(
    context: &mut Context<'_>,
    gateway: &NatGatewayId,
    subnet: &SubnetId,
    wanted: Option<Ipv4Addr>,
) -> Result<(VpcId, NetworkInterfaceId, Ipv4Addr), ApiError> {
    let source = &mut context.shared.source;
    let id: NetworkInterfaceId = source.id();
    let row = context.region.subnets.require_mut(subnet)?;
    let address = row.take(subnet, wanted, &id, source)?;
    let vpc = row.vpc.clone();
    let interface = NetworkInterface {
        vpc: vpc.clone(),
        subnet: subnet.clone(),
        mac: draw_mac(source),
        address,
        secondary: Vec::new(),
        ipv6: Vec::new(),
        public_address: None,
        associate_public: false,
        elastic: BTreeMap::new(),
        groups: Vec::new(),
        description: format!("Interface for NAT Gateway {gateway}"),
        source_dest_check: false,
        attachment: None,
        client_token: None,
        nat_gateway: Some(gateway.clone()),
    };
    context.region.network_interfaces.insert(id.clone(), interface);
    Ok((vpc, id, address))
}

fn answer(context: &Context<'_>, id: &NatGatewayId) -> Result<Structure, ApiError> {
    let gateway = context.region.nat_gateways.require(id)?;
    let shown = shown(context, id, gateway);
    Ok(Structure::new().with("NatGateway", shown).with_some("ClientToken", gateway.client_token.as_deref()))
}

/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DeleteNatGateway.html>.
pub(super) fn delete(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let id = context.region.nat_gateways.parse(required(input, "NatGatewayId")?)?;
    let now = context.now;
    let gateway = context.region.nat_gateways.require_mut(&id)?;
    if !gateway.is_there() {
        return Err(ApiError::new(NatGatewayId::NOT_FOUND, NatGatewayId::not_found(&[id.as_ref()])));
    }
    gateway.deleted = Some(now);
    let vpc = gateway.vpc.clone();
    context.network_changed(&vpc);
    Ok(Structure::new().with("NatGatewayId", &id))
}
