//! The thread that answers machines: names, addresses and metadata.
//!
//! It is a thread of its own because the metadata is the account's, which may take a while to say it; meanwhile frames
//! must flow.

use super::{
    MetadataSource, Nic, Shared,
    dhcp::{self, DhcpOptions},
    dns::{self, Answer, Asker, Server as Names},
    engine::Command,
    fair_queue::FairQueue,
    ip, metadata, v6,
};
use std::{
    io,
    net::{Ipv6Addr, SocketAddr},
    os::unix::net::UnixStream,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};
use tokio::{
    net::UnixStream as Stream,
    runtime,
    sync::mpsc::{self, error::TrySendError},
    task::yield_now,
};

/// What a machine wants.
pub(super) enum Request {
    /// A connection to the metadata service.
    Metadata {
        /// Of which NIC.
        nic: String,
        /// Whether it is one of IPv6.
        is_v6: bool,
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
    /// A message to the DHCPv6 server.
    Lease6 {
        /// The port to answer on.
        port: u64,
        /// The NIC behind it.
        nic: Nic,
        /// Whether its VPC has no name server.
        is_nameless: bool,
        /// Who asks, on its link.
        client: Ipv6Addr,
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
        from: SocketAddr,
        /// Whom.
        to: SocketAddr,
        /// What.
        question: Vec<u8>,
    },
}

/// Where requests go.
pub(super) struct Services {
    lines: Waiting,
    /// Tells the thread that there is something, and by its end that nobody asks any more.
    bell: mpsc::Sender<()>,
}

/// The requests that wait, and the turns of their machines.
type Waiting = Arc<Mutex<FairQueue<(Request, Turnstile)>>>;

/// What the requests of a machine have in common.
pub(super) struct Turn {
    machine: u64,
    /// Whose turn it is of all that are asked for on connections. Each request holds one, so that they can be counted.
    one: Turnstile,
}

impl Turn {
    /// The turn of a machine, by its port.
    pub(super) fn of(machine: u64) -> Self {
        Self { machine, one: Turnstile::default() }
    }
}

/// Lets the connections of a machine have what they ask for one after the other, and others of the thread in between:
/// otherwise one that asks much on many connections would hold up all other machines.
#[derive(Clone, Default)]
pub(super) struct Turnstile(Arc<tokio::sync::Mutex<()>>);

impl Turnstile {
    /// Does what is asked for when its turn has come.
    pub(super) async fn pass<R>(&self, work: impl FnOnce() -> R) -> R {
        let _one = self.0.lock().await;
        let result = work();
        yield_now().await;
        result
    }
}

/// How many requests of a machine wait: one that floods loses its own, and no other's.
const WAITING: usize = 64;
/// How many requests and connections of one machine there may be at a time, also of those that it has forgotten already.
const OPEN: usize = 256;

impl Services {
    /// Hands on a request of a machine, unless it has too many.
    pub(super) fn ask(&self, turn: &Turn, request: Request) -> io::Result<()> {
        let open = Arc::strong_count(&turn.one.0) - 1;
        let asked = open < OPEN && lock(&self.lines).push(turn.machine, (request, turn.one.clone()), WAITING);
        // One that is full has been rung.
        let is_heard = !matches!(self.bell.try_send(()), Err(TrySendError::Closed(())));
        if asked && is_heard { Ok(()) } else { Err(io::Error::other("too many requests at once")) }
    }
}

fn lock(lines: &Waiting) -> MutexGuard<'_, FairQueue<(Request, Turnstile)>> {
    // They are whole between any two of their calls.
    lines.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts the thread; it ends when nobody can ask any more.
pub(super) fn start(source: Arc<dyn MetadataSource>, names: Names, switch: Weak<Shared>) -> io::Result<Services> {
    let (bell, rung) = mpsc::channel(1);
    let lines = Waiting::default();
    let clerk = Clerk {
        metadata: metadata::Server::new(Arc::clone(&source)),
        source,
        names: Arc::new(names),
        switch,
        lines: Arc::clone(&lines),
    };
    // The runtime is made where it ends: ending one within another is not allowed, and the caller may be in one.
    let (started, outcome) = std::sync::mpsc::channel();
    std::thread::Builder::new().name("switch-services".to_owned()).spawn(move || {
        match runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => {
                let _ = started.send(Ok(()));
                runtime.block_on(clerk.work(rung));
            }
            Err(error) => drop(started.send(Err(error))),
        }
    })?;
    outcome.recv().map_err(io::Error::other)??;
    Ok(Services { lines, bell })
}

/// Who answers.
struct Clerk {
    source: Arc<dyn MetadataSource>,
    metadata: metadata::Server,
    names: Arc<Names>,
    switch: Weak<Shared>,
    lines: Waiting,
}

