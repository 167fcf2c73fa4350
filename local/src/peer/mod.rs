//! Who is at the other end of a connection over the loopback, which anybody on the host may make, and how many of them may be
//! open.
//!
//! | file | what it is for |
//! |---|---|
//! | `owner` | the user whose process made a connection: the kernel tells |
//! | `places` | places for connections, of which other users have few |

mod owner;
mod places;

pub(crate) use owner::User;
pub(crate) use places::{Place, Places};

use rustix::net::sockopt;
use std::{os::fd::AsFd, time::Duration};

/// Resets a connection, since what the kernel has accepted can't be refused any more; nothing of it stays behind.
pub(crate) fn refuse(stream: impl AsFd) {
    let _ = sockopt::set_socket_linger(&stream, Some(Duration::ZERO));
}
