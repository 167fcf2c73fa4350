//! DescribeNetworkInterfaceAttribute, ModifyNetworkInterfaceAttribute, ResetNetworkInterfaceAttribute.

use super::{create::description, give_public_address, release_public_address};
use crate::{
    account::{
        Context,
        ids::NetworkInterfaceId,
        instance::{State, groups},
        request::{combination, invalid, missing, one_of, only, required},
    },
    error::{ApiError, Code},
    wire::Structure,
};

/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeNetworkInterfaceAttribute.html>.
pub(in crate::account) fn describe(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let region = &*context.region;
    let id = region.network_interfaces.parse(required(input, "NetworkInterfaceId")?)?;
    let interface = region.network_interfaces.require(&id)?;
    let answer = Structure::new().with("NetworkInterfaceId", &id);
    Ok(match required(input, "Attribute")? {
        "associatePublicIpAddress" => answer.with("AssociatePublicIpAddress", interface.associate_public),
        "attachment" => {
            let attachment = interface.attachment.as_ref();
            answer.with_some("Attachment", attachment.map(|it| it.described(context.settings, context.now)))
        }
        "description" => answer.with("Description", Structure::new().with("Value", interface.description.as_str())),
        "groupSet" => answer.with("Groups", region.group_identifiers(&interface.groups)),
        "sourceDestCheck" => {
            answer.with("SourceDestCheck", Structure::new().with("Value", interface.source_dest_check))
        }
        other => {
            return Err(invalid(format!("Value ({other}) for parameter attribute is invalid. Unknown attribute.")));
        }
    })
}

/// Changes one attribute.
/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_ModifyNetworkInterfaceAttribute.html>.
pub(in crate::account) fn modify(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let id = super::own(context.region, required(input, "NetworkInterfaceId")?)?;
    let attributes = ["AssociatePublicIpAddress", "Attachment", "Description", "Groups", "SourceDestCheck"];
    let changed: Vec<&str> = attributes.into_iter().filter(|member| input.get(member).is_some()).collect();
    let &[attribute] = changed.as_slice() else {
        return Err(combination(match changed.as_slice() {
            [] => "No attributes specified.",
            _ => "Fields for multiple attribute types specified",
        }));
    };
    let value = || input.structure(attribute).ok_or_else(|| missing(&format!("{attribute}.Value")));
    let mut interface = context.region.network_interfaces.require(&id)?.clone();
    match attribute {
        "AssociatePublicIpAddress" => return set_public(context, &id, input.boolean(attribute) == Some(true)),
        "Attachment" => {
            let change = value()?;
            only(change, "Attachment.", &["AttachmentId", "DeleteOnTermination"])?;
            let named = required(change, "AttachmentId").map_err(|_| missing("Attachment.AttachmentId"))?;
            let attachment = interface.attachment.as_mut().filter(|attachment| attachment.id.as_ref() == named);
            let attachment = attachment.ok_or_else(|| {
                let message = format!("The attachment ID '{named}' does not exist");
                ApiError::new(Code::InvalidAttachmentIdNotFound, message)
            })?;
            let delete = change.boolean("DeleteOnTermination");
            attachment.delete_on_termination = delete.ok_or_else(|| missing("Attachment.DeleteOnTermination"))?;
        }
        "Description" => {
            let text = required(value()?, "Value").map_err(|_| missing("Description.Value"))?;
            interface.description = description(&Structure::new().with("Description", text))?;
        }
        "Groups" => {
            let ids: Vec<&str> = input.strings("Groups").collect();
            if ids.is_empty() {
                return Err(missing("SecurityGroupId"));
            }
            interface.groups = groups(context.region, &interface.subnet, &ids, &[])?;
        }
        _ => {
            let check = value()?.boolean("Value");
            interface.source_dest_check = check.ok_or_else(|| missing("SourceDestCheck.Value"))?;
        }
    }
    *context.region.network_interfaces.require_mut(&id)? = interface;
    context.interface_changed(&id);
    Ok(Structure::new())
}

/// A running instance has or loses its public address at once; a later start heeds it, too.
/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/managing-network-interface-ip-addresses.html>.
fn set_public(context: &mut Context<'_>, id: &NetworkInterfaceId, associate: bool) -> Result<Structure, ApiError> {
    let interface = context.region.network_interfaces.require_mut(id)?;
    interface.associate_public = associate;
    let attachment = interface.attachment.as_ref().filter(|attachment| attachment.device_index == 0);
    let instance = attachment.map(|attachment| attachment.instance.clone());
    let instance = instance.and_then(|id| context.region.instances.get(&id));
    if !associate {
        release_public_address(context, id);
    } else if instance.is_some_and(|instance| instance.state == State::Running) {
        give_public_address(context, id);
    }
    context.interface_changed(id);
    Ok(Structure::new())
}

/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_ResetNetworkInterfaceAttribute.html>.
pub(in crate::account) fn reset(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let id = super::own(context.region, required(input, "NetworkInterfaceId")?)?;
    if one_of(input, "SourceDestCheck", &["sourceDestCheck", "true"])?.is_none() {
        return Err(combination("No attributes specified."));
    }
    context.region.network_interfaces.require_mut(&id)?.source_dest_check = true;
    context.interface_changed(&id);
    Ok(Structure::new())
}
