//! Why a wait isn't over yet.

use crate::error::Error;
use std::sync::{Mutex, PoisonError};

/// What a wait has met last: what it says of itself should it time out.
#[derive(Debug, Default)]
pub(super) struct LastCause(Mutex<Option<String>>);

impl LastCause {
    pub(super) fn set(&self, cause: String) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(cause);
    }

    /// What failed, in its first line: evidence is taken anew at the end.
    pub(super) fn failed(&self, error: &Error) {
        let text = error.to_string();
        self.set(format!("the last try failed to {}", text.lines().next().unwrap_or_default()));
    }

    pub(super) fn get(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
