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
        request::{missing, one_of, only, required},
    },
    error::{ApiError, Code},
    wire::Structure,
};
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv4Addr};

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
    /// Whether it leads to its IPv6 address.
    #[serde(default)]
    pub(in crate::account) aaaa_record: bool,
}

impl PrivateNames {
    /// The names that a launch asks for; what it leaves open is as its subnet has it.
    pub(super) fn read(input: &Structure, subnet: Self) -> Result<Self, ApiError> {
        let mut names = subnet;
        if let Some(options) = input.structure("PrivateDnsNameOptions") {
            only(options, "PrivateDnsNameOptions.", &["HostnameType", A_RECORD, AAAA_RECORD])?;
            names.update(one_of(options, "HostnameType", TYPES)?, records(options));
        }
        Ok(names)
    }

    fn update(&mut self, host_name: Option<&str>, [a_record, aaaa_record]: [Option<bool>; 2]) {
        self.resource_name = host_name.map_or(self.resource_name, |kind| kind == "resource-name");
        self.a_record = a_record.unwrap_or(self.a_record);
        self.aaaa_record = aaaa_record.unwrap_or(self.aaaa_record);
    }

    /// As Describe shows them.
    pub(in crate::account) fn shown(self) -> Structure {
        Structure::new()
            .with("HostnameType", TYPES[usize::from(self.resource_name)])
            .with(A_RECORD, self.a_record)
            .with(AAAA_RECORD, self.aaaa_record)
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

/// The records that a request asks for.
fn records(input: &Structure) -> [Option<bool>; 2] {
    [input.boolean(A_RECORD), input.boolean(AAAA_RECORD)]
}

/// What the name that tells an instance's id means in the VPC of a NIC: the primary address of each family that has a record.
/// `None` if it is no name there.
pub(in crate::account) fn resolved(region: &Region, nic: &NetworkInterfaceId, id: &InstanceId) -> Option<Vec<IpAddr>> {
    let instance = region.instances.get(id)?;
    let PrivateNames { a_record, aaaa_record, .. } = instance.options.names;
    let primary = region.network_interfaces.get(instance.primary()?)?;
    let asker = region.network_interfaces.get(nic)?;
    let v4 = a_record.then_some(IpAddr::V4(primary.address));
    let v6 = primary.ipv6.first().filter(|_| aaaa_record).copied().map(IpAddr::V6);
    let is_name = (a_record || aaaa_record) && asker.vpc == primary.vpc;
    is_name.then(|| v4.into_iter().chain(v6).collect())
}

/// A host name can only change while the instance is stopped.
/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_ModifyPrivateDnsNameOptions.html>.
pub(in crate::account) fn modify(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let id = context.region.instances.parse(required(input, "InstanceId")?)?;
    let host_name = one_of(input, "PrivateDnsHostnameType", TYPES)?;
    let records = records(input);
    if host_name.is_none() && records == [None; 2] {
        return Err(missing("privateDnsHostnameType"));
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
    instance.options.names.update(host_name, records);
    Ok(Structure::new().with("Return", true))
}
