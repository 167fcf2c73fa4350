//! What becomes of one request: token buckets, then the faults that were asked for, then those that happen at random.

use super::{
    Fault, Kind, Profile, When,
    throttle::{Buckets, Cost},
};
use crate::{
    error::{ApiError, Code},
    wire::Structure,
};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use std::time::Duration;
use time::OffsetDateTime;

/// How an answer gets to the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Delivery {
    /// At once.
    #[default]
    Prompt,
    /// After a while.
    Late(Duration),
    /// Never: the connection breaks.
    Lost,
}

/// Why AWS can't give what a launch asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shortage {
    Capacity,
    Quota,
}

/// What becomes of a request that is let in. By default it is answered at once.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Verdict {
    /// A launch that is found right is refused for this.
    pub(crate) shortage: Option<Shortage>,
    /// How much longer instances stay in between two states.
    pub(crate) stuck: Duration,
    pub(crate) delivery: Delivery,
}

/// A request, as far as its conditions are concerned.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Question<'a> {
    pub(crate) now: OffsetDateTime,
    pub(crate) region: &'a str,
    pub(crate) action: &'static str,
    pub(crate) input: &'a Structure,
    /// What a second of AWS's takes at the account's pace.
    pub(crate) second: Duration,
}

/// Where every request passes.
#[derive(Debug)]
pub(crate) struct Gate {
    buckets: Buckets,
    faults: Vec<(Fault, u32)>,
    random: StdRng,
}

impl Gate {
    pub(crate) fn new(seed: u64) -> Self {
        Self { buckets: Buckets::default(), faults: Vec::new(), random: StdRng::seed_from_u64(seed) }
    }

    /// The faults that were asked for, as far as they are still to come.
    pub(crate) fn faults(&self) -> impl Iterator<Item = &Fault> {
        self.faults.iter().map(|(fault, _)| fault)
    }

    pub(crate) fn add(&mut self, fault: Fault) {
        self.faults.push((fault, 0));
    }

    pub(crate) fn clear(&mut self) {
        self.faults.clear();
    }

    /// Lets a request in, or answers it with the error that it meets at once.
    pub(crate) fn admit(&mut self, question: Question<'_>, profile: &Profile) -> Result<Verdict, ApiError> {
        let Question { now, region, action, input, second } = question;
        if let Some(scale) = profile.buckets
            && !self.buckets.take(now, region, cost(action, input), scale, second)
        {
            return Err(throttled());
        }
        let mut verdict = Verdict::default();
        for kind in self.hits(action, profile) {
            match kind {
                Kind::Throttle => return Err(throttled()),
                Kind::Internal => {
                    return Err(ApiError::new(
                        Code::InternalError,
                        "An internal error has occurred (by the conditions)",
                    ));
                }
                Kind::Unavailable => {
                    let message = "The server is overloaded and can't handle the request (by the conditions)";
                    return Err(ApiError::new(Code::Unavailable, message));
                }
                Kind::Capacity => verdict.shortage = Some(Shortage::Capacity),
                Kind::Quota => verdict.shortage = Some(Shortage::Quota),
                Kind::Stuck(time) => verdict.stuck = scaled(time, second),
                Kind::Lost => verdict.delivery = Delivery::Lost,
                Kind::Late(time) if verdict.delivery == Delivery::Prompt => {
                    verdict.delivery = Delivery::Late(scaled(time, second));
                }
                Kind::Late(_) => {}
            }
        }
        Ok(verdict)
    }

    /// What happens to this request of an action.
    fn hits(&mut self, action: &str, profile: &Profile) -> Vec<Kind> {
        let mut hits = Vec::new();
        for (fault, requests) in self.faults.iter_mut().filter(|(fault, _)| fault.can_hit(action)) {
            *requests += 1;
            let hit = match fault.when_mut() {
                When::Next(left) => {
                    *left -= 1;
                    true
                }
                When::Every(count) => *requests % *count == 0,
                When::Chance(chance) => self.random.random_bool(*chance),
            };
            if hit {
                hits.push(fault.kind());
            }
        }
        self.faults.retain(|(fault, _)| fault.when() != When::Next(0));
        for (kind, chance) in profile.faults.iter().filter(|(kind, _)| kind.can_hit(action)) {
            if self.random.random_bool(*chance) {
                hits.push(*kind);
            }
        }
        hits
    }
}

fn throttled() -> ApiError {
    ApiError::new(Code::RequestLimitExceeded, "Request limit exceeded.")
}

