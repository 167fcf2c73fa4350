//! A state directory for images, and the program that is told to import some.

use crate::system::System;
use std::{
    fs,
    path::PathBuf,
    process::{Command, Output, Stdio},
    time::Duration,
};

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_ec2-local");
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A state directory of its own, and files beside it.
pub struct Place(tempfile::TempDir);

impl Place {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn state(&self) -> PathBuf {
        self.0.path().join("state")
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn archive(&self, name: &str, system: System) -> String {
        system.write(&self.file(name));
        self.file(name).to_str().unwrap().to_owned()
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command.args(arguments).env("EC2_LOCAL_STATE_DIR", self.state()).env_remove("AWS_REGION");
        command.env_remove("AWS_DEFAULT_REGION").stdin(Stdio::null());
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// What a command says that does what it is told.
    pub fn says(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// What a command says that doesn't.
    pub fn refuses(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(!output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    /// With an image called `tiny`; the archive that it is of.
    pub fn with_tiny() -> (Self, String) {
        let place = Self::new();
        let archive = place.archive("tiny.tar", System::tiny());
        place.import(&archive, &[]);
        (place, archive)
    }

    /// Imports it as `tiny`; what is said.
    pub fn import(&self, archive: &str, options: &[&str]) -> String {
        self.says(&[&["image", "import", archive, "--name", "tiny"], options].concat())
    }

    /// Removes `tiny`; what is said.
    pub fn remove(&self) -> String {
        self.says(&["image", "remove", "tiny"])
    }

    /// The names in the directory of the images, but for the trees; and how many trees there are.
    pub fn kept(&self) -> (Vec<String>, usize) {
        let list = |path: PathBuf| -> Vec<String> {
            let entries = fs::read_dir(path).into_iter().flatten();
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
        };
        let images = self.state().join("images");
        let trees = list(images.join("trees")).len();
        (list(images).into_iter().filter(|name| name != "trees").collect(), trees)
    }
}
