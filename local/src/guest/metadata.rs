//! A client of the metadata service, version 2.
//!
//! <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html>

use http_body_util::{BodyExt, Full, Limited};
use hyper::{Method, Request, StatusCode, body::Bytes, client::conn::http1::SendRequest};
use hyper_util::rt::TokioIo;
use std::{io, net::SocketAddr, time::Duration};
use tokio::net::TcpStream;

/// How long cloud-init waits for the service (`max_wait`).
const MAX_WAIT: Duration = Duration::from_secs(120);
/// How long one request may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// What a token is asked for: six hours, the most there is.
const TOKEN_SECONDS: &str = "21600";
/// More than any answer has: user data is at most 16 KiB.
const MAX_ANSWER: usize = 1 << 20;

/// A client of the metadata service.
pub struct Metadata {
    address: SocketAddr,
    token: String,
    connection: SendRequest<Full<Bytes>>,
}

impl Metadata {
    /// Connects and takes a token; tries again until the service answers, for two minutes at most.
    ///
    /// # Errors
    ///
    /// The service can't be reached, or is disabled for this instance (HTTP 403).
    pub async fn connect(address: SocketAddr) -> io::Result<Self> {
        let deadline = tokio::time::Instant::now() + MAX_WAIT;
        let mut pause = Duration::from_millis(5);
        loop {
            let error = match within(TIMEOUT, Self::connect_once(address)).await {
                Ok(metadata) => return Ok(metadata),
                Err(error) => error,
            };
            if error.kind() == io::ErrorKind::PermissionDenied || tokio::time::Instant::now() + pause > deadline {
                return Err(io::Error::new(error.kind(), format!("reach the metadata service at {address}: {error}")));
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(1));
        }
    }

    async fn connect_once(address: SocketAddr) -> io::Result<Self> {
        let mut connection = open(address).await?;
        let request = Request::builder()
            .method(Method::PUT)
            .uri("/latest/api/token")
            .header("x-aws-ec2-metadata-token-ttl-seconds", TOKEN_SECONDS);
        let (status, token) = send(&mut connection, address, request).await?;
        match status {
            StatusCode::OK => {}
            StatusCode::FORBIDDEN => return Err(io::Error::new(io::ErrorKind::PermissionDenied, "it is disabled")),
            status => return Err(io::Error::other(format!("it answered a request for a token with {status}"))),
        }
        let token = String::from_utf8(token).map_err(io::Error::other)?;
        Ok(Self { address, token, connection })
    }

    /// The value at `/latest/{path}`; none where there is none.
    pub async fn get(&mut self, path: &str) -> io::Result<Option<Vec<u8>>> {
        within(TIMEOUT, self.get_once(path))
            .await
            .map_err(|error| io::Error::new(error.kind(), format!("get {path} from the metadata service: {error}")))
    }

    async fn get_once(&mut self, path: &str) -> io::Result<Option<Vec<u8>>> {
        if self.connection.ready().await.is_err() {
            self.connection = open(self.address).await?;
        }
        let request =
            Request::builder().uri(format!("/latest/{path}")).header("x-aws-ec2-metadata-token", self.token.trim());
        match send(&mut self.connection, self.address, request).await? {
            (StatusCode::OK, content) => Ok(Some(content)),
            (StatusCode::NOT_FOUND, _) => Ok(None),
            (status, _) => Err(io::Error::other(format!("it answered with {status}"))),
        }
    }

    /// The same as text; none where there is none, or where it is no text.
    pub async fn text(&mut self, path: &str) -> io::Result<Option<String>> {
        let content = self.get(path).await?;
        Ok(content.and_then(|content| String::from_utf8(content).ok()).map(|text| text.trim().to_owned()))
    }

    /// The public keys of the instance.
    pub async fn public_keys(&mut self) -> io::Result<Vec<String>> {
        let mut keys = Vec::new();
        let listing = self.text("meta-data/public-keys/").await?.unwrap_or_default();
        // A line a key: its index, and its name.
        for index in listing.lines().filter_map(|line| line.split_once('=')).map(|(index, _)| index) {
            let key = self.text(&format!("meta-data/public-keys/{index}/openssh-key")).await?.unwrap_or_default();
            keys.extend(key.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned));
        }
        Ok(keys)
    }
}

async fn open(address: SocketAddr) -> io::Result<SendRequest<Full<Bytes>>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    tokio::spawn(connection);
    Ok(sender)
}

async fn send(
    connection: &mut SendRequest<Full<Bytes>>,
    address: SocketAddr,
    request: hyper::http::request::Builder,
) -> io::Result<(StatusCode, Vec<u8>)> {
    let request = request.header("host", address.ip().to_string()).body(Full::default()).map_err(io::Error::other)?;
    let response = connection.send_request(request).await.map_err(io::Error::other)?;
    let status = response.status();
    let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await.map_err(io::Error::other)?;
    Ok((status, body.to_bytes().to_vec()))
}

async fn within<T>(limit: Duration, doing: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    tokio::time::timeout(limit, doing)
        .await
        .unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {limit:?}"))))
}
