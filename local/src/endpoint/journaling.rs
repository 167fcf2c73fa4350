//! The account and its journal as one: what is not written down has not happened.

use super::{
    BUILD, EndpointError, Settings,
    clock::Clock,
    journal::{Entry, Header, Journal, Story},
    process::account_settings,
    run_directory::RunDirectory,
    state::{Credentials, StateDirectory},
};
use crate::{
    account::Account,
    error::{ApiError, Code},
};
use ec2_state_directory::{Directory, shown};
use std::{
    collections::HashSet,
    fmt,
    fs::File,
    io,
    path::PathBuf,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::sync::Notify;

/// How long after it was written the journal is written through to the disk.
const WRITE_THROUGH: Duration = Duration::from_secs(1);

/// Writes down what changes in an account.
pub(super) struct Journaling {
    journal: Mutex<Journal>,
    /// Something is to be written, or to be written through.
    due: Notify,
    is_failing: AtomicBool,
}

impl Journaling {
    pub(super) fn new(journal: Journal) -> Self {
        Self { journal: Mutex::new(journal), due: Notify::new(), is_failing: AtomicBool::new(false) }
    }

    fn journal(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes down what has changed. What can't be written is tried again with what comes next, and a second later.
    pub(super) fn keep(&self, account: &mut Account, clock: &Clock) -> io::Result<()> {
        let kept = self.write(account, clock);
        let is_failing = kept.is_err();
        if let Err(error) = &kept
            && !self.is_failing.load(Ordering::Relaxed)
        {
            tracing::error!(
                "failed to write the journal: {error}; whatever changes the account is refused until it can be"
            );
        }
        self.is_failing.store(is_failing, Ordering::Relaxed);
        kept
    }

    fn write(&self, account: &mut Account, clock: &Clock) -> io::Result<()> {
        let Some(record) = account.unstored()? else { return Ok(()) };
        self.due.notify_one();
        let mut journal = self.journal();
        journal.append(&entry(clock, record))?;
        account.set_stored();
        if journal.is_overlong()
            && let Err(error) = journal.write_anew(&entry(clock, account.snapshot()?))
        {
            tracing::warn!("failed to write the journal anew: {error}; it goes on growing");
        }
        Ok(())
    }

    /// Something has changed that need not be written down at once.
    pub(super) fn keep_soon(&self) {
        self.due.notify_one();
    }

    /// Makes of an account what is written of it.
    pub(super) fn go_back(&self, account: &mut Account) -> Result<(), EndpointError> {
        let Story { entries, .. } = self.journal().story()?;
        let records = entries.into_iter().map(|entry| entry.record);
        account.go_back(records).map_err(|e| EndpointError::State {
            tried: "go back to what is written in",
            path: PathBuf::from("the journal"),
            source: io::Error::other(e),
        })
    }

    /// The account ends: nobody is to take it over.
    pub(super) fn end(&self) {
        if let Err(error) = self.journal().end() {
            tracing::warn!("failed to remove the journal: {error}");
        }
    }

    /// Somebody has taken the journal away: what happens from now on is no part of the account.
    pub(super) fn leave(&self) {
        self.journal().leave();
    }

    /// Waits until something is due to be written, or written through to the disk, and a second more.
    pub(super) async fn due(&self) {
        self.due.notified().await;
        tokio::time::sleep(WRITE_THROUGH).await;
    }

    /// What is to be written through now.
    pub(super) fn handle(&self) -> io::Result<File> {
        self.journal().handle()
    }

    /// Whether the journal can't be written.
    pub(super) fn is_failing(&self) -> bool {
        self.is_failing.load(Ordering::Relaxed)
    }
}

fn entry(clock: &Clock, record: crate::account::Record) -> Entry {
    Entry { at: clock.now(), advanced: clock.advanced(), record }
}

/// What is answered where nothing can be written down.
pub(super) fn unavailable(error: &dyn fmt::Display) -> ApiError {
    let message = format!(
        "The server can't handle the request, and nothing was done: the endpoint can't write its journal: {error}; see that \
         there is room in its state directory"
    );
    ApiError::new(Code::Unavailable, message)
}

/// An account that is kept from now on.
pub(super) struct Opened {
    pub(super) account: Account,
    pub(super) journaling: Journaling,
    pub(super) clock: Clock,
    /// What no two accounts share.
    pub(super) identity: String,
    /// The seed of what happens by chance.
    pub(super) seed: u64,
    /// The factor on all times that AWS takes.
    pub(super) pace: f64,
    pub(super) taken_over: Option<TakenOver>,
}

/// An account that an endpoint that was killed has left.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TakenOver {
    /// The build of that endpoint.
    pub build: String,
    /// How many instances boot again.
    pub instances: usize,
}

/// Opens the account that is in the directory, or a new one.
pub(super) fn open(
    run_directory: &mut RunDirectory,
    state: &StateDirectory,
    settings: &Settings,
    credentials: &Credentials,
) -> Result<Opened, EndpointError> {
    let run = run_directory.run()?;
    let Some(story) = run_directory.take_story() else {
        let seed = settings.seed.unwrap_or_else(|| getrandom::u64().unwrap_or(1));
        let settings = Settings { seed: Some(seed), ..settings.clone() };
        let made = account_settings(&settings, credentials, seed);
        let pace = made.pace;
        let mut account = Account::new(made);
        let clock = Clock::default();
        let header = Header::new(clock.now(), settings);
        let identity = header.account.clone();
        let journaling = begin(run, header, &mut account, &clock)?;
        return Ok(Opened { account, journaling, clock, identity, seed, pace, taken_over: None });
    };
    let wrong = |reason: String| EndpointError::TakeOver { directory: state.run(), reason };
    let clock = story.clock().map_or_else(Clock::default, |(at, advanced)| Clock::resumed(at, advanced));
    let Story { header, entries } = story;
    let (build, identity) = (header.build.clone(), header.account.clone());
    // The account's own seed stays, whatever happens by chance from now on.
    let own = header.settings.seed.unwrap_or(1);
    let seed = settings.seed.unwrap_or(own);
    let settings = Settings { seed: Some(own), pace: settings.pace.or(header.settings.pace), ..settings.clone() };
    let mut made = account_settings(&settings, credentials, own);
    made.conditions_seed = seed;
    let pace = made.pace;
    let records = entries.into_iter().map(|entry| entry.record);
    let mut account = Account::restored(made, settings.conditions, records)
        .map_err(|e| wrong(format!("it is of the build {build}, and this build can't read it: {e}")))?;
    // Before any instance may end, and let go of its volume.
    run_directory.give_disks_to(account.root_volumes())?;
    let instances = account.take_over(clock.now());
    let volumes: HashSet<&str> = account.volumes().collect();
    run_directory.keep_disks(|volume| volumes.contains(volume))?;
    let layers: HashSet<&str> = account.layers().collect();
    run_directory.keep_layers(|snapshot| layers.contains(snapshot))?;
    tracing::info!(build, account = identity, instances, "took over an account whose endpoint was killed");
    let journaling = begin(run, header.taken_over(settings), &mut account, &clock)?;
    let taken_over = Some(TakenOver { build, instances });
    Ok(Opened { account, journaling, clock, identity, seed, pace, taken_over })
}

fn begin(run: Directory, header: Header, account: &mut Account, clock: &Clock) -> Result<Journaling, EndpointError> {
    let snapshot = account.snapshot().map_err(io::Error::from).map_err(super::state::failed("write to", run.path()))?;
    let journal = Journal::begin(run, header, &entry(clock, snapshot))?;
    account.set_stored();
    let journaling = Journaling::new(journal);
    journaling.keep_soon();
    Ok(journaling)
}

/// What an endpoint says when it opens; as text, a line for each thing.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Opening {
    /// The URL of its Query API.
    pub url: String,
    /// What AWS does to you.
    pub conditions: crate::conditions::Conditions,
    /// The seed of what happens by chance.
    pub seed: u64,
    /// The account that it has taken over, where it has not made a new one.
    pub taken_over: Option<TakenOver>,
    /// The directories of other accounts whose endpoints were killed. A later start takes them over, one at a time.
    pub left: Vec<PathBuf>,
    /// Who answers in the machines' place at port 22 of their public addresses, and what to do.
    pub ssh: Option<String>,
}

impl fmt::Display for Opening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "serving EC2 on {}", self.url)?;
        writeln!(f, "conditions: {}, seed {}", self.conditions, self.seed)?;
        if let Some(TakenOver { build, instances }) = &self.taken_over {
            let whose = if build == BUILD { String::new() } else { format!(" of the build {build}") };
            let boot = if *instances == 1 { "instance boots" } else { "instances boot" };
            writeln!(f, "took over the account of an endpoint{whose} that was killed: {instances} {boot} again")?;
        }
        for directory in &self.left {
            let directory = shown(&directory.to_string_lossy());
            writeln!(f, "another such account is left for a later start, in {directory}")?;
        }
        if let Some(warning) = &self.ssh {
            writeln!(f, "note: {warning}")?;
        }
        Ok(())
    }
}
