//! Client tokens.
//!
//! Source: <https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-idempotency.html>.

use super::{
    request::invalid,
    stored::{Kept, Stored},
};
use crate::{
    error::{ApiError, Code},
    wire::Structure,
};
use serde::{Deserialize, Serialize};

/// What came of requests with a client token, by action and token.
#[derive(Debug, Clone, Default)]
pub(super) struct Tokens(Kept<Made>);

/// What a token is known by: tokens of different actions have nothing to do with each other.
fn key(action: &str, token: &str) -> String {
    format!("{action} {token}")
}

/// How long a token may be. Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateLaunchTemplate.html>.
fn longest(action: &str) -> usize {
    if action.contains("LaunchTemplate") { 128 } else { 64 }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Made {
    input: Structure,
    id: String,
    resources: usize,
}

impl Tokens {
    /// Reads a request's token. `Ok(Err(id))` if the same request came before: then it made what has that id.
    pub(super) fn read(
        &self,
        action: &'static str,
        input: &Structure,
    ) -> Result<Result<Option<String>, &str>, ApiError> {
        let Some(token) = input.string("ClientToken").filter(|token| !token.is_empty()) else { return Ok(Ok(None)) };
        let longest = longest(action);
        if token.len() > longest || !token.is_ascii() {
            return Err(invalid(format!(
                "Value ({token}) for parameter clientToken is invalid. The token can include up to {longest} ASCII characters."
            )));
        }
        match self.0.get(&key(action, token)) {
            None => Ok(Ok(Some(token.to_owned()))),
            Some(made) if made.input == without_dry_run(input) => Ok(Err(&made.id)),
            Some(_) => Err(ApiError::new(
                Code::IdempotentParameterMismatch,
                "Arguments on this idempotent request are inconsistent with arguments used in previous request(s).",
            )),
        }
    }

    /// Remembers what a request with a token made, and how many resources must be released before it is forgotten.
    pub(super) fn remember(
        &mut self,
        action: &'static str,
        token: Option<String>,
        input: &Structure,
        id: &str,
        resources: usize,
    ) {
        if let Some(token) = token {
            let made = Made { input: without_dry_run(input), id: id.to_owned(), resources };
            self.0.insert(&key(action, &token), made);
        }
    }

    /// One of the resources is gone.
    pub(super) fn release(&mut self, action: &'static str, token: &str) {
        let key = key(action, token);
        if let Some(made) = self.0.get_mut(&key) {
            made.resources = made.resources.saturating_sub(1);
            if made.resources == 0 {
                self.0.remove(&key);
            }
        }
    }

    pub(super) fn stored(&mut self) -> &mut dyn Stored {
        &mut self.0
    }
}

/// Whether a request is a rehearsal says nothing about what it asks for.
fn without_dry_run(input: &Structure) -> Structure {
    let mut same = Structure::new();
    for (name, value) in input.members().filter(|(name, _)| *name != "DryRun") {
        same.set(name.to_owned(), value.clone());
    }
    same
}
