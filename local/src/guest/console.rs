//! The machine's console, and the log that keeps what user data printed.

use super::root::Root;
use rustix::fs::OFlags;
use std::{fs::File, io, io::Write, os::fd::OwnedFd, sync::Arc};

/// Where cloud-init keeps the output of what it runs.
const OUTPUT_LOG: &str = "/var/log/cloud-init-output.log";
/// Where it keeps what it did.
const LOG: &str = "/var/log/cloud-init.log";

/// A handle, cheap to clone.
#[derive(Clone)]
pub struct Console(Arc<Files>);

struct Files {
    console: File,
    output: File,
    log: File,
}

impl Console {
    /// Opens the logs beside the console.
    pub fn new(root: &Root, console: OwnedFd) -> io::Result<Self> {
        root.directory("/var/log")?;
        let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE;
        let open = |path: &str| root.open(path, flags, 0o666).map(File::from);
        Ok(Self(Arc::new(Files { console: console.into(), output: open(OUTPUT_LOG)?, log: open(LOG)? })))
    }

    /// Prints output on the console and into the log; a console that nobody reads is no reason to fail.
    pub fn output(&self, bytes: &[u8]) {
        let _ = (&self.0.console).write_all(bytes);
        let _ = (&self.0.output).write_all(bytes);
    }

    /// Prints a line, likewise.
    pub fn line(&self, line: &str) {
        self.output(format!("{line}\n").as_bytes());
    }

    /// Writes a message into the log; warnings and errors onto the console too.
    pub fn log(&self, level: &str, message: &str) {
        let line = format!("{} - ec2-local[{level}]: {message}", super::cloud_init::now());
        let _ = writeln!(&self.0.log, "{line}");
        if level != "INFO" {
            self.line(&line);
        }
    }
}
