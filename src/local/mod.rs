//! The local EC2, as the rest of the crate sees it: the one place that knows whether it is built in.
//!
//! What this room isn't: a second code path. Once it runs, the local EC2 is spoken to like any other.

#[cfg(feature = "local")]
mod built_in;
#[cfg(feature = "local")]
use built_in::is_there;
#[cfg(feature = "local")]
pub(crate) use built_in::{Local, run_named_role};

#[cfg(not(feature = "local"))]
mod left_out;
#[cfg(not(feature = "local"))]
use left_out::is_there;
#[cfg(not(feature = "local"))]
pub(crate) use left_out::{Local, run_named_role};

use crate::{engine, error::Error, target::Target};

impl Local {
    /// Where it answers now. Where its endpoint was killed, what has taken its account over is looked for, or started.
    pub(crate) async fn current_url(&self) -> Result<String, Error> {
        if let Some(url) = self.url() {
            return Ok(url);
        }
        let local = self.clone();
        engine::blocking("find the local EC2 again", move || Ok(local.follow())).await
    }
}

impl Target {
    /// Whether there is anything to connect to: `false` for the local EC2 while none is running, and none was killed whose machines
    /// the next one would take over.
    pub fn is_there(&self) -> bool {
        match self {
            Self::Local => is_there(),
            Self::Aws | Self::Endpoint(_) => true,
        }
    }
}
