//! One connection: from the first byte to a login that is accepted, then the jobs that share it.

use super::{
    agent, algorithms,
    exec::{self, Job},
    host_key::HostKey,
    link::{Link, reason},
    login::Target,
    route::Route,
};
use crate::error::{Error, ErrorKind};
use futures_util::{FutureExt as _, future::LocalBoxFuture};
use ssh2::{ErrorCode, MethodType};
use std::{
    cell::Cell,
    future::poll_fn,
    io,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
    time::{Duration, Instant},
};
use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, interval_at, timeout_at},
};

/// After how much silence a keepalive is sent.
const KEEPALIVE: Duration = Duration::from_secs(15);
/// After how much silence, in spite of keepalives, the connection counts as broken.
const SILENCE: Duration = Duration::from_secs(60);

/// libssh2's code for a key exchange that failed, among others for want of anything in common: KEX_FAILURE.
const KEX_FAILURE: ErrorCode = ErrorCode::Session(-5);
/// libssh2's codes for a login that is refused, rather than one that could not be tried.
const REFUSED: [i32; 2] = [-18, -19];
/// libssh2's codes for a private key that it can't read or use: FILE, KEYFILE_AUTH_FAILED, METHOD_NOT_SUPPORTED.
const BAD_KEY: [i32; 3] = [-16, -48, -33];

/// The connection's end for its jobs.
pub(super) struct Shared {
    pub(super) link: Link,
    /// Jobs that somebody still waits for; the others end with the connection.
    awaited: Cell<usize>,
}

impl Shared {
    /// Nobody waits for one of the jobs any more: it lives as long as the connection is needed for others.
    pub(super) fn linger(&self) {
        self.awaited.set(self.awaited.get().saturating_sub(1));
    }
}

/// The connection's end for the pool; dropping it closes the connection once its jobs are done.
#[derive(Clone)]
pub(super) struct Connection {
    jobs: mpsc::UnboundedSender<Box<Job>>,
    broken: Arc<AtomicBool>,
}

impl Connection {
    /// Connects, on the thread that will drive it.
    pub(super) async fn open(target: &Target, deadline: Instant) -> Result<Self, Error> {
        let link = timeout_at(deadline.into(), establish(target)).await.unwrap_or_else(|_| {
            Err(target.failed(ErrorKind::TimedOut).because("its SSH server did not answer in time"))
        })?;
        let (jobs, received) = mpsc::unbounded_channel();
        let broken = Arc::new(AtomicBool::new(false));
        tokio::task::spawn_local(serve(
            Rc::new(Shared { link, awaited: Cell::new(0) }),
            received,
            Ended(Arc::clone(&broken)),
        ));
        Ok(Self { jobs, broken })
    }

    pub(super) fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Relaxed) || self.jobs.is_closed()
    }

    /// Hands it a job; the job comes back if the connection is over.
    pub(super) fn run(&self, job: Box<Job>) -> Result<(), Box<Job>> {
        self.jobs.send(job).map_err(|unsent| unsent.0)
    }
}

