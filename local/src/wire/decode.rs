//! Requests: parameters to a [`Structure`], by the model.
//!
//! Lists are flattened, `Name.1`, `Name.2`, also from `Name.0`, and a single element is `Name` alone, too; structures are dotted, `Placement.Tenancy`. Nothing that a request says is
//! ignored: what the model doesn't have is an error, with EC2's code and words as far as they are known.

use super::{
    model::{Kind, Members, Model, Operation, Scalar, Shape, ShapeId, VERSIONS, model},
    query::{self, Parameter},
    value::{Structure, Value, is_xml},
};
use crate::error::{ApiError, Code};
use base64::{Engine, prelude::BASE64_STANDARD};
use std::collections::BTreeMap;
use time::{OffsetDateTime, format_description::well_known::Iso8601};

/// The most parts that a parameter's name may have. The model's deepest has eight.
const MAX_DEPTH: usize = 16;

/// The longest value in bytes. The longest that EC2 takes is user data: 16 KiB, in base64.
const MAX_VALUE: usize = 64 * 1024;

/// A request's query string as the model has it: the action's own name, and the input.
///
/// # Errors
///
/// `MissingAction`, `MissingParameter`, `NoSuchVersion`, `InvalidAction`, `UnsupportedOperation` for an action of EC2's that the model
/// lacks, `UnknownParameter`, `InvalidParameterValue`, `InvalidParameterCombination`, `UnknownVolumeType`, and
/// `MalformedQueryString`.
pub fn decode(query: &[u8]) -> Result<(&'static str, Structure), ApiError> {
    let Decoded { action, input, .. } = decode_parameters(&query::parse(query)?)?;
    Ok((action, input))
}

/// What a request asks for.
#[derive(Debug)]
pub(super) struct Decoded {
    /// The published version of the API that the client speaks.
    pub(super) version: &'static str,
    pub(super) action: &'static str,
    pub(super) input: Structure,
}

/// The same, of parameters that are taken apart already.
pub(super) fn decode_parameters(parameters: &[Parameter]) -> Result<Decoded, ApiError> {
    let (version, operation, input) = split(parameters)?;
    let model = model()?;
    let mut root = Node::default();
    for (name, value) in input {
        root.insert(name, value)?;
    }
    match model.shape(operation.input) {
        Shape::Structure(members) => {
            Ok(Decoded { version, action: operation.name, input: Decoder { model }.structure(members, &root, "")? })
        }
        _ => Err(ApiError::new(Code::InternalError, format!("the input of {} is no structure", operation.name))),
    }
}

/// A published version, the operation that is asked for, and the parameters that are its input.
type Split<'a, I> = (&'static str, &'static Operation, I);

fn split(parameters: &[Parameter]) -> Result<Split<'_, impl Iterator<Item = (&str, &str)>>, ApiError> {
    let named = |wanted: &str| parameters.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str());
    let action = named("Action")
        .filter(|action| !action.is_empty())
        .ok_or_else(|| ApiError::new(Code::MissingAction, "The request must contain the parameter Action"))?;
    let version = named("Version").ok_or_else(|| missing("Version"))?;
    let version = VERSIONS.iter().find(|published| **published == version).ok_or_else(|| {
        let message = format!("The requested version ({}) of service AmazonEC2 does not exist", shown(version));
        ApiError::new(Code::NoSuchVersion, message)
    })?;
    let operation = model()?.operation(action).ok_or_else(|| unserved(action))?;
    for own in ["Action", "Version"] {
        if parameters.iter().filter(|(name, _)| name == own).count() > 1 {
            return Err(twice(own));
        }
    }
    let input = parameters.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    Ok((version, operation, input.filter(|(name, _)| *name != "Action" && *name != "Version")))
}

/// The error about an action that isn't served: one of EC2's own, or none at all.
pub(crate) fn unserved(action: &str) -> ApiError {
    if model().is_ok_and(|model| model.knows(action)) {
        let message = format!("The action {action} isn't served by the local EC2 yet");
        return ApiError::new(Code::UnsupportedOperation, message);
    }
    let message = format!("The action {} is not valid for this web service.", shown(action));
    ApiError::new(Code::InvalidAction, message)
}

/// Parameters by the parts of their names.
#[derive(Debug, Default)]
struct Node<'a> {
    value: Option<&'a str>,
    children: BTreeMap<&'a str, Node<'a>>,
}

