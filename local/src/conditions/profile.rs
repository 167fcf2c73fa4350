//! What each of the named conditions comes to, in AWS's own times: the account's pace scales them.

use super::{Conditions, Kind};
use std::time::Duration;

/// What conditions come to.
#[derive(Debug)]
pub(crate) struct Profile {
    /// How likely it is that one of EC2's replicas is late to learn of a change.
    pub(super) lag_chance: f64,
    /// After this time every replica knows. AWS names no bound, but has you back off for up to five minutes; mostly it is
    /// seconds. Source: <https://docs.aws.amazon.com/ec2/latest/devguide/eventual-consistency.html>.
    pub(crate) lag: Duration,
    /// Whether a replica that is late shows an instance that stops or starts as it was.
    pub(crate) stale_states: bool,
    /// How long after its start an instance's metadata service stays silent, so that its key comes after its sshd.
    pub(crate) metadata: Duration,
    /// How long after its start an instance's console is empty.
    pub(crate) console: Duration,
    /// The same for `Latest`, which Nitro has.
    pub(crate) latest_console: Duration,
    /// What an instance still holds of its NICs and groups once its machine is off: how long it is `shutting-down`, beyond
    /// the least.
    pub(crate) shutting_down: Duration,
    /// The size of the token buckets, by AWS's; none where there are none.
    pub(super) buckets: Option<f64>,
    /// What happens at random: the kind, and how likely it is. It happens to those actions that it can happen to.
    pub(super) faults: &'static [(Kind, f64)],
}

const CALM: Profile = Profile {
    lag_chance: 0.0,
    lag: Duration::ZERO,
    stale_states: false,
    metadata: Duration::ZERO,
    console: Duration::ZERO,
    latest_console: Duration::ZERO,
    shutting_down: Duration::ZERO,
    buckets: None,
    faults: &[],
};

const TYPICAL: Profile = Profile {
    lag_chance: 0.25,
    lag: Duration::from_secs(5),
    stale_states: false,
    metadata: Duration::from_secs(5),
    console: Duration::from_secs(60),
    latest_console: Duration::ZERO,
    shutting_down: Duration::from_secs(20),
    buckets: Some(1.0),
    faults: &[],
};

const HOSTILE: Profile = Profile {
    lag_chance: 0.75,
    lag: Duration::from_secs(60),
    stale_states: true,
    metadata: Duration::from_secs(30),
    console: Duration::from_secs(240),
    latest_console: Duration::from_secs(30),
    shutting_down: Duration::from_secs(90),
    buckets: Some(0.5),
    faults: &[
        (Kind::Throttle, 0.1),
        (Kind::Internal, 0.02),
        (Kind::Unavailable, 0.02),
        (Kind::Lost, 0.03),
        (Kind::Late(Duration::from_secs(20)), 0.1),
        (Kind::Capacity, 0.1),
        (Kind::Quota, 0.05),
        (Kind::Stuck(Duration::from_secs(120)), 0.1),
    ],
};

impl Conditions {
    /// What they come to.
    pub(crate) fn profile(self) -> &'static Profile {
        match self {
            Self::Calm => &CALM,
            Self::Typical => &TYPICAL,
            Self::Hostile => &HOSTILE,
        }
    }
}
