//! RunInstances, StartInstances, StopInstances, RebootInstances, TerminateInstances.

use super::{
    Instance, Power, State, StateReason, dated, describe,
    launch::Launch,
    life::{self, End},
    power, shortage,
};
use crate::{
    account::{
        Context, capacity,
        ids::{InstanceId, ReservationId},
        instance_profile, launch_template, quota,
        request::{at_most_a_thousand, invalid, required_list},
        spot,
    },
    error::{ApiError, Code},
    wire::Structure,
};
use std::collections::BTreeSet;

/// The action whose client tokens instances hold.
pub(super) const ACTION: &str = "RunInstances";

pub(in crate::account) fn run(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let token = match context.region.tokens.read(ACTION, input)? {
        Ok(token) => token,
        Err(reservation) => return again(context, reservation),
    };
    let (merged, template) = launch_template::applied(context, input)?;
    let mut launch = Launch::read(context, &merged)?;
    launch.own_tags = template.map(|used| used.tags()).unwrap_or_default();
    let reservation: ReservationId = context.shared.source.id();
    let mut made = Vec::new();
    let count = usize::try_from(launch.count).unwrap_or(usize::MAX);
    for index in (0..).take(count) {
        let id = make(context, &launch, &reservation, index, token.clone())?;
        if let Some(market) = &launch.market {
            spot::bind(context, (&launch, &merged), market, &id)?;
        }
        made.push(id);
    }
    context.region.tokens.remember(ACTION, token, input, reservation.as_ref(), made.len());
    Ok(describe::launched(context, &reservation, &made))
}

/// Launches one instance, for a request that waited for it.
pub(in crate::account) fn one(context: &mut Context<'_>, input: &Structure) -> Result<InstanceId, ApiError> {
    let launch = Launch::read(context, input)?;
    let reservation: ReservationId = context.shared.source.id();
    make(context, &launch, &reservation, 0, None)
}

/// What came of the same request before.
fn again(context: &Context<'_>, reservation: &str) -> Result<Structure, ApiError> {
    let instances =
        context.region.instances.iter().filter(|(_, instance)| instance.reservation.as_ref() == reservation);
    let ids: Vec<InstanceId> = instances.map(|(id, _)| id.clone()).collect();
    let first = ids.first().and_then(|id| context.region.instances.get(id));
    match first {
        Some(instance) if !ids.iter().any(|id| has_ended(context, id)) => {
            Ok(describe::reservation(context, &instance.reservation, &ids))
        }
        _ => Err(ApiError::new(
            Code::IdempotentInstanceTerminated,
            format!(
                "The request's client token belongs to the reservation {reservation}, whose instance was terminated"
            ),
        )),
    }
}

fn has_ended(context: &Context<'_>, id: &InstanceId) -> bool {
    context.region.instances.get(id).is_none_or(|instance| instance.state == State::Terminated)
}

fn make(
    context: &mut Context<'_>,
    launch: &Launch,
    reservation: &ReservationId,
    index: i64,
    client_token: Option<String>,
) -> Result<InstanceId, ApiError> {
    let id: InstanceId = context.shared.source.id();
    let settles = context.pending_until();
    let (network_interfaces, made) = launch.place.make(context, &id)?;
    let zone = context.region.subnets.require(&launch.place.subnet)?.zone;
    let system = context.region.images.require(&launch.image)?.system();
    let tags = launch.tags.of("volume");
    let volumes = launch.volumes.iter().map(|mapping| mapping.make(context, zone, &id, &tags)).collect();
    let placement = launch.placement.as_ref().map(|placement| placement.of_next(context.region));
    let (now, region) = (context.now, &mut *context.region);
    made.iter().for_each(|nic| region.tags.set(nic, launch.tags.of("network-interface")));
    let mut tags = launch.tags.of("instance");
    tags.extend(launch.own_tags.clone());
    region.tags.set(&id, tags);
    let instance = Instance {
        reservation: reservation.clone(),
        launch_index: index,
        client_token,
        image: launch.image.clone(),
        image_name: system.image,
        image_root: system.root,
        kind: system.kind,
        login_user: system.login_user,
        architecture: system.architecture,
        instance_type: launch.instance_type,
        key: launch.key.clone(),
        zone,
        launched: now,
        user_data: launch.user_data.clone(),
        options: launch.options.clone(),
        metadata_options: launch.metadata_options.clone(),
        network_interfaces,
        volumes,
        rootless: None,
        placement,
        spot: None,
        profile_association: None,
        state: State::Pending,
        settles,
        transition_reason: String::new(),
        state_reason: Some(StateReason { code: "pending".into(), message: "pending".to_owned() }),
        powered_on: None,
        running_since: None,
        was_running: false,
        power: Power::Off,
    };
    region.instances.insert(id.clone(), instance);
    if let Some(profile) = &launch.profile {
        instance_profile::bind(context, &id, profile.clone());
    }
    context.wake(&id, settles);
    power::on(context, &id);
    Ok(id)
}

