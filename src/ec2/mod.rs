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
mod patience;
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
