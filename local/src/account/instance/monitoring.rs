//! MonitorInstances, UnmonitorInstances: whether an instance's metrics are told each minute. There is nobody here to tell them to.

use super::{Options, State, later, run};
use crate::{
    account::{Context, ids::InstanceId, settings::Settings},
    error::{ApiError, Code},
    wire::Structure,
};
use std::time::Duration;
use time::OffsetDateTime;

/// How long AWS takes to switch it on or off.
const SWITCHING: Duration = Duration::from_secs(5);

/// As Describe shows it.
pub(super) fn shown(settings: &Settings, now: OffsetDateTime, options: &Options) -> Structure {
    let is_switching = options.monitoring_since.is_some_and(|since| now < later(since, settings.paced(SWITCHING)));
    let state = match (options.monitoring, is_switching) {
        (true, true) => "pending",
        (true, false) => "enabled",
        (false, true) => "disabling",
        (false, false) => "disabled",
    };
    Structure::new().with("State", state)
}

/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_MonitorInstances.html>.
pub(in crate::account) fn monitor(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    switch(context, input, true)
}

/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_UnmonitorInstances.html>.
pub(in crate::account) fn unmonitor(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    switch(context, input, false)
}

fn switch(context: &mut Context<'_>, input: &Structure, on: bool) -> Result<Structure, ApiError> {
    let ids = run::named(context, input)?;
    for id in &ids {
        if context.region.instances.require(id)?.state == State::Terminated {
            let message = format!("The instance '{id}' is terminated, so its monitoring cannot be changed.");
            return Err(ApiError::new(Code::InvalidState, message));
        }
    }
    let answers = ids.iter().map(|id| switch_one(context, id, on)).collect::<Result<Vec<_>, _>>()?;
    Ok(Structure::new().with("InstanceMonitorings", answers))
}

fn switch_one(context: &mut Context<'_>, id: &InstanceId, on: bool) -> Result<Structure, ApiError> {
    let (settings, now) = (context.settings, context.now);
    let options = &mut context.region.instances.require_mut(id)?.options;
    if options.monitoring != on {
        (options.monitoring, options.monitoring_since) = (on, Some(now));
    }
    Ok(Structure::new().with("InstanceId", id).with("Monitoring", shown(settings, now, options)))
}
