//! AssociateAddress, DisassociateAddress, and what binds and frees addresses besides.

use super::{Association, by_address, named};
use crate::{
    account::{
        Context,
        ids::{AllocationId, AssociationId, Id, InstanceId, NetworkInterfaceId},
        instance::{State, attribute::several_interfaces},
        network_interface,
        request::{combination, invalid, missing},
    },
    error::{ApiError, Code},
    wire::Structure,
};
use std::net::Ipv4Addr;

/// An address that is bound already moves, unless AllowReassociation says that it must not.
/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_AssociateAddress.html>.
pub(in crate::account) fn associate(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let id = named(context.region, input)?;
    let region = &*context.region;
    let interface = match (input.string("InstanceId"), input.string("NetworkInterfaceId")) {
        (Some(_), Some(_)) => {
            return Err(combination("You may specify instance or network interface, but not both in the same call"));
        }
        (Some(instance), None) => only_interface(context, &region.instances.parse(instance)?)?,
        (None, Some(interface)) => network_interface::own(region, interface)?,
        (None, None) => return Err(missing("InstanceId or NetworkInterfaceId")),
    };
    let holder = region.network_interfaces.require(&interface)?;
    let has_gateway = region.internet_gateways.iter().any(|(_, gateway)| gateway.vpc.as_ref() == Some(&holder.vpc));
    if !has_gateway {
        let message = format!("Network {} is not attached to any internet gateway", holder.vpc);
        return Err(ApiError::new(Code::GatewayNotAttached, message));
    }
    let private = match input.string("PrivateIpAddress") {
        None => holder.address,
        Some(text) => {
            let held = holder.addresses().find(|address| address.to_string() == text);
            held.ok_or_else(|| {
                invalid(format!("The private IP address {text} is not assigned to the interface {interface}"))
            })?
        }
    };
    let bound = region.elastic_addresses.require(&id)?.association.clone();
    if let Some(bound) = &bound {
        network_interface::own(region, bound.interface.as_ref())?;
    }
    if let Some(bound) = bound.filter(|_| input.boolean("AllowReassociation") == Some(false)) {
        let message = format!("resource {id} is already associated with associate-id {}", bound.id);
        return Err(ApiError::new(Code::ResourceAlreadyAssociated, message));
    }
    let taken = holder.elastic.get(&private).filter(|taken| **taken != id);
    if taken.is_some() && input.boolean("AllowReassociation") == Some(false) {
        let message = format!("resource {interface} is already associated with an elastic IP address");
        return Err(ApiError::new(Code::ResourceAlreadyAssociated, message));
    }
    let association = bind(context, &id, &interface, private)?;
    Ok(Structure::new().with("AssociationId", &association))
}

/// The only interface of an instance.
fn only_interface(context: &Context<'_>, id: &InstanceId) -> Result<NetworkInterfaceId, ApiError> {
    let instance = context.region.instances.require(id)?;
    let invalid = |message: String| ApiError::new(Code::InvalidInstanceId, message);
    let state = match instance.state {
        State::Running | State::Stopped | State::Stopping => None,
        other => Some(other.name()),
    };
    if let Some(state) = state {
        return Err(invalid(format!("The {state} instance '{id}' is not in a valid state for this operation.")));
    }
    match instance.network_interfaces.as_slice() {
        [only] => Ok(only.clone()),
        _ => Err(several_interfaces(id)),
    }
}

