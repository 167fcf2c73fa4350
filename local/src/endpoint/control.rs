//! Control requests: what a running endpoint can be asked beside EC2's API, by the way in, which only its user may enter.
//!
//! One line asks, and is answered with the [`Status`] that came of it.

use super::{Client, EndpointError, client::ask};
use crate::conditions::{Conditions, Fault, FaultError, UnknownConditions};
use serde::{Deserialize, Serialize};
use std::{fmt, time::Duration};

/// What a running endpoint is like.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Status {
    /// What AWS does to you.
    pub conditions: Conditions,
    /// The faults that are still to come, each as its line of text.
    pub faults: Vec<String>,
    /// What the account's clock was put forward by.
    pub advanced: Duration,
}

/// What an endpoint can be asked.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Control {
    Status,
    Conditions(Conditions),
    Fault(Fault),
    ClearFaults,
    Advance(Duration),
    Interrupt { instance: String, notice: Option<Duration> },
}

impl Control {
    /// Reads a line: `status`, `conditions NAME`, `fault ACTION KIND WHEN`, `faults clear`, `advance SECONDS` or `interrupt
    /// INSTANCE [SECONDS]`. None where it is no control request.
    pub(super) fn read(line: &str) -> Option<Result<Self, String>> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        Some(match (word, rest) {
            ("status", "") => Ok(Self::Status),
            ("faults", "clear") => Ok(Self::ClearFaults),
            ("conditions", name) => name.parse().map(Self::Conditions).map_err(|e: UnknownConditions| e.to_string()),
            ("fault", text) => text.parse().map(Self::Fault).map_err(|e: FaultError| e.to_string()),
            ("advance", seconds) => {
                let time = self::seconds(seconds);
                time.map(Self::Advance)
                    .ok_or_else(|| format!("advance the clock by `{seconds}`: it is no number of seconds"))
            }
            ("interrupt", asked) if !asked.is_empty() => {
                let (instance, notice) = asked.split_once(' ').map_or((asked, None), |(id, rest)| (id, Some(rest)));
                let notice = notice.map(|text| seconds(text).ok_or(text)).transpose();
                notice
                    .map(|notice| Self::Interrupt { instance: instance.to_owned(), notice })
                    .map_err(|text| format!("interrupt {instance} in `{text}`: it is no number of seconds"))
            }
            _ => return None,
        })
    }
}

fn seconds(text: &str) -> Option<Duration> {
    text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
}

impl fmt::Display for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status => f.write_str("status"),
            Self::Conditions(conditions) => write!(f, "conditions {conditions}"),
            Self::Fault(fault) => write!(f, "fault {fault}"),
            Self::ClearFaults => f.write_str("faults clear"),
            Self::Advance(time) => write!(f, "advance {}", time.as_secs_f64()),
            Self::Interrupt { instance, notice: None } => write!(f, "interrupt {instance}"),
            Self::Interrupt { instance, notice: Some(notice) } => {
                write!(f, "interrupt {instance} {}", notice.as_secs_f64())
            }
        }
    }
}

/// What a running endpoint can be asked beside EC2's API.
impl Client {
    /// What the endpoint is like now.
    ///
    /// # Errors
    ///
    /// [`EndpointError::Control`]: it doesn't answer.
    pub fn status(&self) -> Result<Status, EndpointError> {
        self.control(&Control::Status)
    }

    /// Changes what AWS does to you, for all clients, from now on.
    ///
    /// # Errors
    ///
    /// As [`status`](Self::status).
    pub fn set_conditions(&self, conditions: Conditions) -> Result<Status, EndpointError> {
        self.control(&Control::Conditions(conditions))
    }

    /// Asks for a fault, on top of the conditions; of all clients' requests.
    ///
    /// # Errors
    ///
    /// As [`status`](Self::status); or the endpoint doesn't serve the action.
    pub fn add_fault(&self, fault: Fault) -> Result<Status, EndpointError> {
        self.control(&Control::Fault(fault))
    }

    /// Takes back all faults that were asked for and are still to come.
    ///
    /// # Errors
    ///
    /// As [`status`](Self::status).
    pub fn clear_faults(&self) -> Result<Status, EndpointError> {
        self.control(&Control::ClearFaults)
    }

    /// Puts the account's clock forward. Machines don't notice, so it makes the most sense with blank ones: an hour later
    /// what was terminated is gone.
    ///
    /// # Errors
    ///
    /// As [`status`](Self::status).
    pub fn advance(&self, time: Duration) -> Result<Status, EndpointError> {
        self.control(&Control::Advance(time))
    }

    /// Lets AWS take a Spot Instance away, as it does when it needs the capacity: the instance is told by its metadata, and two
    /// minutes later, at the endpoint's pace, it is stopped or terminated, as its request says. `notice` is how much later else.
    ///
    /// # Errors
    ///
    /// As [`status`](Self::status); or there is no such instance, it is no Spot Instance, or it doesn't run.
    pub fn interrupt(&self, instance: &str, notice: Option<Duration>) -> Result<Status, EndpointError> {
        self.control(&Control::Interrupt { instance: instance.to_owned(), notice })
    }

    fn control(&self, control: &Control) -> Result<Status, EndpointError> {
        let failed = |reason: String| EndpointError::Control { asked: control.to_string(), reason };
        let status = ask(self.state(), &control.to_string()).map_err(failed)?;
        serde_json::from_str(&status).map_err(|e| failed(e.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_the_same_both_ways() {
        for line in [
            "status",
            "conditions hostile",
            "fault RunInstances capacity next 3",
            "faults clear",
            "advance 3600.5",
            "interrupt i-0123456789abcdef0",
            "interrupt i-0123456789abcdef0 2.5",
        ] {
            assert_eq!(Control::read(line).unwrap().unwrap().to_string(), line);
        }
        for line in ["conditions windy", "fault RunInstances", "advance -1", "advance soon", "interrupt i-1 soon"] {
            assert!(Control::read(line).unwrap().is_err(), "{line}");
        }
        for line in ["hello", "connect i-1 22", "faults", ""] {
            assert!(Control::read(line).is_none(), "{line}");
        }
    }
}
