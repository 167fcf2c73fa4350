//! ModifyLaunchTemplate, DeleteLaunchTemplateVersions.

use super::{answer, create::CREATE_VERSION, made, named, no_version, read_number};
use crate::{
    account::{
        Context,
        request::{invalid, required, required_list},
    },
    error::ApiError,
    wire::Structure,
};

/// The action whose client tokens templates hold.
pub(super) const MODIFY: &str = "ModifyLaunchTemplate";
/// How many versions one request may delete.
const MOST: usize = 200;

/// Says which version is the default one.
/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_ModifyLaunchTemplate.html>.
pub(in crate::account) fn modify(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let token = match context.region.tokens.read(MODIFY, input)? {
        Ok(token) => token,
        Err(id) => return answer(context, &made(id)),
    };
    let id = named(context.region, input)?;
    let number = read_number("defaultVersion", required(input, "DefaultVersion")?)?;
    let template = context.region.launch_templates.require(&id)?;
    template.version(&id, number)?;
    context.region.tokens.remember(MODIFY, token.clone(), input, id.as_ref(), 1);
    let template = context.region.launch_templates.require_mut(&id)?;
    template.default_version = number;
    template.modified_by.extend(token);
    answer(context, &id)
}

/// Deletes versions one by one: what can't be deleted is told about, and no error. The default one stays.
/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DeleteLaunchTemplateVersions.html>.
pub(in crate::account) fn delete_versions(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let id = named(context.region, input)?;
    let names = required_list(input, "Versions")?;
    if names.len() > MOST {
        return Err(invalid(format!("You can delete up to {MOST} launch template versions in a single request.")));
    }
    let numbers = names.into_iter().map(|name| read_number("launchTemplateVersion", name));
    let numbers = numbers.collect::<Result<Vec<i64>, ApiError>>()?;
    let (mut deleted, mut kept) = (Vec::new(), Vec::new());
    for number in numbers {
        let template = context.region.launch_templates.require_mut(&id)?;
        let item = Structure::new()
            .with("LaunchTemplateId", &id)
            .with("LaunchTemplateName", template.name.as_str())
            .with("VersionNumber", number);
        let refusal = if number == template.default_version {
            Some(("unexpectedError", "You can't delete the default version of a launch template.".to_owned()))
        } else if let Some(version) = template.versions.remove(&number) {
            version.client_token.iter().for_each(|token| context.region.tokens.release(CREATE_VERSION, token));
            None
        } else {
            Some(("launchTemplateVersionDoesNotExist", no_version(&id, number).message))
        };
        match refusal {
            None => deleted.push(item),
            Some((code, message)) => {
                let error = Structure::new().with("Code", code).with("Message", message);
                kept.push(item.with("ResponseError", error));
            }
        }
    }
    Ok(Structure::new()
        .with("SuccessfullyDeletedLaunchTemplateVersions", deleted)
        .with("UnsuccessfullyDeletedLaunchTemplateVersions", kept))
}
