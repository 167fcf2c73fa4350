//! The table of the public service model: operations, shapes, and their names on the wire.
//!
//! `local/model/regenerate.py` makes the table; here it is read, once a process. The rules by which names on the wire
//! follow from it are those of botocore's `EC2Serializer` and `EC2QueryParser`.

use crate::error::{ApiError, Code};
use serde::Deserialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

/// The version of EC2's API that is served; the only one that current clients speak.
pub(super) const VERSION: &str = "2016-11-15";

/// The versions that EC2 has published: older clients name the one that they were made for, and read what they know of the
/// answer. Sources: until 2011-07 <https://github.com/garnaat/missingcloud/blob/master/ec2_api_versions.json>, later ones the
/// namespaces in the fixtures of boto, fog, jclouds and the AWS SDKs of their time.
pub(super) const VERSIONS: &[&str] = &[
    "2006-06-26",
    "2006-10-01",
    "2007-01-03",
    "2007-01-19",
    "2007-03-01",
    "2007-08-29",
    "2008-02-01",
    "2008-05-05",
    "2008-08-08",
    "2008-12-01",
    "2009-03-01",
    "2009-04-04",
    "2009-07-15",
    "2009-08-15",
    "2009-10-31",
    "2009-11-30",
    "2010-06-15",
    "2010-08-31",
    "2010-11-15",
    "2011-01-01",
    "2011-02-28",
    "2011-05-15",
    "2011-07-15",
    "2011-11-01",
    "2011-12-15",
    "2012-03-01",
    "2012-04-01",
    "2012-05-01",
    "2012-06-01",
    "2012-06-15",
    "2012-07-20",
    "2012-08-15",
    "2012-10-01",
    "2012-12-01",
    "2013-02-01",
    "2013-06-15",
    "2013-07-15",
    "2013-08-15",
    "2013-10-01",
    "2013-10-15",
    "2014-02-01",
    "2014-05-01",
    "2014-06-15",
    "2014-09-01",
    "2014-10-01",
    "2015-03-01",
    "2015-04-15",
    "2015-10-01",
    "2016-04-01",
    "2016-09-15",
    VERSION,
];

const TABLE: &str = include_str!("../../model/ec2-2016-11-15.json");

static MODEL: LazyLock<Result<Model, String>> = LazyLock::new(Model::read);

/// The whole table, resolved: from one shape to the next is an index.
#[derive(Debug)]
pub(super) struct Model {
    operations: BTreeMap<&'static str, Operation>,
    /// Names of EC2's other actions.
    others: BTreeSet<&'static str>,
    shapes: Vec<Shape>,
}

/// One action: what goes in and what comes out.
#[derive(Debug)]
pub(super) struct Operation {
    /// The action, for example `RunInstances`.
    pub name: &'static str,
    /// The structure of its parameters.
    pub input: ShapeId,
    /// The structure of its result; without one EC2 answers `<return>true</return>`.
    pub output: Option<ShapeId>,
}

/// A shape's place in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ShapeId(usize);

/// What a value may be.
#[derive(Debug)]
pub(super) enum Shape {
    /// Members by name.
    Structure(Members),
    /// Any number of the same.
    List(Target),
    /// A single value.
    Scalar(Scalar),
}

/// The members of a structure.
#[derive(Debug)]
pub(super) struct Members {
    /// The members that a request must set.
    pub required: Vec<&'static str>,
    targets: BTreeMap<&'static str, Target>,
}

/// A member of a structure, or the element of a list: its shape, and its names.
#[derive(Debug)]
pub(super) struct Target {
    /// What its value may be.
    pub shape: ShapeId,
    location_name: Option<&'static str>,
    query_name: Option<&'static str>,
}

/// A single value's type and limits.
#[derive(Debug)]
pub(super) struct Scalar {
    /// The shape's name in the model, or that of its type where it has no limits.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// The strings that it may be, sorted; any, where there are none.
    pub values: Vec<&'static str>,
    /// The smallest number that it may be.
    pub min: Option<i64>,
    /// The largest number that it may be.
    pub max: Option<i64>,
}

/// The types of single values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    /// Text.
    String,
    /// A whole number of 32 bits.
    Integer,
    /// A whole number of 64 bits.
    Long,
    /// A floating-point number of 32 bits.
    Float,
    /// A floating-point number of 64 bits.
    Double,
    /// `true` or `false`.
    Boolean,
    /// A point in time, ISO 8601.
    Timestamp,
    /// Bytes, as base64.
    Blob,
}

