//! Whether an account is whole: all that its resources say of each other holds.

use super::{
    Account,
    ids::{Id, InstanceId},
    instance::State,
    region::Region,
    vpc::Dhcp,
};
use std::fmt::Display;

impl Account {
    /// Sees that every reference between resources leads somewhere, and back where there is a way back.
    pub(super) fn whole(&self) -> Result<(), String> {
        self.regions.iter().try_for_each(|(name, region)| {
            let found = [instances, interfaces, elastic_addresses, volumes, images, groups, network, names];
            found.into_iter().try_for_each(|check| check(region)).map_err(|what| format!("{name}: {what}"))
        })
    }
}

fn holds(condition: bool, what: impl FnOnce() -> String) -> Result<(), String> {
    if condition { Ok(()) } else { Err(what()) }
}

/// That something that is named exists.
fn there<T>(found: Option<T>, who: impl Display, what: impl Display) -> Result<T, String> {
    found.ok_or_else(|| format!("{who} names {what}, which isn't there"))
}

fn instances(region: &Region) -> Result<(), String> {
    for (id, instance) in region.instances.iter() {
        let is_over = instance.state == State::Terminated;
        holds(is_over == instance.network_interfaces.is_empty(), || {
            format!("{id} is {}, with the interfaces {:?}", instance.state.name(), instance.network_interfaces)
        })?;
        for nic in &instance.network_interfaces {
            let interface = there(region.network_interfaces.get(nic), id, nic)?;
            holds(interface.instance() == Some(id), || format!("{id} holds {nic}, which is held by another"))?;
        }
        if let Some(spot) = instance.spot.as_ref().filter(|_| !is_over) {
            there(region.spot_requests.get(&spot.request), id, &spot.request)?;
        }
        for volume in &instance.volumes {
            let attachment = there(region.volumes.get(volume), id, volume)?.attachment.as_ref();
            holds(attachment.is_some_and(|attachment| attachment.instance == *id), || {
                format!("{id} holds {volume}, which is held by another")
            })?;
        }
        if let Some(association) = &instance.profile_association {
            let bond = there(region.instance_profile_associations.get(association), id, association)?;
            holds(bond.instance == *id, || format!("{id} holds {association}, which is held by another"))?;
        }
    }
    for (id, association) in region.instance_profile_associations.iter() {
        let instance = there(region.instances.get(&association.instance), id, &association.instance)?;
        holds(instance.profile_association.as_ref() == Some(id), || format!("{id} is no instance's"))?;
    }
    Ok(())
}

fn interfaces(region: &Region) -> Result<(), String> {
    for (id, interface) in region.network_interfaces.iter() {
        let subnet = there(region.subnets.get(&interface.subnet), id, &interface.subnet)?;
        there(region.vpcs.get(&interface.vpc), id, &interface.vpc)?;
        for address in interface.addresses() {
            holds(subnet.cidr.contains(address), || format!("{id} has {address}, beside its subnet"))?;
            holds(subnet.holders.get(&address) == Some(id), || format!("{id} has {address}, which another one holds"))?;
        }
        for address in &interface.ipv6 {
            let is_of_subnet = subnet.range6().is_some_and(|range| range.contains(*address));
            holds(is_of_subnet, || format!("{id} has {address}, beside its subnet"))?;
            holds(subnet.holders6.get(address) == Some(id), || format!("{id} has {address}, which another one holds"))?;
        }
        for (private, allocation) in &interface.elastic {
            let bound = there(region.elastic_addresses.get(allocation), id, allocation)?.association.as_ref();
            let is_bound = bound.is_some_and(|bound| bound.interface == *id && bound.private == *private);
            holds(is_bound && interface.addresses().any(|held| held == *private), || {
                format!("{id} has {allocation} at {private}, which is bound to another")
            })?;
        }
        for group in &interface.groups {
            there(region.security_groups.get(group), id, group)?;
        }
        if let Some(instance) = interface.instance() {
            let instance = there(region.instances.get(instance), id, instance)?;
            holds(instance.network_interfaces.contains(id), || format!("{id} is held by one who doesn't know of it"))?;
        }
    }
    let held: usize = region.subnets.iter().map(|(_, subnet)| subnet.holders.len()).sum();
    let had: usize = region.network_interfaces.iter().map(|(_, interface)| interface.addresses().count()).sum();
    holds(held == had, || format!("{held} addresses are held, and interfaces have {had}"))
}

