//! CPU credits of burstable instances: whether an instance may spend more than it has earned.
//!
//! Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeInstanceCreditSpecifications.html>; of the
//! defaults, <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_RunInstances.html>.

use super::Instance;
use crate::{
    account::{
        Context,
        describe::Listing,
        instance_type::InstanceType,
        request::{at_most_a_thousand, one_of},
        tags::Tags,
    },
    error::{ApiError, Code},
    wire::Structure,
};

const STANDARD: &str = "standard";
const UNLIMITED: &str = "unlimited";

/// What a launch asks for, if it asks for any: whether credits are unlimited.
pub(super) fn read(input: &Structure, instance_type: &InstanceType) -> Result<Option<bool>, ApiError> {
    let Some(credits) = input.structure("CreditSpecification") else { return Ok(None) };
    let asked = one_of(credits, "CpuCredits", &[STANDARD, UNLIMITED])?;
    if !instance_type.burstable {
        return Err(ApiError::new(
            Code::InstanceCreditSpecificationNotSupported,
            format!("The {} instance type does not support T2 Unlimited.", instance_type.name),
        ));
    }
    Ok(asked.map(|asked| asked == UNLIMITED))
}

/// What an instance has: it keeps that when its type changes.
fn are_unlimited(instance: &Instance) -> bool {
    instance.options.unlimited_credits.unwrap_or(instance.instance_type.unlimited_credits())
}

/// Sees that an instance keeps what it has, whatever its next type is.
pub(super) fn keep(instance: &mut Instance) {
    if instance.instance_type.burstable {
        instance.options.unlimited_credits = Some(are_unlimited(instance));
    }
}

const LISTING: Listing = Listing {
    action: "DescribeInstanceCreditSpecifications",
    ids: "InstanceIds",
    id: "InstanceId",
    sizes: 5..=1000,
    filters: &[("instance-id", "InstanceId")],
};

/// Where none is named, those that are unlimited, or were when their type had credits.
pub(in crate::account) fn describe(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let named: Vec<&str> = input.strings("InstanceIds").collect();
    at_most_a_thousand(&named, "instancesSet")?;
    let wanted = |instance: &Instance| !named.is_empty() || are_unlimited(instance);
    let instances = &context.region.instances;
    LISTING.answer_where("InstanceCreditSpecifications", input, instances, None::<&Tags>, wanted, |id, instance| {
        let credits = if are_unlimited(instance) { UNLIMITED } else { STANDARD };
        Structure::new().with("InstanceId", id).with("CpuCredits", credits)
    })
}
