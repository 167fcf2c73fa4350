//! Network interfaces: the resource, and by files what makes, attaches, changes and describes it.

mod actions;
mod addresses;
mod addresses6;
mod attach;
mod attribute;
mod create;
mod describe;

pub(super) use actions::ACTIONS;

pub(super) use addresses::{assign, unassign};
pub(super) use addresses6::{Addresses6, assign as assign6, too_many as too_many_addresses6, unassign as unassign6};
pub(super) use attach::{attach, detach, end_detachments};
pub(super) use attribute::{describe as describe_attribute, modify as modify_attribute, reset as reset_attribute};
pub(super) use create::{Addresses, New, create, delete as delete_unused, too_many as too_many_addresses};
pub(super) use describe::describe;

use super::{
    Context,
    address::{self, public_dns_name},
    elastic_address,
    ids::{AllocationId, AttachmentId, InstanceId, NatGatewayId, NetworkInterfaceId, SecurityGroupId, SubnetId, VpcId},
    region::Region,
};
use crate::{
    error::{ApiError, Code},
    network::Nic,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, Ipv6Addr},
};
use time::OffsetDateTime;

/// A network interface.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct NetworkInterface {
    pub(super) vpc: VpcId,
    pub(super) subnet: SubnetId,
    pub(super) mac: [u8; 6],
    /// The primary private address.
    pub(super) address: Ipv4Addr,
    /// The secondary ones, in the order in which they came.
    #[serde(default)]
    pub(super) secondary: Vec<Ipv4Addr>,
    /// The IPv6 addresses, in the order in which they came.
    #[serde(default)]
    pub(super) ipv6: Vec<Ipv6Addr>,
    /// Of the primary address, and not an elastic one: given when the instance runs, taken when it stops.
    pub(super) public_address: Option<Ipv4Addr>,
    /// Whether it gets a public address whenever the instance starts.
    pub(super) associate_public: bool,
    /// The elastic addresses, by the private ones for which they stand.
    #[serde(default)]
    pub(super) elastic: BTreeMap<Ipv4Addr, AllocationId>,
    pub(super) groups: Vec<SecurityGroupId>,
    pub(super) description: String,
    pub(super) source_dest_check: bool,
    pub(super) attachment: Option<Attachment>,
    #[serde(default)]
    pub(super) client_token: Option<String>,
    /// The NAT gateway that it is for; then it is AWS's.
    #[serde(default)]
    pub(super) nat_gateway: Option<NatGatewayId>,
}

/// The bond between a network interface and an instance.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Attachment {
    pub(super) id: AttachmentId,
    pub(super) instance: InstanceId,
    pub(super) device_index: i64,
    pub(super) time: OffsetDateTime,
    pub(super) delete_on_termination: bool,
    /// When it is over, once it was asked for.
    #[serde(default)]
    pub(super) ends: Option<OffsetDateTime>,
}

impl NetworkInterface {
    /// The instance that holds it.
    pub(super) fn instance(&self) -> Option<&InstanceId> {
        self.attachment.as_ref().map(|attachment| &attachment.instance)
    }

    /// The private addresses, the primary one first.
    pub(super) fn addresses(&self) -> impl Iterator<Item = Ipv4Addr> {
        std::iter::once(self.address).chain(self.secondary.iter().copied())
    }

    /// Whether it is being detached, so that its machine has it no longer.
    pub(super) fn is_leaving(&self) -> bool {
        self.attachment.as_ref().is_some_and(|attachment| attachment.ends.is_some())
    }

    /// What the switch must know of it.
    pub(super) fn nic(&self, id: &NetworkInterfaceId, region: &Region) -> Option<Nic> {
        let subnet = region.subnets.get(&self.subnet)?;
        let cidr = subnet.cidr;
        Some(Nic {
            id: id.to_string(),
            vpc: self.vpc.to_string(),
            mac: self.mac,
            addresses: self.addresses().collect(),
            subnet: (cidr.address, cidr.prefix),
            ipv6: self.ipv6.clone(),
            subnet6: subnet.range6().map(|range| (range.address, range.prefix)),
        })
    }

