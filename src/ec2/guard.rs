//! What every guard does, whatever it guards: within a test it leaves it to the test's end, elsewhere it ends it when it is dropped, and
//! waits for that where it holds up nobody.

use crate::{
    engine,
    error::Error,
    scope::Scope,
    task::{OnDrop, Task},
    teardown::{
        detached::{self, Detached},
        owned::Owned,
        signals,
    },
};
use std::{
    io::{self, Write},
    sync::Arc,
};
use tokio::runtime::Handle;

/// Guards something that we have made.
#[derive(Debug)]
pub(crate) struct Guard<T: Owned + Clone + 'static> {
    owned: T,
    scope: Scope,
    is_armed: bool,
}

impl<T: Owned + Clone + 'static> Guard<T> {
    pub(crate) fn new(owned: T, scope: Scope) -> Self {
        Self { owned, scope, is_armed: true }
    }

    pub(crate) fn owned(&self) -> &T {
        &self.owned
    }

    /// Leaves it beyond its guard; says how. Where it could not even be noted, it ends as ever.
    pub(crate) async fn keep(self) -> Result<String, Error> {
        let kept = self.owned.keep().await;
        if kept.is_ok() || self.owned.identity().is_forgotten() {
            self.disarm();
        }
        kept
    }

    /// The same, and tells at standard error how.
    pub(crate) async fn keep_and_tell(self) -> Result<(), Error> {
        let said = self.keep().await?;
        // Nobody may read it any more.
        let _ = writeln!(io::stderr(), "ec2-harness: {said}");
        Ok(())
    }

    /// Gives up its duty.
    pub(crate) fn disarm(mut self) -> T {
        self.is_armed = false;
        self.owned.clone()
    }
}

impl<T: Owned + Clone + 'static> Drop for Guard<T> {
    fn drop(&mut self) {
        // What has been ended by name needs no second call.
        if !self.is_armed || self.owned.identity().is_forgotten() {
            return;
        }
        if !engine::is_current_thread() {
            signals::give_way();
        }
        let Some(owned) = self.scope.park(Arc::new(self.owned.clone())) else { return };
        owned.identity().mark_ended("when its guard was dropped");
        // On the engine itself waiting would be a deadlock, and in a runtime's task it would hold up the others of its thread.
        let is_detached = engine::is_current_thread() || Handle::try_current().is_ok();
        let detached = is_detached.then(Detached::new);
        let ending = Task::start("end what was guarded", OnDrop::Finish, async move {
            let ended = detached::end(owned).await;
            if detached.is_some()
                && let Err(error) = &ended
            {
                eprintln!("ec2-harness: failed to {error}");
            }
            ended
        });
        if is_detached {
            return;
        }
        if let Err(error) = ending.wait() {
            eprintln!("ec2-harness: failed to {error}");
        }
    }
}
