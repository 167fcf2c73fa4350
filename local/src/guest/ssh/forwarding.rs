//! Connections to the machine that a client wants to have: to ports, to Unix sockets, and to the socket of its own agent.
//!
//! As sshd does by default, a client's ports are the loopback's whatever address it names (GatewayPorts), the lowest are root's, and a
//! socket's file stays when its forward ends (StreamLocalBindUnlink), but for the agent's.

use super::{
    arrivals::Arrivals,
    auth_agent::AuthAgent,
    descriptors::Descriptors,
    names::Lookups,
    session::{self, Outlet, Work},
    spool,
    unix_socket::{self, Processes},
};
use crate::guest::{identity::Identity, root::Root};
use russh::{
    Channel, Error,
    server::{Handle, Msg},
};
use std::{
    collections::HashMap,
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    path::Path,
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinHandle,
};

/// How many connections of a client's may be forwarded at a time, whichever way: more than any client has.
const CONNECTIONS_MAX: usize = 1000;
/// At how many ports and sockets a client may be listened for.
const LISTENERS_MAX: usize = 100;
/// Ports below are root's (IPPORT_RESERVED).
const RESERVED_PORTS: u16 = 1024;
/// What the socket of a client's agent takes: itself, its directory and the one above.
const AGENT_DESCRIPTORS: u32 = 3;

/// Held while a connection is forwarded: one of its client's places, and its descriptors.
pub type Place = (OwnedSemaphorePermit, OwnedSemaphorePermit);

/// What is forwarded for one client; it ends with the value, but for connections that are open.
pub struct Forwards {
    places: Arc<Semaphore>,
    descriptors: Descriptors,
    processes: Processes,
    lookups: Lookups,
    /// What its connections hold of what nobody reads.
    budget: Arc<spool::Budget>,
    arrivals: Arc<Arrivals>,
    listeners: HashMap<Listener, Vec<Listening>>,
    agent: Option<(AuthAgent, Listening)>,
}

/// Where a client is listened for, in its own words.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Listener {
    /// A port at an address.
    Port(String, u32),
    /// A Unix socket.
    Socket(String),
}

/// Accepts until it is dropped.
struct Listening(JoinHandle<()>);

impl Drop for Listening {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Drop for Forwards {
    fn drop(&mut self) {
        self.arrivals.end();
    }
}

impl Forwards {
    /// Nothing yet; its descriptors are to be taken of these.
    pub fn new(descriptors: Descriptors) -> Self {
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let budget = Arc::new(spool::Budget::of_forwards());
        let (processes, arrivals) = (Processes::default(), Arc::default());
        let lookups = Lookups::default();
        Self { places, descriptors, processes, lookups, budget, arrivals, listeners: HashMap::new(), agent: None }
    }

    /// The client's places for lookups of names.
    pub fn lookups(&self) -> Lookups {
        self.lookups.clone()
    }

    /// The client's places for processes that use sockets as the user.
    pub fn processes(&self) -> Processes {
        self.processes.clone()
    }

    /// A spool for what the client sends on a connection.
    pub fn spool(&self) -> (spool::Sender, spool::Receiver) {
        spool::spool_of(self.budget.clone())
    }

    /// A place for a connection that the client asks for, if there is one.
    pub fn place(&self) -> Option<Place> {
        Some((self.places.clone().try_acquire_owned().ok()?, self.descriptors.for_connection()?))
    }

    /// Where the channels come up that the client has confirmed.
    pub fn arrivals(&self) -> &Arrivals {
        &self.arrivals
    }

    /// Listens at a port of the loopback's, or any for 0; at which.
    pub async fn listen_at_port(
        &mut self,
        address: &str,
        port: u32,
        identity: &Identity,
        connection: Handle,
    ) -> io::Result<u32> {
        let port = u16::try_from(port).map_err(|_| io::Error::other("it is no port"))?;
        if (1..RESERVED_PORTS).contains(&port) && identity.uid != 0 {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, "ports below 1024 are root's"));
        }
        self.check_number()?;
        let descriptor = self.descriptors.for_listeners(1)?;
        let first = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let port = first.local_addr()?.port();
        // Where there is no IPv6, or another has the port there, one will do, as for sshd.
        let second = TcpListener::bind((Ipv6Addr::LOCALHOST, port)).await.ok();
        let second = second.zip(self.descriptors.for_listeners(1).ok());
        let opening = Opening::Port(address.to_owned(), port.into());
        let listening = std::iter::once((first, descriptor))
            .chain(second)
            .map(|(listener, descriptor)| {
                self.listen(Source::Port(listener), opening.clone(), connection.clone(), descriptor)
            })
            .collect();
        self.listeners.insert(Listener::Port(address.to_owned(), port.into()), listening);
        Ok(port.into())
    }

    /// Listens at a Unix socket, which is made as the user.
    pub async fn listen_at_socket(&mut self, path: &str, identity: &Identity, connection: Handle) -> io::Result<()> {
        self.check_number()?;
        let descriptor = self.descriptors.for_listeners(1)?;
        let listener = unix_socket::listen(&self.processes, identity.clone(), Path::new(path).to_owned()).await?;
        let listening = self.listen(Source::Socket(listener), Opening::Socket(path.to_owned()), connection, descriptor);
        self.listeners.insert(Listener::Socket(path.to_owned()), vec![listening]);
        Ok(())
    }

    /// Ends it; whether there was any. What follows finds the place free.
    pub async fn cancel(&mut self, listener: &Listener) -> bool {
        let Some(listening) = self.listeners.remove(listener) else { return false };
        for mut one in listening {
            one.0.abort();
            let _ = (&mut one.0).await;
        }
        true
    }

    /// Gives the client's agent a socket in the machine. As with sshd, there is one for all sessions of a connection.
    pub async fn forward_agent(&mut self, root: &Root, identity: &Identity, connection: Handle) -> io::Result<()> {
        if self.agent.is_some() {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "it has one"));
        }
        let descriptors = self.descriptors.for_listeners(AGENT_DESCRIPTORS)?;
        let (agent, listener) = AuthAgent::make(&self.processes, root, identity).await?;
        let listening = self.listen(Source::Socket(listener), Opening::Agent, connection, descriptors);
        self.agent = Some((agent, listening));
        Ok(())
    }

    /// Where the client's agent is (`SSH_AUTH_SOCK`), if it has been forwarded.
    pub fn agent(&self) -> Option<&Path> {
        self.agent.as_ref().map(|(agent, _)| agent.path())
    }

    fn check_number(&self) -> io::Result<()> {
        match self.listeners.len() {
            LISTENERS_MAX.. => Err(io::Error::other(format!("a client may have {LISTENERS_MAX}"))),
            _ => Ok(()),
        }
    }

    fn listen(
        &self,
        source: Source,
        opening: Opening,
        connection: Handle,
        descriptors: OwnedSemaphorePermit,
    ) -> Listening {
        let (places, shared) = (self.places.clone(), self.descriptors.clone());
        let way = Way { opening, connection, arrivals: self.arrivals.clone() };
        Listening(tokio::spawn(async move {
            accept(source, places, shared, way).await;
            drop(descriptors);
        }))
    }
}

