//! Network interfaces: the primary one of each instance.

use super::{
    Context,
    address::{mac_text, private_dns_name, public_dns_name},
    describe::Listing,
    filter::whole_second,
    ids::{AttachmentId, InstanceId, NetworkInterfaceId, SecurityGroupId, SubnetId, VpcId},
    region::Region,
};
use crate::{error::ApiError, network::Nic, wire::Structure};
use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;
use time::OffsetDateTime;

/// A network interface.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct NetworkInterface {
    pub(super) vpc: VpcId,
    pub(super) subnet: SubnetId,
    pub(super) mac: [u8; 6],
    pub(super) address: Ipv4Addr,
    /// Given when the instance runs, taken when it stops.
    pub(super) public_address: Option<Ipv4Addr>,
    /// Whether it gets a public address whenever the instance starts.
    pub(super) associate_public: bool,
    pub(super) groups: Vec<SecurityGroupId>,
    pub(super) description: String,
    pub(super) source_dest_check: bool,
    pub(super) attachment: Option<Attachment>,
}

/// The bond between a network interface and an instance.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Attachment {
    pub(super) id: AttachmentId,
    pub(super) instance: InstanceId,
    pub(super) device_index: i64,
    pub(super) time: OffsetDateTime,
    pub(super) delete_on_termination: bool,
}

impl NetworkInterface {
    /// The instance that holds it.
    pub(super) fn instance(&self) -> Option<&InstanceId> {
        self.attachment.as_ref().map(|attachment| &attachment.instance)
    }

    /// What the switch must know of it.
    pub(super) fn nic(&self, id: &NetworkInterfaceId, region: &Region) -> Option<Nic> {
        let cidr = region.subnets.get(&self.subnet)?.cidr;
        Some(Nic {
            id: id.to_string(),
            vpc: self.vpc.to_string(),
            mac: self.mac,
            addresses: vec![self.address],
            subnet: (cidr.address, cidr.prefix),
        })
    }

    /// The name of the public address, where the VPC gives names.
    pub(super) fn public_dns_name(&self, region: &Region) -> Option<String> {
        let named = region.vpcs.get(&self.vpc).is_some_and(|vpc| vpc.dns_hostnames);
        self.public_address.filter(|_| named).map(|address| public_dns_name(region.place, address))
    }

    /// The bond to the public address, as Describe shows it.
    fn association(&self, region: &Region) -> Option<Structure> {
        self.public_address.map(|address| {
            Structure::new()
                .with("IpOwnerId", "amazon")
                .with("PublicIp", address.to_string())
                .with("PublicDnsName", self.public_dns_name(region).unwrap_or_default())
        })
    }

    /// What DescribeInstances and DescribeNetworkInterfaces both show.
    pub(super) fn shown(&self, id: &NetworkInterfaceId, region: &Region, account: &str) -> Structure {
        let private_name = private_dns_name(region.place, self.address);
        let attachment = self.attachment.as_ref().map(|attachment| {
            Structure::new()
                .with("AttachmentId", &attachment.id)
                .with("AttachTime", whole_second(attachment.time))
                .with("DeleteOnTermination", attachment.delete_on_termination)
                .with("DeviceIndex", attachment.device_index)
                .with("NetworkCardIndex", 0_i64)
                .with("Status", "attached")
        });
        let address = Structure::new()
            .with("Primary", true)
            .with("PrivateDnsName", private_name.as_str())
            .with("PrivateIpAddress", self.address.to_string())
            .with_some("Association", self.association(region));
        Structure::new()
            .with("NetworkInterfaceId", id)
            .with("OwnerId", account)
            .with("VpcId", &self.vpc)
            .with("SubnetId", &self.subnet)
            .with("MacAddress", mac_text(self.mac))
            .with("PrivateIpAddress", self.address.to_string())
            .with("PrivateDnsName", private_name)
            .with("PrivateIpAddresses", vec![address])
            .with("Ipv6Addresses", Vec::<Structure>::new())
            .with("Groups", region.group_identifiers(&self.groups))
            .with("Description", self.description.as_str())
            .with("InterfaceType", "interface")
            .with("SourceDestCheck", self.source_dest_check)
            .with("Status", if attachment.is_some() { "in-use" } else { "available" })
            .with_some("Attachment", attachment)
            .with_some("Association", self.association(region))
    }

