//! Peering connections of VPCs: of one account, in one region.

use super::{
    Context,
    action::{Action, action},
    describe::Listing,
    filter::whole_second,
    ids::{Id, VpcId, VpcPeeringConnectionId},
    quota,
    region::Region,
    request::{given, only, required, unsupported},
    settings::Settings,
    tags::TagSpecifications,
};
use crate::{
    error::{ApiError, Code},
    wire::{Structure, Value},
};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use time::OffsetDateTime;

pub(super) const ACTIONS: &[Action] = &[
    action("AcceptVpcPeeringConnection", accept, &["VpcPeeringConnectionId"]),
    action(
        "CreateVpcPeeringConnection",
        create,
        &["PeerOwnerId", "PeerRegion", "PeerVpcId", "TagSpecifications", "VpcId"],
    ),
    action("DeleteVpcPeeringConnection", delete, &["VpcPeeringConnectionId"]),
    action(
        "DescribeVpcPeeringConnections",
        describe,
        &["Filters", "MaxResults", "NextToken", "VpcPeeringConnectionIds"],
    ),
    action(
        "ModifyVpcPeeringConnectionOptions",
        modify_options,
        &["AccepterPeeringConnectionOptions", "RequesterPeeringConnectionOptions", "VpcPeeringConnectionId"],
    ),
    action("RejectVpcPeeringConnection", reject, &["VpcPeeringConnectionId"]),
];

/// A peering connection.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Peering {
    pub(super) requester: VpcId,
    pub(super) accepter: VpcId,
    status: Status,
    created: OffsetDateTime,
    /// When its status became what it is.
    changed: OffsetDateTime,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Status {
    /// Until somebody accepts it, or a week has gone by.
    Pending,
    Active,
    Rejected,
    Deleted,
    Failed,
}

/// How long a request waits for its answer, and how long what is over stays visible to who owns both VPCs.
/// Source: <https://docs.aws.amazon.com/vpc/latest/peering/vpc-peering-basics.html#vpc-peering-lifecycle>.
const WAITS: Duration = Duration::from_secs(7 * 86400);
/// However fast all goes, somebody has to accept it.
const WAITS_AT_LEAST: Duration = Duration::from_secs(60);
const VISIBLE: Duration = Duration::from_secs(2 * 3600);
const EXPIRED: Duration = Duration::from_secs(2 * 86400);

/// How long a connection waits to be accepted.
fn waits(settings: &Settings) -> Duration {
    settings.paced(WAITS).max(WAITS_AT_LEAST)
}

impl Peering {
    /// Whether it joins its VPCs.
    pub(super) fn is_active(&self) -> bool {
        self.status == Status::Active
    }

    /// The VPC at the other end.
    pub(super) fn other(&self, vpc: &VpcId) -> Option<&VpcId> {
        if self.requester == *vpc {
            Some(&self.accepter)
        } else {
            Some(&self.requester).filter(|_| self.accepter == *vpc)
        }
    }

    /// Whether a VPC can't go while it is there.
    pub(super) fn holds(&self, vpc: &VpcId, settings: &Settings, now: OffsetDateTime) -> bool {
        let is_pending = self.status == Status::Pending && !self.has_expired(settings, now);
        self.other(vpc).is_some() && (self.is_active() || is_pending)
    }

    fn has_expired(&self, settings: &Settings, now: OffsetDateTime) -> bool {
        self.status == Status::Pending && now >= self.created + waits(settings)
    }

    fn is_visible(&self, settings: &Settings, now: OffsetDateTime) -> bool {
        match self.status {
            Status::Active => true,
            Status::Pending => now < self.created + waits(settings) + settings.paced(EXPIRED),
            Status::Rejected | Status::Deleted | Status::Failed => now < self.changed + settings.paced(VISIBLE),
        }
    }

    fn status(&self, settings: &Settings, now: OffsetDateTime) -> Structure {
        let (code, message) = match self.status {
            Status::Pending if self.has_expired(settings, now) => ("expired", "Expired".to_owned()),
            Status::Pending => ("pending-acceptance", format!("Pending Acceptance by {}", settings.account)),
            Status::Active => ("active", "Active".to_owned()),
            Status::Rejected => ("rejected", format!("Rejected by {}", settings.account)),
            Status::Deleted => ("deleted", format!("Deleted by {}", settings.account)),
            Status::Failed => {
                ("failed", "Failed due to incorrect VPC-ID, Account ID, or overlapping CIDR range".to_owned())
            }
        };
        Structure::new().with("Code", code).with("Message", message)
    }
}

