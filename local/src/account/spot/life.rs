//! What becomes of a request when its instance starts, stops or ends, when it is cancelled, and when it is over.
//!
//! Source: <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-instances-request-status-lifecycle.html>.

use super::{FULFILLED, STOPPED_NO_CAPACITY, SpotRequest, State, request::ACTION};
use crate::{
    account::{
        Context,
        ids::{InstanceId, SpotInstanceRequestId},
        instance::{End, Instance, State as InstanceState},
        request::{required_list, unsupported},
    },
    error::{ApiError, Code},
    wire::Structure,
};
use time::Duration;

/// How long a request is seen that is over.
/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeSpotInstanceRequests.html>.
const VISIBLE: Duration = Duration::hours(4);

const STILL_RUNNING: (&str, &str) =
    ("request-canceled-and-instance-running", "Your Spot request is canceled, but your instance is still running.");

fn request_of(instance: &Instance) -> Option<&SpotInstanceRequestId> {
    instance.spot.as_ref().map(|spot| &spot.request)
}

/// Whether an instance is of a request that can't be fulfilled again, so that it is never stopped.
pub(in crate::account) fn is_one_time(instance: &Instance) -> bool {
    instance.spot.as_ref().is_some_and(|spot| spot.one_time)
}

/// An instance leaves `running`, for a reason with this code.
pub(in crate::account) fn left(context: &mut Context<'_>, instance: &InstanceId, end: End, reason: &str) {
    let Some(id) = context.region.instances.get(instance).and_then(request_of).cloned() else { return };
    let interrupted = reason.starts_with("Server.SpotInstance");
    let broken = reason == "Server.InternalError";
    if !interrupted && let Some(row) = context.region.instances.get_mut(instance) {
        // Who has ended it was faster.
        row.spot.iter_mut().for_each(|spot| spot.interruption = None);
    }
    let now = context.now;
    let Some(row) = context.region.spot_requests.get_mut(&id).filter(|row| row.instance.as_ref() == Some(instance))
    else {
        return;
    };
    let status = match end {
        _ if broken => ("system-error", "There was an unexpected system error."),
        End::Stop if interrupted => STOPPED_NO_CAPACITY,
        End::Stop => ("instance-stopped-by-user", "Your Spot instance was stopped by the user."),
        End::Terminate if interrupted => (
            "instance-terminated-no-capacity",
            "Your Spot instance was terminated because there is no Spot capacity available that matches your request.",
        ),
        End::Terminate => {
            ("instance-terminated-by-user", "Spot Instance terminated due to user-initiated termination.")
        }
    };
    let state = match end {
        _ if row.state.is_over() => row.state,
        End::Stop => State::Disabled,
        End::Terminate if row.market.persistent && !broken => State::Open,
        End::Terminate => State::Closed,
    };
    row.set(now, state, status);
    if state == State::Open {
        row.instance = None;
        row.zone = None;
    }
    context.wake_when_due(&id);
}

/// An instance is being started again.
pub(in crate::account) fn started(context: &mut Context<'_>, instance: &InstanceId) {
    let Some(row) = context.region.instances.get_mut(instance) else { return };
    let Some(spot) = &mut row.spot else { return };
    spot.interruption = None;
    let id = spot.request.clone();
    let now = context.now;
    if let Some(request) = context.region.spot_requests.get_mut(&id).filter(|request| !request.state.is_over()) {
        request.set(now, State::Active, FULFILLED);
    }
    context.wake_when_due(&id);
}

/// Sees that an instance may be stopped.
/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/stop-spot-instance.html>.
pub(in crate::account) fn check_stop(id: &InstanceId, instance: &Instance) -> Result<(), ApiError> {
    if !is_one_time(instance) {
        return Ok(());
    }
    Err(ApiError::new(
        Code::UnsupportedOperation,
        format!(
            "You can't stop the Spot Instance '{id}' because it is associated with a one-time Spot Instance request. You can \
             only stop Spot Instances associated with persistent Spot Instance requests."
        ),
    ))
}

