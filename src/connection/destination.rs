//! Where a request was to go, in the error of one that got no answer: the SDK's HTTP clients don't say it.

use aws_smithy_runtime_api::{
    box_error::BoxError,
    client::{
        http::{
            HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
            SharedHttpConnector,
        },
        orchestrator::HttpRequest,
        result::ConnectorError,
        runtime_components::RuntimeComponents,
    },
};
use std::{error::Error, fmt};

/// A client whose errors say where they come from.
pub(super) fn named(client: SharedHttpClient) -> SharedHttpClient {
    SharedHttpClient::new(Client(client))
}

/// Where the request was to go that failed so.
pub(super) fn of<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a str> {
    let mut next = Some(error);
    while let Some(cause) = next {
        if let Some(unanswered) = cause.downcast_ref::<Unanswered>() {
            return Some(&unanswered.destination);
        }
        next = cause.source();
    }
    None
}

/// A request got no answer.
#[derive(Debug)]
struct Unanswered {
    destination: String,
    source: BoxError,
}

/// What it was, which is its source, and no more.
impl fmt::Display for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.source.fmt(f)
    }
}

impl Error for Unanswered {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.source)
    }
}

#[derive(Debug)]
struct Client(SharedHttpClient);

impl HttpClient for Client {
    fn http_connector(&self, settings: &HttpConnectorSettings, components: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(Connector(self.0.http_connector(settings, components)))
    }
}

#[derive(Debug)]
struct Connector(SharedHttpConnector);

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        // Scheme, host and port: the path and the query may bear secrets.
        let destination: String = request.uri().split('/').take(3).collect::<Vec<_>>().join("/");
        let answer = self.0.call(request);
        HttpConnectorFuture::new(async move { answer.await.map_err(|error| unanswered(destination, error)) })
    }
}

/// The same error, of the same kind, by which it is decided whether to try again.
fn unanswered(destination: String, error: ConnectorError) -> ConnectorError {
    let (is_timeout, is_user, is_io, other) = (error.is_timeout(), error.is_user(), error.is_io(), error.as_other());
    let source: BoxError = Box::new(Unanswered { destination, source: error.into_source() });
    match () {
        () if is_timeout => ConnectorError::timeout(source),
        () if is_user => ConnectorError::user(source),
        () if is_io => ConnectorError::io(source),
        () => ConnectorError::other(source, other),
    }
}
