//! The crate's feature `local` is on.

use crate::{
    config::{Config, LocalConditions, Pace},
    error::{Error, ErrorKind},
    ssh::Route,
};
use ec2_local::{
    conditions::Conditions,
    endpoint::{Client, EndpointError, Settings, connect, ensure},
    network::OUTSIDE,
};
use ipnet::{IpNet, Ipv4Net};

/// A local EC2 that runs.
#[derive(Debug)]
pub(crate) struct Local(Client);

impl Local {
    /// Connects to the one that runs; unless it must be `running` already, starts one where there is none. Blocks.
    pub(crate) fn open(config: &Config, running: bool) -> Result<Self, Error> {
        let opened = if running { connect() } else { ensure(&settings(config)?) };
        opened.map(Self).map_err(|e| Error::new(ErrorKind::Connection, e.to_string()))
    }

    /// Where it answers.
    pub(crate) fn url(&self) -> &str {
        self.0.url()
    }

    /// The access key and its secret.
    pub(crate) fn credentials(&self) -> (String, String) {
        let credentials = self.0.credentials();
        (credentials.access_key.clone(), credentials.secret_key.clone())
    }

    /// The number of its account.
    pub(crate) fn account(&self) -> &str {
        self.0.account()
    }

    /// The factor on all times that AWS takes.
    pub(crate) fn pace(&self) -> f64 {
        self.0.pace()
    }

    /// What its chance follows from.
    pub(crate) fn seed(&self) -> u64 {
        self.0.seed()
    }

    /// Tells one from another that was started after it, and has forgotten everything.
    pub(crate) fn identity(&self) -> &str {
        self.0.identity()
    }

    /// Whether it has ended, and all of its machines with it. Blocks.
    pub(crate) fn is_gone(&self) -> bool {
        match connect() {
            Ok(now) => now.identity() != self.identity(),
            Err(error) => matches!(error, EndpointError::NotRunning),
        }
    }

    /// The way to port 22 of a machine, by the machine's id.
    pub(crate) fn route(&self, instance: &str) -> Route {
        Route::Unix { path: self.0.way_in(), hello: Client::hello(instance, 22) }
    }

    /// The network that this host is in, as machines see it.
    pub(crate) fn outside(&self) -> Result<IpNet, Error> {
        let (address, prefix) = OUTSIDE;
        Ipv4Net::new(address, prefix)
            .map(IpNet::from)
            .map_err(|e| Error::new(ErrorKind::Internal, "tell from where the local EC2 is reached").caused_by(e))
    }
}

fn settings(config: &Config) -> Result<Settings, Error> {
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
    Ok(settings)
}

/// Whether there is one. One that doesn't answer now may be busy. Blocks.
pub(crate) fn is_running() -> bool {
    !matches!(connect(), Err(EndpointError::NotRunning))
}

/// Becomes the local EC2, or one of its machines, if the environment says so.
pub(crate) fn run_named_role() {
    ec2_local::roles::run_named();
}
