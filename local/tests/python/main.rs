//! boto3 and OpenSSH, unmodified, against `ec2-local serve`; skipped, and said so, where they are not installed.

use std::{
    env, fs,
    io::{BufRead, BufReader},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Command, Stdio},
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_ec2-local");

/// Ends the endpoint however the test ends.
struct Serving(Child);

impl Serving {
    fn start(state: &Path) -> Self {
        let mut serving = Command::new(PROGRAM);
        serving.args(["serve", "--port", "0"]).env("EC2_LOCAL_STATE_DIR", state).stdout(Stdio::piped());
        let mut child = serving.spawn().unwrap();
        let said = BufReader::new(child.stdout.as_mut().unwrap()).lines().next().unwrap().unwrap();
        assert!(said.starts_with("serving EC2 on http://127.0.0.1:"), "{said}");
        Self(child)
    }

    /// Ctrl-C, and all machines end with it.
    fn interrupt(mut self) {
        let process = rustix::process::Pid::from_child(&self.0);
        rustix::process::kill_process(process, rustix::process::Signal::INT).unwrap();
        let ended = self.0.wait().unwrap();
        assert!(ended.success(), "{ended}");
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn is_there(program: &str, arguments: &[&str]) -> bool {
    let found = Command::new(program).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status();
    found.is_ok_and(|status| status.success())
}

#[test]
fn boto3_and_openssh_are_served() {
    if !is_there("python3", &["-c", "import boto3"]) || !is_there("ssh", &["-V"]) {
        assert!(env::var_os("EC2_HARNESS_NO_SKIP").is_none(), "python3 with boto3, or ssh, is not installed");
        eprintln!("skipped: python3 with boto3, or ssh, is not installed");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("state");
    let work = directory.path().join("work");
    fs::create_dir(&work).unwrap();
    fs::set_permissions(&work, fs::Permissions::from_mode(0o700)).unwrap();

    let serving = Serving::start(&state);
    // As its documentation says it: eval "$(ec2-local env)".
    let script = "set -e; eval \"$(\"$1\" env)\"; exec python3 \"$2\" \"$1\"";
    let client = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python/client.py");
    let output = Command::new("sh")
        .args(["-c", script, "sh", PROGRAM, client])
        .env("EC2_LOCAL_STATE_DIR", &state)
        .env("AWS_SESSION_TOKEN", "left over from an AWS session")
        .current_dir(&work)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let [stdout, stderr] = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert!(output.status.success(), "{stdout}{stderr}");

    serving.interrupt();
    let mut left: Vec<_> = fs::read_dir(&state).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.retain(|name| !["secret", "log", "images", "run"].iter().any(|kept| name == kept));
    assert!(left.is_empty(), "{left:?}");
    let runs: Vec<_> = fs::read_dir(state.join("run")).into_iter().flatten().collect();
    assert!(runs.is_empty(), "{runs:?}");
}
