//! A directory with a state directory in it, and an endpoint that is started there and ended again.

use crate::endpoint::{State, open};
use std::{
    collections::BTreeMap,
    fs,
    io::Read,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

pub struct Place(State);

impl Place {
    pub fn new() -> Self {
        Self(State::new())
    }

    pub fn path(&self) -> &Path {
        self.0.beside()
    }

    pub fn state(&self) -> PathBuf {
        self.0.path()
    }

    /// A state directory that has served before.
    pub fn used() -> Self {
        let place = Self::new();
        place.serve(&[]).end();
        place
    }

    pub fn command(&self) -> Command {
        self.0.command()
    }

    pub fn serve(&self, arguments: &[&str]) -> Serving {
        let command = &mut self.command();
        Serving::run(command.arg("serve").args(arguments))
    }

    /// One, if none is running.
    pub fn try_serve(&self) -> Option<Serving> {
        Serving::try_run(self.command().arg("serve")).ok()
    }

    /// What it says when it doesn't come up.
    pub fn refusal(&self) -> String {
        refusal(self.command().arg("serve"))
    }

    pub fn make(&self, path: &str) -> PathBuf {
        let path = self.state().join(path);
        fs::create_dir_all(&path).unwrap();
        path
    }

    pub fn write(&self, path: &str) -> PathBuf {
        let path = self.state().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "somebody's").unwrap();
        path
    }

    /// A directory outside, with a file in it that nobody may touch.
    pub fn outside(&self) -> PathBuf {
        let outside = self.path().join("outside");
        fs::create_dir_all(outside.join("inner")).unwrap();
        fs::write(outside.join("inner/file"), "somebody's").unwrap();
        outside
    }

    /// What mark a directory bears.
    pub fn mark(&self, path: &str, text: &str) {
        symlink(text, self.state().join(path).join(".ec2-local")).unwrap();
    }

    /// The directory of this build's endpoint, as one that was killed leaves it.
    pub fn run(&self) -> PathBuf {
        self.state().join("run").join(ec2_local::endpoint::BUILD)
    }
}

pub fn refusal(command: &mut Command) -> String {
    let Output { status, stderr, stdout } = command.output().unwrap();
    let said = String::from_utf8_lossy(&stdout).into_owned() + &String::from_utf8_lossy(&stderr);
    assert!(!status.success(), "{said}");
    assert!(!said.contains("panicked"), "{said}");
    said
}

/// An endpoint in the foreground, of which it matters what it says.
pub struct Serving {
    process: Child,
    opening: String,
}

impl Serving {
    pub fn run(command: &mut Command) -> Self {
        Self::try_run(command).unwrap_or_else(|said| panic!("it did not come up: {said}"))
    }

    /// One, or what it said.
    fn try_run(command: &mut Command) -> Result<Self, String> {
        let (process, opening) = open(command.stderr(Stdio::piped()))?;
        Ok(Self { process, opening })
    }

    /// Ends it; what it has said meanwhile.
    pub fn end(mut self) -> String {
        assert!(Command::new("kill").args(["-INT", &self.process.id().to_string()]).status().unwrap().success());
        let mut said = String::new();
        self.process.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert!(self.process.wait().unwrap().success(), "{said}");
        said
    }

    /// What it has said when it opened.
    pub fn opening(&self) -> &str {
        &self.opening
    }

    pub fn id(&self) -> String {
        self.process.id().to_string()
    }

    pub fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// All that is below a directory, with what would tell a change.
pub fn all_below(directory: &Path) -> BTreeMap<PathBuf, (u32, u64, Vec<u8>)> {
    fn list(directory: &Path, found: &mut BTreeMap<PathBuf, (u32, u64, Vec<u8>)>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let metadata = path.symlink_metadata().unwrap();
            let contents = match metadata.file_type() {
                kind if kind.is_file() => fs::read(&path).unwrap(),
                kind if kind.is_symlink() => fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes(),
                _ => Vec::new(),
            };
            found.insert(path.clone(), (metadata.mode(), metadata.ino(), contents));
            if metadata.is_dir() {
                list(&path, found);
            }
        }
    }
    let mut found = BTreeMap::new();
    list(directory, &mut found);
    found
}

pub fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}
