//! The guard of a machine that we launched.

use super::{Machine, guard::Guard};
use crate::task::{OnDrop, Operation};
use std::ops::Deref;

/// A machine that we launched, and that ends with this value: at once outside of a test, after the test's outcome is
/// known within one. A drop waits, for 30 s at most, until EC2 has accepted the end; in a Tokio runtime, whose other tasks that would
/// hold up, the end of the process waits for it instead.
///
/// It derefs to [`Machine`], which has all operations; [`machine`](Self::machine) is a handle to pass on.
#[derive(Debug)]
#[must_use = "the machine ends when this is dropped"]
pub struct Instance(Guard<Machine>);

impl Instance {
    pub(crate) fn new(machine: Machine) -> Self {
        let scope = machine.scope().clone();
        Self(Guard::new(machine, scope))
    }

    /// A handle without the duty to end the machine.
    pub fn machine(&self) -> Machine {
        self.0.owned().clone()
    }

    /// Leaves the machine running beyond this guard and its test, and prints how to log in. Its lease begins anew: after it,
    /// `ec2-harness sweep` ends the machine. The public addresses of interfaces that were added to it are kept, too. It ends with this value, as ever, if the operation is dropped before it was begun.
    ///
    /// # Errors
    ///
    /// EC2 refuses to renew the lease: the machine runs on nevertheless. Or it can't be noted here that it is kept: then it ends.
    pub fn keep(self) -> Operation<Machine> {
        Operation::new("keep an instance", OnDrop::Finish, async move {
            let machine = self.machine();
            self.0.keep_and_tell().await?;
            Ok(machine)
        })
    }
}

impl Deref for Instance {
    type Target = Machine;

    fn deref(&self) -> &Machine {
        self.0.owned()
    }
}
