//! What a process says meanwhile, on its standard error: the log, where it was started on demand.
//!
//! A log that can't be written, its disk being full, ends nobody. What is lost is counted, and told where the log can be written
//! again, and by anyone who has another way to say it.

use std::{
    io::{self, IsTerminal, Write},
    sync::{Mutex, MutexGuard, PoisonError},
};
use tracing_subscriber::EnvFilter;

/// Says on standard error what happens from now on: as `RUST_LOG` says, or from this level on.
pub fn begin_log(level: &str) {
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_from_default_env().unwrap_or_else(|_| level.into()))
        .with_ansi(io::stderr().is_terminal())
        .with_writer(|| Log(io::stderr()))
        .finish();
    // A program that has set up another one before wants that.
    let _ = tracing::subscriber::set_global_default(subscriber);
}

/// Why the log can't be written now; none if it can.
pub(super) fn fault_of_log() -> Option<String> {
    lost().as_ref().map(|lost| lost.error.clone())
}

/// What couldn't be written since the log could be.
struct Lost {
    lines: u64,
    error: String,
}

fn lost() -> MutexGuard<'static, Option<Lost>> {
    static LOST: Mutex<Option<Lost>> = Mutex::new(None);
    LOST.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes a line at a time. It never fails: of a failure the library speaks on standard error, which is the very thing that can't be
/// written, and panics.
struct Log<W>(W);

impl<W: Write> Write for Log<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut lost = lost();
        let before = lost.as_ref().map(|Lost { lines, error }| {
            // What was lost last may have been written in part.
            format!("\n{lines} lines of this log could not be written: {error}\n")
        });
        let written = before.map_or(Ok(()), |before| self.0.write_all(before.as_bytes()));
        if written.is_ok() {
            // Those are told; what is lost from here on is counted anew.
            *lost = None;
        }
        *lost = match written.and_then(|()| self.0.write_all(line)) {
            Ok(()) => None,
            Err(error) => {
                let lines = lost.as_ref().map_or(0, |lost| lost.lines) + 1;
                Some(Lost { lines, error: error.to_string() })
            }
        };
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let _ = self.0.flush();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Has room for so many bytes.
    struct Full<'a>(&'a mut Vec<u8>, usize);

    impl Write for Full<'_> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            match self.1.checked_sub(self.0.len()) {
                None | Some(0) => Err(io::ErrorKind::StorageFull.into()),
                Some(room) => self.0.write(&bytes[..bytes.len().min(room)]),
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_is_lost_is_counted_and_told() {
        let mut written = Vec::new();
        for line in ["one\n", "two\n", "three\n"] {
            Log(Full(&mut written, 6)).write_all(line.as_bytes()).unwrap();
        }
        assert!(fault_of_log().is_some());
        // There is room for what is said of them, but not for the line after it.
        let room =
            written.len() + format!("\n2 lines of this log could not be written: {}\n", fault_of_log().unwrap()).len();
        Log(Full(&mut written, room)).write_all(b"lost\n").unwrap();
        Log(Full(&mut written, 1000)).write_all(b"four\n").unwrap();
        let text = String::from_utf8(written).unwrap();
        let (before, after) = text.split_once("\n2 lines of this log could not be written: ").unwrap();
        assert!(before == "one\ntw" && after.ends_with("\nfour\n"), "{text}");
        assert!(after.contains("\n1 lines of this log could not be written: "), "{text}");
        assert_eq!(fault_of_log(), None);
    }
}
