//! The DHCPv6 server of each subnet (RFC 9915, which took the place of RFC 8415): an interface is told what it has anyway.
//!
//! As with IPv4, nothing is given away, so nothing is stored. A lease is a repetition, and who asks for another address is told that it isn't on
//! this link. What a client gives back or declines remains the interface's.

use super::{GATEWAY, NAMES, frame};
use crate::network::{Nic, dhcp::DhcpOptions, frame::ROUTER};
use std::net::Ipv6Addr;

/// The ports of servers and of clients.
pub(super) const SERVER: u16 = 547;
pub(super) const CLIENT: u16 = 546;

/// How long an address is preferred and valid, and after how long it is renewed, and renewed at any server that answers, in seconds.
const PREFERRED: u32 = 140;
const VALID: u32 = 450;
const RENEWAL: u32 = PREFERRED / 2;
const REBINDING: u32 = PREFERRED / 8 * 7;

/// What a message is (RFC 9915, 7.3).
mod kind {
    pub(super) const SOLICIT: u8 = 1;
    pub(super) const ADVERTISE: u8 = 2;
    pub(super) const REQUEST: u8 = 3;
    pub(super) const CONFIRM: u8 = 4;
    pub(super) const RENEW: u8 = 5;
    pub(super) const REBIND: u8 = 6;
    pub(super) const REPLY: u8 = 7;
    pub(super) const RELEASE: u8 = 8;
    pub(super) const DECLINE: u8 = 9;
    pub(super) const INFORMATION: u8 = 11;
}

/// Options (RFC 9915, 21; 23 and 24 are RFC 3646).
mod option {
    pub(super) const CLIENT: u16 = 1;
    pub(super) const SERVER: u16 = 2;
    pub(super) const ADDRESSES: u16 = 3;
    pub(super) const ADDRESS: u16 = 5;
    pub(super) const STATUS: u16 = 13;
    pub(super) const RAPID: u16 = 14;
    pub(super) const NAME_SERVERS: u16 = 23;
    pub(super) const DOMAINS: u16 = 24;
}

// What came of it (RFC 9915, 21.13).
const SUCCESS: u16 = 0;
const NO_ADDRESSES: u16 = 2;
const NOT_ON_LINK: u16 = 4;

/// How many sets of addresses a message may ask for.
const SETS: usize = 16;

/// What a client asks.
struct Question<'a> {
    kind: u8,
    /// The number of the exchange.
    number: [u8; 3],
    /// Who asks, and whom, if that is said.
    client: Option<&'a [u8]>,
    server: Option<&'a [u8]>,
    /// The sets of addresses that it asks for, and those that it names in each.
    sets: Vec<(u32, Vec<Ipv6Addr>)>,
    /// It wants the addresses without being asked whether it wants them.
    is_rapid: bool,
}

/// The server's name: what follows from its MAC address (RFC 9915, 11.4).
fn own_name() -> Vec<u8> {
    [&[0, 3, 0, 1], &ROUTER[..]].concat()
}

/// The frame that answers a message of a NIC's machine, if it is to be answered.
pub(in crate::network) fn answer(
    nic: &Nic,
    told: &DhcpOptions,
    is_nameless: bool,
    client: Ipv6Addr,
    message: &[u8],
) -> Option<Vec<u8>> {
    let reply = reply(nic, told, is_nameless, message)?;
    frame::udp(nic.mac, (GATEWAY, SERVER), (client, CLIENT), &reply)
}

