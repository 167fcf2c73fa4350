//! The attributes of a subnet.

use crate::{
    account::{
        Context,
        request::{combination, invalid, lower, missing, one_of, required, unsupported},
    },
    error::ApiError,
    wire::Structure,
};

const RECORD: &str = "EnableResourceNameDnsARecordOnLaunch";
const RECORD6: &str = "EnableResourceNameDnsAAAARecordOnLaunch";
/// Those that can be switched on and off; DNS64 can't be on.
const SWITCHES: [&str; 5] = ["MapPublicIpOnLaunch", "AssignIpv6AddressOnCreation", "EnableDns64", RECORD, RECORD6];
const NAMES: &str = "PrivateDnsHostnameTypeOnLaunch";

/// Changes one attribute.
/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_ModifySubnetAttribute.html>.
pub(in crate::account) fn modify_attribute(
    context: &mut Context<'_>,
    input: &Structure,
) -> Result<Structure, ApiError> {
    let id = context.region.subnets.parse(required(input, "SubnetId")?)?;
    let mut changes = Vec::new();
    for member in SWITCHES {
        if let Some(attribute) = input.structure(member) {
            let value = attribute.boolean("Value").ok_or_else(|| missing(&format!("{member}.Value")))?;
            changes.push((member, value));
        }
    }
    if let Some(kind) = one_of(input, NAMES, &["ip-name", "resource-name"])? {
        changes.push((NAMES, kind != "ip-name"));
    }
    let &[(attribute, value)] = changes.as_slice() else {
        let named: Vec<String> = changes.iter().map(|(member, _)| lower(member)).collect();
        return Err(combination(match named.as_slice() {
            [] => "No attributes specified.".to_owned(),
            _ => format!("Fields for multiple attribute types specified: {}", named.join(", ")),
        }));
    };
    match attribute {
        "MapPublicIpOnLaunch" => context.region.subnets.require_mut(&id)?.map_public_ip = value,
        "AssignIpv6AddressOnCreation" => {
            let subnet = context.region.subnets.require_mut(&id)?;
            if value && subnet.range6().is_none() {
                return Err(invalid(format!(
                    "Invalid value 'true' for assign-ipv6-address-on-creation. Cannot set assign-ipv6-address-on-creation to true unless the \
                     subnet ({id}) has an IPv6 CIDR block associated with it."
                )));
            }
            subnet.assign_ipv6 = value;
        }
        NAMES => context.region.subnets.require_mut(&id)?.names.resource_name = value,
        RECORD => context.region.subnets.require_mut(&id)?.names.a_record = value,
        RECORD6 => context.region.subnets.require_mut(&id)?.names.aaaa_record = value,
        _ if value => return Err(unsupported(format!("The parameter {attribute}=true"))),
        _ => {}
    }
    Ok(Structure::new())
}
