//! What becomes of an image: deregistration and what protects from it, deprecation, and whether it is enabled.

use super::{State, check_available, end, own};
use crate::{
    account::{
        Context,
        ids::{ImageId, SnapshotId},
        instance::later,
        request::{invalid, missing, required, unsupported},
        snapshot,
    },
    error::{ApiError, Code},
    wire::{Structure, Value},
};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use time::OffsetDateTime;

/// How long protection outlives its end, where it was asked for with a cooldown.
/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ami-deregistration-protection.html>.
const COOLDOWN: Duration = Duration::from_secs(24 * 3600);
/// The latest time at which an image can be deprecated, from now on.
/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_EnableImageDeprecation.html>.
const DEPRECATED_WITHIN: time::Duration = time::Duration::days(10 * 365);

/// What keeps an image from being deregistered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Protection {
    cooldown: bool,
    /// Until when it holds; always, where nobody has ended it.
    until: Option<OffsetDateTime>,
}

impl Protection {
    fn holds(&self, now: OffsetDateTime) -> bool {
        self.until.is_none_or(|until| now < until)
    }

    pub(super) fn shown(&self, now: OffsetDateTime) -> &'static str {
        match self {
            _ if !self.holds(now) => "disabled",
            Self { until: Some(_), .. } => "disabled-after-cooldown",
            Self { cooldown: true, .. } => "enabled-with-cooldown",
            _ => "enabled",
        }
    }
}

fn named(context: &Context<'_>, input: &Structure) -> Result<ImageId, ApiError> {
    own(context, required(input, "ImageId")?)
}

fn done() -> Structure {
    Structure::new().with("Return", true)
}

/// An image that was imported comes and goes with its files.
fn check_made(context: &Context<'_>, id: &ImageId, tried: &str) -> Result<(), ApiError> {
    let image = context.region.images.require(id)?;
    match image.made {
        Some(_) => Ok(()),
        None => Err(unsupported(format!(
            "{tried} of the imported image '{id}' (say `ec2-local image remove {}`)",
            image.settings.name
        ))),
    }
}

/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DeregisterImage.html>.
pub(in crate::account) fn deregister(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let id = named(context, input)?;
    check_made(context, &id, "The deregistration")?;
    let image = context.region.images.require(&id)?;
    if image.options.protection.as_ref().is_some_and(|protection| protection.holds(context.now)) {
        let message = format!(
            "The image '{id}' is protected from deregistration. Disable its deregistration protection, and try again."
        );
        return Err(ApiError::new(Code::OperationNotPermitted, message));
    }
    let snapshots: Vec<SnapshotId> = image.snapshots().cloned().collect();
    end(context.region, &id);
    if input.boolean("DeleteAssociatedSnapshots") != Some(true) {
        return Ok(done());
    }
    let results: Vec<Structure> = snapshots.into_iter().map(|snapshot| ended(context, &snapshot)).collect();
    Ok(done().with("DeleteSnapshotResults", results))
}

/// A snapshot that another image has stays.
fn ended(context: &mut Context<'_>, id: &SnapshotId) -> Structure {
    let result = match snapshot::user(context.region, id) {
        Some(_) => "skipped",
        None => {
            snapshot::end(context, id);
            "success"
        }
    };
    Structure::new().with("SnapshotId", id).with("ReturnCode", result)
}

/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DisableImage.html>.
pub(in crate::account) fn disable(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let id = named(context, input)?;
    check_available(context, &id)?;
    let options = &mut context.region.images.require_mut(&id)?.options;
    options.disabled = true;
    // It is shared with nobody any more, and isn't again when it is enabled.
    options.launchers = Default::default();
    Ok(done())
}

/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_EnableImage.html>.
pub(in crate::account) fn enable(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let id = named(context, input)?;
    if context.region.images.require(&id)?.state(context.region, context.now) != State::Disabled {
        check_available(context, &id)?;
    }
    context.region.images.require_mut(&id)?.options.disabled = false;
    Ok(done())
}

/// The seconds are rounded to the nearest minute.
/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_EnableImageDeprecation.html>.
pub(in crate::account) fn deprecate(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let id = named(context, input)?;
    let Some(Value::Timestamp(at)) = input.get("DeprecateAt") else { return Err(missing("DeprecateAt")) };
    let past = *at < context.now;
    if past || *at - context.now > DEPRECATED_WITHIN {
        return Err(invalid(format!("The deprecation date '{at}' must be in the future, and within ten years")));
    }
    let nearest = later(*at, Duration::from_secs(30));
    let nearest = nearest.replace_second(0).and_then(|at| at.replace_nanosecond(0)).unwrap_or(nearest);
    context.region.images.require_mut(&id)?.options.deprecated = Some(nearest);
    Ok(done())
}

/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DisableImageDeprecation.html>.
pub(in crate::account) fn disable_deprecation(
    context: &mut Context<'_>,
    input: &Structure,
) -> Result<Structure, ApiError> {
    let id = named(context, input)?;
    context.region.images.require_mut(&id)?.options.deprecated = None;
    Ok(done())
}

/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_EnableImageDeregistrationProtection.html>.
pub(in crate::account) fn enable_protection(
    context: &mut Context<'_>,
    input: &Structure,
) -> Result<Structure, ApiError> {
    let id = named(context, input)?;
    let cooldown = input.boolean("WithCooldown") == Some(true);
    protect(context, &id, Protection { cooldown, until: None })
}

/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DisableImageDeregistrationProtection.html>.
pub(in crate::account) fn disable_protection(
    context: &mut Context<'_>,
    input: &Structure,
) -> Result<Structure, ApiError> {
    let id = named(context, input)?;
    let now = context.now;
    let Some(present) = context.region.images.require(&id)?.options.protection.clone() else {
        return Ok(Structure::new().with("Return", "disabled"));
    };
    // It doesn't begin anew by being asked for again.
    let until = present.until.unwrap_or_else(|| if present.cooldown { later(now, COOLDOWN) } else { now });
    protect(context, &id, Protection { until: Some(until), ..present })
}

fn protect(context: &mut Context<'_>, id: &ImageId, protection: Protection) -> Result<Structure, ApiError> {
    let shown = protection.shown(context.now);
    context.region.images.require_mut(id)?.options.protection = Some(protection);
    Ok(Structure::new().with("Return", shown))
}
