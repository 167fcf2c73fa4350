//! When AWS has not what a launch or a start asks for, though it asks for nothing wrong.

use crate::{
    account::{Context, instance_type::InstanceType, place::Zone},
    conditions::Shortage,
    error::{ApiError, Code},
};

/// Refuses what is short in the present conditions.
pub(super) fn check(context: &Context<'_>, instance_type: &InstanceType, zone: Zone) -> Result<(), ApiError> {
    match context.verdict.shortage {
        None => Ok(()),
        Some(Shortage::Capacity) => Err(ApiError::new(
            Code::InsufficientInstanceCapacity,
            format!(
                "We currently do not have sufficient {} capacity in the Availability Zone you requested ({}). Our system will \
                 be working on provisioning additional capacity. Try another Availability Zone or instance type.",
                instance_type.name,
                zone.name()
            ),
        )),
        Some(Shortage::Quota) => Err(ApiError::new(
            Code::VcpuLimitExceeded,
            "You have requested more vCPU capacity than your current vCPU limit allows for the instance bucket that the \
             specified instance type belongs to.",
        )),
    }
}
