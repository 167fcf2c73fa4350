//! Port 22 of the machines' public addresses, on the host: as on EC2, `ssh` needs nothing but the address.
//!
//! The addresses are of 127.0.0.0/8, which need no set-up; but only root may bind such a port. Where that is refused
//! nobody listens, and `ec2-local ssh-config` says how to get there all the same. A server that listens at port 22 of all addresses
//! of the host, as its own SSH server does, has that of the machines', too: the kernel lets nobody else have it, unless both
//! want it so (ip(7), socket(7)). As an answer there that isn't the machine's misleads, it is said wherever one would look.
//!
//! Anybody on the host may connect, as anybody on the internet may to a machine at AWS. Since it is the machine that knows who
//! logs in, other users than the endpoint's have few connections in all, from when they are accepted to when they end.

use crate::{
    network::{Change, Connection, Switch},
    peer::{self, Place, Places, User},
};
use std::{
    collections::HashMap,
    io,
    net::{Ipv4Addr, SocketAddrV4},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time,
};

/// The port of the SSH server.
const SSH: u16 = 22;

/// How long a machine may take from its network to its SSH server, and the pause between two attempts.
const UP_WITHIN: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(20);

/// How many connections at this port a machine has from the endpoint's own user: fewer than it may have from the host, so that the
/// way in always has some,
const OWN: usize = 768;
/// from each other user,
const EACH: usize = 8;
/// and from all of them together: less than half of those that its SSH server lets be logging in at a time.
const OTHERS: usize = 32;
/// How many connections other users have to all machines: each takes a file of the endpoint's.
const OTHERS_EVERYWHERE: usize = 256;

/// The public addresses at which somebody listens.
pub(super) struct PublicAddresses {
    /// By network interface.
    listening: Mutex<HashMap<String, Listening>>,
    /// Those at which somebody else does, and of which that was said, by network interface.
    others: Mutex<HashMap<String, Ipv4Addr>>,
    everywhere: Arc<Places>,
}

impl Default for PublicAddresses {
    fn default() -> Self {
        let everywhere = Places::new(usize::MAX, OTHERS_EVERYWHERE, OTHERS_EVERYWHERE);
        Self { listening: Mutex::default(), others: Mutex::default(), everywhere }
    }
}

/// A public address; nobody listens there any more once this is dropped.
struct Listening {
    address: Ipv4Addr,
    task: JoinHandle<()>,
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl PublicAddresses {
    /// Listens where an interface has got an address, and no longer where it has lost it; within a tokio runtime. Gives the
    /// address back, once, if another server answers there.
    pub(super) fn follow(&self, change: &Change, switch: &Switch) -> Option<Ipv4Addr> {
        let Change::NetworkInterface { id, attributes } = change else { return None };
        let address = attributes.as_ref().and_then(|attributes| attributes.public_address);
        let mut listening = self.listening.lock().unwrap_or_else(PoisonError::into_inner);
        if listening.get(id).map(|listening| listening.address) == address {
            return None;
        }
        listening.remove(id);
        let mut others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        let before = others.remove(id);
        let address = address?;
        let listener = listen(address);
        let is_others = listener.is_err() && peer::is_listened_at(SocketAddrV4::new(address, SSH));
        if is_others {
            others.insert(id.clone(), address);
        }
        match listener {
            Ok(listener) => {
                let task = tokio::spawn(serve(address, listener, switch.clone(), id.clone(), self.everywhere.clone()));
                listening.insert(id.clone(), Listening { address, task });
            }
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {}
            Err(e) => tracing::warn!("failed to listen on {address}:{SSH} for {id}: {e}"),
        }
        (is_others && before != Some(address)).then_some(address)
    }
}

/// What to say on the console of a machine at whose address another server answers.
pub(super) fn warning(address: Ipv4Addr) -> String {
    format!("at {address}:{SSH} another server of this host answers, and not this machine; {ADVICE}")
}

/// How to reach a machine all the same.
const ADVICE: &str = "`ec2-local ssh-config` tells how `ssh` gets to machines, by their addresses, too";
/// An address of the kind, and nobody's.
const ANY: Ipv4Addr = Ipv4Addr::new(127, 255, 255, 254);

fn listen(address: Ipv4Addr) -> io::Result<TcpListener> {
    match peer::listen((address, SSH)) {
        Err(e) if e.kind() == io::ErrorKind::AddrInUse => peer::listen_beside(SocketAddrV4::new(address, SSH)),
        other => other,
    }
}

/// What to say when an endpoint begins, if another server answers at port 22 of all machines' public addresses. Within a tokio
/// runtime.
pub(super) fn general_warning() -> Option<String> {
    let is_others = peer::is_listened_at(SocketAddrV4::new(ANY, SSH)) && listen(ANY).is_err();
    is_others.then(|| {
        format!(
            "at port {SSH} of machines' public addresses another server of this host answers, and not they; {ADVICE}"
        )
    })
}

/// Who answers at port 22 of machines' public addresses that this user runs, in words.
pub fn describe_ssh() -> String {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
    let (can_listen, warning) = runtime.map_or((false, None), |runtime| {
        let _entered = runtime.enter();
        (listen(ANY).is_ok(), general_warning())
    });
    match warning {
        Some(warning) => format!("note: {warning}"),
        None if can_listen => format!("at port {SSH} of machines' public addresses they answer"),
        None => format!("at port {SSH} of machines' public addresses nobody answers; {ADVICE}"),
    }
}

async fn serve(address: Ipv4Addr, listener: TcpListener, switch: Switch, nic: String, everywhere: Arc<Places>) {
    let places = Places::new(OWN, EACH, OTHERS);
    loop {
        match listener.accept().await {
            Ok((stream, client)) => {
                let user = User::of(client, (address, SSH).into());
                // Also while it waits for a machine that boots.
                match places.take(user).zip(everywhere.take(user)) {
                    Some(taken) => drop(tokio::spawn(join(stream, switch.clone(), nic.clone(), taken.into()))),
                    None => peer::refuse(&stream),
                }
            }
            Err(e) => {
                // Out of descriptors, most likely; others may be closed meanwhile.
                tracing::warn!("port {SSH} of {nic} can't accept: {e}");
                time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Joins a connection to the machine's; one that the machine or its security groups don't want is reset. It has its places until
/// it has ended.
async fn join(stream: TcpStream, switch: Switch, nic: String, places: [Place; 2]) {
    let joined = match open(&switch, &nic).await {
        Ok(connection) => {
            let host = stream.set_nodelay(true).and_then(|()| stream.into_std());
            host.map(|host| connection.join_holding(host, places))
        }
        Err(e) => {
            peer::refuse(&stream);
            Err(e)
        }
    };
    if let Err(e) = joined {
        tracing::debug!("failed to {e}");
    }
}

/// Connects to the machine. One that boots refuses for a moment, and clients who take a refusal for what it is there, and try
/// again, take the reset that they would see here for the end: pycloudlib's paramiko does.
async fn open(switch: &Switch, nic: &str) -> io::Result<Connection> {
    let since = Instant::now();
    loop {
        match switch.open(nic, SSH).await {
            Err(e) if e.kind() == io::ErrorKind::ConnectionRefused && since.elapsed() < UP_WITHIN => {
                time::sleep(PAUSE).await;
            }
            opened => return opened,
        }
    }
}
