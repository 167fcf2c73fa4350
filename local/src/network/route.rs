//! Routes: where what isn't for a machine of the VPC goes. Pure, without I/O.
//!
//! The account says what each NIC's subnet has for routes; the longest prefix wins.
//! <https://docs.aws.amazon.com/vpc/latest/userguide/VPC_Route_Tables.html#route-tables-priority>

use super::filter::is_of;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A route of a subnet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// What it is for: an address and a prefix length.
    pub destination: (IpAddr, u8),
    /// Where it leads.
    pub via: Via,
}

/// Where a route leads.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Via {
    /// To the VPC itself.
    Local,
    /// To an internet gateway; it is for those that have a public address.
    Internet,
    /// To an egress-only internet gateway, by which nobody comes in.
    EgressOnly,
    /// To the internet, in the name of a NAT gateway: its public address.
    Nat(Ipv4Addr),
    /// To a machine that sends on what comes: its NIC, `eni-…`.
    NetworkInterface(String),
    /// To another VPC, `vpc-…`.
    Peer(String),
    /// To what isn't there any more.
    Nothing,
}

impl Route {
    /// The one that leads everything of IPv4.
    pub fn everywhere(via: Via) -> Self {
        Self { destination: (Ipv4Addr::UNSPECIFIED.into(), 0), via }
    }

    /// The one that leads everything of IPv6.
    pub fn everywhere6(via: Via) -> Self {
        Self { destination: (Ipv6Addr::UNSPECIFIED.into(), 0), via }
    }
}

/// Where an address is led.
pub(super) fn find(routes: &[Route], address: IpAddr) -> Option<&Via> {
    let fitting = routes.iter().filter(|route| is_of(address, route.destination.0, route.destination.1));
    fitting.max_by_key(|route| route.destination.1).map(|route| &route.via)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_prefix_wins() {
        let route = |address: [u8; 4], prefix, via| Route { destination: (IpAddr::from(address), prefix), via };
        let routes = [
            Route::everywhere(Via::Internet),
            route([10, 0, 0, 0], 16, Via::Local),
            route([10, 0, 0, 0], 8, Via::Peer("vpc-2".to_owned())),
            route([192, 0, 2, 7], 32, Via::Nothing),
        ];
        let found = |address: [u8; 4]| find(&routes, address.into());
        assert_eq!(found([10, 0, 3, 4]), Some(&Via::Local));
        assert_eq!(found([10, 1, 3, 4]), Some(&Via::Peer("vpc-2".to_owned())));
        assert_eq!(found([192, 0, 2, 7]), Some(&Via::Nothing));
        assert_eq!(found([192, 0, 2, 8]), Some(&Via::Internet));
        assert_eq!(find(&routes[1..], [192, 0, 2, 8].into()), None);
    }
}
