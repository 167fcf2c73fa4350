//! DER, as far as a certificate and a signature are written in it (ITU-T X.690).

use time::{OffsetDateTime, UtcOffset, macros::format_description};

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const NULL: u8 = 0x05;
const OBJECT_IDENTIFIER: u8 = 0x06;
const UTF8_STRING: u8 = 0x0c;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
/// The first tag whose meaning depends on where it stands, for what holds others.
const CONTEXT_0: u8 = 0xa0;

fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let mut bytes = vec![tag];
    if let Ok(short) = u8::try_from(length)
        && short < 0x80
    {
        bytes.push(short);
    } else {
        let digits: Vec<u8> = length.to_be_bytes().into_iter().skip_while(|byte| *byte == 0).collect();
        // A length has eight digits at most.
        bytes.push(0x80 | digits.len() as u8);
        bytes.extend(digits);
    }
    bytes.extend(content);
    bytes
}

pub(super) fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    element(SEQUENCE, &parts.concat())
}

/// A set of one.
pub(super) fn set(part: &[u8]) -> Vec<u8> {
    element(SET, part)
}

pub(super) fn context_0(part: &[u8]) -> Vec<u8> {
    element(CONTEXT_0, part)
}

/// A number that isn't negative, from its bytes.
pub(super) fn integer(bytes: &[u8]) -> Vec<u8> {
    let digits: Vec<u8> = bytes.iter().copied().skip_while(|byte| *byte == 0).collect();
    let sign: &[u8] = if digits.first().is_none_or(|first| *first >= 0x80) { &[0] } else { &[] };
    element(INTEGER, &[sign, &digits].concat())
}

pub(super) fn bit_string(bytes: &[u8]) -> Vec<u8> {
    element(BIT_STRING, &[&[0], bytes].concat())
}

pub(super) fn octet_string(bytes: &[u8]) -> Vec<u8> {
    element(OCTET_STRING, bytes)
}

pub(super) fn text(text: &str) -> Vec<u8> {
    element(UTF8_STRING, text.as_bytes())
}

/// An object identifier, of which the encoded numbers are given.
pub(super) fn identifier(encoded: &[u8]) -> Vec<u8> {
    element(OBJECT_IDENTIFIER, encoded)
}

/// An algorithm without parameters.
pub(super) fn algorithm(encoded: &[u8]) -> Vec<u8> {
    sequence(&[&identifier(encoded), &element(NULL, &[])])
}

/// A point in time: until 2049 with two digits of the year (RFC 5280, 4.1.2.5).
pub(super) fn time(time: OffsetDateTime) -> Vec<u8> {
    let time = time.to_offset(UtcOffset::UTC);
    let format = format_description!("[year][month][day][hour][minute][second]Z");
    let text = time.format(format).unwrap_or_default();
    match text.get(2..).filter(|_| time.year() < 2050) {
        Some(short) => element(UTC_TIME, short.as_bytes()),
        None => element(GENERALIZED_TIME, text.as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    #[test]
    fn lengths_numbers_and_times_are_the_shortest() {
        assert_eq!(octet_string(&[7; 127])[..2], [4, 127]);
        assert_eq!(octet_string(&[7; 128])[..3], [4, 0x81, 128]);
        assert_eq!(octet_string(&[7; 300])[..4], [4, 0x82, 1, 44]);
        assert_eq!(integer(&[0, 0, 1]), [2, 1, 1]);
        assert_eq!(integer(&[0x80]), [2, 2, 0, 0x80]);
        assert_eq!(integer(&[]), [2, 1, 0]);
        assert_eq!(time(datetime!(2026-11-30 06:00:00 UTC))[2..], *b"261130060000Z");
        assert_eq!(time(datetime!(2050-01-01 00:00:00 UTC))[2..], *b"20500101000000Z");
    }
}
