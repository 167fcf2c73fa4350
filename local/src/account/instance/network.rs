//! Where in the network a launch goes: interfaces, subnets, groups, addresses.

mod requested;

use crate::{
    account::{
        Context,
        ids::{InstanceId, NetworkInterfaceId, SecurityGroupId, SubnetId},
        instance_type::InstanceType,
        network_interface::{Attachment, New},
        place::Zone,
        quota::{self, Room},
        region::Region,
        request::{combination, given, invalid, missing},
        subnet::Subnet,
    },
    error::{ApiError, Code},
    wire::Structure,
};
use requested::{read_existing, read_interfaces, read_new};
use std::collections::{BTreeMap, BTreeSet};

/// Where in the network a launch goes.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// That of the primary interface.
    pub(super) subnet: SubnetId,
    /// By device index, the primary one first.
    interfaces: Vec<Interface>,
}

/// An interface that an instance is launched with.
#[derive(Debug, Clone)]
struct Interface {
    device_index: i64,
    delete_on_termination: bool,
    what: What,
}

#[derive(Debug, Clone)]
enum What {
    New(Box<New>),
    Existing(NetworkInterfaceId),
}

/// What a network interface may have.
/// Source: <https://docs.aws.amazon.com/vpc/latest/userguide/amazon-vpc-limits.html>.
const GROUPS: usize = 5;

/// Reads where a launch of up to `count` instances goes: where nothing is said, to a zone that has room.
pub(super) fn read(
    region: &Region,
    input: &Structure,
    count: u64,
    instance_type: &InstanceType,
    has_room: impl Fn(Zone) -> bool,
) -> Result<Place, ApiError> {
    let described = read_interfaces(input, count)?;
    let names: Vec<&str> = input.strings("SecurityGroups").collect();
    if described.is_empty() {
        if !names.is_empty() && given(input, "SubnetId").is_some() {
            return Err(combination("The parameter groupName cannot be used with the parameter subnet"));
        }
        let subnet = subnet(region, given(input, "SubnetId"), input.structure("Placement"), has_room)?;
        let ids: Vec<&str> = input.strings("SecurityGroupIds").collect();
        let new = read_new(region, input, subnet.clone(), &ids, &names, (count, true), instance_type)?;
        let primary = Interface { device_index: 0, delete_on_termination: true, what: What::New(Box::new(new)) };
        return Ok(Place { subnet, interfaces: vec![primary] });
    }
    let most = instance_type.network_interfaces();
    if described.len() as u64 > most {
        let message = format!("Interface count {} exceeds the limit for {}", described.len(), instance_type.name);
        return Err(ApiError::new(Code::AttachmentLimitExceeded, message));
    }
    let mut interfaces: Vec<Interface> = Vec::new();
    let mut place: Option<(SubnetId, Zone)> = None;
    let is_only = described.len() == 1;
    for structure in described {
        let read = match structure.string("NetworkInterfaceId") {
            Some(id) => read_existing(region, structure, id, instance_type)?,
            None => {
                // Without a word of its own, one goes where the primary one is.
                let is_beside = |zone: Zone| place.as_ref().map_or_else(|| has_room(zone), |(_, first)| *first == zone);
                let subnet = subnet(region, given(structure, "SubnetId"), input.structure("Placement"), is_beside)?;
                let ids: Vec<&str> = structure.strings("Groups").collect();
                let new = read_new(region, structure, subnet, &ids, &[], (count, is_only), instance_type)?;
                (new.subnet.clone(), What::New(Box::new(new)))
            }
        };
        let (subnet, what) = read;
        let zone = region.subnets.require(&subnet)?.zone;
        let (_, first) = place.get_or_insert_with(|| (subnet.clone(), zone));
        if *first != zone {
            return Err(combination("All network interfaces of an instance must be in the same availability zone"));
        }
        let is_new = matches!(what, What::New(_));
        interfaces.push(Interface {
            device_index: structure.integer("DeviceIndex").unwrap_or_default(),
            delete_on_termination: structure.boolean("DeleteOnTermination").unwrap_or(is_new),
            what,
        });
    }
    let mut addresses6 = BTreeSet::new();
    if !interfaces.iter().filter_map(Interface::made).flat_map(|new| new.ipv6.named()).all(|it| addresses6.insert(it)) {
        return Err(invalid("An IPv6 address is specified more than once."));
    }
    let mut addresses = BTreeSet::new();
    for (new, address) in
        interfaces.iter().filter_map(Interface::made).flat_map(|new| new.addresses.named().map(move |a| (new, a)))
    {
        if !addresses.insert((new.subnet.clone(), address)) {
            return Err(invalid("A private IP address is specified more than once."));
        }
    }
    let Some((subnet, _)) = place else { return Err(missing("NetworkInterface")) };
    Ok(Place { subnet, interfaces })
}

