//! Pages of a Describe: MaxResults and NextToken.
//!
//! A token names the last row that was shown, so that pages stay whole while resources come and go. It is good for the
//! action that gave it out and for no other.

use crate::{
    error::{ApiError, Code},
    wire::Structure,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use sha2::{Digest, Sha256};
use std::ops::RangeInclusive;

/// Which part of the rows a request wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Page {
    /// Rows up to this number were shown already.
    pub(super) after: u64,
    /// How many to show.
    pub(super) size: usize,
}

impl Page {
    /// Reads MaxResults, of the given range, and NextToken.
    pub(super) fn read(input: &Structure, action: &str, allowed: &RangeInclusive<i64>) -> Result<Self, ApiError> {
        let size = match input.integer("MaxResults") {
            None => usize::MAX,
            Some(n) if n < *allowed.start() => return Err(out_of_range(n, "greater than", *allowed.start())),
            Some(n) if n > *allowed.end() => return Err(out_of_range(n, "less than", *allowed.end())),
            Some(n) => usize::try_from(n).unwrap_or(usize::MAX),
        };
        let after = match input.string("NextToken") {
            None => 0,
            Some(token) => number(token, action).ok_or_else(|| {
                ApiError::new(Code::InvalidNextToken, format!("The NextToken '{token}' is not valid"))
            })?,
        };
        Ok(Self { after, size })
    }
}

fn out_of_range(n: i64, relation: &str, bound: i64) -> ApiError {
    let message =
        format!("Value ( {n} ) for parameter maxResults is invalid. Expecting a value {relation} or equal to {bound}.");
    ApiError::new(Code::InvalidParameterValue, message)
}

/// The token for what comes after a row.
pub(super) fn token(action: &str, number: u64) -> String {
    let number = number.to_be_bytes();
    STANDARD.encode([&number[..], &check(action, number)].concat())
}

fn number(token: &str, action: &str) -> Option<u64> {
    let bytes = STANDARD.decode(token).ok()?;
    let (number, rest) = bytes.split_first_chunk::<8>()?;
    (rest == check(action, *number)).then(|| u64::from_be_bytes(*number))
}

fn check(action: &str, number: [u8; 8]) -> Vec<u8> {
    Sha256::new().chain_update(action).chain_update(number).finalize()[..8].to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(input: Structure) -> Result<Page, ApiError> {
        Page::read(&input, "DescribeThings", &(5..=1000))
    }

    #[test]
    fn bounds() {
        assert_eq!(read(Structure::new()).unwrap(), Page { after: 0, size: usize::MAX });
        assert_eq!(read(Structure::new().with("MaxResults", 5_i64)).unwrap().size, 5);
        for n in [i64::MIN, -1, 0, 4, 1001, i64::MAX] {
            assert_eq!(read(Structure::new().with("MaxResults", n)).unwrap_err().code, Code::InvalidParameterValue);
        }
    }

    proptest! {
        #[test]
        fn tokens_come_back_and_no_other_is_taken(number in any::<u64>(), other in ".{0,40}") {
            let token = token("DescribeThings", number);
            prop_assert_eq!(read(Structure::new().with("NextToken", token.as_str())).unwrap().after, number);
            prop_assert!(Page::read(&Structure::new().with("NextToken", token.as_str()), "DescribeOthers", &(5..=1000)).is_err());
            if other != token {
                prop_assert_eq!(read(Structure::new().with("NextToken", other)).unwrap_err().code, Code::InvalidNextToken);
            }
        }
    }
}
