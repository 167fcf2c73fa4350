//! The thread that answers machines: names, addresses and metadata.
//!
//! It is a thread of its own because the metadata is the account's, which may take a while to say it; meanwhile frames
//! must flow.

use super::{
    MetadataSource, Nic, Shared, dhcp,
    dns::{self, Answer, Asker, Server as Names},
    engine::Command,
    frame, metadata,
};
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
    /// A connection to the name server.
    Names {
        /// Of whom.
        asker: Asker,
        /// The other end is the machine's. Non-blocking.
        stream: UnixStream,
    },
    /// A message to the DHCP server.
    Lease {
        /// The port to answer on.
        port: u64,
        /// The NIC behind it.
        nic: Nic,
        /// What.
        message: Vec<u8>,
    },
    /// A question to the name server.
    Query {
        /// The port to answer on.
        port: u64,
        /// The NIC behind it.
        asker: Asker,
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
#[derive(Clone)]
pub(super) struct Services(mpsc::Sender<(Request, Turn)>);

/// What each request of a machine holds one of while it waits, so that they can be counted.
pub(super) type Turn = Arc<()>;

/// How many requests wait at most.
const WAITING: usize = 1024;
/// And of one machine: one that floods loses its own, and no other's.
const WAITING_OF_ONE: usize = 64;

impl Services {
    /// Hands on a request of a machine, unless there are too many.
    pub(super) fn ask(&self, turn: &Turn, request: Request) -> io::Result<()> {
        let waiting = Arc::strong_count(turn) - 1;
        let asked = waiting < WAITING_OF_ONE && self.0.try_send((request, Arc::clone(turn))).is_ok();
        if asked { Ok(()) } else { Err(io::Error::other("too many requests at once")) }
    }
}

/// Starts the thread; it ends when nobody can ask any more.
pub(super) fn start(source: Arc<dyn MetadataSource>, names: Names, switch: Weak<Shared>) -> io::Result<Services> {
    let (requests, inbox) = mpsc::channel(WAITING);
    // The runtime is made where it ends: ending one within another is not allowed, and the caller may be in one.
    let (started, outcome) = std::sync::mpsc::channel();
    std::thread::Builder::new().name("switch-services".to_owned()).spawn(move || {
        match runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => {
                let _ = started.send(Ok(()));
                runtime.block_on(answer(source, Arc::new(names), switch, inbox));
            }
            Err(error) => drop(started.send(Err(error))),
        }
    })?;
    outcome.recv().map_err(io::Error::other)??;
    Ok(Services(requests))
}

async fn answer(
    source: Arc<dyn MetadataSource>,
    names: Arc<Names>,
    switch: Weak<Shared>,
    mut inbox: mpsc::Receiver<(Request, Turn)>,
) {
    let server = metadata::Server::new(Arc::clone(&source));
    while let Some((request, _turn)) = inbox.recv().await {
        match request {
            Request::Metadata { nic, stream } => match Stream::from_std(stream) {
                Ok(stream) => drop(tokio::spawn(server.serve(nic, stream))),
                Err(error) => tracing::error!(%error, nic, "failed to serve the metadata"),
            },
            Request::Names { asker, stream } => match Stream::from_std(stream) {
                Ok(stream) => {
                    let names = Arc::clone(&names);
                    tokio::spawn(async move { names.serve(&asker, stream).await });
                }
                Err(error) => tracing::error!(%error, nic = asker.nic, "failed to serve names"),
            },
            Request::Lease { port, nic, message } => {
                let domain = dns::domain(source.as_ref(), &nic.id);
                if let (Some(frame), Some(switch)) = (dhcp::answer(&nic, &domain, &message), switch.upgrade()) {
                    switch.send(Command::Send { port, frame });
                }
            }
            Request::Query { port, asker, mac, from, to, question } => {
                let switch = switch.clone();
                let reply = move |reply: &[u8]| {
                    let frame = frame::udp(mac, (*to.ip(), to.port()), (*from.ip(), from.port()), reply);
                    if let (Some(frame), Some(switch)) = (frame, switch.upgrade()) {
                        switch.send(Command::Send { port, frame });
                    }
                };
                match names.at_once(&asker, &question) {
                    Answer::Reply(known) => reply(&known),
                    Answer::Silence => {}
                    Answer::Elsewhere => {
                        let names = Arc::clone(&names);
                        tokio::spawn(async move {
                            if let Some(found) = names.elsewhere(&asker, &question).await {
                                reply(&found);
                            }
                        });
                    }
                }
            }
        }
    }
}
