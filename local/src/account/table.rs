//! A table of one kind of resource, in the order of creation.
//!
//! What a request names or lists is looked up as the replica that answers it knows it; what the account itself looks up is
//! always there.

use super::{
    history::History,
    ids::Id,
    stored::{Changes, Rows, Stored},
};
use crate::{conditions::View, error::ApiError};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use time::OffsetDateTime;

/// Resources by id, and in the order of creation: that is the order in which they are described and paged.
#[derive(Debug, Clone)]
pub(super) struct Table<I, R> {
    rows: BTreeMap<u64, (I, R)>,
    numbers: BTreeMap<I, u64>,
    next: u64,
    /// When the rows were made that some replica may not know yet.
    fresh: BTreeMap<u64, OffsetDateTime>,
    /// Rows below this number were looked at for being fresh.
    noted: u64,
    /// What rows were that some replica may still show as they were.
    history: History<u64, R>,
    /// What the replica knows that answers the present request.
    view: Option<View>,
    changes: Changes<I>,
}

impl<I, R> Default for Table<I, R> {
    fn default() -> Self {
        Self {
            rows: BTreeMap::new(),
            numbers: BTreeMap::new(),
            next: 1,
            fresh: BTreeMap::new(),
            noted: 1,
            history: History::default(),
            view: None,
            changes: Changes::default(),
        }
    }
}

impl<I: Id, R> Table<I, R> {
    pub(super) fn insert(&mut self, id: I, resource: R) {
        self.changes.note(id.clone());
        let number = *self.numbers.entry(id.clone()).or_insert(self.next);
        self.next += 1;
        self.rows.insert(number, (id, resource));
    }

    pub(super) fn get(&self, id: &I) -> Option<&R> {
        self.rows.get(self.numbers.get(id)?).map(|(_, resource)| resource)
    }

    pub(super) fn get_mut(&mut self, id: &I) -> Option<&mut R> {
        let (_, resource) = self.rows.get_mut(self.numbers.get(id)?)?;
        self.changes.note(id.clone());
        Some(resource)
    }

    /// Changes what is not stored of a resource.
    pub(super) fn derive(&mut self, id: &I, change: impl FnOnce(&mut R)) {
        if let Some((_, resource)) = self.numbers.get(id).and_then(|number| self.rows.get_mut(number)) {
            change(resource);
        }
    }

    pub(super) fn remove(&mut self, id: &I) -> Option<R> {
        let number = self.numbers.remove(id)?;
        self.changes.note(id.clone());
        self.fresh.remove(&number);
        self.history.forget(&number);
        self.rows.remove(&number).map(|(_, resource)| resource)
    }

    /// A row is about to change, and replicas that hear of it late will show it as it is now.
    pub(super) fn keep(&mut self, id: &I)
    where
        R: Clone,
    {
        if let Some((number, (_, resource))) = self.number(id).and_then(|number| self.rows.get_key_value(&number)) {
            self.history.keep(*number, || resource.clone());
        }
    }

    /// From now on every replica shows the row as it is.
    pub(super) fn agree(&mut self, id: &I) {
        if let Some(number) = self.number(id) {
            self.history.forget(&number);
        }
    }

    #[cfg(test)]
    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut R> {
        self.rows.values_mut().map(|(_, resource)| resource)
    }

    pub(super) fn contains(&self, id: &I) -> bool {
        self.numbers.contains_key(id)
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&I, &R)> {
        self.rows.values().map(|(id, resource)| (id, resource))
    }

    /// Whether the replica that answers the present request knows of an id.
    pub(super) fn sees(&self, id: &I) -> bool {
        self.number(id).is_some_and(|number| self.sees_row(number))
    }

    fn sees_row(&self, number: u64) -> bool {
        match (&self.view, self.fresh.get(&number)) {
            // By kind and number: the id follows from a secret, and the same seed must mean the same day everywhere.
            (Some(view), Some(since)) => view.knows(&format!("{} {number}", I::PREFIX), *since),
            _ => true,
        }
    }

