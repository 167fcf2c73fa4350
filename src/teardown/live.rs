//! The register of what this process has launched, or is launching, and hasn't ended.

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

/// A create call that was sent; known as such until this is dropped.
#[derive(Debug)]
pub(crate) struct Launching(String);

impl Launching {
    pub(crate) fn new(token: String, ec2: crate::ec2::Ec2) -> Self {
        register().launching.insert(token.clone(), ec2);
        Self(token)
    }
}

impl Drop for Launching {
    fn drop(&mut self) {
        register().launching.remove(&self.0);
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
