//! A connection: the SDK's clients for one target in one region, and what a process shares behind them.

use super::{image::Image, per_run, poller::Poller};
use crate::{
    config::Config,
    engine,
    error::{Error, ErrorKind},
    run::Run,
    target::Target,
    teardown::journal::{Journal, Kind},
};
use aws_sdk_ec2::config::{BehaviorVersion, Credentials, Region, retry::RetryConfig, timeout::TimeoutConfig};
use std::{
    collections::HashMap,
    path::Path,
    sync::{Arc, LazyLock},
    time::Duration,
};
use tokio::sync::Mutex;

/// How often the SDK tries a call that may safely be repeated: half a minute or so, since whoever waits has a deadline.
const ATTEMPTS: u32 = 8;

/// The pause after its first try, at most; it doubles. The SDK's default.
const BACKOFF: Duration = Duration::from_secs(1);

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
    /// What names of images stand for.
    pub(crate) images: Mutex<HashMap<String, Image>>,
    /// The resources that are made once per run, by what they are.
    pub(crate) per_run: Mutex<HashMap<Kind, String>>,
    #[cfg(feature = "local")]
    pub(crate) local: Option<ec2_local::endpoint::Client>,
}

/// What tells two connections apart.
type Key = (Target, Option<String>, Option<String>, Option<String>);

/// The connections of this process: clients are dear, and pollers must be few.
static CONNECTIONS: LazyLock<Mutex<HashMap<Key, Arc<Connection>>>> = LazyLock::new(Mutex::default);

impl Connection {
    /// The connection that a configuration asks for; opened on first use. Runs on the engine. A local EC2 is taken as it is if it
    /// must be `running`.
    pub(crate) async fn of(config: &Config, running: bool) -> Result<Arc<Self>, Error> {
        debug_assert!(engine::is_current_thread(), "clients belong to the engine's runtime");
        let key = (config.target.clone(), config.region.clone(), config.profile.clone(), config.account.clone());
        let mut connections = CONNECTIONS.lock().await;
        if let Some(connection) = connections.get(&key) {
            return Ok(connection.clone());
        }
        let connection = Arc::new(match &config.target {
            Target::Local => open_local(config, running).await?,
            Target::Aws => open_aws(config, None).await?,
            Target::Endpoint(url) => open_aws(config, Some(url)).await?,
        });
        connections.insert(key, connection.clone());
        Ok(connection)
    }

    fn new(
        client: aws_sdk_ec2::Client,
        region: String,
        target: Target,
        account: Option<String>,
    ) -> Result<Self, Error> {
        crate::roles::keep_hook();
        let run = Run::current()?;
        Ok(Self {
            poller: Poller::new(client.clone(), run.id().to_owned()),
            client,
            region,
            target,
            account,
            run,
            images: Mutex::default(),
            per_run: Mutex::default(),
            #[cfg(feature = "local")]
            local: None,
        })
    }
}

/// Overrides for calls that must not be repeated: those that create, and have no client token. A lost answer would make
/// two of them.
pub(crate) fn once() -> aws_sdk_ec2::config::Builder {
    aws_sdk_ec2::Config::builder().retry_config(RetryConfig::disabled())
}

impl Connection {
    /// The journal of this process's run, as far as this connection's place is concerned.
    pub(crate) fn journal(&self) -> Journal {
        self.journal_of(self.run.directory())
    }

    /// The journal in a run's directory, as far as this connection's place is concerned.
    pub(crate) fn journal_of(&self, run: &Path) -> Journal {
        Journal::of(run, &per_run::place(self), self.target != Target::Local)
    }

    /// A client of the same configuration, with connections of its own.
    pub(crate) fn new_client(&self) -> aws_sdk_ec2::Client {
        let mut config = self.client.config().to_builder();
        if self.target == Target::Local {
            config = config.http_client(aws_smithy_http_client::Builder::new().build_http());
        }
        aws_sdk_ec2::Client::from_conf(config.build())
    }

    /// The factor on all times that AWS takes.
    #[cfg(feature = "local")]
    pub(crate) fn pace(&self) -> f64 {
        self.local.as_ref().map_or(1.0, ec2_local::endpoint::Client::pace)
    }

    /// Only a local EC2 has one of its own.
    #[cfg(not(feature = "local"))]
    pub(crate) fn pace(&self) -> f64 {
        1.0
    }

    /// Whether the local EC2 behind it has ended, and all of its machines with it.
    #[cfg(feature = "local")]
    pub(crate) async fn is_gone(&self) -> bool {
        let Some(local) = &self.local else { return false };
        let now = tokio::task::spawn_blocking(ec2_local::endpoint::connect).await;
        match now {
            Ok(Ok(now)) => now.identity() != local.identity(),
            Ok(Err(error)) => matches!(error, ec2_local::endpoint::EndpointError::NotRunning),
            Err(_) => false,
        }
    }

    /// Only a local EC2 can be.
    #[cfg(not(feature = "local"))]
    pub(crate) async fn is_gone(&self) -> bool {
        false
    }
}

