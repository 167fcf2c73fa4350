//! Addresses and the names that follow from them.

use super::{ids::Source, place::Place};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, net::Ipv4Addr};

/// A public address: of 127.0.0.0/8, so that the host can bind it without any set-up. 127.0.0.0/16 is left to the host
/// (localhost, resolvers). `None` if all are in use.
///
/// Drawn at random from 16 million, so that two endpoints of one host don't meet, and an address that was released is
/// not given out again soon.
pub(super) fn draw_public<T>(source: &mut Source, in_use: &BTreeMap<Ipv4Addr, T>) -> Option<Ipv4Addr> {
    (0..10_000).find_map(|_| {
        let [.., b, c, d] = source.number().to_be_bytes();
        let address = Ipv4Addr::new(127, b, c, d);
        (b != 0 && !matches!(d, 0 | 255) && !in_use.contains_key(&address)).then_some(address)
    })
}

/// A MAC address: locally administered, unicast, as those of EC2 are.
pub(super) fn draw_mac(source: &mut Source) -> [u8; 6] {
    let [_, _, _, a, b, c, d, e] = source.number().to_be_bytes();
    [0x0e, a, b, c, d, e]
}

/// A MAC address as EC2 writes it.
pub(super) fn mac_text(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

/// For example `ip-172-31-0-5.ec2.internal`.
/// Source: <https://docs.aws.amazon.com/vpc/latest/userguide/AmazonDNS-concepts.html>.
pub(super) fn private_dns_name(place: &Place, address: Ipv4Addr) -> String {
    format!("{}.{}", dashed("ip", address), private_domain(place))
}

/// The domain of the private names of a region.
pub(super) fn private_domain(place: &Place) -> String {
    if place.name == "us-east-1" { "ec2.internal".to_owned() } else { format!("{}.compute.internal", place.name) }
}

/// For example `ec2-127-1-2-3.compute-1.amazonaws.com`.
pub(super) fn public_dns_name(place: &Place, address: Ipv4Addr) -> String {
    let host = dashed("ec2", address);
    if place.name == "us-east-1" {
        format!("{host}.compute-1.amazonaws.com")
    } else {
        format!("{host}.{}.compute.amazonaws.com", place.name)
    }
}

fn dashed(prefix: &str, address: Ipv4Addr) -> String {
    let [a, b, c, d] = address.octets();
    format!("{prefix}-{a}-{b}-{c}-{d}")
}

/// The address in a private or public DNS name.
pub(super) fn in_dns_name(name: &str) -> Option<Ipv4Addr> {
    let host = name.split('.').next()?;
    let digits = host.strip_prefix("ip-").or(host.strip_prefix("ec2-"))?;
    digits.replace('-', ".").parse().ok()
}

/// An IPv4 range, in canonical form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Cidr {
    pub(super) address: Ipv4Addr,
    pub(super) prefix: u8,
}

impl Cidr {
    /// The range of an address and a prefix length, at most 32.
    pub(super) fn new(address: Ipv4Addr, prefix: u8) -> Self {
        let mask = u32::MAX.checked_shl(32 - u32::from(prefix.min(32))).unwrap_or(0);
        Self { address: Ipv4Addr::from_bits(address.to_bits() & mask), prefix: prefix.min(32) }
    }

    /// How many addresses are in it.
    pub(super) fn size(self) -> u64 {
        1 << (32 - self.prefix)
    }

    /// The address at a place in it.
    pub(super) fn nth(self, n: u32) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.address.to_bits().wrapping_add(n))
    }

    pub(super) fn contains(self, address: Ipv4Addr) -> bool {
        Self::new(address, self.prefix) == self
    }

    /// Reads a range; bits beyond the prefix are cleared, as EC2 does.
    /// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateVpc.html>.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = text.split_once('/')?;
        let is_number = !prefix.is_empty() && prefix.bytes().all(|b| b.is_ascii_digit());
        let prefix = prefix.parse().ok().filter(|prefix| is_number && *prefix <= 32)?;
        Some(Self::new(address.parse().ok()?, prefix))
    }

    /// Whether all of another range is in it.
    pub(super) fn covers(self, other: Self) -> bool {
        self.prefix <= other.prefix && self.contains(other.address)
    }

    /// Whether both have an address in common.
    pub(super) fn overlaps(self, other: Self) -> bool {
        self.covers(other) || other.covers(self)
    }
}

impl std::fmt::Display for Cidr {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn public_addresses_are_loopback_unique_and_not_the_hosts(seed: [u8; 32]) {
            let mut source = Source::new(seed);
            let mut used = BTreeMap::new();
            for _ in 0..200 {
                let address = draw_public(&mut source, &used).unwrap();
                let [a, b, _, d] = address.octets();
                prop_assert!(a == 127 && b != 0 && d != 0 && d != 255);
                prop_assert!(used.insert(address, ()).is_none());
            }
        }

        #[test]
        fn names_lead_back_to_their_address(bits: u32) {
            let address = Ipv4Addr::from_bits(bits);
            for place in super::super::place::REGIONS {
                prop_assert_eq!(in_dns_name(&private_dns_name(place, address)), Some(address));
                prop_assert_eq!(in_dns_name(&public_dns_name(place, address)), Some(address));
            }
        }

        #[test]
        fn a_range_contains_its_own(bits: u32, prefix in 0u8..=32, n: u32) {
            let cidr = Cidr::new(Ipv4Addr::from_bits(bits), prefix);
            prop_assert!(cidr.contains(Ipv4Addr::from_bits(bits)));
            let n = u32::try_from(u64::from(n) % cidr.size()).unwrap();
            prop_assert!(cidr.contains(cidr.nth(n)));
        }
    }

    #[test]
    fn names() {
        let (east, west) = (
            Place { name: "us-east-1", short: "", geography: "" },
            Place { name: "us-west-2", short: "", geography: "" },
        );
        let address = Ipv4Addr::new(172, 31, 0, 5);
        assert_eq!(private_dns_name(&east, address), "ip-172-31-0-5.ec2.internal");
        assert_eq!(private_dns_name(&west, address), "ip-172-31-0-5.us-west-2.compute.internal");
        assert_eq!(public_dns_name(&east, address), "ec2-172-31-0-5.compute-1.amazonaws.com");
        assert_eq!(public_dns_name(&west, address), "ec2-172-31-0-5.us-west-2.compute.amazonaws.com");
        assert_eq!(in_dns_name("example.com"), None);
    }

    #[test]
    fn ranges_are_read_and_compared() {
        let range = |text| Cidr::parse(text).unwrap();
        assert_eq!(range("10.1.2.3/16").to_string(), "10.1.0.0/16");
        for bad in ["", "10.0.0.0", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/+8", "10.0.0/8", "::/0", "10.0.0.0/8 "] {
            assert_eq!(Cidr::parse(bad), None, "{bad}");
        }
        let (whole, half, other) = (range("10.0.0.0/16"), range("10.0.128.0/17"), range("10.1.0.0/16"));
        assert!(whole.covers(half) && !half.covers(whole) && whole.covers(whole));
        assert!(half.overlaps(whole) && whole.overlaps(half) && !whole.overlaps(other));
        assert!(range("0.0.0.0/0").covers(other));
    }
}
