//! What a version of a launch template holds: what RunInstances would be asked for. It is hardly looked at before a launch.
//!
//! Source: <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/launch-template-restrictions.html>.

use crate::{
    account::request::{invalid, missing},
    error::ApiError,
    wire::{Structure, Value},
};

/// User data, and other texts, at most.
const USER_DATA: usize = 32 * 1024;
const LONGEST: usize = 2048;
/// Of the description of a version. Source:
/// <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateLaunchTemplateVersion.html>.
const DESCRIPTION: usize = 255;

/// Reads the data of a request: it must say something.
pub(super) fn read(input: &Structure) -> Result<Structure, ApiError> {
    let data = input.structure("LaunchTemplateData").filter(|data| !data.is_empty());
    let data = data.ok_or_else(|| missing("LaunchTemplateData"))?;
    for (name, value) in data.members() {
        check(name, value)?;
    }
    Ok(data.clone())
}

/// Sees that nothing is longer than any launch could ask for.
fn check(name: &str, value: &Value) -> Result<(), ApiError> {
    match value {
        Value::String(text) if text.len() > if name == "UserData" { USER_DATA } else { LONGEST } => {
            Err(invalid(format!("The value of the launch template's parameter {name} is too long")))
        }
        Value::List(items) => items.iter().try_for_each(|item| check(name, item)),
        Value::Structure(structure) => structure.members().try_for_each(|(name, value)| check(name, value)),
        _ => Ok(()),
    }
}

/// The description of a version.
pub(super) fn description(input: &Structure) -> Result<Option<String>, ApiError> {
    match input.string("VersionDescription") {
        Some(text) if text.chars().count() > DESCRIPTION => Err(invalid(format!(
            "The description of a launch template's version can have up to {DESCRIPTION} characters"
        ))),
        text => Ok(text.filter(|text| !text.is_empty()).map(str::to_owned)),
    }
}

/// What a new version has of its source and of its own: a parameter of its own takes the place of the source's. Snapshots are the
/// source's alone.
/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateLaunchTemplateVersion.html>.
pub(super) fn derived(source: &Structure, own: &Structure) -> Structure {
    let mut data = Structure::new();
    for (name, value) in source.members() {
        data.set(name.to_owned(), if name == "BlockDeviceMappings" { without_snapshots(value) } else { value.clone() });
    }
    for (name, value) in own.members() {
        data.set(name.to_owned(), value.clone());
    }
    data
}

fn without_snapshots(mappings: &Value) -> Value {
    let Value::List(mappings) = mappings else { return mappings.clone() };
    let strip = |mapping: &Value| match mapping {
        Value::Structure(mapping) => match mapping.structure("Ebs") {
            Some(ebs) => mapping.clone().with("Ebs", without(ebs, &["SnapshotId"])).into(),
            None => mapping.clone().into(),
        },
        other => other.clone(),
    };
    Value::List(mappings.iter().map(strip).collect())
}

/// A structure without some of its members.
pub(super) fn without(structure: &Structure, names: &[&str]) -> Structure {
    let mut rest = Structure::new();
    for (name, value) in structure.members().filter(|(name, _)| !names.contains(name)) {
        rest.set(name.to_owned(), value.clone());
    }
    rest
}
