//! Users.

use super::{is_default, subject, texts};
use crate::check::{
    Matcher, Numbers,
    answer::{Answer, Answers},
    checks::Kind,
    fact::Fact,
    finding::{Findings, Outcome},
    source::Source,
};
use serde::{Deserialize, Serialize};

/// What a user is expected to be; made by [`user`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[must_use = "checks are only data until a machine is asserted to hold them"]
pub struct UserCheck {
    user: String,
    #[serde(default, skip_serializing_if = "is_default")]
    exists: Option<bool>,
    #[serde(default, skip_serializing_if = "is_default")]
    uid: Option<Numbers>,
    #[serde(default, skip_serializing_if = "is_default")]
    gid: Option<Numbers>,
    #[serde(default, skip_serializing_if = "is_default")]
    home: Option<Matcher>,
    #[serde(default, skip_serializing_if = "is_default")]
    shell: Option<Matcher>,
    #[serde(default, skip_serializing_if = "is_default", with = "texts")]
    in_group: Vec<String>,
    #[serde(default, skip_serializing_if = "is_default", with = "texts")]
    not_in_group: Vec<String>,
    #[serde(skip)]
    source: Source,
}

subject! {
    /// A user, by name; from all of the machine's sources where it has `getent`, else from /etc/passwd.
    ///
    /// Expects that the user exists, unless told otherwise.
    user -> UserCheck
}

impl UserCheck {
    /// The user exists.
    pub fn exists(mut self) -> Self {
        self.exists = Some(true);
        self
    }

    /// There is no such user.
    pub fn is_missing(mut self) -> Self {
        self.exists = Some(false);
        self
    }

    /// The user's number: `0`, `1000..`.
    pub fn uid(mut self, uid: impl Into<Numbers>) -> Self {
        self.uid = Some(uid.into());
        self
    }

    /// The number of the user's own group.
    pub fn gid(mut self, gid: impl Into<Numbers>) -> Self {
        self.gid = Some(gid.into());
        self
    }

    /// The home directory.
    pub fn home(mut self, home: impl Into<Matcher>) -> Self {
        self.home = Some(home.into());
        self
    }

    /// The login shell.
    pub fn shell(mut self, shell: impl Into<Matcher>) -> Self {
        self.shell = Some(shell.into());
        self
    }

    /// The user belongs to this group; may be said several times.
    pub fn in_group(mut self, group: impl Into<String>) -> Self {
        self.in_group.push(group.into());
        self
    }

    /// The user exists and doesn't belong to this group; may be said several times.
    pub fn not_in_group(mut self, group: impl Into<String>) -> Self {
        self.not_in_group.push(group.into());
        self
    }

    fn fact(&self) -> Fact {
        Fact::new("user", [&self.user])
    }
}

impl Kind for UserCheck {
    fn source(&self) -> Source {
        self.source
    }

    fn subject(&self) -> String {
        format!("user {}", self.user)
    }

    fn facts(&self) -> Vec<Fact> {
        vec![self.fact()]
    }

    fn judge(&self, answers: &Answers) -> Findings {
        let mut findings = Findings::default();
        let entry = answers.get(&self.fact()).and_then(|answer| Entry::read(answer, &self.user));
        let there = |judge: &dyn Fn(&Entry) -> Outcome, entry: &Option<Entry>| match entry {
            Some(entry) => judge(entry),
            None => Outcome::Failed("no such user".to_owned()),
        };
        if self.exists == Some(false) {
            findings.expect("no such user", &entry, |entry| match entry {
                None => Outcome::Held,
                Some(entry) => Outcome::Failed(entry.line.clone()),
            });
        }
        for (name, numbers, number) in [("uid", &self.uid, 2), ("gid", &self.gid, 3)] {
            if let Some(numbers) = numbers {
                findings.expect(format!("{name} {numbers}"), &entry, |entry| {
                    let judge = |entry: &Entry| match entry.field(number).parse() {
                        Ok(found) => Outcome::of(numbers.contains(found), || format!("{name} {found}")),
                        Err(_) => Outcome::Unanswerable(format!("its entry can't be read: {}", entry.line)),
                    };
                    there(&judge, entry)
                });
            }
        }
        for (name, matcher, number) in [("home", &self.home, 5), ("shell", &self.shell, 6)] {
            if let Some(matcher) = matcher {
                findings.expect(format!("{name} {matcher}"), &entry, |entry| {
                    there(&|entry| Outcome::of_match(matcher, entry.field(number).as_bytes()), entry)
                });
            }
        }
        let inside = self.in_group.iter().map(|group| (group, true));
        let outside = self.not_in_group.iter().map(|group| (group, false));
        for (group, wanted) in inside.chain(outside) {
            let word = if wanted { "in" } else { "not in" };
            findings.expect(format!("{word} group {group}"), &entry, |entry| {
                let judge = |entry: &Entry| {
                    let groups = entry.groups.split_whitespace();
                    match entry.groups.trim() {
                        "" => Outcome::Unanswerable("`id` told no groups of this user".to_owned()),
                        all => Outcome::of(groups.clone().any(|other| other == group) == wanted, || {
                            format!("in groups {}", all.replace(' ', ", "))
                        }),
                    }
                };
                there(&judge, entry)
            });
        }
        if self.exists == Some(true) || findings.list.is_empty() {
            findings.expect("exists", &entry, |entry| there(&|_| Outcome::Held, entry));
        }
        if let Ok(Some(entry)) = &entry {
            findings.evidence("it is", &entry.line);
        }
        findings
    }
}

/// A line of passwd, and the user's groups.
struct Entry {
    line: String,
    groups: String,
}

impl Entry {
    fn read(answer: &Answer, name: &str) -> Result<Option<Self>, String> {
        let entries = answer.text("entry").unwrap_or_default();
        // Asked for a number, getent looks for a user with that uid.
        let line = entries.lines().find(|line| line.split(':').next() == Some(name));
        if line.is_none() && answer.says("passwd", "no") {
            return Err("there is no /etc/passwd on this machine".to_owned());
        }
        Ok(line.map(|line| Self { line: line.to_owned(), groups: answer.text("groups").unwrap_or_default() }))
    }

    fn field(&self, number: usize) -> &str {
        self.line.split(':').nth(number).unwrap_or_default()
    }
}
