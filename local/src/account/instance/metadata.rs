//! What the metadata service tells: the same as Describe, from the inside.
//!
//! Source of the categories: <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-instance-metadata.html>.

use super::{Instance, State, later};
use crate::{
    account::{
        address::{mac_text, private_dns_name},
        filter::{timestamp, whole_second},
        ids::{InstanceId, NetworkInterfaceId},
        network_interface::NetworkInterface,
        region::Region,
        settings::Settings,
        spot,
    },
    network::Metadata,
};
use std::{fmt::Display, net::Ipv4Addr};
use time::OffsetDateTime;

/// The metadata of the instance that holds a NIC.
pub(in crate::account) fn of(settings: &Settings, region: &Region, nic: &NetworkInterfaceId) -> Option<Metadata> {
    let interface = region.network_interfaces.get(nic)?;
    let id = interface.instance()?;
    let instance = region.instances.get(id)?;
    Some(Metadata {
        enabled: instance.metadata_options.enabled,
        ipv6: instance.metadata_options.ipv6,
        token_required: instance.metadata_options.token_required,
        tree: Tree::default().instance(settings, region, id, instance).0,
        user_data: instance.user_data.clone(),
    })
}

/// Whether the metadata service answers the instance that holds a NIC by now: in some conditions it is silent for a while
/// after the start, so that the instance's key comes after its sshd.
pub(in crate::account) fn is_ready(
    settings: &Settings,
    region: &Region,
    nic: &NetworkInterfaceId,
    now: OffsetDateTime,
) -> Option<bool> {
    let instance = region.instances.get(region.network_interfaces.get(nic)?.instance()?)?;
    let silence = settings.paced(settings.conditions.profile().metadata);
    Some(silence.is_zero() || instance.powered_on.is_some_and(|since| now >= later(since, silence)))
}

/// Paths below `/latest/` and their contents.
#[derive(Default)]
struct Tree(Vec<(String, String)>);

impl Tree {
    fn put(&mut self, path: impl AsRef<str>, content: impl Into<String>) {
        self.0.push((format!("meta-data/{}", path.as_ref()), content.into()));
    }

    fn instance(mut self, settings: &Settings, region: &Region, id: &InstanceId, instance: &Instance) -> Self {
        self.put("ami-id", instance.image.as_ref());
        self.put("ami-launch-index", instance.launch_index.to_string());
        self.put("ami-manifest-path", "(unknown)");
        let root = super::describe::root_device(region, instance);
        self.put("block-device-mapping/ami", root.trim_start_matches("/dev/"));
        self.put("block-device-mapping/root", root);
        for (number, device) in (1..).zip(super::describe::device_names(region, instance).skip(1)) {
            self.put(format!("block-device-mapping/ebs{number}"), device.trim_start_matches("/dev/"));
        }
        self.put("events/maintenance/history", "[]");
        self.put("events/maintenance/scheduled", "[]");
        self.put("instance-action", if instance.state == State::Running { "none" } else { "stop" });
        self.put("instance-id", id.as_ref());
        self.put("instance-life-cycle", if instance.spot.is_some() { "spot" } else { "on-demand" });
        for (path, content) in spot::metadata(instance) {
            self.put(path, content);
        }
        self.put("instance-type", instance.instance_type.name);
        self.put("profile", "default-hvm");
        self.put("reservation-id", instance.reservation.as_ref());
        self.put("services/domain", "amazonaws.com");
        self.put("services/partition", "aws");
        self.put("system", "nitro");
        self.placement(region, instance);
        if let Some(key) = &instance.key {
            // The service lists this as `0=name`: it takes the name from the key's comment.
            self.put("public-keys/0/openssh-key", format!("{}\n", key.openssh));
        }
        if instance.metadata_options.tags {
            for (key, value) in region.tags.get(id).into_iter().flatten() {
                self.put(format!("tags/instance/{key}"), value.as_str());
            }
        }
        for nic in &instance.network_interfaces {
            let interface = region.network_interfaces.get(nic).filter(|interface| !interface.is_leaving());
            if let Some(interface) = interface {
                let index = interface.attachment.as_ref().map_or(0, |attachment| attachment.device_index);
                if index == 0 {
                    self.primary(region, id, instance, interface);
                }
                self.interface(settings, region, nic, interface, index);
            }
        }
        self.0.push(("dynamic/instance-identity/document".to_owned(), identity(settings, region, id, instance)));
        self
    }

    fn placement(&mut self, region: &Region, instance: &Instance) {
        self.put("placement/availability-zone", instance.zone.name());
        self.put("placement/availability-zone-id", instance.zone.id());
        self.put("placement/region", region.place.name);
        if let Some(placement) = &instance.placement {
            self.put("placement/group-name", placement.name(region).unwrap_or_default());
            if let Some(number) = placement.partition() {
                self.put("placement/partition-number", number.to_string());
            }
        }
    }

