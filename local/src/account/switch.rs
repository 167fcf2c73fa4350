//! What the switch must know of the account: the rules of security groups, and what interfaces may do.
//!
//! The code that changes a group or an interface takes note of it; what it has become is told when it is asked for, so that
//! many changes in one call are one.

use super::{
    Account, Context,
    ids::{NetworkInterfaceId, SecurityGroupId},
    network_interface::NetworkInterface,
    region::Region,
    route_table, security_group,
};
use crate::network::{Attributes, Change, Secondary};
use std::collections::BTreeSet;

/// What has changed since it was last told.
#[derive(Debug, Clone, Default)]
pub(super) struct Changed {
    groups: BTreeSet<(&'static str, SecurityGroupId)>,
    interfaces: BTreeSet<(&'static str, NetworkInterfaceId)>,
}

impl Context<'_> {
    /// Takes note that a group has come, gone, or has other rules.
    pub(super) fn group_changed(&mut self, id: &SecurityGroupId) {
        self.shared.changed.groups.insert((self.region.place.name, id.clone()));
    }

    /// Takes note that an interface has come, gone, or has other attributes.
    pub(super) fn interface_changed(&mut self, id: &NetworkInterfaceId) {
        self.shared.changed.interfaces.insert((self.region.place.name, id.clone()));
    }
}

impl Account {
    /// What the switch must be told, since this was last called; before any machine is started.
    #[must_use = "what the switch isn't told doesn't hold"]
    pub fn take_changes(&mut self) -> Vec<Change> {
        let Changed { groups, interfaces } = std::mem::take(&mut self.shared.changed);
        let groups = groups.into_iter().filter_map(|(region, id)| {
            let rules = security_group::rules(self.regions.get(region)?, &id);
            Some(Change::SecurityGroup { id: id.to_string(), rules })
        });
        let interfaces = interfaces.into_iter().filter_map(|(region, id)| {
            let region = self.regions.get(region)?;
            let attributes = region.network_interfaces.get(&id).map(|interface| attributes(interface, region));
            Some(Change::NetworkInterface { id: id.to_string(), attributes })
        });
        groups.chain(interfaces).collect()
    }

    /// Takes note of all that there is.
    pub(super) fn tell_all(&mut self) {
        for (name, region) in &self.regions {
            let groups = region.security_groups.iter().map(|(id, _)| (*name, id.clone()));
            self.shared.changed.groups.extend(groups);
            let interfaces = region.network_interfaces.iter().map(|(id, _)| (*name, id.clone()));
            self.shared.changed.interfaces.extend(interfaces);
        }
    }
}

fn attributes(interface: &NetworkInterface, region: &Region) -> Attributes {
    let instance = interface.instance().and_then(|id| region.instances.get(id));
    let has_machine = instance.is_some_and(|instance| instance.kind.has_machine());
    let leads_out = route_table::leads_to_internet(region, &interface.vpc);
    let secondary = |address| {
        let public_address = interface.public_address_of(address, region);
        let reaches_internet = leads_out && public_address.is_some();
        Secondary { address, public_address: public_address.filter(|_| has_machine), reaches_internet }
    };
    Attributes {
        groups: interface.groups.iter().map(ToString::to_string).collect(),
        source_dest_check: interface.source_dest_check,
        public_address: interface.primary_public_address(region).filter(|_| has_machine),
        // A machine that is up before its instance is said to run has its address already, on EC2.
        reaches_internet: (interface.wants_public_address(region)
            || interface.primary_public_address(region).is_some())
            && leads_out,
        secondary: interface.secondary.iter().copied().map(secondary).collect(),
    }
}
