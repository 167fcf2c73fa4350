//! Launch templates: the resource, and by files how versions are made and shown, what they hold, and what launches and instances
//! have of them.

mod actions;
mod create;
mod data;
mod describe;
mod launch;
mod of_instance;
mod versions;

pub(super) use actions::ACTIONS;

pub(super) use create::{create, create_version};
pub(super) use describe::{describe, describe_versions};
pub(super) use launch::applied;
pub(super) use of_instance::get_data;
pub(super) use versions::{delete_versions, modify};

use super::{
    Context,
    filter::whole_second,
    ids::{Id, LaunchTemplateId},
    region::Region,
    request::{combination, given, invalid, missing},
};
use crate::{
    error::{ApiError, Code},
    wire::Structure,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use time::OffsetDateTime;

/// A launch template.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct LaunchTemplate {
    name: String,
    created: OffsetDateTime,
    default_version: i64,
    /// The number of the version that was made last. It may be gone: no number is given twice.
    last_made: i64,
    versions: BTreeMap<i64, Version>,
    client_token: Option<String>,
    /// The client tokens of what has modified it.
    #[serde(default)]
    modified_by: Vec<String>,
}

/// A version of a launch template.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Version {
    description: Option<String>,
    created: OffsetDateTime,
    data: Structure,
    client_token: Option<String>,
}

/// The words for versions that are known by what they are.
const LATEST: &str = "$Latest";
const DEFAULT: &str = "$Default";

impl LaunchTemplate {
    fn latest(&self) -> i64 {
        self.versions.keys().next_back().copied().unwrap_or_default()
    }

    /// The number of the version of a name: `$Latest`, `$Default` or a number.
    fn number(&self, id: &LaunchTemplateId, name: &str) -> Result<i64, ApiError> {
        match name {
            LATEST => Ok(self.latest()),
            DEFAULT => Ok(self.default_version),
            number => {
                let number = read_number("launchTemplateVersion", number)?;
                if self.versions.contains_key(&number) { Ok(number) } else { Err(no_version(id, number)) }
            }
        }
    }

    fn version(&self, id: &LaunchTemplateId, number: i64) -> Result<&Version, ApiError> {
        self.versions.get(&number).ok_or_else(|| no_version(id, number))
    }
}

/// Reads the number of a version.
fn read_number(parameter: &str, text: &str) -> Result<i64, ApiError> {
    let number = text.parse().ok().filter(|number| *number >= 1 && text.bytes().all(|byte| byte.is_ascii_digit()));
    number.ok_or_else(|| {
        invalid(format!(
            "Value ({text}) for parameter {parameter} is invalid. It must be the number of a version, {LATEST} or {DEFAULT}."
        ))
    })
}

fn no_version(id: &LaunchTemplateId, number: i64) -> ApiError {
    let message = format!("Could not find the specified version {number} for the launch template with ID {id}.");
    ApiError::new(Code::InvalidLaunchTemplateIdVersionNotFound, message)
}

/// The launch template that a request names, by its id or its name.
fn named(region: &Region, input: &Structure) -> Result<LaunchTemplateId, ApiError> {
    find(region, input)?.ok_or_else(|| missing("LaunchTemplateId or LaunchTemplateName"))
}

/// The same, where a request may name none.
fn find(region: &Region, input: &Structure) -> Result<Option<LaunchTemplateId>, ApiError> {
    match (given(input, "LaunchTemplateId"), given(input, "LaunchTemplateName")) {
        (Some(_), Some(_)) => Err(combination(
            "You must specify either the launch template ID or the launch template name, but not both.",
        )),
        (Some(id), None) => region.launch_templates.parse(id).map(Some),
        (None, Some(name)) => {
            let seen = |id: &&LaunchTemplateId| region.launch_templates.sees(id);
            region.template_named(name).filter(seen).cloned().map(Some).ok_or_else(|| {
                let message = format!("The specified launch template, with template name {name}, does not exist.");
                ApiError::new(Code::InvalidLaunchTemplateNameNotFound, message)
            })
        }
        (None, None) => Ok(None),
    }
}

impl Region {
    /// The launch template of a name, whether or not it is seen: names are unique at once.
    fn template_named(&self, name: &str) -> Option<&LaunchTemplateId> {
        self.launch_templates.iter().find(|(_, template)| template.name == name).map(|(id, _)| id)
    }
}

/// Who makes templates: nobody but the account's root user is known here.
fn maker(context: &Context<'_>) -> String {
    format!("arn:aws:iam::{}:root", context.settings.account)
}

fn shown(context: &Context<'_>, id: &LaunchTemplateId, template: &LaunchTemplate) -> Structure {
    Structure::new()
        .with("LaunchTemplateId", id)
        .with("LaunchTemplateName", template.name.as_str())
        .with("CreateTime", whole_second(template.created))
        .with("CreatedBy", maker(context))
        .with("DefaultVersionNumber", template.default_version)
        .with("LatestVersionNumber", template.latest())
        .with("Operator", Structure::new().with("Managed", false))
        .with("Tags", context.region.tags.shown(id))
}

fn shown_version(
    context: &Context<'_>,
    id: &LaunchTemplateId,
    template: &LaunchTemplate,
    (number, version): (i64, &Version),
) -> Structure {
    Structure::new()
        .with("LaunchTemplateId", id)
        .with("LaunchTemplateName", template.name.as_str())
        .with("VersionNumber", number)
        .with_some("VersionDescription", version.description.as_deref())
        .with("CreateTime", whole_second(version.created))
        .with("CreatedBy", maker(context))
        .with("DefaultVersion", number == template.default_version)
        .with("LaunchTemplateData", version.data.clone())
        .with("Operator", Structure::new().with("Managed", false))
}

/// The answer that is one launch template.
fn answer(context: &Context<'_>, id: &LaunchTemplateId) -> Result<Structure, ApiError> {
    let template = context.region.launch_templates.require(id)?;
    Ok(Structure::new().with("LaunchTemplate", shown(context, id, template)))
}

/// Deletes a launch template with all of its versions.
/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DeleteLaunchTemplate.html>.
pub(super) fn delete(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let id = named(context.region, input)?;
    let answer = answer(context, &id)?;
    let region = &mut *context.region;
    if let Some(template) = region.launch_templates.remove(&id) {
        let tokens = &mut region.tokens;
        template.client_token.iter().for_each(|token| tokens.release(create::CREATE, token));
        template.modified_by.iter().for_each(|token| tokens.release(versions::MODIFY, token));
        for token in template.versions.values().filter_map(|version| version.client_token.as_deref()) {
            tokens.release(create::CREATE_VERSION, token);
        }
    }
    region.tags.forget(&id);
    Ok(answer)
}

/// The id of a template that a client token has made.
fn made(id: &str) -> LaunchTemplateId {
    LaunchTemplateId::new(id.to_owned())
}
