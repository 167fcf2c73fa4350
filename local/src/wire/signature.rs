//! Signature Version 4, as far as a door needs it: is this request signed with our one key, and for what?
//!
//! Source: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>. Only the
//! `Authorization` header is served; presigned queries are not. The messages are those of AWS.

use super::query::{self, Parameter};
use crate::error::{ApiError, Code};
use hmac::{Hmac, KeyInit, Mac};
use hyper::{HeaderMap, header, http::request::Parts};
use sha2::{Digest, Sha256};
use std::fmt;
use time::{Duration, OffsetDateTime, PrimitiveDateTime, macros::format_description};

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

/// What the `Authorization` header says; not yet verified.
#[derive(Debug)]
pub(super) struct Authorization {
    access_key: String,
    date: String,
    /// The region of the scope.
    pub region: String,
    /// The service of the scope.
    pub service: SignedService,
    signed_headers: Vec<String>,
    signature: Vec<u8>,
}

impl Authorization {
    /// Reads the header.
    ///
    /// # Errors
    ///
    /// `MissingAuthenticationToken` where there is none, `AuthFailure` where it can't be used: EC2 has this one code
    /// where other services say `IncompleteSignature`.
    pub(super) fn read(headers: &HeaderMap, parameters: &[Parameter]) -> Result<Self, ApiError> {
        let mut values = headers.get_all(header::AUTHORIZATION).iter();
        let Some(value) = values.next() else {
            let presigned = ["X-Amz-Signature", "X-Amz-Algorithm", "Signature"];
            return Err(match parameters.iter().any(|(name, _)| presigned.contains(&name.as_str())) {
                true => failure(
                    "Requests that are signed in the query string are not served here: sign with Signature Version 4 \
                     in the Authorization header",
                ),
                false => ApiError::new(Code::MissingAuthenticationToken, "Request is missing Authentication Token"),
            });
        };
        if values.next().is_some() {
            return Err(failure("The request has more than one Authorization header"));
        }
        let value = value.to_str().map_err(|_| failure("The Authorization header is not ASCII"))?;
        let (algorithm, fields) = value.trim().split_once(' ').unwrap_or((value, ""));
        if algorithm != ALGORITHM {
            return Err(failure(format!("Unsupported AWS 'algorithm': '{algorithm}'")));
        }
        Self::fields(fields)
    }

    fn fields(fields: &str) -> Result<Self, ApiError> {
        let [mut credential, mut signed_headers, mut signature] = [None; 3];
        for field in fields.split(',').map(str::trim) {
            let slot = match field.split_once('=') {
                Some(("Credential", value)) => credential.replace(value),
                Some(("SignedHeaders", value)) => signed_headers.replace(value),
                Some(("Signature", value)) => signature.replace(value),
                _ => {
                    let message =
                        format!("'{field}' not a valid key=value pair (missing equal-sign) in Authorization header");
                    return Err(failure(message));
                }
            };
            if slot.is_some() {
                return Err(failure("Authorization header has a parameter twice"));
            }
        }
        let needed = |value: Option<&'_ str>, name: &str| {
            value
                .map(str::to_owned)
                .ok_or_else(|| failure(format!("Authorization header requires '{name}' parameter.")))
        };
        let credential = needed(credential, "Credential")?;
        let signature = hex::decode(needed(signature, "Signature")?).map_err(|_| mismatch())?;
        let signed_headers: Vec<String> =
            needed(signed_headers, "SignedHeaders")?.split(';').map(str::to_ascii_lowercase).collect();
        for required in ["host", "x-amz-date"] {
            if !signed_headers.iter().any(|name| name == required) {
                return Err(failure(format!("'{required}' must be a 'SignedHeader' in the AWS Authorization.")));
            }
        }
        let parts: Vec<&str> = credential.split('/').collect();
        let &[access_key, date, region, service, terminator] = parts.as_slice() else {
            return Err(failure(format!(
                "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got '{credential}'"
            )));
        };
        if terminator != TERMINATOR {
            let message =
                format!("Credential should be scoped with a valid terminator: '{TERMINATOR}', not '{terminator}'.");
            return Err(failure(message));
        }
        let service = match service {
            "ec2" => SignedService::Ec2,
            "sts" => SignedService::Sts,
            _ => return Err(failure("Credential should be scoped to correct service: 'ec2'. ")),
        };
        if region.is_empty() || !region.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
            return Err(failure(format!("Credential should be scoped to a valid region, not '{region}'. ")));
        }
        let [access_key, date, region] = [access_key, date, region].map(str::to_owned);
        Ok(Self { access_key, date, region, service, signed_headers, signature })
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
        if self.access_key != credentials.access_key {
            return Err(failure("AWS was not able to validate the provided access credentials"));
        }
        if request.headers.contains_key("x-amz-security-token") {
            return Err(failure(
                "AWS was not able to validate the provided access credentials: the key of this endpoint has no session \
                 token; unset AWS_SESSION_TOKEN",
            ));
        }
        let timestamp = single(&request.headers, "x-amz-date")?;
        self.fresh(&timestamp, now)?;
        let payload = hex::encode(Sha256::digest(body));
        if request.headers.contains_key("x-amz-content-sha256")
            && single(&request.headers, "x-amz-content-sha256")? != payload
        {
            return Err(mismatch());
        }
        let mut canonical =
            format!("{}\n{}\n{}\n", request.method, request.uri.path(), query::canonical(url_parameters));
        for name in &self.signed_headers {
            canonical.extend([name.as_str(), ":", &canonical_value(&request.headers, name)?, "\n"]);
        }
        canonical.extend(["\n", &self.signed_headers.join(";"), "\n", &payload]);
        self.matches(&credentials.secret, &timestamp, &canonical)
    }

    fn fresh(&self, timestamp: &str, now: OffsetDateTime) -> Result<(), ApiError> {
        let basic = format_description!("[year][month][day]T[hour][minute][second]Z");
        let signed = PrimitiveDateTime::parse(timestamp, basic)
            .map_err(|_| failure(format!("Date must be in ISO-8601 'basic format'. Got '{timestamp}'.")))?
            .assume_utc();
        if timestamp.get(..8) != Some(self.date.as_str()) {
            return Err(ApiError::new(
                Code::SignatureDoesNotMatch,
                format!(
                    "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '{}' from \
                     '{timestamp}'.",
                    self.date
                ),
            ));
        }
        if signed < now - SKEW {
            return Err(ApiError::new(Code::RequestExpired, "Request has expired."));
        }
        if signed > now + SKEW {
            let message =
                "Signature not yet current: the request is signed for a time that is more than 5 minutes ahead.";
            return Err(ApiError::new(Code::RequestExpired, message));
        }
        Ok(())
    }

    fn matches(&self, secret: &str, timestamp: &str, canonical: &str) -> Result<(), ApiError> {
        let service = match self.service {
            SignedService::Ec2 => "ec2",
            SignedService::Sts => "sts",
        };
        let scope = [&self.date, &self.region, service, TERMINATOR];
        let text = format!("{ALGORITHM}\n{timestamp}\n{}\n{}", scope.join("/"), hex::encode(Sha256::digest(canonical)));
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
