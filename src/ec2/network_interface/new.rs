//! What a network interface is to be, and whether a machine can have one like it.

use crate::{
    connection::api_error,
    ec2::Machine,
    error::{Error, ErrorKind},
};
use aws_sdk_ec2::types::{Instance, InstanceType, NetworkInfo};
use std::fmt;

/// A network interface that is to be made; plain data. Default: one private address of the machine's own subnet, in the machine's
/// groups.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "an interface isn't made before it is given to a machine"]
pub struct NewNetworkInterface {
    pub(super) name: Option<String>,
    pub(super) subnet: Option<String>,
    pub(super) security_groups: Option<Vec<String>>,
    pub(super) addresses: u16,
    pub(super) ipv6_addresses: u16,
    pub(super) public: bool,
    pub(super) configured: bool,
    pub(super) tags: Vec<(String, String)>,
}

impl Default for NewNetworkInterface {
    fn default() -> Self {
        Self {
            name: None,
            subnet: None,
            security_groups: None,
            addresses: 1,
            ipv6_addresses: 0,
            public: false,
            configured: false,
            tags: Vec::new(),
        }
    }
}

impl NewNetworkInterface {
    /// One with every default.
    pub fn new() -> Self {
        Self::default()
    }

    /// The subnet, of the machine's zone. Default: the machine's.
    pub fn subnet(mut self, subnet: impl Into<String>) -> Self {
        self.subnet = Some(subnet.into());
        self
    }

    /// The security groups, by id. Default: the machine's.
    pub fn security_groups<S: Into<String>>(mut self, groups: impl IntoIterator<Item = S>) -> Self {
        self.security_groups = Some(groups.into_iter().map(Into::into).collect());
        self
    }

    /// How many private IPv4 addresses it has. Default: 1.
    pub fn addresses(mut self, count: u16) -> Self {
        self.addresses = count;
        self
    }

    /// How many IPv6 addresses it has; its subnet must have some. Default: none.
    pub fn ipv6_addresses(mut self, count: u16) -> Self {
        self.ipv6_addresses = count;
        self
    }

    /// Gives its first address a public one of its own, an elastic address, which goes with the test. Default: none.
    pub fn public(mut self) -> Self {
        self.public = true;
        self
    }

    /// Configures it in the machine, which takes `sudo` there: its addresses, up, and answers leave by where they were asked.
    /// Default: it is down.
    pub fn configured(mut self) -> Self {
        self.configured = true;
        self
    }

    /// Its `Name` tag. Default: the test's name, else `ec2-harness`.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// A tag on it, beside the configuration's and our own.
    pub fn tag(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.tags.push((key.into(), value.into()));
        self
    }
}

impl fmt::Display for NewNetworkInterface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a network interface")?;
        self.subnet.as_ref().map_or(Ok(()), |subnet| write!(f, " in {subnet}"))
    }
}

/// The index at which a machine has room for one more; checked before anything is made.
pub(super) async fn free_index(
    machine: &Machine,
    described: &Instance,
    wanted: &NewNetworkInterface,
    tried: &str,
) -> Result<i32, Error> {
    let Some(name) = described.instance_type() else {
        return Err(Error::new(ErrorKind::Internal, tried).because("EC2 doesn't say the machine's type"));
    };
    let limits = limits(machine, name, tried).await?;
    let refused = |reason: String| Error::new(ErrorKind::Refused, tried).because(reason);
    let (most, of_each) = (limits.maximum_network_interfaces(), limits.ipv4_addresses_per_interface());
    if wanted.addresses == 0 || of_each.is_some_and(|most| i32::from(wanted.addresses) > most) {
        let most = of_each.unwrap_or_default();
        return Err(refused(format!(
            "an interface of {} has 1 to {most} IPv4 addresses, not {}",
            name.as_str(),
            wanted.addresses
        )));
    }
    if let Some(most) = limits.ipv6_addresses_per_interface().filter(|most| i32::from(wanted.ipv6_addresses) > *most) {
        let count = wanted.ipv6_addresses;
        return Err(refused(format!(
            "an interface of {} has {most} IPv6 addresses at most, not {count}",
            name.as_str()
        )));
    }
    let taken: Vec<i32> =
        described.network_interfaces().iter().filter_map(|interface| interface.attachment()?.device_index()).collect();
    (0..most.unwrap_or(i32::MAX)).find(|index| !taken.contains(index)).ok_or_else(|| {
        refused(format!("{} takes {} interfaces, and the machine has them", name.as_str(), most.unwrap_or_default()))
            .advise("choose an instance type that takes more, or several addresses on one interface")
    })
}

/// What a type can have of a network.
async fn limits(machine: &Machine, name: &InstanceType, tried: &str) -> Result<NetworkInfo, Error> {
    let call = machine.client().describe_instance_types().instance_types(name.clone()).send().await;
    let answer = call.map_err(|e| api_error::failed("DescribeInstanceTypes", tried, e))?;
    let limits = answer.instance_types.unwrap_or_default().into_iter().find_map(|found| found.network_info);
    limits.ok_or_else(|| {
        Error::new(ErrorKind::Internal, tried).because(format!("EC2 doesn't know the type {}", name.as_str()))
    })
}
