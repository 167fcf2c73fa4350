//! The source line that a check was written on.

use std::{fmt, panic::Location};

/// Where a check was written; no part of its equality, and not written to files.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Source(Option<&'static Location<'static>>);

impl Source {
    /// The caller's line, through functions that are `#[track_caller]`.
    #[track_caller]
    pub(crate) fn caller() -> Self {
        Self(Some(Location::caller()))
    }
}

impl PartialEq for Source {
    // The same check on two lines is the same check.
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Source {}

impl fmt::Display for Source {
    /// `tests/boot.rs:12: `, or nothing for a check that came from a file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(at) => write!(f, "{}:{}: ", at.file(), at.line()),
            None => Ok(()),
        }
    }
}
