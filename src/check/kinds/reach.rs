//! Ports elsewhere, seen from the machine.

use super::{
    Port,
    command::whole_seconds,
    port::Protocol,
    table::{Learn, kind},
};
use crate::check::{
    answer::{Answer, Answers},
    fact::Fact,
    finding::{Miss, Outcome, hold},
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

kind! {
    /// What is expected of a connection; made by [`reach`].
    ReachCheck

    /// A port of another host, seen from the machine: `reach(&primary, tcp(5432))`.
    ///
    /// Expects that it takes a connection, unless told otherwise. The machine connects with whichever it has of python3,
    /// bash, perl, nc and curl; with none it is unanswerable, and so is UDP, which doesn't connect.
    reach(reach: Host = host, port: Port = port) expects is_open;

    open: Option<bool> {
        /// It takes a connection.
        is_open() = true;
        /// It can't be reached: refused, unroutable, or without an answer in time. A name that can't be looked up is unanswerable.
        is_unreachable() = false;
    } expects ["takes a connection", "can't be reached"] => |open, connection| connection.judge(*open);

    #[serde(with = "crate::check::unit::span")]
    timeout: Option<Duration> {
        /// How long to wait for an answer, in whole seconds, rounded up; 5 s unless set.
        timeout(timeout: Duration) = timeout;
    };
}

/// The limit unless [`ReachCheck::timeout`] sets another.
const TIMEOUT: Duration = Duration::from_secs(5);

impl ReachCheck {
    fn fact(&self) -> Option<Fact> {
        let seconds = whole_seconds(self.timeout.unwrap_or(TIMEOUT)).to_string();
        let host = &self.reach.0;
        let valid = |c: char| c.is_ascii_alphanumeric() || ".:-_%".contains(c);
        let is_host = !host.is_empty() && !host.starts_with('-') && host.chars().all(valid);
        is_host.then(|| Fact::new("reach", [&seconds, host, &self.port.number.to_string()]))
    }
}

impl Learn for ReachCheck {
    type Learnt = Connection;

    fn facts(&self) -> Vec<Fact> {
        self.fact().filter(|_| self.port.protocol == Protocol::Tcp).into_iter().collect()
    }

    fn learn(&self, answers: &Answers) -> Result<Connection, String> {
        if self.port.protocol == Protocol::Udp {
            return Err("UDP has no connections; only what listens there could tell".to_owned());
        }
        let fact = self.fact().ok_or("this is neither an address nor the name of a host")?;
        Connection::read(answers.get(&fact)?)
    }
}

pub(super) enum Connection {
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
        const USAGE: [&str; 4] = ["usage:", "invalid option", "unrecognized option", "illegal option"];
        let lower = stderr.to_lowercase();
        if USAGE.iter().any(|word| lower.contains(word)) {
            let tool = answer.text("tool").unwrap_or_default();
            return Err(format!(
                "this machine's {tool} can't be asked so: {}",
                stderr.lines().next().unwrap_or_default()
            ));
        }
        let last = stderr.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("the connection failed").trim();
        const CLOSED: [&str; 6] =
            ["refused", "timed out", "timeout", "no route to host", "unreachable", "reset by peer"];
        Ok(match CLOSED.iter().find(|word| lower.contains(**word)) {
            Some(_) => Self::Closed(last.to_owned()),
            None => Self::Unknown(last.to_owned()),
        })
    }

    fn judge(&self, open: bool) -> Outcome {
        match self {
            Self::Open => hold(open, || "it takes a connection".to_owned()),
            Self::Closed(why) => hold(!open, || why.clone()),
            Self::Unknown(why) if open => Err(Miss::Failed(why.clone())),
            // What we don't understand doesn't show that the network is closed.
            Self::Unknown(why) => Err(Miss::Unanswerable(why.clone())),
        }
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