#[cfg(not(feature = "local"))]
async fn open_local(_: &Config, _: bool) -> Result<Connection, Error> {
    Err(Error::new(ErrorKind::Configuration, "start the local EC2")
        .because("ec2-harness was built without its feature `local`")
        .advise("turn the feature on, or set `target`"))
}

#[cfg(feature = "local")]
async fn open_local(config: &Config, running: bool) -> Result<Connection, Error> {
    use crate::config::{LocalConditions, Pace};
    use ec2_local::{
        conditions::Conditions,
        endpoint::{Settings, connect, ensure},
    };

    let mut settings = Settings::default();
    settings.linger = config.local_linger;
    settings.pace = config.local_pace.map(Pace::factor);
    settings.conditions = config.local_conditions.map(|conditions| match conditions {
        LocalConditions::Calm => Conditions::Calm,
        LocalConditions::Typical => Conditions::Typical,
        LocalConditions::Hostile => Conditions::Hostile,
    });
    settings.seed = config.local_seed;
    settings.private_networks = config
        .local_private_networks
        .iter()
        .map(|network| network.to_string().parse())
        .collect::<Result<_, String>>()
        .map_err(|e| Error::new(ErrorKind::Configuration, "use `local_private_networks`").because(e))?;
    // Starting a process and waiting for it blocks, which the engine must not.
    let local = tokio::task::spawn_blocking(move || if running { connect() } else { ensure(&settings) })
        .await
        .map_err(|e| Error::new(ErrorKind::Internal, "start the local EC2").caused_by(e))?
        .map_err(|e| Error::new(ErrorKind::Connection, e.to_string()))?;
    let region = config.region.clone().unwrap_or_else(|| "us-east-1".into());
    let secret = local.credentials();
    let backoff = BACKOFF.mul_f64(local.pace().min(1.0)).max(Duration::from_millis(10));
    // No credential chain, no AWS_* variables, no proxy: everything is given. Without TLS there are no certificates to
    // load either.
    let sdk = aws_sdk_ec2::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .region(Region::new(region.clone()))
        .endpoint_url(local.url())
        .credentials_provider(Credentials::new(&secret.access_key, &secret.secret_key, None, None, "ec2-local"))
        // Whatever makes it fail passes as much faster as all goes faster there.
        .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS).with_initial_backoff(backoff))
        .timeout_config(timeouts())
        .build();
    let account = Some(local.account().to_owned());
    let client = aws_sdk_ec2::Client::from_conf(sdk);
    let mut connection = Connection::new(client, region, Target::Local, account)?;
    connection.local = Some(local);
    Ok(connection)
}

async fn open_aws(config: &Config, url: Option<&String>) -> Result<Connection, Error> {
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS))
        .timeout_config(timeouts());
    if let Some(client) = super::https::client()? {
        loader = loader.http_client(client);
    }
    if let Some(profile) = &config.profile {
        loader = loader.profile_name(profile);
    }
    if let Some(region) = &config.region {
        loader = loader.region(Region::new(region.clone()));
    }
    if let Some(url) = url {
        loader = loader.endpoint_url(url);
    }
    let sdk = loader.load().await;
    let region = match (sdk.region(), url) {
        (Some(region), _) => region.to_string(),
        (None, Some(_)) => "us-east-1".to_owned(),
        (None, None) => {
            return Err(Error::new(ErrorKind::Configuration, "connect to AWS")
                .because("no region is configured")
                .advise("set `region` in ec2-harness.toml, or AWS_REGION"));
        }
    };
    let account = match &config.account {
        Some(expected) => Some(check_account(&sdk, &region, expected).await?),
        None => None,
    };
    let ec2 = aws_sdk_ec2::config::Builder::from(&sdk).region(Region::new(region.clone())).build();
    Connection::new(aws_sdk_ec2::Client::from_conf(ec2), region, config.target.clone(), account)
}

/// Asks STS whose credentials these are: nothing is created in an account that wasn't named.
async fn check_account(sdk: &aws_config::SdkConfig, region: &str, expected: &str) -> Result<String, Error> {
    let sts = aws_sdk_sts::config::Builder::from(sdk).region(Region::new(region.to_owned())).build();
    let tried = "check which AWS account the credentials belong to";
    let identity = aws_sdk_sts::Client::from_conf(sts)
        .get_caller_identity()
        .send()
        .await
        .map_err(|e| super::api_error::failed("sts:GetCallerIdentity", tried, e))?;
    match identity.account() {
        Some(account) if account == expected => Ok(account.to_owned()),
        found => Err(Error::new(ErrorKind::Refused, tried)
            .because(format!(
                "they belong to {}, but `account` allows only {expected}",
                found.unwrap_or("no account at all")
            ))
            .advise("use other credentials (AWS_PROFILE, `profile`), or correct `account`; nothing was created")),
    }
}

fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(5))
        .operation_attempt_timeout(Duration::from_secs(30))
        .build()
}
