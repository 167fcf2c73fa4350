//! `ec2-local serve`, to be killed.

use crate::wire::{Door, Reply};
use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

/// Long enough for anything that is going to happen.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A state directory; nothing may be left in it, or of its machines, when the test is over.
pub struct State(tempfile::TempDir);

impl State {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn path(&self) -> PathBuf {
        self.0.path().join("state")
    }

    /// A directory for the test's own files.
    pub fn beside(&self) -> &Path {
        self.0.path()
    }

    pub fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ec2-local"));
        command.env("EC2_LOCAL_STATE_DIR", self.path()).stdin(Stdio::null());
        command
    }

    /// The door of an endpoint of its.
    pub fn door(&self, url: &str) -> Door {
        let secret: serde_json::Value = serde_json::from_slice(&fs::read(self.path().join("secret")).unwrap()).unwrap();
        Door {
            address: url.strip_prefix("http://").unwrap().parse().unwrap(),
            access_key: secret["access_key"].as_str().unwrap().to_owned(),
            secret_key: secret["secret_key"].as_str().unwrap().to_owned(),
        }
    }

    /// The directories below `run`.
    pub fn runs(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.path().join("run")).into_iter().flatten();
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    /// Serves, and doesn't come up: what it says.
    pub fn refusal(&self) -> String {
        let Output { status, stderr, .. } = self.command().args(["serve"]).output().unwrap();
        assert!(!status.success());
        String::from_utf8(stderr).unwrap()
    }

    /// Asserts that nothing is left but what is meant to stay.
    pub fn assert_clean(&self) {
        eventually("nothing is mounted", || mounts_of(&self.path()) == 0);
        let left: Vec<_> = fs::read_dir(self.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        let left: Vec<_> =
            left.iter().filter(|name| ![".ec2-local", "secret", "log"].iter().any(|stays| name == stays)).collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

/// A serving endpoint; killed when this is dropped.
pub struct Server {
    process: Child,
    pub door: Door,
    /// What it has said before it was ready.
    pub opening: String,
}

impl Server {
    /// In calm conditions.
    pub fn start(state: &State) -> Self {
        Self::start_with(state, &["--conditions", "calm"])
    }

    pub fn start_with(state: &State, options: &[&str]) -> Self {
        Self::run(state, state.command().arg("serve").args(options))
    }

    pub fn run(state: &State, command: &mut Command) -> Self {
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut output = BufReader::new(process.stdout.take().unwrap());
        let mut opening = String::new();
        while !opening.contains("in another shell") {
            assert!(output.read_line(&mut opening).unwrap() > 0, "it did not come up: {opening}");
        }
        let door = state.door(opening.split_whitespace().find(|word| word.starts_with("http://")).unwrap());
        Self { process, door, opening }
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Kills it, and waits until all processes that it had are gone.
    pub fn kill(mut self) {
        let machines = descendants(self.process.id());
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        eventually("its machines are gone", || machines.iter().all(|pid| !Path::new(&format!("/proc/{pid}")).exists()));
    }

    /// Kills it, and waits for nothing.
    pub fn kill_at_once(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Ends it as its owner would.
    pub fn end(mut self) {
        let machines = descendants(self.process.id());
        let pid = self.process.id().to_string();
        assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
        assert!(self.process.wait().unwrap().success());
        assert!(machines.iter().all(|pid| !Path::new(&format!("/proc/{pid}")).exists()), "machines outlive it");
    }

    /// The id of an image.
    pub fn image(&self, name: &str) -> String {
        self.door.ok(&format!("Action=DescribeImages&Filter.1.Name=name&Filter.1.Value.1={name}")).one("imageId")
    }

    /// Launches, with more parameters; the instances' ids.
    pub fn launch(&self, image: &str, count: usize, more: &str) -> Vec<String> {
        let image = self.image(image);
        let request =
            format!("Action=RunInstances&ImageId={image}&InstanceType=t3.nano&MinCount={count}&MaxCount={count}{more}");
        self.door.ok(&request).all("instanceId")
    }

    /// Lets everybody in on port 22 of the machines of the default group.
    pub fn let_in_ssh(&self) {
        let group = self.door.ok("Action=DescribeSecurityGroups").one("groupId");
        let rule = "IpProtocol=tcp&FromPort=22&ToPort=22&CidrIp=0.0.0.0%2F0";
        self.door.ok(&format!("Action=AuthorizeSecurityGroupIngress&GroupId={group}&{rule}"));
    }

    pub fn describe(&self, instance: &str) -> Reply {
        self.door.ok(&format!("Action=DescribeInstances&InstanceId.1={instance}"))
    }

    /// The root volume of an instance.
    pub fn volume_of(&self, instance: &str) -> String {
        let filter = format!("Filter.1.Name=attachment.instance-id&Filter.1.Value.1={instance}");
        self.door.ok(&format!("Action=DescribeVolumes&{filter}")).one("volumeId")
    }

    /// How many instances are in a state.
    pub fn count(&self, state: &str) -> usize {
        let filter = format!("Filter.1.Name=instance-state-name&Filter.1.Value.1={state}");
        self.door
            .ok(&format!("Action=DescribeInstances&{filter}"))
            .all("instanceId")
            .into_iter()
            .collect::<BTreeSet<_>>()
            .len()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[track_caller]
pub fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let since = Instant::now();
    while !is_so() {
        assert!(since.elapsed() < PATIENCE, "never: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// In how many processes' mount tables a directory occurs.
pub fn mounts_of(directory: &Path) -> usize {
    let name = directory.to_str().unwrap();
    let tables = fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path().join("mountinfo"));
    tables.filter(|table| fs::read_to_string(table).is_ok_and(|table| table.contains(name))).count()
}

pub fn descendants(of: u32) -> Vec<u32> {
    let parent = |pid: u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse::<u32>().ok()
    };
    let pids = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    let family: Vec<(u32, u32)> = pids.filter_map(|pid| Some((pid, parent(pid)?))).collect();
    let mut found = vec![of];
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        found.extend(family.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| pid));
        next += 1;
    }
    found.split_off(1)
}
