//! Whom a snapshot is for: DescribeSnapshotAttribute, ModifySnapshotAttribute, ResetSnapshotAttribute.

use super::Snapshot;
use crate::{
    account::{
        Context,
        ids::SnapshotId,
        request::{combination, invalid, required},
    },
    error::{ApiError, Code},
    wire::Structure,
};

fn snapshot<'a>(context: &'a Context<'_>, input: &Structure) -> Result<(SnapshotId, &'a Snapshot), ApiError> {
    let id = context.region.snapshots.parse(required(input, "SnapshotId")?)?;
    let snapshot = context.region.snapshots.require(&id)?;
    Ok((id, snapshot))
}

/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeSnapshotAttribute.html>.
pub(in crate::account) fn describe(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let (id, snapshot) = snapshot(context, input)?;
    let answer = Structure::new().with("SnapshotId", &id);
    match required(input, "Attribute")? {
        "createVolumePermission" => Ok(answer.with("CreateVolumePermissions", snapshot.permissions.shown())),
        "productCodes" => Ok(answer.with("ProductCodes", Vec::<Structure>::new())),
        other => Err(unknown(other)),
    }
}

fn unknown(attribute: &str) -> ApiError {
    invalid(format!("Value ({attribute}) for parameter attribute is invalid. Unknown attribute."))
}

/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_ModifySnapshotAttribute.html>.
pub(in crate::account) fn modify(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let (id, snapshot) = snapshot(context, input)?;
    match input.string("Attribute") {
        None | Some("createVolumePermission") => {}
        Some("productCodes") => return Err(combination("Only volume creation permissions can be modified.")),
        Some(other) => return Err(unknown(other)),
    }
    let mut permissions = snapshot.permissions.clone();
    if !permissions.modify(input, "CreateVolumePermission", "GroupNames")? {
        return Err(combination("No attributes specified."));
    }
    if snapshot.encrypted && permissions.is_public() {
        return Err(ApiError::new(Code::OperationNotPermitted, "Encrypted snapshots can't be made public."));
    }
    context.region.snapshots.require_mut(&id)?.permissions = permissions;
    Ok(Structure::new())
}

/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_ResetSnapshotAttribute.html>.
pub(in crate::account) fn reset(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let (id, _) = snapshot(context, input)?;
    match required(input, "Attribute")? {
        "createVolumePermission" => context.region.snapshots.require_mut(&id)?.permissions = Default::default(),
        "productCodes" => return Err(combination("Only volume creation permissions can be reset.")),
        other => return Err(unknown(other)),
    }
    Ok(Structure::new())
}
