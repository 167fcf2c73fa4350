//! The kinds of checks, a file each: what can be expected, which facts that needs, and how they are judged.

mod command;
mod file;
mod group;
mod mount;
mod package;
mod port;
mod process;
mod reach;
mod service;
mod stat;
mod user;

pub use command::{CommandCheck, command};
pub use file::{FileCheck, file};
pub use group::{GroupCheck, group};
pub use mount::{MountCheck, mount};
pub use package::{PackageCheck, package};
pub use port::{Port, PortCheck, port, tcp, udp};
pub use process::{ProcessCheck, process};
pub use reach::{Host, ReachCheck, reach};
pub use service::{ServiceCheck, service};
pub use stat::FileKind;
pub use user::{UserCheck, user};

use serde::{Deserialize, Deserializer, Serializer};

/// Whether a list is empty, or an option nothing: such a property isn't written to files.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// A list of texts, that a file writes as one text where there is but one.
mod texts {
    use super::*;

    pub(super) fn serialize<S: Serializer>(texts: &[String], serializer: S) -> Result<S::Ok, S::Error> {
        match texts {
            [text] => serializer.serialize_str(text),
            texts => serializer.collect_seq(texts),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "expected a text or a list of texts")]
        enum Texts {
            One(String),
            Many(Vec<String>),
        }
        Ok(match Texts::deserialize(deserializer)? {
            Texts::One(text) => vec![text],
            Texts::Many(texts) => texts,
        })
    }
}

/// Adds the constructor and what every kind shares: a subject, and where it was written.
macro_rules! subject {
    ($(#[$doc:meta])* $constructor:ident -> $kind:ident) => {
        $(#[$doc])*
        #[track_caller]
        pub fn $constructor(name: impl Into<String>) -> $kind {
            $kind { $constructor: name.into(), source: crate::check::source::Source::caller(), ..Default::default() }
        }
    };
}
use subject;
