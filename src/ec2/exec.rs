//! Running commands on a machine.

use super::{Machine, unrun::Unrun};
use crate::{
    error::{Error, ErrorKind},
    ssh::{Command, Output, Pty},
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
        // The script comes on stdin, so the line that runs it stays short whatever its size.
        const RUN: &str = "f=$(mktemp) && trap 'rm -f \"$f\"' EXIT && cat >\"$f\" && chmod 700 \"$f\" && \
                           case $(head -c 2 \"$f\") in '#!') \"$f\" </dev/null ;; *) sh \"$f\" </dev/null ;; esac";
        let mut exec = self.exec(RUN);
        exec.stdin = script.into();
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
        async move { machine.within_scope(&format!("run {}", summary(&self.line)), self.execute()).await }
    }

    #[tracing::instrument(name = "exec", skip_all, fields(machine = %self.machine))]
    async fn execute(self) -> Result<Output, Error> {
        let mut command = Command::new(&*self.line).stdin(self.stdin);
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
        let mut error = Error::new(ErrorKind::Command, format!("run {} on {}", summary(&self.line), self.machine))
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
    let said = stderr.lines().find(|line| line.starts_with("sudo:") || line.contains("sudo: not found"))?;
    [
        ("password", "let the login user use sudo without a password (NOPASSWD in sudoers), or log in as root"),
        ("tty", "have sudo ask for no terminal (`Defaults !requiretty` in sudoers), or run it with `.pty()`"),
        ("terminal", "let the login user use sudo without a password (NOPASSWD in sudoers), or log in as root"),
        ("not found", "install sudo in the image, or log in as root"),
    ]
    .into_iter()
    .find_map(|(word, advice)| said.contains(word).then_some(advice))
}

/// What an error calls a line: its beginning.
fn summary(line: &str) -> String {
    const LONGEST: usize = 120;
    let first = line.trim().lines().next().unwrap_or_default();
    let cut: String = first.chars().take(LONGEST).collect();
    let dots = if cut.len() < line.trim().len() { "…" } else { "" };
    format!("`{cut}{dots}`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_sudo_says_is_told_from_what_its_command_says() {
        for (said, word) in [
            ("sudo: a password is required\n", "NOPASSWD"),
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
