//! What a file of tests imports: `use ec2_harness::prelude::*;`.
//!
//! With the feature `rstest`, which is on by default, rstest's `#[rstest]` and `#[fixture]` are here too; their expansions
//! want `rstest` among the dev-dependencies of the crate under test.

pub use crate::{
    Error, ErrorKind, Failure, Result,
    check::*,
    ec2::{Ec2, Instance, Machine},
    ec2_test,
    runner::TestContext,
};

#[cfg(feature = "rstest")]
pub use rstest::{fixture, rstest};