    fn primary(&mut self, region: &Region, id: &InstanceId, instance: &Instance, interface: &NetworkInterface) {
        let name = instance.options.names.name(region, id, interface.address);
        self.put("hostname", name.as_str());
        self.put("local-hostname", name);
        self.put("local-ipv4", interface.address.to_string());
        if let Some(address) = interface.ipv6.first() {
            self.put("ipv6", address.to_string());
        }
        self.put("mac", mac_text(interface.mac));
        self.put("security-groups", names(region, interface).join("\n"));
        let public = interface.primary_public_address(region);
        if let Some(name) = interface.public_dns_name(public, region) {
            self.put("public-hostname", name);
        }
        if let Some(address) = public {
            self.put("public-ipv4", address.to_string());
        }
    }

    fn interface(
        &mut self,
        settings: &Settings,
        region: &Region,
        id: &NetworkInterfaceId,
        interface: &NetworkInterface,
        index: i64,
    ) {
        let base = format!("network/interfaces/macs/{}", mac_text(interface.mac));
        let mut put = |name: &str, content: String| self.put(format!("{base}/{name}"), content);
        let ids: Vec<&str> = interface.groups.iter().map(AsRef::as_ref).collect();
        put("device-number", index.to_string());
        put("interface-id", id.to_string());
        if !interface.ipv6.is_empty() {
            put("ipv6s", lines(interface.ipv6.iter()));
        }
        put("local-hostname", private_dns_name(region.place, interface.address));
        put("local-ipv4s", lines(interface.addresses()));
        put("mac", mac_text(interface.mac));
        put("network-card", "0".to_owned());
        put("owner-id", settings.account.clone());
        put("security-group-ids", ids.join("\n"));
        put("security-groups", names(region, interface).join("\n"));
        put("subnet-id", interface.subnet.to_string());
        put("vpc-id", interface.vpc.to_string());
        if let Some(subnet) = region.subnets.get(&interface.subnet) {
            put("subnet-ipv4-cidr-block", subnet.cidr.to_string());
            if let Some(range) = subnet.range6() {
                put("subnet-ipv6-cidr-blocks", range.to_string());
            }
        }
        if let Some(vpc) = region.vpcs.get(&interface.vpc) {
            put("vpc-ipv4-cidr-block", vpc.cidr.to_string());
            put("vpc-ipv4-cidr-blocks", lines(vpc.ranges()));
            if vpc.ranges6().next().is_some() {
                put("vpc-ipv6-cidr-blocks", lines(vpc.ranges6()));
            }
        }
        let primary = interface.primary_public_address(region);
        if let Some(name) = interface.public_dns_name(primary, region) {
            put("public-hostname", name);
        }
        let public = |private| Some((interface.public_address_of(private, region)?, private));
        let public: Vec<(Ipv4Addr, Ipv4Addr)> = interface.addresses().filter_map(public).collect();
        for (address, private) in &public {
            put(&format!("ipv4-associations/{address}"), private.to_string());
        }
        if !public.is_empty() {
            put("public-ipv4s", lines(public.iter().map(|(address, _)| *address)));
        }
    }
}

/// Addresses, one a line.
fn lines(addresses: impl Iterator<Item = impl Display>) -> String {
    addresses.map(|address| address.to_string()).collect::<Vec<_>>().join("\n")
}

fn names<'a>(region: &'a Region, interface: &NetworkInterface) -> Vec<&'a str> {
    interface.groups.iter().filter_map(|id| region.security_groups.get(id)).map(|group| group.name.as_str()).collect()
}

/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instance-identity-documents.html>.
fn identity(settings: &Settings, region: &Region, id: &InstanceId, instance: &Instance) -> String {
    let address = instance
        .primary()
        .and_then(|nic| region.network_interfaces.get(nic))
        .map(|interface| interface.address.to_string());
    let document = serde_json::json!({
        "accountId": settings.account,
        "architecture": instance.architecture.name(),
        "availabilityZone": instance.zone.name(),
        "billingProducts": null,
        "devpayProductCodes": null,
        "imageId": instance.image.as_ref(),
        "instanceId": id.as_ref(),
        "instanceType": instance.instance_type.name,
        "kernelId": null,
        "marketplaceProductCodes": null,
        "pendingTime": timestamp(whole_second(instance.launched)).replace(".000Z", "Z"),
        "privateIp": address,
        "ramdiskId": null,
        "region": region.place.name,
        "version": "2017-09-30",
    });
    serde_json::to_string_pretty(&document).unwrap_or_default()
}
