//! The guard of a machine that we launched.

use crate::ec2::Machine;
use std::ops::Deref;

/// A machine that we launched, and that ends with this value: at once outside of a test, after the test's outcome is
/// known within one.
#[derive(Debug)]
pub struct Instance {
    machine: Option<Machine>,
}

impl Instance {
    pub(crate) fn new(machine: Machine) -> Self {
        Self { machine: Some(machine) }
    }
}

impl Deref for Instance {
    type Target = Machine;

    fn deref(&self) -> &Machine {
        // TODO
        self.machine.as_ref().unwrap()
    }
}
