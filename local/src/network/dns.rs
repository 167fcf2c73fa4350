//! The names of a VPC: a name server that knows the machines' own names, and answers at once, also that it doesn't know.
//!
//! A machine whose name server is silent waits for many seconds in odd places (sudo, sshd, cloud-init). Names of the
//! outside are NXDOMAIN for now.
//! <https://docs.aws.amazon.com/vpc/latest/userguide/AmazonDNS-concepts.html>

use std::net::Ipv4Addr;

/// The domain of us-east-1; other regions have `<region>.compute.internal`.
pub(super) const DEFAULT_DOMAIN: &str = "ec2.internal";

/// How long an answer may be kept, in seconds, as AWS says of its own.
const KEEP: u32 = 60;

// RFC 1035, 3.2 and 4.1.1.
const HEADER: usize = 12;
const A: u16 = 1;
const PTR: u16 = 12;
const ANY: u16 = 255;
const INTERNET: u16 = 1;
/// This is a response, and recursion is available.
const RESPONSE: u16 = 0x8080;
const OPERATION: u16 = 0x7800;
const RECURSION_DESIRED: u16 = 0x0100;
const NO_ERROR: u16 = 0;
const FORMAT_ERROR: u16 = 1;
const NAME_ERROR: u16 = 3;
const NOT_IMPLEMENTED: u16 = 4;
const REFUSED: u16 = 5;

/// The answer to a message; none to one that is no question at all. `domain` is asked when an address needs a name.
pub(super) fn answer(message: &[u8], domain: impl FnOnce() -> String) -> Option<Vec<u8>> {
    let header = message.first_chunk::<HEADER>()?;
    let word = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
    let (id, flags, questions) = (word(0), word(2), word(4));
    if flags & 0x8000 != 0 {
        return None;
    }
    let respond = |code: u16, question: &[u8], record: Option<Vec<u8>>| {
        let flags = RESPONSE | (flags & (OPERATION | RECURSION_DESIRED)) | code;
        let counts = [u16::from(!question.is_empty()), u16::from(record.is_some()), 0, 0];
        let words = [id, flags].into_iter().chain(counts).flat_map(u16::to_be_bytes);
        words.chain(question.iter().copied()).chain(record.into_iter().flatten()).collect::<Vec<u8>>()
    };
    if flags & OPERATION != 0 {
        return Some(respond(NOT_IMPLEMENTED, &[], None));
    }
    let Some(question) = Question::parse(&message[HEADER..]).filter(|_| questions == 1) else {
        return Some(respond(FORMAT_ERROR, &[], None));
    };
    let raw = &message[HEADER..HEADER + question.length];
    if question.class != INTERNET && question.class != ANY {
        return Some(respond(REFUSED, raw, None));
    }
    let (kind, data) = if let Some(address) = address_of(&question.name) {
        (A, address.octets().to_vec())
    } else if let Some(address) = reversed(&question.name) {
        (PTR, encode(&name_of(address, &domain())))
    } else {
        return Some(respond(NAME_ERROR, raw, None));
    };
    // A name that exists has no records of other types.
    let asked = question.kind == kind || question.kind == ANY;
    Some(respond(NO_ERROR, raw, asked.then(|| record(kind, &data))))
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
            // Pointers, which begin at 192, have nothing to point at in a question.
            if length > 63 || at + length > 255 {
                return None;
            }
            if !name.is_empty() {
                name.push('.');
            }
            name.extend(bytes.get(at..at + length)?.iter().map(|byte| char::from(byte.to_ascii_lowercase())));
            at += length;
        }
        let rest = bytes.get(at..at + 4)?;
        let (kind, class) = (u16::from_be_bytes([rest[0], rest[1]]), u16::from_be_bytes([rest[2], rest[3]]));
        Some(Self { name, kind, class, length: at + 4 })
    }
}

/// The address that a machine's name tells: `ip-10-0-0-5.ec2.internal`, `ip-10-0-0-5.eu-west-1.compute.internal`.
fn address_of(name: &str) -> Option<Ipv4Addr> {
    let (host, domain) = name.split_once('.')?;
    let region = domain.strip_suffix(".compute.internal");
    let known = domain == DEFAULT_DOMAIN || region.is_some_and(|region| !region.is_empty() && !region.contains('.'));
    let mut numbers = host.strip_prefix("ip-")?.split('-').map(number);
    let octets = [numbers.next()??, numbers.next()??, numbers.next()??, numbers.next()??];
    (known && numbers.next().is_none()).then(|| octets.into())
}

/// The address that a name of `in-addr.arpa` asks for, if it is one that a VPC may have.
fn reversed(name: &str) -> Option<Ipv4Addr> {
    let mut numbers = name.strip_suffix(".in-addr.arpa")?.split('.').map(number);
    let octets = [numbers.next()??, numbers.next()??, numbers.next()??, numbers.next()??];
    let [d, c, b, a] = octets;
    let address = Ipv4Addr::new(a, b, c, d);
    // 100.64.0.0/10 (RFC 6598) may be a VPC's as well.
    let shared = a == 100 && (64..128).contains(&b);
    (numbers.next().is_none() && (address.is_private() || shared)).then_some(address)
}

/// A number of an address: no sign, no leading zeros, so that each address has one name.
fn number(text: &str) -> Option<u8> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| plain)
}

fn name_of(address: Ipv4Addr, domain: &str) -> String {
    let [a, b, c, d] = address.octets();
    format!("ip-{a}-{b}-{c}-{d}.{domain}")
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