/// Tells the pool, also if the task panics.
struct Ended(Arc<AtomicBool>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

async fn establish(target: &Target) -> Result<Link, Error> {
    let way = target.route.open().await.map_err(|source| {
        let kind = match source.kind() {
            io::ErrorKind::TimedOut => ErrorKind::TimedOut,
            io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported => ErrorKind::Configuration,
            _ => ErrorKind::Connection,
        };
        target.failed(kind).caused_by(source)
    })?;
    let link = Link::new(way).map_err(|source| target.failed(ErrorKind::Internal).caused_by(source))?;
    link.drive(log_in(&link, target)).await?;
    Ok(link)
}

async fn log_in(link: &Link, target: &Target) -> Result<(), Error> {
    let login = &target.login;
    let expected = login.host_key.expected();
    let preferred = expected.as_deref().unwrap_or_default();
    let connection = |error: ssh2::Error| {
        target
            .failed(ErrorKind::Connection)
            .because(reason(&error))
            .with_evidence("stderr of the command", link.complaints())
    };
    link.session().method_pref(MethodType::HostKey, &host_key_types(preferred)).map_err(connection)?;
    if matches!(target.route, Route::Unix { .. }) {
        prefer_fast_exchange(link.session()).map_err(connection)?;
    }
    if let Err(error) = link.call(|session| session.clone().handshake()).await {
        // Asked anew, since the next try would end as this one did.
        if error.code() == KEX_FAILURE
            && let Some(reason) = algorithms::nothing_in_common(&target.route, link.session()).await
        {
            let failed = target.failed(ErrorKind::Configuration).because(reason);
            return Err(failed.advise("have its sshd_config take one of ours"));
        }
        return Err(connection(error));
    }

    let shown = link.session().host_key().map(|(blob, _)| HostKey::from_blob(blob));
    let shown = shown.ok_or_else(|| target.failed(ErrorKind::HostKey).because("it shows no host key"))?;
    if let Some(expected) = &expected
        && !expected.contains(&shown)
    {
        return Err(wrong_host_key(target, &shown, expected));
    }

    let refusal = match login.key.agents() {
        Some(public) => agent::log_in(link, target, public).await?,
        None => {
            let key = &login.key;
            link.call(|session| session.userauth_pubkey_memory(&login.user, None, key.text(), key.secret())).await
        }
    };
    if let Err(error) = refusal {
        return Err(refused(link, target, &error).await);
    }
    if !login.host_key.accept(&shown) {
        return Err(wrong_host_key(target, &shown, &login.host_key.expected().unwrap_or_default()));
    }
    Ok(())
}

/// What never leaves this host needs no protection from tomorrow's computers, whose price is a good part of what a machine's boot takes where
/// many boot at once.
fn prefer_fast_exchange(session: &ssh2::Session) -> Result<(), ssh2::Error> {
    let all = session.supported_algs(MethodType::Kex)?;
    let (fast, rest): (Vec<_>, Vec<_>) = all.into_iter().partition(|name| name.starts_with("curve25519-"));
    session.method_pref(MethodType::Kex, &[fast, rest].concat().join(","))
}

/// The types of host keys in the order that we ask for: those that we can check, then the rest, by speed.
fn host_key_types(preferred: &[HostKey]) -> String {
    const ALL: [&str; 7] = [
        "ssh-ed25519",
        "ecdsa-sha2-nistp256",
        "ecdsa-sha2-nistp384",
        "ecdsa-sha2-nistp521",
        "rsa-sha2-512",
        "rsa-sha2-256",
        "ssh-rsa",
    ];
    let is_preferred = |name: &&str| {
        // An RSA key is one type, whose signatures have three names.
        let key = if name.starts_with("rsa-") { "ssh-rsa" } else { name };
        preferred.iter().any(|known| known.algorithm() == key)
    };
    let (first, rest): (Vec<_>, Vec<_>) = ALL.into_iter().partition(is_preferred);
    [first, rest].concat().join(",")
}

fn wrong_host_key(target: &Target, shown: &HostKey, expected: &[HostKey]) -> Error {
    let list = |key: &HostKey| format!("{} {}", key.algorithm(), key.fingerprint());
    let expected = expected.iter().map(list).collect::<Vec<_>>().join(" or ");
    let expected = if expected.is_empty() { "none".to_owned() } else { expected };
    target
        .failed(ErrorKind::HostKey)
        .because(format!("it shows the host key {}, but {expected} was expected", list(shown)))
        .advise("another machine answers there, or its host keys were made anew")
}

async fn refused(link: &Link, target: &Target, error: &ssh2::Error) -> Error {
    let login = &target.login;
    let key = login.key.fingerprint().map_or_else(|| "the key".to_owned(), |print| format!("the key {print}"));
    let ErrorCode::Session(code) = error.code() else {
        return target.failed(ErrorKind::Internal).because(error.message());
    };
    if BAD_KEY.contains(&code) {
        return target
            .failed(ErrorKind::Configuration)
            .because(format!("{key} can't be used: {}", error.message()))
            .advise("check its format and its passphrase");
    }
    if !REFUSED.contains(&code) {
        return target.failed(ErrorKind::Connection).because(reason(error));
    }
    let methods = link.call(|session| session.auth_methods(&login.user).map(str::to_owned)).await;
    let methods = match methods {
        Ok(methods) if !methods.is_empty() => format!("; it offers {}", methods.replace(',', ", ")),
        _ => String::new(),
    };
    target
        .failed(ErrorKind::Authentication)
        .because(format!("it refuses {key} for the user {}{methods}", login.user))
        .advise("check the user of this image and the key that the machine was launched with")
}

/// Drives the link for its jobs until nobody needs it, or it is broken.
async fn serve(shared: Rc<Shared>, mut jobs: mpsc::UnboundedReceiver<Box<Job>>, ended: Ended) {
    let mut running: Vec<LocalBoxFuture<'static, ()>> = Vec::new();
    let mut keepalive = interval_at((Instant::now() + KEEPALIVE).into(), KEEPALIVE);
    keepalive.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let link = &shared.link;
    let all = poll_fn(|context| {
        let mut unneeded = false;
        if link.hung_up() && running.is_empty() {
            link.fail("the other side has closed the connection");
        }
        if link.broken().is_some() {
            ended.0.store(true, Ordering::Relaxed);
            jobs.close();
        }
        loop {
            match jobs.poll_recv(context) {
                Poll::Ready(Some(job)) => {
                    shared.awaited.set(shared.awaited.get() + 1);
                    running.push(exec::run(Rc::clone(&shared), *job).boxed_local());
                }
                Poll::Ready(None) => break unneeded = true,
                Poll::Pending => break,
            }
        }
        running.retain_mut(|job| job.as_mut().poll(context).is_pending());
        while keepalive.poll_tick(context).is_ready() {
            let silence = link.heard().elapsed();
            if silence >= SILENCE {
                link.fail(format!("no answer for {} s", silence.as_secs()));
            } else if silence >= KEEPALIVE {
                link.keep_alive();
            }
        }
        if unneeded && (running.is_empty() || (link.broken().is_none() && shared.awaited.get() == 0)) {
            return Poll::Ready(());
        }
        Poll::Pending
    });
    link.drive(all).await;
}
