//! What `#[ec2_test]` calls: one test, from its declaration to its report.
//!
//! A test is a scope that is opened, a body that runs on the test's own thread, and an end: first
//! outcome and evidence are taken, then what the test has made is ended, and only then the outcome is reported. So a
//! failure can be looked at, and the report of a red test starts with the test's own first cause.
//!
//! - **Provision.** The parameters are declared by their types ([`Inject`]); all machines are launched together, and if one
//!   fails the others end at once.
//! - **Body.** An async body runs on a current-thread Tokio runtime of its own, on the test's thread: `tokio::spawn` and
//!   `tokio::time` work, and nothing needs to be `Send`. A sync body runs on the thread as it is.
//! - **Timeout.** When the test's time has passed, every operation fails with `timed out`. An async body that doesn't return
//!   within five seconds is dropped. A sync body can't be stopped from outside: that it hangs is said on stderr.
//! - **End.** A failure's evidence is printed, machines are kept or ended, together. A machine that may have been left
//!   behind makes the test fail, for a green test is one that left nothing; that it had ended by itself does not.
//! - **`#[should_panic]`** is satisfied by a panic of the body only: not if a launch failed, the time had passed, an assert
//!   was never run, or something was left behind.
//!
//! What this room isn't: the account. It knows machines only to launch, look at and end them.

mod body;
mod conduct;
mod context;
mod ending;
mod inject;
mod outcome;
mod pause;
mod record;
mod report;
mod requirement;
mod test;

pub use context::TestContext;
pub use inject::{Inject, Launched};
pub use outcome::Outcome;

/// What the macros' expansions call; no part of the public interface.
#[doc(hidden)]
pub mod expansion {
    pub use super::{
        conduct::{run, run_async},
        inject::{Given, Plan, Settings, Ticket},
        requirement::Requirement,
        test::Test,
    };
    pub use crate::{
        config::Keep,
        ec2::ImageSource,
        image_cache::{SetUp, run as set_up, run_async as set_up_async},
    };
}
