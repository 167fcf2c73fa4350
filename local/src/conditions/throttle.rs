//! Token buckets: how many requests, and how many instances, an account may ask for in a region.
//!
//! Sizes and rates are AWS's own, for the actions that are served here or may come to be:
//! <https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-throttling.html>.

use std::{collections::BTreeMap, time::Duration};
use time::OffsetDateTime;

/// A bucket's rules: how many tokens it holds, and how many come back in a second.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Rule {
    size: f64,
    rate: f64,
}

const fn rule(size: f64, rate: f64) -> Rule {
    Rule { size, rate }
}

const NON_MUTATING: Rule = rule(100.0, 20.0);
const UNFILTERED: Rule = rule(50.0, 10.0);
const MUTATING: Rule = rule(50.0, 5.0);

/// The actions that have a smaller bucket of their own for requests with neither filters nor pages.
const UNFILTERED_ACTIONS: &[&str] = &[
    "DescribeInstanceStatus",
    "DescribeInstances",
    "DescribeNetworkInterfaces",
    "DescribeSecurityGroups",
    "DescribeSnapshots",
    "DescribeVolumes",
];

/// The actions whose buckets are not those of their category. AuthorizeSecurityGroupIngress and the other
/// resource-intensive ones have a category of their own, of the size of the mutating ones.
const OWN_RULES: &[(&str, Rule)] = &[
    ("AssignPrivateIpAddresses", rule(100.0, 5.0)),
    ("CopyImage", rule(100.0, 1.0)),
    ("CreateDefaultSubnet", rule(1.0, 1.0)),
    ("CreateDefaultVpc", rule(1.0, 1.0)),
    ("CreateNetworkInterface", rule(100.0, 5.0)),
    ("CreateSnapshot", rule(100.0, 5.0)),
    ("CreateTags", rule(100.0, 10.0)),
    ("CreateVolume", rule(100.0, 5.0)),
    ("DeleteNetworkInterface", rule(100.0, 5.0)),
    ("DeleteSnapshot", rule(100.0, 5.0)),
    ("DeleteTags", rule(100.0, 10.0)),
    ("DeleteVolume", rule(100.0, 5.0)),
    ("DeregisterImage", rule(100.0, 5.0)),
    ("ModifyImageAttribute", rule(100.0, 5.0)),
    ("ModifyInstanceMetadataOptions", rule(100.0, 5.0)),
    ("ModifyNetworkInterfaceAttribute", rule(100.0, 5.0)),
    ("ModifySnapshotAttribute", rule(100.0, 5.0)),
    ("RunInstances", rule(5.0, 2.0)),
    ("StartInstances", rule(5.0, 2.0)),
    ("TerminateInstances", rule(100.0, 5.0)),
    ("UnassignPrivateIpAddresses", rule(100.0, 5.0)),
];

/// The actions that pay for each instance, too.
const RESOURCE_RULES: &[(&str, Rule)] = &[
    ("RunInstances", rule(1000.0, 2.0)),
    ("StartInstances", rule(1000.0, 2.0)),
    ("StopInstances", rule(1000.0, 20.0)),
    ("TerminateInstances", rule(1000.0, 20.0)),
];

fn named(rules: &[(&str, Rule)], action: &str) -> Option<Rule> {
    rules.iter().find(|(name, _)| *name == action).map(|(_, rule)| *rule)
}

/// What a request costs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cost {
    pub(super) action: &'static str,
    /// Whether it has filters, or asks for pages.
    pub(super) is_narrow: bool,
    /// The instances that it asks for.
    pub(super) instances: usize,
}

/// Which of an action's buckets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Purpose {
    Requests,
    UnfilteredRequests,
    Instances,
}

