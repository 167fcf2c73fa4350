//! How requests are fulfilled: evaluated after a while, held as long as they can't be, fulfilled, or past their time.

use super::{AGAIN, FULFILLED, LEAST_AGAIN, NOT_SCHEDULED_YET, SpotRequest, State, life, request};
use crate::{
    account::{
        Context, capacity,
        ids::{InstanceId, SpotInstanceRequestId},
        instance::{self, State as InstanceState},
    },
    error::{ApiError, Code},
};

/// Does what is due about a request.
pub(in crate::account) fn settle(context: &mut Context<'_>, id: &SpotInstanceRequestId) {
    let now = context.now;
    let Some(row) = context.region.spot_requests.get(id) else { return };
    if row.market.valid_until.is_some_and(|until| until <= now) && !row.state.is_over() {
        return life::expire(context, id);
    }
    match row.due(context.settings) {
        Some(due) if due > now => return context.wake_request(id, due),
        Some(_) => {}
        None => return,
    }
    if row.state == State::Disabled {
        restart(context, id);
    } else {
        evaluate(context, id);
    }
    let is_held = |row: &SpotRequest| row.state == State::Open || row.is_interrupted();
    if context.region.spot_requests.get(id).is_some_and(is_held) {
        hold(context, id);
    }
}

/// Looks again later.
fn hold(context: &mut Context<'_>, id: &SpotInstanceRequestId) {
    let again = instance::later(context.now, context.settings.paced(AGAIN).max(LEAST_AGAIN));
    let row = context.region.spot_requests.get(id);
    let sooner = row.and_then(|row| row.due(context.settings)).filter(|due| *due > context.now);
    let again = sooner.map_or(again, |sooner| sooner.min(again));
    context.wake_request(id, again);
}

fn evaluate(context: &mut Context<'_>, id: &SpotInstanceRequestId) {
    let now = context.now;
    let Some(row) = context.region.spot_requests.get(id) else { return };
    let (launch, market) = (row.launch.clone(), row.market.clone());
    if row.valid_from.is_some_and(|from| from > now) {
        return set(context, id, State::Open, NOT_SCHEDULED_YET);
    }
    match instance::run::one(context, &launch) {
        Ok(made) => {
            // It was made just now.
            let _ = request::know(context, &made, id, &market);
            fulfilled(context, id, &made);
        }
        Err(error) if request::is_temporary(&error) => {
            let (code, message) = held(error);
            let unchanged = context.region.spot_requests.get(id).is_some_and(|row| row.status.code == code);
            if !unchanged {
                set(context, id, State::Open, (code, message));
            }
        }
        Err(error) => set(context, id, State::Failed, ("bad-parameters", error.message)),
    }
}

/// Why a request waits. Source: <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-request-status.html>.
fn held(error: ApiError) -> (&'static str, String) {
    match error.code {
        Code::SpotMaxPriceTooLow => ("price-too-low", error.message),
        Code::InsufficientInstanceCapacity => {
            ("capacity-not-available", "There is no Spot capacity available that matches your request.".to_owned())
        }
        _ => ("constraint-not-fulfillable", error.message),
    }
}

fn set(context: &mut Context<'_>, id: &SpotInstanceRequestId, state: State, status: (&'static str, impl Into<String>)) {
    let now = context.now;
    if let Some(row) = context.region.spot_requests.get_mut(id) {
        row.set(now, state, status);
    }
}

fn fulfilled(context: &mut Context<'_>, id: &SpotInstanceRequestId, instance: &InstanceId) {
    let (now, zone) = (context.now, context.region.instances.get(instance).map(|instance| instance.zone));
    if let Some(row) = context.region.spot_requests.get_mut(id) {
        row.set(now, State::Active, FULFILLED);
        row.instance = Some(instance.clone());
        row.zone = zone;
    }
    context.wake_when_due(id);
}

/// Starts an instance again that was stopped by an interruption.
fn restart(context: &mut Context<'_>, id: &SpotInstanceRequestId) {
    let Some(instance) = context.region.spot_requests.get(id).and_then(|row| row.instance.clone()) else { return };
    match context.region.instances.get(&instance).map(|instance| instance.state) {
        Some(InstanceState::Stopped) => {
            let row = context.region.instances.get(&instance).filter(|row| row.rootless.is_none());
            if row.is_some_and(|row| capacity::left(context, &[], row.instance_type, row.zone) > 0) {
                instance::life::start(context, &instance);
            }
        }
        Some(InstanceState::Stopping) => {}
        _ => set(context, id, State::Closed, ("instance-terminated-by-service", "The Spot Instance is gone.")),
    }
}
