//! Groups of users.

use super::{is_default, subject};
use crate::check::{
    Numbers,
    answer::{Answer, Answers},
    checks::Kind,
    fact::Fact,
    finding::{Findings, Outcome},
    source::Source,
};
use serde::{Deserialize, Serialize};

/// What a group of users is expected to be; made by [`group`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[must_use = "checks are only data until a machine is asserted to hold them"]
pub struct GroupCheck {
    group: String,
    #[serde(default, skip_serializing_if = "is_default")]
    exists: Option<bool>,
    #[serde(default, skip_serializing_if = "is_default")]
    gid: Option<Numbers>,
    #[serde(skip)]
    source: Source,
}

subject! {
    /// A group, by name; whether a user belongs to it is for `user` to say.
    ///
    /// Expects that it exists, unless told otherwise.
    group -> GroupCheck
}

impl GroupCheck {
    /// It exists.
    pub fn exists(mut self) -> Self {
        self.exists = Some(true);
        self
    }

    /// There is no such group.
    pub fn is_missing(mut self) -> Self {
        self.exists = Some(false);
        self
    }

    /// Its number: `0`, `1000..`.
    pub fn gid(mut self, gid: impl Into<Numbers>) -> Self {
        self.gid = Some(gid.into());
        self
    }

    fn fact(&self) -> Fact {
        Fact::new("group", [&self.group])
    }
}

impl Kind for GroupCheck {
    fn source(&self) -> Source {
        self.source
    }

    fn subject(&self) -> String {
        format!("group {}", self.group)
    }

    fn facts(&self) -> Vec<Fact> {
        vec![self.fact()]
    }

    fn judge(&self, answers: &Answers) -> Findings {
        let mut findings = Findings::default();
        let line = answers.get(&self.fact()).and_then(|answer| read(answer, &self.group));
        let missing = || Outcome::Failed("no such group".to_owned());
        if self.exists == Some(false) {
            findings.expect("no such group", &line, |line| match line {
                None => Outcome::Held,
                Some(line) => Outcome::Failed(line.clone()),
            });
        }
        if let Some(gid) = self.gid {
            findings.expect(format!("gid {gid}"), &line, |line| {
                let Some(line) = line else { return missing() };
                match line.split(':').nth(2).and_then(|number| number.parse().ok()) {
                    Some(found) => Outcome::of(gid.contains(found), || format!("gid {found}")),
                    None => Outcome::Unanswerable(format!("its entry can't be read: {line}")),
                }
            });
        }
        if self.exists == Some(true) || findings.list.is_empty() {
            findings.expect("exists", &line, |line| if line.is_some() { Outcome::Held } else { missing() });
        }
        findings
    }
}

/// The group's line, if there is such a group.
fn read(answer: &Answer, name: &str) -> Result<Option<String>, String> {
    let entries = answer.text("entry").unwrap_or_default();
    // Asked for a number, getent looks for a group with that gid.
    let line = entries.lines().find(|line| line.split(':').next() == Some(name));
    if line.is_none() && answer.says("group", "no") {
        return Err("there is no /etc/group on this machine".to_owned());
    }
    Ok(line.map(str::to_owned))
}