    /// The public address of one of its private ones.
    pub(super) fn public_address_of(&self, private: Ipv4Addr, region: &Region) -> Option<Ipv4Addr> {
        match self.elastic.get(&private) {
            Some(allocation) => region.elastic_addresses.get(allocation).map(|address| address.public),
            None => self.public_address.filter(|_| private == self.address),
        }
    }

    /// The public address of the primary one.
    pub(super) fn primary_public_address(&self, region: &Region) -> Option<Ipv4Addr> {
        self.public_address_of(self.address, region)
    }

    /// The name of a public address, where the VPC gives names.
    pub(super) fn public_dns_name(&self, public: Option<Ipv4Addr>, region: &Region) -> Option<String> {
        let named = region.vpcs.get(&self.vpc).is_some_and(|vpc| vpc.dns_hostnames);
        public.filter(|_| named).map(|address| public_dns_name(region.place, address))
    }

    /// Whether a public address of its own, and no elastic one, is for it when its instance starts: for the only interface of an instance.
    /// Source: <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/using-instance-addressing.html#concepts-public-addresses>.
    pub(super) fn wants_public_address(&self, region: &Region) -> bool {
        let instance = self.instance().and_then(|id| region.instances.get(id));
        let is_only_one = instance.is_none_or(|instance| instance.network_interfaces.len() <= 1);
        self.associate_public && is_only_one && self.elastic.is_empty()
    }
}

/// Reads the id of an interface that a client may change. One that AWS has for something of its own is AWS's.
/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/requester-managed-eni.html>.
pub(super) fn own(region: &Region, id: &str) -> Result<NetworkInterfaceId, ApiError> {
    let id = region.network_interfaces.parse(id)?;
    if region.network_interfaces.get(&id).is_some_and(|interface| interface.nat_gateway.is_some()) {
        let message = "You do not have permission to access the specified resource.";
        return Err(ApiError::new(Code::AuthFailure, message));
    }
    Ok(id)
}

/// Gives an interface that is to have one a public address.
pub(super) fn give_public_address(context: &mut Context<'_>, id: &NetworkInterfaceId) {
    let region = &mut *context.region;
    let is_wanted = region.network_interfaces.get(id).is_some_and(|it| it.wants_public_address(region));
    let Some(interface) = region.network_interfaces.get_mut(id).filter(|it| is_wanted && it.public_address.is_none())
    else {
        return;
    };
    interface.public_address = address::draw_public(&mut context.shared.source, &context.shared.public_addresses);
    if let Some(address) = interface.public_address {
        context.shared.public_addresses.insert(address, (region.place.name, Some(id.clone())));
        context.interface_changed(id);
    }
}

/// Takes the public address away, unless it is an elastic one.
pub(super) fn release_public_address(context: &mut Context<'_>, id: &NetworkInterfaceId) {
    if let Some(interface) = context.region.network_interfaces.get_mut(id)
        && let Some(address) = interface.public_address.take()
    {
        context.shared.public_addresses.remove(&address);
        context.interface_changed(id);
    }
}

/// Its instance is terminated: it ends with it, or is free.
pub(super) fn release(context: &mut Context<'_>, id: &NetworkInterfaceId) {
    let Some(interface) = context.region.network_interfaces.get_mut(id) else { return };
    let attachment = interface.attachment.take();
    if attachment.is_some_and(|attachment| attachment.delete_on_termination) {
        return delete(context, id);
    }
    release_public_address(context, id);
    context.interface_changed(id);
}

/// Deletes it, with its addresses; elastic ones are free then.
pub(super) fn delete(context: &mut Context<'_>, id: &NetworkInterfaceId) {
    release_public_address(context, id);
    elastic_address::leave_interface(context, id);
    let region = &mut *context.region;
    if let Some(interface) = region.network_interfaces.remove(id) {
        region.subnets.derive(&interface.subnet, |subnet| {
            interface.addresses().for_each(|address| drop(subnet.holders.remove(&address)));
            interface.ipv6.iter().for_each(|address| drop(subnet.holders6.remove(address)));
        });
        if let Some(token) = &interface.client_token {
            region.tokens.release(create::ACTION, token);
        }
    }
    region.tags.forget(id);
    context.interface_changed(id);
}
