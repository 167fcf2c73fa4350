//! `ec2-local serve`, in the foreground.

use super::{
    door::Door,
    processes::{descendants, eventually},
    state::State,
};
use std::{
    io::{BufRead, BufReader, Read},
    path::Path,
    process::{Child, Command, Stdio},
};

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
        let (process, opening) = open(command).unwrap_or_else(|said| panic!("it did not come up: {said}"));
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
        let process = rustix::process::Pid::from_child(&self.process);
        rustix::process::kill_process(process, rustix::process::Signal::INT).unwrap();
        let ended = self.process.wait().unwrap();
        assert!(ended.success(), "{ended}");
        assert!(machines.iter().all(|pid| !Path::new(&format!("/proc/{pid}")).exists()), "machines outlive it");
    }
}

impl std::ops::Deref for Server {
    type Target = Door;

    fn deref(&self) -> &Door {
        &self.door
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Starts one by a command: its process, and what it has said before it was ready; or all that it said, where it ended instead.
pub fn open(command: &mut Command) -> Result<(Child, String), String> {
    let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut output = BufReader::new(process.stdout.take().unwrap());
    let mut opening = String::new();
    while !opening.contains("in another shell") {
        if output.read_line(&mut opening).unwrap() == 0 {
            if let Some(mut complaints) = process.stderr.take() {
                complaints.read_to_string(&mut opening).unwrap();
            }
            process.wait().unwrap();
            return Err(opening);
        }
    }
    Ok((process, opening))
}
