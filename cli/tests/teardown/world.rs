//! An endpoint and state directories of a test's own, and processes beside it.

use super::{
    run::{Run, clean, lives},
    support::eventually,
};
use rustix::process::Signal;
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// State directories of their own.
pub struct World(tempfile::TempDir);

impl World {
    pub fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o700)).unwrap();
        Self(directory)
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn local(&self) -> PathBuf {
        self.0.path().join("local")
    }

    pub fn harness(&self) -> PathBuf {
        self.0.path().join("harness")
    }

    pub fn enter(&self, command: &mut Command) {
        command
            .env("EC2_LOCAL_STATE_DIR", self.local())
            .env("EC2_HARNESS_STATE_DIR", self.harness())
            .env("EC2_HARNESS_LOCAL_LINGER", "1s");
    }

    pub fn start(&self, name: &str) -> Run {
        Run::start(name, |command| self.enter(command))
    }

    pub fn sweep(&self) -> String {
        self.sweep_with(&[])
    }

    pub fn sweep_with(&self, arguments: &[&str]) -> String {
        let output = self.try_to_sweep(|command| {
            command.args(arguments);
        });
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    pub fn try_to_sweep(&self, customize: impl FnOnce(&mut Command)) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ec2-harness"));
        self.enter(clean(&mut command).arg("sweep"));
        customize(&mut command);
        command.output().unwrap()
    }

    /// Only mark, secret and log are left; no process, no run. Machines are followed by those who know them: they name no path.
    pub fn assert_is_empty(&self) {
        let names = || {
            let mut names: Vec<_> = fs::read_dir(self.local())
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort();
            names
        };
        eventually("the endpoint has ended", || !names().contains(&"run".to_owned()));
        assert_eq!(names(), [".ec2-local", "log", "secret"]);
        eventually("all processes have ended", || processes(self.0.path()).is_empty());
        if !self.harness().exists() {
            return;
        }
        let runs = fs::read_dir(self.harness().join("runs")).unwrap().count();
        assert_eq!(runs, 0, "a run's directory was left");
    }
}

/// Processes whose environment or command line names a path, ours excluded.
fn processes(path: &Path) -> Vec<String> {
    all_processes(|process| {
        ["environ", "cmdline"].iter().any(|file| {
            let bytes = fs::read(process.join(file)).unwrap_or_default();
            String::from_utf8_lossy(&bytes).contains(path.to_str().unwrap())
        })
    })
}

/// The processes of an endpoint's machines: its children, and theirs.
pub fn processes_of_machines(endpoint: &str) -> Vec<String> {
    let children = |parent: &str| {
        all_processes(|process| {
            // The second word behind the name in parentheses is the parent (proc_pid_stat(5)).
            let stat = fs::read_to_string(process.join("stat")).unwrap_or_default();
            stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(1)) == Some(parent)
        })
    };
    let mut found = children(endpoint);
    let mut at = 0;
    while at < found.len() {
        found.extend(children(&found[at]));
        at += 1;
    }
    found
}

pub fn send(process: &str, signal: Signal) {
    let process = rustix::process::Pid::from_raw(process.parse().unwrap()).unwrap();
    rustix::process::kill_process(process, signal).unwrap();
}

pub fn all_processes(is_meant: impl Fn(&Path) -> bool) -> Vec<String> {
    let entries = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let pids =
        entries.filter_map(|entry| entry.file_name().into_string().ok()).filter(|name| name.parse::<u32>().is_ok());
    pids.filter(|pid| lives(pid) && is_meant(&Path::new("/proc").join(pid))).collect()
}

/// Kills a run, and first what would end it then.
pub fn kill_with_watchdog(run: Run) {
    let watchdogs = all_processes(|process| {
        let environment = fs::read(process.join("environ")).unwrap_or_default();
        let environment = String::from_utf8_lossy(&environment);
        environment.contains(&run.id) && environment.contains("EC2_HARNESS_WATCHDOG_LOCK=")
    });
    assert!(!watchdogs.is_empty());
    watchdogs.iter().for_each(|watchdog| send(watchdog, Signal::KILL));
    run.signal(Signal::KILL);
    run.end();
}
