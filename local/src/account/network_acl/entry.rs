//! The rules of a network ACL.

use crate::{
    account::{
        Context,
        address::Cidr,
        address6::{Cidr6, Range},
        ids::{NetworkAclId, VpcId},
        quota,
        request::{combination, invalid, missing, one_of, required},
        vpc::not_a_range,
    },
    error::{ApiError, Code},
    network,
    wire::Structure,
};
use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;

/// A rule of a network ACL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::account) struct Entry {
    pub(super) egress: bool,
    number: i64,
    allows: bool,
    /// A number, or -1 for all.
    protocol: i64,
    cidr: Range,
    /// Of TCP and UDP the ports, of ICMP the type and the code.
    range: Option<(i64, i64)>,
}

const ALL: i64 = -1;
const ICMP: i64 = 1;
const TCP: i64 = 6;
const UDP: i64 = 17;
const ICMPV6: i64 = 58;
/// Rules have numbers up to this one; the last rule, which refuses, has the next one.
/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateNetworkAclEntry.html>.
const HIGHEST: i64 = 32766;
/// The number of those that let all through; those of IPv6 have the next one.
const FIRST: i64 = 100;
/// All addresses of a family.
const EVERYWHERE: Range = Range::V4(Cidr { address: Ipv4Addr::UNSPECIFIED, prefix: 0 });
const EVERYWHERE6: Range = Range::V6(Cidr6::EVERYWHERE);

impl Entry {
    fn everything(egress: bool, number: i64, allows: bool, cidr: Range) -> Self {
        Self { egress, number, allows, protocol: ALL, cidr, range: None }
    }

    /// Those that let all through.
    pub(super) fn all() -> [Self; 2] {
        [true, false].map(|egress| Self::everything(egress, FIRST, true, EVERYWHERE))
    }

    /// Those that let all of IPv6 through.
    pub(super) fn all6() -> [Self; 2] {
        [true, false].map(|egress| Self::everything(egress, FIRST + 1, true, EVERYWHERE6))
    }

    /// The last ones, which refuse: that of IPv4, and where the VPC has IPv6 another one for it.
    /// Source: <https://docs.aws.amazon.com/vpc/latest/userguide/default-network-acl.html>.
    pub(super) fn last(egress: bool, with_ipv6: bool) -> impl Iterator<Item = Self> {
        let v6 = with_ipv6.then(|| Self::everything(egress, HIGHEST + 2, false, EVERYWHERE6));
        std::iter::once(Self::everything(egress, HIGHEST + 1, false, EVERYWHERE)).chain(v6)
    }

    pub(super) fn shown(&self) -> Structure {
        let is_icmp = matches!(self.protocol, ICMP | ICMPV6);
        let member = if self.cidr.is_v6() { "Ipv6CidrBlock" } else { "CidrBlock" };
        let icmp = self.range.filter(|_| is_icmp);
        let ports = self.range.filter(|_| !is_icmp);
        Structure::new()
            .with(member, self.cidr.to_string())
            .with("Egress", self.egress)
            .with("Protocol", self.protocol.to_string())
            .with("RuleAction", if self.allows { "allow" } else { "deny" })
            .with("RuleNumber", self.number)
            .with_some("IcmpTypeCode", icmp.map(|(kind, code)| Structure::new().with("Type", kind).with("Code", code)))
            .with_some("PortRange", ports.map(|(from, to)| Structure::new().with("From", from).with("To", to)))
    }

    /// As the switch knows it.
    pub(in crate::account) fn for_switch(&self) -> Option<network::AclRule> {
        let port = |number| u16::try_from(number).ok();
        let traffic = match (self.protocol, self.range) {
            (ALL, _) => network::Traffic::All,
            (TCP, Some((from, to))) => network::Traffic::Tcp(port(from)?..=port(to)?),
            (UDP, Some((from, to))) => network::Traffic::Udp(port(from)?..=port(to)?),
            (ICMP, Some((kind, code))) => network::Traffic::Icmp(u8::try_from(kind).ok(), u8::try_from(code).ok()),
            (ICMPV6, Some((kind, code))) => network::Traffic::Icmpv6(u8::try_from(kind).ok(), u8::try_from(code).ok()),
            (number, _) => network::Traffic::Protocol(u8::try_from(number).ok()?),
        };
        let direction = if self.egress { network::Direction::Egress } else { network::Direction::Ingress };
        Some(network::AclRule { direction, traffic, network: self.cidr.network(), allows: self.allows })
    }

    fn read(input: &Structure) -> Result<Self, ApiError> {
        let number = input.integer("RuleNumber").ok_or_else(|| missing("ruleNumber"))?;
        if !(1..=HIGHEST).contains(&number) {
            return Err(out_of_range(number));
        }
        let cidr = match (input.string("CidrBlock"), input.string("Ipv6CidrBlock")) {
            (Some(_), Some(_)) => {
                return Err(combination("The parameters cidrBlock and ipv6CidrBlock cannot be used together"));
            }
            (Some(text), None) => Range::V4(Cidr::parse(text).ok_or_else(|| not_a_range("cidrBlock", text))?),
            (None, Some(text)) => Range::V6(Cidr6::parse(text).ok_or_else(|| not_a_range("ipv6CidrBlock", text))?),
            (None, None) => return Err(missing("cidrBlock or ipv6CidrBlock")),
        };
        let protocol = protocol(required(input, "Protocol")?)?;
        let action = one_of(input, "RuleAction", &["allow", "deny"])?.ok_or_else(|| missing("ruleAction"))?;
        let egress = input.boolean("Egress").ok_or_else(|| missing("egress"))?;
        Ok(Self { egress, number, allows: action == "allow", protocol, cidr, range: range(input, protocol)? })
    }
}

