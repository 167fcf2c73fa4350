//! The connections to one machine: as many as its commands need, since a server lets only so many share one.

use super::{
    command::{Command, LoginShell},
    connection::Connection,
    driver::Driver,
    exec::{Execution, Job, Refusal},
    login::Target,
    output::Output,
};
use crate::error::{Error, ErrorKind};
use std::{
    future::pending,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, Instant},
};
use tokio::{
    select,
    sync::{Notify, oneshot},
    time::{sleep, sleep_until},
};

/// How many channels we open on one connection. OpenSSH refuses the eleventh (MaxSessions); the last two are for those
/// that end others.
const CHANNELS: usize = 8;
const URGENT: usize = 2;
/// How many connections we keep to one machine; further commands wait for their turn.
const CONNECTIONS: usize = 16;
/// How many connections we open at once; OpenSSH drops them at random from the tenth on (MaxStartups).
const OPENING: usize = 4;
/// How long a connection beyond the first one is kept without use.
const IDLE: Duration = Duration::from_secs(30);
/// How long a reconnect may take.
const RECONNECT: Duration = Duration::from_secs(15);
/// How often a command, that certainly has not begun, is tried again on another connection.
const ATTEMPTS: usize = 8;

pub(super) struct Pool {
    pub(super) target: Target,
    pub(super) driver: &'static Driver,
    state: Mutex<State>,
    changed: Notify,
}

struct State {
    slots: Vec<Slot>,
    opening: usize,
    last: u64,
    login_shell: LoginShell,
    pruning: bool,
}

struct Slot {
    number: u64,
    connection: Connection,
    running: usize,
    room: usize,
    idle_since: Instant,
}

/// A place on a connection; dropping it frees the place.
pub(super) struct Lease {
    pool: Weak<Pool>,
    number: u64,
}

impl Pool {
    pub(super) fn new(target: Target, driver: &'static Driver) -> Arc<Self> {
        let state = State { slots: Vec::new(), opening: 0, last: 0, login_shell: LoginShell::Other, pruning: false };
        Arc::new(Self { target, driver, state: Mutex::new(state), changed: Notify::new() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn login_shell(&self) -> LoginShell {
        self.state().login_shell
    }

    pub(super) fn set_login_shell(&self, shell: LoginShell) {
        self.state().login_shell = shell;
    }

    /// Opens a connection more.
    pub(super) async fn open(&self, deadline: Instant) -> Result<(), Error> {
        struct Opening<'a>(&'a Pool);
        impl Drop for Opening<'_> {
            fn drop(&mut self) {
                self.0.state().opening -= 1;
                self.0.changed.notify_waiters();
            }
        }
        self.state().opening += 1;
        let _opening = Opening(self);
        let connection = Connection::open(&self.target, deadline).await?;
        let mut state = self.state();
        state.last += 1;
        let number = state.last;
        state.slots.push(Slot { number, connection, running: 0, room: CHANNELS, idle_since: Instant::now() });
        Ok(())
    }

    /// Closes all connections, those in use when their commands are done; the next command opens a new one.
    pub(super) fn close(&self) {
        self.state().slots.clear();
        self.changed.notify_waiters();
    }

    /// Whether there is a connection that isn't known to be broken.
    pub(super) fn is_connected(&self) -> bool {
        self.state().slots.iter().any(|slot| !slot.connection.is_broken())
    }

    /// A place on the connection with the fewest commands; opens one if all are full.
    async fn check_out(
        self: &Arc<Self>,
        urgent: bool,
        deadline: Option<Instant>,
    ) -> Result<(Lease, Connection), Error> {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            // A change between our look and our wait must not be missed.
            changed.as_mut().enable();
            let (may_open, alone) = {
                let mut state = self.state();
                state.slots.retain(|slot| !slot.connection.is_broken());
                let has_room = |slot: &&mut Slot| {
                    let margin = if urgent && slot.room == CHANNELS { URGENT } else { 0 };
                    slot.running < slot.room + margin
                };
                if let Some(slot) = state.slots.iter_mut().filter(has_room).min_by_key(|slot| slot.running) {
                    slot.running += 1;
                    let lease = Lease { pool: Arc::downgrade(self), number: slot.number };
                    return Ok((lease, slot.connection.clone()));
                }
                let few = urgent || state.slots.len() + state.opening < CONNECTIONS;
                (few && state.opening < OPENING, state.slots.is_empty())
            };
            if may_open {
                let latest = Instant::now() + RECONNECT;
                match self.open(deadline.map_or(latest, |deadline| deadline.min(latest))).await {
                    Ok(()) => continue,
                    // The server may have enough of our connections: wait for a place on one of them.
                    Err(error) if !alone && error.kind() == ErrorKind::Connection => {
                        tracing::debug!(%error, "no further connection");
                        select! { () = changed => {}, () = sleep(Duration::from_secs(1)) => {} }
                    }
                    Err(error) => return Err(error),
                }
            } else {
                changed.await;
            }
        }
    }

