//! Why a wait isn't over yet.

use crate::error::Error;
use std::sync::{Mutex, PoisonError};

/// What a wait has met last: what it says of itself should it time out.
#[derive(Debug, Default)]
pub(super) struct LastCause(Mutex<Option<Cause>>);

#[derive(Debug, Clone)]
struct Cause {
    text: String,
    is_of_connecting: bool,
}

impl LastCause {
    pub(super) fn set(&self, text: String) {
        self.note(Cause { text, is_of_connecting: false });
    }

    /// A try to connect has begun.
    pub(super) fn connecting(&self) {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.get_or_insert_with(|| Cause { text: "SSH hasn't answered".to_owned(), is_of_connecting: true });
    }

    fn note(&self, cause: Cause) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(cause);
    }

    /// What failed, in its first line: evidence is taken anew at the end.
    pub(super) fn failed(&self, error: &Error) {
        let text = error.to_string();
        let text = format!("the last try failed to {}", text.lines().next().unwrap_or_default());
        self.note(Cause { text, is_of_connecting: true });
    }

    pub(super) fn get(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone().map(|cause| cause.text)
    }

    /// Whether no try to connect has come through.
    pub(super) fn is_of_connecting(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).as_ref().is_some_and(|cause| cause.is_of_connecting)
    }
}
