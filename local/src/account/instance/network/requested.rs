//! What a launch says of its network interfaces.

use super::{What, groups};
use crate::{
    account::{
        ids::SubnetId,
        instance_type::InstanceType,
        network_interface::{Addresses, Addresses6, New, too_many_addresses, too_many_addresses6},
        region::Region,
        request::{combination, given, invalid, missing, only, unsupported},
    },
    error::{ApiError, Code},
    wire::Structure,
};

/// What a request says of one interface.
const MEMBERS: [&str; 14] = [
    "AssociatePublicIpAddress",
    "DeleteOnTermination",
    "Description",
    "DeviceIndex",
    "Groups",
    "InterfaceType",
    "Ipv6AddressCount",
    "Ipv6Addresses",
    "NetworkCardIndex",
    "NetworkInterfaceId",
    "PrivateIpAddress",
    "PrivateIpAddresses",
    "SecondaryPrivateIpAddressCount",
    "SubnetId",
];

/// What is said of an interface that is made, and not of one that there is.
const OF_NEW: [&str; 10] = [
    "AssociatePublicIpAddress",
    "Description",
    "Groups",
    "InterfaceType",
    "Ipv6AddressCount",
    "Ipv6Addresses",
    "PrivateIpAddress",
    "PrivateIpAddresses",
    "SecondaryPrivateIpAddressCount",
    "SubnetId",
];

/// An interface that is made, of what a structure says; the pair says of how many instances it is, and whether it is the only one of its instance.
pub(super) fn read_new(
    region: &Region,
    holder: &Structure,
    subnet: SubnetId,
    ids: &[&str],
    names: &[&str],
    (count, is_only): (u64, bool),
    instance_type: &InstanceType,
) -> Result<New, ApiError> {
    let contents = region.subnets.require(&subnet)?;
    let addresses = Addresses::read(holder, "NetworkInterfaces.")?;
    if addresses.named().next().is_some() && count > 1 {
        return Err(combination("The parameter privateIpAddress cannot be used when launching more than one instance"));
    }
    if addresses.count() > instance_type.addresses_per_interface() {
        return Err(too_many_addresses());
    }
    addresses.check(contents)?;
    let ipv6 = Addresses6::read(holder, "NetworkInterfaces.", &subnet, contents)?;
    if ipv6.named().next().is_some() && count > 1 {
        return Err(combination("The parameter ipv6Addresses cannot be used when launching more than one instance"));
    }
    if ipv6.count() > instance_type.addresses6_per_interface() {
        return Err(too_many_addresses6());
    }
    // Only the one interface of an instance gets a public address.
    let associate_public = is_only && holder.boolean("AssociatePublicIpAddress").unwrap_or(contents.map_public_ip);
    Ok(New {
        groups: groups(region, &subnet, ids, names)?,
        addresses,
        ipv6,
        associate_public,
        description: holder.string("Description").unwrap_or_default().to_owned(),
        client_token: None,
        subnet,
    })
}

/// An interface that there is. It must be free, and only says where it goes.
/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_InstanceNetworkInterfaceSpecification.html>.
pub(super) fn read_existing(
    region: &Region,
    structure: &Structure,
    id: &str,
    instance_type: &InstanceType,
) -> Result<(SubnetId, What), ApiError> {
    let says = |member: &&&str| {
        given(structure, member).is_some()
            || !structure.list(member).is_empty()
            || structure.integer(member).is_some()
            || structure.boolean(member) == Some(true)
    };
    if let Some(member) = OF_NEW.iter().find(says) {
        return Err(combination(format!(
            "A network interface may not specify a network interface ID and the parameter {member}"
        )));
    }
    if structure.boolean("DeleteOnTermination") == Some(true) {
        return Err(combination("DeleteOnTermination can only be true for a network interface that is created"));
    }
    let id = crate::account::network_interface::own(region, id)?;
    let interface = region.network_interfaces.require(&id)?;
    if interface.attachment.is_some() {
        return Err(ApiError::new(Code::InvalidNetworkInterfaceInUse, format!("Interface: [{id}] in use.")));
    }
    if interface.addresses().count() as u64 > instance_type.addresses_per_interface() {
        return Err(too_many_addresses());
    }
    if interface.ipv6.len() as u64 > instance_type.addresses6_per_interface() {
        return Err(too_many_addresses6());
    }
    Ok((interface.subnet.clone(), What::Existing(id)))
}

/// The network interfaces that a request may describe, by device index.
pub(super) fn read_interfaces(input: &Structure, count: u64) -> Result<Vec<&Structure>, ApiError> {
    let mut interfaces: Vec<&Structure> = input.structures("NetworkInterfaces").collect();
    if interfaces.is_empty() {
        return Ok(interfaces);
    }
    let instance_level = [
        ("SubnetId", "subnet ID"),
        ("SecurityGroupIds", "security groups"),
        ("SecurityGroups", "security groups"),
        ("PrivateIpAddress", "private IP address"),
        ("Ipv6Addresses", "IPv6 addresses"),
    ];
    for (member, name) in instance_level {
        let is_there = given(input, member).is_some() || !input.list(member).is_empty();
        if is_there || (name == "IPv6 addresses" && input.integer("Ipv6AddressCount").is_some()) {
            let message =
                format!("Network interfaces and an instance-level {name} may not be specified on the same request");
            return Err(combination(message));
        }
    }
    for interface in &interfaces {
        if interface.integer("DeviceIndex").is_none() {
            return Err(missing("NetworkInterface.DeviceIndex"));
        }
        only(interface, "NetworkInterfaces.", &MEMBERS)?;
        if interface.string("InterfaceType").is_some_and(|kind| kind != "interface") {
            return Err(unsupported("A network interface of a type other than 'interface'"));
        }
        if interface.integer("NetworkCardIndex").is_some_and(|index| index != 0) {
            return Err(invalid("The network card index must be 0: the instance type has one network card"));
        }
        if interface.string("NetworkInterfaceId").is_some() && count > 1 {
            return Err(combination("Network interface IDs cannot be specified when launching more than one instance"));
        }
    }
    if interfaces.len() > 1
        && interfaces.iter().any(|interface| interface.boolean("AssociatePublicIpAddress") == Some(true))
    {
        return Err(combination(
            "The associatePublicIPAddress parameter cannot be specified when launching with multiple network interfaces.",
        ));
    }
    interfaces.sort_by_key(|interface| interface.integer("DeviceIndex"));
    let index = |interface: &Structure| interface.integer("DeviceIndex").unwrap_or_default();
    if interfaces.first().is_some_and(|first| index(first) != 0) {
        return Err(invalid("Each instance requires a network interface with device index 0"));
    }
    if interfaces.windows(2).any(|two| index(two[0]) == index(two[1])) {
        return Err(invalid("Each network interface requires a unique device index."));
    }
    // Indexes beyond what any type has.
    if let Some(last) = interfaces.last().filter(|last| index(last) > 127) {
        return Err(invalid(format!("Value ({}) for parameter deviceIndex is invalid.", index(last))));
    }
    Ok(interfaces)
}
