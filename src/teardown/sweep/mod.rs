//! The sweep: ends what a run has left, from tags, which everybody sees, and from the journals of this host.
//!
//! It is a fixpoint: EC2 is eventually consistent, so it looks again until two spaced looks find nothing, and nothing that a
//! journal names can come to light any more.

mod journaled;
mod look;
mod wait;

pub(crate) use journaled::find_made;

use super::{journal::Journal, owned::is_in_use};
use crate::{
    caps,
    connection::{Connection, patience::until_answered, tags},
    error::{Error, ErrorKind},
    resource::{Found, KINDS, Life, in_order, result_of},
    run,
    target::Target,
    task::{OnDrop, Operation, operation},
};
use aws_sdk_ec2::types::Filter;
use look::Look;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};
use wait::Wait;

/// The two last looks are this far apart, so that what is seen late mostly is by then; the local EC2 shows everything sooner.
const PAUSE: Duration = Duration::from_secs(5);
const PAUSE_LOCAL: Duration = Duration::from_millis(100);

/// What a sweep takes.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Which {
    /// Runs of this user on this host that no process belongs to any more, and whatever is past its lease.
    Over,
    /// One run, whether it is over or not; what of it is kept stays if it is to be spared, and what that needs.
    Run { id: String, spare_kept: bool },
    /// One thing of ours, by its id.
    One(String),
    /// What the journal of the connection's own run has with these tokens.
    Journaled(BTreeSet<String>),
    /// All that ec2-harness has ever made for this user on this host.
    Mine,
}

/// What a run that is over has left.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Remains {
    /// Something that lived as long as its test, and that nobody wanted to keep.
    pub(crate) unwanted: bool,
    /// Something that was kept on purpose.
    pub(crate) kept: bool,
}

/// Looks what the connection's own run has left.
pub(crate) fn remains_of_run(connection: Arc<Connection>) -> Operation<Remains> {
    Operation::new("look what a run has left", OnDrop::Cancel, async move {
        remains_of(&connection, connection.run.id(), connection.run.incarnation().unwrap_or_default()).await
    })
}

/// What the run that lies in a directory of this host, or lay there, has left.
async fn remains_of(connection: &Arc<Connection>, run: &str, incarnation: &str) -> Result<Remains, Error> {
    let mut remains = Remains::default();
    let by = |key: &str, value: &str| Filter::builder().name(format!("tag:{key}")).values(value).build();
    // Elsewhere there may be a run of the same id.
    let filters = vec![by(tags::RUN, run), by(tags::INCARNATION, incarnation)];
    for kind in KINDS.iter().filter(|kind| kind.life == Life::Test) {
        let found = until_answered(connection, || (kind.find)(connection, filters.clone())).await?;
        for found in found.iter().filter(|found| !found.has_ended) {
            if is_cached(found)? {
                continue;
            }
            let is_kept = is_kept(found)?;
            remains.kept |= is_kept;
            remains.unwanted |= !is_kept;
        }
    }
    // What a killed process was making, or has made, may not be seen just now.
    let journaled = run::directory_of(run)?.map(|directory| Journal::of_run(&directory, connection).entries());
    let is_of_a_test =
        |entries: Vec<_>| entries.iter().any(|entry: &super::journal::Entry| entry.kind().life == Life::Test);
    remains.unwanted |= journaled.is_some_and(is_of_a_test);
    Ok(remains)
}

/// Whether something is kept: its tag says so, or, where that isn't seen yet, its run's directory.
fn is_kept(found: &Found) -> Result<bool, Error> {
    let run = found.tag(tags::RUN).unwrap_or_default();
    Ok(found.tag(tags::KEPT).is_some() || run::kept(run)?.contains(&found.id))
}

/// Whether something belongs to no run any more, though its tags are seen as they were when it still did.
fn is_cached(found: &Found) -> Result<bool, Error> {
    let run = found.tag(tags::RUN).unwrap_or_default();
    Ok(found.tag(tags::SNAPSHOT).is_some() && run::cached(run)?.contains(&found.id))
}

