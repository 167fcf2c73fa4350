//! The attributes of a VPC.

use crate::{
    account::{
        Context,
        request::{combination, invalid, lower, missing, required},
    },
    error::ApiError,
    wire::Structure,
};

pub(in crate::account) fn describe_attribute(
    context: &mut Context<'_>,
    input: &Structure,
) -> Result<Structure, ApiError> {
    let id = context.region.vpcs.parse(required(input, "VpcId")?)?;
    let vpc = context.region.vpcs.require(&id)?;
    let (member, value) = match required(input, "Attribute")? {
        "enableDnsSupport" => ("EnableDnsSupport", vpc.dns_support),
        "enableDnsHostnames" => ("EnableDnsHostnames", vpc.dns_hostnames),
        "enableNetworkAddressUsageMetrics" => ("EnableNetworkAddressUsageMetrics", vpc.usage_metrics),
        other => {
            return Err(invalid(format!("Value ({other}) for parameter attribute is invalid. Unknown attribute.")));
        }
    };
    Ok(Structure::new().with("VpcId", &id).with(member, Structure::new().with("Value", value)))
}

/// Changes one attribute.
/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_ModifyVpcAttribute.html>.
pub(in crate::account) fn modify_attribute(
    context: &mut Context<'_>,
    input: &Structure,
) -> Result<Structure, ApiError> {
    let id = context.region.vpcs.parse(required(input, "VpcId")?)?;
    let mut changes = Vec::new();
    for member in ["EnableDnsHostnames", "EnableDnsSupport", "EnableNetworkAddressUsageMetrics"] {
        if let Some(attribute) = input.structure(member) {
            let value = attribute.boolean("Value").ok_or_else(|| missing(&format!("{member}.Value")))?;
            changes.push((member, value));
        }
    }
    let &[(attribute, value)] = changes.as_slice() else {
        let named: Vec<String> = changes.iter().map(|(member, _)| lower(member)).collect();
        return Err(combination(match named.as_slice() {
            [] => "No attributes specified.".to_owned(),
            _ => format!("Fields for multiple attribute types specified: {}", named.join(", ")),
        }));
    };
    let vpc = context.region.vpcs.require_mut(&id)?;
    match attribute {
        "EnableDnsHostnames" => vpc.dns_hostnames = value,
        "EnableDnsSupport" => vpc.dns_support = value,
        _ => vpc.usage_metrics = value,
    }
    context.network_changed(&id);
    Ok(Structure::new())
}
