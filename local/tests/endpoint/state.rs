//! State directories.

use super::{
    door::Door,
    processes::{eventually, mounts_of},
};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

/// A state directory, in a directory of the test's own that ends with the value.
pub struct State {
    directory: tempfile::TempDir,
    path: PathBuf,
}

impl State {
    pub fn new() -> Self {
        Self::deep("")
    }

    /// One below a directory of this name.
    pub fn deep(name: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(name).join("state");
        Self { directory, path }
    }

    pub fn path(&self) -> PathBuf {
        self.path.clone()
    }

    /// A directory for the test's own files.
    pub fn beside(&self) -> &Path {
        self.directory.path()
    }

    /// The program; a copy of it where others must be able to run it.
    pub fn program() -> PathBuf {
        std::env::var_os("EC2_LOCAL_PROGRAM").map_or_else(|| env!("CARGO_BIN_EXE_ec2-local").into(), PathBuf::from)
    }

    pub fn command(&self) -> Command {
        let mut command = Command::new(Self::program());
        command.env("EC2_LOCAL_STATE_DIR", self.path()).stdin(Stdio::null());
        command.env_remove("AWS_REGION").env_remove("AWS_DEFAULT_REGION");
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
    #[track_caller]
    pub fn assert_clean(&self) {
        self.assert_clean_but_for(&[]);
    }

    /// The same where more is meant to stay.
    #[track_caller]
    pub fn assert_clean_but_for(&self, more: &[&str]) {
        eventually("nothing is mounted", || mounts_of(&self.path()) == 0);
        let mut left: Vec<_> = fs::read_dir(self.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.retain(|name| ![".ec2-local", "secret", "log"].iter().chain(more).any(|stays| name == stays));
        assert!(left.is_empty(), "{left:?}");
    }
}
