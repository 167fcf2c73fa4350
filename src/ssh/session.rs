//! A machine that is logged in to.

use super::{
    command::Command,
    driver::Driver,
    exec::Execution,
    host_key::HostKey,
    login::{Login, Target},
    output::Output,
    pool::Pool,
    route::Route,
};
use crate::error::{Error, ErrorKind};
use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{select, sync::oneshot};

/// A machine that is logged in to: a cheap handle to as many connections as its commands need.
///
/// The connections close when the last handle is dropped, once commands that somebody waits for are done. One that broke
/// (a reboot) is replaced when the next command needs it, with the same check of the host key.
#[derive(Clone)]
pub struct Session(pub(super) Arc<Pool>);

impl Session {
    /// Connects and logs in: one attempt, no retries.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Connection`] if nothing answers there or it hangs up, [`ErrorKind::TimedOut`] at the deadline,
    /// [`ErrorKind::HostKey`] if it is another machine, [`ErrorKind::Authentication`] if it refuses key or user,
    /// [`ErrorKind::Configuration`] if the key or the route can't be used, nothing will ever answer there, or the server takes none
    /// of our algorithms.
    pub async fn connect(route: Route, login: Login, deadline: Instant) -> Result<Self, Error> {
        let driver = Driver::next()?;
        let pool = Pool::new(Target { route, login }, driver);
        let session = Self(Arc::clone(&pool));
        let (mut reply, result) = oneshot::channel();
        driver.spawn(move || async move {
            let opened = select! {
                opened = pool.open(deadline) => opened,
                () = reply.closed() => return,
            };
            let _ = reply.send(opened);
        });
        result.await.unwrap_or_else(|_| Err(session.broke("connect to")))?;
        Ok(session)
    }

    /// Runs a command to its end.
    ///
    /// Its line is run by the machine's `sh`, whatever the login shell. Both streams are kept whole, up to its limit.
    /// Dropping the future ends the command, with its session and what descends from it, on the machine; so does its
    /// timeout, whose error comes when that is done. A background process that keeps the streams open doesn't delay the
    /// result by more than half a second of silence, and lives on.
    ///
    /// # Errors
    ///
    /// Only if it could not be run to its end: [`ErrorKind::Connection`], [`ErrorKind::TimedOut`],
    /// [`ErrorKind::Configuration`] if it can't be asked for, [`ErrorKind::Command`] if it wrote more than its limit;
    /// and those of [`connect`](Self::connect) where a new connection was needed. A status other than 0 is no error.
    pub async fn exec(&self, command: impl Into<Command>) -> Result<Output, Error> {
        let command = command.into();
        command.check()?;
        // What is too far away to be a time is no limit.
        let deadline = command.timeout.and_then(|timeout| Instant::now().checked_add(timeout.min(FOREVER)));
        let (reply, result) = oneshot::channel();
        let execution = Execution::new(Arc::clone(&self.0), command, deadline, reply);
        self.0.driver.spawn(move || Pool::execute(execution, false));
        result.await.unwrap_or_else(|_| Err(self.broke("run a command on")))
    }

    /// Closes all connections, those in use once their commands are done; the next command opens a new one.
    pub fn disconnect(&self) {
        self.0.close();
    }

    /// Whether there is a connection that isn't known to be broken. Silence isn't noticed for up to a minute.
    pub fn is_connected(&self) -> bool {
        self.0.is_connected()
    }

    /// The way to the machine.
    pub fn route(&self) -> &Route {
        &self.0.target.route
    }

    /// The user that is logged in.
    pub fn user(&self) -> &str {
        self.0.target.login.user()
    }

    /// The machine's host key, which was pinned at the first login; none where several were expected.
    pub fn host_key(&self) -> Option<HostKey> {
        self.0.target.login.host_key.expected().filter(|keys| keys.len() == 1).and_then(|mut keys| keys.pop())
    }

    pub(super) fn broke(&self, tried: &str) -> Error {
        Error::new(ErrorKind::Internal, format!("{tried} {}", self.0.target)).because("the thread for SSH broke down")
    }
}

/// A year: timers don't reach much further.
const FOREVER: Duration = Duration::from_secs(60 * 60 * 24 * 365);

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Session({} as {})", self.0.target, self.user())
    }
}
