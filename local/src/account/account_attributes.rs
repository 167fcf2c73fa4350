//! DescribeAccountAttributes.

use super::{
    Context,
    action::{Action, action},
    request::invalid,
};
use crate::{error::ApiError, wire::Structure};

pub(super) const ACTIONS: &[Action] = &[action("DescribeAccountAttributes", describe, &["AttributeNames"])];

pub(super) fn describe(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let default_vpc = context.region.default_vpc().map_or_else(|| "none".to_owned(), ToString::to_string);
    let attributes = [
        ("supported-platforms", "VPC".to_owned()),
        ("default-vpc", default_vpc),
        ("max-instances", context.settings.quotas.instances.to_string()),
        ("vpc-max-security-groups-per-interface", "5".to_owned()),
        ("max-elastic-ips", context.settings.quotas.elastic_addresses.to_string()),
        ("vpc-max-elastic-ips", context.settings.quotas.elastic_addresses.to_string()),
    ];
    let wanted: Vec<&str> = input.strings("AttributeNames").collect();
    if let Some(name) = wanted.iter().find(|name| !attributes.iter().any(|(known, _)| known == *name)) {
        return Err(invalid(format!("Value ({name}) for parameter attributeName is invalid. Unknown attribute.")));
    }
    let shown: Vec<Structure> = attributes
        .iter()
        .filter(|(name, _)| wanted.is_empty() || wanted.contains(name))
        .map(|(name, value)| {
            let value = Structure::new().with("AttributeValue", value.as_str());
            Structure::new().with("AttributeName", *name).with("AttributeValues", vec![value])
        })
        .collect();
    Ok(Structure::new().with("AccountAttributes", shown))
}
