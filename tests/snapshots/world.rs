//! An endpoint and state directories of a test's own, and processes in it.

use super::support::{PATIENCE, eventually, has_processes};
use aws_sdk_ec2::types::{Filter, Image};
use std::{
    env, fs,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

/// State directories of their own; the endpoint ends a second after all who use it.
pub struct World(tempfile::TempDir);

impl World {
    pub fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o700)).unwrap();
        fs::write(directory.path().join("set-ups"), "").unwrap();
        Self(directory)
    }

    /// Where children note what they do, a line each.
    fn notes(&self) -> PathBuf {
        self.0.path().join("set-ups")
    }

    /// What children have noted so far.
    pub fn noted(&self) -> Vec<String> {
        fs::read_to_string(self.notes()).unwrap().lines().map(str::to_owned).collect()
    }

    /// A child test on a host of this name: hosts have nothing in common but EC2.
    pub fn child_on(&self, host: &str, name: &str) -> Command {
        let mut command = Command::new(env::current_exe().unwrap());
        command
            .args(["--exact", &format!("child::{name}"), "--ignored", "--nocapture"])
            .env_remove("NEXTEST_RUN_ID")
            .env_remove("EC2_HARNESS_RUN_ID")
            .env("RUST_BACKTRACE", "0")
            .env("EC2_HARNESS_LOCAL_LINGER", "5s")
            .env("EC2_LOCAL_STATE_DIR", self.0.path().join("local"))
            .env("EC2_HARNESS_STATE_DIR", self.0.path().join(host))
            .env("SNAPSHOT_NOTES", self.notes())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub fn child(&self, name: &str) -> Command {
        self.child_on("host", name)
    }
}

/// Watchdogs and the endpoint go on for a while, and would make the directories anew.
impl Drop for World {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let path = self.0.path();
            eventually("all of its processes have ended", || !has_processes(path));
        }
    }
}

/// Waits for all of them; what they have said.
pub fn outputs(children: Vec<Child>) -> Vec<Output> {
    children.into_iter().map(|child| child.wait_with_output().unwrap()).collect()
}

/// What a process has said, both streams.
pub fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Waits until a child has noted something.
pub fn wait_until_noted(world: &World, what: &str) {
    let since = Instant::now();
    while !world.noted().iter().any(|note| note.contains(what)) {
        assert!(since.elapsed() < PATIENCE, "never noted: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The images whose set-up has this name, as EC2 shows them.
pub async fn images(client: &aws_sdk_ec2::Client, set_up: &str) -> Vec<Image> {
    let by_name = Filter::builder().name("name").values(format!("ec2-harness {set_up} *")).build();
    loop {
        // Any call may be throttled, or refused by chance.
        match client.describe_images().owners("self").filters(by_name.clone()).send().await {
            Ok(answer) => return answer.images.unwrap_or_default(),
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}
