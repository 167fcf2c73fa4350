//! Where in the network a launch goes: subnet, groups, addresses.

use crate::{
    account::{
        Context,
        address::draw_mac,
        ids::{InstanceId, NetworkInterfaceId, SecurityGroupId, SubnetId},
        network_interface::{Attachment, NetworkInterface},
        place::Zone,
        quota::Room,
        region::Region,
        request::{combination, given, invalid, missing, only, unsupported},
        subnet::Subnet,
    },
    error::{ApiError, Code},
    wire::Structure,
};
use std::net::Ipv4Addr;

/// Where in the network a launch goes.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) subnet: SubnetId,
    groups: Vec<SecurityGroupId>,
    private_address: Option<Ipv4Addr>,
    associate_public: bool,
    description: String,
    delete_on_termination: bool,
}

/// What a network interface may have.
/// Source: <https://docs.aws.amazon.com/vpc/latest/userguide/amazon-vpc-limits.html>.
const GROUPS: usize = 5;

/// Reads where a launch of up to `count` instances goes: where nothing is said, to a zone that has room.
pub(super) fn read(
    region: &Region,
    input: &Structure,
    count: u64,
    has_room: impl Fn(Zone) -> bool,
) -> Result<Place, ApiError> {
    let interface = read_interface(input)?;
    // With an interface, what it says stands in the place of what the request says.
    let holder = interface.unwrap_or(input);
    let wanted = given(holder, "SubnetId");
    let subnet = subnet(region, wanted, input.structure("Placement"), has_room)?;
    let contents = region.subnets.require(&subnet)?;
    let ids: Vec<&str> = holder.strings(if interface.is_some() { "Groups" } else { "SecurityGroupIds" }).collect();
    let names: Vec<&str> = input.strings("SecurityGroups").collect();
    if !names.is_empty() && wanted.is_some() {
        return Err(combination("The parameter groupName cannot be used with the parameter subnet"));
    }
    let groups = groups(region, &subnet, &ids, &names)?;
    let private_address = private_address(holder)?;
    if private_address.is_some() && count > 1 {
        return Err(combination("The parameter privateIpAddress cannot be used when launching more than one instance"));
    }
    if let Some(address) = private_address {
        contents.check(address)?;
    }
    Ok(Place {
        subnet,
        groups,
        private_address,
        associate_public: interface
            .and_then(|interface| interface.boolean("AssociatePublicIpAddress"))
            .unwrap_or(contents.map_public_ip),
        description: interface.and_then(|interface| interface.string("Description")).unwrap_or_default().to_owned(),
        delete_on_termination: interface.and_then(|interface| interface.boolean("DeleteOnTermination")).unwrap_or(true),
    })
}

/// The one network interface that a request may describe.
fn read_interface(input: &Structure) -> Result<Option<&Structure>, ApiError> {
    let interfaces: Vec<&Structure> = input.structures("NetworkInterfaces").collect();
    let Some(first) = interfaces.first() else { return Ok(None) };
    let instance_level = [
        ("SubnetId", "subnet ID"),
        ("SecurityGroupIds", "security groups"),
        ("SecurityGroups", "security groups"),
        ("PrivateIpAddress", "private IP address"),
    ];
    for (member, name) in instance_level {
        if given(input, member).is_some() || !input.list(member).is_empty() {
            let message =
                format!("Network interfaces and an instance-level {name} may not be specified on the same request");
            return Err(combination(message));
        }
    }
    for interface in &interfaces {
        if interface.integer("DeviceIndex").is_none() {
            return Err(missing("NetworkInterface.DeviceIndex"));
        }
        let members = [
            "AssociatePublicIpAddress",
            "DeleteOnTermination",
            "Description",
            "DeviceIndex",
            "Groups",
            "InterfaceType",
            "NetworkCardIndex",
            "PrivateIpAddress",
            "PrivateIpAddresses",
            "SubnetId",
        ];
        only(interface, "NetworkInterfaces.", &members)?;
        if interface.string("InterfaceType").is_some_and(|kind| kind != "interface") {
            return Err(unsupported("A network interface of a type other than 'interface'"));
        }
        if interface.integer("NetworkCardIndex").is_some_and(|index| index != 0) {
            return Err(invalid("The network card index must be 0: the instance type has one network card"));
        }
    }
    if interfaces.len() > 1 {
        if interfaces.iter().any(|interface| interface.boolean("AssociatePublicIpAddress") == Some(true)) {
            return Err(combination(
                "The associatePublicIPAddress parameter cannot be specified when launching with multiple network interfaces.",
            ));
        }
        return Err(unsupported("A launch with more than one network interface"));
    }
    if first.integer("DeviceIndex") != Some(0) {
        return Err(invalid("Each instance requires a network interface with device index 0"));
    }
    if first.boolean("DeleteOnTermination") == Some(false) {
        return Err(unsupported("The parameter NetworkInterfaces.DeleteOnTermination=false"));
    }
    Ok(Some(first))
}

/// What the addresses of a subnet leave.
pub(super) fn room(region: &Region, subnet: &SubnetId) -> Result<Room, ApiError> {
    let count = region.subnets.require(subnet)?.free();
    let message = format!(
        "There are not enough free addresses in subnet '{subnet}' to satisfy the requested number of instances."
    );
    Ok(Room { count, refusal: ApiError::new(Code::InsufficientFreeAddressesInSubnet, message) })
}

