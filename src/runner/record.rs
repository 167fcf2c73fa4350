//! One record per finished test, for whoever reports.
//!
//! Today it is a `tracing` event with the target `ec2_harness::test`; reports will read the same record.

use std::{panic::Location, time::Duration};

/// How a test ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Result {
    Passed,
    Failed,
    Skipped,
}

/// A finished test.
#[derive(Debug)]
pub(crate) struct Record<'a> {
    pub(crate) test: &'a str,
    pub(crate) at: &'static Location<'static>,
    pub(crate) result: Result,
    pub(crate) duration: Duration,
    /// The report of a failure, the reason of a skip.
    pub(crate) text: &'a str,
}

impl Record<'_> {
    pub(crate) fn emit(&self) {
        let Self { test, at, result, duration, text } = self;
        tracing::info!(target: "ec2_harness::test", test, %at, ?result, ?duration, text);
    }
}
