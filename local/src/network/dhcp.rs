//! The DHCP server of each subnet, for machines that ask for their addresses (RFC 2131, 2132): a NIC is told what it has
//! anyway.
//! <https://docs.aws.amazon.com/vpc/latest/userguide/DHCPOptionSetConcepts.html>
//!
//! Nothing is given away, so nothing is stored: a lease is a repetition. A machine that asks for another address than its
//! NIC's is told that it can't have it. Nobody else who answers in DHCP's name is heard: see `router`.

use super::{Nic, frame, port::MTU, router};
use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;

/// The ports of servers and of clients.
pub(super) const SERVER: u16 = 67;
pub(super) const CLIENT: u16 = 68;

/// How long a lease lasts, and after how long it is renewed, and renewed at any server that answers, in seconds. EC2's last as long.
const LEASE: u32 = 3600;
const RENEWAL: u32 = LEASE / 2;
const REBINDING: u32 = LEASE / 8 * 7;

/// What a machine is told of its network, beside what its interface has.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DhcpOptions {
    /// The domain in which names are looked for.
    pub domain: Option<String>,
    /// The name servers; `None` stands for EC2's own, at the subnet's third address.
    pub name_servers: Vec<Option<Ipv4Addr>>,
    /// The time servers.
    pub time_servers: Vec<Ipv4Addr>,
    /// The NetBIOS name servers.
    pub netbios_servers: Vec<Ipv4Addr>,
    /// Which kind of NetBIOS node it is (RFC 2132, 8.7).
    pub netbios_node: Option<u8>,
}

impl DhcpOptions {
    /// Those of a region: EC2's own name server, and the domain of its names.
    pub fn amazon(domain: impl Into<String>) -> Self {
        Self { domain: Some(domain.into()), name_servers: vec![None], ..Self::default() }
    }

    /// The addresses of the name servers, for a machine of a subnet.
    pub fn name_servers_of(&self, subnet: Ipv4Addr) -> impl Iterator<Item = Ipv4Addr> {
        let own = Ipv4Addr::from_bits(subnet.to_bits().wrapping_add(2));
        self.name_servers.iter().map(move |server| server.unwrap_or(own))
    }
}

// RFC 2131, 2.
const FIXED: usize = 236;
const COOKIE: [u8; 4] = [99, 130, 83, 99];
const REQUEST: u8 = 1;
const REPLY: u8 = 2;
const ETHERNET: [u8; 2] = [1, 6];
const BROADCAST: u8 = 0x80;
/// The least that clients expect (RFC 1542, 2.1).
const LEAST: usize = 300;

/// Options (RFC 2132; 26 is 5.1).
mod option {
    pub(super) const PAD: u8 = 0;
    pub(super) const MASK: u8 = 1;
    pub(super) const ROUTER: u8 = 3;
    pub(super) const NAME_SERVER: u8 = 6;
    pub(super) const HOST_NAME: u8 = 12;
    pub(super) const DOMAIN: u8 = 15;
    pub(super) const MTU: u8 = 26;
    pub(super) const BROADCAST: u8 = 28;
    pub(super) const TIME_SERVER: u8 = 42;
    pub(super) const NETBIOS_SERVER: u8 = 44;
    pub(super) const NETBIOS_NODE: u8 = 46;
    pub(super) const WANTED: u8 = 50;
    pub(super) const LEASE: u8 = 51;
    pub(super) const KIND: u8 = 53;
    pub(super) const SERVER: u8 = 54;
    pub(super) const RENEWAL: u8 = 58;
    pub(super) const REBINDING: u8 = 59;
    pub(super) const END: u8 = 255;
}

/// What a message is (RFC 2132, 9.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Discover = 1,
    Offer = 2,
    Request = 3,
    Acknowledge = 5,
    Refuse = 6,
    Inform = 8,
}

/// What a client asks.
struct Question<'a> {
    kind: Kind,
    /// The fields that stand in every message.
    fixed: &'a [u8; FIXED],
    /// The address that it wants, and the server that it wants it from.
    wanted: Option<Ipv4Addr>,
    server: Option<Ipv4Addr>,
}