impl Kind {
    const ALL: [(&'static str, Kind); 8] = [
        ("string", Kind::String),
        ("integer", Kind::Integer),
        ("long", Kind::Long),
        ("float", Kind::Float),
        ("double", Kind::Double),
        ("boolean", Kind::Boolean),
        ("timestamp", Kind::Timestamp),
        ("blob", Kind::Blob),
    ];
}

/// The table, read at the first call.
///
/// # Errors
///
/// `InternalError` where the table can't be read, which is a bug of this crate.
pub(super) fn model() -> Result<&'static Model, ApiError> {
    MODEL.as_ref().map_err(|error| ApiError::new(Code::InternalError, format!("the service model is broken: {error}")))
}

impl Model {
    /// An action by its name.
    pub(super) fn operation(&self, action: &str) -> Option<&Operation> {
        self.operations.get(action)
    }

    /// Whether EC2 has an action of this name, in the table or not.
    pub(super) fn knows(&self, action: &str) -> bool {
        self.operations.contains_key(action) || self.others.contains(action)
    }

    /// The names of all of EC2's actions.
    pub(super) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.operations.keys().chain(&self.others).copied()
    }

    /// All actions, in the order of their names.
    #[cfg(test)]
    pub(super) fn operations(&self) -> impl Iterator<Item = &Operation> {
        self.operations.values()
    }

    /// What stands at a place of the table.
    pub(super) fn shape(&self, id: ShapeId) -> &Shape {
        // Every id was made by `read`, for this table.
        &self.shapes[id.0]
    }

    fn read() -> Result<Self, String> {
        let table: Table = serde_json::from_str(TABLE).map_err(|error| error.to_string())?;
        if table.version != VERSION {
            return Err(format!("the table is of version {}", table.version));
        }
        let names: Vec<&str> = table.shapes.keys().copied().collect();
        let place = |name: &str| {
            let scalar = Kind::ALL.iter().position(|(kind, _)| *kind == name);
            scalar
                .or_else(|| names.binary_search(&name).ok().map(|index| Kind::ALL.len() + index))
                .map(ShapeId)
                .ok_or_else(|| format!("no shape {name}"))
        };
        let mut shapes: Vec<Shape> =
            Kind::ALL.iter().map(|&(name, kind)| Shape::Scalar(Scalar::any(name, kind))).collect();
        for (name, row) in table.shapes {
            shapes.push(row.resolve(name, &place)?);
        }
        let operations = table
            .operations
            .into_iter()
            .map(|(name, ends)| {
                let output = ends.output.map(&place).transpose()?;
                Ok((name, Operation { name, input: place(ends.input)?, output }))
            })
            .collect::<Result<_, String>>()?;
        Ok(Self { operations, others: table.others, shapes })
    }
}

impl Members {
    /// A member by its name in the model.
    pub(super) fn get(&self, member: &str) -> Option<&Target> {
        self.targets.get(member)
    }

    /// A member by its name in a request, with its name in the model.
    pub(super) fn by_query_name(&self, key: &str) -> Option<(&'static str, &Target)> {
        self.iter().find(|(member, target)| target.is_queried_as(member, key))
    }

    /// All members, by name.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&'static str, &Target)> {
        self.targets.iter().map(|(name, target)| (*name, target))
    }
}

impl Target {
    /// The member's name in a request: `queryName`, else `locationName` with a capital, else its own.
    pub(super) fn query_name(&self, member: &str) -> String {
        match (self.query_name, self.location_name) {
            (Some(name), _) => name.to_owned(),
            (None, name) => capital(name.unwrap_or(member)).collect(),
        }
    }

    fn is_queried_as(&self, member: &str, key: &str) -> bool {
        match (self.query_name, self.location_name) {
            (Some(name), _) => name == key,
            (None, name) => capital(name.unwrap_or(member)).eq(key.chars()),
        }
    }

    /// The member's name in an answer: `locationName`, else its own.
    pub(super) fn answer_name<'a>(&self, member: &'a str) -> &'a str {
        self.location_name.unwrap_or(member)
    }

    /// The name of a list's elements in an answer.
    pub(super) fn element_name(&self) -> &'static str {
        // Smithy's default is `member`, which matters to the one list of our answers that names nothing.
        self.location_name.unwrap_or("member")
    }
}

