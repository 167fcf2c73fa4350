//! Pages of a Describe: MaxResults and NextToken.
//!
//! A token names the last row that was shown, so that pages stay whole while resources come and go. It is good for the
//! action and the filters that gave it out, and for no others.

use crate::{
    error::{ApiError, Code},
    wire::Structure,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use sha2::{Digest, Sha256};
use std::ops::RangeInclusive;

/// Which part of the rows a request wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Page {
    /// What names the last row that was shown already; none on the first page.
    after: Option<String>,
    /// How many to show.
    pub(super) size: usize,
    /// What follows from the action and all that is asked for but the page.
    question: [u8; 8],
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
        let question = question(action, input);
        // To most actions an empty token is none: <https://github.com/boto/boto3/issues/2673>.
        let token = input.string("NextToken").filter(|token| !token.is_empty() || action == "DescribeVpcs");
        let after = match token {
            None => None,
            Some(token) => Some(last(token, question).ok_or_else(|| {
                ApiError::new(Code::InvalidNextToken, format!("The NextToken '{token}' is not valid"))
            })?),
        };
        Ok(Self { after, size, question })
    }

    /// What names the last row that was shown already; none on the first page.
    pub(super) fn after(&self) -> Option<&str> {
        self.after.as_deref()
    }

    /// The same where rows are named by numbers; 0 on the first page.
    pub(super) fn after_number(&self) -> u64 {
        self.after().and_then(|last| last.parse().ok()).unwrap_or(0)
    }

    /// The token for what comes after a row.
    pub(super) fn token(&self, last: impl ToString) -> String {
        let last = last.to_string();
        STANDARD.encode([&check(self.question, &last), last.as_bytes()].concat())
    }
}

fn question(action: &str, input: &Structure) -> [u8; 8] {
    if input.get("MaxResults").is_none() && input.get("NextToken").is_none() {
        return [0; 8];
    }
    let mut hash = Sha256::new().chain_update(action);
    for (member, value) in input.members().filter(|(member, _)| !["DryRun", "MaxResults", "NextToken"].contains(member))
    {
        hash.update(format!("{member}={value:?};"));
    }
    first_eight(hash)
}

fn check(question: [u8; 8], last: &str) -> [u8; 8] {
    first_eight(Sha256::new().chain_update(question).chain_update(last))
}

fn first_eight(hash: Sha256) -> [u8; 8] {
    let bytes = hash.finalize();
    std::array::from_fn(|i| bytes[i])
}

fn last(token: &str, question: [u8; 8]) -> Option<String> {
    let bytes = STANDARD.decode(token).ok()?;
    let (checked, last) = bytes.split_first_chunk::<8>()?;
    let last = std::str::from_utf8(last).ok()?;
    (*checked == check(question, last)).then(|| last.to_owned())
}

fn out_of_range(n: i64, relation: &str, bound: i64) -> ApiError {
    let message =
        format!("Value ( {n} ) for parameter maxResults is invalid. Expecting a value {relation} or equal to {bound}.");
    ApiError::new(Code::InvalidParameterValue, message)
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
        let first = read(Structure::new()).unwrap();
        assert_eq!((first.after(), first.after_number(), first.size), (None, 0, usize::MAX));
        assert_eq!(read(Structure::new().with("MaxResults", 5_i64)).unwrap().size, 5);
        for n in [i64::MIN, -1, 0, 4, 1001, i64::MAX] {
            assert_eq!(read(Structure::new().with("MaxResults", n)).unwrap_err().code, Code::InvalidParameterValue);
        }
    }

    #[test]
    fn an_empty_token_is_none() {
        let empty = Structure::new().with("NextToken", "");
        assert_eq!(read(empty.clone()).unwrap().after(), None);
        let error = Page::read(&empty, "DescribeVpcs", &(5..=1000)).unwrap_err();
        assert_eq!(error.code, Code::InvalidNextToken);
    }

    proptest! {
        #[test]
        fn tokens_come_back_and_no_other_is_taken(row in ".{0,40}", other in ".{1,40}", number: u64) {
            let question = Structure::new().with("MaxResults", 5_i64).with("Filters", vec!["a"]);
            let page = read(question.clone()).unwrap();
            let token = page.token(&row);
            let next = |question: &Structure, token: &str| read(question.clone().with("NextToken", token));
            let again = next(&question, &token).unwrap();
            prop_assert_eq!(again.after(), Some(row.as_str()));
            prop_assert_eq!(next(&question, &page.token(number)).unwrap().after_number(), number);
            let larger = question.clone().with("MaxResults", 6_i64);
            prop_assert_eq!(next(&larger, &token).unwrap(), Page { size: 6, ..again });
            let mut refused = vec![next(&question.clone().with("Filters", vec!["b"]), &token)];
            refused.push(Page::read(&question.clone().with("NextToken", token.as_str()), "DescribeOthers", &(5..=1000)));
            if other != token {
                refused.push(next(&question, &other));
            }
            for refused in refused {
                prop_assert_eq!(refused.unwrap_err().code, Code::InvalidNextToken);
            }
        }
    }
}
