//! The crate's feature `local` is on.

use crate::{
    config::{Config, LocalConditions, Pace},
    error::{Error, ErrorKind},
    ssh::Route,
};
use ec2_local::{
    conditions::Conditions,
    endpoint::{Client, EndpointError, Presence, Settings, ensure, look},
    network::OUTSIDE,
};
use ipnet::{IpNet, Ipv4Net};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A local EC2: a handle on its account, which outlives an endpoint that is killed.
#[derive(Debug, Clone)]
pub(crate) struct Local(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    settings: Settings,
    clients: Mutex<Clients>,
}

/// Of the endpoints that have had the account, one after the other.
#[derive(Debug)]
struct Clients {
    now: Arc<Client>,
    /// Ways to machines may lead through these.
    earlier: Vec<Arc<Client>>,
}

impl Local {
    /// Connects to the one that runs; unless it must be `running` already, starts one where there is none. One that was killed is
    /// started again: what it had is there still. Blocks.
    pub(crate) fn open(config: &Config, running: bool) -> Result<Self, Error> {
        let settings = settings(config)?;
        let open = || match running.then(look).transpose()? {
            None | Some(Presence::Killed(_)) => ensure(&settings),
            Some(Presence::Running(client)) => Ok(*client),
            Some(_) => Err(EndpointError::NotRunning),
        };
        let client = open().map_err(|e| Error::new(ErrorKind::Connection, e.to_string()))?;
        let clients = Mutex::new(Clients { now: Arc::new(client), earlier: Vec::new() });
        Ok(Self(Arc::new(Inner { settings, clients })))
    }

    fn clients(&self) -> MutexGuard<'_, Clients> {
        self.0.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn client(&self) -> Arc<Client> {
        self.clients().now.clone()
    }

    /// Where it answers, if the endpoint that had the account last is still there.
    pub(super) fn url(&self) -> Option<String> {
        let client = self.client();
        client.is_connected().then(|| client.url().to_owned())
    }

    /// Goes on at the endpoint that has taken the account over, after one that was killed, or starts one that does. Where there
    /// is none and nothing to take over, it stays with the one that has ended. Says where it answers. Blocks.
    pub(super) fn follow(&self) -> String {
        let mut clients = self.clients();
        let last = clients.now.clone();
        if last.is_connected() {
            return last.url().to_owned();
        }
        let is_its = |killed: &[String]| killed.iter().any(|identity| identity == last.identity());
        let next = match look() {
            Ok(Presence::Running(next)) => Ok(*next),
            Ok(Presence::Killed(killed)) if is_its(&killed) => ensure(&self.0.settings),
            Ok(_) => return last.url().to_owned(),
            Err(error) => Err(error),
        };
        match next {
            Ok(next) if next.identity() == last.identity() => {
                tracing::info!(
                    "the local EC2 was killed; going on at {}, which has taken its account over",
                    next.url()
                );
                clients.now = Arc::new(next);
                clients.earlier.push(last);
            }
            Ok(_) => {}
            Err(error) => tracing::debug!("failed to {error}"),
        }
        clients.now.url().to_owned()
    }

    /// How often an endpoint has taken the account over from one that was killed, as far as it was followed.
    pub(crate) fn takeovers(&self) -> usize {
        self.clients().earlier.len()
    }

    /// The access key and its secret.
    pub(crate) fn credentials(&self) -> (String, String) {
        let client = self.client();
        let credentials = client.credentials();
        (credentials.access_key.clone(), credentials.secret_key.clone())
    }

    /// The number of its account.
    pub(crate) fn account(&self) -> String {
        self.client().account().to_owned()
    }

    /// The factor on all times that AWS takes.
    pub(crate) fn pace(&self) -> f64 {
        self.client().pace()
    }

    /// What its chance follows from.
    pub(crate) fn seed(&self) -> u64 {
        self.client().seed()
    }

    /// Tells one from another that was started after it, and has forgotten everything.
    pub(crate) fn identity(&self) -> String {
        self.client().identity().to_owned()
    }

    /// Whether it has ended, and all of its machines with it. Blocks.
    pub(crate) fn is_gone(&self) -> bool {
        let identity = self.identity();
        match look() {
            Ok(Presence::Running(now)) => now.identity() != identity,
            Ok(Presence::Killed(killed)) => !killed.contains(&identity),
            Ok(Presence::Absent) => true,
            Ok(_) | Err(_) => false,
        }
    }

    /// The way to port 22 of a machine, by the machine's id.
    pub(crate) fn route(&self, instance: &str) -> Route {
        Route::Unix { path: self.client().way_in(), hello: Client::hello(instance, 22) }
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

/// Whether there is one, or what one that was killed has left. One that doesn't answer now may be busy. Blocks.
pub(crate) fn is_there() -> bool {
    !matches!(look(), Ok(Presence::Absent))
}

/// Becomes the local EC2, or one of its machines, if the environment says so.
pub(crate) fn run_named_role() {
    ec2_local::roles::run_named();
}
