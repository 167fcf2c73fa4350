//! What AWS does to you, on top of what its documentation promises.
//!
//! Three conditions have names. `typical`, the default, is an ordinary day: what is fresh isn't seen everywhere yet, and token
//! buckets have AWS's documented sizes. `calm` is none of it: what was made is seen at once, nothing is throttled, nothing
//! fails; so it is never the default. `hostile` is a bad one: the same, but longer and smaller, and requests fail, are lost or late, and machines get stuck, at
//! random. On top of any of them, [`Fault`]s can be asked for, by action and by count.
//!
//! All of it is pure, as the account is: time is handed in, and chance follows from a seed. The same seed and the same
//! requests in the same order make the same day; requests that race each other don't.
//!
//! What this room isn't: EC2's rules, which hold whatever the conditions are, or the pace, which scales the times of both.

mod fault;
mod gate;
mod profile;
mod replicas;
mod throttle;

pub use fault::{Fault, FaultError, Kind, When};
pub use gate::Delivery;
pub(crate) use gate::{Gate, Question, Shortage, Verdict};
pub(crate) use profile::Profile;
pub(crate) use replicas::{Replicas, View};

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// What AWS does to you, by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Conditions {
    /// Nothing that EC2's rules don't say; only by name.
    Calm,
    /// An ordinary day: what is fresh is seen late, and there are AWS's token buckets.
    #[default]
    Typical,
    /// Much more of it, and on top of it faults at random.
    Hostile,
}

impl Conditions {
    /// All of them, the calmest first.
    pub const ALL: &[Self] = &[Self::Calm, Self::Typical, Self::Hostile];

    /// The name, as it stands in settings.
    pub fn name(self) -> &'static str {
        match self {
            Self::Calm => "calm",
            Self::Typical => "typical",
            Self::Hostile => "hostile",
        }
    }
}

impl fmt::Display for Conditions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that no conditions have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("set the conditions `{0}`: there are `calm`, `typical` and `hostile`")]
pub struct UnknownConditions(String);

impl FromStr for Conditions {
    type Err = UnknownConditions;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL.iter().copied().find(|known| known.name() == name).ok_or_else(|| UnknownConditions(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_known_by_its_name() {
        for conditions in Conditions::ALL {
            assert_eq!(conditions.name().parse(), Ok(*conditions));
        }
        let error = "windy".parse::<Conditions>().unwrap_err();
        assert_eq!(error.to_string(), "set the conditions `windy`: there are `calm`, `typical` and `hostile`");
    }
}