impl<'a> Node<'a> {
    fn insert(&mut self, name: &'a str, value: &'a str) -> Result<(), ApiError> {
        let mut node = self;
        for (depth, part) in name.split('.').enumerate() {
            if depth == MAX_DEPTH {
                return Err(unknown(name));
            }
            node = node.children.entry(part).or_default();
        }
        match node.value.replace(value) {
            Some(_) => Err(twice(name)),
            None => Ok(()),
        }
    }
}

#[derive(Clone, Copy)]
struct Decoder {
    model: &'static Model,
}

impl Decoder {
    fn value(self, shape: ShapeId, node: &Node<'_>, path: &str) -> Result<Value, ApiError> {
        let shape = self.model.shape(shape);
        match (shape, node.value) {
            (Shape::Scalar(scalar), Some(text)) => match node.children.keys().next() {
                Some(child) => Err(unknown(&format!("{path}.{child}"))),
                None => self::scalar(scalar, text, path),
            },
            (Shape::Scalar(_), None) => Err(unknown(&deepest(path, node))),
            (Shape::Structure(members), None) => self.structure(members, node, path).map(Value::Structure),
            (Shape::List(element), None) => self.list(element.shape, node, path).map(Value::List),
            // One element, without an index: libcloud and older tools write it so.
            (Shape::List(element), Some(_)) if node.children.is_empty() => {
                Ok(Value::List(vec![self.value(element.shape, node, path)?]))
            }
            (_, Some(_)) => Err(unknown(path)),
        }
    }

    fn structure(self, members: &Members, node: &Node<'_>, path: &str) -> Result<Structure, ApiError> {
        let mut structure = Structure::new();
        for (key, child) in &node.children {
            let path = join(path, key);
            let (member, target) = members.by_query_name(key).ok_or_else(|| unknown(&path))?;
            structure.set(member, self.value(target.shape, child, &path)?);
        }
        for required in &members.required {
            if structure.get(required).is_none() {
                let name = members.get(required).map_or_else(|| (*required).to_owned(), |t| t.query_name(required));
                return Err(missing(&join(path, &name)));
            }
        }
        Ok(structure)
    }

    /// The elements of a list. They count from one or, as libcloud's, from zero, without a gap: so the number of parameters
    /// bounds every index.
    fn list(self, element: ShapeId, node: &Node<'_>, path: &str) -> Result<Vec<Value>, ApiError> {
        let mut children = node
            .children
            .iter()
            .map(|(key, child)| Ok((index(key).ok_or_else(|| unknown(&join(path, key)))?, *key, child)))
            .collect::<Result<Vec<_>, ApiError>>()?;
        children.sort_by_key(|(index, ..)| *index);
        let first = usize::from(children.first().is_some_and(|(index, ..)| *index != 0));
        (first..)
            .zip(children)
            .map(|(expected, (index, key, child))| match expected == index {
                true => self.value(element, child, &join(path, key)),
                false => Err(missing(&join(path, &expected.to_string()))),
            })
            .collect()
    }
}

/// An index of a list: a whole number, written as numbers are.
fn index(key: &str) -> Option<usize> {
    let plain = (key == "0" || !key.starts_with('0')) && key.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| key.parse().ok()).flatten()
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// The name of a parameter that was really sent, below a node that has no value of its own.
fn deepest(path: &str, node: &Node<'_>) -> String {
    match node.children.iter().next() {
        Some((key, child)) => deepest(&join(path, key), child),
        None => path.to_owned(),
    }
}

