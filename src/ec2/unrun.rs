//! What was prepared and then never run: a test that forgot an `.await` must not pass.

use crate::scope::Scope;
use std::{
    panic::Location,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// Complains when the last of its clones is dropped, unless one of them was run.
#[derive(Debug, Clone)]
pub(super) struct Unrun(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// What it is called, with an article.
    what: &'static str,
    scope: Scope,
    at: &'static Location<'static>,
    has_run: AtomicBool,
}

impl Unrun {
    #[track_caller]
    pub(super) fn new(what: &'static str, scope: Scope) -> Self {
        Self(Arc::new(Inner { what, scope, at: Location::caller(), has_run: AtomicBool::new(false) }))
    }

    /// From here on it runs, whatever becomes of its future.
    pub(super) fn runs(&self) {
        self.0.has_run.store(true, Ordering::Relaxed);
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // A panic has its own story to tell.
        if !*self.has_run.get_mut() && !std::thread::panicking() {
            let (file, line) = (self.at.file(), self.at.line());
            let what = self.what;
            self.scope.complain(format!("{what} at {file}:{line} was never run; put `.await` or `.wait()` behind it"));
        }
    }
}
