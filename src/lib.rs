//! Test on real EC2 machines, or on a local EC2 of this project's own, as easily as `cargo test`.

#![cfg_attr(not(test), warn(clippy::expect_used, clippy::panic, clippy::unwrap_used))]

mod caller;
pub mod check;
pub mod config;
pub mod ec2;
mod engine;
mod error;
#[cfg(feature = "rstest")]
pub mod fixtures;
pub mod prelude;
mod progress;
mod roles;
mod run;
pub mod runner;
mod scope;
pub mod ssh;
pub mod target;
mod task;
mod teardown;

pub use ec2_harness_macros::{ec2_test, ec2_test as test};
pub use error::{Error, ErrorKind, Failure, Result};
pub use task::Task;

#[doc(hidden)]
pub use runner::expansion as __private;