enum Source {
    Port(TcpListener),
    Socket(UnixListener),
}

/// What kind of channel is opened for what comes.
#[derive(Clone)]
enum Opening {
    Port(String, u32),
    Socket(String),
    Agent,
}

/// How what comes goes on.
#[derive(Clone)]
struct Way {
    opening: Opening,
    connection: Handle,
    arrivals: Arc<Arrivals>,
}

async fn accept(source: Source, places: Arc<Semaphore>, descriptors: Descriptors, way: Way) {
    // A connection that is one too many waits, as in any server's line.
    while let Ok(place) = places.clone().acquire_owned().await {
        let Some(taken) = descriptors.wait_for_connection().await else { return };
        let accepted = match &source {
            Source::Port(listener) => listener.accept().await.map(|(stream, peer)| (port_work(stream), Some(peer))),
            Source::Socket(listener) => listener.accept().await.map(|(stream, _)| (socket_work(stream), None)),
        };
        match accepted {
            // It isn't ended with the listener: a client that has been asked for a channel expects to be heard.
            Ok((work, peer)) => drop(tokio::spawn(forward(work, peer, way.clone(), (place, taken)))),
            Err(error) => {
                tracing::warn!("failed to accept a connection to be forwarded: {error}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn forward(work: Work, peer: Option<SocketAddr>, way: Way, _place: Place) {
    let _expected = way.arrivals.expect();
    let channel = match open(&way, peer).await {
        Ok(channel) => channel,
        Err(error) => return tracing::debug!("the client takes no connection: {error}"),
    };
    let (id, (_, channel)) = (channel.id(), channel.split());
    let Some((input, closed)) = way.arrivals.take(id).await else { return };
    session::serve(work, input, Outlet { id, channel, connection: way.connection }, closed).await;
}

async fn open(way: &Way, peer: Option<SocketAddr>) -> Result<Channel<Msg>, Error> {
    match &way.opening {
        Opening::Port(address, port) => {
            let peer = peer.unwrap_or_else(|| SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
            let from = peer.ip().to_canonical().to_string();
            way.connection.channel_open_forwarded_tcpip(address, *port, from, peer.port().into()).await
        }
        Opening::Socket(path) => way.connection.channel_open_forwarded_streamlocal(path).await,
        Opening::Agent => way.connection.channel_open_agent().await,
    }
}

/// What a channel does that is a connection to a port.
pub fn port_work(stream: TcpStream) -> Work {
    let _ = stream.set_nodelay(true);
    let (output, input) = stream.into_split();
    work(output, input)
}

/// What a channel does that is a connection to a Unix socket.
pub fn socket_work(stream: UnixStream) -> Work {
    let (output, input) = stream.into_split();
    work(output, input)
}

fn work(output: impl AsyncRead + Send + Unpin + 'static, input: impl AsyncWrite + Send + Unpin + 'static) -> Work {
    Work { input: Box::new(input), output: Box::new(output), errors: None, exit: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_all_clients_may_have_is_shared() {
        let descriptors = Descriptors::half_of(8);
        let (first, second) = (Forwards::new(descriptors.clone()), Forwards::new(descriptors));
        let place = first.place().unwrap();
        let _other = second.place().unwrap();
        assert!(first.place().is_none() && second.place().is_none());
        drop(place);
        assert!(second.place().is_some());
    }

    #[test]
    fn a_client_has_so_many_connections_at_a_time() {
        let forwards = Forwards::new(Descriptors::half_of(1 << 20));
        let mut places: Vec<_> = (0..CONNECTIONS_MAX).map(|_| forwards.place().unwrap()).collect();
        assert!(forwards.place().is_none());
        places.pop();
        assert!(forwards.place().is_some());
    }
}
