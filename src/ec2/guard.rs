//! What every guard does, whatever it guards: within a test it leaves it to the test's end, elsewhere it ends it when it is dropped.

use crate::{
    engine,
    error::{Error, ErrorKind},
    scope::Scope,
    task::{OnDrop, Task},
    teardown::{
        owned::{Owned, end_all},
        signals,
    },
};
use std::{sync::Arc, time::Duration};

/// How long a drop waits until EC2 has accepted the end.
const DROP_PATIENCE: Duration = Duration::from_secs(30);

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
        let ending = Task::start("end what was guarded", OnDrop::Finish, async move {
            match tokio::time::timeout(DROP_PATIENCE, end_all(vec![owned.clone()])).await {
                Ok(result) => result,
                Err(_) => Err(Error::new(ErrorKind::TimedOut, format!("end {owned}"))
                    .because(format!("EC2 didn't accept it within {} s", DROP_PATIENCE.as_secs()))
                    .advise("run `ec2-harness sweep`")),
            }
        });
        // On the engine itself, waiting would be a deadlock: there it goes on by itself.
        if engine::is_current_thread() {
            return;
        }
        if let Err(error) = ending.wait() {
            eprintln!("ec2-harness: failed to {error}");
        }
    }
}
