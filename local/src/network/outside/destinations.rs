//! Where machines may go: decided for each connection, by the address that it goes to, when it goes there. So a name
//! that means one address when it is looked up and another one afterwards gains nothing.

use super::{
    PrivateNetwork,
    network::is_private,
    routes::{Kind, Routes},
};
use crate::network::filter::is_within;
use std::net::Ipv4Addr;

/// What no machine may reach, whatever the host's routes say: the host itself, its own link with the metadata service of
/// whatever cloud it stands in, and what is no host.
/// <https://www.iana.org/assignments/iana-ipv4-special-registry/iana-ipv4-special-registry.xhtml>
const NEVER: &[(Ipv4Addr, u8)] = &[
    (Ipv4Addr::new(0, 0, 0, 0), 8),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    // The protocol assignments; also where Oracle's cloud has what its hosts alone may ask.
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    // Azure's, the same:
    // <https://learn.microsoft.com/en-us/azure/virtual-network/what-is-ip-address-168-63-129-16>.
    (Ipv4Addr::new(168, 63, 129, 16), 32),
    // The host's own here (`OUTSIDE`), and nobody's elsewhere (RFC 5737).
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    (Ipv4Addr::new(224, 0, 0, 0), 4),
    (Ipv4Addr::new(240, 0, 0, 0), 4),
];

/// Where machines may go.
pub(super) struct Destinations {
    private: Vec<PrivateNetwork>,
    routes: Routes,
}

impl Destinations {
    /// All of the internet, and these private networks.
    pub(super) fn new(private: Vec<PrivateNetwork>) -> Self {
        Self { private, routes: Routes::default() }
    }

    /// Whether a machine may go there, as of now.
    pub(super) fn admit(&mut self, address: Ipv4Addr) -> bool {
        if NEVER.iter().any(|(network, prefix)| is_within(address, *network, *prefix)) {
            return false;
        }
        if is_private(address) && !self.private.iter().any(|network| network.contains(address)) {
            return false;
        }
        match self.routes.kind(address) {
            Ok(Kind::Remote) => true,
            Ok(Kind::Own) => false,
            // Without knowing which addresses are the host's own, none can be told to be another's.
            Err(error) => {
                tracing::warn!(%error, "failed to ask the kernel for a route; the machine is refused");
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_its_link_and_private_networks_are_refused() {
        let mut destinations = Destinations::new(Vec::new());
        for address in [
            [0, 0, 0, 0],
            [0, 1, 2, 3],
            [127, 0, 0, 1],
            [127, 255, 255, 254],
            [169, 254, 169, 254],
            [169, 254, 170, 2],
            [168, 63, 129, 16],
            [192, 0, 0, 192],
            [224, 0, 0, 1],
            [239, 255, 255, 250],
            [240, 0, 0, 1],
            [255, 255, 255, 255],
            [10, 0, 0, 1],
            [172, 16, 0, 1],
            [172, 31, 255, 255],
            [192, 168, 1, 1],
            [100, 64, 0, 1],
            [100, 100, 100, 200],
            [198, 18, 0, 1],
        ] {
            assert!(!destinations.admit(address.into()), "{address:?}");
        }
        for address in [[1, 1, 1, 1], [172, 32, 0, 1], [100, 128, 0, 1], [192, 0, 1, 1], [168, 63, 129, 17]] {
            assert!(destinations.admit(address.into()), "{address:?}");
        }
    }

    #[test]
    fn a_private_network_is_reached_when_it_is_named() {
        let mut destinations = Destinations::new(vec!["10.77.0.0/16".parse().unwrap()]);
        assert!(destinations.admit([10, 77, 1, 2].into()));
        assert!(!destinations.admit([10, 78, 1, 2].into()));
        assert!(!destinations.admit([127, 0, 0, 1].into()));
    }
}