/// The frame that answers a message of a NIC's machine, if it is to be answered.
pub(super) fn answer(nic: &Nic, told: &DhcpOptions, message: &[u8]) -> Option<Vec<u8>> {
    let question = read(message).filter(|question| question.fixed[28..34] == nic.mac)?;
    let address = *nic.addresses.first()?;
    let current = Ipv4Addr::from(*question.fixed[12..16].first_chunk::<4>()?);
    let own = router::router(nic);
    let kind = match question.kind {
        Kind::Discover => Kind::Offer,
        // Another server's offer was taken, says the client; there is no other, but it is not ours to answer.
        Kind::Request if question.server.is_some_and(|server| server != own) => return None,
        Kind::Request if question.wanted.unwrap_or(current) == address => Kind::Acknowledge,
        Kind::Request => Kind::Refuse,
        Kind::Inform => Kind::Acknowledge,
        _ => return None,
    };
    let has_address = question.kind == Kind::Inform || (question.wanted.is_none() && !current.is_unspecified());
    let mut reply = vec![0; FIXED];
    reply[0] = REPLY;
    reply[1..3].copy_from_slice(&ETHERNET);
    // The number of the exchange, the flags, who asks.
    reply[4..8].copy_from_slice(&question.fixed[4..8]);
    reply[10..12].copy_from_slice(&question.fixed[10..12]);
    reply[28..44].copy_from_slice(&question.fixed[28..44]);
    if kind != Kind::Refuse {
        reply[12..16].copy_from_slice(&current.octets());
        if question.kind != Kind::Inform {
            reply[16..20].copy_from_slice(&address.octets());
        }
    }
    reply.extend(COOKIE);
    options(&mut reply, kind, question.kind, nic, told);
    reply.resize(reply.len().max(LEAST), option::PAD);

    // To the address that it has already, or to all, or to the one that it is about to have (RFC 2131, 4.1).
    let to_all = kind == Kind::Refuse || question.fixed[10] & BROADCAST != 0;
    let (mac, to) = match (has_address && kind != Kind::Refuse, to_all) {
        (true, _) => (nic.mac, current),
        (false, true) => ([0xff; 6], Ipv4Addr::BROADCAST),
        (false, false) => (nic.mac, address),
    };
    frame::udp(mac, (own, SERVER), (to, CLIENT), &reply)
}

fn options(reply: &mut Vec<u8>, kind: Kind, asked: Kind, nic: &Nic, told: &DhcpOptions) {
    let mut put = |code: u8, value: &[u8]| {
        // No value here is longer than a name, which is shorter than 256 bytes.
        if let Ok(length) = u8::try_from(value.len()) {
            reply.extend([code, length]);
            reply.extend(value);
        }
    };
    let own = router::router(nic);
    put(option::KIND, &[kind as u8]);
    put(option::SERVER, &own.octets());
    if kind != Kind::Refuse {
        if asked != Kind::Inform {
            put(option::LEASE, &LEASE.to_be_bytes());
            put(option::RENEWAL, &RENEWAL.to_be_bytes());
            put(option::REBINDING, &REBINDING.to_be_bytes());
        }
        let mask = u32::MAX.checked_shl(32 - u32::from(nic.subnet.1)).unwrap_or(0);
        put(option::MASK, &mask.to_be_bytes());
        put(option::BROADCAST, &(nic.subnet.0.to_bits() | !mask).to_be_bytes());
        put(option::ROUTER, &own.octets());
        let network = Ipv4Addr::from_bits(own.to_bits().wrapping_sub(1));
        for (code, servers) in [
            (option::NAME_SERVER, told.name_servers_of(network).collect()),
            (option::TIME_SERVER, told.time_servers.clone()),
            (option::NETBIOS_SERVER, told.netbios_servers.clone()),
        ] {
            let addresses: Vec<u8> = servers.iter().flat_map(Ipv4Addr::octets).collect();
            // An option without a value is none.
            if !addresses.is_empty() {
                put(code, &addresses);
            }
        }
        if let Some(domain) = told.domain.as_ref().filter(|domain| !domain.is_empty()) {
            put(option::DOMAIN, domain.as_bytes());
        }
        if let Some(node) = told.netbios_node {
            put(option::NETBIOS_NODE, &[node]);
        }
        if let Some(address) = nic.addresses.first() {
            let [a, b, c, d] = address.octets();
            put(option::HOST_NAME, format!("ip-{a}-{b}-{c}-{d}").as_bytes());
        }
        put(option::MTU, &(MTU as u16).to_be_bytes());
    }
    reply.push(option::END);
}

/// Reads a message; `None` if it is none that a server answers.
fn read(message: &[u8]) -> Option<Question<'_>> {
    let (fixed, rest) = message.split_first_chunk::<FIXED>()?;
    let mut rest = rest.strip_prefix(&COOKIE)?;
    if fixed[0] != REQUEST || fixed[1..3] != ETHERNET {
        return None;
    }
    let (mut kind, mut wanted, mut server) = (None, None, None);
    while let Some((code, after)) = rest.split_first().filter(|(code, _)| **code != option::END) {
        if *code == option::PAD {
            rest = after;
            continue;
        }
        let (length, after) = after.split_first()?;
        let (value, after) = after.split_at_checked(usize::from(*length))?;
        let address = || Some(Ipv4Addr::from(<[u8; 4]>::try_from(value).ok()?));
        match *code {
            option::KIND => {
                kind = match value {
                    [1] => Some(Kind::Discover),
                    [3] => Some(Kind::Request),
                    [8] => Some(Kind::Inform),
                    // An address that was declined or given back remains the NIC's.
                    _ => return None,
                }
            }
            option::WANTED => wanted = Some(address()?),
            option::SERVER => server = Some(address()?),
            _ => {}
        }
        rest = after;
    }
    Some(Question { kind: kind?, fixed, wanted, server })
}

#[cfg(test)]
mod tests;
