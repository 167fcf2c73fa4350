//! TCP connections that a machine wants to the outside, until the host has them.
//!
//! The host's own socket connects first; only then is the machine's SYN admitted. So a machine that has a connection has
//! one, and one that is refused is told what the host was told.

use super::{
    super::{flow::Readiness, sizes, stack::Ends, watched::Watched},
    family,
};
use rustix::{
    io::Errno,
    net::{SocketFlags, SocketType, connect, getpeername, socket_with, sockopt},
};
use smoltcp::time::{Duration, Instant};
use std::{
    collections::{BTreeMap, HashMap},
    io,
    os::fd::{AsRawFd, OwnedFd},
    sync::Arc,
};

/// How long the host tries. Linux itself goes on for two minutes, in which a machine would learn nothing.
const PATIENCE: Duration = Duration::from_secs(30);

/// How many bytes of a connection the host's kernel takes before it has sent them.
const UNSENT: libc::c_int = 128 * 1024;

/// What a machine wants to connect to, and asks for with which packet.
struct Dial {
    ends: Ends,
    syn: Vec<u8>,
    host: Watched,
    /// An event has come: it has turned out.
    noticed: bool,
    until: Instant,
}

/// How a dial turned out.
pub(in crate::network) enum Outcome {
    /// The host has the connection.
    Connected {
        /// The flow's id.
        id: u64,
        /// Whence and whither it goes.
        ends: Ends,
        /// The packet with which the machine asks for it.
        syn: Vec<u8>,
        /// The host's socket.
        host: Watched,
    },
    /// The host hasn't.
    Failed {
        /// The flow's id.
        id: u64,
        /// The packet with which the machine asks for it.
        syn: Vec<u8>,
        /// Why not.
        error: Errno,
    },
}

/// The dials of a NIC, by the ids that their flows will have.
#[derive(Default)]
pub(super) struct Dials {
    all: BTreeMap<u64, Dial>,
    ids: HashMap<Ends, u64>,
}

impl Dials {
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether it is being dialled.
    pub(super) fn knows(&self, ends: Ends) -> bool {
        self.ids.contains_key(&ends)
    }

    /// Lets the host connect.
    pub(super) fn begin(
        &mut self,
        id: u64,
        ends: Ends,
        syn: &[u8],
        epoll: &Arc<OwnedFd>,
        now: Instant,
    ) -> Result<(), Errno> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(family(ends.1), SocketType::STREAM, flags, None)?;
        // The machine's kernel has waited for more to send already, if it wanted to.
        sockopt::set_tcp_nodelay(&socket, true)?;
        // A peer that is gone without a word is noticed in the end.
        sockopt::set_socket_keepalive(&socket, true)?;
        bound_unsent(&socket)?;
        match connect(&socket, &ends.1) {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(error) => return Err(error),
        }
        let host = Watched::new(epoll, socket, id)?;
        let mut syn = syn.to_vec();
        sizes::bound_segments(&mut syn);
        self.all.insert(id, Dial { ends, syn, host, noticed: false, until: now + PATIENCE });
        self.ids.insert(ends, id);
        Ok(())
    }

    /// Takes note of an event; false if it is none of a dial's.
    pub(super) fn notice(&mut self, id: u64, what: Readiness) -> bool {
        let Some(dial) = self.all.get_mut(&id) else { return false };
        dial.noticed |= what.writable;
        true
    }

    /// What has turned out by now.
    pub(super) fn settle(&mut self, now: Instant) -> Vec<Outcome> {
        let settled: Vec<(u64, Result<(), Errno>)> =
            self.all.iter_mut().filter_map(|(id, dial)| Some((*id, dial.result(now)?))).collect();
        let outcome = |(id, result)| {
            let Dial { ends, syn, host, .. } = self.all.remove(&id)?;
            self.ids.remove(&ends);
            Some(match result {
                Ok(()) => Outcome::Connected { id, ends, syn, host },
                Err(error) => Outcome::Failed { id, syn, error },
            })
        };
        settled.into_iter().filter_map(outcome).collect()
    }

    /// When the next one is given up.
    pub(super) fn due(&self) -> Option<Instant> {
        self.all.values().map(|dial| dial.until).min()
    }
}

/// Lets the kernel take no more than it can send soon, since what it holds for connections is bounded for all of this host's
/// together: a machine whose peers don't read would slow down everybody else's (tcp(7), `tcp_mem`).
fn bound_unsent(socket: &OwnedFd) -> Result<(), Errno> {
    let most: libc::c_int = UNSENT;
    // SAFETY: the option takes an integer, which lives as long as the call.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_NOTSENT_LOWAT,
            (&raw const most).cast(),
            size_of_val(&most) as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::INVAL)) }
}

impl Dial {
    /// How it has turned out, if it has.
    fn result(&mut self, now: Instant) -> Option<Result<(), Errno>> {
        if std::mem::take(&mut self.noticed) {
            match sockopt::socket_error(&self.host) {
                Ok(Ok(())) if getpeername(&self.host).is_ok() => return Some(Ok(())),
                // The event was about nothing; there will be another.
                Ok(Ok(())) => {}
                Ok(Err(error)) | Err(error) => return Some(Err(error)),
            }
        }
        (now >= self.until).then_some(Err(Errno::TIMEDOUT))
    }
}
