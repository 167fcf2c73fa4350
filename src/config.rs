//! The configuration: `ec2-harness.toml`, found from a directory upwards, and `EC2_HARNESS_*` over it.

use crate::Error;

/// What is configured; every key also as an environment variable.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Config {}

impl Config {
    /// Loads the configuration that holds for the current directory.
    ///
    /// # Errors
    ///
    /// A file that can't be read or parsed, a key that is not known (the nearest is suggested), a value that can't be.
    pub fn load() -> Result<Self, Error> {
        Ok(Self {})
    }
}
