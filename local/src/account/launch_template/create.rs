//! CreateLaunchTemplate, CreateLaunchTemplateVersion.

use super::{LaunchTemplate, Version, answer, data, made, named, shown_version};
use crate::{
    account::{Context, ids::LaunchTemplateId, quota, request::required, tags::TagSpecifications},
    error::{ApiError, Code},
    wire::Structure,
};
use std::collections::BTreeMap;

/// The actions whose client tokens templates and versions hold.
pub(super) const CREATE: &str = "CreateLaunchTemplate";
pub(super) const CREATE_VERSION: &str = "CreateLaunchTemplateVersion";

/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateLaunchTemplate.html>.
pub(in crate::account) fn create(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let token = match context.region.tokens.read(CREATE, input)? {
        Ok(token) => token,
        Err(id) => return answer(context, &made(id)),
    };
    let name = required(input, "LaunchTemplateName")?;
    check_name(name)?;
    let (data, description) = (data::read(input)?, data::description(input)?);
    let tags = TagSpecifications::read(input, &["launch-template"])?.of("launch-template");
    if context.region.template_named(name).is_some() {
        let message = "Launch template name already in use.";
        return Err(ApiError::new(Code::InvalidLaunchTemplateNameAlreadyExists, message));
    }
    quota::one_more(
        context.region.launch_templates.len(),
        context.settings.quotas.launch_templates,
        Code::MaxTemplateLimitExceeded,
        "The maximum number of launch templates has been reached.",
    )?;
    let id: LaunchTemplateId = context.shared.source.id();
    context.region.tokens.remember(CREATE, token.clone(), input, id.as_ref(), 1);
    let created = context.now;
    let template = LaunchTemplate {
        name: name.to_owned(),
        created,
        default_version: 1,
        last_made: 1,
        versions: BTreeMap::from([(1, Version { description, created, data, client_token: None })]),
        client_token: token,
        modified_by: Vec::new(),
    };
    context.region.launch_templates.insert(id.clone(), template);
    context.region.tags.set(&id, tags);
    answer(context, &id)
}

fn check_name(name: &str) -> Result<(), ApiError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-().//_".contains(c);
    if (3..=128).contains(&name.len()) && name.chars().all(allowed) {
        return Ok(());
    }
    Err(ApiError::new(
        Code::InvalidLaunchTemplateNameMalformed,
        "A launch template name must be between 3 and 128 characters, and may contain letters, numbers, and the following \
         characters: - ( ) . / _.",
    ))
}

/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateLaunchTemplateVersion.html>.
pub(in crate::account) fn create_version(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let token = match context.region.tokens.read(CREATE_VERSION, input)? {
        Ok(token) => token,
        Err(version) => {
            let (id, number) = version.split_once(' ').unwrap_or((version, ""));
            return answer_version(context, &made(id), number.parse().unwrap_or_default());
        }
    };
    let id = named(context.region, input)?;
    let template = context.region.launch_templates.require(&id)?;
    let (own, description) = (data::read(input)?, data::description(input)?);
    let data = match input.string("SourceVersion") {
        None => own,
        Some(source) => data::derived(&template.version(&id, template.number(&id, source)?)?.data, &own),
    };
    quota::one_more(
        template.versions.len(),
        context.settings.quotas.versions_per_launch_template,
        Code::MaxTemplateVersionLimitExceeded,
        format!("The maximum number of versions of the launch template {id} has been reached."),
    )?;
    let number = template.last_made + 1;
    context.region.tokens.remember(CREATE_VERSION, token.clone(), input, &format!("{id} {number}"), 1);
    let version = Version { description, created: context.now, data, client_token: token };
    let template = context.region.launch_templates.require_mut(&id)?;
    template.last_made = number;
    template.versions.insert(number, version);
    answer_version(context, &id, number)
}

fn answer_version(context: &Context<'_>, id: &LaunchTemplateId, number: i64) -> Result<Structure, ApiError> {
    let template = context.region.launch_templates.require(id)?;
    let version = template.version(id, number)?;
    let shown = shown_version(context, id, template, (number, version));
    Ok(Structure::new().with("LaunchTemplateVersion", shown))
}
