//! What the commands say: to a reader that has gone, nothing more, as a filter does.

use std::{
    io::{self, ErrorKind, Write},
    process,
};

/// How a program ends that is killed by SIGPIPE, as shells tell it; Rust's don't get the signal.
const READER_GONE: i32 = 128 + 13;

/// Writes to standard output. Where its reader has gone, the program ends.
pub fn print(text: &str) -> Result<(), String> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => process::exit(READER_GONE),
        done => done.map_err(|error| format!("write to standard output: {error}")),
    }
}

/// Writes a line to standard error, where there is somebody to read it.
pub fn complain(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}
