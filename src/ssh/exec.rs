//! One command on one channel: opened, fed, read and closed without ever waiting for one stream alone.

use super::{
    command::Command,
    connection::Shared,
    marker::Marker,
    output::Output,
    pool::{Lease, Pool},
    running::{End, Running},
};
use crate::error::{Error, ErrorKind};
use ssh2::ErrorCode;
use std::{
    fmt,
    future::{Future, poll_fn},
    pin::pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};
use tokio::{
    sync::oneshot,
    time::{timeout, timeout_at},
};

/// What the machine may send of one stream before we have taken it: libssh2's own default.
const WINDOW: u32 = 2 << 20;
const PACKET: u32 = 32 << 10;
/// How long the error of a command that must be ended may wait for that end.
const PATIENCE: Duration = Duration::from_secs(5);
/// libssh2's code for a channel that the server refuses: CHANNEL_FAILURE.
const NO_CHANNEL: ErrorCode = ErrorCode::Session(-21);

/// A command on its way, and who waits for it.
pub(super) struct Execution {
    pub(super) pool: Arc<Pool>,
    pub(super) command: Command,
    pub(super) deadline: Option<Instant>,
    reply: Option<oneshot::Sender<Result<Output, Error>>>,
}

impl Execution {
    pub(super) fn new(
        pool: Arc<Pool>,
        command: Command,
        deadline: Option<Instant>,
        reply: oneshot::Sender<Result<Output, Error>>,
    ) -> Self {
        Self { pool, command, deadline, reply: Some(reply) }
    }

    /// What errors say was tried.
    pub(super) fn tried(&self) -> String {
        format!("run {} on {}", self.command.summary(), self.pool.target)
    }

    /// Answers, the first time.
    pub(super) fn answer(&mut self, result: Result<Output, Error>) {
        if let Some(reply) = self.reply.take() {
            // The one who waited may have gone.
            let _ = reply.send(result);
        }
    }

    /// Whether nobody waits for an answer any more.
    pub(super) fn poll_abandoned(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.reply.as_mut().map_or(Poll::Ready(()), |reply| reply.poll_closed(context))
    }

    pub(super) async fn abandoned(&mut self) {
        poll_fn(|context| self.poll_abandoned(context)).await;
    }

    /// Waits for something that must run to its end; if the deadline passes meanwhile, answers so.
    async fn within_deadline<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        if let Some(deadline) = self.deadline {
            if let Ok(done) = timeout_at(deadline.into(), &mut work).await {
                return done;
            }
            let error = Error::new(ErrorKind::TimedOut, self.tried()).because("the machine did not start it in time");
            self.answer(Err(error));
        }
        work.await
    }
}

/// A command with its place on a connection.
pub(super) struct Job {
    pub(super) execution: Execution,
    pub(super) lease: Lease,
    /// Where it goes back to if it can't be started here.
    pub(super) refuse: oneshot::Sender<(Execution, Refusal)>,
}

/// Why a command could not be started on a connection; certainly nothing of it has run.
pub(super) enum Refusal {
    NoChannel(String),
    Broken(String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::NoChannel(reason) | Self::Broken(reason)) = self;
        f.write_str(reason)
    }
}

/// Runs a command; returns when its channel is closed.
pub(super) async fn run(shared: Rc<Shared>, job: Job) {
    let Job { mut execution, lease, refuse } = job;
    let link = &shared.link;
    let open = async {
        let _alone = link.opening.lock().await;
        link.call(|session| session.channel_open("session", WINDOW, PACKET, None)).await
    };
    let channel = match execution.within_deadline(open).await {
        Ok(channel) => channel,
        Err(error) => {
            let reason = link.broken().unwrap_or_else(|| super::link::reason(&error));
            let refusal = if error.code() == NO_CHANNEL { Refusal::NoChannel(reason) } else { Refusal::Broken(reason) };
            // The place is given back only after the pool knows, so that it doesn't come here again.
            let _ = refuse.send((execution, refusal));
            drop(lease);
            return;
        }
    };
    drop(refuse);

    let marker = match Marker::new() {
        Ok(marker) => marker,
        Err(error) => return execution.answer(Err(error)),
    };
    let (wrapped, pty) = (execution.command.wrap(marker.text(), execution.pool.login_shell()), execution.command.pty);
    let mut running = Running::new(Rc::clone(&shared), channel, marker, &mut execution.command);
    let started = Instant::now();
    let begun = execution.within_deadline(running.start(wrapped, pty)).await;
    let end = match begun {
        Ok(()) => running.until_end(&mut execution).await,
        Err(end) => end,
    };
    let tried = execution.tried();
    let (stdout, stderr) = running.tails();
    let failed = |kind, reason: String| {
        Error::new(kind, tried).because(reason).with_evidence("stdout", stdout).with_evidence("stderr", stderr)
    };
    let (kind, reason) = match end {
        End::Closed => {
            execution.answer(Ok(running.output(started, false)));
            return running.close().await;
        }
        End::LeftOpen => {
            execution.answer(Ok(running.output(started, true)));
            // From here on it must not keep the pool, and so the connection.
            drop(execution);
            shared.linger();
            return running.drain().await;
        }
        End::Failed(error) => {
            let reason = link.broken().unwrap_or_else(|| super::link::reason(&error));
            let error = failed(ErrorKind::Connection, format!("the connection was lost before its end: {reason}"));
            execution.answer(Err(error.advise("whether it ran to its end is unknown")));
            return running.close().await;
        }
        End::Denied(what) => {
            execution.answer(Err(failed(ErrorKind::Connection, format!("the server refuses {what}"))));
            return running.close().await;
        }
        End::Starved => {
            let reason = "the start files of its login shell took what it was to read: they read all of it, or went on for half a minute";
            let error = failed(ErrorKind::Command, reason.to_owned());
            execution.answer(Err(error.advise("let them read in interactive shells only")));
            return running.close().await;
        }
        End::TimedOut => {
            let limit = execution.command.timeout.unwrap_or_default();
            let so_far = if running.has_begun() { "" } else { " until its login shell's start files were through" };
            (ErrorKind::TimedOut, format!("it took longer than {limit:?}{so_far}"))
        }
        End::TooMuch => {
            let limit = execution.command.limit.0;
            (ErrorKind::Command, format!("it wrote more than {limit} bytes to a stream"))
        }
        End::Abandoned => (ErrorKind::Cancelled, "nobody waited for it any more".to_owned()),
    };
    {
        let mut ending = pin!(running.end_processes(Arc::clone(&execution.pool)));
        let ended = timeout(PATIENCE, &mut ending).await;
        let outcome = ended.as_deref().unwrap_or("and is being ended");
        execution.answer(Err(failed(kind, format!("{reason}, {outcome}"))));
        if ended.is_err() {
            ending.await;
        }
    }
    running.close().await;
    drop(lease);
}
