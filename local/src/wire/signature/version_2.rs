//! Signature Version 2, which older clients sign with: it is among the parameters, of the query of a GET or of the body of a
//! POST, and signs all of them.
//!
//! Source: <https://docs.aws.amazon.com/AWSEC2/2014-10-01/APIReference/CommonParameters.html>, and botocore's `SigV2Auth`.

use super::{Credentials, SKEW, canonical_value, check_key, expired, failure, mismatch, not_yet};
use crate::{
    error::{ApiError, Code},
    wire::query::{self, Parameter},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use hyper::http::request::Parts;
use sha1::Sha1;
use sha2::Sha256;
use time::{Duration, OffsetDateTime, format_description::well_known::Iso8601};

/// The parameters that are about the signature; the last of them where the credentials are temporary.
const PARAMETERS: [&str; 7] =
    ["AWSAccessKeyId", "Signature", "SignatureMethod", "SignatureVersion", "Timestamp", "Expires", "SecurityToken"];

/// How far ahead the end may be: as far as that of a presigned URL of version 4.
const LONGEST: Duration = Duration::WEEK;

/// It names no region: that is the one of the host, `ec2.amazonaws.com`.
/// Source: <https://docs.aws.amazon.com/general/latest/gr/ec2-service.html>.
const REGION: &str = "us-east-1";

/// What parameters say about their signature; not yet verified.
#[derive(Debug)]
pub(in crate::wire) struct SignedParameters {
    access_key: String,
    session_token: Option<String>,
    method: Method,
    validity: Validity,
    signature: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
enum Method {
    HmacSha1,
    HmacSha256,
}

/// When it was signed, or when it ends.
#[derive(Debug)]
enum Validity {
    Since(OffsetDateTime),
    Until(OffsetDateTime),
}

/// Whether a parameter is about a signature of version 2, and none of the action's.
pub(super) fn is_of_signature(name: &str) -> bool {
    PARAMETERS.contains(&name)
}

/// Whether parameters are signed, or said to be.
pub(super) fn is_in(parameters: &[Parameter]) -> bool {
    parameters.iter().any(|(name, _)| PARAMETERS[..4].contains(&name.as_str()))
}

impl SignedParameters {
    /// Reads them.
    ///
    /// # Errors
    ///
    /// `MissingParameter`, `InvalidParameterValue` and `InvalidParameterCombination`; `SignatureDoesNotMatch` for a signature that
    /// is no base64.
    pub(super) fn read(parameters: &[Parameter]) -> Result<Self, ApiError> {
        let the_only = |wanted: &str| {
            let mut values = parameters.iter().filter(|(name, _)| name == wanted).map(|(_, value)| value.as_str());
            match (values.next(), values.next()) {
                (_, Some(_)) => Err(failure(format!("The request has the parameter {wanted} twice"))),
                (value, None) => Ok(value),
            }
        };
        let needed = |wanted: &str| {
            let missing = || format!("The request must contain the parameter {wanted}");
            the_only(wanted)?.ok_or_else(|| ApiError::new(Code::MissingParameter, missing()))
        };
        let version = needed("SignatureVersion")?;
        if version != "2" {
            return Err(invalid("SignatureVersion", version, "It must be 2; or sign with version 4, in the header"));
        }
        let method = match needed("SignatureMethod")? {
            "HmacSHA256" => Method::HmacSha256,
            "HmacSHA1" => Method::HmacSha1,
            other => return Err(invalid("SignatureMethod", other, "It must be HmacSHA256 or HmacSHA1")),
        };
        let validity = match (the_only("Timestamp")?, the_only("Expires")?) {
            (Some(_), Some(_)) => {
                let message = "The parameter Timestamp cannot be used with the parameter Expires";
                return Err(ApiError::new(Code::InvalidParameterCombination, message));
            }
            (None, Some(text)) => Validity::Until(moment("Expires", text)?),
            (None, None) => Validity::Since(moment("Timestamp", needed("Timestamp")?)?),
            (Some(text), None) => Validity::Since(moment("Timestamp", text)?),
        };
        Ok(Self {
            access_key: needed("AWSAccessKeyId")?.to_owned(),
            session_token: the_only("SecurityToken")?.map(str::to_owned),
            method,
            validity,
            signature: BASE64_STANDARD.decode(needed("Signature")?).map_err(|_| mismatch())?,
        })
    }

    pub(super) fn region(&self) -> &'static str {
        REGION
    }

    pub(super) fn access_key(&self) -> &str {
        &self.access_key
    }

    pub(super) fn session_token(&self) -> Option<&str> {
        self.session_token.as_deref()
    }

    pub(super) fn check_key(&self, credentials: &Credentials) -> Result<(), ApiError> {
        check_key(credentials, &self.access_key, self.session_token.as_deref())
    }

    /// Verifies that all parameters, of URL and body, were signed with our key, not long ago, as they have arrived.
    pub(super) fn verify(
        &self,
        credentials: &Credentials,
        request: &Parts,
        parameters: &[Parameter],
        now: OffsetDateTime,
    ) -> Result<(), ApiError> {
        self.check_key(credentials)?;
        match self.validity {
            Validity::Since(signed_at) if signed_at < now - SKEW => return Err(expired()),
            Validity::Since(signed_at) if signed_at > now + SKEW => return Err(not_yet()),
            Validity::Until(end) if end < now => return Err(expired()),
            Validity::Until(end) if end > now + LONGEST => {
                return Err(failure("The parameter Expires must be less than a week (7 days) ahead".to_owned()));
            }
            _ => {}
        }
        let host = canonical_value(&request.headers, "host")?.to_ascii_lowercase();
        let signed = parameters.iter().filter(|(name, _)| name != "Signature");
        let text = format!("{}\n{host}\n{}\n{}", request.method, request.uri.path(), query::canonical(signed));
        let (secret, text) = (credentials.secret.as_bytes(), text.as_bytes());
        // The comparison takes the same time wherever the first difference is.
        let verified = match self.method {
            Method::HmacSha1 => <Hmac<Sha1> as KeyInit>::new_from_slice(secret)
                .map(|mac| mac.chain_update(text).verify_slice(&self.signature)),
            Method::HmacSha256 => <Hmac<Sha256> as KeyInit>::new_from_slice(secret)
                .map(|mac| mac.chain_update(text).verify_slice(&self.signature)),
        };
        match verified {
            Ok(Ok(())) => Ok(()),
            _ => Err(mismatch()),
        }
    }
}

fn moment(name: &str, text: &str) -> Result<OffsetDateTime, ApiError> {
    OffsetDateTime::parse(text, &Iso8601::PARSING)
        .map_err(|_| invalid(name, text, "It must be a time like 2014-10-01T12:00:00Z"))
}

fn invalid(name: &str, value: &str, why: &str) -> ApiError {
    ApiError::new(Code::InvalidParameterValue, format!("Value ({value}) for parameter {name} is invalid. {why}."))
}

#[cfg(test)]
mod tests;
