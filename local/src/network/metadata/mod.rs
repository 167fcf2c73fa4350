//! The metadata service, version 1 and 2, as instances see it at 169.254.169.254.
//!
//! Rules: <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html> and
//! <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/configuring-instance-metadata-service.html>.

mod token;
mod tree;

use super::{Metadata, MetadataSource, services::Turnstile};
use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{ALLOW, CONTENT_TYPE, HeaderMap, HeaderValue, SERVER},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{convert::Infallible, future::Future, sync::Arc, time::Duration};
use token::Tokens;
use tokio::net::UnixStream;
use tree::Found;

/// A connection that asks for nothing for so long is closed.
const PATIENCE: Duration = Duration::from_secs(30);
/// What a request's head may take.
const HEAD: usize = 16 * 1024;
const TOKEN: &str = "x-aws-ec2-metadata-token";
const TOKEN_TTL: &str = "x-aws-ec2-metadata-token-ttl-seconds";

type Answer = Response<Full<Bytes>>;

/// Serves metadata.
pub(super) struct Server {
    source: Arc<dyn MetadataSource>,
    tokens: Arc<Tokens>,
}

impl Server {
    /// A server whose tokens no other one accepts.
    pub(super) fn new(source: Arc<dyn MetadataSource>) -> Self {
        Self { source, tokens: Arc::new(Tokens::new()) }
    }

    /// Serves one connection, through which the instance of a NIC asks.
    pub(super) fn serve(
        &self,
        nic: String,
        is_v6: bool,
        stream: UnixStream,
        one: Turnstile,
    ) -> impl Future<Output = ()> + use<> {
        let (source, tokens) = (Arc::clone(&self.source), Arc::clone(&self.tokens));
        async move {
            let answered = |request: &Request<Incoming>| {
                if source.is_ready(&nic) {
                    let path = request.uri().path();
                    let metadata = told(source.as_ref(), &nic, path);
                    let enabled = metadata.enabled && (metadata.ipv6 || !is_v6);
                    let metadata = Metadata { enabled, ..metadata };
                    answer(request.method(), path, request.headers(), &metadata, &nic, &tokens)
                } else {
                    failure(StatusCode::SERVICE_UNAVAILABLE)
                }
            };
            let service = service_fn(async |request: Request<Incoming>| {
                Ok::<_, Infallible>(one.pass(|| answered(&request)).await)
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(PATIENCE)
                .max_buf_size(HEAD)
                .half_close(true)
                .serve_connection(TokioIo::new(stream), service);
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to the metadata service ended early");
            }
        }
    }
}

/// What is told at a path, and beside it.
fn told(source: &dyn MetadataSource, nic: &str, path: &str) -> Metadata {
    let mut metadata = source.metadata(nic).unwrap_or_default();
    let document = metadata.tree.iter().find(|(path, _)| path == "dynamic/instance-identity/document");
    if let Some((_, document)) = document.filter(|_| tree::parts(path).nth(1) == Some("dynamic")) {
        let proofs = source.identity(document);
        metadata.tree.extend(proofs);
    }
    metadata
}

fn answer(method: &Method, path: &str, headers: &HeaderMap, metadata: &Metadata, nic: &str, tokens: &Tokens) -> Answer {
    if !metadata.enabled {
        return failure(StatusCode::FORBIDDEN);
    }
    // A token is the instance's, whichever of its NICs it came through.
    let owner = metadata.tree.iter().find(|(path, _)| path == "meta-data/instance-id");
    let owner = owner.map_or(nic, |(_, instance)| instance.as_str());
    let is_token = tree::parts(path).eq(["latest", "api", "token"]);
    match *method {
        Method::PUT if is_token => issue(headers, owner, tokens),
        Method::GET | Method::HEAD if is_token => not_allowed("PUT"),
        Method::GET | Method::HEAD => {
            let authorised = match headers.get(TOKEN) {
                Some(token) => tokens.accepts(owner, token.as_bytes()),
                None => !metadata.token_required,
            };
            if authorised { found(tree::find(metadata, path)) } else { failure(StatusCode::UNAUTHORIZED) }
        }
        Method::PUT => not_allowed("GET, HEAD"),
        _ => not_allowed(if is_token { "PUT" } else { "GET, HEAD" }),
    }
}

fn issue(headers: &HeaderMap, owner: &str, tokens: &Tokens) -> Answer {
    // Such a request was forwarded for somebody, who may not be on the machine.
    if headers.contains_key("x-forwarded-for") {
        return failure(StatusCode::FORBIDDEN);
    }
    let ttl = headers.get(TOKEN_TTL).and_then(|ttl| ttl.to_str().ok()).and_then(token::ttl);
    let Some(ttl) = ttl else { return failure(StatusCode::BAD_REQUEST) };
    let mut answer = respond(StatusCode::OK, "text/plain", tokens.issue(owner, ttl).into());
    answer.headers_mut().insert(TOKEN_TTL, HeaderValue::from(ttl.as_secs()));
    answer
}

fn found(found: Option<Found>) -> Answer {
    match found {
        Some(Found::Text(text)) => respond(StatusCode::OK, "text/plain", text.into()),
        Some(Found::Data(data)) => respond(StatusCode::OK, "application/octet-stream", data.into()),
        None => failure(StatusCode::NOT_FOUND),
    }
}

fn not_allowed(allowed: &'static str) -> Answer {
    let mut answer = failure(StatusCode::METHOD_NOT_ALLOWED);
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    answer
}

fn failure(status: StatusCode) -> Answer {
    let title = format!("{} - {}", status.as_u16(), status.canonical_reason().unwrap_or("Error"));
    let page = format!(
        "<?xml version=\"1.0\" encoding=\"iso-8859-1\"?>\n<html xmlns=\"http://www.w3.org/1999/xhtml\" xml:lang=\"en\">\
         <head><title>{title}</title></head><body><h1>{title}</h1></body></html>\n"
    );
    respond(status, "text/html", page.into())
}

fn respond(status: StatusCode, kind: &'static str, body: Bytes) -> Answer {
    let mut answer = Response::new(Full::new(body));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    answer.headers_mut().insert(SERVER, HeaderValue::from_static("EC2ws"));
    answer
}
