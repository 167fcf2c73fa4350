//! Commands, and what came of them.

use super::{is_default, subject};
use crate::check::{
    Matcher, Numbers,
    answer::{Answer, Answers},
    checks::Kind,
    fact::Fact,
    finding::{Findings, Outcome},
    source::Source,
    unit::span,
};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What is expected to come of a command; made by [`command`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[must_use = "checks are only data until a machine is asserted to hold them"]
pub struct CommandCheck {
    command: String,
    #[serde(default, skip_serializing_if = "is_default")]
    sudo: bool,
    #[serde(default, skip_serializing_if = "is_default", with = "span")]
    timeout: Option<Duration>,
    #[serde(default, skip_serializing_if = "is_default")]
    exits: Option<Numbers>,
    #[serde(default, skip_serializing_if = "is_default")]
    stdout: Option<Matcher>,
    #[serde(default, skip_serializing_if = "is_default")]
    stderr: Option<Matcher>,
    #[serde(skip)]
    source: Source,
}

subject! {
    /// A line for `sh -c`, run as the login user, in a session of its own, with nothing on stdin.
    ///
    /// Expects that it succeeds, unless told otherwise. The same line that several checks name runs once for all of
    /// them.
    command -> CommandCheck
}

/// The limit unless [`CommandCheck::timeout`] sets another.
const TIMEOUT: Duration = Duration::from_secs(30);

impl CommandCheck {
    /// Runs it as root, by `sudo -n` or `doas -n` where the login user isn't; where that may not be, unanswerable.
    pub fn sudo(mut self) -> Self {
        self.sudo = true;
        self
    }

    /// How long it may take, in whole seconds, rounded up; 30 s unless set. Then it is ended, with all that it started, and fails.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// It exits with 0.
    pub fn succeeds(self) -> Self {
        self.exits(0)
    }

    /// It exits with anything but 0.
    pub fn fails(self) -> Self {
        self.exits(1..)
    }

    /// It exits with this status, 0 unless said: `3`, `1..`, or `..` if any will do. One that a signal ended exits with
    /// 128 and the signal's number.
    pub fn exits(mut self, status: impl Into<Numbers>) -> Self {
        self.exits = Some(status.into());
        self
    }

    /// What it writes to stdout; a plain text is all of it, but for line ends at its end.
    pub fn stdout(mut self, stdout: impl Into<Matcher>) -> Self {
        self.stdout = Some(stdout.into());
        self
    }

    /// What it writes to stderr; a plain text is all of it, but for line ends at its end.
    pub fn stderr(mut self, stderr: impl Into<Matcher>) -> Self {
        self.stderr = Some(stderr.into());
        self
    }

    fn fact(&self) -> Fact {
        let seconds = whole_seconds(self.timeout.unwrap_or(TIMEOUT)).to_string();
        Fact::new("run", [&seconds, if self.sudo { "root" } else { "user" }, &self.command])
    }
}

/// Rounded up, and at least one: not every `sleep` takes a fraction.
pub(super) fn whole_seconds(duration: Duration) -> u64 {
    (duration.as_secs() + u64::from(duration.subsec_nanos() > 0)).clamp(1, 1_000_000_000)
}

impl Kind for CommandCheck {
    fn source(&self) -> Source {
        self.source
    }

    fn subject(&self) -> String {
        let line = self.command.trim();
        match line.split_once('\n') {
            Some((first, _)) => format!("command `{first} …`"),
            None => format!("command `{line}`"),
        }
    }

    fn facts(&self) -> Vec<Fact> {
        vec![self.fact()]
    }

    fn judge(&self, answers: &Answers) -> Findings {
        let mut findings = Findings::default();
        let ran = answers.get(&self.fact()).and_then(Ran::read);
        let in_time = |judge: &dyn Fn(&Ran) -> Outcome, ran: &Ran| match ran.late {
            true => Outcome::Failed(format!(
                "it was still running after {}, and was ended",
                humantime::format_duration(Duration::from_secs(whole_seconds(self.timeout.unwrap_or(TIMEOUT))))
            )),
            false => judge(ran),
        };
        let exits = self.exits.unwrap_or_else(|| Numbers::from(0));
        findings.expect(format!("exit status {exits}"), &ran, |ran| {
            in_time(&|ran| Outcome::of(exits.contains(ran.status), || describe(ran.status)), ran)
        });
        for (name, matcher) in [("stdout", &self.stdout), ("stderr", &self.stderr)] {
            if let Some(matcher) = matcher {
                findings.expect(format!("{name} {matcher}"), &ran, |ran| {
                    let stream = if name == "stdout" { &ran.stdout } else { &ran.stderr };
                    let judge = |_: &Ran| match stream.len() > STREAM_LIMIT {
                        true => Outcome::Unanswerable(format!("{name} is longer than the 1 MiB that are looked at")),
                        false => Outcome::of_match(matcher, stream),
                    };
                    in_time(&judge, ran)
                });
            }
        }
        if let Ok(ran) = &ran {
            findings.evidence("stdout", shown(&ran.stdout));
            findings.evidence("stderr", shown(&ran.stderr));
        }
        findings
    }
}

/// `stream_limit` in probe.sh.
const STREAM_LIMIT: usize = 1 << 20;

fn describe(status: u64) -> String {
    match status {
        127 => "exit status 127 (no such command)".to_owned(),
        126 => "exit status 126 (it can't be executed)".to_owned(),
        129..=192 => format!("exit status {status} (ended by signal {})", status - 128),
        _ => format!("exit status {status}"),
    }
}

/// A stream as evidence.
fn shown(stream: &[u8]) -> String {
    match std::str::from_utf8(stream) {
        _ if stream.is_empty() => "(empty)".to_owned(),
        Ok(text) if text.trim().is_empty() => "(only white space)".to_owned(),
        Ok(text) => text.to_owned(),
        Err(_) if stream.contains(&0) => format!("({} bytes that are not text)", stream.len()),
        Err(_) => String::from_utf8_lossy(stream).into_owned(),
    }
}

struct Ran {
    status: u64,
    late: bool,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl Ran {
    fn read(answer: &Answer) -> Result<Self, String> {
        if answer.says("scratch", "no") {
            return Err("the probe found no directory to write to, such as /tmp, or no mkfifo".to_owned());
        }
        let status = answer.text("code").and_then(|code| code.parse().ok());
        Ok(Self {
            status: status.ok_or("the shell told no exit status")?,
            late: answer.says("late", "yes"),
            stdout: answer.data("stdout").unwrap_or_default().to_vec(),
            stderr: answer.data("stderr").unwrap_or_default().to_vec(),
        })
    }
}
