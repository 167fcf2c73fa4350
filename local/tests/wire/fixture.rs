//! An endpoint with a stub behind it, and a client that signs by hand.

use ec2_local::{
    error::{ApiError, Code},
    wire::{Activity, Credentials, Door, Failure, Request, Service, SessionKey, Structure, Value, serve},
};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use std::{
    future::Future,
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use time::{OffsetDateTime, macros::format_description};
use tokio::sync::oneshot;

pub const KEY: &str = "AKIDLOCAL";
pub const SECRET: &str = "a secret/with+odd=characters";
pub const ACCOUNT: &str = "012345678901";

/// A service that answers a few actions in known ways.
#[derive(Default)]
pub struct Stub {
    pub finished: AtomicUsize,
}

impl Service for Stub {
    fn call(&self, request: Request) -> Pin<Box<dyn Future<Output = Result<Structure, Failure>> + Send + '_>> {
        Box::pin(async move {
            match request.action {
                "DescribeRegions" => {
                    let names = [request.region, "eu-west-1".to_owned()];
                    let regions = names.into_iter().map(|name| Structure::new().with("RegionName", name));
                    Ok(Structure::new().with("Regions", regions.collect::<Value>()))
                }
                // Tells back, as a reservation, what RunInstances was asked for.
                "RunInstances" => {
                    let count = request.input.integer("MaxCount").unwrap_or_default();
                    let tags: Vec<Value> = request
                        .input
                        .structures("TagSpecifications")
                        .flat_map(|specification| specification.list("Tags").iter().cloned())
                        .collect();
                    let instances = (0..count).map(|index| {
                        Structure::new()
                            .with("InstanceId", format!("i-{index:017x}"))
                            .with("AmiLaunchIndex", index)
                            .with_some("ImageId", request.input.string("ImageId"))
                            .with_some("InstanceType", request.input.string("InstanceType"))
                            .with("LaunchTime", OffsetDateTime::UNIX_EPOCH)
                            .with("Tags", tags.clone())
                    });
                    Ok(Structure::new().with("OwnerId", ACCOUNT).with("Instances", instances.collect::<Value>()))
                }
                "RebootInstances" => {
                    tokio::time::sleep(Duration::from_millis(300)).await;
                    self.finished.fetch_add(1, Ordering::SeqCst);
                    Ok(Structure::new())
                }
                "TerminateInstances" => panic!("the stub panics on purpose"),
                "DescribeVpcs" => Ok(Structure::new().with("NoSuchMember", 1)),
                "DeleteKeyPair" => Ok(Structure::new()),
                other => {
                    Err(ApiError::new(Code::InvalidAction, format!("The action {other} is not served by the stub"))
                        .into())
                }
            }
        })
    }
}

/// What the temporary credentials of its instances follow from.
pub fn session_key() -> SessionKey {
    SessionKey::new(&[7; 32])
}

/// A running endpoint; it ends with the value.
pub struct Endpoint<S = Stub> {
    pub address: SocketAddr,
    pub service: Arc<S>,
    pub activity: Activity,
    shutdown: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<std::io::Result<()>>>,
}

impl Endpoint {
    pub fn start() -> Self {
        Self::with(Stub::default())
    }
}

impl<S: Service> Endpoint<S> {
    pub fn with(service: S) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        // As the endpoint listens: with as many waiting as the system allows.
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        rustix::net::listen(&listener, i32::MAX).unwrap();
        listener.set_nonblocking(true).unwrap();
        let listener = runtime.block_on(async { tokio::net::TcpListener::from_std(listener) }).unwrap();
        let address = listener.local_addr().unwrap();
        let (shutdown, ended) = oneshot::channel::<()>();
        let service = Arc::new(service);
        let door = Door::new(Credentials::new(KEY, SECRET), ACCOUNT).with_sessions(session_key());
        let activity = door.activity();
        let served: Arc<dyn Service> = service.clone();
        let thread = std::thread::spawn(move || {
            runtime.block_on(serve(listener, door, served, async {
                let _ = ended.await;
            }))
        });
        Self { address, service, activity, shutdown: Some(shutdown), thread: Some(thread) }
    }
}

impl<S> Endpoint<S> {
    /// Sends a signed POST with these parameters, and the version.
    pub fn call(&self, parameters: &str) -> Answer {
        Signed::ec2(&format!("{parameters}&Version=2016-11-15")).send(self)
    }

    /// Sends bytes as they are, and reads until the other side closes.
    pub fn raw(&self, bytes: &[u8]) -> Answer {
        let mut stream = self.connect();
        // The other side may answer, and close, before it has read everything.
        let _ = stream.write_all(bytes);
        Answer::read(stream)
    }

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream
    }

    /// Ends the endpoint, as its owner would.
    pub fn stop(&mut self) -> std::io::Result<()> {
        drop(self.shutdown.take());
        self.thread.take().map_or(Ok(()), |thread| thread.join().unwrap())
    }
}

impl<S> Drop for Endpoint<S> {
    fn drop(&mut self) {
        self.stop().unwrap();
    }
}

/// A request that is going to be signed; every part can be tampered with.
pub struct Signed {
    pub method: &'static str,
    pub target: String,
    pub headers: Vec<(String, String)>,
    /// Headers that are sent, but not signed.
    pub unsigned: Vec<(String, String)>,
    pub body: String,
    pub key: String,
    pub secret: String,
    pub time: OffsetDateTime,
    pub region: String,
    pub service: String,
}

