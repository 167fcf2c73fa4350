//! Eventual consistency: why an id that was just given out is there, and then isn't, and then is.
//!
//! Each request is answered by one of several replicas, drawn anew for every request; each replica learns of a change after
//! a delay of its own. So within one request everything agrees, between two requests nothing must, and once the longest
//! delay is over everybody knows. Source:
//! <https://docs.aws.amazon.com/ec2/latest/devguide/eventual-consistency.html>.

use super::Profile;
use sha2::{Digest, Sha256};
use std::time::Duration;
use time::OffsetDateTime;

/// How many replicas answer.
const REPLICAS: u64 = 3;

/// The replicas of one account.
#[derive(Debug, Clone)]
pub(crate) struct Replicas {
    seed: u64,
    requests: u64,
}

/// What the replica that answers a request knows by now.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View {
    seed: u64,
    replica: u64,
    now: OffsetDateTime,
    chance: f64,
    lag: Duration,
}

impl Replicas {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, requests: 0 }
    }

    /// The view of the replica that answers the next request; `lag` is the longest delay, at the account's pace. None where
    /// all know everything at once.
    pub(crate) fn next(&mut self, now: OffsetDateTime, profile: &Profile, lag: Duration) -> Option<View> {
        if lag.is_zero() || profile.lag_chance <= 0.0 {
            return None;
        }
        self.requests += 1;
        let replica = draw(self.seed, 0, &self.requests.to_be_bytes()) % REPLICAS;
        Some(View { seed: self.seed, replica, now, chance: profile.lag_chance, lag })
    }
}

impl View {
    /// Whether the replica knows of a change that was made at a time.
    pub(crate) fn knows(&self, what: &str, since: OffsetDateTime) -> bool {
        self.now - since >= self.lag || self.now - since >= self.delay(what)
    }

    /// Whether every replica knows of a change that was made at a time.
    pub(crate) fn is_settled(&self, since: OffsetDateTime) -> bool {
        self.now - since >= self.lag
    }

    fn delay(&self, what: &str) -> Duration {
        let share = |number: u64| number as f64 / u64::MAX as f64;
        if share(draw(self.seed, 2 * self.replica + 1, what.as_bytes())) >= self.chance {
            return Duration::ZERO;
        }
        self.lag.mul_f64(share(draw(self.seed, 2 * self.replica + 2, what.as_bytes())))
    }
}

/// A number that follows from the seed, a purpose and a name, whatever was drawn before.
fn draw(seed: u64, purpose: u64, name: &[u8]) -> u64 {
    let hash = Sha256::new().chain_update(seed.to_be_bytes()).chain_update(purpose.to_be_bytes()).chain_update(name);
    let bytes = hash.finalize();
    u64::from_be_bytes(std::array::from_fn(|i| bytes[i]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conditions::Conditions;
    use proptest::prelude::*;

    const LAG: Duration = Duration::from_secs(5);
    const BEGIN: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

    proptest! {
        #[test]
        fn a_replica_never_forgets_and_all_know_in_the_end(seed: u64, requests in 0_usize..20, what in "[a-z]{1,8}") {
            let mut replicas = Replicas::new(seed);
            let mut known = [false; REPLICAS as usize];
            for second in 0..10 {
                for _ in 0..requests {
                    let now = BEGIN + Duration::from_secs(second);
                    let view = replicas.next(now, Conditions::Hostile.profile(), LAG).unwrap();
                    let knew = std::mem::replace(&mut known[view.replica as usize], view.knows(&what, BEGIN));
                    prop_assert!(!knew || known[view.replica as usize]);
                    prop_assert!(known[view.replica as usize] || !view.is_settled(BEGIN));
                    prop_assert!(second < 5 || known[view.replica as usize]);
                }
            }
        }
    }

    #[test]
    fn what_is_seen_comes_and_goes_by_the_seed() {
        let seen = |seed: u64| -> Vec<bool> {
            let mut replicas = Replicas::new(seed);
            let looks = (0..50).map(|look| BEGIN + Duration::from_millis(100 * look));
            looks
                .map(|now| replicas.next(now, Conditions::Hostile.profile(), LAG).unwrap().knows("i-1", BEGIN))
                .collect()
        };
        let goes = |seen: &[bool]| seen.windows(2).any(|pair| pair == [true, false]);
        assert!((0..20).any(|seed| goes(&seen(seed))), "ids never go again once they were seen");
        assert_eq!(seen(7), seen(7));
        assert!((0..20).any(|seed| seen(seed) != seen(7)));
        assert!(Replicas::new(1).next(BEGIN, Conditions::Calm.profile(), LAG).is_none());
    }
}