fn capital(name: &str) -> impl Iterator<Item = char> {
    name.chars().enumerate().map(|(at, c)| if at == 0 { c.to_ascii_uppercase() } else { c })
}

impl Scalar {
    fn any(name: &'static str, kind: Kind) -> Self {
        Self { name, kind, values: Vec::new(), min: None, max: None }
    }

    /// Whether it may be this string.
    pub(super) fn allows(&self, text: &str) -> bool {
        self.values.is_empty() || self.values.binary_search(&text).is_ok()
    }
}

/// The table as it is written, borrowed from the text.
#[derive(Deserialize)]
struct Table {
    version: &'static str,
    #[serde(borrow)]
    operations: BTreeMap<&'static str, Ends>,
    /// The actions of EC2 that the table has no shapes of.
    others: BTreeSet<&'static str>,
    shapes: BTreeMap<&'static str, Row>,
}

#[derive(Deserialize)]
struct Ends {
    input: &'static str,
    output: Option<&'static str>,
}

/// A shape's row: a structure has `members`, a list has `list`, anything else a `type`.
#[derive(Deserialize)]
struct Row {
    #[serde(borrow)]
    members: Option<BTreeMap<&'static str, RowTarget>>,
    #[serde(default)]
    required: Vec<&'static str>,
    list: Option<RowTarget>,
    r#type: Option<Kind>,
    #[serde(default)]
    r#enum: Vec<&'static str>,
    min: Option<i64>,
    max: Option<i64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RowTarget {
    shape: &'static str,
    location_name: Option<&'static str>,
    query_name: Option<&'static str>,
}

impl Row {
    fn resolve(self, name: &'static str, place: &impl Fn(&str) -> Result<ShapeId, String>) -> Result<Shape, String> {
        let target = |row: RowTarget| {
            let shape = place(row.shape)?;
            Ok::<_, String>(Target { shape, location_name: row.location_name, query_name: row.query_name })
        };
        match (self.members, self.list, self.r#type) {
            (Some(members), None, None) => {
                let targets = members.into_iter().map(|(name, row)| Ok((name, target(row)?)));
                Ok(Shape::Structure(Members {
                    required: self.required,
                    targets: targets.collect::<Result<_, String>>()?,
                }))
            }
            (None, Some(element), None) => Ok(Shape::List(target(element)?)),
            (None, None, Some(kind)) => {
                Ok(Shape::Scalar(Scalar { name, kind, values: self.r#enum, min: self.min, max: self.max }))
            }
            _ => Err(format!("shape {name} is not one of structure, list and scalar")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_whole() {
        let model = model().unwrap();
        for operation in model.operations() {
            for id in [Some(operation.input), operation.output].into_iter().flatten() {
                let Shape::Structure(members) = model.shape(id) else { panic!("{} has no structure", operation.name) };
                for required in &members.required {
                    assert!(members.get(required).is_some(), "{} lacks {required}", operation.name);
                }
            }
        }
        for action in ["RunInstances", "DescribeSecurityGroupRules", "CreateReplaceRootVolumeTask", "CreateDefaultVpc"]
        {
            assert_eq!(model.operation(action).unwrap().name, action);
        }
        assert!(model.operation("runInstances").is_none());
    }

    #[test]
    fn enums_are_sorted_to_be_searched() {
        let mut enums = 0;
        for shape in &model().unwrap().shapes {
            let Shape::Scalar(scalar) = shape else { continue };
            assert!(scalar.values.is_sorted(), "{}", scalar.name);
            enums += usize::from(!scalar.values.is_empty());
        }
        assert!(enums > 100);
    }

    #[test]
    fn no_two_members_share_a_name_on_the_wire() {
        for shape in &model().unwrap().shapes {
            let Shape::Structure(members) = shape else { continue };
            let mut queried: Vec<_> = members.iter().map(|(name, target)| target.query_name(name)).collect();
            let count = queried.len();
            queried.sort();
            queried.dedup();
            assert_eq!(queried.len(), count, "{queried:?}");
            for (name, target) in members.iter() {
                let (found, _) = members.by_query_name(&target.query_name(name)).unwrap();
                assert_eq!(found, name);
            }
        }
    }
}
