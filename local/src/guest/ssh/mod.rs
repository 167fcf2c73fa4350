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
mod descriptors;
mod forwarding;
mod greeting;
mod host_key;
mod login;
mod names;
mod process;
mod pty;
mod session;
mod sftp;
mod spool;
mod unix_socket;

pub use counters::{Counters, Counts, PATH as COUNTERS_PATH};
pub use host_key::HostKeys;
pub use login::PATH as SEARCH_PATH;

use super::root::Root;
use connection::{Connection, Startup};
use descriptors::Descriptors;
use russh::{
    MethodKind, MethodSet, Preferred, SshId, cipher, kex,
    keys::{Algorithm, PrivateKey},
    server::Config,
};
use std::{borrow::Cow, io, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, oneshot},
};

/// What it says first. Tools look for `OpenSSH` in it to know that they speak to a Linux host's server, and clients to know what it has:
/// nothing is switched on by it that isn't there, nor off that is. The comment after it says what it is.
const VERSION: &str = concat!("SSH-2.0-OpenSSH_9.2 ec2-local-", env!("CARGO_PKG_VERSION"));
/// sshd's LoginGraceTime: who hasn't logged in by then is cut off.
const LOGIN_GRACE: Duration = Duration::from_secs(120);
/// sshd's MaxStartups: how many may be logging in at a time; anyone who comes on top is turned away.
const MAX_STARTUPS: usize = 100;
/// A client that is gone without a word is noticed after ten of these.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// What all connections share.
struct Shared {
    root: Root,
    counters: Counters,
    descriptors: Descriptors,
}

/// The server, ready to serve.
#[derive(Clone)]
pub struct Server {
    shared: Arc<Shared>,
    keys: HostKeys,
    startups: Arc<Semaphore>,
}

impl Server {
    /// A server for the accounts of the machine.
    pub fn new(root: Root, keys: HostKeys) -> Self {
        let (counters, descriptors) = (Counters::new(root.clone()), Descriptors::of_this_process());
        let shared = Arc::new(Shared { root, counters, descriptors });
        Self { shared, keys, startups: Arc::new(Semaphore::new(MAX_STARTUPS)) }
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
            let (shared, keys) = (self.shared.clone(), self.keys.clone());
            tokio::spawn(async move {
                if let Err(error) = connect(shared, keys, stream, peer, permit).await {
                    tracing::debug!("the connection of {peer} ended: {error}");
                }
            });
        }
    }
}

fn config(keys: Vec<PrivateKey>) -> Config {
    Config {
        server_id: SshId::Standard(Cow::Borrowed(VERSION)),
        methods: MethodSet::from(&[MethodKind::PublicKey][..]),
        // There are no passwords to guess, so a refusal hides nothing by taking long.
        auth_rejection_time: Duration::ZERO,
        auth_rejection_time_initial: Some(Duration::ZERO),
        // OpenSSH's MaxAuthTries.
        max_auth_attempts: 6,
        keys,
        preferred: preferred(),
        inactivity_timeout: None,
        keepalive_interval: Some(KEEPALIVE),
        keepalive_max: 10,
        nodelay: true,
        ..Config::default()
    }
}

/// The library's, with those of NIST's curves and of AES beside, and without signatures over SHA-1, as OpenSSH has it.
fn preferred() -> Preferred {
    let usual = Preferred::DEFAULT;
    let (mut kex, mut cipher) = (usual.kex.to_vec(), usual.cipher.to_vec());
    let after = kex.iter().position(|name| *name == kex::DH_GEX_SHA256).unwrap_or(kex.len());
    kex.splice(after..after, [kex::ECDH_SHA2_NISTP256, kex::ECDH_SHA2_NISTP384, kex::ECDH_SHA2_NISTP521]);
    cipher.push(cipher::AES_128_GCM);
    let key = usual.key.iter().filter(|key| !matches!(key, Algorithm::Rsa { hash: None })).cloned().collect();
    Preferred { kex: kex.into(), cipher: cipher.into(), key, ..usual }
}

async fn connect(
    shared: Arc<Shared>,
    keys: HostKeys,
    stream: TcpStream,
    peer: SocketAddr,
    permit: OwnedSemaphorePermit,
) -> Result<(), russh::Error> {
    stream.set_nodelay(true)?;
    let local = stream.local_addr()?;
    let socket = rustix::io::fcntl_dupfd_cloexec(&stream, 3).map_err(io::Error::from)?;
    let (logged_in, login) = oneshot::channel();
    let connection = Connection::new(shared, peer, local, Startup { permit, logged_in });
    let connecting = async {
        let (stream, prefers_rsa) = greeting::greet(stream, VERSION).await?;
        let keys = if prefers_rsa { keys.all().await } else { keys.made() };
        russh::server::run_stream(Arc::new(config(keys)), stream, connection).await?.await
    };
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
