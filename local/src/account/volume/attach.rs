//! AttachVolume, DetachVolume, and what an instance's end does to its volumes.

use super::{
    Attachment, State, Volume,
    attachment::{DETACHING, Detaching},
    end, filling,
};
use crate::{
    account::{
        Context, Effect,
        ids::{InstanceId, VolumeId},
        instance::{Instance, Power, State as InstanceState, is_device_name, later, root_device},
        request::{invalid, required, unsupported},
        system::System,
    },
    error::{ApiError, Code},
    machine::BlockDevice,
    wire::Structure,
};

/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_AttachVolume.html>.
pub(in crate::account) fn attach(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let id = context.volume(input)?;
    let instance_id = context.region.instances.parse(required(input, "InstanceId")?)?;
    let device = required(input, "Device")?;
    check(context, &id, &instance_id, device)?;
    let attachment = Attachment::new(instance_id.clone(), device, context.now, false);
    let answer = attachment.shown(&id, "attaching");
    let volume = context.region.volumes.require_mut(&id)?;
    volume.attachment = Some(attachment);
    let (gib, system) = (volume.shape.gib, volume.system.clone());
    let instance = context.region.instances.require_mut(&instance_id)?;
    if instance.rootless.as_deref() == Some(device) {
        boot_from(instance, &id, system);
    } else {
        instance.volumes.push(id.clone());
    }
    if has_power(instance) {
        let device = BlockDevice::new(id.as_ref(), device, gib);
        context.shared.effects.push(Effect::Attach { instance: instance_id.to_string(), device });
    }
    Ok(answer)
}

/// Whether there is a machine that may have the instance's volumes.
fn has_power(instance: &Instance) -> bool {
    instance.kind.has_machine() && instance.power != Power::Off
}

fn check(context: &Context<'_>, id: &VolumeId, instance_id: &InstanceId, device: &str) -> Result<(), ApiError> {
    if !is_device_name(device) {
        let message =
            format!("Value ({device}) for parameter device is invalid. {device} is not a valid EBS device name.");
        return Err(invalid(message));
    }
    let instance = context.region.instances.require(instance_id)?;
    if !matches!(instance.state, InstanceState::Running | InstanceState::Stopped) {
        let message = format!("Instance '{instance_id}' is not 'running'.");
        return Err(ApiError::new(Code::IncorrectState, message));
    }
    let volume = context.region.volumes.require(id)?;
    if volume.zone != instance.zone {
        let message = format!("The volume '{id}' is not in the same availability zone as instance '{instance_id}'");
        return Err(ApiError::new(Code::InvalidVolumeZoneMismatch, message));
    }
    match context.volume_state(id)? {
        State::Available => {}
        State::InUse => {
            return Err(ApiError::new(Code::VolumeInUse, format!("{id} is already attached to an instance")));
        }
        state => {
            let message = format!("The volume '{id}' is '{}', and not 'available'.", state.name());
            return Err(ApiError::new(Code::IncorrectState, message));
        }
    }
    if instance.rootless.as_deref() == Some(device) {
        check_boots(id, volume, instance)?;
    } else if instance.kind.has_machine() && is_unbooted(volume) {
        return Err(unsupported(format!(
            "To attach the volume '{id}', which is made of a root volume's snapshot, beside the root's"
        )));
    }
    let attachments = instance.volumes.iter().filter_map(|id| context.region.volumes.get(id)?.attachment.as_ref());
    if attachments.map(|attachment| attachment.device.as_str()).any(|used| used == device) {
        let message = format!("Invalid value '{device}' for unixDevice. Attachment point {device} is already in use");
        return Err(invalid(message));
    }
    check_count(instance, instance.volumes.len() + 1)
}

/// The first volume of an instance from now on: its machine boots from it.
fn boot_from(instance: &mut Instance, id: &VolumeId, system: Option<System>) {
    instance.volumes.insert(0, id.clone());
    instance.rootless = None;
    if let Some(system) = system {
        instance.image_name = system.image;
        instance.image_root = system.root;
        instance.login_user = system.login_user;
    }
}

/// Sees that an instance can boot from a volume. EC2 finds out when it is started.
fn check_boots(id: &VolumeId, volume: &Volume, instance: &Instance) -> Result<(), ApiError> {
    match &volume.system {
        Some(system) if system.kind == instance.kind && system.architecture == instance.architecture => Ok(()),
        _ => Err(unsupported(format!(
            "To attach the volume '{id}', which holds no system for this instance, as its root"
        ))),
    }
}

/// Whether no machine has booted yet from a volume that is to be booted from: its layers are no file system.
fn is_unbooted(volume: &Volume) -> bool {
    volume.is_fresh && volume.system.as_ref().is_some_and(|system| system.kind.has_machine())
}

/// Refuses more volumes than the instance's type may have. Of most types, interfaces count as well.
/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/volume_limits.html>.
fn check_count(instance: &Instance, volumes: usize) -> Result<(), ApiError> {
    let (most, is_shared) = instance.instance_type.attachments();
    let counted = volumes + if is_shared { instance.network_interfaces.len().saturating_sub(1) } else { 0 };
    too_many(counted > most, most, instance.instance_type.name)
}

