//! CPU credits of burstable instances: whether an instance may spend more than it has earned.
//!
//! Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeInstanceCreditSpecifications.html>; of the
//! defaults, <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_RunInstances.html>.

use super::{Instance, State};
use crate::{
    account::{
        Context,
        describe::Listing,
        ids::{Id, InstanceId},
        instance_type::InstanceType,
        request::{at_most_a_thousand, missing, one_of, required},
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
    check_burstable(instance_type)?;
    Ok(asked.map(|asked| asked == UNLIMITED))
}

fn check_burstable(instance_type: &InstanceType) -> Result<(), ApiError> {
    if instance_type.burstable {
        return Ok(());
    }
    let message = format!("The {} instance type does not support T2 Unlimited.", instance_type.name);
    Err(ApiError::new(Code::InstanceCreditSpecificationNotSupported, message))
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

/// Some instances may be changed, and others refused, of which each says why.
/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_ModifyInstanceCreditSpecification.html>.
pub(in crate::account) fn modify(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    const ACTION: &str = "ModifyInstanceCreditSpecification";
    // Asked again, it does the same again.
    let token = context.region.tokens.read(ACTION, input)?.unwrap_or(None);
    let mut asked: Vec<(InstanceId, bool)> = Vec::new();
    for specification in input.structures("InstanceCreditSpecifications") {
        let id = InstanceId::parse(required(specification, "InstanceId")?)?;
        let credits =
            one_of(specification, "CpuCredits", &[STANDARD, UNLIMITED])?.ok_or_else(|| missing("CpuCredits"))?;
        if asked.iter().any(|(other, _)| *other == id) {
            let message = format!("The request contains the instance ID '{id}' more than once.");
            return Err(ApiError::new(Code::InvalidInstanceCreditSpecificationDuplicateInstanceId, message));
        }
        asked.push((id, credits == UNLIMITED));
    }
    if asked.is_empty() {
        return Err(missing("InstanceCreditSpecification"));
    }
    let (mut done, mut refused) = (Vec::new(), Vec::new());
    for (id, unlimited) in &asked {
        let shown = Structure::new().with("InstanceId", id);
        match set(context, id, *unlimited) {
            Ok(()) => done.push(shown),
            Err(ApiError { code, message }) => {
                let error = Structure::new().with("Code", code.name()).with("Message", message);
                refused.push(shown.with("Error", error));
            }
        }
    }
    context.region.tokens.remember(ACTION, token, input, asked[0].0.as_ref(), 1);
    Ok(Structure::new()
        .with("SuccessfulInstanceCreditSpecifications", done)
        .with("UnsuccessfulInstanceCreditSpecifications", refused))
}

fn set(context: &mut Context<'_>, id: &InstanceId, unlimited: bool) -> Result<(), ApiError> {
    context.region.instances.parse(id.as_ref())?;
    let instance = context.region.instances.require_mut(id)?;
    if !matches!(instance.state, State::Running | State::Stopped) {
        let message = format!("The instance '{id}' is not in the 'running' or 'stopped' states.");
        return Err(ApiError::new(Code::IncorrectInstanceState, message));
    }
    check_burstable(instance.instance_type)?;
    instance.options.unlimited_credits = Some(unlimited);
    Ok(())
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