fn elastic_addresses(region: &Region) -> Result<(), String> {
    for (id, address) in region.elastic_addresses.iter() {
        if let Some(bound) = &address.association {
            let interface = there(region.network_interfaces.get(&bound.interface), id, &bound.interface)?;
            holds(interface.elastic.get(&bound.private) == Some(id), || {
                format!("{id} is bound to {}, which doesn't know of it", bound.interface)
            })?;
        }
    }
    Ok(())
}

fn volumes(region: &Region) -> Result<(), String> {
    for (id, volume) in region.volumes.iter() {
        if let Some(attachment) = &volume.attachment {
            let instance = there(region.instances.get(&attachment.instance), id, &attachment.instance)?;
            holds(instance.volumes.contains(id), || format!("{id} is held by one who doesn't know of it"))?;
        }
    }
    Ok(())
}

fn images(region: &Region) -> Result<(), String> {
    for (id, image) in region.images.iter().filter(|(_, image)| image.made.is_some()) {
        for snapshot in image.snapshots() {
            there(region.snapshots.get(snapshot), id, snapshot)?;
        }
    }
    Ok(())
}

fn groups(region: &Region) -> Result<(), String> {
    let mut rules = 0;
    for (id, group) in region.security_groups.iter() {
        there(region.vpcs.get(&group.vpc), id, &group.vpc)?;
        for rule in &group.rules {
            there(region.security_group_rules.get(rule), id, rule)?;
        }
        rules += group.rules.len();
    }
    holds(rules == region.security_group_rules.len(), || "a security group rule is of no group".to_owned())
}

fn network(region: &Region) -> Result<(), String> {
    for (id, subnet) in region.subnets.iter() {
        there(region.vpcs.get(&subnet.vpc), id, &subnet.vpc)?;
    }
    for (id, table) in region.route_tables.iter() {
        there(region.vpcs.get(&table.vpc), id, &table.vpc)?;
        for subnet in table.subnets() {
            there(region.subnets.get(subnet), id, subnet)?;
        }
    }
    let mut bonds = 0;
    for (id, acl) in region.network_acls.iter() {
        there(region.vpcs.get(&acl.vpc), id, &acl.vpc)?;
        for subnet in acl.subnets() {
            there(region.subnets.get(subnet), id, subnet)?;
            bonds += 1;
        }
    }
    holds(bonds == region.subnets.len(), || "not each subnet has one network ACL".to_owned())?;
    for (id, gateway) in region.nat_gateways.iter().filter(|(_, gateway)| gateway.is_there()) {
        there(region.vpcs.get(&gateway.vpc), id, &gateway.vpc)?;
        there(region.subnets.get(&gateway.subnet), id, &gateway.subnet)?;
    }
    for (id, peering) in region.peering_connections.iter().filter(|(_, peering)| peering.is_active()) {
        there(region.vpcs.get(&peering.requester), id, &peering.requester)?;
        there(region.vpcs.get(&peering.accepter), id, &peering.accepter)?;
    }
    for (id, vpc) in region.vpcs.iter() {
        if let Dhcp::Own(options) = &vpc.dhcp_options {
            there(region.dhcp_option_sets.get(options), id, options)?;
        }
    }
    for (id, gateway) in region.internet_gateways.iter() {
        if let Some(vpc) = &gateway.vpc {
            there(region.vpcs.get(vpc), id, vpc)?;
        }
    }
    Ok(())
}

/// What is known of resources by their ids alone.
fn names(region: &Region) -> Result<(), String> {
    for id in region.tags.resources() {
        holds(super::tags::exists(region, id), || format!("{id} has tags, and isn't there"))?;
    }
    for id in region.consoles.instances() {
        let is_there = InstanceId::parse(id).is_ok_and(|id| region.instances.contains(&id));
        holds(is_there, || format!("{id} has a console, and isn't there"))?;
    }
    Ok(())
}
