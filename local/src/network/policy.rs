//! What the account has told of security groups and network interfaces; it holds until it tells otherwise.

use super::{acl::AclRule, filter::Rule, route::Route};
use std::{
    collections::HashMap,
    net::{Ipv4Addr, Ipv6Addr},
};

/// What has changed in the account, and the switch must know.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// The rules of a security group; `None` if it is gone.
    SecurityGroup {
        /// `sg-…`.
        id: String,
        /// All of its rules, in both directions.
        rules: Option<Vec<Rule>>,
    },
    /// The attributes of a network interface, whether it is plugged in or not; `None` if it is gone.
    NetworkInterface {
        /// `eni-…`.
        id: String,
        /// All of its attributes.
        attributes: Option<Attributes>,
    },
}

/// What of a network interface may change while it is plugged in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attributes {
    /// The security groups, `sg-…`. Without any, nothing passes.
    pub groups: Vec<String>,
    /// `SourceDestCheck`: what it sends must come from its own addresses.
    pub source_dest_check: bool,
    /// The public address, while it has one, and a machine behind it.
    pub public_address: Option<Ipv4Addr>,
    /// Whether it has a way to the internet: a route to an internet gateway, and a public address, be it only on its way.
    pub reaches_internet: bool,
    /// The secondary private addresses; the primary one is what the interface was plugged in with.
    pub secondary: Vec<Secondary>,
    /// The IPv6 addresses.
    pub ipv6: Vec<Ipv6Addr>,
    /// The IPv6 range of its subnet, if that has one.
    pub subnet6: Option<(Ipv6Addr, u8)>,
    /// The routes of its subnet. Without any, what isn't for a machine of the VPC goes nowhere.
    pub routes: Vec<Route>,
    /// The rules of its subnet's network ACL; none: all passes.
    pub acl: Option<Vec<AclRule>>,
    /// Whether its VPC has no name server.
    pub is_nameless: bool,
}

/// A secondary private address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secondary {
    /// The address.
    pub address: Ipv4Addr,
    /// The public address that stands for it, if one does, and there is a machine behind it.
    pub public_address: Option<Ipv4Addr>,
    /// Whether it has a way to the internet: a route to an internet gateway, and a public address.
    pub reaches_internet: bool,
}

impl Attributes {
    /// The private addresses that have a public one, and a way to the internet; of these the primary one is given.
    pub fn public_addresses(&self, primary: Option<Ipv4Addr>) -> Vec<(Ipv4Addr, Ipv4Addr)> {
        let first = primary.filter(|_| self.reaches_internet).zip(self.public_address);
        let others = self.secondary.iter().filter(|it| it.reaches_internet);
        first.into_iter().chain(others.filter_map(|it| Some((it.address, it.public_address?)))).collect()
    }

    /// The public address of a private one that has a way to the internet.
    pub(super) fn public_address_of(&self, private: Ipv4Addr) -> Option<Ipv4Addr> {
        match self.secondary.iter().find(|it| it.address == private) {
            Some(secondary) => secondary.public_address.filter(|_| secondary.reaches_internet),
            None => self.public_address.filter(|_| self.reaches_internet),
        }
    }

    /// Whether what comes from a private address has a way to the internet.
    pub(super) fn lets_out(&self, private: Ipv4Addr) -> bool {
        let secondary = self.secondary.iter().find(|it| it.address == private);
        secondary.map_or(self.reaches_internet, |it| it.reaches_internet)
    }
}

/// What the account has told.
#[derive(Default)]
pub(super) struct Policy {
    groups: HashMap<String, Vec<Rule>>,
    interfaces: HashMap<String, Attributes>,
}

impl Policy {
    /// Takes note of a change; says which interfaces it concerns.
    pub(super) fn take(&mut self, change: Change) -> Vec<String> {
        match change {
            Change::SecurityGroup { id, rules } => {
                let members = self.interfaces.iter().filter(|(_, attributes)| attributes.groups.contains(&id));
                let members = members.map(|(nic, _)| nic.clone()).collect();
                match rules {
                    Some(rules) => drop(self.groups.insert(id, rules)),
                    None => drop(self.groups.remove(&id)),
                }
                members
            }
            Change::NetworkInterface { id, attributes } => {
                match attributes {
                    Some(attributes) => drop(self.interfaces.insert(id.clone(), attributes)),
                    None => drop(self.interfaces.remove(&id)),
                }
                vec![id]
            }
        }
    }

    /// The attributes of an interface, and all rules of its groups. One that nobody has told of has none.
    pub(super) fn of(&self, nic: &str) -> (Attributes, Vec<Rule>) {
        let attributes = self.interfaces.get(nic).cloned().unwrap_or_default();
        let rules = attributes.groups.iter().filter_map(|id| self.groups.get(id)).flatten().cloned().collect();
        (attributes, rules)
    }
}