/// The buckets of one account.
#[derive(Debug, Clone, Default)]
pub(super) struct Buckets(BTreeMap<(String, &'static str, Purpose), Bucket>);

#[derive(Debug, Clone, Copy)]
struct Bucket {
    tokens: f64,
    filled: OffsetDateTime,
}

impl Buckets {
    /// Takes what a request costs, or nothing: then the request is throttled. `scale` is on the sizes and rates, `second` is
    /// what a second of AWS's takes at the account's pace.
    pub(super) fn take(&mut self, now: OffsetDateTime, region: &str, cost: Cost, scale: f64, second: Duration) -> bool {
        let mut due = Vec::with_capacity(2);
        let (purpose, rule) = requests_rule(cost);
        due.push((purpose, rule, 1.0));
        if let Some(rule) = named(RESOURCE_RULES, cost.action) {
            due.push((Purpose::Instances, rule, cost.instances as f64));
        }
        let mut filled = Vec::with_capacity(2);
        for (purpose, rule, tokens) in due {
            let key = (region.to_owned(), cost.action, purpose);
            // However hard the times, one request at a time must pass in the end.
            let size = (rule.size * scale).max(1.0);
            let bucket = self.0.get(&key).copied().unwrap_or(Bucket { tokens: size, filled: now });
            let seconds = (now - bucket.filled).as_seconds_f64().max(0.0) / second.as_secs_f64();
            // No time at all for a second: then it is always full.
            let refilled = if seconds.is_finite() { seconds * rule.rate * scale } else { size };
            let has = (bucket.tokens + refilled).min(size);
            // What a bucket can never hold must not be asked for in vain for ever.
            let tokens = tokens.min(size);
            filled.push((key, has, tokens));
        }
        let enough = filled.iter().all(|(_, has, tokens)| has >= tokens);
        for (key, has, tokens) in filled {
            self.0.insert(key, Bucket { tokens: if enough { has - tokens } else { has }, filled: now });
        }
        enough
    }
}

fn requests_rule(cost: Cost) -> (Purpose, Rule) {
    let Cost { action, is_narrow, .. } = cost;
    let is_non_mutating = ["Describe", "Get", "List", "Search"].iter().any(|start| action.starts_with(start));
    if let Some(rule) = named(OWN_RULES, action) {
        (Purpose::Requests, rule)
    } else if !is_narrow && UNFILTERED_ACTIONS.contains(&action) {
        (Purpose::UnfilteredRequests, UNFILTERED)
    } else {
        (Purpose::Requests, if is_non_mutating { NON_MUTATING } else { MUTATING })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEGIN: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;
    const SECOND: Duration = Duration::from_secs(1);

    /// How many requests in a row pass.
    fn burst(buckets: &mut Buckets, now: OffsetDateTime, cost: Cost, second: Duration) -> usize {
        (0..2000).take_while(|_| buckets.take(now, "us-east-1", cost, 1.0, second)).count()
    }

    #[test]
    fn sizes_and_rates_are_those_of_the_page() {
        for (action, is_narrow, size, in_ten_seconds) in [
            ("DescribeVpcs", false, 100, 100),
            ("DescribeInstances", true, 100, 100),
            ("DescribeInstances", false, 50, 50),
            ("DescribeSecurityGroups", false, 50, 50),
            ("GetConsoleOutput", false, 100, 100),
            ("CreateKeyPair", false, 50, 50),
            ("AuthorizeSecurityGroupIngress", false, 50, 50),
            ("CreateTags", false, 100, 100),
            ("RunInstances", false, 5, 5),
            ("StartInstances", false, 5, 5),
            ("TerminateInstances", false, 100, 50),
            ("StopInstances", false, 50, 50),
        ] {
            let mut buckets = Buckets::default();
            let cost = Cost { action, is_narrow, instances: 1 };
            assert_eq!(burst(&mut buckets, BEGIN, cost, SECOND), size, "{action}");
            let later = BEGIN + Duration::from_secs(10);
            assert_eq!(burst(&mut buckets, later, cost, SECOND), in_ten_seconds, "{action}");
        }
    }

    #[test]
    fn instances_are_paid_for_one_by_one() {
        let mut buckets = Buckets::default();
        let run = |instances| Cost { action: "RunInstances", is_narrow: false, instances };
        assert!(buckets.take(BEGIN, "us-east-1", run(600), 1.0, SECOND));
        assert!(!buckets.take(BEGIN, "us-east-1", run(600), 1.0, SECOND));
        // A request that was throttled has paid nothing, and each region has its own.
        assert!(buckets.take(BEGIN, "us-east-1", run(400), 1.0, SECOND));
        assert!(buckets.take(BEGIN, "eu-west-1", run(600), 1.0, SECOND));
        assert!(!buckets.take(BEGIN + Duration::from_secs(4), "us-east-1", run(9), 1.0, SECOND));
        assert!(buckets.take(BEGIN + Duration::from_secs(4), "us-east-1", run(8), 1.0, SECOND));
        // More than a bucket holds waits for a full one.
        assert!(!buckets.take(BEGIN + Duration::from_secs(400), "us-east-1", run(5000), 1.0, SECOND));
        assert!(buckets.take(BEGIN + Duration::from_secs(504), "us-east-1", run(5000), 1.0, SECOND));
    }

    #[test]
    fn the_pace_scales_the_refill() {
        let cost = Cost { action: "RunInstances", is_narrow: false, instances: 1 };
        let hundredth = Duration::from_millis(10);
        let mut buckets = Buckets::default();
        assert_eq!(burst(&mut buckets, BEGIN, cost, hundredth), 5);
        assert_eq!(burst(&mut buckets, BEGIN + Duration::from_millis(20), cost, hundredth), 4);
        assert_eq!(burst(&mut buckets, BEGIN, cost, Duration::ZERO), 2000, "no waiting at all");
    }
}
