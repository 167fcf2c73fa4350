//! What a machine asks, and what of it the host's resolvers are asked.
//!
//! They are never given a machine's own bytes. A plain question is told anew: one name, one type, of the Internet, and of
//! EDNS the size that an answer may have and whether it should come with signatures. All else is refused: transfers and
//! updates, which the host's resolvers might grant to the host; other classes, in which they tell who they are; questions
//! about what is in their caches, which is what the host's user has looked at; options that go on to other servers.

use super::{ANY, FORMAT_ERROR, HEADER, INTERNET, NOT_IMPLEMENTED, OPERATION, Question, RECURSION_DESIRED, REFUSED};

const IS_ANSWER: u16 = 0x8000;
/// What of the flags goes on: the answer may come unchecked, and may say that it was checked (RFC 4035, 3.2.2; RFC 6840, 5.7).
const AUTHENTIC: u16 = 0x0020;
const UNCHECKED: u16 = 0x0010;

/// EDNS (RFC 6891, 6.1.2): the type of its record, and the flag that asks for signatures.
const OPT: u16 = 41;
const SIGNATURES: u16 = 0x8000;
/// What fits a datagram without EDNS (RFC 1035, 4.2.1), and what may with it.
const DATAGRAM: u16 = 512;
const LARGE_DATAGRAM: u16 = 4096;
/// An OPT record without its data.
const OPT_LENGTH: usize = 11;
/// An option that means nothing (RFC 7830).
const PADDING: [u8; 2] = [0, 12];

/// Types that are no data's: transfers, keys of transfers, mailboxes, and what is yet to be given a meaning (RFC 6895, 3.1).
const META: std::ops::RangeInclusive<u16> = 128..=254;

/// A plain question.
pub(super) struct Query<'a> {
    pub(super) question: Question,
    /// The question's bytes.
    pub(super) raw: &'a [u8],
    /// The server that is asked shall ask others.
    pub(super) is_recursive: bool,
    id: [u8; 2],
    flags: u16,
    edns: Option<Edns>,
}

/// What a machine says in EDNS, as far as it goes on.
struct Edns {
    size: u16,
    wants_signatures: bool,
}

/// Why a message isn't answered with what it asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unfit<'a> {
    /// It is no question.
    NoQuestion,
    /// It is one that gets this code, and this question back.
    Code(u16, &'a [u8]),
}

impl<'a> Query<'a> {
    /// Reads a message.
    pub(super) fn read(message: &'a [u8]) -> Result<Self, Unfit<'a>> {
        let header = message.first_chunk::<HEADER>().ok_or(Unfit::NoQuestion)?;
        let word = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
        let flags = word(2);
        if flags & IS_ANSWER != 0 {
            return Err(Unfit::NoQuestion);
        }
        if flags & OPERATION != 0 {
            return Err(Unfit::Code(NOT_IMPLEMENTED, &[]));
        }
        // One question; records belong to updates, to transfers, and to signatures of a whole message (RFC 8945, RFC 2931).
        let (question, after) = match [4, 6, 8].map(word) {
            [1, 0, 0] => Question::parse(&message[HEADER..]).map(|question| {
                let end = HEADER + question.length;
                (question, end)
            }),
            _ => None,
        }
        .ok_or(Unfit::Code(FORMAT_ERROR, &[]))?;
        let raw = &message[HEADER..after];
        let edns = match (word(10), &message[after..]) {
            (0, []) => None,
            (1, record) => Some(Edns::read(record).ok_or(Unfit::Code(FORMAT_ERROR, raw))?),
            _ => return Err(Unfit::Code(FORMAT_ERROR, raw)),
        };
        let is_meta = META.contains(&question.kind) || [0, OPT].contains(&question.kind);
        if question.class != INTERNET || is_meta {
            return Err(Unfit::Code(REFUSED, raw));
        }
        let is_recursive = flags & RECURSION_DESIRED != 0;
        Ok(Self { question, raw, is_recursive, id: [header[0], header[1]], flags, edns })
    }

    /// Whether it asks for all that there is about a name.
    pub(super) fn is_for_all(&self) -> bool {
        self.question.kind == ANY
    }

    /// The same question, as the host's resolvers are asked.
    pub(super) fn plain(&self) -> Vec<u8> {
        let flags = RECURSION_DESIRED | (self.flags & (AUTHENTIC | UNCHECKED));
        let mut message = self.id.to_vec();
        message.extend([flags, 1, 0, 0, u16::from(self.edns.is_some())].into_iter().flat_map(u16::to_be_bytes));
        message.extend(self.raw);
        if let Some(edns) = &self.edns {
            let flags = if edns.wants_signatures { SIGNATURES } else { 0 };
            message.push(0);
            message.extend([OPT, edns.size, 0, flags, 0].into_iter().flat_map(u16::to_be_bytes));
        }
        message
    }

    /// How long the answer in a datagram may be.
    pub(super) fn room(&self) -> usize {
        self.edns.as_ref().map_or(DATAGRAM, |edns| edns.size).into()
    }
}

impl Edns {
    /// Reads the one record that a question may have; `None` if it is another, or of a later version.
    fn read(record: &[u8]) -> Option<Self> {
        let (fixed, data) = record.split_first_chunk::<OPT_LENGTH>()?;
        let word = |at: usize| u16::from_be_bytes([fixed[at], fixed[at + 1]]);
        let is_it = fixed[0] == 0 && word(1) == OPT && fixed[6] == 0 && usize::from(word(9)) == data.len();
        let size = word(3).clamp(DATAGRAM, LARGE_DATAGRAM);
        is_it.then_some(Self { size, wants_signatures: word(7) & SIGNATURES != 0 })
    }
}

/// Takes out of a resolver's answer what it says in EDNS about itself and others; `None` if it can't be read.
pub(super) fn silence(answer: &mut [u8]) -> Option<()> {
    let word = |answer: &[u8], at: usize| Some(u16::from_be_bytes([*answer.get(at)?, *answer.get(at + 1)?]));
    let [questions, records @ ..] = [4, 6, 8, 10].map(|at| word(answer, at).map(u32::from));
    let mut at = HEADER;
    for _ in 0..questions? {
        at = name_end(answer, at)? + 4;
    }
    for _ in 0..records.into_iter().sum::<Option<u32>>()? {
        at = name_end(answer, at)?;
        let (kind, length) = (word(answer, at)?, usize::from(word(answer, at + 8)?));
        let data = answer.get_mut(at + 10..at + 10 + length)?;
        if kind == OPT && length > 0 {
            // In place, since what follows may be pointed at.
            let (option, rest) = data.split_first_chunk_mut::<4>()?;
            option[..2].copy_from_slice(&PADDING);
            option[2..].copy_from_slice(&(rest.len() as u16).to_be_bytes());
            rest.fill(0);
        }
        at += 10 + length;
    }
    Some(())
}

/// Where a name ends that begins here (RFC 1035, 4.1.4).
fn name_end(message: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match usize::from(*message.get(at)?) {
            0 => return Some(at + 1),
            length if length < 64 => at += 1 + length,
            length if length >= 192 => return Some(at + 2),
            _ => return None,
        }
    }
}
