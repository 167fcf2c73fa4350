//! Arbitrary values of the model's shapes, for property tests.

use super::{
    model::{Kind, Scalar, Shape, ShapeId, model},
    value::{Structure, Value},
};
use proptest::prelude::*;
use time::OffsetDateTime;

/// A stream of choices: proptest shrinks it, and where it has run out every choice is the first, so values get small.
#[derive(Debug)]
pub(super) struct Choices(std::vec::IntoIter<u16>);

impl Choices {
    pub(super) fn strategy() -> impl Strategy<Value = Vec<u16>> {
        prop::collection::vec(any::<u16>(), 0..600)
    }

    pub(super) fn new(choices: Vec<u16>) -> Self {
        Self(choices.into_iter())
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::from(self.0.next().unwrap_or(0)) % bound
    }

    /// A structure of this shape. Lists have elements, since an empty one is the same as none in a request.
    pub(super) fn structure(&mut self, shape: ShapeId) -> Structure {
        let Shape::Structure(members) = model().unwrap().shape(shape) else { panic!("no structure") };
        let mut structure = Structure::new();
        for (name, target) in members.iter() {
            if members.required.contains(&name) || self.below(4) == 3 {
                structure.set(name, self.value(target.shape));
            }
        }
        structure
    }

    /// Whether a request can bear the structure: one without any member has no parameter that would tell of it.
    pub(super) fn is_sendable(value: &Value) -> bool {
        match value {
            Value::Structure(structure) => {
                !structure.is_empty() && structure.members().all(|(_, v)| Self::is_sendable(v))
            }
            Value::List(list) => list.iter().all(Self::is_sendable),
            _ => true,
        }
    }

    fn value(&mut self, shape: ShapeId) -> Value {
        match model().unwrap().shape(shape) {
            Shape::Structure(_) => self.structure(shape).into(),
            Shape::List(element) => {
                let count = 1 + self.below(12);
                (0..count).map(|_| self.value(element.shape)).collect()
            }
            Shape::Scalar(scalar) => self.scalar(scalar),
        }
    }

    fn scalar(&mut self, scalar: &Scalar) -> Value {
        match scalar.kind {
            Kind::String if !scalar.values.is_empty() => {
                let at = self.below(scalar.values.len());
                scalar.values[at].into()
            }
            Kind::String => {
                const CHARACTERS: [char; 16] =
                    ['a', 'Z', '0', ' ', '<', '>', '&', '"', '\'', '\r', '\n', '\t', '=', '%', 'é', '\u{1f600}'];
                let length = self.below(10);
                Value::String((0..length).map(|_| CHARACTERS[self.below(CHARACTERS.len())]).collect())
            }
            Kind::Integer | Kind::Long => {
                let edges =
                    if scalar.kind == Kind::Long { [i64::MIN, i64::MAX] } else { [i32::MIN, i32::MAX].map(i64::from) };
                let (min, max) = (scalar.min.unwrap_or(edges[0]), scalar.max.unwrap_or(edges[1]));
                Value::Integer([0, 1, -1, 443, min, max][self.below(6)].clamp(min, max))
            }
            Kind::Float | Kind::Double => Value::Double([0.0, 0.5, -1e9, 1e-3][self.below(4)]),
            Kind::Boolean => Value::Boolean(self.below(2) == 1),
            Kind::Timestamp => {
                let milliseconds = self.below(1 << 16) as i128 * 86_400_123;
                Value::Timestamp(OffsetDateTime::from_unix_timestamp_nanos(milliseconds * 1_000_000).unwrap())
            }
            Kind::Blob => {
                let length = self.below(10);
                Value::Blob((0..length).map(|_| self.below(256) as u8).collect())
            }
        }
    }
}
