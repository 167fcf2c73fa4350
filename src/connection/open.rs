//! Opening a connection: the local EC2's without any credential chain, others by the SDK's.

use super::{
    Connection, api_error, destination, https,
    patience::{TRY_PAUSE, pauses},
};
use crate::{
    config::Config,
    engine,
    error::{Error, ErrorKind},
    local::Local,
    target::Target,
};
use aws_sdk_ec2::config::{
    BehaviorVersion, Credentials, Region,
    endpoint::{Endpoint, EndpointFuture, Params, ResolveEndpoint},
    retry::RetryConfig,
    timeout::TimeoutConfig,
};
use std::time::Duration;

/// How often the SDK tries a call that may safely be repeated: half a minute or so, since those who wait have a deadline.
const ATTEMPTS: u32 = 8;

/// The pause after its first try, at most; it doubles. The SDK's default.
const BACKOFF: Duration = Duration::from_secs(1);

/// How often an endpoint of somebody's is asked whether anybody is there, where its answer is lost.
const KNOCKS: u32 = 4;

/// Opens one to the target that a configuration names. A local EC2 is taken as it is if it must be `running`.
pub(super) async fn open(
    config: &Config,
    credentials: Option<Credentials>,
    running: bool,
) -> Result<Connection, Error> {
    match &config.target {
        Target::Local if credentials.is_some() => Err(Error::new(ErrorKind::Configuration, "connect to the local EC2")
            .because("it takes its own credentials alone, and some were given")
            .advise("leave `.credentials(…)` out, or set `target`")),
        Target::Local => open_local(config, running).await,
        Target::Aws => open_aws(config, credentials, None).await,
        Target::Endpoint(url) => open_aws(config, credentials, Some(url)).await,
    }
}

async fn open_local(config: &Config, running: bool) -> Result<Connection, Error> {
    let asked = config.clone();
    let local = engine::blocking("start the local EC2", move || Local::open(&asked, running)).await?;
    let region = config.region.clone().unwrap_or_else(|| "us-east-1".into());
    let (access_key, secret_key) = local.credentials();
    let backoff = BACKOFF.mul_f64(local.pace().min(1.0)).max(Duration::from_millis(10));
    // No credential chain, no AWS_* variables, no proxy: everything is given. Without TLS there are no certificates to
    // load either.
    let sdk = aws_sdk_ec2::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .http_client(destination::named(aws_smithy_http_client::Builder::new().build_http()))
        .region(Region::new(region.clone()))
        .endpoint_resolver(Following(local.clone()))
        .credentials_provider(Credentials::new(access_key, secret_key, None, None, "ec2-local"))
        // Whatever makes it fail passes as much faster as all goes faster there.
        .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS).with_initial_backoff(backoff))
        .timeout_config(timeouts())
        .build();
    let account = Some(local.account());
    Connection::new(aws_sdk_ec2::Client::from_conf(sdk), region, Target::Local, account, Some(local))
}

/// Finds the local EC2 for each try of a call: after it was killed, what goes on answers at another port.
#[derive(Debug)]
struct Following(Local);

impl ResolveEndpoint for Following {
    fn resolve_endpoint<'a>(&'a self, _: &'a Params) -> EndpointFuture<'a> {
        EndpointFuture::new(async { Ok(Endpoint::builder().url(self.0.current_url().await?).build()) })
    }
}

async fn open_aws(
    config: &Config,
    credentials: Option<Credentials>,
    url: Option<&String>,
) -> Result<Connection, Error> {
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS))
        .timeout_config(timeouts())
        .http_client(destination::named(https::client()?));
    if let Some(profile) = &config.profile {
        loader = loader.profile_name(profile);
    }
    if let Some(credentials) = credentials {
        loader = loader.credentials_provider(credentials);
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
    let client = aws_sdk_ec2::Client::from_conf(ec2);
    if url.is_some() {
        knock(&client).await?;
    }
    Connection::new(client, region, config.target.clone(), account, None)
}

/// Makes sure that anything answers at an endpoint of somebody's, be it a refusal: a mistyped URL, or an emulator that wasn't started, is to be
/// told at once, not after all the tries that a call is given where something has answered before.
async fn knock(client: &aws_sdk_ec2::Client) -> Result<(), Error> {
    let once = aws_sdk_ec2::Config::builder().retry_config(RetryConfig::disabled());
    let tried = "connect to the endpoint that `target` names";
    let mut pauses = pauses(TRY_PAUSE, TRY_PAUSE);
    for again in (0..KNOCKS).rev() {
        let call = client.describe_regions().customize().config_override(once.clone()).send().await;
        match call.map_err(|error| api_error::failed("DescribeRegions", tried, error)) {
            Err(error) if error.kind() == ErrorKind::Connection => {
                // Somebody is there, and has only lost an answer, as may happen at any time.
                if again == 0 || !error.to_string().contains("connection closed") {
                    return Err(error.advise("start what is to answer there, or correct `target`"));
                }
                pauses.next().await;
            }
            _ => return Ok(()),
        }
    }
    Ok(())
}

/// Asks STS whose credentials these are: nothing is created in an account that wasn't named.
async fn check_account(sdk: &aws_config::SdkConfig, region: &str, expected: &str) -> Result<String, Error> {
    let sts = aws_sdk_sts::config::Builder::from(sdk).region(Region::new(region.to_owned())).build();
    let tried = "check which AWS account the credentials belong to";
    let identity = aws_sdk_sts::Client::from_conf(sts)
        .get_caller_identity()
        .send()
        .await
        .map_err(|e| api_error::failed("sts:GetCallerIdentity", tried, e))?;
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
