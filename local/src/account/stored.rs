//! What is kept beyond the life of the endpoint: how rows are written down and read again.
//!
//! Rows are JSON, by the names of their fields; what EC2 has a name for (an instance type, a zone) is stored by that name.
//! A field that is added must have a default, so that what an older version has written can still be read.

use super::ids::{DhcpOptionsId, Id};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{DeserializeOwned, Error},
};
use serde_json::value::{RawValue, to_raw_value};
use std::collections::{BTreeMap, BTreeSet};

/// Rows by their keys; none for one that is gone.
pub(super) type Rows = BTreeMap<String, Option<Box<RawValue>>>;

/// A collection of rows that knows which of them have changed since they were last stored.
pub(super) trait Stored {
    /// Whether nothing has changed.
    fn is_stored(&self) -> bool;

    /// The rows that have changed, or all.
    fn rows(&self, all: bool) -> Result<Rows, serde_json::Error>;

    /// Nothing has changed, from now on.
    fn set_stored(&mut self);

    /// Takes a row from where it was stored; none is one that was gone then.
    fn restore(&mut self, key: &str, row: Option<&RawValue>) -> Result<(), serde_json::Error>;
}

/// Which rows may have changed since they were last stored, by their keys.
#[derive(Debug, Clone)]
pub(super) struct Changes<K>(BTreeSet<K>);

impl<K> Default for Changes<K> {
    fn default() -> Self {
        Self(BTreeSet::new())
    }
}

impl<K: Ord + AsRef<str>> Changes<K> {
    /// A row has come, gone, or may be another.
    pub(super) fn note(&mut self, key: impl Into<K>) {
        self.0.insert(key.into());
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All is stored now; what was not, until now.
    pub(super) fn take(&mut self) -> BTreeSet<K> {
        std::mem::take(&mut self.0)
    }

    /// The rows that have changed, those that are gone among them; with `all`, the rows of all these keys.
    pub(super) fn rows<'a, R: Serialize>(
        &'a self,
        all: Option<impl Iterator<Item = &'a K>>,
        row: impl Fn(&K) -> Option<R>,
    ) -> Result<Rows, serde_json::Error>
    where
        K: 'a,
    {
        let row = |key: &K| {
            let row = row(key).map(|row| to_raw_value(&row)).transpose()?;
            Ok((key.as_ref().to_owned(), row))
        };
        match all {
            Some(keys) => keys.map(row).collect(),
            None => self.0.iter().map(row).collect(),
        }
    }
}

/// Values by key, each of which is a row.
#[derive(Debug, Clone)]
pub(super) struct Kept<V> {
    values: BTreeMap<String, V>,
    changes: Changes<String>,
}

impl<V> Default for Kept<V> {
    fn default() -> Self {
        Self { values: BTreeMap::new(), changes: Changes::default() }
    }
}

impl<V> Kept<V> {
    pub(super) fn get(&self, key: &str) -> Option<&V> {
        self.values.get(key)
    }

    pub(super) fn get_mut(&mut self, key: &str) -> Option<&mut V> {
        let value = self.values.get_mut(key)?;
        self.changes.note(key);
        Some(value)
    }

    /// The value of a key, to be changed; a default one where there is none.
    pub(super) fn entry(&mut self, key: &str) -> &mut V
    where
        V: Default,
    {
        self.changes.note(key);
        self.values.entry(key.to_owned()).or_default()
    }

    pub(super) fn insert(&mut self, key: &str, value: V) {
        self.changes.note(key);
        self.values.insert(key.to_owned(), value);
    }

    pub(super) fn remove(&mut self, key: &str) {
        if self.values.remove(key).is_some() {
            self.changes.note(key);
        }
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        self.values.keys().map(String::as_str)
    }
}

impl<V: Serialize + DeserializeOwned> Stored for Kept<V> {
    fn is_stored(&self) -> bool {
        self.changes.is_empty()
    }

    fn rows(&self, all: bool) -> Result<Rows, serde_json::Error> {
        self.changes.rows(all.then(|| self.values.keys()), |key| self.values.get(key))
    }

    fn set_stored(&mut self) {
        self.changes.take();
    }

    fn restore(&mut self, key: &str, row: Option<&RawValue>) -> Result<(), serde_json::Error> {
        match row {
            Some(row) => drop(self.values.insert(key.to_owned(), serde_json::from_str(row.get())?)),
            None => drop(self.values.remove(key)),
        }
        Ok(())
    }
}

/// Reads what is stored by its name.
pub(super) fn by_name<'de, D: Deserializer<'de>, T>(
    deserializer: D,
    what: &str,
    find: impl FnOnce(&str) -> Option<T>,
) -> Result<T, D::Error> {
    let name = String::deserialize(deserializer)?;
    find(&name).ok_or_else(|| D::Error::custom(format!("there is no {what} `{name}`")))
}

/// Bytes as base64, where there are any.
pub(super) mod base64 {
    use super::*;
    use ::base64::{Engine, engine::general_purpose::STANDARD};

    pub(in crate::account) fn serialize<S: Serializer>(bytes: &Option<Vec<u8>>, to: S) -> Result<S::Ok, S::Error> {
        bytes.as_ref().map(|bytes| STANDARD.encode(bytes)).serialize(to)
    }

    pub(in crate::account) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Vec<u8>>, D::Error> {
        let text = Option::<String>::deserialize(from)?;
        text.map(|text| STANDARD.decode(text)).transpose().map_err(D::Error::custom)
    }
}

/// A region's set of DHCP options, which never changes: its id is the key, and there is nothing more to it.
impl Stored for DhcpOptionsId {
    fn is_stored(&self) -> bool {
        true
    }

    fn rows(&self, all: bool) -> Result<Rows, serde_json::Error> {
        Ok(all.then(|| (self.as_ref().to_owned(), Some(RawValue::NULL.to_owned()))).into_iter().collect())
    }

    fn set_stored(&mut self) {}

    fn restore(&mut self, key: &str, _: Option<&RawValue>) -> Result<(), serde_json::Error> {
        *self = Id::parse(key).map_err(Error::custom)?;
        Ok(())
    }
}
