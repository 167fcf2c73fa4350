//! The network of the local EC2: one switch in user space, names, the metadata service, the way in and the way out.
//!
//! Every NIC is a port that carries Ethernet frames; nothing here touches the host's routes, bridges or firewall.
//!
//! | file | what it is for |
//! |---|---|
//! | `engine` | the one thread: waits for ports, flows and commands, and moves what is ready |
//! | `port` | frames in and out of a descriptor |
//! | `receive_budget` | what a machine pays for frames that it takes slowly |
//! | `batch` | TCP segments that go to a machine as one frame |
//! | `router` | what becomes of a frame: pure, without I/O |
//! | `frame` | the frames that the switch itself makes: ARP, ICMP, UDP |
//! | `ip` | what is the same for packets of both families |
//! | `outside` | the way out: TCP and UDP over the host's own sockets |
//! | `public` | machines that reach each other at their public addresses |
//! | `nat` | machines behind NAT gateways, which reach others at their public addresses: pure |
//! | `filter` | what a NIC's security groups let in and out: pure, too |
//! | `acl` | what network ACLs let pass at the border of a subnet: pure |
//! | `route` | where a subnet's routes lead: pure |
//! | `sizes` | how large packets may be that pass an internet gateway |
//! | `pieces` | packets that are cut, and put together |
//! | `policy` | what the account has told of groups and interfaces |
//! | `neighbours` | the machines of a VPC |
//! | `link` | a NIC that is plugged in: its port, behind its filter |
//! | `stack` | the TCP of one NIC towards everything that is no machine |
//! | `flow` | one TCP connection of a machine, joined to a stream of the host |
//! | `lines` | what machines want, each in its own line |
//! | `services` | the thread that answers machines: names, addresses and metadata, which may take a while |
//! | `opening` | a connection that a machine has not answered yet |
//! | `wire` | what a stack takes for its network device |
//! | `v6` | IPv6: neighbours, routers, addresses |
//! | `watched` | a descriptor that an epoll instance watches while it is held |
//! | `dhcp` | the DHCP server |
//! | `dns` | the names of a VPC, and those that the host's resolvers know |
//! | `metadata` | the metadata service, version 1 and 2 |
//!
//! A machine that is reached from the host sees the connection come from 203.0.113.0/24 (TEST-NET-3, RFC 5737), as if
//! from the internet. To its security groups the host is both that network and 127.0.0.1: a rule for either lets it in.
//!
//! What this room isn't: a holder of state. Which NIC has which address, and what its metadata is, it is told.

mod acl;
mod batch;
mod dhcp;
mod dns;
mod engine;
mod fair_queue;
mod filter;
mod flow;
mod frame;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod ip;
mod link;
mod metadata;
mod nat;
mod neighbours;
mod opening;
mod outside;
mod pieces;
mod policy;
mod port;
mod public;
mod receive_budget;
mod route;
mod router;
mod services;
mod sizes;
mod stack;
mod v6;
mod watched;
mod wire;

pub use acl::AclRule;
pub use dhcp::DhcpOptions;
pub use filter::{Direction, Peer, Rule, Traffic};
pub use outside::{Outside, PrivateNetwork};
pub use policy::{Attributes, Change, Secondary};
pub use route::{Route, Via};

use engine::{Command, Engine};
use opening::Outcome;
use public::Publics;
use serde::{Deserialize, Serialize};
use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::{fd::OwnedFd, unix::net::UnixStream},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    time::Duration,
};
use tokio::sync::oneshot;

/// What the switch must know of a network interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nic {
    /// `eni-…`; unique in the endpoint.
    pub id: String,
    /// `vpc-…`; ports of different VPCs don't hear each other, and may have the same addresses.
    pub vpc: String,
    /// The MAC address.
    pub mac: [u8; 6],
    /// The private addresses, the primary one first.
    pub addresses: Vec<Ipv4Addr>,
    /// The subnet's address and prefix length; its second address is the router's.
    pub subnet: (Ipv4Addr, u8),
    /// The IPv6 addresses.
    #[serde(default)]
    pub ipv6: Vec<Ipv6Addr>,
    /// The subnet's IPv6 address and prefix length, if it has one.
    #[serde(default)]
    pub subnet6: Option<(Ipv6Addr, u8)>,
}

impl Nic {
    /// The router's address on the link of every NIC that has IPv6.
    pub const ROUTER6: Ipv6Addr = v6::GATEWAY;

    /// The addresses of both families.
    fn all_addresses(&self) -> impl Iterator<Item = IpAddr> {
        let v6 = self.ipv6.iter().copied().map(IpAddr::V6);
        self.addresses.iter().copied().map(IpAddr::V4).chain(v6)
    }
}

/// What the metadata service serves to one instance.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Metadata {
    /// `HttpEndpoint=enabled`.
    pub enabled: bool,
    /// `HttpProtocolIpv6=enabled`: it answers at its IPv6 address, too.
    pub ipv6: bool,
    /// `HttpTokens=required`: version 2 only.
    pub token_required: bool,
    /// What stands below `/latest/`: full path (`meta-data/placement/region`, `dynamic/instance-identity/document`) to content.
    /// Listings are derived from the paths. Slashes within a name don't occur. `meta-data/public-keys/0/key-name` names
    /// the key pair in the listing of keys (`0=name`), and isn't served; without it the key's comment does.
    pub tree: Vec<(String, String)>,
    /// `/latest/user-data`; answered with 404 if absent.
    pub user_data: Option<Vec<u8>>,
}

