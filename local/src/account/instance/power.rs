//! The power of an instance's machine: what is asked of it, and what its events mean.

use super::{
    Power, ShutdownBehavior, State, StateReason,
    life::{self, End, later},
};
use crate::{
    account::{
        Context, Effect, Start, dhcp_options,
        ids::{Id, InstanceId, VolumeId},
        region::Region,
        root_volume, snapshot, spot,
        volume::{attach, filling},
    },
    machine::{BlockDevice, Description, Event},
};
use std::time::Duration;

/// How long AWS gives a guest to power off before it takes the power away.
const GRACE: Duration = Duration::from_secs(240);
/// A guest gets this much whatever the pace: its services are as slow as ever.
const LEAST_GRACE: Duration = Duration::from_secs(5);

/// Starts the machine.
pub(in crate::account) fn on(context: &mut Context<'_>, id: &InstanceId) {
    let boot_id = context.shared.source.uuid();
    let Some(instance) = context.region.instances.get_mut(id) else { return };
    instance.power = Power::Starting;
    let nics = instance.network_interfaces.clone();
    // The root volume comes first.
    let volumes = instance.volumes.clone();
    snapshot::take_waiting(context, &volumes);
    root_volume::replace(context, id);
    let Some(instance) = context.region.instances.get_mut(id) else { return };
    let volumes = instance.volumes.clone();
    let (kind, image, root) = (instance.kind, instance.image_name.clone(), instance.image_root.clone());
    let was_running = instance.was_running;
    let (login_user, instance_type) = (instance.login_user.clone(), instance.instance_type);
    let (names, vcpus) = (instance.options.names, instance.options.cores * instance.options.threads_per_core);
    let region = &*context.region;
    let root_volume = volumes.first().and_then(|root| region.volumes.get(root));
    let interfaces: Vec<_> = nics.iter().filter_map(|nic| Some((nic, region.network_interfaces.get(nic)?))).collect();
    let hostname = interfaces.first().map(|(_, interface)| names.name(region, id, interface.address));
    let machine = Description {
        instance: id.to_string(),
        hostname: hostname.unwrap_or_default(),
        login_user,
        nics: interfaces
            .iter()
            .filter(|(_, interface)| !interface.is_leaving())
            .filter_map(|(nic, interface)| interface.nic(nic, region))
            .collect(),
        dhcp: interfaces.first().map(|(_, interface)| dhcp_options::of(region, &interface.vpc)),
        memory_mib: instance_type.memory_mib(),
        vcpus: u32::try_from(vcpus).unwrap_or(u32::MAX),
        disk_gib: root_volume.and_then(|volume| u32::try_from(volume.shape.gib).ok()),
        volumes: volumes.iter().skip(1).filter_map(|id| block_device(region, id)).collect(),
        boot_id,
    };
    let system = root_volume.and_then(|volume| volume.system.as_ref());
    let has_disk = was_running && root_volume.is_some_and(|volume| !volume.is_fresh);
    let layers = system.map_or_else(Vec::new, |system| system.layers.iter().map(ToString::to_string).collect());
    let volume = volumes.first().map(ToString::to_string).unwrap_or_default();
    let to_be_filled = |id: &VolumeId| region.volumes.get(id).and_then(|volume| volume.to_be_filled(id));
    let fillings = volumes.iter().filter_map(to_be_filled).collect();
    context.shared.effects.push(Effect::Start(Box::new(Start {
        kind,
        image,
        root,
        volume,
        layers,
        has_disk,
        fillings,
        machine,
    })));
}

/// A volume as a machine has it that boots now; one that is to be detached it doesn't get any more.
fn block_device(region: &Region, id: &VolumeId) -> Option<BlockDevice> {
    let volume = region.volumes.get(id)?;
    let attachment = volume.attachment.as_ref().filter(|attachment| attachment.detaching.is_none())?;
    Some(BlockDevice::new(id.as_ref(), &attachment.device, volume.shape.gib))
}

