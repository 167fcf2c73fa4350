//! What a type of instance can have of network interfaces, so that nothing is made that it doesn't take.

use super::NewNetworkInterface;
use crate::{
    connection::{Connection, api_error},
    error::{Error, ErrorKind},
};
use aws_sdk_ec2::types::{Instance, InstanceType, NetworkInfo};

const ADVICE: &str = "choose an instance type that takes more, or several addresses on one interface";

/// The index at which a machine has room for one more.
pub(super) async fn free_index(
    connection: &Connection,
    described: &Instance,
    wanted: &NewNetworkInterface,
    tried: &str,
) -> Result<i32, Error> {
    let Some(name) = described.instance_type() else {
        return Err(Error::new(ErrorKind::Internal, tried).because("EC2 doesn't say the machine's type"));
    };
    let limits = limits(connection, name, tried).await?;
    check_addresses(&limits, name, wanted, tried)?;
    let most = limits.maximum_network_interfaces();
    let taken: Vec<i32> =
        described.network_interfaces().iter().filter_map(|interface| interface.attachment()?.device_index()).collect();
    (0..most.unwrap_or(i32::MAX)).find(|index| !taken.contains(index)).ok_or_else(|| {
        let most = most.unwrap_or_default();
        Error::new(ErrorKind::Refused, tried)
            .because(format!("{} takes {most} interfaces, and the machine has them", name.as_str()))
            .advise(ADVICE)
    })
}

/// Whether a machine of a type takes these beside its first.
pub(in crate::ec2) async fn check_launch(
    connection: &Connection,
    instance_type: &str,
    wanted: &[NewNetworkInterface],
    tried: &str,
) -> Result<(), Error> {
    let name = InstanceType::from(instance_type);
    let limits = limits(connection, &name, tried).await?;
    for interface in wanted {
        check_addresses(&limits, &name, interface, tried)?;
    }
    match limits.maximum_network_interfaces().and_then(|most| usize::try_from(most).ok()) {
        Some(most) if wanted.len() >= most => Err(Error::new(ErrorKind::Refused, tried)
            .because(format!("{instance_type} takes {most} interfaces, and it would have {}", wanted.len() + 1))
            .advise(ADVICE)),
        _ => Ok(()),
    }
}

fn check_addresses(
    limits: &NetworkInfo,
    name: &InstanceType,
    wanted: &NewNetworkInterface,
    tried: &str,
) -> Result<(), Error> {
    let refused = |reason: String| Err(Error::new(ErrorKind::Refused, tried).because(reason));
    let (of_each, name) = (limits.ipv4_addresses_per_interface(), name.as_str());
    if wanted.addresses == 0 || of_each.is_some_and(|most| i32::from(wanted.addresses) > most) {
        let (most, count) = (of_each.unwrap_or_default(), wanted.addresses);
        return refused(format!("an interface of {name} has 1 to {most} IPv4 addresses, not {count}"));
    }
    match limits.ipv6_addresses_per_interface().filter(|most| i32::from(wanted.ipv6_addresses) > *most) {
        Some(most) => {
            let count = wanted.ipv6_addresses;
            refused(format!("an interface of {name} has {most} IPv6 addresses at most, not {count}"))
        }
        None => Ok(()),
    }
}

/// What a type can have of a network.
async fn limits(connection: &Connection, name: &InstanceType, tried: &str) -> Result<NetworkInfo, Error> {
    let call = connection.client.describe_instance_types().instance_types(name.clone()).send().await;
    let answer = call.map_err(|e| api_error::failed("DescribeInstanceTypes", tried, e))?;
    let limits = answer.instance_types.unwrap_or_default().into_iter().find_map(|found| found.network_info);
    limits.ok_or_else(|| {
        Error::new(ErrorKind::Internal, tried).because(format!("EC2 doesn't know the type {}", name.as_str()))
    })
}
