//! How a sweep waits: for what, that somebody is told so, and for how long.

use super::{Sweep, look::Look};
use crate::{
    connection::patience::until_answered,
    error::{Error, ErrorKind},
    resource::Found,
    teardown::owned::free_within,
};
use std::time::{Duration, Instant};

/// After which time it is told what is waited for.
const TOLD_AFTER: Duration = Duration::from_secs(2);

/// One wait, which begins anew with each new thing that comes to light.
pub(super) struct Wait<'a> {
    sweep: &'a Sweep,
    since: Instant,
    told: String,
}

impl<'a> Wait<'a> {
    pub(super) fn new(sweep: &'a Sweep) -> Self {
        Self { sweep, since: Instant::now(), told: String::new() }
    }

    pub(super) fn begin_anew(&mut self) {
        self.since = Instant::now();
    }

    /// Goes on after a look that has found something, and perhaps couldn't end it.
    ///
    /// # Errors
    ///
    /// Nothing new has come to light for so long that whatever ends must have ended: it says what is left, and why.
    pub(super) async fn go_on(&mut self, look: &Look, failed: Option<Error>) -> Result<(), Error> {
        let is_over = self.since.elapsed() > free_within(&self.sweep.connection);
        if !is_over && self.since.elapsed() < TOLD_AFTER {
            return Ok(());
        }
        let left = self.left(look).await;
        if !is_over {
            if self.told != left {
                (self.sweep.tell.0)(&left);
                self.told = left;
            }
            return Ok(());
        }
        let error = match failed {
            Some(error) => error.because(left),
            None => Error::new(ErrorKind::TimedOut, "wait until what runs have left has ended").because(left),
        };
        Err(error.advise("end what uses it, if it is yours, and run `ec2-harness sweep` again"))
    }

    /// What is still there.
    async fn left(&self, look: &Look) -> String {
        let mut left = Vec::new();
        for found in &look.found {
            left.push(format!("{} {}{}", found.kind.noun(), found.id, self.users(found).await));
        }
        if look.more_may_come {
            left.push("what the journal names and EC2 doesn't show yet, or a run's watchdog is just ending".to_owned());
        }
        left.join(", ")
    }

    async fn users(&self, found: &Found) -> String {
        let Some(users) = found.kind.users else { return String::new() };
        // That nobody can be named is no reason to fail.
        let connection = &self.sweep.connection;
        let users = until_answered(connection, || users(connection, &found.id)).await.unwrap_or_default();
        if users.is_empty() { String::new() } else { format!(" (in use by {})", users.join(", ")) }
    }
}
