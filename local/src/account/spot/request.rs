//! RequestSpotInstances, and what RunInstances has of it.

use super::{
    Behavior, FULFILLED, Market, PENDING_EVALUATION, Price, Spot, SpotRequest, State, Status, describe,
    market::{self, check_behavior, is_persistent},
    price,
};
use crate::{
    account::{
        Context,
        ids::{InstanceId, SpotInstanceRequestId},
        instance::{self, Instance, Launch},
        instance_type::{self, InstanceType},
        region::Region,
        request::{given, invalid, missing, only},
        tags::{TagSet, TagSpecifications},
    },
    error::{ApiError, Code},
    wire::Structure,
};
use std::{borrow::Cow, time::Duration};
use time::OffsetDateTime;

/// The action whose client tokens requests hold.
pub(super) const ACTION: &str = "RequestSpotInstances";
/// The resource type of a request in its tags.
pub(in crate::account) const RESOURCE: &str = "spot-instances-request";
/// How long a one-time request waits where nothing is said.
/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_RequestSpotInstances.html>.
const VALID: Duration = Duration::from_secs(7 * 24 * 3600);
/// How many instances one request may want: no quota of AWS's is larger.
const MOST: i64 = 1000;

/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_RequestSpotInstances.html>.
pub(in crate::account) fn request(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let token = match context.region.tokens.read(ACTION, input)? {
        Ok(token) => token,
        Err(made) => {
            let ids: Vec<String> = made.split(' ').map(str::to_owned).collect();
            return answer(context, &context.region.spot_requests.parse_all(ids.iter().map(String::as_str))?);
        }
    };
    let launch = launch(input)?;
    let count = match input.integer("InstanceCount").unwrap_or(1) {
        count @ 1..=MOST => count.unsigned_abs(),
        count => {
            return Err(invalid(format!(
                "Value ({count}) for parameter instanceCount is invalid. It must be at least 1 and at most {MOST}."
            )));
        }
    };
    let now = context.now;
    let (valid_from, valid_until) = (market::time(now, input, "ValidFrom")?, market::time(now, input, "ValidUntil")?);
    if valid_from.zip(valid_until).is_some_and(|(from, until)| from >= until) {
        return Err(ApiError::new(Code::InvalidTime, "ValidFrom must be before ValidUntil."));
    }
    let persistent = is_persistent(input, "Type")?;
    let behavior = Behavior::read(input)?;
    check_behavior(persistent, behavior)?;
    let instance_type = instance_type::named(launch.string("InstanceType").unwrap_or(instance::DEFAULT_TYPE))?;
    market::check(context, instance_type, count)?;
    let specification = match Launch::read(context, &launch) {
        Ok(checked) => specification(context, &launch, Some(&checked)),
        Err(error) if is_temporary(&error) => specification(context, &launch, None),
        Err(error) => return Err(error),
    };
    let tags = TagSpecifications::read(input, &[RESOURCE])?.of(RESOURCE);
    let week = instance::later(now, VALID);
    let market = Market {
        persistent,
        behavior,
        max_price: Price::read(input, "SpotPrice")?,
        valid_until: valid_until.or((!persistent).then_some(week)),
    };
    let ids: Vec<SpotInstanceRequestId> = (0..count).map(|_| context.shared.source.id()).collect();
    let named = ids.iter().map(AsRef::as_ref).collect::<Vec<&str>>().join(" ");
    context.region.tokens.remember(ACTION, token.clone(), input, &named, ids.len());
    for id in &ids {
        let row = SpotRequest {
            valid_from,
            status: status(now, PENDING_EVALUATION),
            client_token: token.clone(),
            ..row(now, &market, instance_type, launch.clone(), specification.clone())
        };
        insert(context, id, row, &tags);
        context.wake_when_due(id);
    }
    answer(context, &ids)
}

/// What doesn't speak against a request, which waits until it is over.
pub(super) fn is_temporary(error: &ApiError) -> bool {
    matches!(
        error.code,
        Code::InsufficientInstanceCapacity
            | Code::SpotMaxPriceTooLow
            | Code::InsufficientFreeAddressesInSubnet
            | Code::MaxSpotInstanceCountExceeded
            | Code::InstanceLimitExceeded
            | Code::NetworkInterfaceLimitExceeded
    )
}

/// What RunInstances is to be asked for.
fn launch(input: &Structure) -> Result<Structure, ApiError> {
    let specification = input.structure("LaunchSpecification").ok_or_else(|| missing("LaunchSpecification"))?;
    only(specification, "LaunchSpecification.", instance::PARAMETERS)?;
    let options = given(input, "SpotPrice").map(|price| Structure::new().with("MaxPrice", price));
    let market = Structure::new().with("MarketType", "spot").with_some("SpotOptions", options);
    Ok(one_of(specification).with("InstanceMarketOptions", market))
}

/// A launch of a single instance.
fn one_of(launch: &Structure) -> Structure {
    launch.clone().with("MinCount", 1_i64).with("MaxCount", 1_i64)
}

