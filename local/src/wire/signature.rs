//! Signatures, as far as a door needs them: is this request signed with our one key, and for what?
//!
//! Of version 4: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>. What such a
//! signature says is read in `authorization`, and verified here; `version_2` has the older one. The messages are those of AWS,
//! where it has one.

mod authorization;
mod version_2;

pub(super) use authorization::Authorization;

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

/// A key that opens the door.
#[derive(Clone)]
pub struct Credentials {
    access_key: String,
    secret: String,
    /// What must go with it where it is temporary.
    token: Option<String>,
}

impl Credentials {
    /// An access key and its secret.
    pub fn new(access_key: impl Into<String>, secret: impl Into<String>) -> Self {
        Self { access_key: access_key.into(), secret: secret.into(), token: None }
    }

    /// A temporary access key, its secret and its token.
    pub(super) fn temporary(access_key: String, secret: String, token: &str) -> Self {
        Self { access_key, secret, token: Some(token.to_owned()) }
    }

    /// Whether they are those of an access key.
    pub(super) fn is_of(&self, access_key: &str) -> bool {
        self.access_key == access_key
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

/// A signature of either version; not yet verified.
#[derive(Debug)]
pub(super) enum Signed {
    /// Version 4.
    Request(Authorization),
    /// Version 2.
    Parameters(version_2::SignedParameters),
}

impl Signed {
    /// Reads the signature in a request's head; `None` where there is none.
    ///
    /// # Errors
    ///
    /// `AuthFailure`, and those of a version's own, where it can't be used.
    pub(super) fn in_head(headers: &HeaderMap, in_url: &[Parameter]) -> Result<Option<Self>, ApiError> {
        if let Some(authorization) = Authorization::read(headers, in_url)? {
            return Ok(Some(Self::Request(authorization)));
        }
        Self::in_parameters(in_url)
    }

    /// Reads the signature of parameters, which only version 2 has, and which may come in a body; `None` where there is none.
    ///
    /// # Errors
    ///
    /// As [`Self::in_head`].
    pub(super) fn in_parameters(parameters: &[Parameter]) -> Result<Option<Self>, ApiError> {
        let is_signed = version_2::is_in(parameters);
        is_signed.then(|| version_2::SignedParameters::read(parameters).map(Self::Parameters)).transpose()
    }

    /// The key that the request is said to be signed with.
    pub(super) fn access_key(&self) -> &str {
        match self {
            Self::Request(authorization) => &authorization.access_key,
            Self::Parameters(signed) => signed.access_key(),
        }
    }

    /// The token that goes with the key, if it is said to be temporary.
    pub(super) fn session_token(&self) -> Option<&str> {
        match self {
            Self::Request(authorization) => authorization.session_token.as_deref(),
            Self::Parameters(signed) => signed.session_token(),
        }
    }

    /// Looks whether it is our key that the request is said to be signed with.
    ///
    /// # Errors
    ///
    /// `AuthFailure` for another key.
    pub(super) fn check_key(&self, credentials: &Credentials) -> Result<(), ApiError> {
        match self {
            Self::Request(authorization) => authorization.check_key(credentials),
            Self::Parameters(signed) => signed.check_key(credentials),
        }
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
        in_url: &[Parameter],
        body: &[u8],
        now: OffsetDateTime,
    ) -> Result<(), ApiError> {
        match self {
            Self::Request(authorization) => authorization.verify(credentials, request, in_url, body, now),
            Self::Parameters(signed) => {
                let parameters = [in_url, &query::parse(body)?].concat();
                signed.verify(credentials, request, &parameters, now)
            }
        }
    }

    /// Whether a parameter is about this signature, and none of the action's.
    pub(super) fn has_parameter(&self, name: &str) -> bool {
        match self {
            Self::Request(_) => authorization::is_of_signature(name),
            Self::Parameters(_) => version_2::is_of_signature(name),
        }
    }

    /// The region that it is for.
    pub(super) fn region(&self) -> &str {
        match self {
            Self::Request(authorization) => &authorization.region,
            Self::Parameters(signed) => signed.region(),
        }
    }

    /// The service that it is for.
    pub(super) fn service(&self) -> SignedService {
        match self {
            Self::Request(authorization) => authorization.service,
            Self::Parameters(_) => SignedService::Ec2,
        }
    }
}

/// The error about a request that bears no signature at all.
pub(super) fn unsigned() -> ApiError {
    ApiError::new(Code::MissingAuthenticationToken, "Request is missing Authentication Token")
}

fn check_key(credentials: &Credentials, access_key: &str, token: Option<&str>) -> Result<(), ApiError> {
    if access_key != credentials.access_key {
        return Err(failure("AWS was not able to validate the provided access credentials"));
    }
    if token != credentials.token.as_deref() {
        return Err(failure(
            "AWS was not able to validate the provided access credentials: the key of this endpoint has no session token; \
             unset AWS_SESSION_TOKEN",
        ));
    }
    Ok(())
}

impl Authorization {
    fn check_key(&self, credentials: &Credentials) -> Result<(), ApiError> {
        check_key(credentials, &self.access_key, self.session_token.as_deref())
    }

    fn verify(
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
            return Err(expired());
        }
        if self.signed_at > now + SKEW {
            return Err(not_yet());
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

/// The error about temporary credentials that aren't of this endpoint: EC2 has the code that it has for all keys.
/// Source: <https://docs.aws.amazon.com/STS/latest/APIReference/CommonErrors.html>.
pub(super) fn invalid_token(service: SignedService) -> ApiError {
    match service {
        SignedService::Ec2 => failure("AWS was not able to validate the provided access credentials"),
        SignedService::Sts => {
            ApiError::new(Code::InvalidClientTokenId, "The security token included in the request is invalid.")
        }
    }
}

/// The error about temporary credentials whose time is over.
pub(super) fn expired_token(service: SignedService) -> ApiError {
    match service {
        SignedService::Ec2 => expired(),
        SignedService::Sts => {
            ApiError::new(Code::ExpiredToken, "The security token included in the request is expired")
        }
    }
}

fn expired() -> ApiError {
    ApiError::new(Code::RequestExpired, "Request has expired.")
}

fn not_yet() -> ApiError {
    let message = "Signature not yet current: the request is signed for a time that is more than 5 minutes ahead.";
    ApiError::new(Code::RequestExpired, message)
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