/// Presses the power button; with `restart` the machine is started again once it is off.
pub(in crate::account) fn off(context: &mut Context<'_>, id: &InstanceId, restart: bool) {
    let kill = later(context.now, context.settings.paced(GRACE).max(LEAST_GRACE));
    let Some(instance) = context.region.instances.get_mut(id) else { return };
    match &mut instance.power {
        Power::Off => {}
        // Who asked last decides whether it comes back.
        Power::GoingOff { restart: again, .. } | Power::Killed { restart: again } => *again = restart,
        Power::Starting | Power::On => {
            instance.power = Power::GoingOff { kill, restart };
            context.shared.effects.push(Effect::PowerOff { instance: id.to_string() });
            context.wake(id, kill);
        }
    }
}

/// Takes the power away.
pub(super) fn kill(context: &mut Context<'_>, id: &InstanceId) {
    let Some(instance) = context.region.instances.get_mut(id) else { return };
    if !matches!(instance.power, Power::Off | Power::Killed { .. }) {
        instance.power = Power::Killed { restart: false };
        context.shared.effects.push(Effect::Kill { instance: id.to_string() });
    }
}

/// Something happened to the machine.
pub(in crate::account) fn machine_event(context: &mut Context<'_>, id: &InstanceId, event: Event) {
    let now = context.now;
    let Some(instance) = context.region.instances.get(id) else { return };
    if let Event::Console(bytes) = &event {
        return context.region.consoles.write(id, now, bytes);
    }
    let power = instance.power;
    // What is off has nothing to say: a late word of a machine that is gone.
    if power == Power::Off {
        return;
    }
    match event {
        Event::Started if power == Power::Starting => {
            let Some(instance) = context.region.instances.get_mut(id) else { return };
            instance.power = Power::On;
            instance.powered_on.get_or_insert(now);
            let volumes = instance.volumes.clone();
            root_volume::started(context, id);
            volumes.iter().for_each(|volume| filling::filled(context, volume));
            life::settle(context, id);
        }
        Event::Detached(volume) => {
            if let Ok(volume) = VolumeId::parse(&volume) {
                attach::released(context, id, Some(&volume));
            }
        }
        Event::Rebooting => went_off(context, id, true),
        Event::PoweredOff => {
            let restart = matches!(power, Power::GoingOff { restart: true, .. } | Power::Killed { restart: true });
            went_off(context, id, restart);
        }
        Event::Failed(why) => failed(context, id, &why),
        _ => {}
    }
}

fn went_off(context: &mut Context<'_>, id: &InstanceId, restart: bool) {
    let Some(instance) = context.region.instances.get_mut(id) else { return };
    instance.power = Power::Off;
    let volumes = instance.volumes.clone();
    attach::released(context, id, None);
    snapshot::take_waiting(context, &volumes);
    let Some(instance) = context.region.instances.get_mut(id) else { return };
    if !matches!(instance.state, State::Pending | State::Running) {
        life::settle(context, id);
    } else if restart {
        on(context, id);
    } else {
        let end = match instance.options.shutdown_behavior {
            ShutdownBehavior::Stop if !spot::is_one_time(instance) => End::Stop,
            _ => End::Terminate,
        };
        life::leave(context, id, end, StateReason::instance_shutdown(), String::new());
    }
}

/// A machine that never came up ends its instance, as a failed launch does on AWS; one that was up before is kept, with
/// its disk.
fn failed(context: &mut Context<'_>, id: &InstanceId, why: &str) {
    let Some(instance) = context.region.instances.get_mut(id) else { return };
    instance.power = Power::Off;
    let is_leaving = !matches!(instance.state, State::Pending | State::Running);
    let end = if instance.was_running && !spot::is_one_time(instance) { End::Stop } else { End::Terminate };
    let volumes = instance.volumes.clone();
    attach::released(context, id, None);
    snapshot::take_waiting(context, &volumes);
    context.region.consoles.write(id, context.now, format!("\r\n{why}\r\n").as_bytes());
    if is_leaving {
        return life::settle(context, id);
    }
    let reason = StateReason::internal(why);
    life::leave(context, id, end, reason, "Server.InternalError".to_owned());
}
