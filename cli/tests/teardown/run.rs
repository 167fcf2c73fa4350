//! A run of one child test.

use super::support::{self, unique};
use ec2_harness::prelude::*;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use std::{
    env,
    io::{BufRead, BufReader, Read},
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
};

/// A child test that runs, as a run of its own and as leader of a process group.
pub struct Run {
    pub id: String,
    child: Child,
    stdout: BufReader<ChildStdout>,
}

/// Clears what would make a command part of our own run.
pub fn clean(command: &mut Command) -> &mut Command {
    command.env_remove("NEXTEST_RUN_ID").env("RUST_BACKTRACE", "0")
}

impl Run {
    /// Starts a child test.
    pub fn start(name: &str, customize: impl FnOnce(&mut Command)) -> Self {
        // Who runs us in the background, or under nohup, ignores signals, and so would all that is started here.
        let mut heedful = Command::new("env");
        heedful.arg("--default-signal=HUP,INT,TERM");
        Self::start_under(heedful, name, customize)
    }

    /// The same, but what it says on standard error is kept.
    pub fn start_quietly(name: &str, customize: impl FnOnce(&mut Command)) -> Self {
        let mut heedful = Command::new("env");
        heedful.arg("--default-signal=HUP,INT,TERM");
        Self::start_under(heedful, name, |command| {
            customize(command.stderr(Stdio::piped()));
        })
    }

    /// The same by a command that executes its arguments.
    pub fn start_under(mut wrapper: Command, name: &str, customize: impl FnOnce(&mut Command)) -> Self {
        let id = unique("run");
        let command = wrapper.arg(env::current_exe().unwrap());
        clean(command)
            .args(["--exact", &format!("child::{name}"), "--ignored", "--nocapture"])
            .env("EC2_HARNESS_RUN_ID", &id)
            .stdout(Stdio::piped())
            // Shown with the test that started it: what it says of its failure is the reason of this one's.
            .stderr(Stdio::inherit())
            .process_group(0);
        customize(command);
        let mut child = command.spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Self { id, child, stdout }
    }

    /// Waits until the child says a value.
    pub fn value(&mut self, name: &str) -> String {
        let mut line = String::new();
        loop {
            line.clear();
            assert!(self.stdout.read_line(&mut line).unwrap() > 0, "it ended without saying its {name}");
            if let Some((_, value)) = line.trim_end().split_once(&format!("{name}=")) {
                return value.to_owned();
            }
        }
    }

    /// Sends a signal, as a terminal does: to all of the group.
    pub fn signal_group(&self, signal: Signal) {
        kill_process_group(self.pid(), signal).unwrap();
    }

    /// Sends a signal to the process alone.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed()).unwrap()
    }

    /// Waits for its end; what it said on standard error, which must have been kept.
    pub fn end_with_text(mut self) -> (ExitStatus, String) {
        let mut text = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
        (self.end(), text)
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for its end.
    pub fn end(mut self) -> ExitStatus {
        // A helper that outlives it must not hold its streams, or this never ends.
        self.stdout.read_to_end(&mut Vec::new()).unwrap();
        self.child.wait().unwrap()
    }
}

/// Whether the instances of a run have all ended; there must have been some, though they may be seen late.
pub fn all_ended(ec2: &Ec2, run: &str) -> bool {
    let mut all = Vec::new();
    support::eventually("the run's instances are seen", || {
        all = support::instances(ec2, "tag:ec2-harness:run", run);
        !all.is_empty()
    });
    all.iter().all(|it| support::has_ended(ec2, it.instance_id().unwrap()))
}

/// Whether a process lives.
pub fn lives(pid: &str) -> bool {
    // The first word behind the name in parentheses is the state (proc_pid_stat(5)).
    let stat = std::fs::read_to_string(Path::new("/proc").join(pid).join("stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}