    /// What DescribeNetworkInterfaces shows.
    fn described(&self, id: &NetworkInterfaceId, region: &Region, account: &str) -> Structure {
        let mut shown = self.shown(id, region, account);
        if let (Some(attachment), Some(instance)) = (shown.structure("Attachment").cloned(), self.instance()) {
            shown.set("Attachment", attachment.with("InstanceId", instance).with("InstanceOwnerId", account));
        }
        let zone = region.subnets.get(&self.subnet).map(|subnet| subnet.zone);
        shown
            .with_some("AvailabilityZone", zone.map(|zone| zone.name()))
            .with_some("AvailabilityZoneId", zone.map(|zone| zone.id()))
            .with("RequesterManaged", false)
            .with("TagSet", region.tags.shown(id))
    }
}

/// Takes the public address away.
pub(super) fn release_public_address(context: &mut Context<'_>, id: &NetworkInterfaceId) {
    if let Some(interface) = context.region.network_interfaces.get_mut(id)
        && let Some(address) = interface.public_address.take()
    {
        context.shared.public_addresses.remove(&address);
        context.interface_changed(id);
    }
}

/// Deletes it, with its addresses.
pub(super) fn delete(context: &mut Context<'_>, id: &NetworkInterfaceId) {
    release_public_address(context, id);
    if let Some(interface) = context.region.network_interfaces.remove(id)
        && let Some(subnet) = context.region.subnets.get_mut(&interface.subnet)
    {
        subnet.holders.remove(&interface.address);
    }
    context.region.tags.forget(id);
    context.interface_changed(id);
}

const LISTING: Listing = Listing {
    action: "DescribeNetworkInterfaces",
    ids: "NetworkInterfaceIds",
    id: "NetworkInterfaceId",
    sizes: 5..=1000,
    filters: &[
        ("addresses.association.owner-id", "PrivateIpAddresses.Association.IpOwnerId"),
        ("addresses.association.public-ip", "PrivateIpAddresses.Association.PublicIp"),
        ("addresses.primary", "PrivateIpAddresses.Primary"),
        ("addresses.private-ip-address", "PrivateIpAddresses.PrivateIpAddress"),
        ("association.allocation-id", "Association.AllocationId"),
        ("association.association-id", "Association.AssociationId"),
        ("association.ip-owner-id", "Association.IpOwnerId"),
        ("association.public-dns-name", "Association.PublicDnsName"),
        ("association.public-ip", "Association.PublicIp"),
        ("attachment.attach-time", "Attachment.AttachTime"),
        ("attachment.attachment-id", "Attachment.AttachmentId"),
        ("attachment.delete-on-termination", "Attachment.DeleteOnTermination"),
        ("attachment.device-index", "Attachment.DeviceIndex"),
        ("attachment.instance-id", "Attachment.InstanceId"),
        ("attachment.instance-owner-id", "Attachment.InstanceOwnerId"),
        ("attachment.status", "Attachment.Status"),
        ("availability-zone", "AvailabilityZone"),
        ("availability-zone-id", "AvailabilityZoneId"),
        ("description", "Description"),
        ("group-id", "Groups.GroupId"),
        ("group-name", "Groups.GroupName"),
        ("interface-type", "InterfaceType"),
        ("ipv6-addresses.ipv6-address", "Ipv6Addresses.Ipv6Address"),
        ("mac-address", "MacAddress"),
        ("network-interface-id", "NetworkInterfaceId"),
        ("operator.managed", ""),
        ("operator.principal", ""),
        ("owner-id", "OwnerId"),
        ("private-dns-name", "PrivateDnsName"),
        ("private-ip-address", "PrivateIpAddress"),
        ("requester-id", "RequesterId"),
        ("requester-managed", "RequesterManaged"),
        ("source-dest-check", "SourceDestCheck"),
        ("status", "Status"),
        ("subnet-id", "SubnetId"),
        ("vpc-id", "VpcId"),
    ],
};

pub(super) fn describe(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let region = &*context.region;
    let account = context.settings.account.as_str();
    LISTING.answer("NetworkInterfaces", input, &region.network_interfaces, &region.tags, |id, interface| {
        interface.described(id, region, account)
    })
}
