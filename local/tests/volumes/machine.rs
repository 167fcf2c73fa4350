//! A served endpoint, its machines and volumes, and what is said in them.

use crate::endpoint::{Door, Login, State, eventually};
use std::{
    fs,
    process::{Command, Output},
};

/// Whether volumes can be had here; a test that needs them says where it skips.
pub fn can_be_had() -> bool {
    let can = rustix::process::geteuid().is_root() && fs::exists("/dev/loop-control").unwrap();
    if !can {
        eprintln!("skipped: volumes are for root, with loop devices");
    }
    can
}

/// The loop devices behind which a file of this state directory is, by the file's number.
pub fn loops(volumes: &[u64]) -> usize {
    let devices = Command::new("losetup").args(["--noheadings", "--output", "BACK-INO"]).output().unwrap();
    let inodes = String::from_utf8(devices.stdout).unwrap();
    inodes.lines().filter_map(|line| line.trim().parse().ok()).filter(|inode: &u64| volumes.contains(inode)).count()
}

/// The numbers of the volumes' files.
pub fn files(state: &State) -> Vec<u64> {
    use std::os::unix::fs::MetadataExt;
    let disks = state.runs().into_iter().flat_map(|run| fs::read_dir(run.join("disks")).into_iter().flatten());
    disks.filter_map(|disk| fs::metadata(disk.ok()?.path().join("volume")).ok()).map(|found| found.ino()).collect()
}

/// A place for an endpoint, with a key.
pub struct Place {
    pub state: State,
    login: Login,
}

impl Place {
    pub fn new() -> Self {
        let state = State::new();
        let login = Login::new(&state);
        Self { state, login }
    }

    /// Makes the key, and opens port 22.
    pub fn prepare(&self, server: &Door) {
        self.login.prepare(server);
    }

    /// An instance in the first zone, once it runs.
    pub fn launch(&self, server: &Door, more: &str) -> String {
        let more = format!("&KeyName=k&Placement.AvailabilityZone=us-east-1a{more}");
        let instance = server.launch("host", 1, &more).remove(0);
        server.until_state(&instance, "running");
        instance
    }

    /// What a script says in a machine, as root, both ways out together; and whether it succeeded.
    pub fn run(&self, instance: &str, script: &str) -> (bool, String) {
        let command = format!("sudo sh -c '{script}' 2>&1");
        let Output { status, stdout, stderr } = self.login.run(instance, &command);
        let said = String::from_utf8_lossy(&stdout).into_owned() + &String::from_utf8_lossy(&stderr);
        (status.success(), said)
    }

    /// What a script says that succeeds.
    #[track_caller]
    pub fn ok(&self, instance: &str, script: &str) -> String {
        let (succeeded, said) = self.run(instance, script);
        assert!(succeeded, "{script}: {said}");
        said
    }

    pub fn files(&self) -> Vec<u64> {
        files(&self.state)
    }
}

/// A volume in the first zone.
pub fn create(server: &Door, gib: u32) -> String {
    let made = server.ok(&format!("Action=CreateVolume&AvailabilityZone=us-east-1a&Size={gib}&VolumeType=gp3"));
    let volume = made.one("volumeId");
    until_volume(server, &volume, "available");
    volume
}

pub fn attach(server: &Door, volume: &str, instance: &str, device: &str) {
    server.ok(&format!("Action=AttachVolume&VolumeId={volume}&InstanceId={instance}&Device={device}"));
    eventually("it is attached", || status(server, volume).contains(&"attached".to_owned()));
}

pub fn detach(server: &Door, volume: &str, more: &str) {
    server.ok(&format!("Action=DetachVolume&VolumeId={volume}{more}"));
}

/// The states of a volume and of its attachment.
pub fn status(server: &Door, volume: &str) -> Vec<String> {
    server.ok(&format!("Action=DescribeVolumes&VolumeId.1={volume}")).all("status")
}

#[track_caller]
pub fn until_volume(server: &Door, volume: &str, state: &str) {
    eventually(state, || status(server, volume).contains(&state.to_owned()));
}