fn scaled(time: Duration, second: Duration) -> Duration {
    Duration::try_from_secs_f64(time.as_secs_f64() * second.as_secs_f64()).unwrap_or(time)
}

fn cost(action: &'static str, input: &Structure) -> Cost {
    let is_narrow = !input.list("Filters").is_empty() || input.get("MaxResults").is_some();
    let instances = match action {
        "RunInstances" => input.integer("MaxCount").and_then(|count| usize::try_from(count).ok()).unwrap_or(1),
        _ => input.list("InstanceIds").len(),
    };
    Cost { action, is_narrow, instances }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conditions::Conditions;

    fn ask(gate: &mut Gate, action: &'static str, conditions: Conditions) -> Result<Verdict, ApiError> {
        let question = Question {
            now: OffsetDateTime::UNIX_EPOCH,
            region: "us-east-1",
            action,
            input: &Structure::new(),
            second: Duration::from_millis(10),
        };
        gate.admit(question, conditions.profile())
    }

    /// The codes and deliveries of so many requests in a row.
    fn row(gate: &mut Gate, action: &'static str, requests: usize) -> String {
        let answer = |answer: Result<Verdict, ApiError>| match answer {
            Err(error) => error.code.name().chars().next().unwrap(),
            Ok(Verdict { delivery: Delivery::Lost, .. }) => 'l',
            Ok(Verdict { delivery: Delivery::Late(_), .. }) => 'd',
            Ok(Verdict { shortage: Some(_), .. }) => 's',
            Ok(_) => '.',
        };
        (0..requests).map(|_| answer(ask(gate, action, Conditions::Calm))).collect()
    }

    #[test]
    fn faults_hit_as_often_as_they_were_asked_for() {
        for (fault, hit, spared) in [
            ("RunInstances capacity next 2", "ss....", "......"),
            ("DescribeVpcs lost every 3", "......", "..l..l"),
            ("* internal next 4", "IIII..", "......"),
            ("* late every 2", ".d.d.d", ".d.d.d"),
            ("* throttle chance 1", "RRRRRR", "RRRRRR"),
            ("* unavailable chance 0", "......", "......"),
        ] {
            let mut gate = Gate::new(7);
            gate.add(fault.parse().unwrap());
            let rows = (row(&mut gate, "RunInstances", 6), row(&mut gate, "DescribeVpcs", 6));
            assert_eq!((rows.0.as_str(), rows.1.as_str()), (hit, spared), "{fault}");
        }
    }

    #[test]
    fn what_is_over_is_forgotten_and_what_is_cleared_never_comes() {
        let mut gate = Gate::new(7);
        gate.add("* lost next 2".parse().unwrap());
        assert_eq!(row(&mut gate, "DescribeVpcs", 1), "l");
        assert_eq!(gate.faults().map(ToString::to_string).collect::<Vec<_>>(), ["* lost next 1"]);
        assert_eq!(row(&mut gate, "DescribeVpcs", 2), "l.");
        assert_eq!(gate.faults().count(), 0);
        gate.add("* lost every 1".parse().unwrap());
        gate.clear();
        assert_eq!(row(&mut gate, "DescribeVpcs", 1), ".");
    }

    #[test]
    fn times_are_at_the_pace() {
        let mut gate = Gate::new(7);
        gate.add("RunInstances stuck=60".parse().unwrap());
        gate.add("RunInstances late=2".parse().unwrap());
        let verdict = ask(&mut gate, "RunInstances", Conditions::Calm).unwrap();
        assert_eq!(verdict.stuck, Duration::from_millis(600));
        assert_eq!(verdict.delivery, Delivery::Late(Duration::from_millis(20)));
    }

    #[test]
    fn hostile_times_are_hostile_and_follow_from_the_seed() {
        let day = |seed| -> Vec<String> {
            let mut gate = Gate::new(seed);
            // Below the size of the bucket.
            let verdicts = (0..40).map(|_| ask(&mut gate, "DescribeVpcs", Conditions::Hostile));
            verdicts.map(|verdict| format!("{verdict:?}")).collect()
        };
        assert_eq!(day(1), day(1));
        assert!((2..20).any(|seed| day(seed) != day(1)));
        let all: Vec<String> = (1..40).flat_map(day).collect();
        for word in ["RequestLimitExceeded", "InternalError", "Unavailable", "Lost", "Late", "Prompt"] {
            assert!(all.iter().any(|verdict| verdict.contains(word)), "never {word}");
        }
    }
}
