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
    sync::{Arc, Mutex, MutexGuard, PoisonError},
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
    listening: Mutex<HashMap<Ipv4Addr, Listening>>,
    /// Those at which somebody else does, and of which that was said, with their network interfaces.
    others: Mutex<HashMap<Ipv4Addr, String>>,
    everywhere: Arc<Places>,
}

impl Default for PublicAddresses {
    fn default() -> Self {
        let everywhere = Places::new(usize::MAX, OTHERS_EVERYWHERE, OTHERS_EVERYWHERE);
        Self { listening: Mutex::default(), others: Mutex::default(), everywhere }
    }
}

/// Who has a public address: a network interface, and which of its private addresses; `None` is the primary one.
#[derive(Clone)]
struct Holder {
    nic: String,
    private: Option<Ipv4Addr>,
}

/// A public address; nobody listens there any more once this is dropped.
struct Listening {
    holder: Arc<Mutex<Holder>>,
    task: JoinHandle<()>,
}

impl Listening {
    fn holder(&self) -> MutexGuard<'_, Holder> {
        self.holder.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The public addresses of an interface, of which something has changed.
struct Held<'a> {
    nic: &'a str,
    addresses: Vec<(Ipv4Addr, Option<Ipv4Addr>)>,
}

impl<'a> Held<'a> {
    fn of(change: &'a Change) -> Option<Self> {
        let Change::NetworkInterface { id, attributes } = change else { return None };
        let attributes = attributes.as_ref();
        let primary = attributes.and_then(|attributes| attributes.public_address).map(|address| (address, None));
        let secondary = attributes.into_iter().flat_map(|attributes| &attributes.secondary);
        let secondary = secondary.filter_map(|it| Some((it.public_address?, Some(it.address))));
        Some(Self { nic: id, addresses: primary.into_iter().chain(secondary).collect() })
    }
}

impl PublicAddresses {
    /// Listens where interfaces have got addresses, and no longer where they have lost them; within a tokio runtime. Gives those
    /// addresses back, once, at which another server answers. An address that has gone from one interface to another is listened at
    /// all the time.
    pub(super) fn follow(&self, changes: &[Change], switch: &Switch) -> Vec<Ipv4Addr> {
        let held: Vec<Held<'_>> = changes.iter().filter_map(Held::of).collect();
        if held.is_empty() {
            return Vec::new();
        }
        let mut listening = self.listening.lock().unwrap_or_else(PoisonError::into_inner);
        let mut others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        let mut fresh = Vec::new();
        for held in &held {
            for (public, private) in &held.addresses {
                let holder = Holder { nic: held.nic.to_owned(), private: *private };
                match listening.get(public) {
                    Some(known) => *known.holder() = holder,
                    None => fresh.push((*public, holder)),
                }
            }
        }
        let stays = |public: &Ipv4Addr, nic: &str| {
            let of_nic = held.iter().find(|held| held.nic == nic);
            of_nic.is_none_or(|held| held.addresses.iter().any(|(known, _)| known == public))
        };
        listening.retain(|public, known| stays(public, &known.holder().nic));
        others.retain(|public, nic| stays(public, nic));
        let mut said = Vec::new();
        for (address, holder) in fresh {
            let listener = listen(address);
            let is_others = listener.is_err() && peer::is_listened_at(SocketAddrV4::new(address, SSH));
            if !is_others {
                others.remove(&address);
            } else if others.insert(address, holder.nic.clone()).is_none() {
                said.push(address);
            }
            match listener {
                Ok(listener) => {
                    let holder = Arc::new(Mutex::new(holder));
                    let serving = serve(address, listener, switch.clone(), holder.clone(), self.everywhere.clone());
                    listening.insert(address, Listening { holder, task: tokio::spawn(serving) });
                }
                Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {}
                Err(e) => tracing::warn!("failed to listen on {address}:{SSH} for {}: {e}", holder.nic),
            }
        }
        said
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

async fn serve(
    address: Ipv4Addr,
    listener: TcpListener,
    switch: Switch,
    holder: Arc<Mutex<Holder>>,
    everywhere: Arc<Places>,
) {
    let holder = || holder.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let places = Places::new(OWN, EACH, OTHERS);
    loop {
        match listener.accept().await {
            Ok((stream, client)) => {
                let user = User::of(client, (address, SSH).into());
                // Also while it waits for a machine that boots.
                match places.take(user).zip(everywhere.take(user)) {
                    Some(taken) => drop(tokio::spawn(join(stream, switch.clone(), holder(), taken.into()))),
                    None => peer::refuse(&stream),
                }
            }
            Err(e) => {
                // Out of descriptors, most likely; others may be closed meanwhile.
                tracing::warn!("port {SSH} of {address} can't accept: {e}");
                time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Joins a connection to the machine's; one that the machine or its security groups don't want is reset. It has its places until
/// it has ended.
async fn join(stream: TcpStream, switch: Switch, holder: Holder, places: [Place; 2]) {
    let joined = match open(&switch, &holder).await {
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

/// Connects to the machine. One that boots refuses for a moment, and one that reboots is off its network, where EC2 says nothing;
/// clients who would try again there take the reset that they would see here for the end: pycloudlib's paramiko does.
async fn open(switch: &Switch, holder: &Holder) -> io::Result<Connection> {
    let since = Instant::now();
    loop {
        match switch.open_at(&holder.nic, holder.private, SSH).await {
            Err(e) if is_on_its_way(e.kind()) && since.elapsed() < UP_WITHIN => time::sleep(PAUSE).await,
            opened => return opened,
        }
    }
}

fn is_on_its_way(refusal: io::ErrorKind) -> bool {
    matches!(refusal, io::ErrorKind::ConnectionRefused | io::ErrorKind::NotConnected)
}
