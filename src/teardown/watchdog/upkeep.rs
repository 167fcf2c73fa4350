//! What a watchdog does while its run goes on: it ends what single processes have left that were killed, and lets everybody see at
//! EC2 that the run lives.

use super::GRACE;
use crate::{
    config::Config,
    connection::{Connection, patience::until_answered, tags},
    error::{Error, ErrorKind},
    resource::KINDS,
    run::Run,
    task::{OnDrop, Operation},
    teardown::{journal::Journal, sweep::Sweep},
};
use aws_sdk_ec2::types::{Filter, Tag};
use std::{
    collections::{BTreeSet, HashMap},
    sync::{
        Arc,
        mpsc::{RecvTimeoutError, Sender, channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// How often it is looked what processes have left. That asks nobody but the run's directory.
const LOOK: Duration = Duration::from_secs(1);

/// `CreateTags` takes up to 1,000 resources.
const BATCH: usize = 500;

/// The thread that does it.
pub(super) struct Upkeep {
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl Upkeep {
    pub(super) fn start(run: &'static Run, config: &Config, place: &str) -> Result<Self, Error> {
        let (stop, stopped) = channel();
        let mut state = State {
            run,
            config: config.clone(),
            place: place.to_owned(),
            orphans: HashMap::new(),
            renewed: Instant::now(),
        };
        let looks = move || {
            while stopped.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
                if let Err(error) = state.look() {
                    tracing::warn!("failed to {error}; it is tried again");
                }
            }
        };
        let thread = thread::Builder::new().name("upkeep".into()).spawn(looks);
        let failed = |e| Error::new(ErrorKind::Internal, "start the thread that looks after the run").caused_by(e);
        Ok(Self { stop, thread: thread.map_err(failed)? })
    }

    /// Ends it; what it is just doing is waited for.
    pub(super) fn stop(self) {
        drop(self.stop);
        // Whatever it was: the run's end looks again.
        let _ = self.thread.join();
    }
}

struct State {
    run: &'static Run,
    config: Config,
    place: String,
    /// What was left, by its token, and since when that is seen.
    orphans: HashMap<String, Instant>,
    renewed: Instant,
}

impl State {
    fn look(&mut self) -> Result<(), Error> {
        let now: BTreeSet<_> = Journal::of_place(self.run.directory(), &self.place)
            .orphans()
            .iter()
            .map(|entry| entry.token().to_owned())
            .collect();
        self.orphans.retain(|token, _| now.contains(token));
        now.into_iter().for_each(|token| {
            self.orphans.entry(token).or_insert_with(Instant::now);
        });
        let due: BTreeSet<_> =
            self.orphans.iter().filter(|(_, since)| since.elapsed() > GRACE).map(|(token, _)| token.clone()).collect();
        if !due.is_empty() && self.config.target.is_there() {
            Sweep::new(self.connect()?, self.config.lease).journaled(due).wait()?;
        }
        if self.renewed.elapsed() > tags::ALIVE_RENEWED_EVERY && self.config.target.is_there() {
            self.renewed = Instant::now();
            let connection = self.connect()?;
            Operation::new("show that the run lives", OnDrop::Cancel, async move { renew(&connection).await })
                .wait()?;
        }
        Ok(())
    }

    /// For the moment only: a local EC2 that nobody else uses is free to end.
    fn connect(&self) -> Result<Arc<Connection>, Error> {
        let config = self.config.clone();
        let connecting = async move { Connection::open(&config, None, true).await };
        Ok(Operation::new("connect to EC2", OnDrop::Cancel, connecting).wait()?)
    }
}

/// Lets everybody see that the connection's run lives.
async fn renew(connection: &Arc<Connection>) -> Result<(), Error> {
    let by = |key: &str, value: &str| Filter::builder().name(format!("tag:{key}")).values(value).build();
    let incarnation = connection.run.incarnation().unwrap_or_default();
    let filters = vec![by(tags::RUN, connection.run.id()), by(tags::INCARNATION, incarnation)];
    let mut ids = Vec::new();
    for kind in KINDS {
        let found = until_answered(connection, || (kind.find)(connection, filters.clone())).await?;
        ids.extend(found.into_iter().filter(|found| !found.has_ended).map(|found| found.resource_id));
    }
    let tag = Tag::builder().key(tags::ALIVE_UNTIL).value(tags::after(tags::ALIVE_FOR)).build();
    for batch in ids.chunks(BATCH) {
        let call = connection.client.create_tags().tags(tag.clone());
        if call.clone().set_resources(Some(batch.to_vec())).send().await.is_err() {
            // One of them may have ended meanwhile: then none is tagged.
            for id in batch {
                let _ = call.clone().resources(id).send().await;
            }
        }
    }
    Ok(())
}
