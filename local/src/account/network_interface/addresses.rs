//! AssignPrivateIpAddresses, UnassignPrivateIpAddresses.

use super::{
    NetworkInterface,
    create::{count_of, parse, take, too_many},
};
use crate::{
    account::{
        Context, elastic_address,
        ids::NetworkInterfaceId,
        request::{combination, invalid, missing, required, required_list},
    },
    error::ApiError,
    wire::Structure,
};
use std::net::Ipv4Addr;

/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_AssignPrivateIpAddresses.html>.
pub(in crate::account) fn assign(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let id = super::own(context.region, required(input, "NetworkInterfaceId")?)?;
    let mut wanted = input.strings("PrivateIpAddresses").map(parse).collect::<Result<Vec<_>, _>>()?;
    wanted.sort();
    wanted.dedup();
    let count = match (input.integer("SecondaryPrivateIpAddressCount"), wanted.is_empty()) {
        (Some(_), false) => {
            return Err(combination(
                "The parameters privateIpAddresses and secondaryPrivateIpAddressCount cannot be used together",
            ));
        }
        (Some(count), true) => count_of(count, "secondaryPrivateIpAddressCount", 1)?,
        (None, true) => return Err(missing("privateIpAddresses or secondaryPrivateIpAddressCount")),
        (None, false) => 0,
    };
    let region = &*context.region;
    let interface = region.network_interfaces.require(&id)?;
    // Those that it has already stay.
    let fresh: Vec<Ipv4Addr> =
        wanted.iter().copied().filter(|wanted| interface.addresses().all(|it| it != *wanted)).collect();
    let more = fresh.len() as u64 + count;
    if interface.addresses().count() as u64 + more > limit(context, interface) {
        return Err(too_many());
    }
    let subnet = region.subnets.require(&interface.subnet)?;
    let may_move = input.boolean("AllowReassignment") == Some(true);
    for address in &fresh {
        match subnet.holders.get(address).and_then(|holder| region.network_interfaces.get(holder)) {
            Some(holder) if holder.address == *address => {
                return Err(invalid(format!("{address} is a primary address, and cannot be reassigned.")));
            }
            Some(_) if !may_move => {
                return Err(invalid(format!("Some of [{address}] are assigned, but move is not allowed.")));
            }
            Some(_) => {}
            None => drop(subnet.check(*address)?),
        }
    }
    let subnet_id = interface.subnet.clone();
    if subnet.free() < count {
        return Err(crate::account::instance::full(&subnet_id));
    }
    let mut given = wanted;
    for address in fresh {
        move_here(context, address, &id)?;
    }
    for _ in 0..count {
        let address = take(context, &subnet_id, None, &id)?;
        context.region.network_interfaces.require_mut(&id)?.secondary.push(address);
        given.push(address);
    }
    context.interface_changed(&id);
    let given: Vec<Structure> =
        given.iter().map(|address| Structure::new().with("PrivateIpAddress", address.to_string())).collect();
    Ok(Structure::new().with("NetworkInterfaceId", &id).with("AssignedPrivateIpAddresses", given))
}

/// How many private addresses an interface can have: as many as its instance's type says, or any.
fn limit(context: &Context<'_>, interface: &NetworkInterface) -> u64 {
    let instance = interface.instance().and_then(|id| context.region.instances.get(id));
    instance.map_or(50, |instance| instance.instance_type.addresses_per_interface())
}

/// Gives an address to an interface, with the elastic one that it has, whoever had it before.
fn move_here(context: &mut Context<'_>, address: Ipv4Addr, to: &NetworkInterfaceId) -> Result<(), ApiError> {
    let region = &mut *context.region;
    let subnet = region.network_interfaces.require(to)?.subnet.clone();
    let from = region.subnets.require(&subnet)?.holders.get(&address).cloned();
    region.subnets.derive(&subnet, |subnet| drop(subnet.holders.insert(address, to.clone())));
    let mut elastic = None;
    if let Some(from) = from {
        let interface = region.network_interfaces.require_mut(&from)?;
        interface.secondary.retain(|it| *it != address);
        elastic = interface.elastic.remove(&address);
        context.interface_changed(&from);
    }
    let interface = context.region.network_interfaces.require_mut(to)?;
    interface.secondary.push(address);
    if let Some(allocation) = elastic {
        interface.elastic.insert(address, allocation.clone());
        elastic_address::follow_private_address(context, &allocation, to);
    }
    Ok(())
}

/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_UnassignPrivateIpAddresses.html>.
pub(in crate::account) fn unassign(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let id = super::own(context.region, required(input, "NetworkInterfaceId")?)?;
    let named = required_list(input, "PrivateIpAddresses")?;
    let named = named.into_iter().map(parse).collect::<Result<Vec<_>, _>>()?;
    let interface = context.region.network_interfaces.require(&id)?;
    if named.contains(&interface.address) {
        return Err(invalid(format!("The primary private IP address {} cannot be unassigned.", interface.address)));
    }
    if let Some(address) = named.iter().find(|address| !interface.secondary.contains(address)) {
        return Err(invalid(format!("Some of the specified addresses are not assigned to interface {id}: {address}")));
    }
    for address in named {
        if let Some(allocation) = context.region.network_interfaces.require(&id)?.elastic.get(&address).cloned() {
            elastic_address::disassociate_from(context, &allocation);
        }
        let interface = context.region.network_interfaces.require_mut(&id)?;
        interface.secondary.retain(|it| *it != address);
        let subnet = interface.subnet.clone();
        context.region.subnets.derive(&subnet, |subnet| drop(subnet.holders.remove(&address)));
    }
    context.interface_changed(&id);
    Ok(Structure::new())
}
