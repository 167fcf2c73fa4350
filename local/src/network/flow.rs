//! One TCP connection of a machine, joined to a stream of the host, and the moving of bytes between them.
//!
//! Nothing is stored here: bytes wait in the socket's two buffers, which are bounded, or in the host's kernel. When one
//! side is full the other isn't read, so the sender at the far end feels it.

use super::watched::Watched;
use rustix::{
    io::Errno,
    net::{SendFlags, Shutdown},
};
use smoltcp::{
    iface::SocketHandle,
    socket::tcp::{Socket, State},
    time::{Duration, Instant},
};

/// How long a machine may do nothing on a connection whose other end is gone, as Linux's `tcp_fin_timeout`.
const ORPHAN: Duration = Duration::from_secs(60);

/// What an event says about a stream.
#[derive(Clone, Copy)]
pub(super) struct Readiness {
    /// There is something to read, be it the end.
    pub(super) readable: bool,
    /// There is room to write.
    pub(super) writable: bool,
    /// Nobody holds the other end any more.
    pub(super) hung_up: bool,
}

/// One TCP connection of a machine.
pub(super) struct Flow {
    /// The socket in the NIC's stack.
    pub(super) socket: SocketHandle,
    /// The stream of the host, as soon as there is one.
    host: Option<Watched>,
    /// What the machine has said is worth nothing any more once it can't hear the answer.
    serves: bool,
    /// What is known of the stream: set by events, which come once, cleared by the call that would block.
    readable: bool,
    writable: bool,
    /// The host has no more to say; the machine has been told, or will be after what is buffered.
    host_done: bool,
    /// The machine has no more to say, and the host has been told.
    machine_done: bool,
    /// Nobody holds the other end of the stream any more: when to look whether the machine still takes what is left for
    /// it, and how much that was when last looked.
    orphaned: Option<(Instant, usize)>,
    /// What goes with it.
    held: Option<Box<dyn Send>>,
}

impl Flow {
    /// A flow over a socket, without a stream yet.
    pub(super) fn new(socket: SocketHandle) -> Self {
        Self {
            socket,
            host: None,
            serves: false,
            readable: false,
            writable: false,
            host_done: false,
            machine_done: false,
            orphaned: None,
            held: None,
        }
    }

    /// Holds something until the flow is removed.
    pub(super) fn hold(&mut self, held: Box<dyn Send>) {
        self.held = Some(held);
    }

    /// Joins the flow to a stream.
    pub(super) fn join(&mut self, host: Watched) {
        self.host = Some(host);
        self.readable = true;
        self.writable = true;
    }

    /// Joins the flow to a stream of one of the switch's own services.
    pub(super) fn serve(&mut self, host: Watched) {
        self.join(host);
        self.serves = true;
    }

    /// Whether it has a stream.
    pub(super) fn is_joined(&self) -> bool {
        self.host.is_some()
    }

    /// Takes note of what an event says about the stream.
    pub(super) fn notice(&mut self, what: Readiness, now: Instant) {
        self.readable |= what.readable;
        self.writable |= what.writable;
        if what.hung_up && self.orphaned.is_none() {
            self.orphaned = Some((now + ORPHAN, usize::MAX));
        }
    }

    /// Moves what the host says into the socket; whether anything changed.
    pub(super) fn take_from_host(&mut self, socket: &mut Socket<'_>) -> bool {
        let Some(host) = &self.host else { return false };
        let mut moved = false;
        while self.readable && !self.host_done && socket.can_send() {
            let read = socket.send(|buffer| match rustix::io::read(host, buffer) {
                Ok(length) => (length, Ok(length)),
                Err(error) => (0, Err(error)),
            });
            match read {
                Ok(Ok(0)) => {
                    self.host_done = true;
                    socket.close();
                }
                Ok(Ok(_)) => {}
                Ok(Err(Errno::INTR)) => continue,
                Ok(Err(Errno::AGAIN)) => {
                    self.readable = false;
                    break;
                }
                Ok(Err(_)) => {
                    self.host_done = true;
                    socket.abort();
                }
                Err(_) => break,
            }
            moved = true;
        }
        moved
    }

    /// Moves what the machine says to the host; whether anything changed.
    pub(super) fn give_to_host(&mut self, socket: &mut Socket<'_>) -> bool {
        let Some(host) = &self.host else { return false };
        let mut moved = false;
        while self.writable && socket.can_recv() {
            let written = socket.recv(|buffer| match rustix::net::send(host, buffer, SendFlags::NOSIGNAL) {
                Ok(length) => (length, Ok(())),
                Err(error) => (0, Err(error)),
            });
            match written {
                Ok(Ok(())) => moved = true,
                Ok(Err(Errno::INTR)) => continue,
                Ok(Err(Errno::AGAIN)) => self.writable = false,
                // Nobody is there to hear the machine: it learns it by a reset, as it would from a closed socket.
                Ok(Err(_)) => {
                    socket.abort();
                    self.host = None;
                    return true;
                }
                Err(_) => break,
            }
        }
        if !self.machine_done && !socket.can_recv() && is_finished(socket.state()) {
            // It fails only if the other end is gone, which an event tells as well.
            let _ = rustix::net::shutdown(host, Shutdown::Write);
            self.machine_done = true;
            moved = true;
        }
        moved
    }

    /// Ends a connection whose host is gone, and whose machine does nothing about it; when to look again otherwise.
    pub(super) fn expire(&mut self, socket: &mut Socket<'_>, now: Instant) -> Option<Instant> {
        let (deadline, before) = self.orphaned?;
        if now < deadline {
            return Some(deadline);
        }
        let left = socket.send_queue();
        if left == 0 || left >= before {
            socket.abort();
            self.orphaned = None;
            return None;
        }
        self.orphaned = Some((now + ORPHAN, left));
        Some(now + ORPHAN)
    }

    /// Whether nothing is left to do, neither here nor in the socket.
    pub(super) fn is_over(&self, socket: &Socket<'_>) -> bool {
        // Waiting in TIME-WAIT serves the reuse of the same four numbers, which doesn't happen here for millions of
        // connections.
        let closed = match socket.state() {
            State::TimeWait => true,
            State::Closed => socket.remote_endpoint().is_none(),
            _ => false,
        };
        // A service may wait for room for its answer before it reads on, which nobody would ever make.
        closed && (self.serves || self.host.is_none() || self.machine_done || !socket.can_recv())
    }
}

/// Whether a machine in this state has said all it has to say.
fn is_finished(state: State) -> bool {
    matches!(state, State::CloseWait | State::LastAck | State::Closing | State::TimeWait | State::Closed)
}

impl Drop for Flow {
    fn drop(&mut self) {
        if let Some(host) = &self.host {
            // Closing isn't enough: somebody may hold a duplicate.
            let _ = rustix::net::shutdown(host, Shutdown::Both);
        }
    }
}
