//! OpenSSH's client, which logs in to machines.

use super::{door::Door, state::State};
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{Command, Output},
};

/// The key pair `k`, and how `ec2-local` is run.
pub struct Login {
    key: PathBuf,
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
        Self { key: state.beside().join("key"), program }
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
        ssh.args(["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", &proxy, "-i"]);
        ssh.arg(&self.key).arg(format!("ec2-user@{instance}")).arg(command);
        ssh.env_remove("SSH_AUTH_SOCK").output().unwrap()
    }
}
