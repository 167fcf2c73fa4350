//! Answering machines: at once where it can be, else as soon as the host's resolvers do.

use super::{
    Answer, NAME_ERROR, SERVER_FAILURE, Zone, answer, failure,
    forward::{self, NoAnswer, Transport},
    resolvers::Resolvers,
};
use crate::network::{MetadataSource, public::Publics, services::Turnstile};
use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr},
    path::Path,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};
use tokio::{net::UnixStream, sync::Semaphore, time};

/// How many questions of one NIC may be on their way to the host's resolvers; one more is not answered, and asked again.
const ASKED: usize = 64;
/// A connection on which nothing is asked for so long is closed (RFC 7766, 6.2.3).
const PATIENCE: Duration = Duration::from_secs(10);

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::network) struct Asker {
    /// The NIC.
    pub(in crate::network) nic: String,
    /// Its VPC.
    pub(in crate::network) vpc: String,
}

/// The name server of all VPCs.
pub(in crate::network) struct Server {
    source: Arc<dyn MetadataSource>,
    publics: Publics,
    resolvers: Option<Resolvers>,
    asked: Mutex<HashMap<String, Weak<Semaphore>>>,
}

impl Server {
    /// A name server that asks the resolvers of a file, or nobody.
    pub(in crate::network) fn new(source: Arc<dyn MetadataSource>, publics: Publics, resolvers: Option<&Path>) -> Self {
        Self { source, publics, resolvers: resolvers.map(Resolvers::of), asked: Mutex::default() }
    }

    /// What is said to a datagram.
    pub(in crate::network) fn at_once(&self, asker: &Asker, message: &[u8]) -> Answer {
        let answer = answer(message, &View { server: self, asker });
        match (&answer, &self.resolvers) {
            (Answer::Elsewhere(_), None) => Answer::Reply(failure(message, NAME_ERROR)),
            _ => answer,
        }
    }

    /// What the host's resolvers say to a plain question in a datagram; `None` if its machine asks too much at once.
    pub(in crate::network) async fn elsewhere(&self, asker: &Asker, question: &[u8]) -> Option<Vec<u8>> {
        let asked = self.asked_by(&asker.nic);
        let _one = asked.try_acquire().ok()?;
        Some(self.forward(question, Transport::Udp).await)
    }

    /// Serves a connection.
    pub(in crate::network) async fn serve(&self, asker: &Asker, mut stream: UnixStream, one: &Turnstile) {
        while let Ok(Ok(message)) = time::timeout(PATIENCE, forward::read(&mut stream)).await {
            let reply = match one.pass(|| self.at_once(asker, &message)).await {
                Answer::Reply(reply) => reply,
                Answer::Silence => return,
                Answer::Elsewhere(question) => {
                    let asked = self.asked_by(&asker.nic);
                    // It has nothing else to wait for on this connection; nobody closes the semaphore.
                    let Ok(_one) = asked.acquire().await else { return };
                    self.forward(&question, Transport::Tcp).await
                }
            };
            if !matches!(time::timeout(PATIENCE, forward::write(&mut stream, &reply)).await, Ok(Ok(()))) {
                return;
            }
        }
    }

    async fn forward(&self, question: &[u8], transport: Transport) -> Vec<u8> {
        let asked = match &self.resolvers {
            Some(resolvers) => forward::ask(resolvers, question, transport).await,
            None => Err(NoAnswer::NoResolver),
        };
        asked.unwrap_or_else(|why| match why {
            // A resolver that is only silent is asked again by some programs, for a long time; there is no sense in it
            // where there is none.
            NoAnswer::NoResolver => failure(question, NAME_ERROR),
            NoAnswer::Silence => failure(question, SERVER_FAILURE),
        })
    }

    fn asked_by(&self, nic: &str) -> Arc<Semaphore> {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = asked.get(nic).and_then(Weak::upgrade) {
            return known;
        }
        asked.retain(|_, semaphore| semaphore.strong_count() > 0);
        let new = Arc::new(Semaphore::new(ASKED));
        asked.insert(nic.to_owned(), Arc::downgrade(&new));
        new
    }
}

/// The names as one NIC sees them.
struct View<'a> {
    server: &'a Server,
    asker: &'a Asker,
}

impl Zone for View<'_> {
    fn domain(&self) -> String {
        super::domain(self.server.source.as_ref(), &self.asker.nic)
    }

    fn public(&self, address: Ipv4Addr) -> Option<Ipv4Addr> {
        let public = self.server.publics.find(address)?;
        Some(if public.vpc == self.asker.vpc { public.private } else { address })
    }

    fn resource(&self, instance: &str) -> Option<Vec<IpAddr>> {
        self.server.source.resource_name(&self.asker.nic, instance)
    }
}
