//! Query strings: `application/x-www-form-urlencoded` in, and the encoding that signatures want.

use crate::error::{ApiError, Code};

/// The most parameters that a request may have; a thousand tags on a thousand resources need two thousand.
const MAX_PARAMETERS: usize = 10_000;

/// A parameter's name and value, decoded.
pub(super) type Parameter = (String, String);

/// Splits and decodes a query string, strictly: nothing is repaired, nothing is left out.
///
/// # Errors
///
/// `MalformedQueryString` for broken escapes, text that is not UTF-8, nameless or too many parameters.
pub(super) fn parse(query: &[u8]) -> Result<Vec<Parameter>, ApiError> {
    let mut parameters = Vec::new();
    for pair in query.split(|&byte| byte == b'&').filter(|pair| !pair.is_empty()) {
        if parameters.len() == MAX_PARAMETERS {
            return Err(malformed(format!("it has more than {MAX_PARAMETERS} parameters")));
        }
        let (name, value) = match pair.iter().position(|&byte| byte == b'=') {
            Some(at) => (&pair[..at], &pair[at + 1..]),
            None => (pair, &b""[..]),
        };
        let name = unescape(name)?;
        if name.is_empty() {
            return Err(malformed("a parameter has no name"));
        }
        parameters.push((name, unescape(value)?));
    }
    Ok(parameters)
}

fn unescape(text: &[u8]) -> Result<String, ApiError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.iter();
    while let Some(&byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits = [rest.next(), rest.next()].map(|digit| digit.and_then(|&d| char::from(d).to_digit(16)));
                match digits {
                    [Some(high), Some(low)] => (high * 16 + low) as u8,
                    _ => return Err(malformed("a % is not followed by two hexadecimal digits")),
                }
            }
            other => other,
        });
    }
    String::from_utf8(bytes).map_err(|_| malformed("it is not UTF-8"))
}

fn malformed(why: impl std::fmt::Display) -> ApiError {
    ApiError::new(Code::MalformedQueryString, format!("The query string is malformed: {why}"))
}

/// The canonical query string of a signature: sorted, everything escaped but RFC 3986's unreserved characters.
pub(super) fn canonical<'a>(parameters: impl IntoIterator<Item = &'a Parameter>) -> String {
    let mut pairs: Vec<_> = parameters.into_iter().map(|(name, value)| (escape(name), escape(value))).collect();
    pairs.sort();
    pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
}

/// Escapes everything but RFC 3986's unreserved characters.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => escaped.push(char::from(byte)),
            other => escaped.push_str(&format!("%{other:02X}")),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn plus_and_escapes_are_decoded() {
        let parameters = parse(b"Action=Run%49nstances&Name=a+b%2Bc&Empty=&Bare&&Odd=a=b").unwrap();
        let expected = [("Action", "RunInstances"), ("Name", "a b+c"), ("Empty", ""), ("Bare", ""), ("Odd", "a=b")];
        assert_eq!(parameters, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn nothing_is_repaired() {
        for broken in ["a=%", "a=%4", "a=%zz", "a=%+1", "=value", "a=%ff", "%E2%82=x"] {
            assert_eq!(parse(broken.as_bytes()).unwrap_err().code, Code::MalformedQueryString, "{broken}");
        }
        assert_eq!(parse("a&".repeat(MAX_PARAMETERS + 1).as_bytes()).unwrap_err().code, Code::MalformedQueryString);
        assert_eq!(parse("a&".repeat(MAX_PARAMETERS).as_bytes()).unwrap().len(), MAX_PARAMETERS);
    }

    proptest! {
        #[test]
        fn any_text_comes_back(pairs in prop::collection::vec((".+", ".*"), 0..8)) {
            let mut parsed = parse(canonical(&pairs).as_bytes()).unwrap();
            parsed.sort();
            let mut pairs = pairs;
            pairs.sort();
            prop_assert_eq!(parsed, pairs);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = parse(&bytes);
        }
    }
}
