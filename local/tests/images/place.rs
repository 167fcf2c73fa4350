//! A state directory for images, and the program that is told to import some.

use crate::{
    endpoint::{Door, PATIENCE, Server, State, user_data},
    system::System,
};
use std::{
    fs,
    path::PathBuf,
    process::{Command, Output},
    thread,
    time::{Duration, Instant},
};

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_ec2-local");

/// A state directory of its own, and files beside it.
pub struct Place(State);

impl Place {
    pub fn new() -> Self {
        Self::deep("")
    }

    /// Whose state directory is below a directory of this name.
    pub fn deep(name: &str) -> Self {
        Self(State::deep(name))
    }

    pub fn state(&self) -> PathBuf {
        self.0.path()
    }

    /// The directory of this build's endpoint.
    pub fn run(&self) -> PathBuf {
        self.state().join("run").join(ec2_local::endpoint::BUILD)
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.0.beside().join(name)
    }

    pub fn archive(&self, name: &str, system: System) -> String {
        system.write(&self.file(name));
        self.file(name).to_str().unwrap().to_owned()
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.0.command();
        command.args(arguments);
        command
    }

    /// An endpoint in typical conditions.
    pub fn serve(&self) -> Server {
        Server::start_with(&self.0, &[])
    }

    /// One that was started on demand, and ends by itself.
    pub fn door(&self, url: &str) -> Door {
        self.0.door(url)
    }

    pub fn output_of(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// What a command says that does what it is told.
    pub fn says(&self, arguments: &[&str]) -> String {
        let output = self.output_of(arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// What a command says that doesn't.
    pub fn refuses(&self, arguments: &[&str]) -> String {
        let output = self.output_of(arguments);
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

    /// The directory of the only image's files.
    pub fn tree(&self) -> PathBuf {
        let trees: Vec<_> = fs::read_dir(self.state().join("images/trees")).unwrap().collect();
        assert_eq!(trees.len(), 1, "{trees:?}");
        trees[0].as_ref().unwrap().path()
    }

    /// Waits until the files of no image are there.
    pub fn until_no_tree(&self) {
        let deadline = Instant::now() + PATIENCE;
        while self.kept().1 > 0 {
            assert!(Instant::now() < deadline, "the files of a removed image stay");
            thread::sleep(Duration::from_millis(5));
        }
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

/// The names of the images of the account's own.
pub fn images(door: &Door) -> Vec<String> {
    door.call("Action=DescribeImages&Owner.1=self").all("name")
}

/// Launches an instance with user data.
pub fn launch(door: &Door, image: &str, script: &str) -> String {
    door.launch(image, 1, &user_data(script)).remove(0)
}
