//! A libssh2 session and its socket, and the turn-taking that libssh2 asks of those who share them.
//!
//! Everything here is non-blocking and stays on one thread. A caller tries its operation whenever the link is driven:
//! any activity of the socket may concern anybody, since one channel's read also receives the others' packets.

use super::route::{Program, Way};
use ssh2::{BlockDirections, ErrorCode, Session};
use std::{
    cell::{Cell, RefCell},
    future::{Future, poll_fn},
    io,
    os::fd::OwnedFd,
    pin::pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Instant,
};
use tokio::{io::unix::AsyncFd, sync::Mutex};

/// How often one link is driven before the others on its thread have their turn.
const ROUNDS: usize = 16;

/// Codes of libssh2 (libssh2.h) that we tell apart.
mod code {
    pub(super) const EAGAIN: i32 = -37;
    /// What ends a connection: SOCKET_NONE, INVALID_MAC, SOCKET_SEND, TIMEOUT, DECRYPT, SOCKET_DISCONNECT, PROTO,
    /// SOCKET_TIMEOUT, OUT_OF_BOUNDARY, SOCKET_RECV, ENCRYPT, BAD_SOCKET.
    pub(super) const FATAL: [i32; 12] = [-1, -4, -7, -9, -12, -13, -14, -30, -41, -43, -44, -45];
}

/// Why a connection is over, in words of ours: libssh2's are those of its own functions.
pub(super) fn reason(error: &ssh2::Error) -> String {
    let text = match error.code() {
        // SOCKET_SEND, SOCKET_DISCONNECT, SOCKET_RECV.
        ErrorCode::Session(-7 | -13 | -43) => "the other side has closed the connection",
        // TIMEOUT, SOCKET_TIMEOUT.
        ErrorCode::Session(-9 | -30) => "the other side didn't answer in time",
        // INVALID_MAC, DECRYPT.
        ErrorCode::Session(-4 | -12) => "what came was damaged on its way",
        _ => error.message(),
    };
    text.to_owned()
}

/// Names one operation among those that share a link.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Turn(u64);

pub(super) struct Link {
    session: Session,
    // Declared after the session, which writes a farewell when it is dropped.
    socket: AsyncFd<Rc<OwnedFd>>,
    program: Option<Program>,
    /// Whose packet is partly sent: libssh2 accepts no other packet until that operation was tried again.
    unsent: Cell<Option<Turn>>,
    last_turn: Cell<u64>,
    progress: Cell<bool>,
    heard: Cell<Instant>,
    hung_up: Cell<bool>,
    broken: RefCell<Option<String>>,
    /// libssh2 keeps the state of opening a channel in the session: one at a time.
    pub(super) opening: Mutex<()>,
}

impl Link {
    pub(super) fn new(way: Way) -> io::Result<Self> {
        let socket = Rc::new(way.socket);
        let mut session = Session::new().map_err(io::Error::from)?;
        session.set_blocking(false);
        session.set_tcp_stream(Rc::clone(&socket));
        // Replies are asked for, so that a dead peer shows; when to send them is decided by us.
        session.set_keepalive(true, 1);
        // SAFETY: the descriptor is open as long as its owner lives, which `AsyncFd` keeps, and is always the same.
        let socket = unsafe { AsyncFd::register(socket) }.map_err(|error| error.into_parts().1)?;
        Ok(Self {
            session,
            socket,
            program: way.program,
            unsent: Cell::new(None),
            last_turn: Cell::new(0),
            progress: Cell::new(false),
            heard: Cell::new(Instant::now()),
            hung_up: Cell::new(false),
            broken: RefCell::new(None),
            opening: Mutex::new(()),
        })
    }

    /// The session, for calls that don't touch the socket.
    pub(super) fn session(&self) -> &Session {
        &self.session
    }

    pub(super) fn turn(&self) -> Turn {
        self.last_turn.set(self.last_turn.get() + 1);
        Turn(self.last_turn.get())
    }

    /// Why the connection is over, if it is.
    pub(super) fn broken(&self) -> Option<String> {
        self.broken.borrow().clone()
    }

    pub(super) fn fail(&self, reason: impl Into<String>) {
        self.broken.borrow_mut().get_or_insert_with(|| reason.into());
        self.progress.set(true);
    }

    /// Whether the other side has closed; what it sent before may not have been read yet.
    pub(super) fn hung_up(&self) -> bool {
        self.hung_up.get()
    }

    /// When the other side was last heard.
    pub(super) fn heard(&self) -> Instant {
        self.heard.get()
    }

    /// Sends a keepalive. Not in the midst of a packet: libssh2 would leave that, or the keepalive, half sent.
    pub(super) fn keep_alive(&self) {
        if self.unsent.get().is_none()
            && let Err(error) = self.session.keepalive_send()
        {
            self.fail(reason(&error));
        }
    }