/// Forgets those that nobody sees any more.
pub(super) fn sweep(context: &mut Context<'_>) {
    let (region, settings, now) = (&mut *context.region, context.settings, context.now);
    let over = region.peering_connections.iter().filter(|(_, peering)| !peering.is_visible(settings, now));
    for id in over.map(|(id, _)| id.clone()).collect::<Vec<_>>() {
        region.peering_connections.remove(&id);
        region.tags.forget(&id);
    }
}

const LISTING: Listing = Listing {
    action: "DescribeVpcPeeringConnections",
    ids: "VpcPeeringConnectionIds",
    id: "VpcPeeringConnectionId",
    sizes: 5..=1000,
    filters: &[
        ("accepter-vpc-info.cidr-block", "AccepterVpcInfo.CidrBlock"),
        ("accepter-vpc-info.owner-id", "AccepterVpcInfo.OwnerId"),
        ("accepter-vpc-info.vpc-id", "AccepterVpcInfo.VpcId"),
        ("expiration-time", "ExpirationTime"),
        ("requester-vpc-info.cidr-block", "RequesterVpcInfo.CidrBlock"),
        ("requester-vpc-info.owner-id", "RequesterVpcInfo.OwnerId"),
        ("requester-vpc-info.vpc-id", "RequesterVpcInfo.VpcId"),
        ("status-code", "Status.Code"),
        ("status-message", "Status.Message"),
        ("vpc-peering-connection-id", "VpcPeeringConnectionId"),
    ],
};

pub(super) fn describe(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let region = &*context.region;
    LISTING.answer("VpcPeeringConnections", input, &region.peering_connections, &region.tags, |id, peering| {
        shown(context, id, peering)
    })
}

fn shown(context: &Context<'_>, id: &VpcPeeringConnectionId, peering: &Peering) -> Structure {
    let region = &*context.region;
    let status = peering.status(context.settings, context.now);
    let is_pending = status.string("Code") == Some("pending-acceptance");
    // Of whom it isn't joined to yet, the requester sees no more than who it is.
    let accepter = info(context, &peering.accepter, peering.is_active());
    Structure::new()
        .with("VpcPeeringConnectionId", id)
        .with("RequesterVpcInfo", info(context, &peering.requester, true))
        .with("AccepterVpcInfo", accepter)
        .with_some(
            "ExpirationTime",
            is_pending.then(|| Value::Timestamp(whole_second(peering.created + waits(context.settings)))),
        )
        .with("Status", status)
        .with("Tags", region.tags.shown(id))
}

fn info(context: &Context<'_>, id: &VpcId, is_whole: bool) -> Structure {
    let shown = Structure::new()
        .with("VpcId", id)
        .with("OwnerId", context.settings.account.as_str())
        .with("Region", context.region.place.name);
    let Some(vpc) = context.region.vpcs.get(id).filter(|_| is_whole) else { return shown };
    let ranges: Vec<Structure> =
        vpc.ranges().map(|range| Structure::new().with("CidrBlock", range.to_string())).collect();
    shown.with("CidrBlock", vpc.cidr.to_string()).with("CidrBlockSet", ranges).with(
        "PeeringOptions",
        Structure::new()
            .with("AllowDnsResolutionFromRemoteVpc", false)
            .with("AllowEgressFromLocalClassicLinkToRemoteVpc", false)
            .with("AllowEgressFromLocalVpcToRemoteClassicLink", false),
    )
}

