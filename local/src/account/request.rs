//! Helpers to read requests: what is missing, what can't be, what is not served.

use crate::{
    error::{ApiError, Code},
    wire::{Structure, Value},
};
use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

/// An [`Code::InvalidParameterValue`].
pub(super) fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::new(Code::InvalidParameterValue, message)
}

/// An [`Code::InvalidParameterCombination`].
pub(super) fn combination(message: impl Into<String>) -> ApiError {
    ApiError::new(Code::InvalidParameterCombination, message)
}

/// An [`Code::MissingParameter`].
pub(super) fn missing(parameter: &str) -> ApiError {
    ApiError::new(Code::MissingParameter, format!("The request must contain the parameter {parameter}"))
}

/// An [`Code::UnsupportedOperation`]: EC2 could, the local EC2 can't.
pub(super) fn unsupported(what: impl AsRef<str>) -> ApiError {
    ApiError::new(
        Code::UnsupportedOperation,
        format!("{} is not served by the local EC2, though EC2 has it", what.as_ref()),
    )
}

/// Refuses members that are not among those that are served, so that none is silently ignored. `path` names the
/// structure in the message, with a dot at its end; it is empty for the request itself.
pub(super) fn only(structure: &Structure, path: &str, served: &[&str]) -> Result<(), ApiError> {
    match structure.members().find(|(name, value)| !served.contains(name) && !is_nothing(value)) {
        None => Ok(()),
        Some((name, _)) => Err(unsupported(format!("The parameter {path}{name}"))),
    }
}

/// `false`, an empty text, an empty list and an empty structure ask for nothing.
fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Boolean(b) => !b,
        Value::String(text) => text.is_empty(),
        Value::List(list) => list.is_empty(),
        Value::Structure(structure) => structure.members().all(|(_, value)| is_nothing(value)),
        _ => false,
    }
}

/// A string that says something: Terraform and Packer send an empty one for what they have nothing to say of, and EC2 takes
/// it so. Source: <https://github.com/hashicorp/terraform-provider-aws/blob/main/internal/service/ec2/ec2_instance.go>.
pub(super) fn given<'a>(input: &'a Structure, member: &str) -> Option<&'a str> {
    input.string(member).filter(|text| !text.is_empty())
}

/// A string that must be there.
pub(super) fn required<'a>(input: &'a Structure, member: &str) -> Result<&'a str, ApiError> {
    input.string(member).ok_or_else(|| missing(member))
}

/// A list of strings that must have an item.
pub(super) fn required_list<'a>(input: &'a Structure, member: &str) -> Result<Vec<&'a str>, ApiError> {
    let list: Vec<&str> = input.strings(member).collect();
    if list.is_empty() { Err(missing(member.strip_suffix('s').unwrap_or(member))) } else { Ok(list) }
}

/// Refuses more ids than a request may name.
pub(super) fn at_most_a_thousand(ids: &[&str], parameter: &str) -> Result<(), ApiError> {
    match ids.len() {
        ..=1000 => Ok(()),
        count => {
            Err(invalid(format!("{count} values for parameter {parameter} are too many. It may have up to 1000.")))
        }
    }
}

/// A string that must be one of those given, if it is there.
pub(super) fn one_of<'a>(input: &'a Structure, member: &str, known: &[&str]) -> Result<Option<&'a str>, ApiError> {
    match input.string(member) {
        Some(value) if !known.contains(&value) => Err(invalid(format!(
            "Value ({value}) for parameter {} is invalid. Valid values are: {}",
            lower(member),
            known.join(", ")
        ))),
        value => Ok(value),
    }
}

/// A parameter's name as EC2's messages have it.
pub(super) fn lower(member: &str) -> String {
    let mut chars = member.chars();
    chars.next().map(|first| first.to_lowercase().chain(chars).collect()).unwrap_or_default()
}

/// Reads base64, with or without padding and line breaks, as EC2 does.
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    const LENIENT: GeneralPurpose = GeneralPurpose::new(
        &alphabet::STANDARD,
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
    );
    let text: Vec<u8> = text.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    LENIENT.decode(text).ok()
}