impl Clerk {
    async fn work(self, mut rung: mpsc::Receiver<()>) {
        while rung.recv().await.is_some() {
            while let Some((request, one)) = self.next() {
                self.answer(request, one);
                // Those who ask on connections have their turn, too.
                yield_now().await;
            }
        }
    }

    /// What a NIC's machine is told of its network.
    fn told(&self, nic: &Nic) -> DhcpOptions {
        let regional = || DhcpOptions::amazon(dns::domain(self.source.as_ref(), &nic.id));
        self.source.dhcp_options(&nic.id).unwrap_or_else(regional)
    }

    fn next(&self) -> Option<(Request, Turnstile)> {
        lock(&self.lines).pop()
    }

    fn answer(&self, request: Request, one: Turnstile) {
        match request {
            Request::Metadata { nic, is_v6, stream } => match Stream::from_std(stream) {
                Ok(stream) => drop(tokio::spawn(self.metadata.serve(nic, is_v6, stream, one))),
                Err(error) => tracing::error!(%error, nic, "failed to serve the metadata"),
            },
            Request::Names { asker, stream } => match Stream::from_std(stream) {
                Ok(stream) => {
                    let names = Arc::clone(&self.names);
                    tokio::spawn(async move { names.serve(&asker, stream, &one).await });
                }
                Err(error) => tracing::error!(%error, nic = asker.nic, "failed to serve names"),
            },
            Request::Lease { port, nic, message } => {
                let told = self.told(&nic);
                if let (Some(frame), Some(switch)) = (dhcp::answer(&nic, &told, &message), self.switch.upgrade()) {
                    switch.send(Command::Send { port, frame });
                }
            }
            Request::Lease6 { port, nic, is_nameless, client, message } => {
                let told = self.told(&nic);
                let frame = v6::dhcp::answer(&nic, &told, is_nameless, client, &message);
                if let (Some(frame), Some(switch)) = (frame, self.switch.upgrade()) {
                    switch.send(Command::Send { port, frame });
                }
            }
            Request::Query { port, asker, mac, from, to, question } => {
                let switch = self.switch.clone();
                let reply = move |reply: &[u8]| {
                    let frame = ip::udp(mac, to, from, reply);
                    if let (Some(frame), Some(switch)) = (frame, switch.upgrade()) {
                        switch.send(Command::Send { port, frame });
                    }
                };
                match self.names.at_once(&asker, &question) {
                    Answer::Reply(known) => reply(&known),
                    Answer::Silence => {}
                    Answer::Elsewhere(question) => {
                        let names = Arc::clone(&self.names);
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
    use crate::network::{Metadata, public::Publics};
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        time::Duration,
    };

    /// An account that takes its time, and notes who has asked.
    #[derive(Default)]
    struct Slow(Mutex<Vec<String>>);

    impl Slow {
        fn asked(&self) -> Vec<String> {
            self.0.lock().unwrap().clone()
        }
    }

    impl MetadataSource for Slow {
        fn metadata(&self, nic: &str) -> Option<Metadata> {
            self.0.lock().unwrap().push(nic.to_owned());
            std::thread::sleep(Duration::from_millis(2));
            None
        }
    }

    #[test]
    fn sixteen_that_flood_lose_their_own_questions_and_a_seventeenth_has_its_turn() {
        let source = Arc::new(Slow::default());
        let names = Names::new(source.clone(), Publics::default(), None);
        let services = start(source.clone(), names, Weak::new()).unwrap();
        let question = b"\x00\x07\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\
            \x015\x010\x010\x0210\x07in-addr\x04arpa\x00\x00\x0c\x00\x01";
        let ask = |turn: &Turn, nic: &str| {
            let asker = Asker { nic: nic.to_owned(), vpc: "vpc-1".to_owned() };
            let [from, to] = [(5, 9), (2, 53)].map(|(last, port)| SocketAddr::from(([10, 0, 0, last], port)));
            let question = question.to_vec();
            services.ask(turn, Request::Query { port: 1, asker, mac: [2; 6], from, to, question })
        };
        let flooders: Vec<_> = (1..=16).map(Turn::of).collect();
        let lost: usize = (0..100).map(|_| flooders.iter().filter(|turn| ask(turn, "flooder").is_err()).count()).sum();
        assert!(lost > 0);
        let asked = source.asked().len();
        assert!(ask(&Turn::of(17), "honest").is_ok());
        let found = loop {
            let found = source.asked().iter().position(|nic| nic == "honest");
            if let Some(found) = found {
                break found;
            }
            std::thread::sleep(Duration::from_millis(1));
        };
        // The one that is being answered, and one of each.
        assert!(found <= asked + 2 * 17, "{found} were before it, {asked} of them already");
    }

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
