//! What the switch must know of the account: the rules of security groups, and what interfaces may do.
//!
//! The code that changes a group or an interface takes note of it; what it has become is told when it is asked for, so that
//! many changes in one call are one.

use super::{
    Account, Context,
    address::Cidr,
    address6::Range,
    ids::{NatGatewayId, NetworkInterfaceId, SecurityGroupId, VpcId},
    network_acl,
    network_interface::NetworkInterface,
    region::Region,
    route_table::{self, Via},
    security_group,
};
use crate::network::{self, Attributes, Change, Route, Secondary};
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

    /// Takes note that a VPC has come, and with it its group.
    pub(super) fn group_made(&mut self, vpc: &VpcId) {
        if let Some(group) = self.region.default_group(vpc).cloned() {
            self.group_changed(&group);
        }
    }

    /// Takes note that what leads from a VPC to elsewhere has changed, or what may pass there.
    pub(super) fn network_changed(&mut self, vpc: &VpcId) {
        let interfaces = self.region.network_interfaces.iter().filter(|(_, interface)| interface.vpc == *vpc);
        let name = self.region.place.name;
        self.shared.changed.interfaces.extend(interfaces.map(|(id, _)| (name, id.clone())));
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
    let routes = routes(interface, region);
    let has_machine = instance.is_some_and(|instance| instance.kind.has_machine());
    let leads_out = routes.iter().any(|route| route.via == network::Via::Internet);
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
        ipv6: interface.ipv6.clone(),
        subnet6: region
            .subnets
            .get(&interface.subnet)
            .and_then(|subnet| subnet.range6())
            .map(|range| (range.address, range.prefix)),
        routes,
        acl: network_acl::rules(region, &interface.subnet),
        is_nameless: region.vpcs.get(&interface.vpc).is_some_and(|vpc| !vpc.dns_support),
    }
}

/// The routes of an interface's subnet, those within its VPC among them.
fn routes(interface: &NetworkInterface, region: &Region) -> Vec<Route> {
    let local = region.vpcs.get(&interface.vpc).into_iter().flat_map(|vpc| vpc.all_ranges());
    let local = local.map(|range| (range, network::Via::Local));
    let others = route_table::routes(region, &interface.vpc, &interface.subnet).into_iter();
    let others = others.flat_map(|(destination, via)| {
        let via = match via {
            Via::EgressOnly => network::Via::EgressOnly,
            Via::Internet => network::Via::Internet,
            Via::NetworkInterface(id) => network::Via::NetworkInterface(id.to_string()),
            Via::NatGateway(id) => match destination {
                Range::V4(cidr) => {
                    let led = through_nat(region, &id, cidr).into_iter();
                    return led.map(|(cidr, via)| (Range::V4(cidr), via)).collect();
                }
                Range::V6(_) => network::Via::Nothing,
            },
            Via::Peering(vpc) => network::Via::Peer(vpc.to_string()),
            Via::Nothing => network::Via::Nothing,
        };
        vec![(destination, via)]
    });
    let route = |(destination, via): (Range, _)| Route { destination: destination.network(), via };
    local.chain(others).map(route).collect()
}

/// Where a NAT gateway leads of what a route brings to it: as far as its own subnet's routes lead to the internet.
fn through_nat(region: &Region, id: &NatGatewayId, destination: Cidr) -> Vec<(Cidr, network::Via)> {
    let mut led = vec![(destination, network::Via::Nothing)];
    let gateway = region.nat_gateways.get(id).and_then(|gateway| Some((gateway, gateway.public_address()?)));
    let Some((gateway, address)) = gateway else { return led };
    let mut routes = route_table::routes(region, &gateway.vpc, &gateway.subnet);
    routes.sort_by_key(|(own, _)| own.network().1);
    for (own, via) in routes {
        let Range::V4(own) = own else { continue };
        let via = if via == Via::Internet { network::Via::Nat(address) } else { network::Via::Nothing };
        if own.covers(destination) {
            // The longest prefix wins, and that is found last.
            led.retain(|(known, _)| *known != destination);
            led.push((destination, via));
        } else if destination.covers(own) {
            led.push((own, via));
        }
    }
    led
}
