//! One attribute of an image: DescribeImageAttribute, ModifyImageAttribute, ResetImageAttribute.

use super::{check_available, is_v2, own};
use crate::{
    account::{
        Context,
        request::{combination, invalid, only, required},
        snapshot,
    },
    error::{ApiError, Code},
    wire::Structure,
};

/// Where to look for an image's block devices is DescribeImages.
/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeImageAttribute.html>.
pub(in crate::account) fn describe(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let id = context.region.images.parse(required(input, "ImageId")?)?;
    let image = context.region.images.require(&id)?;
    let value = |text: &str| Structure::new().with("Value", text);
    let answer = Structure::new().with("ImageId", &id);
    Ok(match required(input, "Attribute")? {
        "description" => answer.with("Description", value(image.description())),
        // Only its owner is told.
        "launchPermission" if !image.is_own() => {
            return Err(ApiError::new(Code::AuthFailure, format!("Not authorized for image:{id}")));
        }
        "launchPermission" => answer.with("LaunchPermissions", image.options.launchers.shown()),
        "blockDeviceMapping" => {
            return Err(ApiError::new(Code::AuthFailure, "Unauthorized attempt to access restricted resource"));
        }
        "productCodes" => answer.with("ProductCodes", Vec::<Structure>::new()),
        "sriovNetSupport" => answer.with_some("SriovNetSupport", image.sriov().map(value)),
        "bootMode" => answer.with_some("BootMode", image.boot_mode().map(value)),
        "tpmSupport" => {
            let tpm = image.made.as_ref().is_some_and(|made| made.tpm);
            answer.with_some("TpmSupport", tpm.then(|| value("v2.0")))
        }
        "imdsSupport" => answer.with_some("ImdsSupport", image.options.imds_v2.then(|| value("v2.0"))),
        "deregistrationProtection" => {
            let protection = image.options.protection.as_ref();
            answer.with_some("DeregistrationProtection", protection.map(|it| value(it.shown(context.now))))
        }
        "kernel" | "ramdisk" | "uefiData" | "lastLaunchedTime" => answer,
        other => return Err(unknown(other)),
    })
}

fn unknown(attribute: &str) -> ApiError {
    invalid(format!("Value ({attribute}) for parameter attribute is invalid. Unknown attribute."))
}

/// The members of which a request may have one, and the attribute that each is of.
const MEMBERS: [(&str, &str); 3] =
    [("Description", "description"), ("ImdsSupport", "imdsSupport"), ("LaunchPermission", "launchPermission")];

/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_ModifyImageAttribute.html>.
pub(in crate::account) fn modify(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let id = own(context, required(input, "ImageId")?)?;
    check_available(context, &id)?;
    let mut asked = MEMBERS.iter().filter(|(member, _)| input.structure(member).is_some()).map(|(_, name)| *name);
    let (first, second) = (asked.next(), asked.next());
    let named = input.string("Attribute");
    if second.is_some() || first.is_some() && named.is_some_and(|named| Some(named) != first) {
        return Err(combination("Only one attribute can be modified at a time."));
    }
    let by_list = input.get("OperationType").is_some().then_some("launchPermission");
    let attribute = first.or(named).or(by_list).ok_or_else(|| combination("No attributes specified."))?;
    if attribute != "launchPermission"
        && (by_list.is_some() || ["UserIds", "UserGroups"].iter().any(|it| !input.list(it).is_empty()))
    {
        return Err(combination("OperationType, UserIds and UserGroups are for the attribute launchPermission."));
    }
    if attribute == "launchPermission" && input.get("Value").is_some() {
        return Err(combination("Value is for the attributes description and imdsSupport."));
    }
    let mut options = context.region.images.require(&id)?.options.clone();
    match attribute {
        "description" => {
            let text = value(input, "Description")?;
            snapshot::description(&Structure::new().with("Description", text))?;
            options.description = Some(text.to_owned());
        }
        // There is no way back.
        "imdsSupport" => options.imds_v2 = is_v2(Some(value(input, "ImdsSupport")?), "imdsSupport")?,
        "launchPermission" => {
            if !options.launchers.modify(input, "LaunchPermission", "UserGroups")? {
                return Err(combination("No attributes specified."));
            }
        }
        other => return Err(unknown(other)),
    }
    context.region.images.require_mut(&id)?.options = options;
    Ok(Structure::new())
}

/// The new value: that of the attribute's own member, or `Value`.
fn value<'a>(input: &'a Structure, member: &str) -> Result<&'a str, ApiError> {
    match input.structure(member) {
        None => required(input, "Value"),
        Some(_) if input.get("Value").is_some() => {
            Err(combination(format!("{member} and Value can't be used together")))
        }
        Some(value) => {
            only(value, &format!("{member}."), &["Value"])?;
            required(value, "Value")
        }
    }
}

/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_ResetImageAttribute.html>.
pub(in crate::account) fn reset(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let id = own(context, required(input, "ImageId")?)?;
    check_available(context, &id)?;
    match required(input, "Attribute")? {
        "launchPermission" => context.region.images.require_mut(&id)?.options.launchers = Default::default(),
        other => return Err(unknown(other)),
    }
    Ok(Structure::new())
}
