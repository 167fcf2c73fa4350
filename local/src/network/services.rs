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
use tokio::{
    net::UnixStream as Stream,
    runtime,
    sync::{Mutex, mpsc},
    task::yield_now,
};

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

/// What the requests of a machine have in common.
#[derive(Clone, Default)]
pub(super) struct Turn {
    /// Each request holds one of it while it waits, so that they can be counted.
    waiting: Arc<()>,
    /// Whose turn it is of all that are asked for on connections.
    one: Turnstile,
}

/// Lets the connections of a machine have what they ask for one after the other, and others of the thread in between:
/// otherwise one that asks much on many connections would hold up all other machines.
#[derive(Clone, Default)]
pub(super) struct Turnstile(Arc<Mutex<()>>);

impl Turnstile {
    /// Does what is asked for when its turn has come.
    pub(super) async fn pass<R>(&self, work: impl FnOnce() -> R) -> R {
        let _one = self.0.lock().await;
        let result = work();
        yield_now().await;
        result
    }
}

/// How many requests wait at most.
const WAITING: usize = 1024;
/// And of one machine: one that floods loses its own, and no other's.
const WAITING_OF_ONE: usize = 64;
/// How many requests and connections of one machine there may be at a time, also of those that it has forgotten already.
const OPEN_OF_ONE: usize = 256;

impl Services {
    /// Hands on a request of a machine, unless there are too many.
    pub(super) fn ask(&self, turn: &Turn, request: Request) -> io::Result<()> {
        let waiting = Arc::strong_count(&turn.waiting) - 1;
        let open = Arc::strong_count(&turn.one.0) - 1;
        let has_room = waiting < WAITING_OF_ONE && open < OPEN_OF_ONE;
        let asked = has_room && self.0.try_send((request, turn.clone())).is_ok();
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
    while let Some((request, Turn { waiting: _waiting, one })) = inbox.recv().await {
        match request {
            Request::Metadata { nic, stream } => match Stream::from_std(stream) {
                Ok(stream) => drop(tokio::spawn(server.serve(nic, stream, one))),
                Err(error) => tracing::error!(%error, nic, "failed to serve the metadata"),
            },
            Request::Names { asker, stream } => match Stream::from_std(stream) {
                Ok(stream) => {
                    let names = Arc::clone(&names);
                    tokio::spawn(async move { names.serve(&asker, stream, &one).await });
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
                    Answer::Elsewhere(question) => {
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[tokio::test(flavor = "current_thread")]
    async fn a_machine_on_many_connections_has_one_turn_at_a_time() {
        const TURNS: usize = 10;
        let (one, done) = (Turnstile::default(), Arc::new(AtomicUsize::new(0)));
        for _ in 0..50 {
            let (one, done) = (one.clone(), Arc::clone(&done));
            tokio::spawn(async move {
                loop {
                    one.pass(|| done.fetch_add(1, Ordering::Relaxed)).await;
                }
            });
        }
        for _ in 0..TURNS {
            yield_now().await;
        }
        let done = done.load(Ordering::Relaxed);
        assert!((1..=2 * TURNS).contains(&done), "{done} things while somebody else had {TURNS} turns");
    }
}
