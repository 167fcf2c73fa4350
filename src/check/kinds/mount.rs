//! Mounted file systems.

use super::{is_default, subject, texts};
use crate::check::{
    Matcher,
    answer::{Answer, Answers},
    checks::Kind,
    fact::Fact,
    finding::{Findings, Outcome},
    source::Source,
};
use serde::{Deserialize, Serialize};

/// What is expected to be mounted; made by [`mount`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[must_use = "checks are only data until a machine is asserted to hold them"]
pub struct MountCheck {
    mount: String,
    #[serde(default, skip_serializing_if = "is_default")]
    exists: Option<bool>,
    #[serde(default, skip_serializing_if = "is_default")]
    fs_type: Option<Matcher>,
    #[serde(default, skip_serializing_if = "is_default")]
    from: Option<Matcher>,
    #[serde(default, skip_serializing_if = "is_default", with = "texts")]
    option: Vec<String>,
    #[serde(default, skip_serializing_if = "is_default", with = "texts")]
    without_option: Vec<String>,
    #[serde(skip)]
    source: Source,
}

subject! {
    /// What is mounted at a path, the uppermost where there are several.
    ///
    /// Expects that something is, unless told otherwise.
    mount -> MountCheck
}

impl MountCheck {
    /// Something is mounted there.
    pub fn exists(mut self) -> Self {
        self.exists = Some(true);
        self
    }

    /// Nothing is mounted there.
    pub fn is_missing(mut self) -> Self {
        self.exists = Some(false);
        self
    }

    /// The type of its file system: `ext4`.
    pub fn fs_type(mut self, fs_type: impl Into<Matcher>) -> Self {
        self.fs_type = Some(fs_type.into());
        self
    }

    /// What is mounted there: `/dev/nvme1n1`; `from` in files.
    pub fn source(mut self, source: impl Into<Matcher>) -> Self {
        self.from = Some(source.into());
        self
    }

    /// It is mounted with this option: `noexec`, `size=1024k`; may be said several times.
    pub fn option(mut self, option: impl Into<String>) -> Self {
        self.option.push(option.into());
        self
    }

    /// It is mounted without this option; may be said several times.
    pub fn without_option(mut self, option: impl Into<String>) -> Self {
        self.without_option.push(option.into());
        self
    }
}

impl Kind for MountCheck {
    fn source(&self) -> Source {
        self.source
    }

    fn subject(&self) -> String {
        format!("mount {}", self.mount)
    }

    fn facts(&self) -> Vec<Fact> {
        vec![Fact::shared("mounts", [])]
    }

    fn judge(&self, answers: &Answers) -> Findings {
        let mut findings = Findings::default();
        let mounted = answers.get(&Fact::shared("mounts", [])).and_then(|answer| Mounted::read(answer, &self.mount));
        let there = |judge: &dyn Fn(&Mounted) -> Outcome, mounted: &Option<Mounted>| match mounted {
            Some(mounted) => judge(mounted),
            None => Outcome::Failed("nothing is mounted there".to_owned()),
        };
        if self.exists == Some(false) {
            findings.expect("nothing is mounted there", &mounted, |mounted| match mounted {
                None => Outcome::Held,
                Some(mounted) => Outcome::Failed(mounted.describe()),
            });
        }
        if let Some(fs_type) = &self.fs_type {
            findings.expect(format!("type {fs_type}"), &mounted, |mounted| {
                there(&|mounted| Outcome::of_match(fs_type, mounted.fs_type.as_bytes()), mounted)
            });
        }
        if let Some(from) = &self.from {
            findings.expect(format!("source {from}"), &mounted, |mounted| {
                there(&|mounted| Outcome::of_match(from, mounted.from.as_bytes()), mounted)
            });
        }
        let with = self.option.iter().map(|option| (option, true));
        let without = self.without_option.iter().map(|option| (option, false));
        for (option, wanted) in with.chain(without) {
            let word = if wanted { "with" } else { "without" };
            findings.expect(format!("{word} option {option}"), &mounted, |mounted| {
                let judge = |mounted: &Mounted| {
                    let has = mounted.options.split(',').any(|other| other == option);
                    Outcome::of(has == wanted, || format!("options {}", mounted.options))
                };
                there(&judge, mounted)
            });
        }
        if self.exists == Some(true) || findings.list.is_empty() {
            findings.expect("mounted", &mounted, |mounted| there(&|_| Outcome::Held, mounted));
        }
        findings
    }
}

/// A line of /proc/self/mounts.
struct Mounted {
    from: String,
    fs_type: String,
    options: String,
}

impl Mounted {
    fn read(answer: &Answer, path: &str) -> Result<Option<Self>, String> {
        let Some(mounts) = answer.text("mounts") else {
            return Err("there is no /proc/self/mounts on this machine".to_owned());
        };
        let wanted = if path == "/" { path } else { path.trim_end_matches('/') };
        Ok(mounts
            .lines()
            .filter_map(|line| {
                let fields: Vec<_> = line.split(' ').map(unescape).collect();
                let [from, at, fs_type, options, ..] = &fields[..] else { return None };
                let mounted = Self { from: from.clone(), fs_type: fs_type.clone(), options: options.clone() };
                (at == wanted).then_some(mounted)
            })
            .next_back())
    }

    fn describe(&self) -> String {
        format!("{} of type {} ({})", self.from, self.fs_type, self.options)
    }
}

/// Undoes the kernel's `\040` for a space, and the like (proc(5)).
fn unescape(field: &str) -> String {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field.as_bytes();
    while let [first, tail @ ..] = rest {
        let octal = tail.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        match octal.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) if *first == b'\\' => {
                bytes.push(byte);
                rest = &tail[3..];
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