fn subnet(
    region: &Region,
    wanted: Option<&str>,
    placement: Option<&Structure>,
    has_room: impl Fn(Zone) -> bool,
) -> Result<SubnetId, ApiError> {
    let zone = placement.and_then(|placement| given(placement, "AvailabilityZone"));
    let zone_id = placement.and_then(|placement| given(placement, "AvailabilityZoneId"));
    if let Some(zone) = zone.filter(|zone| !region.place.zones().any(|known| known.name() == **zone)) {
        return Err(invalid(format!("Invalid availability zone: [{zone}]")));
    }
    if let Some(id) = zone_id.filter(|id| !region.place.zones().any(|known| known.id() == **id)) {
        return Err(invalid(format!("Invalid availability zone-id: [{id}]")));
    }
    if zone.is_some() && zone_id.is_some() {
        return Err(combination("The parameters availabilityZone and availabilityZoneId cannot be used together"));
    }
    let fits = |subnet: &Subnet| {
        zone.is_none_or(|zone| subnet.zone.name() == zone) && zone_id.is_none_or(|id| subnet.zone.id() == id)
    };
    match wanted {
        Some(id) => {
            let id = region.subnets.parse(id)?;
            if !fits(region.subnets.require(&id)?) {
                return Err(invalid(format!("The subnet '{id}' is not in the availability zone of the placement")));
            }
            Ok(id)
        }
        None => {
            let vpc = region.require_default_vpc()?;
            let default = |(_, subnet): &(&SubnetId, &Subnet)| subnet.vpc == *vpc && subnet.default_for_zone;
            let defaults: Vec<_> = region.subnets.iter().filter(default).filter(|(_, subnet)| fits(subnet)).collect();
            let roomy = defaults.iter().find(|(_, subnet)| has_room(subnet.zone)).or(defaults.first());
            roomy.map(|(id, _)| (*id).clone()).ok_or_else(|| {
                let message = format!("No subnets found for the default VPC '{vpc}'. Please specify a subnet.");
                ApiError::new(Code::MissingParameter, message)
            })
        }
    }
}

/// The groups that a request names, or the default one.
pub(super) fn groups(
    region: &Region,
    subnet: &SubnetId,
    ids: &[&str],
    names: &[&str],
) -> Result<Vec<SecurityGroupId>, ApiError> {
    let vpc = &region.subnets.require(subnet)?.vpc;
    let mut groups = region.security_groups.parse_all(ids.iter().copied())?;
    for name in names {
        let id = region.find_group(vpc, name).ok_or_else(|| {
            let message = format!("The security group '{name}' does not exist in default VPC '{vpc}'");
            ApiError::new(Code::InvalidGroupNotFound, message)
        })?;
        groups.push(id.clone());
    }
    groups.sort();
    groups.dedup();
    if groups.len() > GROUPS {
        let message = format!(
            "You have exceeded the maximum number of security groups allowed per network interface ({GROUPS})."
        );
        return Err(ApiError::new(Code::SecurityGroupsPerInterfaceLimitExceeded, message));
    }
    if groups.is_empty() {
        groups.extend(region.default_group(vpc).cloned());
    }
    Ok(groups)
}

fn private_address(holder: &Structure) -> Result<Option<Ipv4Addr>, ApiError> {
    let mut listed = holder.structures("PrivateIpAddresses");
    let first = listed.next();
    if listed.next().is_some() {
        return Err(unsupported("A network interface with more than one private address"));
    }
    if let Some(first) = first {
        only(first, "NetworkInterfaces.PrivateIpAddresses.", &["Primary", "PrivateIpAddress"])?;
        if first.boolean("Primary") != Some(true) {
            return Err(combination("One of the private IP addresses must be the primary one"));
        }
        if holder.string("PrivateIpAddress").is_some() {
            return Err(combination("privateIpAddress and privateIpAddresses may not be specified together"));
        }
    }
    let text = holder.string("PrivateIpAddress").or(first.and_then(|first| first.string("PrivateIpAddress")));
    let Some(text) = text else { return Ok(None) };
    text.parse()
        .map(Some)
        .map_err(|_| invalid(format!("Value ({text}) for parameter address is invalid. Invalid IPv4 address.")))
}

impl Place {
    /// Makes the primary network interface of an instance.
    pub(super) fn make(
        &self,
        context: &mut Context<'_>,
        instance: &InstanceId,
    ) -> Result<NetworkInterfaceId, ApiError> {
        let source = &mut context.shared.source;
        let id: NetworkInterfaceId = source.id();
        let subnet = context.region.subnets.require_mut(&self.subnet)?;
        let address = subnet.take(&self.subnet, self.private_address, &id, source)?;
        let interface = NetworkInterface {
            vpc: subnet.vpc.clone(),
            subnet: self.subnet.clone(),
            mac: draw_mac(source),
            address,
            public_address: None,
            associate_public: self.associate_public,
            groups: self.groups.clone(),
            description: self.description.clone(),
            source_dest_check: true,
            attachment: Some(Attachment {
                id: source.id(),
                instance: instance.clone(),
                device_index: 0,
                time: context.now,
                delete_on_termination: self.delete_on_termination,
            }),
        };
        context.region.network_interfaces.insert(id.clone(), interface);
        context.interface_changed(&id);
        Ok(id)
    }
}
