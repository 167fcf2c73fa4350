//! The life of an instance: how its state follows from calls, from its machine's events and from time.
//!
//! EC2's order always holds: `pending`, `running`, `stopping` or `shutting-down`, `stopped` or `terminated`. A public
//! address comes with `running` and goes with the first step away from it.

use super::{Instance, Power, State, StateReason, power};
use crate::account::{
    Context, Effect, ids::InstanceId, instance_profile, network_interface, root_volume, spot, volume::attach,
};
use std::time::Duration;
use time::OffsetDateTime;

/// How long AWS takes until `running`, at the least.
const PENDING: Duration = Duration::from_secs(3);
/// How much longer it may take.
const PENDING_SPREAD: Duration = Duration::from_secs(2);
/// How long AWS takes until `stopped`, at the least.
const STOPPING: Duration = Duration::from_secs(8);
/// How long AWS takes until `terminated`, at the least.
const SHUTTING_DOWN: Duration = Duration::from_secs(8);

impl Context<'_> {
    /// Has [`settle`] called at a time.
    pub(in crate::account) fn wake(&mut self, id: &InstanceId, at: OffsetDateTime) {
        self.shared.timers.insert((at, self.region.place.name, id.clone()));
    }

    /// A time from now, at the account's pace.
    fn in_paced(&self, time: Duration) -> OffsetDateTime {
        later(self.now, self.settings.paced(time))
    }

    /// An instance is about to be stopped or started: on a bad day some replicas show it as it was until it has got there.
    /// Its end they all show at once.
    pub(super) fn changes_state(&mut self, id: &InstanceId) {
        if self.settings.conditions.profile().stale_states {
            self.region.instances.keep(id);
        }
    }

    /// When an instance that starts now may be `running`.
    pub(super) fn pending_until(&mut self) -> OffsetDateTime {
        let spread = PENDING_SPREAD.as_millis() as u64;
        let more = Duration::from_millis(self.shared.source.number() % (spread + 1));
        later(self.in_paced(PENDING + more), self.verdict.stuck)
    }
}

/// A later time; the same one if the calendar ends before.
pub(in crate::account) fn later(time: OffsetDateTime, by: Duration) -> OffsetDateTime {
    time::Duration::try_from(by).ok().and_then(|by| time.checked_add(by)).unwrap_or(time)
}

/// Moves an instance to where it may be by now.
pub(in crate::account) fn settle(context: &mut Context<'_>, id: &InstanceId) {
    let now = context.now;
    spot::interrupt(context, id);
    network_interface::end_detachments(context, id);
    let Some(instance) = context.region.instances.get_mut(id) else { return };
    if let Power::GoingOff { kill, restart } = instance.power
        && now >= kill
    {
        instance.power = Power::Killed { restart };
        context.shared.effects.push(Effect::Kill { instance: id.to_string() });
    }
    let due = now >= instance.settles;
    match (instance.state, instance.power) {
        (State::Pending, Power::On) if due => run(context, id),
        (State::Stopping, Power::Off) if due => {
            instance.state = State::Stopped;
            context.region.instances.agree(id);
        }
        (State::ShuttingDown, Power::Off) if due => terminated(context, id),
        (State::Terminated, _) if due => vanish(context, id),
        _ => {}
    }
    attach::settle(context, id);
}

fn run(context: &mut Context<'_>, id: &InstanceId) {
    let Some(instance) = context.region.instances.get_mut(id) else { return };
    instance.state = State::Running;
    instance.state_reason = None;
    instance.running_since = Some(context.now);
    instance.was_running = true;
    let nics = instance.network_interfaces.clone();
    context.region.instances.agree(id);
    // Others than the primary one have elastic addresses at most.
    if let Some(primary) = nics.first() {
        network_interface::give_public_address(context, primary);
    }
}

/// Which way an instance leaves `running`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::account) enum End {
    Stop,
    Terminate,
}

/// Lets an instance leave `running`, or whatever state it is in. Its machine is for the caller to power off.
pub(in crate::account) fn leave(
    context: &mut Context<'_>,
    id: &InstanceId,
    end: End,
    reason: StateReason,
    transition: String,
) {
    let code = reason.code.clone();
    let (state, time) = match end {
        End::Stop => (State::Stopping, STOPPING),
        End::Terminate => (State::ShuttingDown, SHUTTING_DOWN + context.settings.conditions.profile().shutting_down),
    };
    let settles = later(context.in_paced(time), context.verdict.stuck);
    if end == End::Terminate {
        context.region.instances.agree(id);
    }
    let Some(instance) = context.region.instances.get_mut(id) else { return };
    instance.state = state;
    instance.settles = settles;
    instance.state_reason = Some(reason);
    instance.transition_reason = transition;
    instance.running_since = None;
    for nic in instance.network_interfaces.clone() {
        network_interface::release_public_address(context, &nic);
    }
    context.wake(id, settles);
    spot::left(context, id, end, &code);
}

/// Releases all that the instance held until now; what stays is its name for an hour.
fn terminated(context: &mut Context<'_>, id: &InstanceId) {
    let vanishes = later(context.now, context.settings.terminated_visible);
    let Some(instance) = context.region.instances.get_mut(id) else { return };
    instance.state = State::Terminated;
    instance.settles = vanishes;
    let nics = std::mem::take(&mut instance.network_interfaces);
    let volumes = std::mem::take(&mut instance.volumes);
    for nic in nics {
        network_interface::release(context, &nic);
    }
    instance_profile::release(context, id);
    root_volume::give_up(context, id);
    for id in volumes {
        attach::release(context, &id);
    }
    context.wake(id, vanishes);
}

fn vanish(context: &mut Context<'_>, id: &InstanceId) {
    if let Some(Instance { client_token: Some(token), .. }) = context.region.instances.remove(id) {
        context.region.tokens.release(super::run::ACTION, &token);
    }
    context.region.tags.forget(id);
    context.region.consoles.forget(id);
}

/// Starts an instance that is stopped.
pub(in crate::account) fn start(context: &mut Context<'_>, id: &InstanceId) {
    let (now, settles) = (context.now, context.pending_until());
    let Some(instance) = context.region.instances.get_mut(id) else { return };
    instance.state = State::Pending;
    instance.settles = settles;
    instance.launched = now;
    instance.transition_reason.clear();
    instance.state_reason = None;
    instance.powered_on = None;
    context.region.consoles.clear(id);
    context.wake(id, settles);
    spot::started(context, id);
    power::on(context, id);
}