fn out_of_range(number: i64) -> ApiError {
    invalid(format!("Value ({number}) for parameter ruleNumber is invalid. Valid values are 1 to {HIGHEST}."))
}

fn protocol(text: &str) -> Result<i64, ApiError> {
    match text.to_ascii_lowercase().as_str() {
        "-1" | "all" => Ok(ALL),
        "tcp" => Ok(TCP),
        "udp" => Ok(UDP),
        "icmp" => Ok(ICMP),
        "icmpv6" => Ok(ICMPV6),
        number => number
            .parse::<u8>()
            .ok()
            .filter(|_| !number.starts_with('+'))
            .map(i64::from)
            .ok_or_else(|| invalid(format!("Invalid value '{text}' for IP protocol. Unknown protocol."))),
    }
}

/// Two numbers of a structure, if both are there; each is -1, for all, or no more than the most.
fn pair(input: &Structure, member: &str, names: [&str; 2], most: i64) -> Result<Option<(i64, i64)>, ApiError> {
    let Some(range) = input.structure(member) else { return Ok(None) };
    let numbers = names.map(|name| range.integer(name));
    match numbers.into_iter().flatten().find(|number| !(-1..=most).contains(number)) {
        Some(number) => Err(invalid(format!("Value ({number}) for parameter {member} is out of range"))),
        None => Ok(numbers[0].zip(numbers[1])),
    }
}

/// Clients say ports of other protocols, too, and mean nothing by it.
/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateNetworkAclEntry.html>.
fn range(input: &Structure, protocol: i64) -> Result<Option<(i64, i64)>, ApiError> {
    let ports = pair(input, "PortRange", ["From", "To"], 65535)?;
    let icmp = pair(input, "IcmpTypeCode", ["Type", "Code"], 255)?;
    if let Some((from, to)) = ports.filter(|(from, to)| from > to) {
        return Err(invalid(format!("Invalid TCP/UDP port range ({from}:{to})")));
    }
    if let Some((kind, code)) = icmp.filter(|(kind, code)| *kind == -1 && *code != -1) {
        return Err(invalid(format!("Invalid ICMP type and code ({kind}:{code})")));
    }
    match (protocol, ports, icmp) {
        (TCP | UDP, Some((-1, to)), _) => Err(invalid(format!("Invalid TCP/UDP port range (-1:{to})"))),
        (TCP | UDP, Some(ports), _) => Ok(Some(ports)),
        (TCP | UDP, None, _) => Err(missing("portRange.from and portRange.to, for TCP and UDP")),
        (ICMP | ICMPV6, _, Some(icmp)) => Ok(Some(icmp)),
        (ICMP | ICMPV6, _, None) => Err(missing("icmpTypeCode.type and icmpTypeCode.code, for ICMP")),
        _ => Ok(None),
    }
}

fn acl(context: &Context<'_>, input: &Structure) -> Result<(NetworkAclId, VpcId), ApiError> {
    let id = context.region.network_acls.parse(required(input, "NetworkAclId")?)?;
    let vpc = context.region.network_acls.require(&id)?.vpc.clone();
    Ok((id, vpc))
}

fn unknown(egress: bool, number: i64) -> ApiError {
    let direction = if egress { "egress" } else { "ingress" };
    let message = format!("The network acl entry identified by rule number {number} ({direction}) does not exist.");
    ApiError::new(Code::InvalidNetworkAclEntryNotFound, message)
}

pub(in crate::account) fn create_entry(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let (id, vpc) = acl(context, input)?;
    let entry = Entry::read(input)?;
    let present = &context.region.network_acls.require(&id)?.entries;
    let mut of_direction = present.iter().filter(|known| known.egress == entry.egress);
    if of_direction.clone().any(|known| known.number == entry.number) {
        let message = format!("The network acl entry identified by {} already exists.", entry.number);
        return Err(ApiError::new(Code::NetworkAclEntryAlreadyExists, message));
    }
    let quota = context.settings.quotas.rules_per_network_acl;
    let message = format!("The maximum number of network acl entries has been reached for the network ACL '{id}'.");
    quota::one_more(of_direction.by_ref().count(), quota, Code::NetworkAclEntryLimitExceeded, message)?;
    let entries = &mut context.region.network_acls.require_mut(&id)?.entries;
    entries.push(entry);
    entries.sort_by_key(|entry| (!entry.egress, entry.number));
    context.network_changed(&vpc);
    Ok(Structure::new())
}

pub(in crate::account) fn replace_entry(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let (id, vpc) = acl(context, input)?;
    let entry = Entry::read(input)?;
    let entries = &mut context.region.network_acls.require_mut(&id)?.entries;
    let known = entries.iter_mut().find(|known| (known.egress, known.number) == (entry.egress, entry.number));
    let Some(known) = known else { return Err(unknown(entry.egress, entry.number)) };
    *known = entry;
    context.network_changed(&vpc);
    Ok(Structure::new())
}

pub(in crate::account) fn delete_entry(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let (id, vpc) = acl(context, input)?;
    let number = input.integer("RuleNumber").ok_or_else(|| missing("ruleNumber"))?;
    let egress = input.boolean("Egress").ok_or_else(|| missing("egress"))?;
    if !(1..=HIGHEST).contains(&number) {
        return Err(out_of_range(number));
    }
    let entries = &mut context.region.network_acls.require_mut(&id)?.entries;
    let before = entries.len();
    entries.retain(|known| (known.egress, known.number) != (egress, number));
    if entries.len() == before {
        return Err(unknown(egress, number));
    }
    context.network_changed(&vpc);
    Ok(Structure::new())
}
