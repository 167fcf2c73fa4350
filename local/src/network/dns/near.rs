//! Names that mean something near the host only, or nothing.

use crate::network::filter::is_within;
use std::net::Ipv4Addr;

/// Special-use names (RFC 6761, 6762, 7686, 8375, 8880, 9462, 9476, 9665), the one that AWS uses for itself, and those that
/// private networks use without being told to (RFC 6762, G).
const DOMAINS: &[&str] = &[
    "alt",
    "corp",
    "home",
    "home.arpa",
    "internal",
    "intranet",
    "invalid",
    "ipv4only.arpa",
    "lan",
    "local",
    "localdomain",
    "localhost",
    "onion",
    "private",
    "resolver.arpa",
    "service.arpa",
    "test",
];

/// Networks whose addresses have other names everywhere (RFC 6303, RFC 7793), or none.
const NETWORKS: &[(Ipv4Addr, u8)] = &[
    (Ipv4Addr::new(0, 0, 0, 0), 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    (Ipv4Addr::new(224, 0, 0, 0), 4),
    (Ipv4Addr::new(240, 0, 0, 0), 4),
];

/// The same of IPv6, by its first digits: unspecified, loopback and embedded addresses, unique local ones, those of a link
/// or a site, multicast, and the documentation's.
const PREFIXES: &[&str] = &["00", "fc", "fd", "fe8", "fe9", "fea", "feb", "fec", "fed", "fee", "fef", "ff", "20010db8"];

/// Whether a name, in lower case, is one of them or below one.
pub(super) fn is_near(name: &str) -> bool {
    let is_of = |domain: &&str| name.strip_suffix(*domain).is_some_and(|host| host.is_empty() || host.ends_with('.'));
    DOMAINS.iter().any(is_of) || reverse_network(name).is_some_and(is_near_network) || is_near_prefix(name)
}

fn is_near_network((address, length): (Ipv4Addr, u8)) -> bool {
    NETWORKS.iter().any(|(network, prefix)| length >= *prefix && is_within(address, *network, *prefix))
}

/// The network that a name of `in-addr.arpa` is about, or that it is below.
fn reverse_network(name: &str) -> Option<(Ipv4Addr, u8)> {
    let mut octets = [0; 4];
    let numbers = name.strip_suffix(".in-addr.arpa")?.rsplit('.').map_while(|label| label.parse().ok());
    let count = octets.iter_mut().zip(numbers).map(|(octet, number)| *octet = number).count();
    Some((octets.into(), count as u8 * 8))
}

fn is_near_prefix(name: &str) -> bool {
    let Some(digits) = name.strip_suffix(".ip6.arpa") else { return false };
    let address: String = digits.rsplit('.').take_while(|label| label.len() == 1).collect();
    PREFIXES.iter().any(|prefix| address.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_hosts_surroundings_are_told_from_the_worlds() {
        for name in [
            "local",
            "printer.local",
            "lan",
            "nas.lan",
            "_dns.resolver.arpa",
            "ipv4only.arpa",
            "10.in-addr.arpa",
            "1.0.0.10.in-addr.arpa",
            "lb._dns-sd._udp.0.1.168.192.in-addr.arpa",
            "168.192.in-addr.arpa",
            "16.172.in-addr.arpa",
            "64.100.in-addr.arpa",
            "d.f.ip6.arpa",
            "8.e.f.ip6.arpa",
            "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa",
        ] {
            assert!(is_near(name), "{name}");
        }
        for name in [
            "",
            "com",
            "example.com",
            "mylocal",
            "plan.example",
            "in-addr.arpa",
            "172.in-addr.arpa",
            "32.172.in-addr.arpa",
            "192.in-addr.arpa",
            "8.8.8.8.in-addr.arpa",
            "ip6.arpa",
            "1.0.0.2.ip6.arpa",
            "e.f.ip6.arpa",
        ] {
            assert!(!is_near(name), "{name}");
        }
    }
}
