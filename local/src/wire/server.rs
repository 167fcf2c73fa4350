//! The listener: accepts connections, bounds them, and closes them at the end.
//!
//! Anybody on the host may connect. Connections that haven't sent a signed request yet have places of their own, of which
//! other users than the endpoint's have few; and none of them ever makes another one wait to be accepted.

use super::{
    Service,
    connections::{Connections, Entry},
    exchange::{Door, exchange},
    model::model,
};
use crate::{
    error::{ApiError, Code},
    peer::{self, Place, Places, User},
    wire::activity::Busy,
};
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{
    future::Future,
    io,
    net::{SocketAddr, TcpListener, TcpStream},
    pin::pin,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    thread,
    time::Duration,
};
use tokio::{
    sync::{Notify, mpsc, watch},
    task::JoinSet,
};

/// How many connections that have sent a signed request may be open. A further one takes the place of the one that was idle the
/// longest.
const MAX_CONNECTIONS: usize = 1024;

/// How many connections of the endpoint's own user may be open that haven't; it is the same with them.
const OWN_UNPROVED: usize = 512;

/// How many each other user of the host may have that haven't, and how many all of them together. Further ones are reset.
const OTHERS_UNPROVED: (usize, usize) = (16, 64);

/// How long a new connection of the endpoint's own user may take to send its first signed request.
const PROBATION: Duration = Duration::from_secs(5);

/// How long one of somebody else's may take.
const OTHERS_PROBATION: Duration = Duration::from_secs(2);

/// The longest head of a request. One that is sent by GET has its parameters there.
const MAX_HEAD: usize = 64 * 1024;

/// The most header lines of a request.
const MAX_HEADERS: usize = 64;

/// How many connections wait to be served once they are accepted.
const QUEUE: usize = 256;

/// How long a connection may be idle. Longer than clients keep theirs in a pool (the SDKs: 90 s at most), because one
/// that is closed just when a request is sent would leave its client in doubt.
const IDLE: Duration = Duration::from_secs(120);

/// How long requests may take to be answered once the end has come.
const DRAIN: Duration = Duration::from_secs(5);

/// Serves an account on a listener of the loopback, until `shutdown` completes.
///
/// What is being answered then is still answered, for 5 s at most.
///
/// # Errors
///
/// An [`io::ErrorKind::InvalidInput`] where the listener is not bound to the loopback. It does not end by an error later.
pub async fn serve(
    listener: tokio::net::TcpListener,
    door: Door,
    service: Arc<dyn Service>,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let address = listener.local_addr()?;
    if !address.ip().is_loopback() {
        let message = format!("serve EC2 on {address}: it is not on the loopback; bind to 127.0.0.1");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    // Read before the first request comes, not by it.
    model().map_err(io::Error::other)?;
    let house = House {
        door: Arc::new(door),
        service,
        others: Places::new(0, OTHERS_UNPROVED.0, OTHERS_UNPROVED.1),
        unproved: Connections::new(OWN_UNPROVED),
        admitted: Connections::new(MAX_CONNECTIONS),
    };
    let listener = Listening(Arc::new(listener.into_std()?));
    listener.0.set_nonblocking(false)?;
    let (admit, mut newcomers) = mpsc::channel(QUEUE);
    let (door, at) = (house.clone(), Arc::clone(&listener.0));
    thread::Builder::new().name("door".to_owned()).spawn(move || door.accept(&at, &admit))?;
    let (closing, closed) = watch::channel(());
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            Some(newcomer) = newcomers.recv() => {
                connections.spawn(house.clone().connection(newcomer, closed.clone()));
            }
            Some(_) = connections.join_next() => {}
        }
    }
    drop(newcomers);
    drop(listener);
    drop(closing);
    let drained = tokio::time::timeout(DRAIN, async { while connections.join_next().await.is_some() {} });
    if drained.await.is_err() {
        tracing::warn!("closed {} connections that did not end in time", connections.len());
    }
    Ok(())
}

/// A listener at which nobody can connect any more once this is dropped; and anyone who waits there to accept somebody is told.
struct Listening(Arc<TcpListener>);

impl Drop for Listening {
    fn drop(&mut self) {
        let _ = rustix::net::shutdown(&*self.0, rustix::net::Shutdown::Both);
    }
}

/// What every connection shares.
#[derive(Clone)]
struct House {
    door: Arc<Door>,
    service: Arc<dyn Service>,
    /// The places of other users' connections that haven't sent a signed request,
    others: Arc<Places>,
    /// those of the endpoint's own user,
    unproved: Arc<Connections>,
    /// and all connections that have.
    admitted: Arc<Connections>,
}