/// Binds an address to a private one of an interface, whatever it was bound to before. The interface loses what public address that
/// one had.
pub(in crate::account) fn bind(
    context: &mut Context<'_>,
    id: &AllocationId,
    interface: &NetworkInterfaceId,
    private: Ipv4Addr,
) -> Result<AssociationId, ApiError> {
    let bound = context.region.elastic_addresses.require(id)?.association.clone();
    match bound {
        Some(bound) if bound.interface == *interface && bound.private == private => return Ok(bound.id),
        Some(bound) if bound.interface == *interface => drop(free(context, id)),
        _ => disassociate_from(context, id),
    }
    let taken = context.region.network_interfaces.require(interface)?.elastic.get(&private).cloned();
    if let Some(taken) = taken {
        free(context, &taken);
    }
    if context.region.network_interfaces.require(interface)?.address == private {
        network_interface::release_public_address(context, interface);
    }
    let association = Association { id: context.shared.source.id(), interface: interface.clone(), private };
    let made = association.id.clone();
    let region = &mut *context.region;
    let address = region.elastic_addresses.require_mut(id)?;
    address.association = Some(association);
    let public = address.public;
    region.network_interfaces.require_mut(interface)?.elastic.insert(private, id.clone());
    context.shared.public_addresses.insert(public, (region.place.name, Some(interface.clone())));
    context.interface_changed(interface);
    Ok(made)
}

/// Undoes it. Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DisassociateAddress.html>.
pub(in crate::account) fn disassociate(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let region = &*context.region;
    let id = match (input.string("AssociationId"), input.string("PublicIp")) {
        (Some(_), Some(_)) => {
            return Err(combination("You may specify public IP or association id, but not both in the same call"));
        }
        (Some(text), None) => {
            let association = AssociationId::parse(text)?;
            let is_it = |bound: &Association| bound.id == association;
            let found =
                region.elastic_addresses.iter().find(|(_, address)| address.association.as_ref().is_some_and(is_it));
            found.map(|(id, _)| id.clone()).ok_or_else(|| {
                let message = AssociationId::not_found(&[text]);
                ApiError::new(AssociationId::NOT_FOUND, message)
            })?
        }
        (None, Some(text)) => by_address(region, text)?,
        (None, None) => return Err(missing("AssociationId")),
    };
    if let Some(bound) = &region.elastic_addresses.require(&id)?.association {
        network_interface::own(region, bound.interface.as_ref())?;
    }
    disassociate_from(context, &id);
    Ok(Structure::new())
}

/// Frees an address. An instance that runs, and has a public address whenever it starts, gets one again.
/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/using-instance-addressing.html#concepts-public-addresses>.
pub(in crate::account) fn disassociate_from(context: &mut Context<'_>, id: &AllocationId) {
    let Some(interface) = free(context, id) else { return };
    let region = &*context.region;
    let holder = region.network_interfaces.get(&interface).and_then(|holder| holder.attachment.as_ref());
    let runs = holder.filter(|holder| holder.device_index == 0).is_some_and(|holder| {
        region.instances.get(&holder.instance).is_some_and(|instance| instance.state == State::Running)
    });
    if runs {
        network_interface::give_public_address(context, &interface);
    }
}

/// Frees all addresses of an interface that is about to go.
pub(in crate::account) fn leave_interface(context: &mut Context<'_>, interface: &NetworkInterfaceId) {
    let held = context.region.network_interfaces.get(interface).map(|interface| interface.elastic.clone());
    for id in held.into_iter().flatten().map(|(_, id)| id) {
        free(context, &id);
    }
}

/// Frees an address; says of which interface.
fn free(context: &mut Context<'_>, id: &AllocationId) -> Option<NetworkInterfaceId> {
    let address = context.region.elastic_addresses.get_mut(id)?;
    let bound = address.association.take()?;
    let public = address.public;
    if let Some(interface) = context.region.network_interfaces.get_mut(&bound.interface) {
        interface.elastic.remove(&bound.private);
    }
    context.shared.public_addresses.insert(public, (context.region.place.name, None));
    context.interface_changed(&bound.interface);
    Some(bound.interface)
}

/// The private address has moved to another interface, and the elastic one goes with it.
pub(in crate::account) fn follow_private_address(
    context: &mut Context<'_>,
    id: &AllocationId,
    interface: &NetworkInterfaceId,
) {
    let Some(address) = context.region.elastic_addresses.get_mut(id) else { return };
    if let Some(bound) = &mut address.association {
        bound.interface = interface.clone();
    }
    let holder = (context.region.place.name, Some(interface.clone()));
    context.shared.public_addresses.insert(address.public, holder);
}