/// The error of one attachment too many.
pub(in crate::account) fn too_many(is_so: bool, most: usize, instance_type: &str) -> Result<(), ApiError> {
    let message = format!("Instances of the type {instance_type} can have {most} attachments at most.");
    if is_so { Err(ApiError::new(Code::AttachmentLimitExceeded, message)) } else { Ok(()) }
}

/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DetachVolume.html>.
pub(in crate::account) fn detach(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let id = context.volume(input)?;
    let named = input.string("InstanceId").map(|named| context.region.instances.parse(named)).transpose()?;
    let force = input.boolean("Force") == Some(true);
    let Some(attachment) = context.region.volumes.require(&id)?.attachment.clone() else {
        let state = context.volume_state(&id)?.name();
        return Err(ApiError::new(Code::IncorrectState, format!("Volume '{id}' is in the '{state}' state.")));
    };
    if let Some(other) = named.filter(|named| *named != attachment.instance) {
        let message = format!("The volume '{id}' is not attached to instance '{other}'.");
        return Err(ApiError::new(Code::InvalidAttachmentNotFound, message));
    }
    if let Some(device) = input.string("Device").filter(|device| *device != attachment.device) {
        let message =
            format!("The volume '{id}' is not attached to instance '{}' as device '{device}'.", attachment.instance);
        return Err(ApiError::new(Code::InvalidAttachmentNotFound, message));
    }
    let instance = context.region.instances.require(&attachment.instance)?;
    if instance.root() == Some(&id) && attachment.device == root_device(context.region, instance) {
        // Source: <https://docs.aws.amazon.com/ebs/latest/userguide/ebs-detaching-volume.html>.
        if instance.state != InstanceState::Stopped {
            let message = format!("Unable to detach root volume '{id}' from instance '{}'", attachment.instance);
            return Err(ApiError::new(Code::OperationNotPermitted, message));
        }
    }
    let answer = attachment.shown(&id, "detaching");
    begin(context, &id, force);
    Ok(answer)
}

/// Asks for the end of an attachment, or again and with force.
fn begin(context: &mut Context<'_>, id: &VolumeId, force: bool) {
    let until = later(context.now, context.settings.paced(DETACHING));
    let Some(attachment) = context.region.volumes.get_mut(id).and_then(|volume| volume.attachment.as_mut()) else {
        return;
    };
    let instance_id = attachment.instance.clone();
    let has_power = context.region.instances.get(&instance_id).is_some_and(has_power);
    let is_first = attachment.detaching.is_none();
    let detaching = attachment.detaching.get_or_insert(Detaching { until, released: !has_power });
    let at = detaching.until;
    if has_power && (is_first || force) {
        let (instance, volume) = (instance_id.to_string(), id.to_string());
        context.shared.effects.push(Effect::Detach { instance, volume, force });
    }
    context.wake(&instance_id, at);
    settle(context, &instance_id);
}

/// A machine has let go of a volume, or of all, being off.
pub(in crate::account) fn released(context: &mut Context<'_>, instance: &InstanceId, volume: Option<&VolumeId>) {
    let Some(held) = context.region.instances.get(instance).map(|instance| instance.volumes.clone()) else { return };
    for id in held.iter().filter(|id| volume.is_none_or(|volume| volume == *id)) {
        let attachment = context.region.volumes.get(id).and_then(|volume| volume.attachment.as_ref());
        if attachment.is_some_and(|attachment| attachment.detaching.is_some_and(|detaching| !detaching.released))
            && let Some(volume) = context.region.volumes.get_mut(id)
            && let Some(detaching) = volume.attachment.as_mut().and_then(|attachment| attachment.detaching.as_mut())
        {
            detaching.released = true;
        }
    }
    settle(context, instance);
}

/// Ends the attachments whose end has come.
pub(in crate::account) fn settle(context: &mut Context<'_>, instance: &InstanceId) {
    let (now, region) = (context.now, &mut *context.region);
    let is_over = |volume: &VolumeId| {
        let attachment = region.volumes.get(volume).and_then(|volume| volume.attachment.as_ref());
        let detaching = attachment.and_then(|attachment| attachment.detaching);
        detaching.is_some_and(|detaching| detaching.released && now >= detaching.until)
    };
    let Some(held) = region.instances.get(instance) else { return };
    let over: Vec<VolumeId> = held.volumes.iter().filter(|id| is_over(id)).cloned().collect();
    if over.is_empty() {
        return;
    }
    let root = held.root().filter(|root| over.contains(root)).map(|_| root_device(region, held).to_owned());
    for id in &over {
        if let Some(volume) = region.volumes.get_mut(id) {
            volume.attachment = None;
        }
    }
    if let Some(held) = region.instances.get_mut(instance) {
        held.rootless = held.rootless.take().or(root);
        held.volumes.retain(|id| !over.contains(id));
    }
    over.iter().for_each(|id| filling::begin(context, id));
}

/// The instance that a volume was attached to is terminated: the volume ends with it, or is kept with all that is on it.
pub(in crate::account) fn release(context: &mut Context<'_>, id: &VolumeId) {
    let attachment = context.region.volumes.get_mut(id).and_then(|volume| volume.attachment.take());
    match attachment {
        Some(attachment) if attachment.delete_on_termination => end(context, id),
        _ => filling::begin(context, id),
    }
}
