//! On which terms a Spot Instance is wanted.

use super::price::{self, Price};
use crate::{
    account::{
        Context,
        instance_type::InstanceType,
        place::Zone,
        request::{combination, invalid, missing, one_of, only, unsupported},
    },
    error::{ApiError, Code},
    wire::{Structure, Value},
};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// On which terms a Spot Instance is wanted.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::account) struct Market {
    pub(super) persistent: bool,
    pub(super) behavior: Behavior,
    pub(super) max_price: Option<Price>,
    pub(super) valid_until: Option<OffsetDateTime>,
}

/// What becomes of an instance that is interrupted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::account) enum Behavior {
    Terminate,
    Stop,
}

impl Behavior {
    pub(in crate::account) fn name(self) -> &'static str {
        match self {
            Self::Terminate => "terminate",
            Self::Stop => "stop",
        }
    }

    pub(super) fn read(input: &Structure) -> Result<Self, ApiError> {
        match one_of(input, "InstanceInterruptionBehavior", &["hibernate", "stop", "terminate"])? {
            Some("hibernate") => Err(unsupported("The instance interruption behavior 'hibernate'")),
            Some("stop") => Ok(Self::Stop),
            _ => Ok(Self::Terminate),
        }
    }
}

impl Market {
    /// What a launch says of it; nothing where it is on demand.
    /// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_SpotMarketOptions.html>.
    pub(in crate::account) fn read(now: OffsetDateTime, input: &Structure) -> Result<Option<Self>, ApiError> {
        let Some(options) = input.structure("InstanceMarketOptions").filter(|options| !options.is_empty()) else {
            return Ok(None);
        };
        only(options, "InstanceMarketOptions.", &["MarketType", "SpotOptions"])?;
        let none = Structure::new();
        let spot = options.structure("SpotOptions");
        match options.string("MarketType") {
            Some("spot") => {}
            Some("on-demand") if spot.is_none() => return Ok(None),
            Some(other) if other != "on-demand" => return Err(unsupported(format!("The market type '{other}'"))),
            _ => return Err(missing("MarketType")),
        }
        let spot = spot.unwrap_or(&none);
        only(
            spot,
            "InstanceMarketOptions.SpotOptions.",
            &["InstanceInterruptionBehavior", "MaxPrice", "SpotInstanceType", "ValidUntil"],
        )?;
        let persistent = is_persistent(spot, "SpotInstanceType")?;
        let behavior = Behavior::read(spot)?;
        let valid_until = time(now, spot, "ValidUntil")?;
        if persistent && behavior == Behavior::Terminate {
            return Err(combination(
                "Persistent Spot Instance requests are only supported when the instance interruption behavior is either \
                 hibernate or stop.",
            ));
        }
        if valid_until.is_some() && !persistent {
            return Err(combination(
                "The parameter ValidUntil is only supported for persistent Spot Instance requests.",
            ));
        }
        check_behavior(persistent, behavior)?;
        if input.boolean("DisableApiTermination") == Some(true) {
            return Err(combination("Termination protection can't be enabled for Spot Instances."));
        }
        let max_price = Price::read(spot, "MaxPrice")?;
        Ok(Some(Self { persistent, behavior, max_price, valid_until }))
    }
}

impl Market {
    pub(in crate::account) fn behavior(&self) -> Behavior {
        self.behavior
    }
}

pub(super) fn is_persistent(input: &Structure, member: &str) -> Result<bool, ApiError> {
    Ok(one_of(input, member, &["one-time", "persistent"])? == Some("persistent"))
}

/// An instance of a one-time request can't be started again, so it isn't stopped.
/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/interruption-behavior.html>.
pub(super) fn check_behavior(persistent: bool, behavior: Behavior) -> Result<(), ApiError> {
    if !persistent && behavior == Behavior::Stop {
        return Err(combination(
            "The instance interruption behavior 'stop' is only supported for persistent Spot Instance requests.",
        ));
    }
    Ok(())
}

/// A time that a request names, which must be to come.
pub(super) fn time(now: OffsetDateTime, input: &Structure, member: &str) -> Result<Option<OffsetDateTime>, ApiError> {
    match input.get(member) {
        None => Ok(None),
        Some(Value::Timestamp(time)) if *time > now => Ok(Some(*time)),
        Some(_) => {
            let message = format!("The value of the parameter {member} is invalid: it must be in the future.");
            Err(ApiError::new(Code::InvalidTime, message))
        }
    }
}

/// Refuses a launch that is to cost less than it does.
pub(in crate::account) fn check_price(
    market: Option<&Market>,
    instance_type: &InstanceType,
    zone: Zone,
) -> Result<(), ApiError> {
    let Some(most) = market.and_then(|market| market.max_price) else { return Ok(()) };
    let price = price::spot(instance_type, zone, price::LINUX);
    if price <= most {
        return Ok(());
    }
    let message = format!(
        "Your Spot request price of {} is lower than the minimum required Spot request fulfillment price of {}.",
        most.short(),
        price.short()
    );
    Err(ApiError::new(Code::SpotMaxPriceTooLow, message))
}

/// Refuses types that are only to be had on demand.
pub(super) fn check_type(instance_type: &InstanceType) -> Result<(), ApiError> {
    if instance_type.has_spot() {
        return Ok(());
    }
    Err(invalid(format!("The instance type '{}' is not supported for Spot Instances.", instance_type.name)))
}

/// What the quota of Spot Instances and their types allow.
pub(super) fn check(context: &Context<'_>, instance_type: &InstanceType, count: u64) -> Result<(), ApiError> {
    check_type(instance_type)?;
    crate::account::quota::spot_vcpus(context, &[], instance_type).admit(count, count).map(drop)
}
