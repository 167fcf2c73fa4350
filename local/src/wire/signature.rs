//! Signature Version 4, as far as a door needs it: is this request signed with our one key, and for what?
//!
//! Source: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>. What a signature
//! says is read in `authorization`, and verified here. The messages are those of AWS, where it has one.

mod authorization;

pub(super) use authorization::{Authorization, is_of_signature};

use super::query::{self, Parameter};
use crate::error::{ApiError, Code};
use hmac::{Hmac, KeyInit, Mac};
use hyper::{HeaderMap, http::request::Parts};
use sha2::{Digest, Sha256};
use std::fmt;
use time::{Duration, OffsetDateTime};

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const TERMINATOR: &str = "aws4_request";

/// How far a client's clock may be from ours, either way.
const SKEW: Duration = Duration::minutes(5);

/// The one key that opens the door.
#[derive(Clone)]
pub struct Credentials {
    access_key: String,
    secret: String,
}

impl Credentials {
    /// An access key and its secret.
    pub fn new(access_key: impl Into<String>, secret: impl Into<String>) -> Self {
        Self { access_key: access_key.into(), secret: secret.into() }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("access_key", &self.access_key).finish_non_exhaustive()
    }
}

/// The services that a signature may be for here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SignedService {
    Ec2,
    Sts,
}

impl Authorization {
    /// Looks whether it is our key that the request is said to be signed with.
    ///
    /// # Errors
    ///
    /// `AuthFailure` for another key.
    pub(super) fn check_key(&self, credentials: &Credentials) -> Result<(), ApiError> {
        if self.access_key != credentials.access_key {
            return Err(failure("AWS was not able to validate the provided access credentials"));
        }
        if self.has_session_token {
            return Err(failure(
                "AWS was not able to validate the provided access credentials: the key of this endpoint has no session \
                 token; unset AWS_SESSION_TOKEN",
            ));
        }
        Ok(())
    }

    /// Verifies that the request was signed with our key, not long ago, as it has arrived.
    ///
    /// # Errors
    ///
    /// `AuthFailure` for another key, `RequestExpired` for a clock that is off, else `SignatureDoesNotMatch`.
    pub(super) fn verify(
        &self,
        credentials: &Credentials,
        request: &Parts,
        url_parameters: &[Parameter],
        body: &[u8],
        now: OffsetDateTime,
    ) -> Result<(), ApiError> {
        self.check_key(credentials)?;
        self.fresh(now)?;
        let payload = hex::encode(Sha256::digest(body));
        if request.headers.contains_key("x-amz-content-sha256")
            && single(&request.headers, "x-amz-content-sha256")? != payload
        {
            return Err(mismatch());
        }
        let signed = url_parameters.iter().filter(|(name, _)| authorization::is_signed(name));
        let mut canonical = format!("{}\n{}\n{}\n", request.method, request.uri.path(), query::canonical(signed));
        for name in &self.signed_headers {
            canonical.extend([name.as_str(), ":", &canonical_value(&request.headers, name)?, "\n"]);
        }
        canonical.extend(["\n", &self.signed_headers.join(";"), "\n", &payload]);
        self.matches(&credentials.secret, &canonical)
    }

    fn fresh(&self, now: OffsetDateTime) -> Result<(), ApiError> {
        let (date, timestamp) = (&self.date, &self.timestamp);
        if timestamp.get(..8) != Some(date) {
            return Err(ApiError::new(
                Code::SignatureDoesNotMatch,
                format!(
                    "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '{date}' \
                     from '{timestamp}'."
                ),
            ));
        }
        // A lifetime is to the second, as it was asked for; else it is our clock and the client's that are compared.
        if self.signed_at < now - self.lifetime.unwrap_or(SKEW) {
            return Err(ApiError::new(Code::RequestExpired, "Request has expired."));
        }
        if self.signed_at > now + SKEW {
            let message =
                "Signature not yet current: the request is signed for a time that is more than 5 minutes ahead.";
            return Err(ApiError::new(Code::RequestExpired, message));
        }
        Ok(())
    }

    fn matches(&self, secret: &str, canonical: &str) -> Result<(), ApiError> {
        let service = match self.service {
            SignedService::Ec2 => "ec2",
            SignedService::Sts => "sts",
        };
        let scope = [&self.date, &self.region, service, TERMINATOR];
        let digest = hex::encode(Sha256::digest(canonical));
        let text = format!("{ALGORITHM}\n{}\n{}\n{digest}", self.timestamp, scope.join("/"));
        // The comparison takes the same time wherever the first difference is.
        signature(secret, scope, &text)?.verify_slice(&self.signature).map_err(|_| mismatch())
    }
}

/// The signature of a text, not yet written out: keys derived from the secret, one from the other along the scope.
fn signature(secret: &str, scope: [&str; 4], text: &str) -> Result<Hmac<Sha256>, ApiError> {
    let mut key = format!("AWS4{secret}").into_bytes();
    for part in scope {
        key = keyed(&key, part)?.finalize().into_bytes().to_vec();
    }
    keyed(&key, text)
}

fn keyed(key: &[u8], text: &str) -> Result<Hmac<Sha256>, ApiError> {
    let mac = <Hmac<Sha256> as KeyInit>::new_from_slice(key);
    let mac = mac.map_err(|error| ApiError::new(Code::InternalError, format!("no signing key: {error}")))?;
    Ok(mac.chain_update(text))
}

/// A signed header's canonical value: trimmed, runs of spaces made one, several values joined with commas.
fn canonical_value(headers: &HeaderMap, name: &str) -> Result<String, ApiError> {
    let values = headers.get_all(name).iter().map(|value| {
        let text = value.to_str().map_err(|_| mismatch())?;
        Ok(text.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" "))
    });
    let values: Vec<String> = values.collect::<Result<_, ApiError>>()?;
    if values.is_empty() { Err(mismatch()) } else { Ok(values.join(",")) }
}

fn single(headers: &HeaderMap, name: &str) -> Result<String, ApiError> {
    let mut values = headers.get_all(name).iter();
    match (values.next().map(|value| value.to_str()), values.next()) {
        (Some(Ok(value)), None) => Ok(value.to_owned()),
        _ => Err(failure(format!("The request must contain the header {name} once"))),
    }
}

fn failure(message: impl Into<String>) -> ApiError {
    ApiError::new(Code::AuthFailure, message)
}

fn mismatch() -> ApiError {
    ApiError::new(
        Code::SignatureDoesNotMatch,
        "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key \
         and signing method. Consult the service documentation for details.",
    )
}

#[cfg(test)]
mod tests;