impl Interface {
    fn made(&self) -> Option<&New> {
        match &self.what {
            What::New(new) => Some(new),
            What::Existing(_) => None,
        }
    }
}

/// What the addresses of the subnets leave.
pub(super) fn rooms(context: &Context<'_>, place: &Place) -> Result<Vec<Room>, ApiError> {
    let mut wanted: BTreeMap<&SubnetId, u64> = BTreeMap::new();
    let mut made = 0;
    for new in place.interfaces.iter().filter_map(Interface::made) {
        *wanted.entry(&new.subnet).or_default() += new.addresses.count();
        made += 1;
    }
    let mut rooms = Vec::new();
    for (subnet, wanted) in wanted {
        let count = context.region.subnets.require(subnet)?.free() / wanted;
        rooms.push(Room { count, refusal: full(subnet) });
    }
    let room = quota::network_interfaces(context);
    rooms.push(Room { count: room.count.checked_div(made).unwrap_or(u64::MAX), refusal: room.refusal });
    Ok(rooms)
}

/// A subnet has no free address.
pub(in crate::account) fn full(subnet: &SubnetId) -> ApiError {
    let message = format!(
        "There are not enough free addresses in subnet '{subnet}' to satisfy the requested number of instances."
    );
    ApiError::new(Code::InsufficientFreeAddressesInSubnet, message)
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
pub(in crate::account) fn groups(
    region: &Region,
    subnet: &SubnetId,
    ids: &[&str],
    names: &[&str],
) -> Result<Vec<SecurityGroupId>, ApiError> {
    let vpc = &region.subnets.require(subnet)?.vpc;
    let mut groups = region.security_groups.parse_all(ids.iter().copied())?;
    if let Some(id) = groups.iter().find(|id| region.security_groups.get(id).is_some_and(|group| group.vpc != *vpc)) {
        let message = format!("Security group {id} and subnet {subnet} belong to different networks.");
        return Err(ApiError::new(Code::InvalidParameter, message));
    }
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

impl Place {
    /// The groups of the primary interface, where that is made.
    pub(super) fn groups(&self) -> &[SecurityGroupId] {
        self.interfaces.first().and_then(Interface::made).map_or(&[], |new| &new.groups)
    }

    /// Makes or takes the network interfaces of an instance, the primary one first; says which were made, too.
    pub(super) fn make(
        &self,
        context: &mut Context<'_>,
        instance: &InstanceId,
    ) -> Result<(Vec<NetworkInterfaceId>, Vec<NetworkInterfaceId>), ApiError> {
        let (mut all, mut made) = (Vec::new(), Vec::new());
        for interface in &self.interfaces {
            let id = match &interface.what {
                What::Existing(id) => id.clone(),
                What::New(new) => {
                    let id = context.shared.source.id();
                    new.reserve(context, &id);
                    made.push(NetworkInterfaceId::clone(&id));
                    id
                }
            };
            all.push(id);
        }
        for (interface, id) in self.interfaces.iter().zip(&all) {
            let attachment = Attachment {
                id: context.shared.source.id(),
                instance: instance.clone(),
                device_index: interface.device_index,
                time: context.now,
                delete_on_termination: interface.delete_on_termination,
                ends: None,
            };
            match &interface.what {
                What::New(new) => new.make(context, id, Some(attachment))?,
                What::Existing(id) => {
                    context.region.network_interfaces.require_mut(id)?.attachment = Some(attachment);
                    context.interface_changed(id);
                }
            }
        }
        Ok((all, made))
    }
}
