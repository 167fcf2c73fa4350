//! A check of any kind, and sets of them.

use super::{
    answer::Answers,
    fact::{Fact, Facts},
    finding::Findings,
    kinds::*,
    source::Source,
    verdict::Verdict,
};
use crate::{Error, ErrorKind};
use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::{Map, Value};
use std::fmt;

/// What every kind of check can do.
pub(super) trait Kind {
    /// Where it was written.
    fn source(&self) -> Source;
    /// What it looks at: `file /etc/fstab`.
    fn subject(&self) -> String;
    /// What it must know.
    fn facts(&self) -> Vec<Fact>;
    /// What came of each of its expectations; at least one.
    fn judge(&self, answers: &Answers) -> Findings;
}

/// Declares [`Check`]: its kinds, and the key by which a file names each.
macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident($kind:ty) = $key:literal,)+) => {
        /// One check of any kind: plain data, that does nothing by itself.
        ///
        /// In files it is a table that has the kind's name as a key: `file = "/etc/fstab"`, `service = "ssh"`.
        #[derive(Debug, Clone, PartialEq, Serialize)]
        #[serde(untagged)]
        #[non_exhaustive]
        pub enum Check {
            $($(#[$doc])* $name($kind),)+
        }

        impl Check {
            fn kind(&self) -> &dyn Kind {
                match self {
                    $(Self::$name(kind) => kind,)+
                }
            }

            fn read(table: Map<String, Value>) -> Result<Self, String> {
                $(if let Some(subject) = table.get($key) {
                    let subject = subject.to_string();
                    return serde_json::from_value(Value::Object(table))
                        .map(Self::$name)
                        .map_err(|error| format!("{} {subject}: {error}", $key));
                })+
                let kinds = [$($key),+].join(", ");
                let keys: Vec<_> = table.keys().map(String::as_str).collect();
                Err(format!("a check needs one of the keys {kinds}; this one has {}", keys.join(", ")))
            }
        }

        $(impl From<$kind> for Check {
            fn from(kind: $kind) -> Self {
                Self::$name(kind)
            }
        }

        impl From<$kind> for Checks {
            fn from(kind: $kind) -> Self {
                Self(vec![kind.into()])
            }
        })+
    };
}

// A file is of the first kind whose key it has: `user` and `group` are properties of others too, and stand last.
kinds! {
    /// A file, directory or link.
    File(FileCheck) = "file",
    /// A service of systemd.
    Service(ServiceCheck) = "service",
    /// A package.
    Package(PackageCheck) = "package",
    /// A reachable port elsewhere.
    Reach(ReachCheck) = "reach",
    /// A port of the machine itself.
    Port(PortCheck) = "port",
    /// A mounted file system.
    Mount(MountCheck) = "mount",
    /// Processes by name.
    Process(ProcessCheck) = "process",
    /// A command.
    Command(CommandCheck) = "command",
    /// A block device.
    Volume(VolumeCheck) = "volume",
    /// A user.
    User(UserCheck) = "user",
    /// A group of users.
    Group(GroupCheck) = "group",
}

impl fmt::Display for Check {
    /// What it looks at: `file /etc/fstab`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.kind().subject())
    }
}

impl<'de> Deserialize<'de> for Check {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::read(Map::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

/// A set of checks, to be made together.
///
/// Made from one check, from tuples of up to twelve, arrays, slices, vectors, references, and all of these nested.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
#[must_use = "checks are only data until a machine is asserted to hold them"]
pub struct Checks(Vec<Check>);

impl Checks {
    /// Reads checks from the text of a TOML file, a table `[[check]]` each:
    ///
    /// ```toml
    /// [[check]]
    /// file = "/etc/ssh/sshd_config"
    /// mode = "0644"
    /// contains = "UsePAM yes"
    ///
    /// [[check]]
    /// service = "ssh"
    /// running = true
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`] with line and column if it can't be read, or has an unknown key.
    pub fn from_toml(text: &str) -> Result<Self, Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct File {
            check: Checks,
        }
        toml::from_str::<File>(text)
            .map(|file| file.check)
            .map_err(|error| Error::new(ErrorKind::Configuration, "read checks").because(error.to_string().trim_end()))
    }

    /// The checks.
    pub fn iter(&self) -> std::slice::Iter<'_, Check> {
        self.0.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// One script for `sh -s` that gathers what all of them must know, each fact once.
    ///
    /// It may be longer than an argument can be, so it is given to the shell's stdin.
    pub(crate) fn script(&self) -> String {
        self.facts().script()
    }

    /// Judges by what the script printed. `stderr` only serves to say why it ended early, if it did.
    pub(crate) fn judge(&self, stdout: &[u8], stderr: &[u8]) -> Verdict {
        let answers = Answers::read(self.facts(), stdout, stderr);
        let mut verdict = Verdict::default();
        for check in &self.0 {
            let kind = check.kind();
            verdict.add(format!("{}{}", kind.source(), kind.subject()), kind.judge(&answers));
        }
        verdict
    }

    fn facts(&self) -> Facts {
        let mut facts = Facts::default();
        for fact in self.0.iter().flat_map(|check| check.kind().facts()) {
            facts.add(fact);
        }
        facts
    }
}

impl From<Check> for Checks {
    fn from(check: Check) -> Self {
        Self(vec![check])
    }
}

impl<T: Into<Checks>> From<Vec<T>> for Checks {
    fn from(checks: Vec<T>) -> Self {
        checks.into_iter().collect()
    }
}

impl<T: Into<Checks>, const N: usize> From<[T; N]> for Checks {
    fn from(checks: [T; N]) -> Self {
        checks.into_iter().collect()
    }
}

impl<T: Clone + Into<Checks>> From<&[T]> for Checks {
    fn from(checks: &[T]) -> Self {
        checks.iter().cloned().collect()
    }
}

impl<T: Clone + Into<Checks>> From<&T> for Checks {
    fn from(checks: &T) -> Self {
        checks.clone().into()
    }
}

impl<T: Into<Checks>> FromIterator<T> for Checks {
    fn from_iter<I: IntoIterator<Item = T>>(checks: I) -> Self {
        Self(checks.into_iter().flat_map(|checks| checks.into().0).collect())
    }
}

impl<T: Into<Checks>> Extend<T> for Checks {
    fn extend<I: IntoIterator<Item = T>>(&mut self, checks: I) {
        self.0.extend(checks.into_iter().flat_map(|checks| checks.into().0));
    }
}

impl IntoIterator for Checks {
    type Item = Check;
    type IntoIter = std::vec::IntoIter<Check>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a> IntoIterator for &'a Checks {
    type Item = &'a Check;
    type IntoIter = std::slice::Iter<'a, Check>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

macro_rules! from_tuple {
    ($($name:ident)+) => {
        impl<$($name: Into<Checks>),+> From<($($name,)+)> for Checks {
            #[allow(non_snake_case)]
            fn from(($($name,)+): ($($name,)+)) -> Self {
                let mut checks = Self::default();
                $(checks.0.extend($name.into().0);)+
                checks
            }
        }
    };
}
from_tuple!(A);
from_tuple!(A B);
from_tuple!(A B C);
from_tuple!(A B C D);
from_tuple!(A B C D E);
from_tuple!(A B C D E F);
from_tuple!(A B C D E F G);
from_tuple!(A B C D E F G H);
from_tuple!(A B C D E F G H I);
from_tuple!(A B C D E F G H I J);
from_tuple!(A B C D E F G H I J K);
from_tuple!(A B C D E F G H I J K L);