    /// What the program behind the connection complained about.
    pub(super) fn complaints(&self) -> String {
        self.program.as_ref().map(Program::complaints).unwrap_or_default()
    }

    /// Runs one operation to its end; the link must be driven meanwhile, and the future not dropped.
    pub(super) async fn call<T>(
        &self,
        mut operation: impl FnMut(&Session) -> Result<T, ssh2::Error>,
    ) -> Result<T, ssh2::Error> {
        let turn = self.turn();
        poll_fn(|_| self.attempt(turn, &mut operation)).await
    }

    /// Tries an operation once. After `Pending` the same operation must be tried again with the same arguments.
    pub(super) fn attempt<T>(
        &self,
        turn: Turn,
        operation: impl FnOnce(&Session) -> Result<T, ssh2::Error>,
    ) -> Poll<Result<T, ssh2::Error>> {
        if self.broken.borrow().is_some() {
            return Poll::Ready(Err(ssh2::Error::from_errno(ErrorCode::Session(-13))));
        }
        if self.unsent.get().is_some_and(|other| other != turn) {
            return Poll::Pending;
        }
        self.unsent.set(None);
        let result = operation(&self.session);
        if let Err(error) = &result {
            match error.code() {
                ErrorCode::Session(code::EAGAIN) => {
                    if matches!(self.session.block_directions(), BlockDirections::Outbound | BlockDirections::Both) {
                        self.unsent.set(Some(turn));
                    }
                    return Poll::Pending;
                }
                ErrorCode::Session(number) if code::FATAL.contains(&number) => self.fail(reason(error)),
                _ => {}
            }
        }
        self.progress.set(true);
        Poll::Ready(result)
    }

    /// The same for reading and writing, whose errors come without their code.
    pub(super) fn attempt_io(
        &self,
        turn: Turn,
        operation: impl FnOnce() -> io::Result<usize>,
    ) -> Poll<Result<usize, ssh2::Error>> {
        let progress = self.progress.get();
        let result = self.attempt(turn, |session| {
            operation().map_err(|error| {
                if error.kind() == io::ErrorKind::WouldBlock {
                    ssh2::Error::from_errno(ErrorCode::Session(code::EAGAIN))
                } else {
                    ssh2::Error::last_session_error(session).unwrap_or_else(ssh2::Error::unknown)
                }
            })
        });
        // At its end a stream can be read forever.
        if matches!(result, Poll::Ready(Ok(0))) {
            self.progress.set(progress);
        }
        result
    }

    /// Whether an operation has sent a part of its packet, and must be tried again before any other.
    pub(super) fn is_sending(&self, turn: Turn) -> bool {
        self.unsent.get() == Some(turn) && self.broken.borrow().is_none()
    }

    /// Polls a future that uses this link whenever the link has moved, until it is done.
    pub(super) async fn drive<F: Future>(&self, future: F) -> F::Output {
        let mut future = pin!(future);
        poll_fn(|context| {
            for _ in 0..ROUNDS {
                self.progress.set(false);
                if let Poll::Ready(output) = future.as_mut().poll(context) {
                    return Poll::Ready(output);
                }
                let readable = self.poll_readable(context).is_ready();
                let writable = self.unsent.get().is_some() && self.poll_writable(context).is_ready();
                if !(self.progress.get() || readable || writable) {
                    return Poll::Pending;
                }
            }
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await
    }

    fn poll_readable(&self, context: &mut Context<'_>) -> Poll<()> {
        if self.hung_up.get() {
            return Poll::Pending;
        }
        match ready!(self.socket.poll_read_ready(context)) {
            Ok(mut guard) => {
                self.heard.set(Instant::now());
                self.hung_up.set(guard.ready().is_read_closed());
                guard.clear_ready();
            }
            Err(error) => self.fail(error.to_string()),
        }
        Poll::Ready(())
    }

    fn poll_writable(&self, context: &mut Context<'_>) -> Poll<()> {
        match ready!(self.socket.poll_write_ready(context)) {
            Ok(mut guard) if !guard.ready().is_write_closed() => guard.clear_ready(),
            Ok(_) => self.fail("the other side has closed the connection"),
            Err(error) => self.fail(error.to_string()),
        }
        Poll::Ready(())
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if self.broken.borrow().is_none() && self.unsent.get().is_none() {
            let _ = self.session.disconnect(None, "done", None);
        }
        // libssh2 frees nothing while it waits for an answer; on a socket that is shut, it doesn't wait.
        let _ = rustix::net::shutdown(self.socket.get_ref(), rustix::net::Shutdown::Both);
    }
}
