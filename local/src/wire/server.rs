//! The listener: accepts connections, bounds them, and closes them at the end.

use super::{
    Service,
    exchange::{Door, exchange},
    model::model,
};
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{
    future::Future,
    io,
    pin::pin,
    sync::{Arc, OnceLock},
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::JoinSet,
};

/// How many connections may be open; more of them wait to be accepted.
const MAX_CONNECTIONS: usize = 1024;

/// The longest head of a request. One that is sent by GET has its parameters there.
const MAX_HEAD: usize = 64 * 1024;

/// The most header lines of a request.
const MAX_HEADERS: usize = 64;

/// How long a new connection may take to send its first signed request.
const PROBATION: Duration = Duration::from_secs(5);

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
    listener: TcpListener,
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
    let house = House { door: Arc::new(door), service };
    let (closing, closed) = watch::channel(());
    let mut connections = JoinSet::new();
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            (place, stream) = accept(&listener, &places) => {
                connections.spawn(house.clone().connection(stream, place, closed.clone()));
            }
            Some(_) = connections.join_next() => {}
        }
    }
    drop(listener);
    drop(closing);
    let drained = tokio::time::timeout(DRAIN, async { while connections.join_next().await.is_some() {} });
    if drained.await.is_err() {
        tracing::warn!("closed {} connections that did not end in time", connections.len());
    }
    Ok(())
}

/// The next connection, and its place among those that may be open.
async fn accept(listener: &TcpListener, places: &Arc<Semaphore>) -> (Option<OwnedSemaphorePermit>, TcpStream) {
    // The semaphore is never closed, so there always is a permit.
    let place = Arc::clone(places).acquire_owned().await.ok();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return (place, stream),
            Err(error) => {
                // Out of file descriptors, mostly: those that are open will end.
                tracing::warn!("failed to accept a connection: {error}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// What every connection shares.
#[derive(Clone)]
struct House {
    door: Arc<Door>,
    service: Arc<dyn Service>,
}

impl House {
    async fn connection(
        self,
        stream: TcpStream,
        _place: Option<OwnedSemaphorePermit>,
        mut closed: watch::Receiver<()>,
    ) {
        // Small answers at once; without it, Nagle and delayed acknowledgements cost 40 ms.
        let _ = stream.set_nodelay(true);
        let activity = self.door.activity();
        let admitted = Arc::new(OnceLock::new());
        let admission = Arc::clone(&admitted);
        let answer = service_fn(move |request| {
            let (activity, admission) = (activity.clone(), Arc::clone(&admission));
            let admitted = move || {
                admission.get_or_init(|| activity.connection());
            };
            exchange(Arc::clone(&self.door), Arc::clone(&self.service), request, admitted)
        });
        let mut connection = pin!(
            http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(IDLE)
                .max_buf_size(MAX_HEAD)
                .max_header_size(MAX_HEAD)
                .max_headers(MAX_HEADERS)
                .serve_connection(TokioIo::new(stream), answer)
        );
        let mut probation = pin!(tokio::time::sleep(PROBATION));
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
                    if admitted.get().is_none() {
                        return;
                    }
                }
                _ = closed.changed(), if !closing => {
                    closing = true;
                    connection.as_mut().graceful_shutdown();
                }
            }
        }
    }
}
