//! The handle on an account in a region.

use crate::{Error, config::Config, ec2::Launch, scope::Scope, task::operation};
use std::sync::Arc;

/// EC2, in one region of one account; a handle, cheap to clone.
#[derive(Clone, Debug)]
pub struct Ec2 {
    pub(crate) config: Arc<Config>,
    pub(crate) scope: Scope,
}

impl Ec2 {
    /// Connects to the target of the configuration that is found from the current directory upwards.
    pub fn connect() -> Connect {
        Connect { config: None, scope: Scope::process(), region: None }
    }

    /// Prepares a launch; `image` is an AMI id, an alias or `resolve:ssm:/…`.
    pub fn launch(&self, image: impl Into<String>) -> Launch {
        Launch::new(self.clone(), Some(image.into()))
    }

    /// Prepares a launch of the configured default image.
    pub fn launch_default(&self) -> Launch {
        Launch::new(self.clone(), None)
    }

    /// The configuration in force.
    pub fn config(&self) -> &Config {
        &self.config
    }
}

/// Connects to EC2; see [`Ec2::connect`].
#[derive(Debug, Clone)]
#[must_use = "nothing happens before `.await` or `.wait()`"]
pub struct Connect {
    config: Option<Config>,
    scope: Scope,
    region: Option<String>,
}

impl Connect {
    /// Uses this configuration; default: what is found from the current directory upwards.
    pub fn config(mut self, config: Config) -> Self {
        self.config = Some(config);
        self
    }

    /// Uses this region; default: the configuration's.
    pub fn region(mut self, region: impl Into<String>) -> Self {
        self.region = Some(region.into());
        self
    }

    /// Binds what is launched to a test.
    pub(crate) fn scope(mut self, scope: Scope) -> Self {
        self.scope = scope;
        self
    }

    async fn run(self) -> Result<Ec2, Error> {
        let config = match self.config {
            Some(config) => config,
            None => Config::load()?,
        };
        Ok(Ec2 { config: Arc::new(config), scope: self.scope })
    }
}

operation!(Connect -> Ec2, "connect to EC2", Cancel);
