//! The guard of a machine that we launched.

use super::Machine;
use crate::{
    engine,
    error::{Error, ErrorKind, Failure},
    task::{OnDrop, Task},
    teardown::signals,
};
use std::{ops::Deref, time::Duration};

/// How long a drop waits until EC2 has accepted the end.
const DROP_PATIENCE: Duration = Duration::from_secs(30);

/// A machine that we launched, and that ends with this value: at once outside of a test, after the test's outcome is
/// known within one. A drop waits, for 30 s at most, until EC2 has accepted the end.
///
/// It derefs to [`Machine`], which has all operations; [`machine`](Self::machine) is a handle to pass on.
#[derive(Debug)]
#[must_use = "the machine ends when this is dropped"]
pub struct Instance {
    machine: Machine,
    kept: bool,
}

impl Instance {
    pub(crate) fn new(machine: Machine) -> Self {
        Self { machine, kept: false }
    }

    /// A handle without the duty to end the machine.
    pub fn machine(&self) -> Machine {
        self.machine.clone()
    }

    /// Leaves the machine running beyond this guard and its test. Its lease begins anew: after it, `ec2-harness sweep` ends
    /// the machine.
    ///
    /// # Errors
    ///
    /// EC2 refuses to renew the lease; the machine runs on nevertheless.
    #[track_caller]
    pub fn keep(mut self) -> Result<Machine, Failure> {
        self.kept = true;
        let machine = self.machine.clone();
        let renewed = Task::start("keep an instance", OnDrop::Finish, {
            let machine = machine.clone();
            async move { machine.keep().await }
        });
        eprintln!("ec2-harness: {}", renewed.wait()?);
        Ok(machine)
    }
}

impl Deref for Instance {
    type Target = Machine;

    fn deref(&self) -> &Machine {
        &self.machine
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        if !engine::is_current_thread() {
            signals::give_way();
        }
        let Some(machine) = self.machine.scope().park(self.machine.clone()) else { return };
        machine.mark_ended("when its guard was dropped".into());
        let ending = Task::start("terminate an instance", OnDrop::Finish, async move {
            match tokio::time::timeout(DROP_PATIENCE, Machine::end_all(vec![machine.clone()])).await {
                Ok(result) => result,
                Err(_) => Err(Error::new(ErrorKind::TimedOut, format!("terminate {machine}"))
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
