//! Create calls of whatever has a guard: noted before they are sent, repeated while that may help, found again when their answer is
//! lost, never abandoned. What they make is registered and guarded before anybody else sees it.

use super::{Ec2, guard::Guard, made::Made};
use crate::{
    connection::{
        api_error,
        patience::{
            LOOK_PAUSE, LOOK_PAUSE_MAX, OTHERS_VISIBLE_WITHIN, VISIBLE_WITHIN, pauses, quota_pause, until_answered,
        },
        tags,
    },
    engine,
    error::{Error, ErrorKind},
    resource::{Kind, Token},
    run,
    teardown::{
        journal::Journal,
        live::{self, Begun},
        signals,
        sweep::find_made,
        watchdog,
    },
};
use aws_sdk_ec2::types::{ResourceType, TagSpecification};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// One thing that is to be made.
pub(super) struct Creation {
    pub(super) ec2: Ec2,
    pub(super) kind: &'static Kind,
    /// What is tried, for errors: `create a volume of 8 GiB`.
    pub(super) tried: String,
    /// Its `Name` tag, and what reports call it.
    pub(super) name: String,
    /// Tags beside the configuration's and our own.
    pub(super) tags: Vec<(String, String)>,
    /// Whether all that the call names is our own, so that what isn't found isn't seen yet.
    pub(super) of_ours: bool,
}

/// What a create call is sent with.
#[derive(Debug, Clone)]
pub(super) struct Attempt {
    /// The client token, where the call takes one.
    pub(super) token: String,
    pub(super) tags: Vec<TagSpecification>,
}

impl Creation {
    /// Makes it by a call that answers with its id. The call is repeated, so the SDK must not do so by itself where it takes no
    /// client token.
    ///
    /// # Errors
    ///
    /// The call's; nothing is left then.
    pub(super) async fn send<F>(
        self,
        call: impl Fn(Attempt) -> F + Send + Sync + 'static,
    ) -> Result<Guard<Arc<Made>>, Error>
    where
        F: Future<Output = Result<String, Error>> + Send,
    {
        signals::install()?;
        let (connection, config) = (self.ec2.connection.clone(), self.ec2.config.clone());
        engine::blocking("join the run", move || watchdog::ensure(&connection, &config)).await?;
        let tried = self.tried.clone();
        // A task of its own: should nobody wait for it any more, it goes on, and its guard ends what was made.
        let made = engine::spawn(async move { self.make(call).await })?.await;
        made.unwrap_or_else(|e| Err(Error::new(ErrorKind::Internal, tried).caused_by(e)))
    }

    async fn make<F>(self, call: impl Fn(Attempt) -> F) -> Result<Guard<Arc<Made>>, Error>
    where
        F: Future<Output = Result<String, Error>> + Send,
    {
        let Self { ec2, kind, .. } = &self;
        let token = run::random_id()?;
        let journaled = Journal::of(&ec2.connection).intend(kind, &token).await?;
        let begun = Begun::new(journaled, ec2.connection.clone());
        // Only now: anyone who ends all that lives either sees this one, or is seen here.
        signals::check(&self.tried).inspect_err(|_| begun.journaled().settle())?;
        let id = self.get_through(&begun, token, call).await?;
        let journaled = Some(begun.journaled().clone());
        let made = Arc::new(Made::new(ec2.clone(), kind, id, self.name.clone(), journaled));
        live::add(Arc::new(made.clone()));
        drop(begun);
        Ok(Guard::new(made, ec2.scope.clone()))
    }

    async fn get_through<F>(&self, begun: &Begun, token: String, call: impl Fn(Attempt) -> F) -> Result<String, Error>
    where
        F: Future<Output = Result<String, Error>> + Send,
    {
        let connection = &self.ec2.connection;
        let attempt = Attempt { tags: self.specifications(&token), token };
        let (since, mut pauses) = (Instant::now(), pauses(LOOK_PAUSE, LOOK_PAUSE_MAX));
        // Of what is shared somebody else may make it meanwhile: that isn't for us to see.
        let is_shared = self.tags.iter().any(|(key, _)| key == tags::SHARED);
        // Whether an earlier try may have made something that EC2 hasn't told of.
        let mut is_unknown = false;
        loop {
            begun.journaled().sent();
            let error = match call(attempt.clone()).await {
                Ok(id) => return Ok(id),
                Err(error) => error,
            };
            let is_ambiguous = error.is_transient() && error.kind() != ErrorKind::Throttled;
            is_unknown |= is_ambiguous;
            let patience = match error.kind() {
                ErrorKind::NotFound if self.of_ours => VISIBLE_WITHIN,
                // Others end, as machines do that a launch waits for.
                ErrorKind::Quota if !is_shared => self.ec2.config.ready_timeout,
                ErrorKind::NotFound => connection.paced(OTHERS_VISIBLE_WITHIN),
                // A local EC2 that has ended will not answer again.
                _ if error.is_transient() && !connection.is_gone().await => VISIBLE_WITHIN,
                _ => Duration::ZERO,
            };
            if since.elapsed() > patience {
                if !is_unknown {
                    begun.journaled().settle();
                }
                return Err(api_error::after_waiting(error, since.elapsed()));
            }
            if error.kind() == ErrorKind::Quota {
                tracing::info!("a quota is used up: waiting for others to end");
                tokio::time::sleep(quota_pause(connection)).await;
                continue;
            }
            if is_ambiguous
                && self.kind.token == Token::Attempt
                && let Some(id) = self.find(begun).await?
            {
                return Ok(id);
            }
            pauses.next().await;
        }
    }

    /// What a call has made whose answer was lost, if it is seen within the time that this mostly takes.
    async fn find(&self, begun: &Begun) -> Result<Option<String>, Error> {
        let connection = &self.ec2.connection;
        let (since, mut pauses) = (Instant::now(), pauses(LOOK_PAUSE, LOOK_PAUSE_MAX));
        loop {
            let entry = [begun.journaled()];
            let made = until_answered(connection, || find_made(connection, &entry)).await?;
            if let Some(found) = made.into_iter().find(|found| !found.has_ended) {
                return Ok(Some(found.id));
            }
            if since.elapsed() > connection.paced(OTHERS_VISIBLE_WITHIN) {
                return Ok(None);
            }
            pauses.next().await;
        }
    }

    fn specifications(&self, token: &str) -> Vec<TagSpecification> {
        let mut own = vec![("Name".to_owned(), self.name.clone())];
        own.extend(self.tags.iter().cloned());
        if self.kind.token == Token::Attempt {
            own.push((tags::ATTEMPT.to_owned(), token.to_owned()));
        }
        let (ec2, kind) = (&self.ec2, ResourceType::from(self.kind.word));
        let tags = tags::tags(&ec2.config, ec2.connection.run, &own, ec2.scope.test_name(), ec2.config.lease);
        tags::specifications(&[kind], &tags)
    }
}