impl Metadata {
    /// The domain of the instance's private name.
    fn domain(&self) -> Option<String> {
        let (_, name) = self.tree.iter().find(|(path, _)| path == "meta-data/local-hostname")?;
        let (_, domain) = name.trim().split_once('.')?;
        Some(domain.to_owned()).filter(|domain| !domain.is_empty())
    }
}

/// Where the metadata comes from: the account.
pub trait MetadataSource: Send + Sync + 'static {
    /// The metadata of the instance that holds the NIC, as of now.
    fn metadata(&self, nic: &str) -> Option<Metadata>;

    /// The domain of the private name of the instance that holds the NIC. Default: the metadata's; it is asked for often, so
    /// anyone who knows it by less says so.
    fn domain(&self, nic: &str) -> Option<String> {
        self.metadata(nic)?.domain()
    }

    /// What the machine that holds the NIC is told of its network. Default: EC2's own name server, and the domain of its
    /// private name.
    fn dhcp_options(&self, _nic: &str) -> Option<DhcpOptions> {
        None
    }

    /// The addresses that the resource name of an instance, `i-….ec2.internal`, means to the machine that holds the NIC; `None`
    /// where it is no name. Default: none.
    fn resource_name(&self, _nic: &str, _instance: &str) -> Option<Vec<IpAddr>> {
        None
    }

    /// What proves an instance identity document: paths below `/latest/` and their contents, as in [`Metadata::tree`]. Asked for where
    /// such a path is, since it takes a while. Default: nothing.
    fn identity(&self, _document: &str) -> Vec<(String, String)> {
        Vec::new()
    }

    /// Whether the service answers the instance of a NIC by now; until then it says that it is unavailable. Default: it does.
    fn is_ready(&self, _nic: &str) -> bool {
        true
    }
}

/// The network from which machines see connections from the host come: TEST-NET-3 (RFC 5737), and its prefix length.
pub const OUTSIDE: (Ipv4Addr, u8) = (Ipv4Addr::new(203, 0, 113, 0), 24);

/// How long [`Switch::connect`] and [`Switch::open`] wait for a machine that doesn't answer.
pub const CONNECT_DEADLINE: Duration = Duration::from_secs(10);

/// The switch of an endpoint; a handle, cheap to clone. Its threads end with the last handle, and whatever is plugged in
/// is unplugged then.
#[derive(Clone)]
pub struct Switch {
    shared: Arc<Shared>,
}

impl Switch {
    /// Starts the switch's threads: one that moves frames, one that answers for names and metadata. Nothing leads outside.
    ///
    /// # Errors
    /// If the system refuses a thread or a descriptor.
    pub fn start(metadata: Arc<dyn MetadataSource>) -> io::Result<Self> {
        Self::start_with(metadata, None)
    }

    /// Starts a switch whose machines reach the outside over this host's sockets, and its resolvers.
    ///
    /// # Errors
    /// If the system refuses a thread or a descriptor.
    pub fn with_outside(metadata: Arc<dyn MetadataSource>, outside: Outside) -> io::Result<Self> {
        Self::start_with(metadata, Some(outside))
    }

    fn start_with(metadata: Arc<dyn MetadataSource>, outside: Option<Outside>) -> io::Result<Self> {
        let wake = engine::waker()?;
        let (commands, inbox) = mpsc::channel();
        let ids = Arc::new(AtomicU64::new(1));
        let shared = Arc::new(Shared { commands, wake: wake.try_clone()?, ids: Arc::clone(&ids) });
        let publics = Publics::default();
        let resolvers = outside.as_ref().map(|outside| outside.resolvers.as_path());
        let names = dns::Server::new(Arc::clone(&metadata), publics.clone(), resolvers);
        let services = services::start(metadata, names, Arc::downgrade(&shared))?;
        Engine::start(wake, inbox, services, ids, outside, publics)?;
        Ok(Self { shared })
    }

    /// Plugs in a NIC. `frames` is a TAP device's descriptor (`IFF_NO_PI`, `IFF_VNET_HDR` with its 10 bytes,
    /// `TUNSETOFFLOAD` not asked for): one frame a read, one a write.
    /// The NIC is unplugged when the returned value is dropped, or when a NIC of the same id is plugged in.
    pub fn attach(&self, nic: Nic, frames: OwnedFd) -> Attached {
        let id = self.shared.next_id();
        self.shared.send(Command::Attach { id, nic, frames });
        Attached { shared: Arc::clone(&self.shared), id }
    }

    /// Tells what has changed in the account. What has not been told of a NIC is none of its groups: nothing passes.
    pub fn heed(&self, change: Change) {
        self.shared.send(Command::Heed(change));
    }

