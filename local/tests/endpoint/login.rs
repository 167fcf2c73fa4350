//! OpenSSH's client, which logs in to machines.

use super::{door::Door, processes::eventually, state::State};
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// The key pair `k`, and how `ec2-local` is run.
pub struct Login {
    key: PathBuf,
    /// The host keys that were seen, where each must be what it was before.
    known: Option<PathBuf>,
    /// Up to its subcommand.
    program: String,
}

impl Login {
    pub fn new(state: &State) -> Self {
        let program = format!("env EC2_LOCAL_STATE_DIR={} {}", state.path().display(), State::program().display());
        Self::by(state, program)
    }

    /// Where the program is to be run in another way.
    pub fn by(state: &State, program: String) -> Self {
        Self { key: state.beside().join("key"), known: None, program }
    }

    /// Which refuses a host key that isn't the one that was seen before.
    pub fn wary(state: &State) -> Self {
        Self { known: Some(state.beside().join("known")), ..Self::new(state) }
    }

    /// Makes the key pair, and opens port 22 of the default group.
    pub fn prepare(&self, door: &Door) {
        let made = door.ok("Action=CreateKeyPair&KeyName=k&KeyType=ed25519").one("keyMaterial");
        let material = made.replace("&#xA;", "\n").replace("&#10;", "\n");
        fs::write(&self.key, format!("{}\n", material.trim())).unwrap();
        fs::set_permissions(&self.key, fs::Permissions::from_mode(0o600)).unwrap();
        door.let_in_ssh();
    }

    /// Runs a command in a machine.
    pub fn run(&self, instance: &str, command: &str) -> Output {
        let proxy = format!("ProxyCommand={} connect %h %p", self.program);
        let mut ssh = Command::new("ssh");
        ssh.args(["-F", "none", "-o", "BatchMode=yes", "-o", "LogLevel=ERROR", "-o", "IdentitiesOnly=yes"]);
        let (check, known) = match &self.known {
            Some(known) => ("accept-new", known.as_path()),
            None => ("no", Path::new("/dev/null")),
        };
        let [check, known] =
            [format!("StrictHostKeyChecking={check}"), format!("UserKnownHostsFile={}", known.display())];
        ssh.args(["-o", &check, "-o", &known, "-o", &proxy, "-i"]);
        ssh.arg(&self.key).arg(format!("ec2-user@{instance}")).arg(command);
        ssh.env_remove("SSH_AUTH_SOCK").output().unwrap()
    }

    /// What a command says that succeeds, once the machine answers.
    pub fn says(&self, instance: &str, command: &str) -> String {
        eventually("it answers on SSH", || self.run(instance, "true").status.success());
        let output = self.run(instance, command);
        assert!(output.status.success(), "{command}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }
}
