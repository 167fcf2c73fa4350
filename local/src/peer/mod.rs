//! Who is at the other end of a connection over the loopback, which anybody on the host may make, and how many of them may be
//! open.
//!
//! | file | what it is for |
//! |---|---|
//! | `owner` | the user whose process made a connection: the kernel tells |
//! | `places` | places for connections, of which other users have few |

mod owner;
mod places;

pub(crate) use owner::{User, is_listened_at};
pub(crate) use places::{Place, Places};

use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with, sockopt};
use std::{
    io,
    net::{SocketAddr, SocketAddrV4},
    os::fd::AsFd,
    time::Duration,
};
use tokio::net::TcpListener;

/// Listens with as many connections waiting to be accepted as the system allows, so that a burst of somebody else's keeps nobody
/// out: who comes when as many wait tries again after a second. Within a tokio runtime.
pub(crate) fn listen(address: impl Into<SocketAddr>) -> io::Result<TcpListener> {
    let listener = std::net::TcpListener::bind(address.into())?;
    // Again, since the library asks for few.
    rustix::net::listen(&listener, i32::MAX)?;
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

/// The same where somebody listens at all addresses of the host. The kernel allows it where they have allowed it, and have the
/// same user (socket(7), `SO_REUSEPORT`); then the one that listens at the one address has its connections.
pub(crate) fn listen_beside(address: SocketAddrV4) -> io::Result<TcpListener> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let listener = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
    sockopt::set_socket_reuseaddr(&listener, true)?;
    sockopt::set_socket_reuseport(&listener, true)?;
    bind(&listener, &address)?;
    rustix::net::listen(&listener, i32::MAX)?;
    TcpListener::from_std(listener.into())
}

/// Resets a connection, since what the kernel has accepted can't be refused any more; nothing of it stays behind.
pub(crate) fn refuse(stream: impl AsFd) {
    let _ = sockopt::set_socket_linger(&stream, Some(Duration::ZERO));
}
