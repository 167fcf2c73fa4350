//! A network by its address and prefix length, as text `10.20.0.0/16` or `fd12:3456::/32`.

use super::super::filter::is_of;
use serde::{Deserialize, Serialize};
use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

/// Networks that are nobody's on the internet, but may be somebody's behind this host: private use (RFC 1918), shared
/// address space (RFC 6598), benchmarking (RFC 2544), unique local addresses (RFC 4193).
const PRIVATE: &[(IpAddr, u8)] = &[
    (IpAddr::V4(Ipv4Addr::new(10, 0, 0, 0)), 8),
    (IpAddr::V4(Ipv4Addr::new(172, 16, 0, 0)), 12),
    (IpAddr::V4(Ipv4Addr::new(192, 168, 0, 0)), 16),
    (IpAddr::V4(Ipv4Addr::new(100, 64, 0, 0)), 10),
    (IpAddr::V4(Ipv4Addr::new(198, 18, 0, 0)), 15),
    (IpAddr::V6(Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0)), 7),
];

/// A private network that this host reaches: a part of 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, 100.64.0.0/10,
/// 198.18.0.0/15 or fc00::/7. As text: `10.20.0.0/16`, or an address alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PrivateNetwork {
    address: IpAddr,
    prefix: u8,
}

impl PrivateNetwork {
    /// Whether an address is of the network.
    pub(super) fn contains(self, address: IpAddr) -> bool {
        is_of(address, self.address, self.prefix)
    }
}

/// Whether an address is of a private network.
pub(in crate::network) fn is_private(address: IpAddr) -> bool {
    PRIVATE.iter().any(|(network, prefix)| is_of(address, *network, *prefix))
}

impl FromStr for PrivateNetwork {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = |why: &str| format!("read the network `{text}`: {why}");
        let (address, prefix) = text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
        let Ok(address) = address.parse::<IpAddr>() else {
            return Err(wrong("it must look like 10.20.0.0/16 or fd12:3456::/32"));
        };
        let (bits, most) = match address {
            IpAddr::V4(address) => (u128::from(address.to_bits()) << 96, 32),
            IpAddr::V6(address) => (address.to_bits(), 128),
        };
        let Ok(prefix) = prefix.map_or(Ok(most), str::parse::<u8>) else {
            return Err(wrong("what follows the slash must be a number"));
        };
        let host_bits = u128::MAX.checked_shr(prefix.into()).unwrap_or(0);
        if prefix > most || bits & host_bits & (u128::MAX << (128 - u32::from(most))) != 0 {
            return Err(wrong("its address has more bits than its prefix length says"));
        }
        let is_part = |(network, least): &(IpAddr, u8)| prefix >= *least && is_of(address, *network, *least);
        if !PRIVATE.iter().any(is_part) {
            return Err(wrong(
                "it is no part of a private network (10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, 100.64.0.0/10, \
                 198.18.0.0/15, fc00::/7); others are reached without being named, or never",
            ));
        }
        Ok(Self { address, prefix })
    }
}

impl fmt::Display for PrivateNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl TryFrom<String> for PrivateNetwork {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<PrivateNetwork> for String {
    fn from(network: PrivateNetwork) -> Self {
        network.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_networks_are_read_and_no_others() {
        for text in [
            "10.0.0.0/8",
            "10.20.0.0/16",
            "192.168.1.7/32",
            "100.64.0.0/10",
            "172.31.255.0/24",
            "fd12:3456::/32",
            "fc00::/7",
        ] {
            assert_eq!(text.parse::<PrivateNetwork>().unwrap().to_string(), text);
        }
        assert_eq!("10.1.2.3".parse::<PrivateNetwork>().unwrap().to_string(), "10.1.2.3/32");
        assert_eq!("fd00::7".parse::<PrivateNetwork>().unwrap().to_string(), "fd00::7/128");
        for text in [
            "",
            "10.0.0.0/33",
            "10.0.0.1/8",
            "10.0.0.0/7",
            "172.0.0.0/8",
            "0.0.0.0/0",
            "127.0.0.0/8",
            "127.0.0.1",
            "169.254.169.254",
            "8.8.8.8",
            "fd00::/129",
            "fd00::1/64",
            "fc00::/6",
            "::/0",
            "fe80::/10",
            "2001:db8::/32",
            "::1",
            "10.0.0.0/-1",
        ] {
            assert!(text.parse::<PrivateNetwork>().is_err(), "{text}");
        }
    }
}
