//! The names of a VPC: a name server that knows the machines' own names, and asks the host's resolvers for all others.
//!
//! A machine whose name server is silent waits for many seconds in odd places (sudo, sshd, cloud-init). So it answers at
//! once what it knows, and also that it doesn't know; and whatever it has to ask for within seconds.
//! <https://docs.aws.amazon.com/vpc/latest/userguide/AmazonDNS-concepts.html>
//!
//! | file | what it is for |
//! |---|---|
//! | `query` | what a machine asks, and what of it they are asked |
//! | `near` | names that they are never asked for |
//! | `resolvers` | the host's resolvers |
//! | `forward` | asking them |
//! | `server` | answering machines, over UDP and TCP |
//!
//! The host's own names stay the host's: `/etc/hosts` isn't read, its search domains aren't used, and names that only
//! have a meaning near it (one label, `.local`, the reverse of private addresses) are never asked for.

mod forward;
mod near;
mod query;
mod resolvers;
mod server;

pub(super) use server::{Asker, Server};

use super::MetadataSource;
use query::{Query, Unfit};
use std::net::{IpAddr, Ipv4Addr};

/// The domain of us-east-1; other regions have `<region>.compute.internal`.
const DEFAULT_DOMAIN: &str = "ec2.internal";
/// The domain of the public names of us-east-1; other regions have `<region>.compute.amazonaws.com`.
const DEFAULT_PUBLIC_DOMAIN: &str = "compute-1.amazonaws.com";

/// How long an answer may be kept, in seconds, as AWS says of its own.
const KEEP: u32 = 60;

/// The port of name servers.
const PORT: u16 = 53;

// RFC 1035, 3.2 and 4.1.1.
const HEADER: usize = 12;
/// The most bytes of a name, the last, empty label included (RFC 1035, 2.3.4).
const NAME: usize = 255;
const A: u16 = 1;
const NS: u16 = 2;
const SOA: u16 = 6;
const PTR: u16 = 12;
const HINFO: u16 = 13;
const AAAA: u16 = 28;
const DS: u16 = 43;
const DNSKEY: u16 = 48;
const ANY: u16 = 255;
const INTERNET: u16 = 1;
/// This is a response, and recursion is available.
const RESPONSE: u16 = 0x8080;
/// What a response repeats: the operation, and whether others should be asked.
const OPERATION: u16 = 0x7800;
const RECURSION_DESIRED: u16 = 0x0100;
/// It is too long for a datagram.
const TRUNCATED: u16 = 0x0200;
const NO_ERROR: u16 = 0;
const FORMAT_ERROR: u16 = 1;
const SERVER_FAILURE: u16 = 2;
const NAME_ERROR: u16 = 3;
const NOT_IMPLEMENTED: u16 = 4;
const REFUSED: u16 = 5;

/// What the names of a VPC depend on.
pub(super) trait Zone {
    /// The domain of the machines' private names.
    fn domain(&self) -> String;

    /// The address that the public name of a machine means to the one who asks, as AWS has it: within the machine's VPC the
    /// private one. `None` if no machine has it.
    fn public(&self, address: Ipv4Addr) -> Option<Ipv4Addr>;

    /// The addresses of the machine whose name tells its id. `None` where it means nothing to the one who asks.
    fn resource(&self, instance: &str) -> Option<Vec<IpAddr>>;
}

/// What becomes of a message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// This is said.
    Reply(Vec<u8>),
    /// It is no question: nothing is said.
    Silence,
    /// The host's resolvers may know; this is what they are asked.
    Elsewhere(Vec<u8>),
}

/// The domain that the names of a NIC's region have.
pub(super) fn domain(source: &dyn MetadataSource, nic: &str) -> String {
    source.domain(nic).unwrap_or_else(|| DEFAULT_DOMAIN.to_owned())
}

