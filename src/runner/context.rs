//! What a test may know of itself.

use crate::ec2::Ec2;
use std::{
    collections::BTreeMap,
    time::{Duration, Instant, SystemTime},
};

/// What a test may know of itself; a parameter of this type is provided to it.
#[derive(Debug, Clone)]
pub struct TestContext {
    pub(crate) name: String,
    pub(crate) ec2: Ec2,
    pub(crate) started: SystemTime,
    pub(crate) clock: Instant,
}

impl TestContext {
    /// The test's name, as `cargo test` prints it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// EC2, bound to this test: what is launched by it ends with the test.
    pub fn ec2(&self) -> &Ec2 {
        &self.ec2
    }

    /// When the test has begun.
    pub fn started(&self) -> SystemTime {
        self.started
    }

    /// How long the test runs already, its launches included.
    pub fn elapsed(&self) -> Duration {
        self.clock.elapsed()
    }

    /// How long the test may still take; zero once its time has passed.
    pub fn remaining(&self) -> Duration {
        self.ec2.config().timeout.saturating_sub(self.elapsed())
    }

    /// The tags on what this test makes, those of the configuration included; without ec2-harness's own.
    pub fn tags(&self) -> &BTreeMap<String, String> {
        &self.ec2.config().tags
    }
}
