//! The machine's SSH server: what a machine on AWS has from its distribution's OpenSSH, on a host that may have none.
//!
//! It follows sshd in what a client or a user can notice: logging in by public key, the environment, process groups,
//! what a closed connection does to a process (a terminal hangs up; without one its streams close), the order in which an
//! exit is told. It is not configurable, and reads no `sshd_config`.

mod arrivals;
mod auth_agent;
mod authorized_keys;
mod connection;
mod counters;
mod forwarding;
mod host_key;
mod login;
mod process;
mod pty;
mod session;
mod sftp;
mod spool;
mod unix_socket;

pub use counters::{Counters, Counts, PATH as COUNTERS_PATH};
pub use host_key::HostKey;
pub use login::PATH as SEARCH_PATH;

use super::root::Root;
use connection::{Connection, Startup};
use russh::{MethodKind, MethodSet, SshId, server::Config};
use std::{borrow::Cow, io, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, oneshot},
};

/// sshd's LoginGraceTime: who hasn't logged in by then is cut off.
const LOGIN_GRACE: Duration = Duration::from_secs(120);
/// sshd's MaxStartups: how many may be logging in at a time; whoever comes on top is turned away.
const MAX_STARTUPS: usize = 100;
/// A client that is gone without a word is noticed after ten of these.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// What all connections share.
struct Shared {
    root: Root,
    counters: Counters,
}

/// The server, ready to serve.
pub struct Server {
    shared: Arc<Shared>,
    config: Arc<Config>,
    startups: Arc<Semaphore>,
}

impl Server {
    /// A server for the accounts of the machine.
    pub fn new(root: Root, key: &HostKey) -> Self {
        let config = Config {
            server_id: SshId::Standard(Cow::Borrowed(concat!("SSH-2.0-ec2-local_", env!("CARGO_PKG_VERSION")))),
            methods: MethodSet::from(&[MethodKind::PublicKey][..]),
            // There are no passwords to guess, so a refusal hides nothing by taking long.
            auth_rejection_time: Duration::ZERO,
            auth_rejection_time_initial: Some(Duration::ZERO),
            // OpenSSH's MaxAuthTries.
            max_auth_attempts: 6,
            keys: vec![key.private().clone()],
            inactivity_timeout: None,
            keepalive_interval: Some(KEEPALIVE),
            keepalive_max: 10,
            nodelay: true,
            ..Config::default()
        };
        let shared = Arc::new(Shared { root: root.clone(), counters: Counters::new(root) });
        Self { shared, config: Arc::new(config), startups: Arc::new(Semaphore::new(MAX_STARTUPS)) }
    }

    /// Serves for ever.
    pub async fn serve(self, listener: TcpListener) -> io::Result<()> {
        // Also the file is there from the beginning.
        self.shared.counters.count(|_| {});
        loop {
            let (stream, peer) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of descriptors, or a client that was gone at once: both pass.
                    tracing::warn!("failed to accept a connection: {error}");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            self.shared.counters.count(|counts| counts.connections += 1);
            let Ok(permit) = self.startups.clone().try_acquire_owned() else { continue };
            let (shared, config) = (self.shared.clone(), self.config.clone());
            tokio::spawn(async move {
                if let Err(error) = connect(shared, config, stream, peer, permit).await {
                    tracing::debug!("the connection of {peer} ended: {error}");
                }
            });
        }
    }
}

async fn connect(
    shared: Arc<Shared>,
    config: Arc<Config>,
    stream: TcpStream,
    peer: SocketAddr,
    permit: OwnedSemaphorePermit,
) -> Result<(), russh::Error> {
    stream.set_nodelay(true)?;
    let local = stream.local_addr()?;
    let socket = rustix::io::fcntl_dupfd_cloexec(&stream, 3).map_err(io::Error::from)?;
    let (logged_in, login) = oneshot::channel();
    let connection = Connection::new(shared, peer, local, Startup { permit, logged_in });
    let connecting = async { russh::server::run_stream(config, stream, connection).await?.await };
    tokio::pin!(connecting);
    tokio::select! {
        ended = &mut connecting => return ended,
        _ = login => {}
        () = tokio::time::sleep(LOGIN_GRACE) => {
            // The library has no way to end a key exchange that the client doesn't go on with.
            let _ = rustix::net::shutdown(&socket, rustix::net::Shutdown::Both);
        }
    }
    connecting.await
}