/// A connection that hasn't sent a signed request.
struct Newcomer {
    stream: TcpStream,
    seat: Seat,
    patience: Duration,
    /// Tells it to make room.
    close: Arc<Notify>,
}

/// What a newcomer holds until it is admitted.
enum Seat {
    Own { _entry: Entry },
    Others { _place: Place },
}

/// What a connection holds that was admitted.
struct Admission {
    entry: Entry,
    _busy: Busy,
}

impl House {
    /// Accepts connections until the listener is shut down. On a thread of its own that does nothing else, since others may connect
    /// faster than they are looked at, and who comes behind them waits.
    fn accept(&self, listener: &TcpListener, admit: &mpsc::Sender<Newcomer>) {
        loop {
            match listener.accept() {
                Ok((stream, client)) => {
                    let sent = self.newcomer(stream, client).map(|newcomer| admit.blocking_send(newcomer));
                    if sent.is_some_and(|sent| sent.is_err()) {
                        return;
                    }
                }
                Err(_) if admit.is_closed() => return,
                Err(error) => {
                    // Out of file descriptors, mostly: those that are open will end.
                    tracing::warn!("failed to accept a connection: {error}");
                    thread::sleep(Duration::from_millis(50));
                }
            }
        }
    }

    /// Looks whose connection it is, and finds it a place; it is reset where there is none for such.
    fn newcomer(&self, stream: TcpStream, client: SocketAddr) -> Option<Newcomer> {
        let close = Arc::new(Notify::new());
        let seat = match User::of(client, stream.local_addr().ok()?) {
            User::Own => self.unproved.enter(&close).map(|entry| (Seat::Own { _entry: entry }, PROBATION)),
            other => self.others.take(other).map(|place| (Seat::Others { _place: place }, OTHERS_PROBATION)),
        };
        let Some((seat, patience)) = seat else {
            peer::refuse(&stream);
            return None;
        };
        Some(Newcomer { stream, seat, patience, close })
    }

    async fn connection(self, newcomer: Newcomer, mut closed: watch::Receiver<()>) {
        let Newcomer { stream, seat, patience, close } = newcomer;
        // Small answers at once; without it, Nagle and delayed acknowledgements cost 40 ms.
        let _ = stream.set_nodelay(true);
        let stream = stream.set_nonblocking(true).and_then(|()| tokio::net::TcpStream::from_std(stream));
        let Ok(stream) = stream.inspect_err(|error| tracing::warn!("failed to serve a connection: {error}")) else {
            return;
        };
        let admission = OnceLock::new();
        let seat = Mutex::new(Some(seat));
        let admit = || {
            if let Some(admission) = admission.get() {
                return Ok(admission);
            }
            let entry = self.admitted.enter(&close).ok_or_else(too_many)?;
            seat.lock().unwrap_or_else(PoisonError::into_inner).take();
            Ok(admission.get_or_init(|| Admission { entry, _busy: self.door.activity().connection() }))
        };
        let admit = || admit().map(|admission: &Admission| admission.entry.work());
        let answer = service_fn(|request| exchange(Arc::clone(&self.door), Arc::clone(&self.service), request, admit));
        let mut connection = pin!(
            http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(IDLE)
                .max_buf_size(MAX_HEAD)
                .max_header_size(MAX_HEAD)
                .max_headers(MAX_HEADERS)
                .serve_connection(TokioIo::new(stream), answer)
        );
        let mut probation = pin!(tokio::time::sleep(patience));
        let (mut on_probation, mut closing) = (true, false);
        loop {
            tokio::select! {
                ended = connection.as_mut() => {
                    if let Err(error) = ended {
                        tracing::debug!("a connection ended: {error}");
                    }
                    return;
                }
                () = &mut probation, if on_probation => {
                    on_probation = false;
                    if admission.get().is_none() {
                        return;
                    }
                }
                () = close.notified() => {
                    if admission.get().is_none() {
                        return;
                    }
                    // What is being answered is still answered.
                    connection.as_mut().graceful_shutdown();
                }
                _ = closed.changed(), if !closing => {
                    closing = true;
                    connection.as_mut().graceful_shutdown();
                }
            }
        }
    }
}

/// There are as many connections as may be, and something is being answered on each.
fn too_many() -> ApiError {
    let message =
        format!("The request can't be served now: {MAX_CONNECTIONS} others are being answered. Try again later");
    ApiError::new(Code::Unavailable, message)
}
