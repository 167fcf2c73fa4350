//! Interruptions: a Spot Instance is told that it will be taken away, and then it is.
//!
//! AWS interrupts when it wants to; here a test says when. Source:
//! <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-instance-termination-notices.html>, and of the recommendation
//! <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/rebalance-recommendations.html>, which comes at the same time here.

use super::{Behavior, State, life};
use crate::{
    account::{
        Context,
        filter::{timestamp, whole_second},
        ids::InstanceId,
        instance::{End, Instance, State as InstanceState, StateReason, dated, later, life as instance_life, power},
    },
    error::{ApiError, Code},
};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use time::OffsetDateTime;

/// How long before it happens an interruption is told.
const NOTICE: Duration = Duration::from_secs(120);

/// An interruption that is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::account) struct Interruption {
    told: OffsetDateTime,
    at: OffsetDateTime,
}

impl Interruption {
    /// When the instance is taken away.
    pub(in crate::account) fn at(self) -> OffsetDateTime {
        self.at
    }
}

/// Tells a Spot Instance that it will be taken away, two minutes before, at the account's pace, or as long before as is said.
pub(in crate::account) fn announce(
    context: &mut Context<'_>,
    id: &InstanceId,
    notice: Option<Duration>,
) -> Result<(), ApiError> {
    let now = context.now;
    let at = later(now, notice.unwrap_or(context.settings.paced(NOTICE)));
    let instance = context.region.instances.require_mut(id)?;
    let state = instance.state;
    let Some(spot) = &mut instance.spot else { return Err(life::not_spot(id)) };
    if !matches!(state, InstanceState::Pending | InstanceState::Running) || spot.interruption.is_some() {
        let why = if spot.interruption.is_some() { "is being interrupted already" } else { "doesn't run" };
        let message = format!("The Spot Instance '{id}' {why}, so it can't be interrupted.");
        return Err(ApiError::new(Code::IncorrectInstanceState, message));
    }
    spot.interruption = Some(Interruption { told: now, at });
    let (request, behavior) = (spot.request.clone(), spot.behavior);
    if let Some(row) = context.region.spot_requests.get_mut(&request) {
        let is_over = row.state.is_over();
        match behavior {
            Behavior::Stop => row.set(now, row.state, ("marked-for-stop", "The Spot Instance is marked for stopping.")),
            // One that can't be fulfilled again is closed from now on.
            Behavior::Terminate => {
                let ends = !row.market.persistent && !is_over;
                let state = if ends { State::Closed } else { row.state };
                row.set(now, state, ("marked-for-termination", "The Spot Instance is marked for termination."));
            }
        }
    }
    context.wake(id, at);
    Ok(())
}

/// Takes an instance away whose time has come.
pub(in crate::account) fn settle(context: &mut Context<'_>, id: &InstanceId) {
    let now = context.now;
    let Some(instance) = context.region.instances.get(id) else { return };
    let Some(spot) = instance.spot.as_ref().filter(|spot| spot.interruption.is_some_and(|it| it.at <= now)) else {
        return;
    };
    if !matches!(instance.state, InstanceState::Pending | InstanceState::Running) {
        return;
    }
    let (end, reason) = match spot.behavior {
        Behavior::Stop => (End::Stop, StateReason::spot_shutdown()),
        Behavior::Terminate => (End::Terminate, StateReason::spot_termination()),
    };
    let transition = dated("Service initiated", now);
    instance_life::leave(context, id, end, reason, transition);
    power::off(context, id, false);
}

/// What the metadata service tells of it: the paths below `meta-data`, and what stands there.
pub(in crate::account) fn metadata(instance: &Instance) -> Vec<(&'static str, String)> {
    let Some(spot) = &instance.spot else { return Vec::new() };
    let Some(Interruption { told, at }) = spot.interruption else { return Vec::new() };
    let text = |time| timestamp(whole_second(time)).replace(".000Z", "Z");
    let action = serde_json::json!({ "action": spot.behavior.name(), "time": text(at) });
    let recommendation = serde_json::json!({ "noticeTime": text(told) });
    let mut tree = vec![
        ("events/recommendations/rebalance", recommendation.to_string()),
        ("spot/instance-action", action.to_string()),
    ];
    if spot.behavior == Behavior::Terminate {
        tree.push(("spot/termination-time", text(at)));
    }
    tree
}
