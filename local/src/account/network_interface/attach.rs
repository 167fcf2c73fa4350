//! AttachNetworkInterface, DetachNetworkInterface, and what becomes of machines by them.

use super::{Attachment, create::too_many, release_public_address, too_many_addresses6};
use crate::{
    account::{
        Context, Effect,
        ids::{AttachmentId, InstanceId, NetworkInterfaceId},
        instance::{Power, State, later},
        request::{combination, invalid, missing, required},
    },
    error::{ApiError, Code},
    wire::Structure,
};
use std::time::Duration;

/// How long AWS takes to detach.
const DETACHING: Duration = Duration::from_secs(3);

/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_AttachNetworkInterface.html>.
pub(in crate::account) fn attach(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let id = super::own(context.region, required(input, "NetworkInterfaceId")?)?;
    let holder = context.region.instances.parse(required(input, "InstanceId")?)?;
    let index = input.integer("DeviceIndex").ok_or_else(|| missing("DeviceIndex"))?;
    if input.integer("NetworkCardIndex").is_some_and(|index| index != 0) {
        return Err(invalid("The network card index must be 0: the instance type has one network card"));
    }
    check(context, &id, &holder, index)?;
    let attachment = Attachment {
        id: context.shared.source.id(),
        instance: holder.clone(),
        device_index: index,
        time: context.now,
        delete_on_termination: false,
        ends: None,
    };
    let answer = Structure::new().with("AttachmentId", &attachment.id).with("NetworkCardIndex", 0_i64);
    let region = &mut *context.region;
    region.network_interfaces.require_mut(&id)?.attachment = Some(attachment);
    let index_of = |nic: &NetworkInterfaceId| {
        region.network_interfaces.get(nic).and_then(|nic| Some(nic.attachment.as_ref()?.device_index))
    };
    let instance = region.instances.require_mut(&holder)?;
    let at = instance.network_interfaces.partition_point(|nic| index_of(nic) < Some(index));
    instance.network_interfaces.insert(at, id.clone());
    context.interface_changed(&id);
    plug(context, &holder, &id);
    Ok(answer)
}

fn check(context: &Context<'_>, id: &NetworkInterfaceId, holder: &InstanceId, index: i64) -> Result<(), ApiError> {
    let region = &*context.region;
    let (interface, instance) = (region.network_interfaces.require(id)?, region.instances.require(holder)?);
    if interface.attachment.is_some() {
        return Err(ApiError::new(Code::InvalidNetworkInterfaceInUse, format!("Interface: [{id}] in use.")));
    }
    if !matches!(instance.state, State::Running | State::Stopped) {
        let message = format!("The instance '{holder}' is not in a state in which an interface can be attached to it.");
        return Err(ApiError::new(Code::IncorrectInstanceState, message));
    }
    if region.subnets.require(&interface.subnet)?.zone != instance.zone {
        return Err(combination(
            "You may not attach a network interface to an instance if they are not in the same availability zone",
        ));
    }
    let held = || instance.network_interfaces.iter().filter_map(|nic| region.network_interfaces.get(nic));
    if held().filter_map(|nic| nic.attachment.as_ref()).any(|attachment| attachment.device_index == index) {
        return Err(invalid(format!(
            "Instance '{holder}' already has an interface attached at device index '{index}'."
        )));
    }
    let instance_type = instance.instance_type;
    let (most, count) = (instance_type.network_interfaces(), instance.network_interfaces.len() as u64 + 1);
    if count > most {
        let message = format!("Interface count {count} exceeds the limit for {}", instance_type.name);
        return Err(ApiError::new(Code::AttachmentLimitExceeded, message));
    }
    if !(0..i64::try_from(most).unwrap_or(i64::MAX)).contains(&index) {
        return Err(invalid(format!(
            "Value ({index}) for parameter deviceIndex is invalid. It must be less than {most} for {}.",
            instance_type.name
        )));
    }
    if interface.addresses().count() as u64 > instance_type.addresses_per_interface() {
        return Err(too_many());
    }
    if interface.ipv6.len() as u64 > instance_type.addresses6_per_interface() {
        return Err(too_many_addresses6());
    }
    Ok(())
}

/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DetachNetworkInterface.html>.
pub(in crate::account) fn detach(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let attachment = <AttachmentId as crate::account::ids::Id>::parse(required(input, "AttachmentId")?)?;
    let held = context.region.network_interfaces.iter().find_map(|(nic, interface)| {
        interface.attachment.as_ref().filter(|held| held.id == attachment).map(|held| (nic.clone(), held.clone()))
    });
    let Some((id, held)) = held else {
        let message = format!("The attachment ID '{attachment}' does not exist");
        return Err(ApiError::new(Code::InvalidAttachmentIdNotFound, message));
    };
    if held.device_index == 0 {
        return Err(ApiError::new(
            Code::OperationNotPermitted,
            "The network interface at device index 0 cannot be detached.",
        ));
    }
    // Who asks again gets the same answer.
    if held.ends.is_none() {
        let ends = later(context.now, context.settings.paced(DETACHING));
        if let Some(attachment) = context.region.network_interfaces.require_mut(&id)?.attachment.as_mut() {
            attachment.ends = Some(ends);
        }
        unplug(context, &held.instance, &id);
        context.interface_changed(&id);
        context.wake(&held.instance, ends);
    }
    Ok(Structure::new())
}

/// Ends those of an instance's detachments that are due.
pub(in crate::account) fn end_detachments(context: &mut Context<'_>, instance: &InstanceId) {
    let region = &mut *context.region;
    let Some(held) = region.instances.get(instance) else { return };
    let is_over = |nic: &&NetworkInterfaceId| {
        let attachment = region.network_interfaces.get(nic).and_then(|nic| nic.attachment.as_ref());
        attachment.and_then(|attachment| attachment.ends).is_some_and(|ends| ends <= context.now)
    };
    let over: Vec<NetworkInterfaceId> = held.network_interfaces.iter().filter(is_over).cloned().collect();
    for nic in over {
        if let Some(instance) = context.region.instances.get_mut(instance) {
            instance.network_interfaces.retain(|held| *held != nic);
        }
        if let Some(interface) = context.region.network_interfaces.get_mut(&nic) {
            interface.attachment = None;
        }
        release_public_address(context, &nic);
        context.interface_changed(&nic);
    }
}

/// Has a machine that has power get the interface; one that is off gets it when it starts.
fn plug(context: &mut Context<'_>, instance: &InstanceId, id: &NetworkInterfaceId) {
    let region = &*context.region;
    let nic = region.network_interfaces.get(id).and_then(|interface| interface.nic(id, region));
    if let Some(nic) = nic.filter(|_| has_power(context, instance)) {
        context.shared.effects.push(Effect::Plug { instance: instance.to_string(), nic });
    }
}

fn unplug(context: &mut Context<'_>, instance: &InstanceId, id: &NetworkInterfaceId) {
    if has_power(context, instance) {
        context.shared.effects.push(Effect::Unplug { instance: instance.to_string(), nic: id.to_string() });
    }
}

fn has_power(context: &Context<'_>, instance: &InstanceId) -> bool {
    context.region.instances.get(instance).is_some_and(|instance| instance.power != Power::Off)
}