/// The answer to a message.
pub(super) fn answer(message: &[u8], zone: &impl Zone) -> Answer {
    let query = match Query::read(message) {
        Ok(query) => query,
        Err(Unfit::NoQuestion) => return Answer::Silence,
        Err(Unfit::Code(code, question)) => return Answer::Reply(respond(message, code, question, None)),
    };
    let reply = |code, record: Option<Vec<u8>>| Answer::Reply(respond(message, code, query.raw, record));
    let Some(records) = known(&query.question.name, zone) else {
        return match query.question.is_of_the_world() {
            false => reply(NAME_ERROR, None),
            // All that there is need not be told (RFC 8482, 4.2).
            true if query.is_for_all() => reply(NO_ERROR, Some(record(HINFO, b"\x07RFC8482\0"))),
            true if query.is_recursive => Answer::Elsewhere(query.plain()),
            true => reply(REFUSED, None),
        };
    };
    // A name that exists has no records of other types.
    let asked = records.into_iter().filter(|(kind, _)| query.question.kind == *kind || query.is_for_all());
    Answer::Reply(respond(message, NO_ERROR, query.raw, asked.map(|(kind, data)| record(kind, &data))))
}

/// The records of a name that is known here: their types and data.
fn known(name: &str, zone: &impl Zone) -> Option<Vec<(u16, Vec<u8>)>> {
    let addresses = if let Some(address) = address_of(name) {
        Some(vec![address.into()])
    } else if let Some(instance) = resource_of(name, &zone.domain()) {
        Some(zone.resource(instance)?)
    } else if let Some(address) = public_address_of(name) {
        Some(vec![zone.public(address)?.into()])
    } else {
        None
    };
    if let Some(addresses) = addresses {
        let record = |address| match address {
            IpAddr::V4(address) => (A, address.octets().to_vec()),
            IpAddr::V6(address) => (AAAA, address.octets().to_vec()),
        };
        return Some(addresses.into_iter().map(record).collect());
    }
    let address = reversed(name)?;
    if is_of_a_vpc(address) {
        return Some(vec![(PTR, encode(&name_of("ip", address, &zone.domain())))]);
    }
    zone.public(address)?;
    Some(vec![(PTR, encode(&name_of("ec2", address, &public_domain(&zone.domain()))))])
}

/// The answer to a question to which there is none: the resolvers are silent, or there are none.
fn failure(message: &[u8], code: u16) -> Vec<u8> {
    let question = Question::parse(message.get(HEADER..).unwrap_or_default());
    let raw = question.and_then(|question| message.get(HEADER..HEADER + question.length));
    respond(message, code, raw.unwrap_or_default(), None)
}

/// A response to a message, which has a header.
fn respond(message: &[u8], code: u16, question: &[u8], records: impl IntoIterator<Item = Vec<u8>>) -> Vec<u8> {
    let records: Vec<Vec<u8>> = records.into_iter().collect();
    let word = |at: usize| message.get(at..at + 2).map_or(0, |bytes| u16::from_be_bytes([bytes[0], bytes[1]]));
    let flags = RESPONSE | (word(2) & (OPERATION | RECURSION_DESIRED)) | code;
    let counts = [u16::from(!question.is_empty()), records.len() as u16, 0, 0];
    let words = [word(0), flags].into_iter().chain(counts).flat_map(u16::to_be_bytes);
    words.chain(question.iter().copied()).chain(records.into_iter().flatten()).collect()
}

struct Question {
    /// In lower case, with dots.
    name: String,
    kind: u16,
    class: u16,
    /// How many bytes it takes.
    length: usize,
}

impl Question {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let mut name = String::new();
        let mut at = 0;
        loop {
            let length = usize::from(*bytes.get(at)?);
            at += 1;
            if length == 0 {
                break;
            }
            // Pointers, which begin at 192, have nothing to point at in a question. Another byte ends
            // the name.
            if length > 63 || at + length >= NAME {
                return None;
            }
            if !name.is_empty() {
                name.push('.');
            }
            // A dot within a label parts nothing.
            let letter = |byte: &u8| if *byte == b'.' { char::REPLACEMENT_CHARACTER } else { char::from(*byte) };
            name.extend(bytes.get(at..at + length)?.to_ascii_lowercase().iter().map(letter));
            at += length;
        }
        let rest = bytes.get(at..at + 4)?;
        let (kind, class) = (u16::from_be_bytes([rest[0], rest[1]]), u16::from_be_bytes([rest[2], rest[3]]));
        Some(Self { name, kind, class, length: at + 4 })
    }

    /// Whether the host's resolvers may be asked.
    fn is_of_the_world(&self) -> bool {
        // A name of one label is completed by resolvers nearby; the world only knows who keeps such names.
        let is_whole = self.name.contains('.') || [NS, SOA, DS, DNSKEY].contains(&self.kind);
        is_whole && public_address_of(&self.name).is_none() && !near::is_near(&self.name)
    }
}