/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateVpcPeeringConnection.html>.
pub(super) fn create(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let requester = context.region.vpcs.parse(required(input, "VpcId")?)?;
    let accepter = VpcId::parse(required(input, "PeerVpcId")?)?;
    if given(input, "PeerOwnerId").is_some_and(|owner| owner != context.settings.account) {
        return Err(unsupported("A peering connection with another account"));
    }
    if given(input, "PeerRegion").is_some_and(|region| region != context.region.place.name) {
        return Err(unsupported("A peering connection with another region"));
    }
    let tags = TagSpecifications::read(input, &["vpc-peering-connection"])?.of("vpc-peering-connection");
    let (settings, now) = (context.settings, context.now);
    let holds = |(_, peering): &(&VpcPeeringConnectionId, &Peering)| peering.holds(&requester, settings, now);
    let held = context.region.peering_connections.iter().filter(holds).count();
    let joins =
        |peering: &Peering| peering.holds(&requester, settings, now) && peering.other(&requester) == Some(&accepter);
    if let Some((id, _)) = context.region.peering_connections.iter().find(|(_, peering)| joins(peering)) {
        let message = format!("A VPC peering connection between {requester} and {accepter} exists already: {id}");
        return Err(ApiError::new(Code::VpcPeeringConnectionAlreadyExists, message));
    }
    let message = format!("You've reached the limit on peering connections for the VPC {requester}.");
    let quota = context.settings.quotas.peering_connections_per_vpc;
    quota::one_more(held, quota, Code::ActiveVpcPeeringConnectionLimitExceeded, message)?;
    let status = if can_be_joined(context.region, &requester, &accepter) { Status::Pending } else { Status::Failed };
    let id: VpcPeeringConnectionId = context.shared.source.id();
    let peering = Peering { requester, accepter, status, created: now, changed: now };
    context.region.tags.set(&id, tags);
    let mut shown = shown(context, &id, &peering);
    let status = Structure::new()
        .with("Code", "initiating-request")
        .with("Message", format!("Initiating Request to {}", context.settings.account));
    shown.set("Status", status);
    context.region.peering_connections.insert(id, peering);
    Ok(Structure::new().with("VpcPeeringConnection", shown))
}

/// Whether both VPCs are there, and have no address in common.
fn can_be_joined(region: &Region, one: &VpcId, other: &VpcId) -> bool {
    let (Some(one), Some(other)) = (region.vpcs.get(one), region.vpcs.get(other)) else { return false };
    !one.ranges().any(|range| other.ranges().any(|other| range.overlaps(other)))
}

/// Changes the status of the connection that a request names, from one of those given.
fn change(
    context: &mut Context<'_>,
    input: &Structure,
    from: &[Status],
    to: Status,
) -> Result<VpcPeeringConnectionId, ApiError> {
    let id = context.region.peering_connections.parse(required(input, "VpcPeeringConnectionId")?)?;
    let (settings, now) = (context.settings, context.now);
    let peering = context.region.peering_connections.require_mut(&id)?;
    if !from.contains(&peering.status) || peering.has_expired(settings, now) {
        let message = format!("The VPC peering connection {id} is not in a state from which it can become so.");
        return Err(ApiError::new(Code::InvalidStateTransition, message));
    }
    peering.status = to;
    peering.changed = now;
    let ends = [peering.requester.clone(), peering.accepter.clone()];
    for vpc in ends {
        context.network_changed(&vpc);
    }
    Ok(id)
}

pub(super) fn accept(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let id = change(context, input, &[Status::Pending], Status::Active)?;
    let peering = context.region.peering_connections.require(&id)?;
    Ok(Structure::new().with("VpcPeeringConnection", shown(context, &id, peering)))
}

pub(super) fn reject(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    change(context, input, &[Status::Pending], Status::Rejected)?;
    Ok(Structure::new().with("Return", true))
}

pub(super) fn delete(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    change(context, input, &[Status::Pending, Status::Active], Status::Deleted)?;
    Ok(Structure::new().with("Return", true))
}

/// What can be changed is off, and stays so.
pub(super) fn modify_options(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let id = context.region.peering_connections.parse(required(input, "VpcPeeringConnectionId")?)?;
    context.region.peering_connections.require(&id)?;
    let mut answer = Structure::new();
    for member in ["AccepterPeeringConnectionOptions", "RequesterPeeringConnectionOptions"] {
        if let Some(options) = input.structure(member) {
            only(options, &format!("{member}."), &[])?;
            answer.set(member, options.clone());
        }
    }
    Ok(answer)
}
