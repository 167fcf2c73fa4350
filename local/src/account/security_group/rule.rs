//! A rule of a security group.

use crate::{
    account::{
        address::Cidr,
        ids::{SecurityGroupId, SecurityGroupRuleId},
        request::invalid,
        settings::Settings,
    },
    error::ApiError,
    network,
    wire::Structure,
};
use serde::{Deserialize, Serialize};
use std::{fmt, net::Ipv6Addr};

/// A rule of a security group.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::account) struct Rule {
    pub(super) group: SecurityGroupId,
    pub(super) direction: Direction,
    pub(super) ports: Ports,
    pub(super) peer: Peer,
    pub(super) description: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Direction {
    Ingress,
    Egress,
}

/// Who is at the other end.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum Peer {
    V4(Cidr),
    V6(Ipv6Addr, u8),
    Group(SecurityGroupId),
}

/// A protocol with its ports, or ICMP type and code.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Ports {
    pub(super) protocol: String,
    pub(super) range: Option<(i64, i64)>,
}

impl Ports {
    /// All protocols.
    pub(super) fn all() -> Self {
        Self { protocol: "-1".to_owned(), range: None }
    }

    /// Reads what a request says.
    /// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_IpPermission.html>.
    pub(super) fn read(protocol: &str, from: Option<i64>, to: Option<i64>) -> Result<Self, ApiError> {
        let protocol = match protocol.to_ascii_lowercase().as_str() {
            "-1" | "all" => return Ok(Self::all()),
            "tcp" | "6" => "tcp".to_owned(),
            "udp" | "17" => "udp".to_owned(),
            "icmp" | "1" => "icmp".to_owned(),
            "icmpv6" | "58" => "icmpv6".to_owned(),
            other => match other.parse::<u8>() {
                Ok(number) => return Ok(Self { protocol: number.to_string(), range: None }),
                Err(_) => {
                    return Err(invalid(format!("Invalid value '{protocol}' for IP protocol. Unknown protocol.")));
                }
            },
        };
        let is_icmp = protocol.starts_with("icmp");
        let range = match (from, to) {
            (Some(from), Some(to)) => (from, to),
            (None, None) if protocol == "icmpv6" => (-1, -1),
            _ if is_icmp => {
                return Err(invalid("Invalid value 'Must specify both type and code for ICMP.' for portRange."));
            }
            _ => {
                return Err(invalid(
                    "Invalid value 'Must specify both from and to ports with TCP/UDP.' for portRange.",
                ));
            }
        };
        if is_icmp {
            check_icmp(range)?
        } else {
            check_ports(range)?
        }
        Ok(Self { protocol, range: Some(range) })
    }

    /// As the switch knows it.
    fn traffic(&self) -> Option<network::Traffic> {
        let port = |number| u16::try_from(number).ok();
        Some(match (self.protocol.as_str(), self.range) {
            ("-1", _) => network::Traffic::All,
            ("tcp", Some((from, to))) => network::Traffic::Tcp(port(from)?..=port(to)?),
            ("udp", Some((from, to))) => network::Traffic::Udp(port(from)?..=port(to)?),
            // -1 stands for all of them.
            ("icmp", Some((kind, code))) => network::Traffic::Icmp(u8::try_from(kind).ok(), u8::try_from(code).ok()),
            ("icmpv6", Some((kind, code))) => {
                network::Traffic::Icmpv6(u8::try_from(kind).ok(), u8::try_from(code).ok())
            }
            (number, _) => network::Traffic::Protocol(number.parse().ok()?),
        })
    }

    /// Sets the members that say so.
    pub(super) fn show(&self, structure: Structure) -> Structure {
        structure
            .with("IpProtocol", self.protocol.as_str())
            .with_some("FromPort", self.range.map(|(from, _)| from))
            .with_some("ToPort", self.range.map(|(_, to)| to))
    }
}

fn check_ports((from, to): (i64, i64)) -> Result<(), ApiError> {
    if let Some(port) = [from, to].into_iter().find(|port| !(0..=65535).contains(port)) {
        return Err(invalid(format!("TCP/UDP port ({port}) out of range")));
    }
    if from > to {
        return Err(invalid(format!("Invalid TCP/UDP port range ({from}:{to})")));
    }
    Ok(())
}

fn check_icmp((kind, code): (i64, i64)) -> Result<(), ApiError> {
    if !(-1..=255).contains(&kind) {
        return Err(invalid(format!("ICMP type ({kind}) out of range")));
    }
    if !(-1..=255).contains(&code) {
        return Err(invalid(format!("ICMP code ({code}) out of range")));
    }
    if kind == -1 && code != -1 {
        return Err(invalid(format!("ICMP code ({code}) not allowed with ICMP type of -1")));
    }
    Ok(())
}

impl Peer {
    /// Reads an IPv4 range; bits beyond the prefix are cleared, as EC2 does.
    pub(super) fn v4(text: &str) -> Result<Self, ApiError> {
        let parts = text
            .split_once('/')
            .and_then(|(address, prefix)| Some((address.parse().ok()?, prefix_length(prefix, 32)?)));
        parts.map(|(address, prefix)| Self::V4(Cidr::new(address, prefix))).ok_or_else(|| malformed(text))
    }

    /// Reads an IPv6 range; bits beyond the prefix are cleared, as EC2 does.
    pub(super) fn v6(text: &str) -> Result<Self, ApiError> {
        let (address, prefix) = text
            .split_once('/')
            .and_then(|(address, prefix)| Some((address.parse::<Ipv6Addr>().ok()?, prefix_length(prefix, 128)?)))
            .ok_or_else(|| malformed(text))?;
        let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
        Ok(Self::V6(Ipv6Addr::from_bits(address.to_bits() & mask), prefix))
    }
}

