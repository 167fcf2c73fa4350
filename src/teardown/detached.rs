//! Ends that nobody waits for where they began: in a task of a runtime a wait would hold up all others of its thread. They go on by
//! themselves, and are waited for when the process ends.

use super::owned::{Owned, end_all};
use crate::{
    engine,
    error::{Error, ErrorKind},
};
use once_cell::sync::OnceCell;
use std::{
    sync::{Arc, Condvar, Mutex, PoisonError},
    time::Duration,
};

/// How long an end is waited for until EC2 has accepted it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// How many are under way.
static UNDER_WAY: (Mutex<usize>, Condvar) = (Mutex::new(0), Condvar::new());

/// One that is under way, until this is dropped.
pub(crate) struct Detached(());

impl Detached {
    /// From now on the process doesn't end by itself before this one.
    pub(crate) fn new() -> Self {
        static WAITS_AT_EXIT: OnceCell<()> = OnceCell::new();
        WAITS_AT_EXIT.get_or_init(|| {
            // If there is no room for it, the watchdog ends what is left.
            let _ = atexit(wait_for_all);
        });
        *UNDER_WAY.0.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        Self(())
    }
}

impl Drop for Detached {
    fn drop(&mut self) {
        *UNDER_WAY.0.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        UNDER_WAY.1.notify_all();
    }
}

// SAFETY: it is atexit(3) as C declares it, which may be called by any thread at any time.
unsafe extern "C" {
    safe fn atexit(function: extern "C" fn()) -> core::ffi::c_int;
}

/// Called when the process exits, by `main`'s return or by `exit`; the engine's thread is there still.
extern "C" fn wait_for_all() {
    if engine::is_current_thread() {
        // They would never end while it waits.
        return;
    }
    let under_way = UNDER_WAY.0.lock().unwrap_or_else(PoisonError::into_inner);
    let waited = UNDER_WAY.1.wait_timeout_while(under_way, PATIENCE, |under_way| *under_way > 0);
    drop(waited.unwrap_or_else(PoisonError::into_inner));
}

/// Ends something, within the time that anybody waits for it.
pub(crate) async fn end(owned: Arc<dyn Owned>) -> Result<(), Error> {
    tokio::time::timeout(PATIENCE, end_all(vec![owned.clone()])).await.unwrap_or_else(|_| {
        Err(Error::new(ErrorKind::TimedOut, format!("end {owned}"))
            .because(format!("EC2 didn't accept it within {} s", PATIENCE.as_secs()))
            .advise("run `ec2-harness sweep`"))
    })
}
