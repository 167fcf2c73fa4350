//! What is kept beyond the life of the endpoint: how rows are written down and read again.
//!
//! Rows are JSON, by the names of their fields; what EC2 has a name for (an instance type, a zone) is stored by that name.
//! A field that is added must have a default, so that what an older version has written can still be read.

use super::ids::{DhcpOptionsId, Id};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use serde_json::value::{RawValue, to_raw_value};
use std::collections::BTreeMap;

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

/// The rows of these keys, those of them that are gone among them.
pub(super) fn rows<'a, R: Serialize>(
    keys: impl IntoIterator<Item = &'a str>,
    row: impl Fn(&str) -> Option<R>,
) -> Result<Rows, serde_json::Error> {
    keys.into_iter().map(|key| Ok((key.to_owned(), row(key).map(|row| to_raw_value(&row)).transpose()?))).collect()
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
        rows(all.then_some(self.as_ref()), |_| Some(()))
    }

    fn set_stored(&mut self) {}

    fn restore(&mut self, key: &str, _: Option<&RawValue>) -> Result<(), serde_json::Error> {
        *self = Id::parse(key).map_err(Error::custom)?;
        Ok(())
    }
}
