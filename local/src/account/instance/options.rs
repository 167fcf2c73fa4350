//! What is changed of an instance by an action of its own each: placement, CPU options and maintenance; and what can be asked and told of it
//! besides.

use super::{State, launch::cores_and_threads};
use crate::{
    account::{
        Context,
        filter::whole_second,
        ids::InstanceId,
        request::{combination, given, invalid, missing, one_of, required, required_list, unsupported},
    },
    error::{ApiError, Code},
    wire::{Structure, Value},
};

/// Instances share the hardware of everybody's, and no placement group is joined after the launch: what asks for nothing else is answered.
/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_ModifyInstancePlacement.html>.
pub(in crate::account) fn modify_placement(
    context: &mut Context<'_>,
    input: &Structure,
) -> Result<Structure, ApiError> {
    let id = context.region.instances.parse(required(input, "InstanceId")?)?;
    if ["Affinity", "GroupName", "Tenancy"].iter().all(|member| input.get(member).is_none()) {
        return Err(missing("tenancy"));
    }
    for (member, known) in [("Affinity", &["default", "host"][..]), ("Tenancy", &["default", "dedicated", "host"][..])]
    {
        if let Some(other) = one_of(input, member, known)?.filter(|value| *value != "default") {
            return Err(unsupported(format!("The parameter {member}={other}")));
        }
    }
    if given(input, "GroupName").is_some() {
        return Err(unsupported("The parameter GroupName"));
    }
    if context.region.instances.require(&id)?.state != State::Stopped {
        let message = format!("The instance '{id}' is not in the 'stopped' state.");
        return Err(ApiError::new(Code::InvalidInstanceState, message));
    }
    Ok(Structure::new().with("Return", true))
}

/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_ModifyInstanceCpuOptions.html>.
pub(in crate::account) fn modify_cpu(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let id = context.region.instances.parse(required(input, "InstanceId")?)?;
    let instance = context.region.instances.require_mut(&id)?;
    if instance.state != State::Stopped {
        return Err(incorrect_state(&id, "stopped"));
    }
    let (cores, threads_per_core) = cores_and_threads(input, instance.instance_type)?;
    (instance.options.cores, instance.options.threads_per_core) = (cores, threads_per_core);
    Ok(Structure::new().with("InstanceId", &id).with("CoreCount", cores).with("ThreadsPerCore", threads_per_core))
}

fn incorrect_state(id: &InstanceId, wanted: &str) -> ApiError {
    let message = format!("The instance '{id}' is not in the '{wanted}' state.");
    ApiError::new(Code::IncorrectInstanceState, message)
}

/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_ModifyInstanceMaintenanceOptions.html>.
pub(in crate::account) fn modify_maintenance(
    context: &mut Context<'_>,
    input: &Structure,
) -> Result<Structure, ApiError> {
    let id = context.region.instances.parse(required(input, "InstanceId")?)?;
    let recovery = one_of(input, "AutoRecovery", &["default", "disabled"])?.ok_or_else(|| missing("autoRecovery"))?;
    let instance = context.region.instances.require_mut(&id)?;
    if matches!(instance.state, State::ShuttingDown | State::Terminated) {
        return Err(incorrect_state(&id, "running"));
    }
    instance.options.auto_recovery = recovery.to_owned();
    Ok(Structure::new().with("InstanceId", &id).with("AutoRecovery", recovery))
}

/// Kernel and RAM disk are the image's own, as on all of today's: nothing but the check of addresses can be set back.
/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_ResetInstanceAttribute.html>.
pub(in crate::account) fn reset_attribute(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let id = context.region.instances.parse(required(input, "InstanceId")?)?;
    match required(input, "Attribute")? {
        "sourceDestCheck" => {
            let on = Structure::new().with("InstanceId", &id);
            super::attribute::modify(context, &on.with("SourceDestCheck", Structure::new().with("Value", true)))
        }
        attribute @ ("kernel" | "ramdisk") => {
            let message = format!("The attribute '{attribute}' is not supported for this instance.");
            Err(ApiError::new(Code::UnsupportedInstanceAttribute, message))
        }
        other => Err(invalid(format!("Value ({other}) for parameter attribute is invalid. It cannot be reset."))),
    }
}

/// Only Windows makes a password.
/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_GetPasswordData.html>.
pub(in crate::account) fn password(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let id = context.region.instances.parse(required(input, "InstanceId")?)?;
    let launched = whole_second(context.region.instances.require(&id)?.launched);
    Ok(Structure::new().with("InstanceId", &id).with("Timestamp", launched).with("PasswordData", ""))
}

/// What a report can say in words, at most.
const DESCRIPTION: usize = 255;

/// AWS hears it, and changes nothing of the status.
/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_ReportInstanceStatus.html>.
pub(in crate::account) fn report_status(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let ids = context.region.instances.parse_all(required_list(input, "Instances")?)?;
    required(input, "Status")?;
    required_list(input, "ReasonCodes")?;
    if input.string("Description").is_some_and(|text| text.chars().count() > DESCRIPTION) {
        return Err(invalid(format!("The description can have up to {DESCRIPTION} characters")));
    }
    if let (Some(Value::Timestamp(start)), Some(Value::Timestamp(end))) = (input.get("StartTime"), input.get("EndTime"))
        && end < start
    {
        return Err(combination("The end time must not be before the start time."));
    }
    match ids.iter().find(|id| context.region.instances.get(id).is_none_or(|it| it.state != State::Running)) {
        None => Ok(Structure::new()),
        Some(id) => Err(incorrect_state(id, "running")),
    }
}
