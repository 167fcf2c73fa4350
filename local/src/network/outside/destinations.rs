//! Where machines may go: decided for each connection, by the address that it goes to, when it goes there. So a name
//! that means one address when it is looked up and another one afterwards gains nothing.

use super::{
    PrivateNetwork,
    network::is_private,
    routes::{Kind, Routes},
};
use crate::network::{filter::is_within, v6};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

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

/// The same of IPv6.
/// <https://www.iana.org/assignments/iana-ipv6-special-registry/iana-ipv6-special-registry.xhtml>
const NEVER6: &[(Ipv6Addr, u8)] = &[
    // Unspecified, loopback, and addresses of IPv4 in other clothes, by which a socket of IPv6 would go there.
    (Ipv6Addr::UNSPECIFIED, 16),
    // A translator's own network, behind which is whatever it likes (RFC 8215); Teredo (RFC 4380); what is thrown away (RFC 6666).
    (Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, 0, 0), 48),
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 32),
    (Ipv6Addr::new(0x100, 0, 0, 0, 0, 0, 0, 0), 64),
    // The VPCs' own here, and nobody's elsewhere (RFC 9637).
    v6::RANGES,
    // What clouds tell their hosts alone: EC2, Google's and Oracle's.
    // <https://docs.cloud.google.com/compute/docs/metadata/querying-metadata>,
    // <https://docs.oracle.com/en-us/iaas/Content/Compute/Tasks/gettingmetadata.htm>.
    (Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0), 32),
    (Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254), 128),
    (Ipv6Addr::new(0xfd00, 0xc1, 0, 0, 0, 0, 0xa9fe, 0xa9fe), 128),
    // Those of a link, of a site as once was (RFC 3879), multicast.
    (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10),
    (Ipv6Addr::new(0xfec0, 0, 0, 0, 0, 0, 0, 0), 10),
    (Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8),
];

/// Translators and tunnels lead to addresses of IPv4, which stand in theirs (RFC 6052, RFC 3056).
fn behind(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, d, e, f, g, h] = address.segments();
    let (high, low) = match (a, b) {
        (0x64, 0xff9b) if [c, d, e, f] == [0; 4] => (g, h),
        (0x2002, _) => (b, c),
        _ => return None,
    };
    Some(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)))
}

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
    pub(super) fn admit(&mut self, address: IpAddr) -> bool {
        let is_never = match address {
            IpAddr::V4(address) => NEVER.iter().any(|(network, prefix)| is_within(address, *network, *prefix)),
            IpAddr::V6(address) => NEVER6.iter().any(|(network, prefix)| v6::is_within(address, *network, *prefix)),
        };
        if is_never {
            return false;
        }
        if let IpAddr::V6(address) = address
            && let Some(behind) = behind(address)
            && !self.admit(behind.into())
        {
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
            assert!(!destinations.admit(IpAddr::from(address)), "{address:?}");
        }
        for address in [[1, 1, 1, 1], [172, 32, 0, 1], [100, 128, 0, 1], [192, 0, 1, 1], [168, 63, 129, 17]] {
            assert!(destinations.admit(IpAddr::from(address)), "{address:?}");
        }
    }

    #[test]
    fn the_same_holds_for_ipv6() {
        let mut destinations = Destinations::new(Vec::new());
        for address in [
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:1.1.1.1",
            "::ffff:0:1.1.1.1",
            "64:ff9b::10.0.0.1",
            "64:ff9b::169.254.169.254",
            "64:ff9b:1::1.1.1.1",
            "100::1",
            "2001::1",
            "2002:7f00:1::1",
            "2002:a00:1::1",
            "3fff::1",
            "3fff:fff::1",
            "fc00::1",
            "fd00::1",
            "fd00:ec2::254",
            "fd20:ce::254",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "ff02::1",
            "ff0e::1",
        ] {
            assert!(!destinations.admit(address.parse().unwrap()), "{address}");
        }
        for address in ["2606:4700:4700::1111", "2001:db8::1", "64:ff9b::1.1.1.1", "2002:101:101::1", "3ffe::1"] {
            assert!(destinations.admit(address.parse().unwrap()), "{address}");
        }
        let mut destinations = Destinations::new(vec!["fd00::/8".parse().unwrap()]);
        assert!(destinations.admit("fd77::1".parse().unwrap()));
        for address in ["fc00::1", "fd00:ec2::254", "fd20:ce::254", "fd00:c1::a9fe:a9fe"] {
            assert!(!destinations.admit(address.parse().unwrap()), "{address}");
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
