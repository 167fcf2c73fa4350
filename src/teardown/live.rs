//! The register of what this process has launched, or is launching, and hasn't ended.

use super::journal::Entry;
use crate::ec2::Machine;
use std::{
    collections::BTreeMap,
    sync::{LazyLock, Mutex, MutexGuard, PoisonError},
};

/// Instances by id, and create calls without an answer yet by client token.
#[derive(Debug, Default)]
struct Register {
    machines: BTreeMap<String, Machine>,
    /// With the connection that sent them.
    launching: BTreeMap<String, crate::ec2::Ec2>,
}

static REGISTER: LazyLock<Mutex<Register>> = LazyLock::new(Mutex::default);

fn register() -> MutexGuard<'static, Register> {
    REGISTER.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An instance that is being made: known here as such until this is dropped, and in the journal until it has ended.
#[derive(Debug)]
pub(crate) struct Launching {
    journaled: Entry,
}

impl Launching {
    pub(crate) fn new(journaled: Entry, ec2: crate::ec2::Ec2) -> Self {
        register().launching.insert(journaled.name().to_owned(), ec2);
        Self { journaled }
    }

    /// What the journal has of it.
    pub(crate) fn journaled(&self) -> &Entry {
        &self.journaled
    }
}

impl Drop for Launching {
    fn drop(&mut self) {
        register().launching.remove(self.journaled.name());
    }
}

/// Notes a machine that we must end.
pub(crate) fn add(machine: &Machine) {
    register().machines.insert(machine.id().to_owned(), machine.clone());
}

/// Forgets a machine: it has ended, or is to be kept.
pub(crate) fn remove(id: &str) {
    register().machines.remove(id);
}

/// All that lives, and all that may come to live.
pub(crate) fn everything() -> (Vec<Machine>, Vec<(String, crate::ec2::Ec2)>) {
    let register = register();
    (
        register.machines.values().cloned().collect(),
        register.launching.iter().map(|(token, ec2)| (token.clone(), ec2.clone())).collect(),
    )
}
