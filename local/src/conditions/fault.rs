//! Faults by request: what goes wrong, with which action, and how often.
//!
//! A fault has one line of text, which is the same on the command line, on the way in and in a list:
//!
//! ```text
//! RunInstances capacity              the next request
//! RunInstances late=30 next 3        the next three
//! * lost every 5                     each fifth request, whatever it asks for
//! DescribeInstances throttle chance 0.2
//! ```

use crate::wire;
use std::{fmt, str::FromStr, time::Duration};

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Kind {
    /// `throttle`: RequestLimitExceeded, HTTP 503; nothing is done.
    Throttle,
    /// `capacity`: InsufficientInstanceCapacity, HTTP 500; of RunInstances and StartInstances.
    Capacity,
    /// `quota`: VcpuLimitExceeded, HTTP 400; of RunInstances and StartInstances.
    Quota,
    /// `internal`: InternalError, HTTP 500; nothing is done.
    Internal,
    /// `unavailable`: Unavailable, HTTP 503; nothing is done.
    Unavailable,
    /// `lost`: what was asked for is done, and the connection breaks before the answer.
    Lost,
    /// `late=SECONDS`: what was asked for is done at once, and the answer comes after this time, at the account's pace.
    /// Without a number: 30 s.
    Late(Duration),
    /// `stuck=SECONDS`: instances stay `pending`, `stopping` or `shutting-down` for this time longer, at the account's
    /// pace; of RunInstances, StartInstances, StopInstances and TerminateInstances. Without a number: an hour.
    Stuck(Duration),
}

const LATE: Duration = Duration::from_secs(30);
const STUCK: Duration = Duration::from_secs(3600);

impl Kind {
    /// Whether it can happen to an action.
    pub(super) fn can_hit(self, action: &str) -> bool {
        let launches = ["RunInstances", "StartInstances"].contains(&action);
        let takes = ["CopyImage", "CopySnapshot", "CreateImage", "CreateSnapshot", "CreateSnapshots"].contains(&action);
        match self {
            Self::Capacity | Self::Quota => launches,
            Self::Stuck(_) => launches || takes || ["StopInstances", "TerminateInstances"].contains(&action),
            _ => true,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Throttle => f.write_str("throttle"),
            Self::Capacity => f.write_str("capacity"),
            Self::Quota => f.write_str("quota"),
            Self::Internal => f.write_str("internal"),
            Self::Unavailable => f.write_str("unavailable"),
            Self::Lost => f.write_str("lost"),
            Self::Late(time) => write!(f, "late={}", time.as_secs_f64()),
            Self::Stuck(time) => write!(f, "stuck={}", time.as_secs_f64()),
        }
    }
}

impl FromStr for Kind {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, seconds) = text.split_once('=').map_or((text, None), |(name, seconds)| (name, Some(seconds)));
        let seconds = seconds.map(|seconds| {
            let read = seconds.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
            read.ok_or_else(|| FaultError::Time(seconds.to_owned()))
        });
        match (name, seconds.transpose()?) {
            ("throttle", None) => Ok(Self::Throttle),
            ("capacity", None) => Ok(Self::Capacity),
            ("quota", None) => Ok(Self::Quota),
            ("internal", None) => Ok(Self::Internal),
            ("unavailable", None) => Ok(Self::Unavailable),
            ("lost", None) => Ok(Self::Lost),
            ("late", time) => Ok(Self::Late(time.unwrap_or(LATE))),
            ("stuck", time) => Ok(Self::Stuck(time.unwrap_or(STUCK))),
            _ => Err(FaultError::Kind(text.to_owned())),
        }
    }
}

/// How often.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum When {
    /// `next N`: the next so many requests of the action, and then no more.
    Next(u32),
    /// `every N`: each so-manieth request of the action.
    Every(u32),
    /// `chance P`: with a probability from 0 to 1, as the seed has it.
    Chance(f64),
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Next(count) => write!(f, "next {count}"),
            Self::Every(count) => write!(f, "every {count}"),
            Self::Chance(chance) => write!(f, "chance {chance}"),
        }
    }
}

impl FromStr for When {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || FaultError::When(text.to_owned());
        let (word, number) = text.split_once(' ').ok_or_else(wrong)?;
        let count = || number.parse().ok().filter(|count| *count > 0);
        let chance = || number.parse().ok().filter(|chance| (0.0..=1.0).contains(chance));
        match word {
            "next" => count().map(Self::Next),
            "every" => count().map(Self::Every),
            "chance" => chance().map(Self::Chance),
            _ => None,
        }
        .ok_or_else(wrong)
    }
}

/// A fault: what goes wrong, with which action, and how often.
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    action: Option<String>,
    kind: Kind,
    when: When,
}

