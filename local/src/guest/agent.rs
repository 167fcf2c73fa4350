//! The agent: what makes a sandbox a machine that can be logged in to and is configured by its user data.
//!
//! In a machine on AWS this is the work of cloud-init and of sshd, and in that order of events: the server is up first, the
//! instance's key comes a moment later, then user data is run, then the console shows the host's keys.

use super::{
    cloud_init::Boot,
    console::Console,
    root::Root,
    ssh::{HostKeys, Server},
    tools,
};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with, sockopt};
use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6},
    os::fd::OwnedFd,
};
use tokio::net::TcpListener;

/// What the agent must be told; all else it learns from the metadata service.
#[derive(Debug)]
pub struct Config {
    /// Where the machine's file system lies. Default: `/`.
    pub root: Root,
    /// The host name, which is already set.
    pub hostname: String,
    /// The user that gets the instance's key.
    pub login_user: String,
    /// Where the console's text goes.
    pub console: OwnedFd,
    /// Whether the machine boots for the first time: only then are keys made and user data run. Default: true.
    pub first_boot: bool,
    /// The metadata service. Default: 169.254.169.254, port 80.
    pub metadata: SocketAddr,
}

impl Config {
    /// A machine that boots for the first time, with the defaults.
    pub fn new(hostname: impl Into<String>, login_user: impl Into<String>, console: OwnedFd) -> Self {
        Self {
            root: Root::default(),
            hostname: hostname.into(),
            login_user: login_user.into(),
            console,
            first_boot: true,
            metadata: SocketAddr::from((Ipv4Addr::new(169, 254, 169, 254), 80)),
        }
    }
}

/// Runs the agent, its SSH server on port 22 of all addresses. Doesn't return while the machine is on.
///
/// Wants a `current_thread` runtime with all drivers enabled.
///
/// # Errors
///
/// The server can't listen, or the machine's files can't be written.
pub async fn run(config: Config) -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 22)).await?;
    // Where there is no IPv6 one will do, as for sshd.
    run_at(config, [Some(listener), listen_by_ipv6().ok()].into_iter().flatten()).await
}

/// Listens at port 22 of all IPv6 addresses, and of no others.
fn listen_by_ipv6() -> io::Result<TcpListener> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::INET6, SocketType::STREAM, flags, None)?;
    sockopt::set_ipv6_v6only(&socket, true)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    bind(&socket, &SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, 22, 0, 0))?;
    listen(&socket, WAITING)?;
    TcpListener::from_std(socket.into())
}

/// How many connections wait to be accepted, as the library has it for the other socket.
const WAITING: i32 = 1024;

/// The same on a socket that listens already.
///
/// # Errors
///
/// As [`run`].
pub async fn run_on(config: Config, ssh: TcpListener) -> io::Result<()> {
    run_at(config, std::iter::once(ssh)).await
}

async fn run_at(config: Config, ssh: impl Iterator<Item = TcpListener>) -> io::Result<()> {
    let Config { root, hostname, login_user, console, first_boot, metadata } = config;
    let console = Console::new(&root, console)?;
    if let Err(error) = tools::install(&root, first_boot) {
        console.log("WARNING", &format!("failed to install the guest's own commands: {error}"));
    }
    let boot = Boot::begin(root.clone(), hostname.clone(), login_user, console.clone());
    let keys = HostKeys::load_or_generate(&root, &hostname, console, first_boot)?;
    let server = Server::new(root, keys.clone());
    let serving: Vec<_> = ssh.map(|listener| tokio::spawn(server.clone().serve(listener))).collect();
    boot.run(metadata, &keys, first_boot).await;
    for serving in serving {
        serving.await.map_err(io::Error::other)??;
    }
    Ok(())
}
