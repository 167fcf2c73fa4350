//! The handle on an account in a region.

use super::{ImageSource, Launch, Machine, VpcHandle, machine::Begin, per_run};
use crate::{
    config::Config,
    connection::{Connection, tagging::Tagging, tags},
    engine,
    error::{Error, ErrorKind},
    local::Local,
    run,
    scope::Scope,
    target::Target,
    task::{OnDrop, Operation, operation},
    teardown::{roles, sweep::Sweep},
};
use aws_sdk_ec2::config::Credentials;
use std::sync::Arc;

/// EC2, in one region of one account; a handle, cheap to clone.
#[derive(Clone, Debug)]
pub struct Ec2 {
    pub(crate) config: Arc<Config>,
    pub(crate) connection: Arc<Connection>,
    pub(crate) scope: Scope,
    /// Where machines are launched unless their launch says otherwise: the VPC of a test's own.
    pub(crate) vpc: Option<VpcHandle>,
    /// What machines are launched from unless their launch says otherwise: what a test says that no configuration can.
    pub(crate) image: Option<ImageSource>,
}

/// What a connection has done so far; see [`Ec2::statistics`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Statistics {
    /// Calls of DescribeInstances by the one poller.
    pub describes: u64,
}

impl Ec2 {
    /// Connects to the target of the configuration that is found from the crate upwards; see [`Config::load`].
    pub fn connect() -> Connect {
        roles::keep_hook();
        Connect { config: None, scope: Scope::process(), region: None, credentials: None, running: false }
    }

    /// Prepares a launch; `image` is an AMI id, an alias, `resolve:ssm:/…`, an [`ImageQuery`](super::ImageQuery), an
    /// [`Image`](super::Image), or the name of an [`#[ec2_snapshot]`](macro@crate::ec2_snapshot).
    pub fn launch(&self, image: impl Into<ImageSource>) -> Launch {
        Launch::new(self.clone(), Some(image.into()))
    }

    /// Prepares a launch of the test's image, else of the configured one; its default is `host`.
    pub fn launch_default(&self) -> Launch {
        Launch::new(self.clone(), self.image.clone())
    }

    /// A handle on an instance that exists already. It is never ended by us.
    ///
    /// # Errors
    ///
    /// EC2 doesn't know the instance, for 5 s since it may be fresh, or refuses to describe it.
    pub fn instance(&self, id: impl Into<String>) -> Operation<Machine> {
        let (ec2, id) = (self.clone(), id.into());
        Operation::new("find an instance", OnDrop::Cancel, async move {
            let begin = |key| Begin {
                ec2: ec2.clone(),
                id: id.clone(),
                name: id.clone(),
                key,
                key_path: None,
                user: ec2.config.user.clone(),
                reservation: None,
                journaled: None,
                volumes: Vec::new(),
                spot_request: None,
                ready_within: ec2.config.ready_timeout,
            };
            let found = Machine::begin(begin(None));
            found.look_up().await?;
            // Which of the run's keys it is shows by its name.
            let described = found.last_described();
            let pair = described.as_ref().and_then(|described| described.key_name());
            let machine = Machine::begin(begin(per_run::existing_key(&ec2.connection, &ec2.config, pair)?));
            described.into_iter().for_each(|described| machine.set_described(described));
            Ok(machine)
        })
    }

    /// Prepares a sweep of this region: it ends what runs that are over have left, and what is past its lease.
    pub fn sweep(&self) -> Sweep {
        Sweep::new(self.connection.clone(), self.config.lease)
    }

    /// The regions in which runs of this user on this host have made anything at the same target, as far as their directories are
    /// there still; this one comes first, whether it is among them or not. A sweep in each finds all that they may have left.
    ///
    /// # Errors
    ///
    /// The state directory can't be read.
    pub fn used_regions(&self) -> Result<Vec<String>, Error> {
        let mut used = vec![self.region().to_owned()];
        used.extend(run::used_regions(self.target())?.into_iter().filter(|other| other != self.region()));
        Ok(used)
    }

    /// The configuration in force.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The region.
    pub fn region(&self) -> &str {
        &self.connection.region
    }

    /// What the local EC2's chance follows from; `None` at other targets.
    pub(crate) fn local_seed(&self) -> Option<u64> {
        self.connection.local.as_ref().map(Local::seed)
    }

    /// Where the calls go.
    pub fn target(&self) -> &Target {
        &self.connection.target
    }

    /// The number of the account, where it is known: always at the local EC2, and wherever `account` is configured.
    pub fn account(&self) -> Option<&str> {
        self.connection.account.as_deref()
    }

    /// An SDK client of one's own, for all that isn't here. Each has its own connections, which belong to the runtime that
    /// uses it: don't share one between tests.
    ///
    /// What it creates bears the tags of all that we make, the run's among them, beside those that a call says itself. It has no guard: it
    /// is ended with the run, by its watchdog, or by a sweep, as far as it is of a kind that we make. A client without the tags is
    /// one of `client.config().to_builder()` after `set_interceptors([])`.
    pub fn client(&self) -> aws_sdk_ec2::Client {
        let Self { config, connection, scope, .. } = self.clone();
        let run = connection.run;
        let tags = move || tags::tags(&config, run, &[], scope.test_name(), config.lease);
        connection.new_client(Tagging(Box::new(tags)))
    }

    /// What this process's connection to this account and region has done so far.
    pub fn statistics(&self) -> Statistics {
        Statistics { describes: self.connection.poller.describes() }
    }
}

/// Connects to EC2; see [`Ec2::connect`].
#[derive(Debug, Clone)]
#[must_use = "nothing happens before `.await`, `.wait()` or `.start()`"]
pub struct Connect {
    config: Option<Config>,
    scope: Scope,
    region: Option<String>,
    credentials: Option<Credentials>,
    running: bool,
}

impl Connect {
    /// Uses this configuration. Default: what [`Config::load`] finds.
    pub fn config(mut self, config: Config) -> Self {
        self.config = Some(config);
        self
    }

    /// Uses this region. Default: the configuration's.
    pub fn region(mut self, region: impl Into<String>) -> Self {
        self.region = Some(region.into());
        self
    }

    /// Uses these credentials, and no chain; several connections may have different ones. The run's watchdog gets them in its environment,
    /// and ends by them what is left. Default: what the SDK's chain finds, by the configuration's `profile`, if there is one.
    pub fn credentials(mut self, credentials: Credentials) -> Self {
        self.credentials = Some(credentials);
        self
    }

    /// Takes the local EC2 that runs, as it is, and fails where none does: for anyone who only looks, or tidies up. Default: one is
    /// started if need be, and it is as configured, or an error.
    pub fn to_running(mut self) -> Self {
        self.running = true;
        self
    }

    /// Binds what is launched to a test.
    pub(crate) fn scope(mut self, scope: Scope) -> Self {
        self.scope = scope;
        self
    }

    async fn run(self) -> Result<Ec2, Error> {
        let mut config = match self.config {
            Some(config) => config,
            None => Config::load()?,
        };
        if self.region.is_some() {
            config.region = self.region;
        }
        let opening = {
            let (config, credentials, running) = (config.clone(), self.credentials, self.running);
            engine::spawn(async move { Connection::of(&config, credentials, running).await })?
        };
        let connection =
            opening.await.map_err(|e| Error::new(ErrorKind::Internal, "connect to EC2").caused_by(e))??;
        Ok(Ec2 { config: Arc::new(config), connection, scope: self.scope, vpc: None, image: None })
    }
}

operation!(Connect -> Ec2, "connect to EC2", Cancel);
