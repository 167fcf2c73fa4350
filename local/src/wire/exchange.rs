//! One request's way through the door: looked at, read, verified, decoded, answered.

use super::{
    Failure, Request, Service,
    activity::{Activity, Busy},
    decode::{Decoded, decode_parameters},
    encode::{self, encode_as},
    query::{self, Parameter},
    session::{Session, SessionKey, TEMPORARY},
    signature::{self, Credentials, Signed, SignedService},
    sts,
};
use crate::error::{ApiError, Code};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::{
    Method, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{self, HeaderValue},
    http::{request::Parts, uri::Authority},
};
use std::{net::IpAddr, sync::Arc, time::Duration};
use time::OffsetDateTime;

/// The largest body: RunInstances with 16 KB of user data takes some 30 KB.
const MAX_BODY: usize = 1024 * 1024;

/// The largest body that is read of somebody who hasn't named the key: a signature of version 2 may be in it.
const MAX_SIGNING_BODY: u64 = 64 * 1024;

/// How long a body may take to arrive.
const BODY_TIME: Duration = Duration::from_secs(30);

/// The door: whose key opens it, and whose account is behind it.
#[derive(Debug, Clone)]
pub struct Door {
    credentials: Credentials,
    sessions: Option<SessionKey>,
    account_id: String,
    activity: Activity,
}

impl Door {
    /// A door for one key, to one account: twelve digits, by custom `000000000000` for a local one.
    pub fn new(credentials: Credentials, account_id: impl Into<String>) -> Self {
        Self { credentials, sessions: None, account_id: account_id.into(), activity: Activity::new() }
    }

    /// The same door, for those as well who have temporary credentials of this key.
    #[must_use]
    pub fn with_sessions(self, key: SessionKey) -> Self {
        Self { sessions: Some(key), ..self }
    }

    /// Who asks, as far as the request says so: its signature is still to be verified.
    ///
    /// # Errors
    ///
    /// `AuthFailure` for a key or a token that isn't of this door, `RequestExpired` for one whose time is over; STS has codes of
    /// its own for these.
    fn caller(&self, signed: &Signed, now: OffsetDateTime) -> Result<Caller, ApiError> {
        if !signed.access_key().starts_with(TEMPORARY) {
            signed.check_key(&self.credentials)?;
            return Ok(Caller { credentials: self.credentials.clone(), session: None });
        }
        let found = signed.session_token().and_then(|token| self.sessions.as_ref()?.find(signed.access_key(), token));
        let (session, credentials) = found.ok_or_else(|| signature::invalid_token(signed.service()))?;
        if session.is_over(now) {
            return Err(signature::expired_token(signed.service()));
        }
        Ok(Caller { credentials, session: Some(session) })
    }

    /// How busy the door is; take the handle before the door is handed to [`serve`](super::serve).
    pub fn activity(&self) -> Activity {
        self.activity.clone()
    }
}

/// Who asks: the account itself, or an instance by its role.
struct Caller {
    credentials: Credentials,
    session: Option<Session>,
}

/// An answer's document, or what comes instead.
type Answer = Result<String, Failure>;

/// The answer is not to arrive: the connection breaks without one.
#[derive(Debug, thiserror::Error)]
#[error("answer the request: its answer is lost on purpose")]
pub(super) struct Lost;

/// Answers one request. `admitted` is called once it has proved to be signed with the key, and what it returns is held until
/// there is an answer.
pub(super) async fn exchange<A>(
    door: Arc<Door>,
    service: Arc<dyn Service>,
    request: hyper::Request<Incoming>,
    admitted: impl FnOnce() -> Result<A, ApiError>,
) -> Result<Response<Full<Bytes>>, Lost> {
    let request_id = uuid::Uuid::new_v4().to_string();
    let (parts, body) = request.into_parts();
    let answer = answer(&door, service, &parts, body, admitted, &request_id).await;
    let answer = match answer {
        Ok(document) => Ok(document),
        Err(Failure::Error(error)) => Err(error),
        Err(Failure::Lost) => return Err(Lost),
    };
    Ok(respond(answer, is_for_sts(&parts), &request_id))
}

async fn answer<A>(
    door: &Door,
    service: Arc<dyn Service>,
    parts: &Parts,
    body: Incoming,
    admitted: impl FnOnce() -> Result<A, ApiError>,
    request_id: &str,
) -> Answer {
    look(parts)?;
    let mut in_url = query::parse(parts.uri.query().unwrap_or_default().as_bytes())?;
    let (signed, caller, body) = match Signed::in_head(&parts.headers, &in_url)? {
        // Only who knows at least the key's name has a body read, and summed up.
        Some(signed) => {
            let caller = door.caller(&signed, service.now())?;
            (signed, caller, read(parts, body).await?)
        }
        // But where it may be the body that says so: then a small one.
        None if may_sign(parts) => {
            let body = read(parts, body).await?;
            let signed = Signed::in_parameters(&query::parse(&body).unwrap_or_default())?;
            let signed = signed.ok_or_else(signature::unsigned)?;
            let caller = door.caller(&signed, service.now())?;
            (signed, caller, body)
        }
        None => return Err(signature::unsigned().into()),
    };
    signed.verify(&caller.credentials, parts, &in_url, &body, OffsetDateTime::now_utc())?;
    let _admitted = admitted()?;
    let busy = door.activity.request();
    let mut parameters = query::parse(&body)?;
    // A signature of version 4 is never in the body, so what is there is all the action's.
    if matches!(signed, Signed::Parameters(_)) {
        parameters.retain(|(name, _)| !signed.has_parameter(name));
    }
    in_url.retain(|(name, _)| !signed.has_parameter(name));
    let parameters = [in_url, parameters].concat();
    match signed.service() {
        SignedService::Sts => Ok(sts::answer(&parameters, &door.account_id, caller.session.as_ref(), request_id)?),
        SignedService::Ec2 => call(service, busy, &parameters, signed.region().to_owned(), request_id).await,
    }
}