    /// Connects to a TCP port of a machine, from outside: returns once the machine has accepted; from then on what is
    /// written to the other end of `host` is sent to the machine, and the other way round, half-closes too.
    ///
    /// # Errors
    /// As [`Switch::open`].
    pub async fn connect(&self, nic: &str, port: u16, host: UnixStream) -> io::Result<()> {
        self.open(nic, port).await.map(|connection| connection.join(host))
    }

    /// Connects to a TCP port of a machine, from outside, as far as that the machine has accepted. Nothing is read or
    /// written until the connection is joined to a stream, so a caller that has to say "ok" first can do so in between.
    ///
    /// Dropping the future gives the attempt up.
    ///
    /// # Errors
    /// `PermissionDenied` if the NIC's security groups don't let the host in, `ConnectionRefused` if nothing listens on the port, `TimedOut` if the machine doesn't answer for
    /// [`CONNECT_DEADLINE`] (it is tried again every few milliseconds at first, so a booting machine is reached soon),
    /// `NotConnected` if no such NIC is plugged in, or it is unplugged meanwhile, `QuotaExceeded` if the machine has 1,024
    /// connections from this host already, `ResourceBusy` if all machines' connections take three quarters of the files that
    /// this process may have open.
    pub async fn open(&self, nic: &str, port: u16) -> io::Result<Connection> {
        self.open_at(nic, None, port).await
    }

    /// The same, at one of the NIC's private addresses; `None` is the primary one.
    ///
    /// # Errors
    /// As [`Switch::open`].
    pub async fn open_at(&self, nic: &str, address: Option<Ipv4Addr>, port: u16) -> io::Result<Connection> {
        let (done, outcome) = oneshot::channel();
        let connection = Connection { shared: Arc::clone(&self.shared), id: self.shared.next_id() };
        let (id, nic) = (connection.id, nic.to_owned());
        self.shared.send(Command::Open { id, nic, address, port, outcome: Outcome(done) });
        match outcome.await {
            Ok(Ok(())) => Ok(connection),
            Ok(Err(kind)) => Err(io::Error::new(kind, describe(kind, port))),
            Err(_) => Err(io::Error::new(io::ErrorKind::NotConnected, describe(io::ErrorKind::NotConnected, port))),
        }
    }
}

/// Why a machine could not be reached.
fn describe(kind: io::ErrorKind, port: u16) -> String {
    match kind {
        io::ErrorKind::ConnectionRefused => "nothing listens there, or no longer".to_owned(),
        io::ErrorKind::TimedOut => format!("no answer for {} s; is the machine up?", CONNECT_DEADLINE.as_secs()),
        io::ErrorKind::NotConnected => "it isn't on its network: it is stopped, or has only begun to boot".to_owned(),
        io::ErrorKind::QuotaExceeded => {
            format!("it has {} connections from this host already; end some of them first", stack::REACHED)
        }
        io::ErrorKind::ResourceBusy => {
            "all machines together have as many connections as the endpoint's open files allow \
             (`ulimit -n`); end some of them first, or raise it"
                .to_owned()
        }
        io::ErrorKind::PermissionDenied => format!(
            "no security group of it lets that in, or its network ACL doesn't; authorize TCP port {port} from {}/{} or from 127.0.0.1/32, as whom the \
             host comes",
            OUTSIDE.0, OUTSIDE.1
        ),
        other => other.to_string(),
    }
}

/// A connection that a machine has accepted, and that isn't joined to a stream yet.
#[must_use = "the connection is reset on drop"]
pub struct Connection {
    shared: Arc<Shared>,
    id: u64,
}

impl Connection {
    /// From now on what is written to the other end of `host` is sent to the machine, and the other way round,
    /// half-closes too. `host` is a stream socket.
    pub fn join(self, host: impl Into<OwnedFd>) {
        self.join_holding(host, ());
    }

    /// The same, with something that is dropped when the connection has ended on both sides.
    pub fn join_holding(self, host: impl Into<OwnedFd>, held: impl Send + 'static) {
        self.shared.send(Command::Join { id: self.id, host: host.into(), held: Box::new(held) });
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // The engine ignores it for a connection that was joined.
        self.shared.send(Command::Abandon { id: self.id });
    }
}

/// A NIC that is plugged in.
#[must_use = "the NIC is unplugged on drop"]
pub struct Attached {
    shared: Arc<Shared>,
    id: u64,
}

impl Drop for Attached {
    fn drop(&mut self) {
        self.shared.send(Command::Detach { id: self.id });
    }
}

/// What all handles of a switch have in common.
struct Shared {
    commands: mpsc::Sender<Command>,
    wake: OwnedFd,
    ids: Arc<AtomicU64>,
}

impl Shared {
    /// An id for a port or a flow, never given twice.
    fn next_id(&self) -> u64 {
        self.ids.fetch_add(1, Ordering::Relaxed)
    }

    /// Hands a command to the engine. If that has ended there is nothing left to command, and anyone who waits for an
    /// answer learns it from the dropped channel.
    fn send(&self, command: Command) {
        if self.commands.send(command).is_ok() {
            engine::wake(&self.wake);
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.send(Command::Stop);
    }
}
