//! The private names of an instance: its host name, which tells its address or its id, and whether its id is a name that the
//! VPC's name server knows.
//!
//! Source: <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-instance-naming.html>.

use super::State;
use crate::{
    account::{
        Context,
        address::{private_dns_name, private_domain},
        ids::{InstanceId, NetworkInterfaceId},
        region::Region,
        request::{missing, one_of, only, required, unsupported},
    },
    error::{ApiError, Code},
    wire::Structure,
};
use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;

const TYPES: &[&str] = &["ip-name", "resource-name"];
const A_RECORD: &str = "EnableResourceNameDnsARecord";
const AAAA_RECORD: &str = "EnableResourceNameDnsAAAARecord";

/// Which private names an instance has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(in crate::account) struct PrivateNames {
    /// Whether its host name tells its id, and not its address.
    pub(in crate::account) resource_name: bool,
    /// Whether the name that tells its id leads to its address.
    pub(in crate::account) a_record: bool,
}

impl PrivateNames {
    /// The names that a launch asks for; what it leaves open is as its subnet has it.
    pub(super) fn read(input: &Structure, subnet: Self) -> Result<Self, ApiError> {
        let mut names = subnet;
        if let Some(options) = input.structure("PrivateDnsNameOptions") {
            only(options, "PrivateDnsNameOptions.", &["HostnameType", A_RECORD])?;
            names.update(one_of(options, "HostnameType", TYPES)?, options.boolean(A_RECORD));
        }
        Ok(names)
    }

    fn update(&mut self, host_name: Option<&str>, a_record: Option<bool>) {
        self.resource_name = host_name.map_or(self.resource_name, |kind| kind == "resource-name");
        self.a_record = a_record.unwrap_or(self.a_record);
    }

    /// As Describe shows them.
    pub(in crate::account) fn shown(self) -> Structure {
        Structure::new()
            .with("HostnameType", TYPES[usize::from(self.resource_name)])
            .with(A_RECORD, self.a_record)
            .with(AAAA_RECORD, false)
    }

    /// The host name of an instance.
    pub(super) fn name(self, region: &Region, id: &InstanceId, address: Ipv4Addr) -> String {
        if self.resource_name {
            format!("{id}.{}", private_domain(region.place))
        } else {
            private_dns_name(region.place, address)
        }
    }
}

/// What the name that tells an instance's id means in the VPC of a NIC.
pub(in crate::account) fn resolved(region: &Region, nic: &NetworkInterfaceId, id: &InstanceId) -> Option<Ipv4Addr> {
    let instance = region.instances.get(id).filter(|instance| instance.options.names.a_record)?;
    let primary = region.network_interfaces.get(instance.primary()?)?;
    let asker = region.network_interfaces.get(nic)?;
    (asker.vpc == primary.vpc).then_some(primary.address)
}

/// A host name can only change while the instance is stopped.
/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_ModifyPrivateDnsNameOptions.html>.
pub(in crate::account) fn modify(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let id = context.region.instances.parse(required(input, "InstanceId")?)?;
    let host_name = one_of(input, "PrivateDnsHostnameType", TYPES)?;
    let (a_record, aaaa_record) = (input.boolean(A_RECORD), input.boolean(AAAA_RECORD));
    if host_name.is_none() && a_record.is_none() && aaaa_record.is_none() {
        return Err(missing("privateDnsHostnameType"));
    }
    if aaaa_record == Some(true) {
        return Err(unsupported(format!("The parameter {AAAA_RECORD}=true")));
    }
    let instance = context.region.instances.require_mut(&id)?;
    let refused = match instance.state {
        State::ShuttingDown | State::Terminated => true,
        state => host_name.is_some() && state != State::Stopped,
    };
    if refused {
        let message = format!("The instance '{id}' is not in the 'stopped' state.");
        return Err(ApiError::new(Code::IncorrectInstanceState, message));
    }
    instance.options.names.update(host_name, a_record);
    Ok(Structure::new().with("Return", true))
}