impl Signed {
    pub fn ec2(body: &str) -> Self {
        Self {
            method: "POST",
            target: "/".to_owned(),
            headers: vec![("content-type".to_owned(), "application/x-www-form-urlencoded; charset=utf-8".to_owned())],
            unsigned: Vec::new(),
            body: body.to_owned(),
            key: KEY.to_owned(),
            secret: SECRET.to_owned(),
            time: OffsetDateTime::now_utc(),
            region: "us-east-1".to_owned(),
            service: "ec2".to_owned(),
        }
    }

    pub fn sts(body: &str) -> Self {
        Self { service: "sts".to_owned(), ..Self::ec2(body) }
    }

    /// A GET whose query is sorted and escaped already, as the canonical one is.
    pub fn get(query: &str) -> Self {
        Self { method: "GET", target: format!("/?{query}"), headers: Vec::new(), ..Self::ec2("") }
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn send<S>(self, endpoint: &Endpoint<S>) -> Answer {
        endpoint.raw(&self.bytes(endpoint.address, true))
    }

    /// The request as bytes, written after AWS's description of the signature, not after our verification.
    pub fn bytes(&self, address: SocketAddr, close: bool) -> Vec<u8> {
        let mut headers = self.headers.clone();
        if !headers.iter().any(|(name, _)| name == "host") {
            headers.push(("host".to_owned(), address.to_string()));
        }
        headers.push(("x-amz-date".to_owned(), self.stamp()));
        headers.sort();
        let names: Vec<&str> = headers.iter().map(|(name, _)| name.as_str()).collect();
        let signed_headers = names.join(";");
        let (path, query) = self.target.split_once('?').unwrap_or((&self.target, ""));
        let signature = self.signature(path, query, &headers, &signed_headers);
        let mut request = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        for (name, value) in headers.iter().chain(&self.unsigned) {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str(&format!(
            "Authorization: AWS4-HMAC-SHA256 Credential={}/{}, SignedHeaders={signed_headers}, Signature={signature}\r\n",
            self.key,
            self.scope()
        ));
        if close {
            request.push_str("Connection: close\r\n");
        }
        request.push_str(&format!("Content-Length: {}\r\n\r\n{}", self.body.len(), self.body));
        request.into_bytes()
    }

    /// The query of a presigned URL, likewise.
    pub fn presigned(&self, address: SocketAddr, seconds: u32) -> String {
        let (path, query) = self.target.split_once('?').unwrap();
        let scope = self.scope().replace('/', "%2F");
        let query = format!(
            "{query}&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={}%2F{scope}&X-Amz-Date={}&X-Amz-Expires={seconds}\
             &X-Amz-SignedHeaders=host",
            self.key,
            self.stamp()
        );
        let host = [("host".to_owned(), address.to_string())];
        let mut sorted: Vec<&str> = query.split('&').collect();
        sorted.sort();
        let signature = self.signature(path, &sorted.join("&"), &host, "host");
        format!("{query}&X-Amz-Signature={signature}")
    }

    fn stamp(&self) -> String {
        self.time.format(format_description!("[year][month][day]T[hour][minute][second]Z")).unwrap()
    }

    fn scope(&self) -> String {
        format!("{}/{}/{}/aws4_request", &self.stamp()[..8], self.region, self.service)
    }

    fn signature(&self, path: &str, query: &str, headers: &[(String, String)], signed_headers: &str) -> String {
        let canonical_headers: String =
            headers.iter().map(|(name, value)| format!("{name}:{}\n", value.trim())).collect();
        let hash = |text: &str| hex::encode(Sha256::digest(text));
        let canonical = [self.method, path, query, &canonical_headers, signed_headers, &hash(&self.body)].join("\n");
        let scope = self.scope();
        let text = ["AWS4-HMAC-SHA256", &self.stamp(), &scope, &hash(&canonical)].join("\n");
        let mac = |key: &[u8], text: &str| {
            let mac = <Hmac<Sha256> as KeyInit>::new_from_slice(key).unwrap().chain_update(text);
            mac.finalize().into_bytes().to_vec()
        };
        let start = format!("AWS4{}", self.secret).into_bytes();
        let key = scope.split('/').fold(start, |key, part| mac(&key, part));
        hex::encode(mac(&key, &text))
    }
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    /// Reads until the other side closes; an answer of nothing has status 0.
    pub fn read(mut stream: TcpStream) -> Self {
        let mut bytes = Vec::new();
        // A reset after the answer is fine, what was read counts; but a side that never closes is not.
        if let Err(error) = stream.read_to_end(&mut bytes) {
            assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{}", String::from_utf8_lossy(&bytes));
        }
        let text = String::from_utf8(bytes).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        Self { status, head: head.to_owned(), body: body.to_owned() }
    }

    /// The text of the first element of this name.
    pub fn element(&self, name: &str) -> &str {
        let (_, rest) = self.body.split_once(&format!("<{name}>")).unwrap_or_else(|| panic!("no {name} in {self:?}"));
        rest.split_once(&format!("</{name}>")).unwrap().0
    }

    /// Asserts that this is an error with its id, of a status, a code and a message.
    #[track_caller]
    pub fn is_error(&self, status: u16, code: &str, message: &str) {
        assert_eq!((self.status, self.element("Code"), self.element("Message")), (status, code, message), "{self:?}");
        assert_eq!(self.element("RequestID").len(), 36, "{self:?}");
    }
}