    /// A row as the replica shows it that answers the present request.
    fn seen<'a>(&'a self, number: u64, (id, resource): &'a (I, R)) -> (&'a I, &'a R) {
        (id, self.history.was(&number, self.view.as_ref(), I::PREFIX).unwrap_or(resource))
    }

    /// Rows with their numbers, from the one after the given number on, as far as they are seen, and as they are.
    pub(super) fn after(&self, number: u64) -> impl Iterator<Item = (u64, &I, &R)> {
        self.rows
            .range((std::ops::Bound::Excluded(number), std::ops::Bound::Unbounded))
            .filter(|(number, _)| self.sees_row(**number))
            .map(|(number, row)| {
                let (id, resource) = self.seen(*number, row);
                (*number, id, resource)
            })
    }

    /// The row of a number, as it is seen.
    pub(super) fn at(&self, number: u64) -> Option<(&I, &R)> {
        self.rows.get(&number).map(|row| self.seen(number, row))
    }

    /// The row's number.
    pub(super) fn number(&self, id: &I) -> Option<u64> {
        self.numbers.get(id).copied()
    }

    /// Reads ids; each must be well-formed, exist, and be seen. One error names all that don't.
    pub(super) fn parse_all<'a>(&self, ids: impl IntoIterator<Item = &'a str>) -> Result<Vec<I>, ApiError> {
        let ids = ids.into_iter().map(I::parse).collect::<Result<Vec<_>, _>>()?;
        let missing: Vec<&str> = ids.iter().filter(|id| !self.sees(id)).map(AsRef::as_ref).collect();
        if missing.is_empty() { Ok(ids) } else { Err(ApiError::new(I::NOT_FOUND, I::not_found(&missing))) }
    }

    /// Reads an id; it must be well-formed, exist, and be seen.
    pub(super) fn parse(&self, id: &str) -> Result<I, ApiError> {
        let id = I::parse(id)?;
        if self.sees(&id) { Ok(id) } else { Err(missing(&id)) }
    }

    /// The resource of an id.
    pub(super) fn require(&self, id: &I) -> Result<&R, ApiError> {
        self.get(id).ok_or_else(|| missing(id))
    }

    /// The resource of an id, to be changed.
    pub(super) fn require_mut(&mut self, id: &I) -> Result<&mut R, ApiError> {
        self.get_mut(id).ok_or_else(|| missing(id))
    }
}

fn missing<I: Id>(id: &I) -> ApiError {
    ApiError::new(I::NOT_FOUND, I::not_found(&[id.as_ref()]))
}

/// What isn't known everywhere at once.
pub(super) trait Eventual {
    /// From now on, look-ups answer what a replica knows; with none, all that there is.
    fn look(&mut self, view: Option<View>);

    /// What was made since the last time was made at this time; with none, it is known everywhere already.
    fn note(&mut self, made: Option<OffsetDateTime>);
}

impl<I: Id, R> Eventual for Table<I, R> {
    fn look(&mut self, view: Option<View>) {
        if let Some(view) = &view {
            self.fresh.retain(|_, since| !view.is_settled(*since));
        }
        self.history.look(view.as_ref());
        self.view = view;
    }

    fn note(&mut self, made: Option<OffsetDateTime>) {
        self.history.note(made);
        let since = std::mem::replace(&mut self.noted, self.next);
        if let Some(made) = made {
            self.fresh.extend(self.rows.range(since..).map(|(number, _)| (*number, made)));
        }
    }
}

/// A row is stored with its number.
impl<I: Id, R: Serialize + DeserializeOwned> Stored for Table<I, R> {
    fn is_stored(&self) -> bool {
        self.changes.is_empty()
    }

    fn rows(&self, all: bool) -> Result<Rows, serde_json::Error> {
        self.changes.rows(all.then(|| self.numbers.keys()), |id| {
            let number = self.numbers.get(id)?;
            self.rows.get(number).map(|(_, resource)| (number, resource))
        })
    }

    fn set_stored(&mut self) {
        self.changes.take();
    }

    fn restore(&mut self, key: &str, row: Option<&RawValue>) -> Result<(), serde_json::Error> {
        let id = I::parse(key).map_err(serde::de::Error::custom)?;
        match row {
            Some(row) => {
                let (number, resource) = serde_json::from_str(row.get())?;
                self.next = self.next.max(number + 1);
                self.numbers.insert(id.clone(), number);
                self.rows.insert(number, (id, resource));
            }
            None => drop(self.remove(&id)),
        }
        self.changes.take();
        Ok(())
    }
}
