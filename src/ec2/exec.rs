//! Running commands on a machine.

use super::{Machine, unrun::Unrun};
use crate::{
    error::{Error, ErrorKind},
    ssh::{Command, Output, Pty, summary},
    task::operation,
};
use std::time::Duration;

impl Machine {
    /// Runs a line of `sh` as the login user, for example `a && b`. A non-zero exit, or an end by a signal, is an error that
    /// shows both streams. One that is never run fails its test.
    #[track_caller]
    pub fn exec(&self, line: impl Into<String>) -> Exec {
        Exec {
            machine: self.clone(),
            line: line.into(),
            script: false,
            sudo: false,
            stdin: Vec::new(),
            environment: Vec::new(),
            pty: None,
            timeout: None,
            unchecked: false,
            unrun: Unrun::new("the command", self.scope().clone()),
        }
    }

    /// Runs a script: its `#!` line says by what, `sh` without one. It is put into a file of its own and removed again.
    /// Otherwise like [`exec`](Self::exec).
    #[track_caller]
    pub fn run_script(&self, script: impl Into<Vec<u8>>) -> Exec {
        // The script comes on stdin, so the line that runs it stays short whatever its size. Its interpreter is started as the kernel
        // would (execve(2)), but not by it: where files end up may be mounted such that none is executed.
        // In a shell of its own, whose end removes the file, and by names that nobody exports.
        const RUN: &str =
            "(_ec2h_f=$(mktemp) && trap 'rm -f \"$_ec2h_f\"' EXIT && cat >\"$_ec2h_f\" && chmod 700 \"$_ec2h_f\" && {
            IFS= read -r _ec2h_l <\"$_ec2h_f\" || :
            case $_ec2h_l in '#!'*) _ec2h_l=${_ec2h_l#??} ;; *) _ec2h_l=sh ;; esac
            _ec2h_l=${_ec2h_l#\"${_ec2h_l%%[! \t]*}\"} _ec2h_i=${_ec2h_l%%[ \t]*}
            _ec2h_a=${_ec2h_l#\"$_ec2h_i\"} _ec2h_a=${_ec2h_a#\"${_ec2h_a%%[! \t]*}\"}
            _ec2h_a=${_ec2h_a%\"${_ec2h_a##*[! \t]}\"}
            \"$_ec2h_i\" ${_ec2h_a:+\"$_ec2h_a\"} \"$_ec2h_f\" </dev/null
        })";
        let mut exec = self.exec(RUN);
        exec.stdin = script.into();
        exec.script = true;
        exec
    }
}

/// A command that is about to run; see [`Machine::exec`].
///
/// Dropping it while it runs ends it on the machine, with all of its processes.
#[derive(Debug, Clone)]
#[must_use = "nothing is run before `.await`, `.wait()` or `.start()`"]
pub struct Exec {
    machine: Machine,
    line: String,
    /// Whether what runs is a script on stdin, and the line only what runs it.
    script: bool,
    sudo: bool,
    stdin: Vec<u8>,
    environment: Vec<(String, String)>,
    pty: Option<Pty>,
    timeout: Option<Duration>,
    unchecked: bool,
    unrun: Unrun,
}

impl Exec {
    /// Runs the whole line as root, by `sudo -n`: `a && b` are both root's. Default: as the login user.
    pub fn sudo(mut self) -> Self {
        self.sudo = true;
        self
    }

    /// What the command reads. Default: nothing; it finds its standard input at its end.
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }

