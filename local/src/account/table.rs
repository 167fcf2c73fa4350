//! A table of one kind of resource, in the order of creation.

use super::ids::Id;
use crate::error::ApiError;
use std::collections::BTreeMap;

/// Resources by id, and in the order of creation: that is the order in which they are described and paged.
#[derive(Debug, Clone)]
pub(super) struct Table<I, R> {
    rows: BTreeMap<u64, (I, R)>,
    numbers: BTreeMap<I, u64>,
    next: u64,
}

impl<I, R> Default for Table<I, R> {
    fn default() -> Self {
        Self { rows: BTreeMap::new(), numbers: BTreeMap::new(), next: 1 }
    }
}

impl<I: Id, R> Table<I, R> {
    pub(super) fn insert(&mut self, id: I, resource: R) {
        let number = *self.numbers.entry(id.clone()).or_insert(self.next);
        self.next += 1;
        self.rows.insert(number, (id, resource));
    }

    pub(super) fn get(&self, id: &I) -> Option<&R> {
        self.rows.get(self.numbers.get(id)?).map(|(_, resource)| resource)
    }

    pub(super) fn get_mut(&mut self, id: &I) -> Option<&mut R> {
        self.rows.get_mut(self.numbers.get(id)?).map(|(_, resource)| resource)
    }

    pub(super) fn remove(&mut self, id: &I) -> Option<R> {
        let number = self.numbers.remove(id)?;
        self.rows.remove(&number).map(|(_, resource)| resource)
    }

    #[cfg(test)]
    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut R> {
        self.rows.values_mut().map(|(_, resource)| resource)
    }

    pub(super) fn contains(&self, id: &I) -> bool {
        self.numbers.contains_key(id)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&I, &R)> {
        self.rows.values().map(|(id, resource)| (id, resource))
    }

    /// Rows with their numbers, from the one after the given number on.
    pub(super) fn after(&self, number: u64) -> impl Iterator<Item = (u64, &I, &R)> {
        self.rows
            .range((std::ops::Bound::Excluded(number), std::ops::Bound::Unbounded))
            .map(|(number, (id, resource))| (*number, id, resource))
    }

    /// The row of a number.
    pub(super) fn at(&self, number: u64) -> Option<(&I, &R)> {
        self.rows.get(&number).map(|(id, resource)| (id, resource))
    }

    /// The row's number.
    pub(super) fn number(&self, id: &I) -> Option<u64> {
        self.numbers.get(id).copied()
    }

    /// Reads ids; each must be well-formed and exist. One error names all that don't.
    pub(super) fn parse_all<'a>(&self, ids: impl IntoIterator<Item = &'a str>) -> Result<Vec<I>, ApiError> {
        let ids = ids.into_iter().map(I::parse).collect::<Result<Vec<_>, _>>()?;
        let missing: Vec<&str> = ids.iter().filter(|id| !self.contains(id)).map(AsRef::as_ref).collect();
        if missing.is_empty() { Ok(ids) } else { Err(ApiError::new(I::NOT_FOUND, I::not_found(&missing))) }
    }

    /// Reads an id; it must be well-formed and exist.
    pub(super) fn parse(&self, id: &str) -> Result<I, ApiError> {
        let id = I::parse(id)?;
        if self.contains(&id) { Ok(id) } else { Err(missing(&id)) }
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
