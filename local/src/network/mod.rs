//! The network of the local EC2: one switch in user space, the metadata service, the way in.
//!
//! Every NIC is a port that carries Ethernet frames; nothing here touches the host's routes, bridges or firewall.
//!
//! What this room isn't: a holder of state. Which NIC has which address, and what its metadata is, it is told.

use std::{
    io,
    net::Ipv4Addr,
    os::{fd::OwnedFd, unix::net::UnixStream},
    sync::Arc,
};

/// What the switch must know of a network interface.
#[derive(Debug, Clone, PartialEq, Eq)]
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
}

/// What the metadata service serves to one instance.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Metadata {
    /// `HttpEndpoint=enabled`.
    pub enabled: bool,
    /// `HttpTokens=required`: version 2 only.
    pub token_required: bool,
    /// What stands below `/latest/`: full path (`meta-data/placement/region`, `dynamic/instance-identity/document`) to content.
    /// Listings are derived from the paths. Slashes within a name don't occur.
    pub tree: Vec<(String, String)>,
    /// `/latest/user-data`; answered with 404 if absent.
    pub user_data: Option<Vec<u8>>,
}

/// Where the metadata comes from: the account.
pub trait MetadataSource: Send + Sync + 'static {
    /// The metadata of the instance that holds the NIC, as of now.
    fn metadata(&self, nic: &str) -> Option<Metadata>;
}

/// The switch of an endpoint; a handle, cheap to clone.
#[derive(Clone)]
pub struct Switch {}

impl Switch {
    /// Starts the switch's thread.
    pub fn start(_metadata: Arc<dyn MetadataSource>) -> io::Result<Self> {
        Err(io::Error::other("the switch is not built yet"))
    }

    /// Plugs in a NIC. `frames` is a TAP device's descriptor (`IFF_NO_PI`, no offloads): one frame a read, one a write.
    /// The NIC is unplugged when the returned value is dropped.
    pub fn attach(&self, _nic: Nic, _frames: OwnedFd) -> Attached {
        Attached {}
    }

    /// Connects to a TCP port of a machine, from outside: returns once the machine has accepted; from then on what is
    /// written to the other end of `host` is sent to the machine, and the other way round, half-closes too.
    pub async fn connect(&self, _nic: &str, _port: u16, _host: UnixStream) -> io::Result<()> {
        Err(io::Error::other("the switch is not built yet"))
    }
}

/// A NIC that is plugged in.
#[must_use = "the NIC is unplugged on drop"]
pub struct Attached {}