/// Sees that a stopped instance may be started: not if EC2 itself has stopped it, nor if nobody wants it any more.
/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/start-spot-instance.html>.
pub(in crate::account) fn check_start(
    context: &Context<'_>,
    id: &InstanceId,
    instance: &Instance,
) -> Result<(), ApiError> {
    let Some(request) = request_of(instance) else { return Ok(()) };
    let row = context.region.spot_requests.get(request);
    if row.is_some_and(|row| row.state == State::Disabled && !row.is_interrupted()) {
        return Ok(());
    }
    let message = format!(
        "You can't start the Spot Instance '{id}' because the associated Spot Instance request is not in an appropriate state \
         to support start."
    );
    Err(ApiError::new(Code::IncorrectSpotRequestState, message))
}

/// The instances go on.
/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CancelSpotInstanceRequests.html>.
pub(in crate::account) fn cancel(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let ids = context.region.spot_requests.parse_all(required_list(input, "SpotInstanceRequestIds")?)?;
    let mut cancelled = Vec::new();
    for id in ids {
        let now = context.now;
        let row = context.region.spot_requests.require_mut(&id)?;
        match row.state {
            State::Open => row.set(
                now,
                State::Cancelled,
                ("canceled-before-fulfillment", "Your Spot request is canceled before it was fulfilled."),
            ),
            State::Active => row.set(now, State::Cancelled, STILL_RUNNING),
            State::Disabled => {
                let status = row.status.clone();
                row.set(now, State::Cancelled, (status.code, status.message));
            }
            State::Closed | State::Cancelled | State::Failed => {}
        }
        cancelled.push(Structure::new().with("SpotInstanceRequestId", &id).with(
            "State",
            // EC2's word for one that has failed isn't among those of this answer.
            if row.state == State::Failed { State::Closed.name() } else { row.state.name() },
        ));
    }
    Ok(Structure::new().with("CancelledSpotInstanceRequests", cancelled))
}

/// The time of a request is over.
pub(super) fn expire(context: &mut Context<'_>, id: &SpotInstanceRequestId) {
    let now = context.now;
    let Some(row) = context.region.spot_requests.get_mut(id) else { return };
    match row.state {
        State::Open => row.set(
            now,
            State::Cancelled,
            ("schedule-expired", "Your Spot request expired before it could be fulfilled."),
        ),
        // It was fulfilled in time, and once.
        State::Active if !row.market.persistent => row.market.valid_until = None,
        State::Active => row.set(now, State::Cancelled, STILL_RUNNING),
        _ => {
            let status = row.status.clone();
            row.set(now, State::Cancelled, (status.code, status.message));
        }
    }
}

/// Forgets requests that nobody sees any more.
pub(in crate::account) fn sweep(context: &mut Context<'_>) {
    let now = context.now;
    let region = &*context.region;
    let is_live =
        |id: &InstanceId| region.instances.get(id).is_some_and(|instance| instance.state != InstanceState::Terminated);
    let is_gone = |row: &SpotRequest| {
        row.state.is_over() && now - row.status.updated >= VISIBLE && !row.instance.as_ref().is_some_and(is_live)
    };
    let gone = region.spot_requests.iter().filter(|(_, row)| is_gone(row)).map(|(id, _)| id.clone());
    for id in gone.collect::<Vec<_>>() {
        if let Some(SpotRequest { client_token: Some(token), .. }) = context.region.spot_requests.remove(&id) {
            context.region.tokens.release(ACTION, &token);
        }
        context.region.tags.forget(&id);
    }
}

/// What only Spot Instances have is asked of another.
pub(super) fn not_spot(id: &InstanceId) -> ApiError {
    unsupported(format!("The interruption of the instance '{id}', which is no Spot Instance,"))
}
