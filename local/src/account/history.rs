//! What was before a change: who asks a replica that hasn't heard of the change yet is shown that.

use crate::conditions::View;
use std::collections::BTreeMap;
use time::OffsetDateTime;

/// What was before the latest changes, by what has changed.
#[derive(Debug, Clone)]
pub(super) struct History<K, T> {
    before: BTreeMap<K, Before<T>>,
    /// How many changes there were.
    changes: u64,
}

#[derive(Debug, Clone)]
struct Before<T> {
    was: T,
    /// When it was changed; none while the request goes on that does it.
    since: Option<OffsetDateTime>,
    /// Which change it was: ids follow from a secret, and the same seed must mean the same day everywhere.
    change: u64,
}

impl<K, T> Default for History<K, T> {
    fn default() -> Self {
        Self { before: BTreeMap::new(), changes: 0 }
    }
}

impl<K: Ord, T> History<K, T> {
    /// Something is about to change. Who hasn't heard of the change before it yet won't have of this one.
    pub(super) fn keep(&mut self, key: K, was: impl FnOnce() -> T) {
        self.changes += 1;
        let change = self.changes;
        self.before.entry(key).or_insert_with(|| Before { was: was(), since: None, change });
    }

    /// Everybody knows what there is to know of it.
    pub(super) fn forget<Q: Ord + ?Sized>(&mut self, key: &Q)
    where
        K: std::borrow::Borrow<Q>,
    {
        self.before.remove(key);
    }

    /// What it was, if that is all that the replica knows.
    pub(super) fn was<Q: Ord + ?Sized>(&self, key: &Q, view: Option<&View>, kind: &str) -> Option<&T>
    where
        K: std::borrow::Borrow<Q>,
    {
        let Before { was, since, change } = self.before.get(key)?;
        let is_known = view?.knows(&format!("{kind} {change}"), (*since)?);
        (!is_known).then_some(was)
    }

    /// Forgets what every replica knows by now.
    pub(super) fn look(&mut self, view: Option<&View>) {
        if let Some(view) = view {
            self.before.retain(|_, before| before.since.is_none_or(|since| !view.is_settled(since)));
        }
    }

    /// What was changed since the last time was changed at this time; with none, it is known everywhere already.
    pub(super) fn note(&mut self, made: Option<OffsetDateTime>) {
        match made {
            None => self.before.clear(),
            Some(made) => self.before.values_mut().for_each(|before| {
                before.since.get_or_insert(made);
            }),
        }
    }
}
