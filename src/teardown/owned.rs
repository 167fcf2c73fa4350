//! What we have made and must end, whatever its kind.

use super::{journal::Entry, live};
use crate::{
    connection::{
        Connection,
        patience::{LOOK_PAUSE, LOOK_PAUSE_MAX, pauses},
    },
    error::{Error, ErrorKind},
    resource::{Ending, KINDS, Kind, Left, result_of},
};
use futures_util::future::{BoxFuture, join_all, ready};
use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

/// How long something may be in use whose users are ending: as long as a machine may take to be terminated on AWS, and less at a
/// local EC2 as everything takes less there.
const FREE_WITHIN: Duration = Duration::from_secs(5 * 60);
const FREE_WITHIN_MIN: Duration = Duration::from_secs(10);

/// How long that is at a connection.
pub(crate) fn free_within(connection: &Connection) -> Duration {
    FREE_WITHIN.mul_f64(connection.pace().min(1.0)).max(FREE_WITHIN_MIN)
}

/// Something that we have made and must end: what guards, the register and a test's scope hold.
pub(crate) trait Owned: fmt::Display + Send + Sync {
    fn identity(&self) -> &Identity;

    /// The name that reports use.
    fn name(&self) -> &str;

    /// Whether EC2 has ever shown it: if so, not to be found is to be gone.
    fn was_seen(&self) -> bool;

    /// What ends it.
    fn ending(&self) -> Ending {
        Ending::new(&*self.identity().id, self.was_seen())
    }

    /// Lets go of what holds on to it, before its end.
    fn let_go(&self) -> BoxFuture<'_, ()> {
        Box::pin(ready(()))
    }

    /// Gives back what is free again once EC2 has accepted its end.
    fn release(&self) {}

    /// What it shows when its test has failed, each with its title; best effort.
    fn evidence(&self) -> BoxFuture<'_, Vec<(&'static str, String)>> {
        Box::pin(ready(Vec::new()))
    }

    /// What a person should know of it however its test ended, with its title.
    fn remark(&self) -> Option<(&'static str, String)> {
        None
    }

    /// How to log in to it, if it is a machine of this test's.
    fn log_in(&self, _test: &str) -> Option<String> {
        None
    }

    /// Leaves it beyond its test: it is forgotten here, and its lease begins anew. Says how to reach it, and how to end it.
    fn keep(&self) -> BoxFuture<'_, Result<String, Error>> {
        let tried = format!("keep {self}");
        Box::pin(ready(Err(Error::new(ErrorKind::Refused, tried).because("nothing of its kind can be kept"))))
    }
}

/// What something in EC2 is and where, and what was decided about its end.
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) kind: &'static Kind,
    /// By which it is ended.
    pub(crate) id: String,
    pub(crate) connection: Arc<Connection>,
    /// What the journal has of the call that made it; `None` if somebody else has made it.
    journaled: Option<Entry>,
    /// How and where it was ended.
    ended: Mutex<Option<String>>,
    forgotten: AtomicBool,
}

impl Identity {
    pub(crate) fn new(kind: &'static Kind, id: String, connection: Arc<Connection>, journaled: Option<Entry>) -> Self {
        Self { kind, id, connection, journaled, ended: Mutex::default(), forgotten: AtomicBool::new(false) }
    }

    /// Whether we have made it: the run's tag finds it.
    pub(crate) fn is_ours(&self) -> bool {
        self.journaled.is_some()
    }

    /// How and where it was ended, if it was.
    pub(crate) fn ended(&self) -> Option<String> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether EC2 has accepted its end, or nobody of us is to end it.
    pub(crate) fn is_forgotten(&self) -> bool {
        self.forgotten.load(Ordering::SeqCst)
    }

    /// Notes how it is ended; the first who does is right.
    pub(crate) fn mark_ended(&self, how: impl Into<String>) {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| how.into());
    }

    /// Nobody is to end it any more: it has ended, or is kept.
    pub(crate) fn forget(&self) {
        let is_first = !self.forgotten.swap(true, Ordering::SeqCst);
        live::remove(self);
        if let Some(journaled) = self.journaled.as_ref().filter(|_| is_first) {
            journaled.settle_one();
        }
    }
}

/// Ends some, kind by kind in the order of the table; returns once EC2 has accepted it. What has ended already, by whomever, is no
/// error; what is in use is tried again until its users must have ended.
pub(crate) async fn end_all(owned: Vec<Arc<dyn Owned>>) -> Result<(), Error> {
    for it in &owned {
        it.identity().mark_ended("at the end of its test");
    }
    join_all(owned.iter().map(|it| it.let_go())).await;
    let mut groups: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for it in &owned {
        let Identity { kind, connection, .. } = it.identity();
        groups.entry((kind.rank, kind.word, Arc::as_ptr(connection) as usize)).or_default().push(it);
    }
    let mut left = Vec::new();
    for owned in groups.into_values() {
        left.extend(end_alike(owned).await);
    }
    result_of(left)
}

/// The same, for some of one kind and one connection; says what is left.
async fn end_alike(mut owned: Vec<&Arc<dyn Owned>>) -> Option<(&'static Kind, Left)> {
    let (since, mut pauses) = (Instant::now(), pauses(LOOK_PAUSE, LOOK_PAUSE_MAX));
    while let Some(Identity { kind, connection, .. }) = owned.first().map(|it| it.identity()) {
        let left = (kind.end)(connection, owned.iter().map(|it| it.ending()).collect()).await.err();
        let is_left = |id: &String| left.as_ref().is_some_and(|left| left.ids.contains(id));
        let (still, ended): (Vec<_>, Vec<_>) = owned.into_iter().partition(|it| is_left(&it.identity().id));
        for it in ended {
            it.identity().forget();
            it.release();
        }
        match left {
            None => return None,
            Some(left) if is_in_use(&left.error) && since.elapsed() < free_within(connection) => pauses.next().await,
            Some(left) => return Some((kind, with_users(connection, kind, left).await)),
        }
        owned = still;
    }
    None
}

/// What is left, with what it is in use by, where that is the reason and can be told.
async fn with_users(connection: &Connection, kind: &Kind, mut left: Left) -> Left {
    let (true, Some(find), Some(id)) = (is_in_use(&left.error), kind.users, left.ids.first()) else { return left };
    let users = find(connection, id).await.unwrap_or_default();
    if !users.is_empty() {
        let advice =
            format!("{id} is in use by {}: end what of that is yours, then run `ec2-harness sweep`", users.join(", "));
        left.error = left.error.advise(advice);
    }
    left
}

/// Whether an error says that something is in use, which passes once its users have ended.
pub(crate) fn is_in_use(error: &Error) -> bool {
    KINDS.iter().any(|kind| error.code().is_some_and(|code| kind.in_use.contains(&code)))
}