fn row(
    now: OffsetDateTime,
    market: &Market,
    instance_type: &InstanceType,
    launch: Structure,
    specification: Structure,
) -> SpotRequest {
    SpotRequest {
        created: now,
        market: market.clone(),
        price: market.max_price.unwrap_or(price::on_demand(instance_type, price::LINUX)),
        valid_from: None,
        launch,
        specification,
        state: State::Open,
        status: status(now, FULFILLED),
        instance: None,
        zone: None,
        client_token: None,
    }
}

fn status(now: OffsetDateTime, (code, message): (&'static str, &str)) -> Status {
    Status { code: Cow::Borrowed(code), message: message.to_owned(), updated: now }
}

fn insert(context: &mut Context<'_>, id: &SpotInstanceRequestId, row: SpotRequest, tags: &TagSet) {
    context.region.spot_requests.insert(id.clone(), row);
    context.region.tags.set(id, tags.clone());
}

fn answer(context: &Context<'_>, ids: &[SpotInstanceRequestId]) -> Result<Structure, ApiError> {
    let requests = &context.region.spot_requests;
    let shown = ids.iter().map(|id| Ok(describe::shown(context.region, id, requests.require(id)?)));
    let shown = shown.collect::<Result<Vec<Structure>, ApiError>>()?;
    Ok(Structure::new().with("SpotInstanceRequests", shown))
}

/// What a launch wants, as requests show it: with the groups and the subnet that it gets.
fn specification(context: &Context<'_>, launch: &Structure, checked: Option<&Launch>) -> Structure {
    let mut shown = Structure::new();
    for name in ["BlockDeviceMappings", "ImageId", "InstanceType", "KeyName", "NetworkInterfaces", "SubnetId"] {
        if let Some(value) = launch.get(name) {
            shown.set(name, value.clone());
        }
    }
    let monitoring = launch.structure("Monitoring").and_then(|monitoring| monitoring.boolean("Enabled"));
    let mut shown = shown
        .with("EbsOptimized", launch.boolean("EbsOptimized").unwrap_or(false))
        .with("Monitoring", Structure::new().with("Enabled", monitoring.unwrap_or(false)));
    let mut placement = Structure::new();
    for name in ["AvailabilityZone", "AvailabilityZoneId", "GroupName", "Tenancy"] {
        if let Some(value) = launch.structure("Placement").and_then(|placement| placement.get(name)) {
            placement.set(name, value.clone());
        }
    }
    if let Some(checked) = checked
        && launch.list("NetworkInterfaces").is_empty()
    {
        let (subnet, groups) = checked.network();
        shown.set("SecurityGroups", context.region.group_identifiers(groups));
        shown.set("SubnetId", subnet);
    }
    shown.with_some("Placement", Some(placement).filter(|placement| !placement.is_empty()))
}

/// Makes the request of an instance that RunInstances has launched: it is fulfilled already.
pub(in crate::account) fn bind(
    context: &mut Context<'_>,
    (launch, asked): (&Launch, &Structure),
    market: &Market,
    instance: &InstanceId,
) -> Result<(), ApiError> {
    let id: SpotInstanceRequestId = context.shared.source.id();
    let now = context.now;
    let zone = context.region.instances.require(instance)?.zone;
    let mut alone = one_of(asked);
    for name in ["ClientToken", "DryRun"] {
        alone = without(&alone, name);
    }
    // On the next launch nothing is to be said of when the request ends.
    let options = market.max_price.map(|price| Structure::new().with("MaxPrice", price.to_string()));
    let options = Structure::new().with("MarketType", "spot").with_some("SpotOptions", options);
    let specification = specification(context, asked, Some(launch));
    let mut row = row(now, market, launch.instance_type, alone.with("InstanceMarketOptions", options), specification);
    row.state = State::Active;
    row.instance = Some(instance.clone());
    row.zone = Some(zone);
    let tags = launch.tags.of(RESOURCE);
    insert(context, &id, row, &tags);
    know(context, instance, &id, market)?;
    context.wake_when_due(&id);
    Ok(())
}

/// Lets an instance know its request.
pub(super) fn know(
    context: &mut Context<'_>,
    instance: &InstanceId,
    request: &SpotInstanceRequestId,
    market: &Market,
) -> Result<(), ApiError> {
    let (one_time, behavior) = (!market.persistent, market.behavior);
    let spot = Spot { request: request.clone(), one_time, behavior, interruption: None };
    context.region.instances.require_mut(instance)?.spot = Some(spot);
    Ok(())
}

/// What a launch says to have an instance on the same terms.
pub(in crate::account) fn market_options(region: &Region, instance: &Instance) -> Option<Structure> {
    let request = region.spot_requests.get(&instance.spot.as_ref()?.request)?;
    let market = &request.market;
    let options = Structure::new()
        .with("InstanceInterruptionBehavior", market.behavior.name())
        .with_some("MaxPrice", market.max_price.map(|price| price.to_string()))
        .with("SpotInstanceType", if market.persistent { "persistent" } else { "one-time" });
    Some(Structure::new().with("MarketType", "spot").with("SpotOptions", options))
}

fn without(structure: &Structure, name: &str) -> Structure {
    let mut rest = Structure::new();
    for (member, value) in structure.members().filter(|(member, _)| *member != name) {
        rest.set(member.to_owned(), value.clone());
    }
    rest
}
