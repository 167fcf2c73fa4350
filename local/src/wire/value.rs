//! Values of the model, between the codec and the account.

use serde::{Deserialize, Serialize, Serializer};
use std::{borrow::Cow, collections::BTreeMap};
use time::OffsetDateTime;

/// A value of one of the model's types.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Value {
    /// A string or an enum.
    String(String),
    /// An integer or a long.
    Integer(i64),
    /// A float or a double.
    Double(f64),
    /// A boolean.
    Boolean(bool),
    /// A point in time, UTC.
    Timestamp(OffsetDateTime),
    /// Bytes; base64 on the wire.
    Blob(Vec<u8>),
    /// A list; absent and empty are the same in EC2's requests.
    List(Vec<Value>),
    /// A structure.
    Structure(Structure),
}

/// A structure of the model: member name to value. A member that isn't set isn't there.
///
/// Sorted by name. A listing of a thousand instances has ten thousand structures, most of them small: a list each is less
/// memory than a tree, and sooner made and gone; and names are the program's own nearly always, so they are not copied.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(from = "BTreeMap<String, Value>")]
pub struct Structure(Vec<(Cow<'static, str>, Value)>);

impl Structure {
    /// A structure without members.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a member, in the manner of a builder.
    #[must_use]
    pub fn with(mut self, member: impl Into<Cow<'static, str>>, value: impl Into<Value>) -> Self {
        self.set(member, value);
        self
    }

    /// Sets a member.
    pub fn set(&mut self, member: impl Into<Cow<'static, str>>, value: impl Into<Value>) {
        let (member, value) = (member.into(), value.into());
        match self.find(&member) {
            Ok(at) => self.0[at].1 = value,
            Err(at) => self.0.insert(at, (member, value)),
        }
    }

    /// Sets a member where there is a value for it.
    #[must_use]
    pub fn with_some(mut self, member: impl Into<Cow<'static, str>>, value: Option<impl Into<Value>>) -> Self {
        if let Some(value) = value {
            self.set(member, value);
        }
        self
    }

    /// A member's value.
    pub fn get(&self, member: &str) -> Option<&Value> {
        self.find(member).ok().map(|at| &self.0[at].1)
    }

    /// Where a member is, or would have to be.
    fn find(&self, member: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(name, _)| name.as_ref().cmp(member))
    }

    /// A member that is a string; `None` if it isn't set.
    pub fn string(&self, member: &str) -> Option<&str> {
        match self.get(member) {
            Some(Value::String(s)) => Some(s),
            _ => None,
        }
    }

    /// A member that is a whole number; `None` if it isn't set.
    pub fn integer(&self, member: &str) -> Option<i64> {
        match self.get(member) {
            Some(Value::Integer(n)) => Some(*n),
            _ => None,
        }
    }

    /// A member that is a boolean; `None` if it isn't set.
    pub fn boolean(&self, member: &str) -> Option<bool> {
        match self.get(member) {
            Some(Value::Boolean(b)) => Some(*b),
            _ => None,
        }
    }

    /// A member that is a structure; `None` if it isn't set.
    pub fn structure(&self, member: &str) -> Option<&Structure> {
        match self.get(member) {
            Some(Value::Structure(s)) => Some(s),
            _ => None,
        }
    }

    /// A member that is a list; empty if it isn't set.
    pub fn list(&self, member: &str) -> &[Value] {
        match self.get(member) {
            Some(Value::List(list)) => list,
            _ => &[],
        }
    }

    /// The strings of a member that is a list of strings.
    pub fn strings(&self, member: &str) -> impl Iterator<Item = &str> {
        self.list(member).iter().filter_map(|value| match value {
            Value::String(s) => Some(s.as_str()),
            _ => None,
        })
    }

    /// The structures of a member that is a list of structures.
    pub fn structures(&self, member: &str) -> impl Iterator<Item = &Structure> {
        self.list(member).iter().filter_map(|value| match value {
            Value::Structure(s) => Some(s),
            _ => None,
        })
    }

    /// All members that are set, in the order of their names.
    pub fn members(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (name.as_ref(), value))
    }

    /// Whether no member is set.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Structure {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.members())
    }
}

impl From<BTreeMap<String, Value>> for Structure {
    fn from(members: BTreeMap<String, Value>) -> Self {
        Self(members.into_iter().map(|(name, value)| (Cow::Owned(name), value)).collect())
    }
}

impl From<&str> for Value {
    fn from(s: &str) -> Self {
        Value::String(s.to_owned())
    }
}

impl From<String> for Value {
    fn from(s: String) -> Self {
        Value::String(s)
    }
}

impl From<&String> for Value {
    fn from(s: &String) -> Self {
        Value::String(s.clone())
    }
}

impl From<i32> for Value {
    fn from(n: i32) -> Self {
        Value::Integer(n.into())
    }
}

impl From<f64> for Value {
    fn from(n: f64) -> Self {
        Value::Double(n)
    }
}

impl From<i64> for Value {
    fn from(n: i64) -> Self {
        Value::Integer(n)
    }
}

impl From<bool> for Value {
    fn from(b: bool) -> Self {
        Value::Boolean(b)
    }
}

impl From<OffsetDateTime> for Value {
    fn from(t: OffsetDateTime) -> Self {
        Value::Timestamp(t)
    }
}

impl From<Structure> for Value {
    fn from(s: Structure) -> Self {
        Value::Structure(s)
    }
}

impl<T: Into<Value>> From<Vec<T>> for Value {
    fn from(list: Vec<T>) -> Self {
        Value::List(list.into_iter().map(Into::into).collect())
    }
}

impl<T: Into<Value>> FromIterator<T> for Value {
    fn from_iter<I: IntoIterator<Item = T>>(iter: I) -> Self {
        Value::List(iter.into_iter().map(Into::into).collect())
    }
}

/// Whether XML 1.0 can represent a character (its production 2, `Char`).
pub(super) fn is_xml(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}