    /// Runs a command to its end, on this thread; its result goes to the one who waits for it.
    pub(super) async fn execute(mut execution: Execution, urgent: bool) {
        let mut refusals = Vec::new();
        loop {
            let pool = Arc::clone(&execution.pool);
            let deadline = execution.deadline;
            let expired = async {
                match deadline {
                    Some(deadline) => sleep_until(deadline.into()).await,
                    None => pending().await,
                }
            };
            let checked_out = select! {
                biased;
                () = execution.abandoned() => return,
                place = pool.check_out(urgent, deadline) => place,
                () = expired => Err(pool.target.failed(ErrorKind::TimedOut).because("no connection was free in time")),
            };
            let (lease, connection) = match checked_out {
                Ok(place) => place,
                Err(error) => {
                    let error = error.while_trying(&execution.tried());
                    return execution.answer(Err(error));
                }
            };
            let number = lease.number;
            let (refuse, refused) = oneshot::channel();
            if let Err(job) = connection.run(Box::new(Job { execution, lease, refuse })) {
                // It broke since we looked; nothing was sent.
                execution = job.execution;
                continue;
            }
            let Ok((returned, refusal)) = refused.await else { return };
            execution = returned;
            if let Refusal::NoChannel(_) = &refusal {
                pool.shrink(number);
            }
            refusals.push(refusal.to_string());
            if refusals.len() >= ATTEMPTS {
                let error = Error::new(ErrorKind::Connection, execution.tried())
                    .because(format!("it could not be started on {} connections: {}", ATTEMPTS, refusals.join("; ")))
                    .advise("look at MaxSessions and MaxStartups in the machine's sshd_config");
                return execution.answer(Err(error));
            }
        }
    }

    /// Runs a command of our own, ahead of all others.
    pub(super) async fn run_urgently(self: &Arc<Self>, command: Command, deadline: Instant) -> Result<Output, Error> {
        let (reply, result) = oneshot::channel();
        let execution = Execution::new(Arc::clone(self), command, Some(deadline), reply);
        tokio::task::spawn_local(Self::execute(execution, true));
        result.await.unwrap_or_else(|_| Err(Error::new(ErrorKind::Internal, "run a command of our own")))
    }

    /// A connection refused a channel: it has no room for more than it has now.
    fn shrink(&self, number: u64) {
        let mut state = self.state();
        if let Some(slot) = state.slots.iter_mut().find(|slot| slot.number == number) {
            slot.room = slot.room.min(slot.running);
        }
        // A connection that takes nothing at all is of no use.
        state.slots.retain(|slot| slot.room > 0);
    }

    /// Closes connections that were not used for a while, but for one.
    fn prune(self: &Arc<Self>) {
        let mut state = self.state();
        let mut spare = state.slots.len().saturating_sub(1);
        state.slots.retain(|slot| {
            let is_kept = spare == 0 || slot.running > 0 || slot.idle_since.elapsed() < IDLE;
            spare -= usize::from(!is_kept);
            is_kept
        });
        let is_worthwhile = state.slots.len() > 1;
        if is_worthwhile && !state.pruning {
            state.pruning = true;
            let pool = Arc::downgrade(self);
            self.driver.spawn(move || async move {
                sleep(IDLE).await;
                if let Some(pool) = pool.upgrade() {
                    pool.state().pruning = false;
                    pool.prune();
                }
            });
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(pool) = self.pool.upgrade() else { return };
        let mut is_extra = false;
        {
            let mut state = pool.state();
            is_extra |= state.slots.len() > 1 && !state.pruning;
            if let Some(slot) = state.slots.iter_mut().find(|slot| slot.number == self.number) {
                slot.running -= 1;
                slot.idle_since = Instant::now();
            }
        }
        pool.changed.notify_waiters();
        if is_extra {
            pool.prune();
        }
    }
}