fn prefix_length(text: &str, most: u8) -> Option<u8> {
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|prefix| digits && *prefix <= most)
}

fn malformed(text: &str) -> ApiError {
    invalid(format!("CIDR block {text} is malformed"))
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V4(cidr) => cidr.fmt(f),
            Self::V6(address, prefix) => write!(f, "{address}/{prefix}"),
            Self::Group(id) => id.fmt(f),
        }
    }
}

impl Rule {
    pub(super) fn new(group: SecurityGroupId, direction: Direction, ports: Ports, peer: Peer) -> Self {
        Self { group, direction, ports, peer, description: None }
    }

    /// As the switch knows it.
    pub(super) fn for_switch(&self) -> Option<network::Rule> {
        let direction = match self.direction {
            Direction::Ingress => network::Direction::Ingress,
            Direction::Egress => network::Direction::Egress,
        };
        let peer = match &self.peer {
            Peer::V4(cidr) => network::Peer::Network(cidr.address, cidr.prefix),
            Peer::V6(address, prefix) => network::Peer::Network6(*address, *prefix),
            Peer::Group(id) => network::Peer::Group(id.to_string()),
        };
        Some(network::Rule { direction, traffic: self.ports.traffic()?, peer })
    }

    /// Whether both say the same; a description says nothing.
    pub(super) fn same(&self, other: &Self) -> bool {
        self.direction == other.direction && self.ports == other.ports && self.peer == other.peer
    }

    /// As DescribeSecurityGroupRules shows it. The VPC of the group that it names is only told where it is another one:
    /// <https://docs.aws.amazon.com/cli/latest/reference/ec2/describe-security-group-rules.html>.
    pub(super) fn shown(&self, id: &SecurityGroupRuleId, settings: &Settings) -> Structure {
        let shown = Structure::new()
            .with("SecurityGroupRuleId", id)
            .with("GroupId", &self.group)
            .with("GroupOwnerId", settings.account.as_str())
            .with("IsEgress", self.direction == Direction::Egress)
            .with_some("Description", self.description.as_deref())
            .with("IpProtocol", self.ports.protocol.as_str());
        // Here, unlike in IpPermissions, EC2 writes -1 where there are no ports.
        let (from, to) = self.ports.range.unwrap_or((-1, -1));
        let shown = shown.with("FromPort", from).with("ToPort", to);
        match &self.peer {
            Peer::V4(cidr) => shown.with("CidrIpv4", cidr.to_string()),
            Peer::V6(..) => shown.with("CidrIpv6", self.peer.to_string()),
            Peer::Group(group) => shown.with(
                "ReferencedGroupInfo",
                Structure::new().with("GroupId", group).with("UserId", settings.account.as_str()),
            ),
        }
    }

    /// How EC2's messages name it.
    pub(super) fn named(&self) -> String {
        let protocol =
            if self.ports.protocol == "-1" { "ALL".to_owned() } else { self.ports.protocol.to_ascii_uppercase() };
        match self.ports.range {
            Some((from, to)) => format!("peer: {}, {protocol}, from port: {from}, to port: {to}, ALLOW", self.peer),
            None => format!("peer: {}, {protocol}, ALLOW", self.peer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocols_and_ports() {
        let range = |protocol, from, to| Ports::read(protocol, from, to).map(|ports| (ports.protocol, ports.range));
        assert_eq!(range("6", Some(22), Some(22)).unwrap(), ("tcp".to_owned(), Some((22, 22))));
        assert_eq!(range("-1", Some(22), Some(22)).unwrap(), ("-1".to_owned(), None));
        assert_eq!(range("50", None, None).unwrap(), ("50".to_owned(), None));
        assert_eq!(range("icmpv6", None, None).unwrap(), ("icmpv6".to_owned(), Some((-1, -1))));
        for (protocol, from, to) in [
            ("tcp", None, None),
            ("tcp", Some(1), None),
            ("tcp", Some(-1), Some(-1)),
            ("udp", Some(0), Some(65536)),
            ("tcp", Some(443), Some(80)),
            ("icmp", Some(-1), Some(3)),
            ("icmp", Some(256), Some(0)),
            ("nonsense", Some(1), Some(1)),
            ("256", None, None),
            ("", None, None),
        ] {
            assert!(Ports::read(protocol, from, to).is_err(), "{protocol} {from:?} {to:?}");
        }
    }

    #[test]
    fn ranges_are_made_canonical() {
        assert_eq!(Peer::v4("10.1.2.3/8").unwrap().to_string(), "10.0.0.0/8");
        assert_eq!(Peer::v4("1.2.3.4/32").unwrap().to_string(), "1.2.3.4/32");
        assert_eq!(Peer::v6("2001:db8::1/32").unwrap().to_string(), "2001:db8::/32");
        assert_eq!(Peer::v6("::/0").unwrap().to_string(), "::/0");
        for bad in ["", "1.2.3.4", "1.2.3.4/33", "1.2.3/8", "1.2.3.4/-1", "1.2.3.4/+8", "::/0", "01.2.3.4/8"] {
            assert!(Peer::v4(bad).is_err(), "{bad}");
        }
        for bad in ["", "::", "::/129", "1.2.3.4/8", "g::/8"] {
            assert!(Peer::v6(bad).is_err(), "{bad}");
        }
    }
}
