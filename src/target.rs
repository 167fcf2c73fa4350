//! Where the calls go: the local EC2, AWS, or another endpoint.

use std::{fmt, str::FromStr};

/// Where the calls go.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Target {
    /// The local EC2, started on demand. No credential chain is built, and `AWS_*` variables are ignored.
    #[default]
    Local,
    /// AWS itself; only with the number of the account that may be touched.
    Aws,
    /// Another endpoint that speaks EC2, by its URL. Credentials come from the SDK's chain.
    Endpoint(String),
}

impl Target {
    /// The target as the configuration writes it.
    pub(crate) fn word(&self) -> &str {
        match self {
            Self::Local => "local",
            Self::Aws => "aws",
            Self::Endpoint(url) => url,
        }
    }
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "local" => Ok(Self::Local),
            "aws" => Ok(Self::Aws),
            url if url.starts_with("http://") || url.starts_with("https://") => Ok(Self::Endpoint(url.to_owned())),
            _ => Err(format!("expected `local`, `aws` or the URL of an endpoint, found `{text}`")),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local => f.write_str("the local EC2"),
            Self::Aws => f.write_str("AWS"),
            Self::Endpoint(url) => f.write_str(url),
        }
    }
}
