//! The machines of a VPC: who has which address, and which addresses nobody has.

use super::{
    Nic,
    filter::is_within,
    route::{self, Route, Via},
};
use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr},
};

/// How many of a subnet's addresses are AWS's from the first on: those of the network, its router, its name server, and one for
/// the future. <https://docs.aws.amazon.com/vpc/latest/userguide/subnet-sizing.html>
const RESERVED: u8 = 4;

/// The machines of a VPC that are plugged in.
#[derive(Default)]
pub(super) struct Neighbours {
    /// The port of who has an address, and the MAC address behind it.
    machines: HashMap<IpAddr, (u64, [u8; 6])>,
    /// The subnet of each port.
    subnets: HashMap<u64, (Ipv4Addr, u8)>,
    /// The routes of each port's subnet.
    routes: HashMap<u64, Vec<Route>>,
}

impl Neighbours {
    /// Takes note of a machine at a port.
    pub(super) fn plug_in(&mut self, port: u64, nic: &Nic) {
        self.machines.extend(nic.all_addresses().map(|address| (address, (port, nic.mac))));
        self.subnets.insert(port, nic.subnet);
    }

    /// Forgets the machine at a port.
    pub(super) fn unplug(&mut self, port: u64) {
        self.machines.retain(|_, (owner, _)| *owner != port);
        self.subnets.remove(&port);
        self.routes.remove(&port);
    }

    /// From now on these are the routes of a port's subnet.
    pub(super) fn set_routes(&mut self, port: u64, routes: Vec<Route>) {
        self.routes.insert(port, routes);
    }

    /// Whether who has an address sends what is for another one by way of a NIC: then what comes back may come that way.
    pub(super) fn leads_by(&self, nic: &str, from: &IpAddr, to: IpAddr) -> bool {
        let routes = self.machines.get(from).and_then(|(port, _)| self.routes.get(port));
        matches!(routes.and_then(|routes| route::find(routes, to)), Some(Via::NetworkInterface(known)) if known == nic)
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.subnets.is_empty()
    }

    /// The port of who has an address, and the MAC address behind it.
    pub(super) fn get(&self, address: &IpAddr) -> Option<&(u64, [u8; 6])> {
        self.machines.get(address)
    }

    /// Whether an address is one that AWS has for itself, of any subnet that has a machine.
    pub(super) fn is_reserved(&self, address: Ipv4Addr) -> bool {
        let is_of = |(base, prefix): &(Ipv4Addr, u8)| {
            is_within(address, *base, *prefix) && address.to_bits() & host_bits(*prefix) < u32::from(RESERVED)
        };
        self.subnets.values().any(is_of)
    }
}

/// The bits that tell the addresses of a subnet from each other.
fn host_bits(prefix: u8) -> u32 {
    u32::MAX.checked_shr(prefix.into()).unwrap_or(0)
}