impl Fault {
    /// A fault of one action, for example `RunInstances`.
    ///
    /// # Errors
    ///
    /// [`FaultError::Action`] where EC2 has no such action, [`FaultError::Unfit`] where the kind can't happen to it.
    pub fn of(action: impl Into<String>, kind: Kind, when: When) -> Result<Self, FaultError> {
        let action = action.into();
        wire::check_action(&action).map_err(|hint| FaultError::Action { action: action.clone(), hint })?;
        if !kind.can_hit(&action) {
            return Err(FaultError::Unfit { kind: kind.to_string(), action });
        }
        Ok(Self { action: Some(action), kind, when })
    }

    /// A fault of every action that the kind can happen to.
    pub fn of_any(kind: Kind, when: When) -> Self {
        Self { action: None, kind, when }
    }

    /// The action; none where it is of any.
    pub fn action(&self) -> Option<&str> {
        self.action.as_deref()
    }

    /// What goes wrong.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// How often.
    pub fn when(&self) -> When {
        self.when
    }

    pub(super) fn when_mut(&mut self) -> &mut When {
        &mut self.when
    }

    /// Whether it can happen to an action.
    pub(super) fn can_hit(&self, action: &str) -> bool {
        self.action.as_deref().is_none_or(|wanted| wanted == action) && self.kind.can_hit(action)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.action.as_deref().unwrap_or("*"), self.kind, self.when)
    }
}

impl FromStr for Fault {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let [action, kind, when @ ..] = &words[..] else { return Err(FaultError::Form(text.to_owned())) };
        let kind = kind.parse()?;
        let when = if when.is_empty() { When::Next(1) } else { when.join(" ").parse()? };
        if *action == "*" { Ok(Self::of_any(kind, when)) } else { Self::of(*action, kind, when) }
    }
}

/// A fault that can't be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FaultError {
    /// It doesn't have an action and a kind.
    #[error(
        "read the fault `{0}`: it is an action (or *), a kind, and how often, as in `RunInstances capacity next 3`"
    )]
    Form(String),
    /// EC2 has no such action.
    #[error("find the action `{action}`: EC2 has none of that name{hint}")]
    Action {
        /// The name.
        action: String,
        /// What may have been meant.
        hint: String,
    },
    /// The kind isn't known.
    #[error(
        "read the kind of fault `{0}`: there are throttle, capacity, quota, internal, unavailable, lost, late=SECONDS and \
         stuck=SECONDS"
    )]
    Kind(String),
    /// The time isn't one.
    #[error("read the time `{0}` of a fault: it is a number of seconds")]
    Time(String),
    /// How often isn't clear.
    #[error("read how often a fault happens, `{0}`: it is `next N`, `every N` or `chance P`, P from 0 to 1")]
    When(String),
    /// The kind can't happen to the action.
    #[error("set the fault: {kind} can't happen to {action}")]
    Unfit {
        /// The kind.
        kind: String,
        /// The action.
        action: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_the_same_both_ways() {
        for line in [
            "RunInstances capacity next 3",
            "* lost every 5",
            "DescribeInstances throttle chance 0.2",
            "CreateTags internal next 1",
            "CreateTags unavailable next 1",
            "StartInstances quota next 1",
            "RunInstances late=2.5 next 1",
            "TerminateInstances stuck=60 every 1",
        ] {
            assert_eq!(line.parse::<Fault>().unwrap().to_string(), line);
        }
        assert_eq!("* late".parse::<Fault>().unwrap().to_string(), "* late=30 next 1");
        assert_eq!("StopInstances stuck".parse::<Fault>().unwrap().to_string(), "StopInstances stuck=3600 next 1");
    }

    #[test]
    fn what_can_not_be_is_refused_by_name() {
        for (line, words) in [
            ("RunInstances", "an action (or *), a kind"),
            ("RunInstance capacity", "`RunInstance`: EC2 has none of that name; did you mean `RunInstances`?"),
            ("Fly lost", "`Fly`: EC2 has none of that name"),
            ("RunInstances explode", "`explode`"),
            ("RunInstances capacity=3", "`capacity=3`"),
            ("RunInstances late=soon", "`soon`"),
            ("RunInstances late=-1", "`-1`"),
            ("RunInstances lost next", "`next`"),
            ("RunInstances lost next 0", "`next 0`"),
            ("RunInstances lost chance 1.5", "`chance 1.5`"),
            ("RunInstances lost chance NaN", "`chance NaN`"),
            ("CreateTags capacity", "capacity can't happen to CreateTags"),
            ("DescribeVpcs stuck=1", "stuck=1 can't happen to DescribeVpcs"),
        ] {
            let error = line.parse::<Fault>().unwrap_err().to_string();
            assert!(error.contains(words), "{line}: {error}");
        }
    }
}
