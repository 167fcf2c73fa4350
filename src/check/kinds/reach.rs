//! Ports elsewhere, seen from the machine.

use super::{Port, command::whole_seconds, is_default, port::Protocol};
use crate::check::{
    answer::{Answer, Answers},
    checks::Kind,
    fact::Fact,
    finding::{Findings, Outcome},
    source::Source,
    unit::span,
};
use serde::{Deserialize, Serialize};
use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Duration,
};

/// Somewhere else, by address or name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Host(String);

/// A port of another host, seen from the machine: `reach(&primary, tcp(5432))`.
///
/// Expects that it takes a connection, unless told otherwise. The machine connects with whichever it has of python3,
/// bash, perl, nc and curl; with none it is unanswerable, and so is UDP, which doesn't connect.
#[track_caller]
pub fn reach(host: impl Into<Host>, port: impl Into<Port>) -> ReachCheck {
    ReachCheck { reach: host.into(), port: port.into(), open: None, timeout: None, source: Source::caller() }
}

/// What is expected of a connection; made by [`reach`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[must_use = "checks are only data until a machine is asserted to hold them"]
pub struct ReachCheck {
    reach: Host,
    port: Port,
    #[serde(default, skip_serializing_if = "is_default")]
    open: Option<bool>,
    #[serde(default, skip_serializing_if = "is_default", with = "span")]
    timeout: Option<Duration>,
    #[serde(skip)]
    source: Source,
}

/// The limit unless [`ReachCheck::timeout`] sets another.
const TIMEOUT: Duration = Duration::from_secs(5);

impl ReachCheck {
    /// It takes a connection.
    pub fn is_open(mut self) -> Self {
        self.open = Some(true);
        self
    }

    /// It can't be reached: refused, unroutable, or without an answer in time. A name that can't be looked up is unanswerable.
    pub fn is_unreachable(mut self) -> Self {
        self.open = Some(false);
        self
    }

    /// How long to wait for an answer, in whole seconds, rounded up; 5 s unless set.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    fn fact(&self) -> Option<Fact> {
        let seconds = whole_seconds(self.timeout.unwrap_or(TIMEOUT)).to_string();
        let host = &self.reach.0;
        let valid = |c: char| c.is_ascii_alphanumeric() || ".:-_%".contains(c);
        let is_host = !host.is_empty() && !host.starts_with('-') && host.chars().all(valid);
        is_host.then(|| Fact::new("reach", [&seconds, host, &self.port.number.to_string()]))
    }
}

impl Kind for ReachCheck {
    fn source(&self) -> Source {
        self.source
    }

    fn subject(&self) -> String {
        format!("reach {} port {}", self.reach, self.port)
    }

    fn facts(&self) -> Vec<Fact> {
        self.fact().filter(|_| self.port.protocol == Protocol::Tcp).into_iter().collect()
    }

    fn judge(&self, answers: &Answers) -> Findings {
        let mut findings = Findings::default();
        let connection = match self.fact() {
            _ if self.port.protocol == Protocol::Udp => {
                Err("UDP has no connections; only what listens there could tell".to_owned())
            }
            None => Err("this is neither an address nor the name of a host".to_owned()),
            Some(fact) => answers.get(&fact).and_then(Connection::read),
        };
        let wanted = self.open.unwrap_or(true);
        findings.expect(if wanted { "takes a connection" } else { "can't be reached" }, &connection, |connection| {
            match connection {
                Connection::Open => Outcome::of(wanted, || "it takes a connection".to_owned()),
                Connection::Closed(why) => Outcome::of(!wanted, || why.clone()),
                Connection::Unknown(why) if wanted => Outcome::Failed(why.clone()),
                // What we don't understand doesn't show that the network is closed.
                Connection::Unknown(why) => Outcome::Unanswerable(why.clone()),
            }
        });
        findings
    }
}

enum Connection {
    Open,
    Closed(String),
    /// There was none, for a reason that need not lie with the network.
    Unknown(String),
}

impl Connection {
    fn read(answer: &Answer) -> Result<Self, String> {
        if answer.says("scratch", "no") {
            return Err("the probe found no directory to write to, such as /tmp, or no mkfifo".to_owned());
        }
        if answer.says("tool", "none") {
            return Err("this machine has none of python3, bash, perl, nc and curl to connect with".to_owned());
        }
        let stderr = answer.text("stderr").unwrap_or_default();
        // curl stays connected until its time is up.
        if answer.says("code", "0") || stderr.contains("\n* Connected to ") || stderr.starts_with("* Connected to ") {
            return Ok(Self::Open);
        }
        if answer.says("late", "yes") {
            return Ok(Self::Closed("no answer in time".to_owned()));
        }
        let last = stderr.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("the connection failed").trim();
        let lower = stderr.to_lowercase();
        const CLOSED: [&str; 6] =
            ["refused", "timed out", "timeout", "no route to host", "unreachable", "reset by peer"];
        Ok(match CLOSED.iter().find(|word| lower.contains(**word)) {
            Some(_) => Self::Closed(last.to_owned()),
            None => Self::Unknown(last.to_owned()),
        })
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

macro_rules! host_from {
    ($($from:ty),+) => {
        $(impl From<$from> for Host {
            fn from(host: $from) -> Self {
                Self(host.to_string())
            }
        })+
    };
}
host_from!(&str, String, &String, IpAddr, &IpAddr, Ipv4Addr, Ipv6Addr);
