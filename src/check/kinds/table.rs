//! The table by which a kind of checks is declared: its subject, its properties, and what is expected of them.
//!
//! ```text
//! kind! {
//!     /// What a lamp is expected to be; made by [`lamp`].
//!     LampCheck
//!
//!     /// A lamp, by its place. Expects that it is there, unless told otherwise.
//!     lamp(lamp: String = place) expects exists;
//!
//!     exists: Option<bool> {
//!         /// It is there.
//!         exists() = true;
//!         /// There is no lamp.
//!         is_missing() = false;
//!     } expects [last "exists", "no lamp"] => |exists, lamp| lamp.judge_presence(*exists);
//!
//!     watts: Option<Numbers> {
//!         /// What it takes: `60`, `..100`.
//!         watts(watts: impl Into<Numbers>) = watts.into();
//!     } expects "watts {}" => |watts, lamp| watts.judge("watts", lamp.there()?.watts);
//! }
//! ```
//!
//! - The **subject** is what the constructor takes, each as `impl Into` of its type, and how a report names it: its key and
//!   itself, or what `shown by` a function makes of it. A check of which nothing else is said is that of the setter behind
//!   `expects`.
//! - A **property** is a field, which is a key in files unless it is empty, and its setters. A setter says the value that it
//!   stands for; said again, an `Option` has the later one, a `Vec` both.
//! - What is **expected** of a property, once for each value: first in words, a format, or one text for `true` and one for
//!   `false`, or a closure; `last` puts the former behind all others. Then how it is judged by what was learnt ([`Learn`]).
//!   `or` gives the value where none was said. A property of which nothing is expected only changes how others are learnt.

use crate::check::finding::{Miss, Outcome, hold};
// For what the macro makes, too.
pub(super) use crate::check::{
    answer::Answers,
    checks::Kind,
    fact::Fact,
    finding::{Findings, Words},
    source::Source,
};

/// What a table can't say: how a kind learns of its subject.
pub(super) trait Learn {
    /// What it learns.
    type Learnt;

    /// What it must know.
    fn facts(&self) -> Vec<Fact>;

    /// Reads the answers; an `Err` says why nothing can be told.
    fn learn(&self, answers: &Answers) -> Result<Self::Learnt, String>;

    /// What else helps to understand a failure: short titles, and texts.
    fn evidence(&self, _: &Self::Learnt) -> Vec<(&'static str, String)> {
        Vec::new()
    }
}

/// A property, to its setters.
pub(super) trait Property<T> {
    fn say(&mut self, value: T);
}

impl<T> Property<T> for Option<T> {
    fn say(&mut self, value: T) {
        *self = Some(value);
    }
}

impl<T> Property<T> for Vec<T> {
    fn say(&mut self, value: T) {
        self.push(value);
    }
}

impl Property<Self> for bool {
    fn say(&mut self, value: Self) {
        *self = value;
    }
}

/// Whether a list is empty, or an option nothing: such a property isn't written to files.
pub(super) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// What may be missing.
pub(super) trait Thing {
    /// In words, that it isn't there.
    const MISSING: &'static str;

    /// What is there instead of nothing.
    fn describe(&self) -> String;
}

/// What was found, if it is there.
pub(super) trait Perhaps<T> {
    /// What is there; else whatever is expected of it fails.
    fn there(&self) -> Result<&T, Miss>;

    /// Judges whether it is there.
    fn judge_presence(&self, expected: bool) -> Outcome;
}

impl<T: Thing> Perhaps<T> for Option<T> {
    fn there(&self) -> Result<&T, Miss> {
        self.as_ref().ok_or_else(|| Miss::Failed(T::MISSING.to_owned()))
    }

    fn judge_presence(&self, expected: bool) -> Outcome {
        hold(self.is_some() == expected, || self.as_ref().map_or_else(|| T::MISSING.to_owned(), T::describe))
    }
}

/// Declares a kind of checks; see this file's head.
macro_rules! kind {
    (
        $(#[$kind_attribute:meta])*
        $kind:ident

        $(#[$maker_attribute:meta])*
        $maker:ident($($key:ident: $subject:ty = $name:ident $(shown by $show:expr)?),+) $(expects $obvious:ident)?;

        $(
            $(#[$attribute:meta])*
            $property:ident: $type:ty {
                $($(#[$setter_attribute:meta])* $setter:ident($($argument:ident: $taken:ty)?) = $value:expr;)+
            }
            $(expects $words:tt $(or $default:tt)? => $judge:expr)?;
        )+
    ) => {
        $(#[$kind_attribute])*
        #[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        #[must_use = "checks are only data until a machine is asserted to hold them"]
        pub struct $kind {
            $($key: $subject,)+
            $(
                #[serde(default, skip_serializing_if = "super::table::is_default")]
                $(#[$attribute])*
                $property: $type,
            )+
            #[serde(skip)]
            source: super::table::Source,
        }

        $(#[$maker_attribute])*
        #[track_caller]
        pub fn $maker($($name: impl Into<$subject>),+) -> $kind {
            $kind {
                $($key: $name.into(),)+
                $($property: Default::default(),)+
                source: super::table::Source::caller(),
            }
        }

        impl $kind {
            $($(
                $(#[$setter_attribute])*
                pub fn $setter(mut self $(, $argument: $taken)?) -> Self {
                    super::table::Property::say(&mut self.$property, $value);
                    self
                }
            )+)+
        }

        impl super::table::Kind for $kind {
            fn source(&self) -> super::table::Source {
                self.source
            }

            fn subject(&self) -> String {
                let shown = [$((stringify!($key), super::table::shown!(&self.$key $(, $show)?))),+];
                shown.map(|(key, value)| format!("{key} {value}")).join(" ")
            }

            fn facts(&self) -> Vec<super::table::Fact> {
                super::table::Learn::facts(self)
            }

            fn judge(&self, answers: &super::table::Answers) -> super::table::Findings {
                use super::table::{Learn, said, words};

                let learnt = self.learn(answers);
                let mut findings = super::table::Findings::default();
                $($(findings.expect(said!(self.$property $(, $default)?), words!($words), &learnt, $judge);)?)+
                findings.end();
                $(if findings.list.is_empty() {
                    return self.clone().$obvious().judge(answers);
                })?
                for (title, text) in learnt.iter().flat_map(|learnt| self.evidence(learnt)) {
                    findings.evidence(title, text);
                }
                findings
            }
        }
    };
}

/// A subject as a report names it.
macro_rules! shown {
    ($subject:expr) => {
        $subject.to_string()
    };
    ($subject:expr, $show:expr) => {
        $show($subject)
    };
}

/// The values of a property, or the one that it has unless told otherwise.
macro_rules! said {
    ($property:expr) => {
        &$property
    };
    ($property:expr, $default:expr) => {
        [$property.as_ref().unwrap_or(&$default)]
    };
}

/// An expectation in words: a format, a text for `true` and one for `false`, or a closure.
macro_rules! words {
    ($format:literal) => {
        super::table::words!((|value| format!($format, value)))
    };
    ([$yes:literal, $no:literal]) => {
        super::table::words!((|value| if *value { $yes } else { $no }.to_owned()))
    };
    ([last $yes:literal, $no:literal]) => {
        |value| super::table::Words { text: if *value { $yes } else { $no }.to_owned(), last: *value }
    };
    ((|$value:ident| $text:expr)) => {
        |$value| super::table::Words { text: $text, last: false }
    };
}

pub(super) use {kind, said, shown, words};