fn reply(nic: &Nic, told: &DhcpOptions, is_nameless: bool, message: &[u8]) -> Option<Vec<u8>> {
    let question = read(message)?;
    let own = own_name();
    // Some must name the server, others must not (RFC 9915, 16).
    let names_server = match question.kind {
        kind::SOLICIT | kind::CONFIRM | kind::REBIND => question.server.is_none(),
        kind::REQUEST | kind::RENEW | kind::RELEASE | kind::DECLINE => question.server == Some(&own[..]),
        kind::INFORMATION => question.server.is_none_or(|server| server == own),
        _ => return None,
    };
    if !names_server || (question.client.is_none() && question.kind != kind::INFORMATION) {
        return None;
    }
    let is_offer = question.kind == kind::SOLICIT && !question.is_rapid;
    let mut reply = vec![if is_offer { kind::ADVERTISE } else { kind::REPLY }];
    reply.extend(question.number);
    if let Some(client) = question.client {
        put(&mut reply, option::CLIENT, client);
    }
    put(&mut reply, option::SERVER, &own);
    match question.kind {
        kind::CONFIRM => {
            let mut named = question.sets.iter().flat_map(|(_, addresses)| addresses).peekable();
            // Who names none can't be told anything (RFC 9915, 18.3.3).
            named.peek()?;
            let is_right = named.all(|address| nic.ipv6.contains(address));
            put_status(&mut reply, if is_right { SUCCESS } else { NOT_ON_LINK });
            return Some(reply);
        }
        kind::RELEASE | kind::DECLINE => {
            put_status(&mut reply, SUCCESS);
            return Some(reply);
        }
        kind::INFORMATION => {}
        _ => {
            if question.kind == kind::SOLICIT && question.is_rapid {
                put(&mut reply, option::RAPID, &[]);
            }
            for (number, (id, named)) in question.sets.iter().enumerate() {
                // All addresses are the first set's; those that the client names and hasn't are over.
                let given = if number == 0 { &nic.ipv6[..] } else { &[] };
                put(&mut reply, option::ADDRESSES, &set(*id, given, named));
            }
        }
    }
    if !is_nameless && told.name_servers.contains(&None) {
        put(&mut reply, option::NAME_SERVERS, &NAMES.octets());
    }
    if let Some(domain) = told.domain.as_deref().and_then(encoded) {
        put(&mut reply, option::DOMAINS, &domain);
    }
    Some(reply)
}

/// A set of addresses (RFC 9915, 21.4).
fn set(id: u32, given: &[Ipv6Addr], named: &[Ipv6Addr]) -> Vec<u8> {
    let mut set = id.to_be_bytes().to_vec();
    set.extend(RENEWAL.to_be_bytes());
    set.extend(REBINDING.to_be_bytes());
    let mut address = |address: &Ipv6Addr, preferred: u32, valid: u32| {
        let body = [&address.octets()[..], &preferred.to_be_bytes(), &valid.to_be_bytes()].concat();
        put(&mut set, option::ADDRESS, &body);
    };
    given.iter().for_each(|it| address(it, PREFERRED, VALID));
    named.iter().filter(|it| !given.contains(it)).for_each(|it| address(it, 0, 0));
    if given.is_empty() {
        put_status(&mut set, NO_ADDRESSES);
    }
    set
}

fn put_status(reply: &mut Vec<u8>, status: u16) {
    put(reply, option::STATUS, &status.to_be_bytes());
}

fn put(reply: &mut Vec<u8>, code: u16, value: &[u8]) {
    // No value here is longer than a message.
    if let Ok(length) = u16::try_from(value.len()) {
        reply.extend(code.to_be_bytes());
        reply.extend(length.to_be_bytes());
        reply.extend(value);
    }
}

/// A domain as it stands in a message (RFC 1035, 3.1); none if it is no name.
fn encoded(domain: &str) -> Option<Vec<u8>> {
    let mut name = Vec::new();
    for label in domain.trim_end_matches('.').split('.') {
        let length = u8::try_from(label.len()).ok().filter(|length| (1..64).contains(length))?;
        name.push(length);
        name.extend(label.as_bytes());
    }
    name.push(0);
    Some(name).filter(|name| name.len() <= 255)
}

