//! What became of a test, as data: one record per test, which all that tells of it is made from.
//!
//! libtest's text ([`super::report`]) is one reader of it, the `tracing` event with the target `ec2_harness::test` another.

use crate::{
    error::{Error, ErrorKind, Failure},
    scope::MORE_TIME,
};
use std::{
    fmt,
    panic::Location,
    time::{Duration, SystemTime},
};

/// A finished test.
#[derive(Debug)]
pub(crate) struct Record {
    /// As `cargo test` prints it.
    pub(crate) test: String,
    pub(crate) at: &'static Location<'static>,
    pub(crate) began: SystemTime,
    pub(crate) outcome: Conclusion,
    /// Why it failed, the first cause first; empty if it didn't.
    pub(crate) causes: Vec<Cause>,
    /// What it took, phase by phase, as far as it came.
    pub(crate) phases: Vec<(Phase, Duration)>,
    /// The machines that it left to its end.
    pub(crate) machines: Vec<Ended>,
    /// Why there is no evidence, where a failed test's machines should have given some.
    pub(crate) no_evidence: Option<String>,
    /// What the local EC2's chance followed from, if it was at one.
    pub(crate) local_seed: Option<u64>,
}

/// How a test ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Conclusion {
    Passed,
    Failed,
    /// It was not run, for this reason.
    Skipped(String),
}

/// A part of a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// From its begin to its parameters.
    Provision,
    /// Its body.
    Body,
    /// Its evidence and the end of what it made.
    End,
}

/// A machine that a test left to its end.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) name: String,
    /// `i-…`.
    pub(crate) id: String,
    /// What a person should know of it however the test ended, with its title.
    pub(crate) remark: Option<(&'static str, String)>,
    /// What it showed, each with its title; of a failed test only.
    pub(crate) evidence: Vec<(&'static str, String)>,
    /// How it is reached, if it was kept; or why it couldn't be.
    pub(crate) kept: Option<String>,
}

/// Why a test fails.
#[derive(Debug)]
#[non_exhaustive]
pub enum Cause {
    /// The body returned an error of ours.
    Failure(Failure),
    /// The body returned something else that is no success: its `Debug`.
    Returned(String),
    /// What the test declares could not be provided, or its configuration not be used; it was never begun.
    NotProvided(Error),
    /// It would have been skipped, for this reason, but skipping is forbidden.
    SkipForbidden(String),
    /// The body panicked with this text.
    Panicked(String),
    /// It was to panic, and didn't.
    NoPanic,
    /// It was to panic, and failed in another way.
    InsteadOfPanic(Box<Self>),
    /// It was to panic, and did so after a launch that had failed.
    PanickedAfterFailedLaunch(String),
    /// It was to panic with other words.
    PanickedOtherwise {
        /// What was expected.
        expected: String,
        /// What it said.
        text: String,
    },
    /// The test's time, this much, has passed.
    TimedOut(Duration),
    /// The test's time has passed, and its body, that long later, was dropped.
    Dropped {
        /// The test's time.
        limit: Duration,
        /// How long it was waited for.
        grace: Duration,
    },
    /// Something that the test never did, for example an assert that was never run.
    Complaint(String),
    /// Something may have been left behind.
    LeftBehind(Error),
}

impl Cause {
    /// Whether it says that the time was up.
    pub(crate) fn is_timeout(&self) -> bool {
        match self {
            Self::TimedOut(_) | Self::Dropped { .. } => true,
            Self::Failure(failure) => failure.kind() == ErrorKind::TimedOut,
            Self::NotProvided(error) | Self::LeftBehind(error) => error.kind() == ErrorKind::TimedOut,
            Self::InsteadOfPanic(cause) => cause.is_timeout(),
            _ => false,
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failure(failure) => write!(f, "{failure:?}"),
            Self::Returned(text) | Self::Complaint(text) => f.write_str(text),
            Self::NotProvided(error) => write!(f, "failed to {error}"),
            Self::SkipForbidden(reason) => {
                write!(f, "skipped: {reason}\n(skipping is forbidden by EC2_HARNESS_NO_SKIP or `no_skip`)")
            }
            Self::Panicked(text) => write!(f, "panicked: {text}"),
            Self::NoPanic => f.write_str("it did not panic, as `#[should_panic]` expects"),
            Self::InsteadOfPanic(cause) => write!(f, "{cause}\n(no panic of the test, as `#[should_panic]` expects)"),
            Self::PanickedAfterFailedLaunch(text) => {
                write!(f, "panicked, but after a failed launch, which `#[should_panic]` never means: {text}")
            }
            Self::PanickedOtherwise { expected, text } => {
                write!(f, "panicked with other words than `{expected}`: {text}")
            }
            Self::TimedOut(limit) => {
                write!(f, "timed out: the test's {} have passed; {MORE_TIME}", humantime::format_duration(*limit))
            }
            Self::Dropped { limit, grace } => write!(
                f,
                "timed out: the test's {} have passed, and {} later its body had not returned; it was dropped; {MORE_TIME}",
                humantime::format_duration(*limit),
                humantime::format_duration(*grace)
            ),
            Self::LeftBehind(error) => write!(f, "something may have been left behind: failed to {error}"),
        }
    }
}

impl Record {
    /// Tells anyone who listens; `text` is what libtest's reader sees.
    pub(crate) fn emit(&self, text: &str) {
        let Self { test, at, began, outcome, phases, machines, .. } = self;
        let began = humantime::format_rfc3339_millis(*began);
        let duration: Duration = phases.iter().map(|(_, time)| *time).sum();
        let remark =
            |machine: &Ended| Some(format!("{} ({}): {}", machine.name, machine.id, machine.remark.as_ref()?.0));
        let remarks: Vec<String> = machines.iter().filter_map(remark).collect();
        tracing::info!(target: "ec2_harness::test", test, %at, %began, ?outcome, ?duration, ?phases, ?remarks, text);
    }
}
