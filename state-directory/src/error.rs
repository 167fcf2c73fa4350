//! What can go wrong.

use crate::shown::{shown, shown_path};
use std::{io, path::PathBuf};

/// Why a directory can't be used or removed; fits `failed to {error}`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The kernel refused something.
    #[error("{tried} {}: {source}", shown_path(path))]
    Io {
        /// What was tried.
        tried: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// Somebody else could have made it what it is.
    #[error("use {}: {}", shown_path(path), shown(reason))]
    Unsafe {
        /// What was to be used.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        reason: String,
    },
    /// Something is there that isn't ours.
    #[error("take {} for ours: it has `{}` in it, which isn't", shown_path(directory), shown(entry))]
    Foreign {
        /// Where it is.
        directory: PathBuf,
        /// Its name.
        entry: String,
    },
}

impl Error {
    /// Whether something isn't there.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}
