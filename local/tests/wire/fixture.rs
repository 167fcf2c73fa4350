//! An endpoint with a stub behind it, and a client that signs by hand.

pub use crate::endpoint::{Answer, KEY, SECRET, Signed};
use ec2_local::{
    error::{ApiError, Code},
    wire::{Activity, Credentials, Door, Failure, Request, Service, SessionKey, Structure, Value, serve},
};
use std::{
    future::Future,
    io::Write,
    net::{SocketAddr, TcpListener, TcpStream},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use time::OffsetDateTime;
use tokio::sync::oneshot;

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

impl Signed {
    pub fn send<S>(self, endpoint: &Endpoint<S>) -> Answer {
        endpoint.raw(&self.bytes(endpoint.address, true))
    }
}
