//! What a request says about its signature: in the `Authorization` header, or in the query of a presigned URL.
//!
//! Source: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>; for the bounds of
//! a presigned query <https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html>.

use super::{ALGORITHM, SignedService, TERMINATOR, failure, mismatch, single};
use crate::{error::ApiError, wire::query::Parameter};
use hyper::{HeaderMap, header};
use std::ops::RangeInclusive;
use time::{Duration, OffsetDateTime, PrimitiveDateTime, macros::format_description};

/// The parameters of a presigned query that are about its signature; each is there once.
const PRESIGNED: [&str; 6] =
    ["X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-SignedHeaders", "X-Amz-Signature"];

/// It is there, too, where the credentials are temporary.
const SESSION_TOKEN: &str = "X-Amz-Security-Token";

/// For how many seconds a presigned query may be valid: for a week at most.
const LIFETIME: RangeInclusive<i64> = 1..=604_800;

/// What a request says about its signature; not yet verified.
#[derive(Debug)]
pub(in crate::wire) struct Authorization {
    pub(super) access_key: String,
    /// What goes with the key where it is said to be a temporary one.
    pub(super) session_token: Option<String>,
    /// The date of the scope.
    pub(super) date: String,
    /// The region of the scope.
    pub region: String,
    /// The service of the scope.
    pub service: SignedService,
    /// When it was signed, as it is written.
    pub(super) timestamp: String,
    /// When it was signed.
    pub(super) signed_at: OffsetDateTime,
    /// For how long it is valid, which only a presigned query says.
    pub(super) lifetime: Option<Duration>,
    pub(super) signed_headers: Vec<String>,
    pub(super) signature: Vec<u8>,
}

/// What both ways of saying it have, as it is written.
struct Written<'a> {
    credential: &'a str,
    signed_headers: &'a str,
    signature: &'a str,
    timestamp: &'a str,
}

impl Authorization {
    /// Reads the header or, in a presigned URL, the query; `None` where there is neither.
    ///
    /// # Errors
    ///
    /// `AuthFailure` where there are both, or where it can't be used: EC2 has this one code where other services say
    /// `IncompleteSignature`.
    pub(super) fn read(headers: &HeaderMap, in_url: &[Parameter]) -> Result<Option<Self>, ApiError> {
        let mut values = headers.get_all(header::AUTHORIZATION).iter();
        let is_presigned = in_url.iter().any(|(name, _)| is_of_signature(name));
        match (values.next(), is_presigned) {
            (None, false) => Ok(None),
            (None, true) => Self::in_query(headers, in_url).map(Some),
            (Some(_), true) => {
                Err(failure("The request is signed in the Authorization header and in the query string: sign it once"))
            }
            (Some(_), false) if values.next().is_some() => {
                Err(failure("The request has more than one Authorization header"))
            }
            (Some(value), false) => {
                let value = value.to_str().map_err(|_| failure("The Authorization header is not ASCII"))?;
                Self::in_header(headers, value).map(Some)
            }
        }
    }

    fn in_header(headers: &HeaderMap, value: &str) -> Result<Self, ApiError> {
        let (algorithm, fields) = value.trim().split_once(' ').unwrap_or((value, ""));
        is_known(algorithm)?;
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
        let missing = |name: &str| failure(format!("Authorization header requires '{name}' parameter."));
        let written = Written {
            credential: credential.ok_or_else(|| missing("Credential"))?,
            signature: signature.ok_or_else(|| missing("Signature"))?,
            signed_headers: signed_headers.ok_or_else(|| missing("SignedHeaders"))?,
            timestamp: &single(headers, "x-amz-date")?,
        };
        let token = headers.contains_key(SESSION_TOKEN).then(|| single(headers, SESSION_TOKEN)).transpose()?;
        written.understood(&["host", "x-amz-date"], token, None)
    }

    fn in_query(headers: &HeaderMap, in_url: &[Parameter]) -> Result<Self, ApiError> {
        let the_only = |wanted: &str| {
            let mut values = in_url.iter().filter(|(name, _)| name == wanted);
            match (values.next(), values.next()) {
                (Some((_, value)), None) => Ok(value.as_str()),
                (None, _) => Err(failure(format!("AWS query-string parameters must include '{wanted}'."))),
                (Some(_), Some(_)) => Err(failure(format!("AWS query-string parameters have '{wanted}' twice."))),
            }
        };
        let [algorithm, credential, timestamp, expires, signed_headers, signature] = PRESIGNED.map(the_only);
        is_known(algorithm?)?;
        let expires = expires?;
        let lifetime = expires.parse().ok().filter(|seconds| LIFETIME.contains(seconds)).ok_or_else(|| {
            let (least, most) = LIFETIME.into_inner();
            failure(format!("X-Amz-Expires must be a number of seconds from {least} to {most}, not '{expires}'"))
        })?;
        let in_query = in_url.iter().find(|(name, _)| name == SESSION_TOKEN).map(|(_, value)| value.clone());
        let in_header = headers.get(SESSION_TOKEN).map(|_| single(headers, SESSION_TOKEN)).transpose()?;
        let session_token = in_query.or(in_header);
        let [credential, timestamp] = [credential?, timestamp?];
        let written = Written { credential, timestamp, signed_headers: signed_headers?, signature: signature? };
        written.understood(&["host"], session_token, Some(Duration::seconds(lifetime)))
    }
}

impl Written<'_> {
    fn understood(
        self,
        must_be_signed: &[&str],
        session_token: Option<String>,
        lifetime: Option<Duration>,
    ) -> Result<Authorization, ApiError> {
        let signature = hex::decode(self.signature).map_err(|_| mismatch())?;
        let signed_headers: Vec<String> = self.signed_headers.split(';').map(str::to_ascii_lowercase).collect();
        for required in must_be_signed {
            if !signed_headers.iter().any(|name| name == required) {
                return Err(failure(format!("'{required}' must be a 'SignedHeader' in the AWS Authorization.")));
            }
        }
        let credential = self.credential;
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
        let timestamp = self.timestamp.to_owned();
        let signed_at = moment(&timestamp)?;
        let [access_key, date, region] = [access_key, date, region].map(str::to_owned);
        Ok(Authorization {
            access_key,
            session_token,
            date,
            region,
            service,
            timestamp,
            signed_at,
            lifetime,
            signed_headers,
            signature,
        })
    }
}

/// Whether a parameter of a URL is about its signature, and none of the action's.
pub(super) fn is_of_signature(name: &str) -> bool {
    PRESIGNED.contains(&name) || name == SESSION_TOKEN
}

/// Whether a parameter of a URL is signed: all are, but the signature itself.
pub(super) fn is_signed(name: &str) -> bool {
    name != "X-Amz-Signature"
}

fn is_known(algorithm: &str) -> Result<(), ApiError> {
    match algorithm {
        ALGORITHM => Ok(()),
        _ => Err(failure(format!("Unsupported AWS 'algorithm': '{algorithm}'"))),
    }
}

fn moment(timestamp: &str) -> Result<OffsetDateTime, ApiError> {
    let basic = format_description!("[year][month][day]T[hour][minute][second]Z");
    let moment = PrimitiveDateTime::parse(timestamp, basic)
        .map_err(|_| failure(format!("Date must be in ISO-8601 'basic format'. Got '{timestamp}'.")))?;
    Ok(moment.assume_utc())
}
