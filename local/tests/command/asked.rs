//! A place for commands, their endpoints, and what they leave.

use crate::endpoint::{Door, eventually};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Command, Output, Stdio},
};

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_ec2-local");

pub fn pid(number: u32) -> Pid {
    Pid::from_raw(number.try_into().unwrap()).unwrap()
}

/// A state directory of a user's, and what lies beside it.
pub struct Place(tempfile::TempDir);

impl Place {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    pub fn state(&self) -> String {
        self.path("state")
    }

    pub fn script(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    /// A command of a user who comes from AWS.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env("EC2_LOCAL_STATE_DIR", self.state())
            .envs([("AWS_PROFILE", "work"), ("AWS_SESSION_TOKEN", "token")]);
        command
    }

    /// `ec2-local run`, to its end.
    pub fn run(&self, options: &[&str], command: &[&str], input: &str) -> Output {
        let mut run = self.command(PROGRAM);
        run.arg("run").args(options).arg("--").args(command);
        let mut run = run.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let _ = run.stdin.take().unwrap().write_all(input.as_bytes());
        run.wait_with_output().unwrap()
    }

    /// Nothing is left of any command's endpoint.
    pub fn assert_empty(&self) {
        let left: Vec<_> = fs::read_dir(self.path("state/commands")).into_iter().flatten().collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

/// A command that runs until its input ends, with its endpoint.
pub struct Running {
    pub run: Child,
    pub command: Pid,
    environment: BTreeMap<String, String>,
}

impl Running {
    pub fn start(place: &Place) -> Self {
        Self::with(place, "", "read line; exit 9")
    }

    /// Runs these two scripts, and tells its environment and its process between them.
    pub fn with(place: &Place, before: &str, script: &str) -> Self {
        let told = place.path("told");
        let script = format!("{before}\n(echo PID=$$; env) >{told}.new; mv {told}.new {told}; {script}");
        let mut run = place.command(PROGRAM);
        run.args(["run", "--", "sh", "-c", &script]).stdin(Stdio::piped()).stdout(Stdio::null());
        let run = run.spawn().unwrap();
        eventually("the command begins", || Path::new(&told).exists());
        let text = fs::read_to_string(&told).unwrap();
        fs::remove_file(&told).unwrap();
        let environment: BTreeMap<String, String> = text
            .lines()
            .filter_map(|line| line.split_once('='))
            .map(|(name, value)| (name.into(), value.into()))
            .collect();
        Self { run, command: pid(environment["PID"].parse().unwrap()), environment }
    }

    pub fn state(&self) -> &str {
        &self.environment["EC2_LOCAL_STATE_DIR"]
    }

    fn door(&self) -> Door {
        let said = |name: &str| self.environment[name].clone();
        Door {
            address: said("AWS_ENDPOINT_URL_EC2").strip_prefix("http://").unwrap().parse().unwrap(),
            access_key: said("AWS_ACCESS_KEY_ID"),
            secret_key: said("AWS_SECRET_ACCESS_KEY"),
        }
    }

    /// Launches a machine, and waits until it has processes.
    pub fn launch(&self) {
        let instance = self.door().launch("host", 1, "").remove(0);
        self.door().until_state(&instance, "running");
    }

    /// The endpoint's process and all that have come of it: their numbers, and when they began.
    pub fn processes(&self) -> Vec<(u32, String)> {
        let all: BTreeMap<u32, (u32, String)> = fs::read_dir("/proc")
            .unwrap()
            .filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok())
            .filter_map(|number| Some((number, describe(number)?)))
            .collect();
        let run = self.run.id();
        let command = u32::try_from(self.command.as_raw_pid()).unwrap();
        let is_below = |number: u32| {
            let parents = std::iter::successors(Some(number), |number| all.get(number).map(|(parent, _)| *parent));
            parents.take(64).any(|parent| parent == run)
        };
        let found: Vec<_> =
            all.keys().filter(|number| ![run, command].contains(number) && is_below(**number)).collect();
        found.into_iter().map(|number| (*number, all[number].1.clone())).collect()
    }

    /// The endpoint's own.
    pub fn endpoint(&self) -> Pid {
        let children =
            |(number, _): &(u32, String)| describe(*number).is_some_and(|(parent, _)| parent == self.run.id());
        pid(self.processes().into_iter().find(children).unwrap().0)
    }

    pub fn end_command(&self) {
        let _ = kill_process(self.command, Signal::KILL);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end_command();
        let _ = self.run.kill();
        let _ = self.run.wait();
    }
}

/// Its parent, and when it began; none: it has ended, or is only waited for.
fn describe(number: u32) -> Option<(u32, String)> {
    let stat = fs::read_to_string(format!("/proc/{number}/stat")).ok()?;
    let fields: Vec<_> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    (fields[0] != "Z").then_some(())?;
    Some((fields[1].parse().ok()?, fields[19].to_owned()))
}

pub fn are_gone(processes: &[(u32, String)]) -> bool {
    processes.iter().all(|(number, began)| describe(*number).is_none_or(|(_, now)| now != *began))
}
