//! The one poller of a connection: one batched, paginated describe serves every machine that anybody waits for.
//!
//! A machine that is missing from an answer is *unknown*, not gone: EC2 is eventually consistent, and advises to wait for
//! up to five minutes (<https://docs.aws.amazon.com/ec2/latest/devguide/eventual-consistency.html>).

use super::{api_error, patience::pause_at, tags};
use crate::{
    engine,
    error::{Error, ErrorKind},
};
use aws_sdk_ec2::types::{Filter, Instance};
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::sync::{Notify, watch};

/// The longest pause between two looks, which grows with the age of the youngest wait.
const PAUSE_MAX: Duration = Duration::from_secs(3);

/// The shortest one where nobody waits for anything that is about to come: each look costs what a machine that boots here needs.
const PATIENT_PAUSE: Duration = Duration::from_secs(1);

/// `DescribeInstances` allows 200 values a filter.
const IDS_PER_CALL: usize = 200;

/// What a look has shown of an instance.
#[derive(Debug, Clone)]
pub(crate) enum Seen {
    /// As EC2 described it last.
    Instance(Arc<Instance>),
    /// Looking fails, and will go on to: the text of the error.
    Failed(String),
}

/// Follows an instance; see [`Poller::watch`].
#[derive(Debug)]
pub(crate) struct Watch {
    seen: watch::Receiver<Option<(u64, Seen)>>,
    /// The first look that counts.
    from: u64,
    /// Held by those for whom looks come soon.
    eager: Option<Arc<()>>,
}

impl Watch {
    /// From now on only what nobody expects is of interest: looks may come late.
    pub(crate) fn be_patient(&mut self) {
        self.eager = None;
    }

    /// What the next look shows of the instance, if anything; none once there is no poller any more.
    pub(crate) async fn next(&mut self) -> Option<Seen> {
        loop {
            self.seen.changed().await.ok()?;
            if let Some((look, seen)) = &*self.seen.borrow_and_update()
                && *look >= self.from
            {
                return Some(seen.clone());
            }
        }
    }
}

/// See the module.
#[derive(Debug, Clone)]
pub(crate) struct Poller(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    client: aws_sdk_ec2::Client,
    run: String,
    state: Mutex<State>,
    describes: AtomicU64,
    /// Each eager watch holds it, too.
    eager: Arc<()>,
    /// Told of each watch that begins.
    begun: Notify,
}

#[derive(Debug, Default)]
struct State {
    watched: HashMap<String, Watched>,
    youngest: Option<Instant>,
    running: bool,
    /// How many looks have begun.
    looks: u64,
}

#[derive(Debug)]
struct Watched {
    seen: watch::Sender<Option<(u64, Seen)>>,
    /// Whether the run's tag finds it.
    ours: bool,
}

impl Poller {
    pub(crate) fn new(client: aws_sdk_ec2::Client, run: String) -> Self {
        Self(Arc::new(Inner {
            client,
            run,
            state: Mutex::default(),
            describes: AtomicU64::new(0),
            eager: Arc::new(()),
            begun: Notify::new(),
        }))
    }

    /// How many describes were sent.
    pub(crate) fn describes(&self) -> u64 {
        self.0.describes.load(Ordering::Relaxed)
    }

    /// Follows an instance for as long as the watch lives. What was seen earlier doesn't count, nor what a look shows that has
    /// begun already: it may be from before whatever the caller has just done.
    pub(crate) fn watch(&self, instance: &str, ours: bool) -> Result<Watch, Error> {
        let mut state = self.0.lock();
        state.youngest = Some(Instant::now());
        let watched = state
            .watched
            .entry(instance.to_owned())
            .or_insert_with(|| Watched { seen: watch::Sender::new(None), ours });
        let seen = watched.seen.subscribe();
        let watch = Watch { seen, from: state.looks + 1, eager: Some(self.0.eager.clone()) };
        self.0.begun.notify_waiters();
        if !state.running {
            state.running = true;
            drop(state);
            engine::spawn(self.0.clone().poll())?;
        }
        Ok(watch)
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn poll(self: Arc<Self>) {
        loop {
            let filters = {
                let mut state = self.lock();
                state.watched.retain(|_, watched| watched.seen.receiver_count() > 0);
                if state.watched.is_empty() {
                    state.running = false;
                    return;
                }
                self.filters(&state)
            };
            for filter in filters {
                self.look(filter).await;
            }
            let begun = self.begun.notified();
            tokio::pin!(begun);
            // Heard from here on.
            begun.as_mut().enable();
            let age = self.lock().youngest.map(|since| since.elapsed()).unwrap_or_default();
            let pause = pause_at(age, PAUSE_MAX);
            if Arc::strong_count(&self.eager) > 1 {
                tokio::time::sleep(pause).await;
            } else {
                let _ = tokio::time::timeout(pause.max(PATIENT_PAUSE), begun).await;
            }
        }
    }

    /// What finds all that is watched, with as few calls as may be: few by their ids, since a run may have many more in other processes; many
    /// by its tag.
    fn filters(&self, state: &State) -> Vec<Filter> {
        let by_tag = state.watched.len() > IDS_PER_CALL;
        let by_id = state.watched.iter().filter(|(_, watched)| !(by_tag && watched.ours)).map(|(id, _)| id.clone());
        let by_id: Vec<String> = by_id.collect();
        let mut filters = Vec::new();
        if by_id.len() < state.watched.len() {
            filters.push(Filter::builder().name(format!("tag:{}", tags::RUN)).values(&self.run).build());
        }
        for ids in by_id.chunks(IDS_PER_CALL) {
            filters.push(Filter::builder().name("instance-id").set_values(Some(ids.to_vec())).build());
        }
        filters
    }

    async fn look(&self, filter: Filter) {
        let look = {
            let mut state = self.lock();
            state.looks += 1;
            state.looks
        };
        let mut pages = self.client.describe_instances().filters(filter).max_results(1000).into_paginator().send();
        loop {
            self.describes.fetch_add(1, Ordering::Relaxed);
            match pages.next().await {
                None => return,
                Some(Ok(page)) => {
                    let instances =
                        page.reservations.unwrap_or_default().into_iter().flat_map(|r| r.instances.unwrap_or_default());
                    let state = self.lock();
                    for instance in instances {
                        if let Some(watched) = instance.instance_id().and_then(|id| state.watched.get(id)) {
                            watched.seen.send_replace(Some((look, Seen::Instance(Arc::new(instance)))));
                        }
                    }
                    if page.next_token.is_none() {
                        return;
                    }
                }
                Some(Err(e)) => {
                    let error = api_error::failed("DescribeInstances", "look at the instances", e);
                    // Everything else may pass: the waits have deadlines of their own.
                    if matches!(error.kind(), ErrorKind::Unauthorized | ErrorKind::Credentials) {
                        let text = error.to_string();
                        for watched in self.lock().watched.values() {
                            watched.seen.send_replace(Some((look, Seen::Failed(text.clone()))));
                        }
                    }
                    tracing::warn!("failed to {error}");
                    return;
                }
            }
        }
    }
}
