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
        Err(Error::new(ErrorKind::Command, format!("run {} on {}", summary(&self.line), self.machine))
            .because(output.status.to_string())
            .with_evidence("stdout", output.stdout)
            .with_evidence("stderr", output.stderr))
    }
}

operation!(Exec -> Output, "run a command", Cancel);

/// What an error calls a line: its beginning.
fn summary(line: &str) -> String {
    const LONGEST: usize = 120;
    let first = line.trim().lines().next().unwrap_or_default();
    let cut: String = first.chars().take(LONGEST).collect();
    let dots = if cut.len() < line.trim().len() { "…" } else { "" };
    format!("`{cut}{dots}`")
}
