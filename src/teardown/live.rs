//! The register of what this process has made, or is making, and hasn't ended.

use super::{
    journal::Entry,
    owned::{Identity, Owned},
};
use crate::{connection::Connection, resource::Kind};
use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError},
};

#[derive(Default)]
struct Register {
    /// By EC2's word for their kind, and id.
    owned: BTreeMap<(&'static str, String), Arc<dyn Owned>>,
    /// Create calls without an answer yet, by what they are known by.
    making: BTreeMap<String, Making>,
}

/// A create call without an answer yet, and where it was sent.
#[derive(Debug, Clone)]
pub(crate) struct Making {
    pub(crate) entry: Entry,
    pub(crate) connection: Arc<Connection>,
}

static REGISTER: LazyLock<Mutex<Register>> = LazyLock::new(Mutex::default);

fn register() -> MutexGuard<'static, Register> {
    REGISTER.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Something that is being made: known here as such until this is dropped, and in the journal until it has ended.
#[derive(Debug)]
pub(crate) struct Begun {
    journaled: Entry,
}

impl Begun {
    pub(crate) fn new(journaled: Entry, connection: Arc<Connection>) -> Self {
        let making = Making { entry: journaled.clone(), connection };
        register().making.insert(journaled.token().to_owned(), making);
        Self { journaled }
    }

    /// What the journal has of it.
    pub(crate) fn journaled(&self) -> &Entry {
        &self.journaled
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        register().making.remove(self.journaled.token());
    }
}

/// Notes something that we must end.
pub(crate) fn add(owned: Arc<dyn Owned>) {
    let key = (owned.identity().kind.word, owned.identity().id.clone());
    register().owned.insert(key, owned);
}

/// What of that kind and id is known to live.
pub(crate) fn known(kind: &Kind, id: &str) -> Option<Arc<dyn Owned>> {
    register().owned.get(&(kind.word, id.to_owned())).cloned()
}

/// Forgets something: it has ended, or is to be kept.
pub(super) fn remove(identity: &Identity) {
    let removed = register().owned.remove(&(identity.kind.word, identity.id.clone()));
    // Not under the lock: it may be the last to hold on to it.
    drop(removed);
}

/// All that lives.
pub(crate) fn all() -> Vec<Arc<dyn Owned>> {
    register().owned.values().cloned().collect()
}

/// All that lives, and all that may come to live.
pub(super) fn everything() -> (Vec<Arc<dyn Owned>>, Vec<Making>) {
    let register = register();
    (register.owned.values().cloned().collect(), register.making.values().cloned().collect())
}