/// The instances that a request names, each once.
pub(super) fn named(context: &Context<'_>, input: &Structure) -> Result<Vec<InstanceId>, ApiError> {
    let ids = required_list(input, "InstanceIds")?;
    at_most_a_thousand(&ids, "instancesSet")?;
    let mut ids = context.region.instances.parse_all(ids)?;
    let mut seen = BTreeSet::new();
    ids.retain(|id| seen.insert(id.clone()));
    Ok(ids)
}

fn state(context: &Context<'_>, id: &InstanceId) -> State {
    context.region.instances.get(id).map_or(State::Terminated, |instance| instance.state)
}

fn incorrect_state(id: &InstanceId, done: &str) -> ApiError {
    let message = format!("The instance '{id}' is not in a state from which it can be {done}.");
    ApiError::new(Code::IncorrectInstanceState, message)
}

/// Does something to each instance; the answer is one list of how their states changed.
fn change(
    context: &mut Context<'_>,
    ids: &[InstanceId],
    member: &'static str,
    mut act: impl FnMut(&mut Context<'_>, &InstanceId),
) -> Structure {
    let mut changes = Vec::new();
    for id in ids {
        let previous = state(context, id).shown();
        act(context, id);
        let current = state(context, id).shown();
        changes.push(
            Structure::new().with("InstanceId", id).with("PreviousState", previous).with("CurrentState", current),
        );
    }
    Structure::new().with(member, changes)
}

fn user_initiated(context: &Context<'_>) -> String {
    dated("User initiated", context.now)
}

pub(in crate::account) fn start(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let ids = named(context, input)?;
    let startable = |id: &&InstanceId| matches!(state(context, id), State::Pending | State::Running | State::Stopped);
    if let Some(id) = ids.iter().find(|id| !startable(id)) {
        return Err(incorrect_state(id, "started"));
    }
    for id in ids.iter().filter(|id| state(context, id) == State::Stopped) {
        let instance = context.region.instances.require(id)?;
        spot::check_start(context, id, instance)?;
        shortage::check(context, instance.instance_type, instance.zone)?;
        check_root(context, id, instance)?;
    }
    check_room(context, &ids)?;
    Ok(change(context, &ids, "StartingInstances", |context, id| {
        if state(context, id) == State::Stopped {
            context.changes_state(id);
            life::start(context, id);
        }
    }))
}

/// Sees that there is something to boot from.
fn check_root(context: &Context<'_>, id: &InstanceId, instance: &Instance) -> Result<(), ApiError> {
    let attachment = instance.root().and_then(|root| context.region.volumes.get(root)?.attachment.as_ref());
    if attachment.is_some_and(|attachment| attachment.detaching.is_none()) {
        return Ok(());
    }
    let device = super::root_device(context.region, instance);
    Err(invalid(format!(
        "Invalid value '{id}' for instanceId. Instance does not have a volume attached at root ({device})"
    )))
}

/// Sees that there is room for all that are started together.
fn check_room(context: &Context<'_>, ids: &[InstanceId]) -> Result<(), ApiError> {
    let stopped = ids.iter().filter_map(|id| context.region.instances.get(id)).filter(|i| i.state == State::Stopped);
    let stopped: Vec<&Instance> = stopped.collect();
    for (before, instance) in stopped.iter().enumerate() {
        let (ahead, instance_type) = (&stopped[..before], instance.instance_type);
        quota::instances(context, ahead, 1).admit(1, 1)?;
        match &instance.spot {
            None => quota::vcpus(context, ahead, instance_type).admit(1, 1)?,
            Some(_) => quota::spot_vcpus(context, ahead, instance_type).admit(1, 1)?,
        };
        capacity::room(context, ahead, instance_type, instance.zone).admit(1, 1)?;
        if let Some(placement) = &instance.placement {
            placement.room(context, ahead, instance.zone).admit(1, 1)?;
        }
    }
    Ok(())
}

pub(in crate::account) fn stop(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let ids = named(context, input)?;
    for id in &ids {
        let instance = context.region.instances.require(id)?;
        if matches!(instance.state, State::ShuttingDown | State::Terminated) {
            return Err(incorrect_state(id, "stopped"));
        }
        if instance.state == State::Pending && !instance.was_running {
            let message = format!("Instance '{id}' cannot be stopped as it has never reached the 'running' state.");
            return Err(ApiError::new(Code::IncorrectInstanceState, message));
        }
        spot::check_stop(id, instance)?;
        if instance.options.disable_stop {
            return Err(protected(id, "stopped", "disableApiStop"));
        }
        if input.boolean("Hibernate") == Some(true) {
            let message = format!("The instance '{id}' is not configured for hibernation.");
            return Err(ApiError::new(Code::UnsupportedHibernationConfiguration, message));
        }
    }
    Ok(change(context, &ids, "StoppingInstances", |context, id| {
        let is_first = matches!(state(context, id), State::Pending | State::Running);
        if is_first {
            let transition = user_initiated(context);
            context.changes_state(id);
            life::leave(context, id, End::Stop, StateReason::user_shutdown(), transition);
        }
        take_power(context, id, input, is_first);
    }))
}

/// Requests to reboot terminated instances are ignored.
/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_RebootInstances.html>.
pub(in crate::account) fn reboot(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let mut ids = named(context, input)?;
    ids.retain(|id| state(context, id) != State::Terminated);
    if let Some(id) = ids.iter().find(|id| !matches!(state(context, id), State::Pending | State::Running)) {
        return Err(incorrect_state(id, "rebooted"));
    }
    for id in &ids {
        power::off(context, id, true);
    }
    Ok(Structure::new())
}

/// One id that does not exist, and none is terminated. A protected instance spares those of its own zone.
/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_TerminateInstances.html>.
pub(in crate::account) fn terminate(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let mut ids = named(context, input)?;
    let guarded = |id: &&InstanceId| {
        context.region.instances.get(id).is_some_and(|i| i.options.disable_termination && i.state != State::Terminated)
    };
    let guarded: Vec<InstanceId> = ids.iter().filter(guarded).cloned().collect();
    let zone = |id: &InstanceId| context.region.instances.get(id).map(|instance| instance.zone.index);
    let spared: BTreeSet<Option<usize>> = guarded.iter().map(zone).collect();
    ids.retain(|id| !spared.contains(&context.region.instances.get(id).map(|instance| instance.zone.index)));
    let answer = change(context, &ids, "TerminatingInstances", |context, id| {
        let is_first = !matches!(state(context, id), State::ShuttingDown | State::Terminated);
        if is_first {
            let transition = user_initiated(context);
            life::leave(context, id, End::Terminate, StateReason::user_shutdown(), transition);
        }
        take_power(context, id, input, is_first);
    });
    match guarded.first() {
        None => Ok(answer),
        Some(id) => Err(protected(id, "terminated", "disableApiTermination")),
    }
}

/// Has a machine go off by itself, unless the request skips that. To force it is to have it go off by itself first, and is
/// for a machine that doesn't.
/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instance-stop-methods.html>.
fn take_power(context: &mut Context<'_>, id: &InstanceId, input: &Structure, is_first: bool) {
    let asks = |member| input.boolean(member) == Some(true);
    if asks("SkipOsShutdown") || asks("Force") && !is_first {
        power::kill(context, id);
    } else {
        power::off(context, id, false);
    }
}

fn protected(id: &InstanceId, done: &str, attribute: &str) -> ApiError {
    let message =
        format!("The instance '{id}' may not be {done}. Modify its '{attribute}' instance attribute and try again.");
    ApiError::new(Code::OperationNotPermitted, message)
}