/// A sweep that is about to run; see [`Ec2::sweep`](crate::ec2::Ec2::sweep).
#[derive(Debug, Clone)]
#[must_use = "nothing is swept before `.await`, `.wait()` or `.start()`"]
pub struct Sweep {
    connection: Arc<Connection>,
    /// How long the directories of runs stay that are over.
    lease: Duration,
    which: Which,
    dry_run: bool,
    tell: Tell,
}

/// Who is told what a sweep waits for.
#[derive(Clone)]
struct Tell(Arc<dyn Fn(&str) + Send + Sync>);

impl fmt::Debug for Tell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tell")
    }
}

/// What a sweep has ended, or would end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Swept {
    /// Each of them, by kind and id.
    pub resources: BTreeSet<Resource>,
    /// The runs that were left alone though no process of theirs is seen here, and until when their tags say that they live: their
    /// state directory is another, or is gone. [`Sweep::run_id`] takes one nevertheless.
    pub alive: BTreeMap<String, SystemTime>,
}

/// Something in EC2; its `Display` is its kind and id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct Resource {
    /// EC2's word for its kind, as in the resource types of tags: `instance`, `key-pair`, `security-group`.
    pub kind: String,
    /// Its id; of a key pair the name.
    pub id: String,
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.replace('-', " "), self.id)
    }
}

impl Swept {
    /// Adds what a look has found; says whether any of it is new.
    fn add(&mut self, look: &Look) -> bool {
        let before = self.resources.len();
        let resource = |found: &Found| Resource { kind: found.kind.word.to_owned(), id: found.id.clone() };
        self.resources.extend(look.found.iter().map(resource));
        self.alive.clone_from(&look.alive);
        self.resources.len() > before
    }

    /// Whether nothing was found.
    pub fn is_empty(&self) -> bool {
        self.resources.is_empty()
    }
}

impl Sweep {
    pub(crate) fn new(connection: Arc<Connection>, lease: Duration) -> Self {
        Self { connection, lease, which: Which::Over, dry_run: false, tell: Tell(Arc::new(|_| {})) }
    }

    /// Takes what the connection's own run has left, but for what is kept, and what that needs.
    pub(crate) fn own_run(mut self) -> Self {
        self.which = Which::Run { id: self.connection.run.id().to_owned(), spare_kept: true };
        self
    }

    /// Takes what the connection's own run has journaled with these tokens, but for what is kept.
    pub(crate) fn journaled(mut self, tokens: BTreeSet<String>) -> Self {
        self.which = Which::Journaled(tokens);
        self
    }

    /// Takes everything of one run, even while it goes on. Default: runs that are over, and what is past its lease.
    pub fn run_id(mut self, id: impl Into<String>) -> Self {
        self.which = Which::Run { id: id.into(), spare_kept: false };
        self
    }

    /// Takes one instance that ec2-harness has launched.
    pub fn instance(mut self, id: impl Into<String>) -> Self {
        self.which = Which::One(id.into());
        self
    }

    /// Takes everything that ec2-harness has made for this user on this host, also what is in use.
    pub fn mine(mut self) -> Self {
        self.which = Which::Mine;
        self
    }

    /// Has somebody told what the sweep waits for, whenever that changes and it has waited for 2 seconds. Default: nobody.
    pub fn on_wait(mut self, tell: impl Fn(&str) + Send + Sync + 'static) -> Self {
        self.tell = Tell(Arc::new(tell));
        self
    }

    /// Only looks. Default: ends what it finds.
    pub fn dry_run(mut self) -> Self {
        self.dry_run = true;
        self
    }

