//! The tags that everything we create bears: what the sweep goes by.
//!
//! Keys consist of characters that are also allowed where instance tags are served as metadata: no `/`, no space.
//! <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Tags.html>

use crate::{config::Config, run::Run};
use aws_sdk_ec2::types::{ResourceType, Tag, TagSpecification};
use std::{
    env,
    time::{Duration, SystemTime},
};

/// What our own keys begin with.
pub(crate) const OURS: &str = "ec2-harness:";
/// The run.
pub(crate) const RUN: &str = "ec2-harness:run";
/// Which of the runs of that id: see [`Run::incarnation`].
pub(crate) const INCARNATION: &str = "ec2-harness:incarnation";
/// Who started it: user and host.
pub(crate) const OWNER: &str = "ec2-harness:owner";
/// The test.
pub(crate) const TEST: &str = "ec2-harness:test";
/// When anybody's sweep may end it: RFC 3339, UTC.
pub(crate) const EXPIRES_AT: &str = "ec2-harness:expires-at";
/// Until when the run lives for sure, as anybody sees who can't see its processes; its watchdog renews it. RFC 3339, UTC.
pub(crate) const ALIVE_UNTIL: &str = "ec2-harness:alive-until";
/// It was kept on purpose: only the end of its lease ends it.
pub(crate) const KEPT: &str = "ec2-harness:kept";
/// One attempt of a create call, so that its result is found again when the answer is lost.
pub(crate) const ATTEMPT: &str = "ec2-harness:attempt";

/// Who logs in to what is launched from an image; the local EC2's imported images bear it, too.
pub(crate) const LOGIN_USER: &str = "login-user";
/// The name of what is shared by all runs that ask for it by that name: it belongs to none of them.
pub(crate) const SHARED: &str = "ec2-harness:shared";
/// What the image of a set-up depends on; the machine that it is made of bears it, too.
pub(crate) const SNAPSHOT: &str = "ec2-harness:snapshot";
/// When the machine of a set-up was launched, in milliseconds: of several the first goes on.
pub(crate) const BEGAN: &str = "ec2-harness:began";
/// It is whole: whoever finds it may use it. Of an image since when, RFC 3339, UTC.
pub(crate) const COMPLETE: &str = "ec2-harness:complete";
/// What stands for the run of what is shared; no run can have this id.
pub(crate) const NO_RUN: &str = "@shared";

/// For how long [`ALIVE_UNTIL`] holds, and how often it is renewed.
pub(crate) const ALIVE_FOR: Duration = Duration::from_secs(5 * 60);
pub(crate) const ALIVE_RENEWED_EVERY: Duration = Duration::from_secs(60);

/// A tag's value has 256 characters at most.
const VALUE_MAX: usize = 256;

/// The tags of one create call; the user's own first, ours win. What has the tag [`SHARED`] belongs to no run.
pub(crate) fn tags(
    config: &Config,
    run: &Run,
    own: &[(String, String)],
    test: Option<&str>,
    lease: Duration,
) -> Vec<Tag> {
    let mut tags: Vec<(String, String)> = config.tags.clone().into_iter().collect();
    tags.extend(own.iter().cloned());
    tags.push((OWNER.into(), owner()));
    if own.iter().any(|(key, _)| key == SHARED) {
        // Only the end of its lease ends it.
        tags.extend([(RUN.into(), NO_RUN.into()), (KEPT.into(), "yes".into())]);
        tags.push((EXPIRES_AT.into(), after(lease_of_shared(lease))));
        return merge(Vec::new(), tags);
    }
    tags.push((RUN.into(), run.id().into()));
    if let Some(incarnation) = run.incarnation() {
        tags.push((INCARNATION.into(), incarnation.into()));
    }
    tags.push((EXPIRES_AT.into(), after(lease)));
    tags.push((ALIVE_UNTIL.into(), after(ALIVE_FOR)));
    if let Some(test) = test {
        tags.push((TEST.into(), test.into()));
    }
    merge(Vec::new(), tags)
}

/// The lease of what is shared: whatever is launched in it during the first half has all of its own lease there.
pub(crate) fn lease_of_shared(lease: Duration) -> Duration {
    lease * 2
}

/// The time so much later, as a tag's value.
pub(crate) fn after(time: Duration) -> String {
    humantime::format_rfc3339_seconds(SystemTime::now() + time).to_string()
}

/// The time that a tag says.
pub(crate) fn time(tags: &[Tag], key: &str) -> Option<SystemTime> {
    humantime::parse_rfc3339(value(tags, key)?).ok()
}

/// Adds tags to others; the later of two with the same key wins.
pub(crate) fn merge(mut into: Vec<Tag>, more: Vec<(String, String)>) -> Vec<Tag> {
    for (key, value) in more {
        into.retain(|tag| tag.key() != Some(&key));
        into.push(Tag::builder().key(key).value(value.chars().take(VALUE_MAX).collect::<String>()).build());
    }
    into
}

/// The same tags for several types of resources.
pub(crate) fn specifications(types: &[ResourceType], tags: &[Tag]) -> Vec<TagSpecification> {
    types
        .iter()
        .map(|kind| TagSpecification::builder().resource_type(kind.clone()).set_tags(Some(tags.to_vec())).build())
        .collect()
}

/// User and host, as far as they can be told.
pub(crate) fn owner() -> String {
    let user = env::var("USER")
        .or_else(|_| env::var("LOGNAME"))
        .unwrap_or_else(|_| format!("uid-{}", rustix::process::geteuid().as_raw()));
    format!("{user}@{}", rustix::system::uname().nodename().to_string_lossy())
}

/// A value of a list of tags.
pub(crate) fn value<'a>(tags: &'a [Tag], key: &str) -> Option<&'a str> {
    tags.iter().find(|tag| tag.key() == Some(key)).and_then(Tag::value)
}
