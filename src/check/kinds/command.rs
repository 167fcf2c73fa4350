//! Commands, and what came of them.

use super::table::{Learn, kind};
use crate::check::{
    Matcher, Numbers,
    answer::{Answer, Answers},
    fact::Fact,
    finding::{Miss, hold},
};
use std::time::Duration;

kind! {
    /// What is expected to come of a command; made by [`command`].
    #[derive(Default)]
    CommandCheck

    /// A line for `sh -c`, run as the login user, in a session of its own, with nothing on stdin.
    ///
    /// Expects that it succeeds, unless told otherwise. The same line that several checks name runs once for all of
    /// them.
    command(command: String = name shown by first_line);

    sudo: bool {
        /// Runs it as root, by `sudo -n` or `doas -n` where the login user isn't; where that may not be, unanswerable.
        sudo() = true;
    };

    #[serde(with = "crate::check::unit::span")]
    timeout: Option<Duration> {
        /// How long it may take, in whole seconds, rounded up; 30 s unless set. Then it is ended, with all that it started, and fails.
        timeout(timeout: Duration) = timeout;
    };

    exits: Option<Numbers> {
        /// It exits with 0.
        succeeds() = Numbers::from(0);
        /// It exits with anything but 0.
        fails() = Numbers::from(1..);
        /// It exits with this status, 0 unless said: `3`, `1..`, or `..` if any will do. One that a signal ended exits with
        /// 128 and the signal's number.
        exits(status: impl Into<Numbers>) = status.into();
    } expects "exit status {}" or (Numbers::from(0)) => |exits, ran| {
        let status = ran.in_time()?.status;
        hold(exits.contains(status), || describe(status))
    };

    stdout: Option<Matcher> {
        /// What it writes to stdout; a plain text is all of it, but for line ends at its end.
        stdout(stdout: impl Into<Matcher>) = stdout.into();
    } expects "stdout {}" => |stdout, ran| stdout.judge(whole("stdout", &ran.in_time()?.stdout)?);

    stderr: Option<Matcher> {
        /// What it writes to stderr; a plain text is all of it, but for line ends at its end.
        stderr(stderr: impl Into<Matcher>) = stderr.into();
    } expects "stderr {}" => |stderr, ran| stderr.judge(whole("stderr", &ran.in_time()?.stderr)?);
}

/// The limit unless [`CommandCheck::timeout`] sets another.
const TIMEOUT: Duration = Duration::from_secs(30);

impl CommandCheck {
    fn seconds(&self) -> u64 {
        whole_seconds(self.timeout.unwrap_or(TIMEOUT))
    }

    fn fact(&self) -> Fact {
        Fact::new("run", [&self.seconds().to_string(), if self.sudo { "root" } else { "user" }, &self.command])
    }
}

impl Learn for CommandCheck {
    type Learnt = Ran;

    fn facts(&self) -> Vec<Fact> {
        vec![self.fact()]
    }

    fn learn(&self, answers: &Answers) -> Result<Ran, String> {
        Ran::read(answers.get(&self.fact())?, Duration::from_secs(self.seconds()))
    }

    fn evidence(&self, ran: &Ran) -> Vec<(&'static str, String)> {
        vec![("stdout", shown(&ran.stdout)), ("stderr", shown(&ran.stderr))]
    }
}

/// Rounded up, and at least one: not every `sleep` takes a fraction.
pub(super) fn whole_seconds(duration: Duration) -> u64 {
    (duration.as_secs() + u64::from(duration.subsec_nanos() > 0)).clamp(1, 1_000_000_000)
}

/// A command may have many lines.
fn first_line(command: &str) -> String {
    let line = command.trim();
    match line.split_once('\n') {
        Some((first, _)) => format!("`{first} …`"),
        None => format!("`{line}`"),
    }
}

/// `stream_limit` in probe.sh.
const STREAM_LIMIT: usize = 1 << 20;

/// A stream, if that is all of it.
fn whole<'a>(name: &str, stream: &'a [u8]) -> Result<&'a [u8], Miss> {
    match stream.len() > STREAM_LIMIT {
        true => Err(Miss::Unanswerable(format!("{name} is longer than the 1 MiB that are looked at"))),
        false => Ok(stream),
    }
}

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

pub(super) struct Ran {
    status: u64,
    /// After which time it was ended, if it was.
    ended_after: Option<Duration>,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl Ran {
    fn read(answer: &Answer, limit: Duration) -> Result<Self, String> {
        if answer.says("scratch", "no") {
            return Err("the probe found no directory to write to, such as /tmp, or no mkfifo".to_owned());
        }
        let status = answer.text("code").and_then(|code| code.parse().ok());
        Ok(Self {
            status: status.ok_or("the shell told no exit status")?,
            ended_after: answer.says("late", "yes").then_some(limit),
            stdout: answer.data("stdout").unwrap_or_default().to_vec(),
            stderr: answer.data("stderr").unwrap_or_default().to_vec(),
        })
    }

    fn in_time(&self) -> Result<&Self, Miss> {
        match self.ended_after.map(humantime::format_duration) {
            Some(limit) => Err(Miss::Failed(format!("it was still running after {limit}, and was ended"))),
            None => Ok(self),
        }
    }
}
