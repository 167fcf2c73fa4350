//! A connection: the SDK's client for one target in one region, and what a process shares behind it. What the SDK answers
//! becomes our errors here, and how often and how long a call is tried is decided here.
//!
//! What this room isn't: it makes nothing in EC2, and ends nothing.

pub(crate) mod api_error;
mod destination;
mod https;
mod memo;
mod open;
pub(crate) mod patience;
pub(crate) mod poller;
pub(crate) mod tagging;
pub(crate) mod tags;

use crate::{config::Config, engine, error::Error, local::Local, run::Run, target::Target};
use aws_sdk_ec2::config::{Credentials, retry::RetryConfig};
use memo::Memo;
use poller::Poller;
use std::{
    collections::HashMap,
    sync::{Arc, LazyLock},
    time::Duration,
};
use tagging::Tagging;
use tokio::sync::Mutex;

/// One target in one region.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) client: aws_sdk_ec2::Client,
    pub(crate) region: String,
    pub(crate) target: Target,
    /// The number of the account, where it is known without asking, or was checked.
    pub(crate) account: Option<String>,
    pub(crate) run: &'static Run,
    pub(crate) poller: Poller,
    /// What is looked up, or made, once for all who use the connection.
    pub(crate) memo: Memo,
    /// Those that were given in code.
    pub(crate) credentials: Option<Credentials>,
    /// The local EC2, if it is one to that.
    pub(crate) local: Option<Local>,
}

/// What tells two connections apart.
type Key = (Target, Option<String>, Option<String>, Option<String>, Option<(String, String, Option<String>)>);

/// The connections of this process: clients are dear, and pollers must be few.
static CONNECTIONS: LazyLock<Mutex<HashMap<Key, Arc<Connection>>>> = LazyLock::new(Mutex::default);

impl Connection {
    /// The connection that a configuration asks for; opened on first use. Runs on the engine. A local EC2 is taken as it is if it
    /// must be `running`.
    pub(crate) async fn of(
        config: &Config,
        credentials: Option<Credentials>,
        running: bool,
    ) -> Result<Arc<Self>, Error> {
        debug_assert!(engine::is_current_thread(), "clients belong to the engine's runtime");
        let secrets = credentials.as_ref().map(|given| {
            let token = given.session_token().map(str::to_owned);
            (given.access_key_id().to_owned(), given.secret_access_key().to_owned(), token)
        });
        let Config { target, region, profile, account, .. } = config.clone();
        let key = (target, region, profile, account, secrets);
        let mut connections = CONNECTIONS.lock().await;
        if let Some(connection) = connections.get(&key) {
            return Ok(connection.clone());
        }
        let connection = Self::open(config, credentials, running).await?;
        connections.insert(key, connection.clone());
        Ok(connection)
    }

    /// One of its own, which nobody else uses.
    pub(crate) async fn open(
        config: &Config,
        credentials: Option<Credentials>,
        running: bool,
    ) -> Result<Arc<Self>, Error> {
        let mut connection = open::open(config, credentials.clone(), running).await?;
        connection.credentials = credentials;
        Ok(Arc::new(connection))
    }

    fn new(
        client: aws_sdk_ec2::Client,
        region: String,
        target: Target,
        account: Option<String>,
        local: Option<Local>,
    ) -> Result<Self, Error> {
        let run = Run::current()?;
        Ok(Self {
            poller: Poller::new(client.clone(), run.id().to_owned()),
            client,
            region,
            target,
            account,
            run,
            memo: Memo::default(),
            credentials: None,
            local,
        })
    }
}

/// Overrides for calls that the SDK must not repeat: those that create and have no client token, of which a lost answer would make
/// two; and those whose errors we know better what to do about.
pub(crate) fn once() -> aws_sdk_ec2::config::Builder {
    aws_sdk_ec2::Config::builder().retry_config(RetryConfig::disabled())
}

impl Connection {
    /// Tells the places apart that a run may use; a local EC2 that was started anew has forgotten everything.
    pub(crate) fn place(&self) -> String {
        let target = match (&self.target, &self.local) {
            (Target::Local, local) => format!("local-{}", local.as_ref().map(Local::identity).unwrap_or_default()),
            (Target::Endpoint(url), _) => {
                url.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect()
            }
            (Target::Aws, _) => "aws".to_owned(),
        };
        format!("{target}-{}-{}", self.account.as_deref().unwrap_or("any"), self.region)
    }

    /// A client of the same configuration, with connections of its own, whose create calls are tagged.
    pub(crate) fn new_client(&self, tagging: Tagging) -> aws_sdk_ec2::Client {
        let mut config = self.client.config().to_builder().interceptor(tagging);
        if self.target == Target::Local {
            config = config.http_client(aws_smithy_http_client::Builder::new().build_http());
        }
        aws_sdk_ec2::Client::from_conf(config.build())
    }

    /// The factor on all times that AWS takes; a local EC2 has one of its own.
    pub(crate) fn pace(&self) -> f64 {
        self.local.as_ref().map_or(1.0, Local::pace)
    }

    /// A limit of a wait for what is seen late: at a local EC2 it is seen sooner, as all is.
    pub(crate) fn paced(&self, limit: Duration) -> Duration {
        limit.mul_f64(self.pace().clamp(0.2, 1.0))
    }

    /// How often the local EC2 behind it was killed, and its account taken over by the next. Where it isn't there now, that one is
    /// started.
    pub(crate) async fn takeovers(&self) -> usize {
        let Some(local) = &self.local else { return 0 };
        // What can't be found is told by the next call.
        let _ = local.current_url().await;
        local.takeovers()
    }

    /// Whether the local EC2 behind it has ended, and all of its machines with it.
    pub(crate) async fn is_gone(self: &Arc<Self>) -> bool {
        let connection = self.clone();
        let look = move || Ok(connection.local.as_ref().is_some_and(Local::is_gone));
        engine::blocking("look for the local EC2", look).await.unwrap_or(false)
    }
}