fn scalar(scalar: &Scalar, text: &str, path: &str) -> Result<Value, ApiError> {
    if text.len() > MAX_VALUE {
        return Err(invalid(text, path, &format!("It is longer than {MAX_VALUE} bytes.")));
    }
    match scalar.kind {
        Kind::String => {
            if !text.chars().all(is_xml) {
                return Err(invalid(text, path, "It contains a character that XML can't represent."));
            }
            if !scalar.allows(text) {
                return Err(not_in_enum(scalar.name, text, path));
            }
            Ok(Value::String(text.to_owned()))
        }
        Kind::Integer => {
            let number = i32::try_from(whole(text, path)?).map_err(|_| not_whole(text, path))?;
            bounded(scalar, number.into(), text, path)
        }
        Kind::Long => bounded(scalar, whole(text, path)?, text, path),
        Kind::Float | Kind::Double => match text.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(Value::Double(number)),
            _ => Err(invalid(text, path, "Expecting a number.")),
        },
        Kind::Boolean => match text.to_ascii_lowercase().as_str() {
            "true" => Ok(Value::Boolean(true)),
            "false" => Ok(Value::Boolean(false)),
            _ => Err(invalid(text, path, "Expecting true or false.")),
        },
        Kind::Timestamp => OffsetDateTime::parse(text, &Iso8601::DEFAULT)
            .map(Value::Timestamp)
            .map_err(|_| invalid(text, path, "Expecting a timestamp of ISO 8601 with its offset.")),
        Kind::Blob => {
            BASE64_STANDARD.decode(text).map(Value::Blob).map_err(|_| invalid(text, path, "Expecting base64."))
        }
    }
}

fn whole(text: &str, path: &str) -> Result<i64, ApiError> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    match text.parse() {
        Ok(number) if digits.bytes().all(|byte| byte.is_ascii_digit()) => Ok(number),
        _ => Err(not_whole(text, path)),
    }
}

fn not_whole(text: &str, path: &str) -> ApiError {
    invalid(text, path, "Expecting a whole number.")
}

fn bounded(scalar: &Scalar, number: i64, text: &str, path: &str) -> Result<Value, ApiError> {
    // EC2's words say "greater than", and "less than", of the first numbers that it accepts.
    match (scalar.min, scalar.max) {
        (Some(min), _) if number < min => Err(out_of_bounds(text, path, "greater", min)),
        (_, Some(max)) if number > max => Err(out_of_bounds(text, path, "less", max)),
        _ => Ok(Value::Integer(number)),
    }
}

fn out_of_bounds(text: &str, path: &str, side: &str, bound: i64) -> ApiError {
    let path = camel(path);
    let message = format!("Value ( {text} ) for parameter {path} is invalid. Expecting a value {side} than {bound}.");
    ApiError::new(Code::InvalidParameterValue, message)
}

fn not_in_enum(shape: &str, text: &str, path: &str) -> ApiError {
    let text = shown(text);
    match shape {
        // DescribeInstanceTypes, whose types are a list.
        "InstanceType" if path.contains('.') => {
            let message = format!("The following supplied instance types do not exist: [{text}]");
            ApiError::new(Code::InvalidInstanceType, message)
        }
        "InstanceType" => {
            ApiError::new(Code::InvalidParameterValue, format!("Invalid value '{text}' for InstanceType."))
        }
        "ResourceType" => {
            ApiError::new(Code::InvalidParameterValue, format!("'{text}' is not a valid taggable resource type."))
        }
        "VolumeType" => {
            ApiError::new(Code::UnknownVolumeType, format!("Unsupported volume type '{text}' for volume creation."))
        }
        _ if shape.ends_with("AttributeName") => invalid(&text, path, "Unknown attribute."),
        _ => ApiError::new(
            Code::InvalidParameterValue,
            format!("Value ({text}) for parameter {} is invalid.", camel(path)),
        ),
    }
}

fn invalid(text: &str, path: &str, why: &str) -> ApiError {
    let message = format!("Value ({}) for parameter {} is invalid. {why}", shown(text), camel(path));
    ApiError::new(Code::InvalidParameterValue, message)
}

fn unknown(path: &str) -> ApiError {
    ApiError::new(Code::UnknownParameter, format!("The parameter {} is not recognized", shown(path)))
}

fn missing(path: &str) -> ApiError {
    ApiError::new(Code::MissingParameter, format!("The request must contain the parameter {path}"))
}

fn twice(path: &str) -> ApiError {
    let message = format!("The parameter {} may only be specified once", shown(path));
    ApiError::new(Code::InvalidParameterCombination, message)
}

/// A parameter's name as EC2 writes it where it speaks of a value: `maxResults`.
fn camel(path: &str) -> String {
    let mut chars = path.chars();
    chars.next().map(|first| first.to_ascii_lowercase()).into_iter().chain(chars).collect()
}

/// What a caller sent, short and printable enough for a message.
fn shown(text: &str) -> String {
    const LONGEST: usize = 200;
    let mut shown: String = text.chars().take(LONGEST).map(|c| if is_xml(c) { c } else { '\u{fffd}' }).collect();
    if text.chars().nth(LONGEST).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests;