    /// Sets an environment variable, under `sudo` too.
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// How long it may run; then it is ended, with all of its processes, and fails as timed out. Default: as long as the
    /// test may.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = Some(limit);
        self
    }

    /// Runs it in a terminal of 80 by 24; both streams then come as stdout. Default: without one.
    pub fn pty(mut self) -> Self {
        self.pty = Some(Pty::default());
        self
    }

    /// Doesn't make an error of a non-zero exit or a signal. Default: it does.
    pub fn unchecked(mut self) -> Self {
        self.unchecked = true;
        self
    }

    fn run(self) -> impl Future<Output = Result<Output, Error>> + Send + 'static {
        self.unrun.runs();
        let machine = self.machine.clone();
        async move { machine.within_scope(&format!("run {}", self.called()), self.execute()).await }
    }

    /// What errors call it.
    fn called(&self) -> String {
        if self.script { script_summary(&self.stdin) } else { summary(&self.line) }
    }

    #[tracing::instrument(name = "exec", skip_all, fields(machine = %self.machine))]
    async fn execute(self) -> Result<Output, Error> {
        let called = self.called();
        let mut command = Command::new(&*self.line).called(&called).stdin(self.stdin);
        if self.sudo {
            command = command.prefix(["sudo", "-n", "--"]);
        }
        if let Some(size) = self.pty {
            command = command.pty(size);
        }
        if let Some(limit) = self.timeout {
            command = command.timeout(limit);
        }
        for (name, value) in self.environment {
            command = command.env(name, value);
        }
        let machine = &self.machine;
        let output = machine.over_ssh(async { machine.session().await?.exec(command).await }).await?;
        if self.unchecked || output.status.is_success() {
            return Ok(output);
        }
        let mut error = Error::new(ErrorKind::Command, format!("run {called} on {}", self.machine))
            .because(output.status.to_string());
        if self.sudo
            && let Some(refused) = refused_by_sudo(&output.stderr)
        {
            error = error.advise(refused);
        }
        Err(error.with_evidence("stdout", output.stdout).with_evidence("stderr", output.stderr))
    }
}

operation!(Exec -> Output, "run a command", Cancel);

/// What to do where sudo itself has refused, which says so in its own name (sudo(8), sudoers(5)).
fn refused_by_sudo(stderr: &str) -> Option<&'static str> {
    const ADVICE: [(&str, &str); 4] = [
        ("password", "let the login user use sudo without a password (NOPASSWD in sudoers), or log in as root"),
        ("tty", "have sudo ask for no terminal (`Defaults !requiretty` in sudoers), or run it with `.pty()`"),
        ("terminal", "let the login user use sudo without a password (NOPASSWD in sudoers), or log in as root"),
        ("not found", "install sudo in the image, or log in as root"),
    ];
    let said = stderr.lines().filter(|line| line.starts_with("sudo:") || line.contains("sudo: not found"));
    said.flat_map(|line| ADVICE.iter().filter(move |(word, _)| line.contains(word))).map(|(_, advice)| *advice).next()
}

/// What an error calls a script: its first line that says something.
fn script_summary(script: &[u8]) -> String {
    let text = String::from_utf8_lossy(&script[..script.len().min(4096)]);
    let first = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
    let rest = if text.trim_end().lines().count() > 1 { "\n…" } else { "" };
    first.map_or_else(|| "a script".to_owned(), |line| format!("the script {}", summary(&format!("{line}{rest}"))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_called_by_what_it_does() {
        assert_eq!(script_summary(b"#!/bin/sh\n# comment\n\nset -eu\nmake\n"), "the script `set -eu…`");
        assert_eq!(script_summary(b"make\n"), "the script `make`");
        assert_eq!(script_summary(b"#!/bin/true\n"), "a script");
        assert_eq!(script_summary(&[0xff; 10]).chars().next(), Some('t'));
    }

    #[test]
    fn what_sudo_says_is_told_from_what_its_command_says() {
        for (said, word) in [
            ("sudo: unable to resolve host ip-10-0-0-1\nsudo: a password is required\n", "NOPASSWD"),
            ("sudo: a terminal is required to read the password; either use the -S option\n", "NOPASSWD"),
            ("sudo: sorry, you must have a tty to run sudo\n", "requiretty"),
            ("sh: 1: sudo: not found\n", "install sudo"),
        ] {
            assert!(refused_by_sudo(said).is_some_and(|advice| advice.contains(word)), "{said}");
        }
        for other in ["", "cat: /x: No such file\n", "wrong password\n", "sudo: unable to resolve host x\n"] {
            assert_eq!(refused_by_sudo(other), None, "{other}");
        }
    }
}
