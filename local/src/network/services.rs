//! The thread that answers machines: names and metadata.
//!
//! It is a thread of its own because the metadata is the account's, which may take a while to say it; meanwhile frames
//! must flow.

use super::{MetadataSource, Shared, dns, engine::Command, frame, metadata};
use std::{
    io,
    net::SocketAddrV4,
    os::unix::net::UnixStream,
    sync::{Arc, Weak},
};
use tokio::{net::UnixStream as Stream, runtime, sync::mpsc};

/// What a machine wants.
pub(super) enum Request {
    /// A connection to the metadata service.
    Metadata {
        /// Of which NIC.
        nic: String,
        /// The other end is the machine's. Non-blocking.
        stream: UnixStream,
    },
    /// A question to the name server.
    Query {
        /// The port to answer on.
        port: u64,
        /// The NIC behind it.
        nic: String,
        /// Its MAC address.
        mac: [u8; 6],
        /// Who asks.
        from: SocketAddrV4,
        /// Whom.
        to: SocketAddrV4,
        /// What.
        question: Vec<u8>,
    },
}

/// Where requests go.
pub(super) type Services = mpsc::Sender<Request>;

/// How many requests wait at most.
const WAITING: usize = 1024;

/// Starts the thread; it ends when nobody can ask any more.
pub(super) fn start(source: Arc<dyn MetadataSource>, switch: Weak<Shared>) -> io::Result<Services> {
    let (requests, inbox) = mpsc::channel(WAITING);
    // The runtime is made where it ends: ending one within another is not allowed, and the caller may be in one.
    let (started, outcome) = std::sync::mpsc::channel();
    std::thread::Builder::new().name("switch-services".to_owned()).spawn(move || {
        match runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => {
                let _ = started.send(Ok(()));
                runtime.block_on(answer(source, switch, inbox));
            }
            Err(error) => drop(started.send(Err(error))),
        }
    })?;
    outcome.recv().map_err(io::Error::other)??;
    Ok(requests)
}

async fn answer(source: Arc<dyn MetadataSource>, switch: Weak<Shared>, mut inbox: mpsc::Receiver<Request>) {
    let server = metadata::Server::new(Arc::clone(&source));
    while let Some(request) = inbox.recv().await {
        match request {
            Request::Metadata { nic, stream } => match Stream::from_std(stream) {
                Ok(stream) => drop(tokio::spawn(server.serve(nic, stream))),
                Err(error) => tracing::error!(%error, nic, "failed to serve the metadata"),
            },
            Request::Query { port, nic, mac, from, to, question } => {
                let domain = || domain(source.as_ref(), &nic);
                let reply = dns::answer(&question, domain)
                    .and_then(|reply| frame::udp(mac, (*to.ip(), to.port()), (*from.ip(), from.port()), &reply));
                if let (Some(frame), Some(switch)) = (reply, switch.upgrade()) {
                    switch.send(Command::Send { port, frame });
                }
            }
        }
    }
}

/// The domain that the names of a NIC's region have.
fn domain(source: &dyn MetadataSource, nic: &str) -> String {
    let metadata = source.metadata(nic).unwrap_or_default();
    let host = metadata.tree.iter().find(|(path, _)| path == "meta-data/local-hostname");
    let domain = host.and_then(|(_, name)| name.trim().split_once('.')).map(|(_, domain)| domain.to_owned());
    domain.filter(|domain| !domain.is_empty()).unwrap_or_else(|| dns::DEFAULT_DOMAIN.to_owned())
}