/// The options of a message or of a set: their codes and values. None if they don't fit in what there is.
fn options(mut bytes: &[u8]) -> Option<Vec<(u16, &[u8])>> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let (head, rest) = bytes.split_first_chunk::<4>()?;
        let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
        let (value, rest) = rest.split_at_checked(length)?;
        found.push((u16::from_be_bytes([head[0], head[1]]), value));
        bytes = rest;
    }
    Some(found)
}

/// Reads a message; `None` if it is none that a server answers.
fn read(message: &[u8]) -> Option<Question<'_>> {
    let (head, rest) = message.split_first_chunk::<4>()?;
    let mut question = Question {
        kind: head[0],
        number: [head[1], head[2], head[3]],
        client: None,
        server: None,
        sets: Vec::new(),
        is_rapid: false,
    };
    for (code, value) in options(rest)? {
        match code {
            // Names are of 3 to 130 bytes (RFC 9915, 11.1).
            option::CLIENT if (3..=130).contains(&value.len()) => question.client = Some(value),
            option::CLIENT => return None,
            option::SERVER => question.server = Some(value),
            option::RAPID => question.is_rapid = true,
            option::ADDRESSES if question.sets.len() < SETS => {
                let (id, rest) = value.split_first_chunk::<4>()?;
                let named = options(rest.get(8..)?)?.into_iter().filter(|(code, _)| *code == option::ADDRESS);
                let named = named.map(|(_, value)| value.first_chunk::<16>().map(|bytes| Ipv6Addr::from(*bytes)));
                question.sets.push((u32::from_be_bytes(*id), named.collect::<Option<_>>()?));
            }
            _ => {}
        }
    }
    Some(question)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const OWN: Ipv6Addr = Ipv6Addr::new(0x3fff, 0, 0, 1, 0, 0, 0, 5);
    const OTHER: Ipv6Addr = Ipv6Addr::new(0x3fff, 0, 0, 1, 0, 0, 0, 6);
    const NAME: &[u8] = &[0, 3, 0, 1, 2, 2, 2, 2, 2, 2];

    fn nic() -> Nic {
        Nic {
            id: "eni-1".into(),
            vpc: "vpc-1".into(),
            mac: [2; 6],
            addresses: vec![[10, 0, 0, 5].into()],
            subnet: ([10, 0, 0, 0].into(), 24),
            ipv6: vec![OWN],
            subnet6: Some((Ipv6Addr::new(0x3fff, 0, 0, 1, 0, 0, 0, 0), 64)),
        }
    }

    fn message(kind: u8, server: Option<&[u8]>, named: &[Ipv6Addr]) -> Vec<u8> {
        let mut bytes = vec![kind, 7, 8, 9];
        put(&mut bytes, option::CLIENT, NAME);
        if let Some(server) = server {
            put(&mut bytes, option::SERVER, server);
        }
        let mut set = vec![0; 12];
        set[3] = 4;
        for address in named {
            put(&mut set, option::ADDRESS, &[&address.octets()[..], &[0; 8]].concat());
        }
        put(&mut bytes, option::ADDRESSES, &set);
        bytes
    }

    fn ask(message: &[u8]) -> Option<Vec<u8>> {
        reply(&nic(), &DhcpOptions::amazon("ec2.internal"), false, message)
    }

    /// The addresses of an answer's first set, and how long they are valid.
    fn given(reply: &[u8]) -> Vec<(Ipv6Addr, u32)> {
        let found = options(&reply[4..]).unwrap();
        let (_, set) = found.iter().find(|(code, _)| *code == option::ADDRESSES).expect("a set");
        assert_eq!(set[..4], [0, 0, 0, 4]);
        let addresses = options(&set[12..]).unwrap().into_iter().filter(|(code, _)| *code == option::ADDRESS);
        let read = |value: &[u8]| {
            let (address, rest) = value.split_first_chunk::<16>().unwrap();
            (Ipv6Addr::from(*address), u32::from_be_bytes(rest[4..8].try_into().unwrap()))
        };
        addresses.map(|(_, value)| read(value)).collect()
    }

    fn value(reply: &[u8], wanted: u16) -> Option<Vec<u8>> {
        let found = options(&reply[4..]).unwrap().into_iter().find(|(code, _)| *code == wanted);
        found.map(|(_, value)| value.to_vec())
    }

    #[test]
    fn an_interface_is_told_what_it_has() {
        let own = own_name();
        for (kind, server, expected) in [
            (kind::SOLICIT, None, kind::ADVERTISE),
            (kind::REQUEST, Some(&own[..]), kind::REPLY),
            (kind::RENEW, Some(&own[..]), kind::REPLY),
            (kind::REBIND, None, kind::REPLY),
        ] {
            let reply = ask(&message(kind, server, &[])).unwrap();
            assert_eq!(reply[..4], [expected, 7, 8, 9]);
            assert_eq!(given(&reply), [(OWN, VALID)]);
            assert_eq!(value(&reply, option::CLIENT).unwrap(), NAME);
            assert_eq!(value(&reply, option::SERVER).unwrap(), own);
            assert_eq!(value(&reply, option::NAME_SERVERS).unwrap(), NAMES.octets());
            assert_eq!(value(&reply, option::DOMAINS).unwrap(), b"\x03ec2\x08internal\0");
        }
        let renewed = ask(&message(kind::RENEW, Some(&own), &[OTHER])).unwrap();
        assert_eq!(given(&renewed), [(OWN, VALID), (OTHER, 0)], "another's is over");
        let mut rapid = message(kind::SOLICIT, None, &[]);
        put(&mut rapid, option::RAPID, &[]);
        let reply = ask(&rapid).unwrap();
        assert_eq!((reply[0], value(&reply, option::RAPID)), (kind::REPLY, Some(Vec::new())));
        let nameless = super::reply(&nic(), &DhcpOptions::amazon("x"), true, &message(kind::SOLICIT, None, &[]));
        assert_eq!(value(&nameless.unwrap(), option::NAME_SERVERS), None);
    }

    #[test]
    fn who_comes_from_elsewhere_is_told_so() {
        let status = |address| value(&ask(&message(kind::CONFIRM, None, &[address])).unwrap(), option::STATUS);
        assert_eq!(status(OWN), Some(SUCCESS.to_be_bytes().to_vec()));
        assert_eq!(status(OTHER), Some(NOT_ON_LINK.to_be_bytes().to_vec()));
        assert_eq!(ask(&message(kind::CONFIRM, None, &[])), None);
        let without = Nic { ipv6: Vec::new(), ..nic() };
        let reply = reply(&without, &DhcpOptions::default(), false, &message(kind::SOLICIT, None, &[])).unwrap();
        assert_eq!(given(&reply), []);
    }

    #[test]
    fn what_is_for_another_server_isnt_answered() {
        let another: &[u8] = &[0, 3, 0, 1, 9, 9, 9, 9, 9, 9];
        for (kind, server) in [
            (kind::SOLICIT, Some(another)),
            (kind::REQUEST, None),
            (kind::REQUEST, Some(another)),
            (kind::RENEW, Some(another)),
            (kind::REPLY, None),
            (kind::ADVERTISE, None),
            (77, None),
        ] {
            assert_eq!(ask(&message(kind, server, &[])), None, "{kind}");
        }
        let information = ask(&[kind::INFORMATION, 1, 2, 3]).unwrap();
        assert_eq!(information[..4], [kind::REPLY, 1, 2, 3]);
        assert_eq!(value(&information, option::ADDRESSES), None);
    }

    proptest! {
        #[test]
        fn no_message_breaks_it(bytes in prop::collection::vec(any::<u8>(), 0..200), kind in 0u8..14, at in 0usize..80, with: u8) {
            let _ = ask(&bytes);
            let mut right = message(kind, Some(&own_name()), &[OWN]);
            let at = at % right.len();
            right[at] = with;
            let _ = ask(&right);
            let _ = ask(&right[..at]);
        }
    }
}
