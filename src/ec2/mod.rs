//! The account: launching, reaching and ending what EC2 has.
//!
//! What this room isn't: tests. It knows scopes and guards, but not who opens and closes them.

mod account;
mod api_error;
mod assert;
mod caps;
mod connection;
mod end;
mod exec;
mod files;
mod https;
mod image;
mod instance;
mod launch;
mod machine;
mod per_run;
mod poller;
mod power;
mod ready;
mod run_instances;
mod sweep;
pub(crate) mod tags;

pub use account::{Connect, Ec2, Statistics};
pub use assert::Assert;
pub use exec::Exec;
pub use files::{Pull, Push};
pub use instance::Instance;
pub use launch::Launch;
pub use machine::Machine;
pub use sweep::{Sweep, Swept};

use crate::error::{Error, ErrorKind};
use std::time::{Duration, Instant};

/// How long something of ours may be invisible after its creation.
const VISIBLE_WITHIN: Duration = Duration::from_secs(60);

/// Tries a call again as long as EC2 says that something we have just made isn't there.
async fn until_visible<T, F>(call: impl Fn() -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    let since = Instant::now();
    let mut pause = Duration::from_millis(50);
    loop {
        match call().await {
            Err(error) if error.kind() == ErrorKind::NotFound && since.elapsed() < VISIBLE_WITHIN => {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(5));
            }
            other => return other,
        }
    }
}