    async fn run(self) -> Result<Swept, Error> {
        if let Which::Run { id, .. } = &self.which {
            // A filter would take `*` for all that there is.
            run::check_id(id, || "sweep a run".to_owned())?;
        }
        let mut swept = Swept::default();
        let (mut empty_looks, mut wait) = (0, Wait::new(&self));
        while empty_looks < 2 {
            let look = until_answered(&self.connection, || self.look()).await?;
            if swept.add(&look) {
                wait.begin_anew();
            }
            if self.dry_run {
                return Ok(swept);
            }
            let ended = self.end(&look).await;
            // Machines that are shutting down still hold their groups, and what was seen once may be gone for a moment.
            if let Err(error) = &ended
                && !may_pass(error)
            {
                return ended.map(|()| swept);
            }
            if !look.is_empty() {
                wait.go_on(&look, ended.err()).await?;
            }
            empty_looks = if look.is_empty() { empty_looks + 1 } else { 0 };
            if empty_looks < 2 {
                tokio::time::sleep(if self.connection.target == Target::Local { PAUSE_LOCAL } else { PAUSE }).await;
            }
        }
        self.give_back(&swept).await?;
        self.remove_directories().await?;
        if self.which == Which::Over {
            run::remove_stale(self.lease)?;
        }
        Ok(swept)
    }

    /// What has ended counts no more: what is left of runs whose processes were killed before they could say so.
    async fn give_back(&self, swept: &Swept) -> Result<(), Error> {
        let which = self.which.clone();
        let is_over = move |run: &str| match &which {
            Which::Over => !run::directory_of(run).ok().flatten().is_some_and(|directory| run::is_living(&directory)),
            Which::Run { id, .. } => id == run,
            Which::Mine => true,
            Which::One(_) | Which::Journaled(_) => false,
        };
        let ended = swept.resources.iter().map(|resource| resource.id.clone()).collect();
        caps::forget(&self.connection, ended, is_over).await
    }

    /// Removes the directories of swept runs that are over, and whose watchdog was killed along with them. The key in there is
    /// needed for as long as machines were kept, and the journal until it is settled: a run may have been killed since the last
    /// look.
    async fn remove_directories(&self) -> Result<(), Error> {
        let is_swept = |run: &str| match &self.which {
            Which::Over | Which::Mine => true,
            Which::Run { id, spare_kept } => id == run && !spare_kept,
            Which::One(_) | Which::Journaled(_) => false,
        };
        let place = self.connection.place();
        for (directory, over) in run::abandoned(&place)? {
            let id = directory.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if !is_swept(id) {
                continue;
            }
            let incarnation = run::incarnation_of(&directory).unwrap_or_default();
            let is_settled = Journal::of_run(&directory, &self.connection).entries().is_empty();
            if is_settled && !remains_of(&self.connection, id, &incarnation).await?.kept {
                run::leave(&directory, &place, over)?;
            }
        }
        Ok(())
    }

    /// Ends what can be ended now, in the order of the table; the error names what can't, and first what never will.
    async fn end(&self, look: &Look) -> Result<(), Error> {
        let mut all_left = Vec::new();
        for kind in in_order() {
            let of_kind: Vec<_> = look.found.iter().filter(|found| found.kind == kind).collect();
            if of_kind.is_empty() {
                continue;
            }
            let endings = of_kind.iter().map(|found| found.ending(false)).collect();
            let left = (kind.end)(&self.connection, endings).await.err();
            let is_left = |found: &Found| left.as_ref().is_some_and(|left| left.ids.contains(&found.id));
            of_kind.iter().filter(|found| !is_left(found)).for_each(|found| look.settle(found));
            all_left.extend(left.map(|left| (kind, left)));
        }
        all_left.sort_by_key(|(_, left)| may_pass(&left.error));
        result_of(all_left)
    }
}

/// Whether what couldn't be ended may be so a little later.
fn may_pass(error: &Error) -> bool {
    is_in_use(error) || error.is_transient() || error.kind() == ErrorKind::NotFound
}

operation!(Sweep -> Swept, "sweep", Finish);
