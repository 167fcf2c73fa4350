//! DescribeNetworkInterfaces, and what an interface shows of itself elsewhere.

use super::{Attachment, NetworkInterface};
use crate::{
    account::{
        Context,
        address::{mac_text, private_dns_name},
        describe::Listing,
        filter::whole_second,
        ids::NetworkInterfaceId,
        region::Region,
        settings::Settings,
    },
    error::ApiError,
    wire::Structure,
};
use std::{net::Ipv4Addr, time::Duration};
use time::OffsetDateTime;

/// How long AWS takes to attach.
const ATTACHING: Duration = Duration::from_secs(2);

impl Attachment {
    /// What it is by now.
    fn status(&self, settings: &Settings, now: OffsetDateTime) -> &'static str {
        if self.ends.is_some() {
            "detaching"
        } else if now < self.time + settings.paced(ATTACHING) && self.device_index > 0 {
            "attaching"
        } else {
            "attached"
        }
    }

    /// As Describe shows it of the instance that holds it.
    pub(super) fn shown(&self, settings: &Settings, now: OffsetDateTime) -> Structure {
        Structure::new()
            .with("AttachmentId", &self.id)
            .with("AttachTime", whole_second(self.time))
            .with("DeleteOnTermination", self.delete_on_termination)
            .with("DeviceIndex", self.device_index)
            .with("NetworkCardIndex", 0_i64)
            .with("Status", self.status(settings, now))
    }

    /// As Describe shows it of the interface.
    pub(super) fn described(&self, settings: &Settings, now: OffsetDateTime) -> Structure {
        self.shown(settings, now).with("InstanceId", &self.instance).with("InstanceOwnerId", settings.account.as_str())
    }
}

impl NetworkInterface {
    /// The bond between a private address and its public one, as DescribeInstances shows it.
    fn association(&self, private: Ipv4Addr, region: &Region, settings: &Settings) -> Option<Structure> {
        let public = self.public_address_of(private, region)?;
        let is_elastic = self.elastic.contains_key(&private);
        Some(
            Structure::new()
                .with("IpOwnerId", if is_elastic { settings.account.as_str() } else { "amazon" })
                .with("PublicIp", public.to_string())
                .with("PublicDnsName", self.public_dns_name(Some(public), region).unwrap_or_default()),
        )
    }

    /// The elastic address of a private one, and the bond between them.
    fn elastic_ids(&self, private: Ipv4Addr, region: &Region) -> Option<Structure> {
        let allocation = self.elastic.get(&private)?;
        let bond = region.elastic_addresses.get(allocation)?.association.as_ref()?;
        Some(Structure::new().with("AllocationId", allocation).with("AssociationId", &bond.id))
    }

    /// The same of all private addresses that have one.
    pub(in crate::account) fn all_elastic_ids(&self, region: &Region) -> Vec<Structure> {
        self.addresses().filter_map(|address| self.elastic_ids(address, region)).collect()
    }

    /// What DescribeInstances and DescribeNetworkInterfaces both show.
    pub(in crate::account) fn shown(
        &self,
        id: &NetworkInterfaceId,
        region: &Region,
        settings: &Settings,
        now: OffsetDateTime,
    ) -> Structure {
        let attachment = self.attachment.as_ref().map(|attachment| attachment.shown(settings, now));
        let addresses: Vec<Structure> = self
            .addresses()
            .map(|address| {
                Structure::new()
                    .with("Primary", address == self.address)
                    .with("PrivateDnsName", private_dns_name(region.place, address))
                    .with("PrivateIpAddress", address.to_string())
                    .with_some("Association", self.association(address, region, settings))
            })
            .collect();
        let ipv6 = self
            .ipv6
            .iter()
            .map(|address| Structure::new().with("Ipv6Address", address.to_string()).with("IsPrimaryIpv6", false));
        Structure::new()
            .with("NetworkInterfaceId", id)
            .with("OwnerId", settings.account.as_str())
            .with("VpcId", &self.vpc)
            .with("SubnetId", &self.subnet)
            .with("MacAddress", mac_text(self.mac))
            .with("PrivateIpAddress", self.address.to_string())
            .with("PrivateDnsName", private_dns_name(region.place, self.address))
            .with("PrivateIpAddresses", addresses)
            .with("Ipv6Addresses", ipv6.collect::<Vec<_>>())
            .with("Groups", region.group_identifiers(&self.groups))
            .with("Description", self.description.as_str())
            .with("InterfaceType", "interface")
            .with("SourceDestCheck", self.source_dest_check)
            .with("Status", if attachment.is_some() { "in-use" } else { "available" })
            .with_some("Attachment", attachment)
            .with_some("Association", self.association(self.address, region, settings))
    }

    /// What DescribeNetworkInterfaces shows.
    pub(super) fn described(
        &self,
        id: &NetworkInterfaceId,
        region: &Region,
        settings: &Settings,
        now: OffsetDateTime,
    ) -> Structure {
        let attachment = self.attachment.as_ref().map(|attachment| attachment.described(settings, now));
        let zone = region.subnets.get(&self.subnet).map(|subnet| subnet.zone);
        let mut shown = self.shown(id, region, settings, now);
        if let Some(attachment) = attachment {
            shown.set("Attachment", attachment);
        }
        if self.nat_gateway.is_some() {
            shown.set("InterfaceType", "natGateway");
            shown.set("Status", "in-use");
            shown.set("Attachment", held_by_aws());
            shown.set("RequesterId", settings.account.as_str());
        }
        let with_ids = |holder: Structure, private| {
            let ids = self.elastic_ids(private, region);
            match (holder.structure("Association").cloned(), ids) {
                (Some(association), Some(ids)) => {
                    let all = ids.members().fold(association, |all, (name, id)| all.with(name.to_owned(), id.clone()));
                    holder.with("Association", all)
                }
                _ => holder,
            }
        };
        let addresses: Vec<Structure> = shown.structures("PrivateIpAddresses").cloned().collect();
        let addresses = addresses.into_iter().zip(self.addresses()).map(|(shown, private)| with_ids(shown, private));
        let addresses: Vec<Structure> = addresses.collect();
        with_ids(shown, self.address)
            .with("PrivateIpAddresses", addresses)
            .with_some("Ipv6Address", self.ipv6.first().map(ToString::to_string))
            .with_some("AvailabilityZone", zone.map(|zone| zone.name()))
            .with_some("AvailabilityZoneId", zone.map(|zone| zone.id()))
            .with("RequesterManaged", self.nat_gateway.is_some())
            .with("TagSet", region.tags.shown(id))
    }
}

/// The bond of an interface with what AWS has it for.
/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/requester-managed-eni.html>.
fn held_by_aws() -> Structure {
    Structure::new()
        .with("DeleteOnTermination", false)
        .with("DeviceIndex", 1_i64)
        .with("InstanceOwnerId", "amazon-aws")
        .with("Status", "attached")
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

pub(in crate::account) fn describe(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let (region, settings, now) = (&*context.region, context.settings, context.now);
    LISTING.answer("NetworkInterfaces", input, &region.network_interfaces, &region.tags, |id, interface| {
        interface.described(id, region, settings, now)
    })
}