/// Whether an address is one that a VPC may have.
fn is_of_a_vpc(address: Ipv4Addr) -> bool {
    let [a, b, ..] = address.octets();
    // 100.64.0.0/10 (RFC 6598) may be a VPC's as well.
    address.is_private() || (a == 100 && (64..128).contains(&b))
}

/// The address that a machine's public name tells: `ec2-127-1-2-3.compute-1.amazonaws.com`. Others of that kind are AWS's.
fn public_address_of(name: &str) -> Option<Ipv4Addr> {
    let (host, domain) = name.split_once('.')?;
    let region = domain.strip_suffix(".compute.amazonaws.com");
    let is_known = domain == DEFAULT_PUBLIC_DOMAIN || region.is_some_and(|region| !region.contains('.'));
    dashed(host.strip_prefix("ec2-")?).filter(|address| is_known && address.is_loopback())
}

/// The domain of the public names, by that of the private ones.
fn public_domain(domain: &str) -> String {
    match domain.strip_suffix(".compute.internal") {
        Some(region) => format!("{region}.compute.amazonaws.com"),
        None => DEFAULT_PUBLIC_DOMAIN.to_owned(),
    }
}

/// The address that a machine's name tells: `ip-10-0-0-5.ec2.internal`, `ip-10-0-0-5.eu-west-1.compute.internal`.
fn address_of(name: &str) -> Option<Ipv4Addr> {
    let (host, domain) = name.split_once('.')?;
    let region = domain.strip_suffix(".compute.internal");
    let known = domain == DEFAULT_DOMAIN || region.is_some_and(|region| !region.is_empty() && !region.contains('.'));
    dashed(host.strip_prefix("ip-")?).filter(|_| known)
}

/// The instance whose id a name tells: `i-0123456789abcdef0.ec2.internal`.
fn resource_of<'a>(name: &'a str, domain: &str) -> Option<&'a str> {
    let (host, of) = name.split_once('.')?;
    (host.starts_with("i-") && of == domain).then_some(host)
}

/// An address as names have it: `10-0-0-5`.
fn dashed(text: &str) -> Option<Ipv4Addr> {
    let mut numbers = text.split('-').map(number);
    let octets = [numbers.next()??, numbers.next()??, numbers.next()??, numbers.next()??];
    numbers.next().is_none().then(|| octets.into())
}

/// The address that a name of `in-addr.arpa` asks for.
fn reversed(name: &str) -> Option<Ipv4Addr> {
    let mut numbers = name.strip_suffix(".in-addr.arpa")?.split('.').map(number);
    let octets = [numbers.next()??, numbers.next()??, numbers.next()??, numbers.next()??];
    let [d, c, b, a] = octets;
    numbers.next().is_none().then(|| Ipv4Addr::new(a, b, c, d))
}

/// A number of an address: no sign, no leading zeros, so that each address has one name.
fn number(text: &str) -> Option<u8> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| plain)
}

fn name_of(kind: &str, address: Ipv4Addr, domain: &str) -> String {
    let [a, b, c, d] = address.octets();
    format!("{kind}-{a}-{b}-{c}-{d}.{domain}")
}

fn encode(name: &str) -> Vec<u8> {
    let labels = name.split('.').filter(|label| !label.is_empty() && label.len() < 64);
    // A label is shorter than 64 bytes.
    let mut bytes: Vec<u8> =
        labels.flat_map(|label| std::iter::once(label.len() as u8).chain(label.bytes())).take(254).collect();
    bytes.push(0);
    bytes
}

/// A record about the name in question, which stands right after the header.
fn record(kind: u16, data: &[u8]) -> Vec<u8> {
    let mut record = vec![0xc0, HEADER as u8];
    record.extend(kind.to_be_bytes());
    record.extend(INTERNET.to_be_bytes());
    record.extend(KEEP.to_be_bytes());
    record.extend((data.len() as u16).to_be_bytes());
    record.extend(data);
    record
}

#[cfg(test)]
mod tests;
