//! IPv6 ranges, and ranges of either family.

use super::{address::Cidr, ids::Source};
use serde::{Deserialize, Serialize};
use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
};

/// An IPv6 range, in canonical form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Cidr6 {
    pub(super) address: Ipv6Addr,
    pub(super) prefix: u8,
}

/// The ranges of VPCs are of this network, which RFC 9637 keeps for documentation: nobody has it, and programs take its addresses for
/// global ones, as those of EC2 are.
const PROVIDED: Cidr6 = Cidr6 { address: Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), prefix: 20 };
/// How long the prefix of a range is that Amazon provides.
/// Source: <https://docs.aws.amazon.com/vpc/latest/userguide/vpc-cidr-blocks.html#vpc-sizing-ipv6>.
const PROVIDED_PREFIX: u8 = 56;

impl Cidr6 {
    /// All addresses.
    pub(super) const EVERYWHERE: Self = Self { address: Ipv6Addr::UNSPECIFIED, prefix: 0 };

    /// The range of an address and a prefix length, at most 128.
    pub(super) fn new(address: Ipv6Addr, prefix: u8) -> Self {
        let mask = u128::MAX.checked_shl(128 - u32::from(prefix.min(128))).unwrap_or(0);
        Self { address: Ipv6Addr::from_bits(address.to_bits() & mask), prefix: prefix.min(128) }
    }

    /// A range for a VPC, that no other one has.
    pub(super) fn draw(source: &mut Source, is_taken: impl Fn(Self) -> bool) -> Option<Self> {
        let number = u64::MAX >> (64 - (PROVIDED_PREFIX - PROVIDED.prefix));
        (0..10_000).find_map(|_| {
            let bits = u128::from(source.number() & number) << (128 - PROVIDED_PREFIX);
            let drawn = Self::new(Ipv6Addr::from_bits(PROVIDED.address.to_bits() | bits), PROVIDED_PREFIX);
            (!is_taken(drawn)).then_some(drawn)
        })
    }

    /// The address at a place in it, counted on from its start if that is too far.
    pub(super) fn nth(self, n: u128) -> Ipv6Addr {
        let hosts = u128::MAX.checked_shr(self.prefix.into()).unwrap_or(0);
        Ipv6Addr::from_bits(self.address.to_bits() | (n & hosts))
    }

    pub(super) fn contains(self, address: Ipv6Addr) -> bool {
        Self::new(address, self.prefix) == self
    }

    /// Reads a range; bits beyond the prefix are cleared, as EC2 does.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = text.split_once('/')?;
        let is_number = !prefix.is_empty() && prefix.bytes().all(|b| b.is_ascii_digit());
        let prefix = prefix.parse().ok().filter(|prefix| is_number && *prefix <= 128)?;
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

impl fmt::Display for Cidr6 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// A range of either family. Stored as its own: the address tells which one it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Range {
    V4(Cidr),
    V6(Cidr6),
}

impl Range {
    /// Whether all of another range is in it.
    pub(super) fn covers(self, other: Self) -> bool {
        match (self, other) {
            (Self::V4(this), Self::V4(other)) => this.covers(other),
            (Self::V6(this), Self::V6(other)) => this.covers(other),
            _ => false,
        }
    }

    pub(super) fn is_v6(self) -> bool {
        matches!(self, Self::V6(_))
    }

    /// As the switch knows it: an address and a prefix length.
    pub(super) fn network(self) -> (IpAddr, u8) {
        match self {
            Self::V4(cidr) => (cidr.address.into(), cidr.prefix),
            Self::V6(cidr) => (cidr.address.into(), cidr.prefix),
        }
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V4(cidr) => cidr.fmt(f),
            Self::V6(cidr) => cidr.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn ranges_that_are_drawn_are_of_the_documentation_and_differ(seed: [u8; 32]) {
            let mut source = Source::new(seed);
            let mut drawn: Vec<Cidr6> = Vec::new();
            for _ in 0..100 {
                let range = Cidr6::draw(&mut source, |range| drawn.contains(&range)).unwrap();
                prop_assert!(PROVIDED.covers(range) && range.prefix == 56);
                prop_assert!(drawn.iter().all(|other| !other.overlaps(range)));
                drawn.push(range);
            }
        }

        #[test]
        fn a_range_contains_its_own_and_reads_what_it_writes(bits: u128, prefix in 0u8..=128, n: u128) {
            let range = Cidr6::new(Ipv6Addr::from_bits(bits), prefix);
            prop_assert!(range.contains(Ipv6Addr::from_bits(bits)) && range.contains(range.nth(n)));
            prop_assert_eq!(Cidr6::parse(&range.to_string()), Some(range));
        }

        #[test]
        fn what_was_stored_of_either_family_is_read_again(bits: u128, prefix in 0u8..=32) {
            let v4 = Cidr::new(std::net::Ipv4Addr::from_bits(bits as u32), prefix);
            let v6 = Cidr6::new(Ipv6Addr::from_bits(bits), prefix);
            for range in [Range::V4(v4), Range::V6(v6)] {
                let stored = serde_json::to_string(&range).unwrap();
                prop_assert_eq!(serde_json::from_str::<Range>(&stored).unwrap(), range);
            }
            // As it was stored before there were two.
            let stored = serde_json::to_string(&v4).unwrap();
            prop_assert_eq!(serde_json::from_str::<Range>(&stored).unwrap(), Range::V4(v4));
        }
    }

    #[test]
    fn what_is_no_range_is_not_read() {
        for bad in ["", "::", "::/", "::/129", "::/+8", "1.2.3.4/8", "g::/8", "::/0 "] {
            assert_eq!(Cidr6::parse(bad), None, "{bad}");
        }
    }
}