/// Whether a body may be one that bears a signature: it is announced, and small.
fn may_sign(parts: &Parts) -> bool {
    announced(parts).is_some_and(|length| (1..=MAX_SIGNING_BODY).contains(&length))
}

/// How long the body is said to be.
fn announced(parts: &Parts) -> Option<u64> {
    parts.headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Refuses what no client of ours sends, but a web page may: the defence against DNS rebinding and cross-site requests.
fn look(parts: &Parts) -> Result<(), ApiError> {
    let mut hosts = parts.headers.get_all(header::HOST).iter();
    let host = hosts.next().and_then(|value| value.to_str().ok()).and_then(|value| value.parse().ok());
    let is_ours = host.as_ref().is_some_and(is_loopback) && hosts.next().is_none();
    if !is_ours || !parts.uri.authority().is_none_or(is_loopback) {
        return Err(refusal("the Host header must be localhost, or an address of the loopback"));
    }
    if parts.headers.contains_key(header::ORIGIN) {
        return Err(refusal("requests of web pages, which bear an Origin header, are refused"));
    }
    if parts.method != Method::POST && parts.method != Method::GET {
        return Err(ApiError::new(Code::MethodNotAllowed, "The specified method is not allowed: use POST, or GET"));
    }
    if parts.uri.path() != "/" {
        return Err(ApiError::new(Code::MalformedQueryString, "There is nothing here: the path of the endpoint is /"));
    }
    Ok(())
}

fn is_loopback(authority: &Authority) -> bool {
    let host = authority.host();
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let is_local =
        host.eq_ignore_ascii_case("localhost") || address.parse().is_ok_and(|address: IpAddr| address.is_loopback());
    is_local && !authority.as_str().contains('@')
}

fn refusal(why: &str) -> ApiError {
    ApiError::new(Code::UnauthorizedOperation, format!("You are not authorized to perform this operation: {why}"))
}

async fn read(parts: &Parts, body: Incoming) -> Result<Bytes, ApiError> {
    let too_large = || {
        let message = format!("The request is larger than {MAX_BODY} bytes");
        ApiError::new(Code::RequestEntityTooLarge, message)
    };
    if announced(parts).is_some_and(|length| length > MAX_BODY as u64) {
        return Err(too_large());
    }
    let timeout = |_| ApiError::new(Code::RequestTimeout, "The request did not arrive in time");
    match tokio::time::timeout(BODY_TIME, Limited::new(body, MAX_BODY).collect()).await.map_err(timeout)? {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(too_large()),
        Err(error) => Err(ApiError::new(Code::RequestTimeout, format!("The request broke off: {error}"))),
    }
}

/// Decodes, lets the account answer, encodes.
async fn call(
    service: Arc<dyn Service>,
    busy: Busy,
    parameters: &[Parameter],
    region: String,
    request_id: &str,
) -> Answer {
    let Decoded { version, action, input } = decode_parameters(parameters)?;
    tracing::debug!(request_id, action, region, "asked");
    let request = Request { action, region, request_id: request_id.to_owned(), input };
    // In a task of its own: what EC2 has begun it ends, also for a client that has hung up; and a panic stays there.
    let task = tokio::spawn(async move {
        let output = service.call(request).await;
        drop(busy);
        output
    });
    match task.await {
        Ok(output) => Ok(encode_as(version, action, &output?, request_id)?),
        Err(error) => {
            let message =
                format!("An internal error has occurred: {action} broke off ({error}); see the endpoint's log");
            Err(ApiError::new(Code::InternalError, message).into())
        }
    }
}

/// Whether a request is for STS, whose errors look different. Not verified: it decides about nothing else.
fn is_for_sts(parts: &Parts) -> bool {
    let header = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let query = parts.uri.query().unwrap_or_default();
    ["/sts/aws4_request", "%2Fsts%2Faws4_request"].iter().any(|scope| header.unwrap_or(query).contains(scope))
}

fn respond(answer: Result<String, ApiError>, for_sts: bool, request_id: &str) -> Response<Full<Bytes>> {
    let (status, document) = match answer {
        Ok(document) => (StatusCode::OK, document),
        Err(error) => {
            match error.code {
                Code::InternalError => tracing::error!(request_id, "answered {error}"),
                _ => tracing::debug!(request_id, "answered {error}"),
            }
            let document = if for_sts { sts::error } else { encode::error }(&error, request_id);
            (StatusCode::from_u16(error.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), document)
        }
    };
    let mut response = Response::new(Full::from(document));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/xml;charset=UTF-8"));
    if let Ok(request_id) = HeaderValue::from_str(request_id) {
        headers.insert("x-amzn-requestid", request_id);
    }
    response
}
