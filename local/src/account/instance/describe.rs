//! DescribeInstances.

use super::{Instance, State};
use crate::{
    account::{
        Context,
        describe::{Listing, Row},
        filter::whole_second,
        ids::{InstanceId, ReservationId},
        image::ROOT_DEVICE,
        instance_profile,
        region::Region,
        settings::Settings,
    },
    error::ApiError,
    wire::Structure,
};
use time::OffsetDateTime;

/// The filters of instances; what no instance has here has no path.
const LISTING: Listing = Listing {
    action: "DescribeInstances",
    ids: "InstanceIds",
    id: "InstanceId",
    sizes: 5..=1000,
    filters: &[
        ("affinity", ""),
        ("architecture", "Architecture"),
        ("availability-zone", "Placement.AvailabilityZone"),
        ("availability-zone-id", "Placement.AvailabilityZoneId"),
        ("block-device-mapping.attach-time", "BlockDeviceMappings.Ebs.AttachTime"),
        ("block-device-mapping.delete-on-termination", "BlockDeviceMappings.Ebs.DeleteOnTermination"),
        ("block-device-mapping.device-name", "BlockDeviceMappings.DeviceName"),
        ("block-device-mapping.status", "BlockDeviceMappings.Ebs.Status"),
        ("block-device-mapping.volume-id", "BlockDeviceMappings.Ebs.VolumeId"),
        ("boot-mode", "BootMode"),
        ("capacity-reservation-id", ""),
        (
            "capacity-reservation-specification.capacity-reservation-preference",
            "CapacityReservationSpecification.CapacityReservationPreference",
        ),
        ("capacity-reservation-specification.capacity-reservation-target.capacity-reservation-id", ""),
        ("capacity-reservation-specification.capacity-reservation-target.capacity-reservation-resource-group-arn", ""),
        ("client-token", "ClientToken"),
        ("current-instance-boot-mode", "CurrentInstanceBootMode"),
        ("dns-name", "PublicDnsName"),
        ("ebs-optimized", "EbsOptimized"),
        ("ena-support", "EnaSupport"),
        ("enclave-options.enabled", "EnclaveOptions.Enabled"),
        ("group-id", "SecurityGroups.GroupId"),
        ("group-name", "SecurityGroups.GroupName"),
        ("hibernation-options.configured", "HibernationOptions.Configured"),
        ("host-id", ""),
        ("hypervisor", "Hypervisor"),
        ("iam-instance-profile.arn", "IamInstanceProfile.Arn"),
        ("iam-instance-profile.id", "IamInstanceProfile.Id"),
        ("iam-instance-profile.name", "IamInstanceProfileName"),
        ("image-id", "ImageId"),
        ("instance-id", "InstanceId"),
        ("instance-lifecycle", "InstanceLifecycle"),
        ("instance-state-code", "State.Code"),
        ("instance-state-name", "State.Name"),
        ("instance-type", "InstanceType"),
        ("instance.group-id", "SecurityGroups.GroupId"),
        ("instance.group-name", "SecurityGroups.GroupName"),
        ("ip-address", "PublicIpAddress"),
        ("ipv6-address", "Ipv6Address"),
        ("kernel-id", ""),
        ("key-name", "KeyName"),
        ("launch-index", "AmiLaunchIndex"),
        ("launch-time", "LaunchTime"),
        ("maintenance-options.auto-recovery", "MaintenanceOptions.AutoRecovery"),
        ("metadata-options.http-endpoint", "MetadataOptions.HttpEndpoint"),
        ("metadata-options.http-protocol-ipv4", "MetadataOptions.HttpEndpoint"),
        ("metadata-options.http-protocol-ipv6", "MetadataOptions.HttpProtocolIpv6"),
        ("metadata-options.http-put-response-hop-limit", "MetadataOptions.HttpPutResponseHopLimit"),
        ("metadata-options.http-tokens", "MetadataOptions.HttpTokens"),
        ("metadata-options.instance-metadata-tags", "MetadataOptions.InstanceMetadataTags"),
        ("metadata-options.state", "MetadataOptions.State"),
        ("monitoring-state", "Monitoring.State"),
        ("network-interface.addresses.association.allocation-id", ""),
        ("network-interface.addresses.association.association-id", ""),
        ("network-interface.addresses.association.carrier-ip", ""),
        ("network-interface.addresses.association.customer-owned-ip", ""),
        (
            "network-interface.addresses.association.ip-owner-id",
            "NetworkInterfaces.PrivateIpAddresses.Association.IpOwnerId",
        ),
        (
            "network-interface.addresses.association.public-dns-name",
            "NetworkInterfaces.PrivateIpAddresses.Association.PublicDnsName",
        ),
        (
            "network-interface.addresses.association.public-ip",
            "NetworkInterfaces.PrivateIpAddresses.Association.PublicIp",
        ),
        ("network-interface.addresses.primary", "NetworkInterfaces.PrivateIpAddresses.Primary"),
        ("network-interface.addresses.private-dns-name", "NetworkInterfaces.PrivateIpAddresses.PrivateDnsName"),
        ("network-interface.addresses.private-ip-address", "NetworkInterfaces.PrivateIpAddresses.PrivateIpAddress"),
        ("network-interface.association.allocation-id", "NetworkInterfaceAddresses.AllocationId"),
        ("network-interface.association.association-id", "NetworkInterfaceAddresses.AssociationId"),
        ("network-interface.association.carrier-ip", ""),
        ("network-interface.association.customer-owned-ip", ""),
        ("network-interface.association.ip-owner-id", "NetworkInterfaces.Association.IpOwnerId"),
        ("network-interface.association.public-dns-name", "NetworkInterfaces.Association.PublicDnsName"),
        ("network-interface.association.public-ip", "NetworkInterfaces.Association.PublicIp"),
        ("network-interface.attachment.attach-time", "NetworkInterfaces.Attachment.AttachTime"),
        ("network-interface.attachment.attachment-id", "NetworkInterfaces.Attachment.AttachmentId"),
        ("network-interface.attachment.delete-on-termination", "NetworkInterfaces.Attachment.DeleteOnTermination"),
        ("network-interface.attachment.device-index", "NetworkInterfaces.Attachment.DeviceIndex"),
        ("network-interface.attachment.instance-id", "InstanceId"),
        ("network-interface.attachment.instance-owner-id", "NetworkInterfaces.OwnerId"),
        ("network-interface.attachment.network-card-index", "NetworkInterfaces.Attachment.NetworkCardIndex"),
        ("network-interface.attachment.status", "NetworkInterfaces.Attachment.Status"),
        ("network-interface.availability-zone", "Placement.AvailabilityZone"),
        ("network-interface.deny-all-igw-traffic", ""),
        ("network-interface.description", "NetworkInterfaces.Description"),
        ("network-interface.group-id", "NetworkInterfaces.Groups.GroupId"),
        ("network-interface.group-name", "NetworkInterfaces.Groups.GroupName"),
        ("network-interface.ipv4-prefixes.ipv4-prefix", ""),
        ("network-interface.ipv6-address", "NetworkInterfaces.Ipv6Addresses.Ipv6Address"),
        ("network-interface.ipv6-addresses.ipv6-address", "NetworkInterfaces.Ipv6Addresses.Ipv6Address"),
        ("network-interface.ipv6-addresses.is-primary-ipv6", "NetworkInterfaces.Ipv6Addresses.IsPrimaryIpv6"),
        ("network-interface.ipv6-native", ""),
        ("network-interface.ipv6-prefixes.ipv6-prefix", ""),
        ("network-interface.mac-address", "NetworkInterfaces.MacAddress"),
        ("network-interface.network-interface-id", "NetworkInterfaces.NetworkInterfaceId"),
        ("network-interface.operator.managed", ""),
        ("network-interface.operator.principal", ""),
        ("network-interface.outpost-arn", ""),
        ("network-interface.owner-id", "NetworkInterfaces.OwnerId"),
        ("network-interface.private-dns-name", "NetworkInterfaces.PrivateDnsName"),
        ("network-interface.private-ip-address", "NetworkInterfaces.PrivateIpAddress"),
        ("network-interface.public-dns-name", "NetworkInterfaces.Association.PublicDnsName"),
        ("network-interface.requester-id", ""),
        ("network-interface.requester-managed", ""),
        ("network-interface.source-dest-check", "NetworkInterfaces.SourceDestCheck"),
        ("network-interface.status", "NetworkInterfaces.Status"),
        ("network-interface.subnet-id", "NetworkInterfaces.SubnetId"),
        ("network-interface.tag-key", "NetworkInterfaceTags.Key"),
        ("network-interface.tag-value", "NetworkInterfaceTags.Value"),
        ("network-interface.vpc-id", "NetworkInterfaces.VpcId"),
        ("network-performance-options.bandwidth-weighting", "NetworkPerformanceOptions.BandwidthWeighting"),
        ("operator.managed", "Operator.Managed"),
        ("operator.principal", ""),
        ("outpost-arn", ""),
        ("owner-id", "OwnerId"),
        ("placement-group-name", "Placement.GroupName"),
        ("placement-partition-number", "Placement.PartitionNumber"),
        ("platform", "Platform"),
        ("platform-details", "PlatformDetails"),
        ("private-dns-name", "PrivateDnsName"),
        (
            "private-dns-name-options.enable-resource-name-dns-a-record",
            "PrivateDnsNameOptions.EnableResourceNameDnsARecord",
        ),
        (
            "private-dns-name-options.enable-resource-name-dns-aaaa-record",
            "PrivateDnsNameOptions.EnableResourceNameDnsAAAARecord",
        ),
        ("private-dns-name-options.hostname-type", "PrivateDnsNameOptions.HostnameType"),
        ("private-ip-address", "PrivateIpAddress"),
        ("product-code", ""),
        ("product-code.type", ""),
        ("ramdisk-id", ""),
        ("reason", "StateTransitionReason"),
        ("requester-id", ""),
        ("reservation-id", "ReservationId"),
        ("root-device-name", "RootDeviceName"),
        ("root-device-type", "RootDeviceType"),
        ("source-dest-check", "SourceDestCheck"),
        ("spot-instance-request-id", "SpotInstanceRequestId"),
        ("state-reason-code", "StateReason.Code"),
        ("state-reason-message", "StateReason.Message"),
        ("subnet-id", "SubnetId"),
        ("tenancy", "Placement.Tenancy"),
        ("tpm-support", ""),
        ("usage-operation", "UsageOperation"),
        ("usage-operation-update-time", "UsageOperationUpdateTime"),
        ("virtualization-type", "VirtualizationType"),
        ("vpc-id", "VpcId"),
    ],
};

pub(in crate::account) fn describe(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let (settings, now, region) = (context.settings, context.now, &*context.region);
    let account = settings.account.as_str();
    let (rows, next) = LISTING.select(
        input,
        &region.instances,
        &region.tags,
        |_| true,
        |id, instance| {
            let nic_tags: Vec<_> = instance.network_interfaces.iter().map(|nic| region.tags.shown(nic)).collect();
            let nics = instance.network_interfaces.iter().filter_map(|nic| region.network_interfaces.get(nic));
            let elastic: Vec<Structure> = nics.flat_map(|nic| nic.all_elastic_ids(region)).collect();
            let hidden = Structure::new()
                .with("ReservationId", &instance.reservation)
                .with("OwnerId", account)
                .with_some(
                    "IamInstanceProfileName",
                    instance_profile::of(settings, region, instance).map(|(_, name)| name),
                )
                .with("NetworkInterfaceAddresses", elastic)
                .with("NetworkInterfaceTags", crate::wire::Value::List(nic_tags));
            Row { shown: shown(settings, now, region, id, instance), hidden }
        },
    )?;
    let mut reservations: Vec<(&ReservationId, Vec<Structure>)> = Vec::new();
    for row in rows {
        let id = row.string("InstanceId").map(|id| <InstanceId as crate::account::ids::Id>::new(id.to_owned()));
        let Some(instance) = id.and_then(|id| region.instances.get(&id)) else { continue };
        match reservations.last_mut() {
            Some((reservation, instances)) if **reservation == instance.reservation => instances.push(row),
            _ => reservations.push((&instance.reservation, vec![row])),
        }
    }
    let shown: Vec<Structure> =
        reservations.into_iter().map(|(id, instances)| reservation_of(account, id, instances)).collect();
    Ok(Structure::new().with("Reservations", shown).with_some("NextToken", next))
}

fn reservation_of(account: &str, id: &ReservationId, instances: Vec<Structure>) -> Structure {
    Structure::new()
        .with("ReservationId", id)
        .with("OwnerId", account)
        .with("Groups", Vec::<Structure>::new())
        .with("Instances", instances)
}

/// A reservation as it is.
pub(super) fn reservation(context: &Context<'_>, id: &ReservationId, instances: &[InstanceId]) -> Structure {
    let region = &*context.region;
    let instances = instances
        .iter()
        .filter_map(|id| Some(shown(context.settings, context.now, region, id, region.instances.get(id)?)));
    reservation_of(&context.settings.account, id, instances.collect())
}

/// A reservation at the moment of its launch: its interfaces are being attached, and of volumes nothing is told yet.
/// Source: <https://docs.aws.amazon.com/cli/latest/reference/ec2/run-instances.html>.
pub(super) fn launched(context: &Context<'_>, id: &ReservationId, instances: &[InstanceId]) -> Structure {
    let attaching = |interface: &Structure| {
        let attachment = interface.structure("Attachment").map(|it| it.clone().with("Status", "attaching"));
        interface.clone().with_some("Attachment", attachment)
    };
    let on_its_way = |instance: &Structure| {
        let interfaces: Vec<Structure> = instance.structures("NetworkInterfaces").map(attaching).collect();
        instance.clone().with("NetworkInterfaces", interfaces).with("BlockDeviceMappings", Vec::<Structure>::new())
    };
    let reservation = reservation(context, id, instances);
    let instances: Vec<Structure> = reservation.structures("Instances").map(on_its_way).collect();
    reservation.with("Instances", instances)
}

/// An instance as Describe shows it.
pub(in crate::account) fn shown(
    settings: &Settings,
    now: OffsetDateTime,
    region: &Region,
    id: &InstanceId,
    instance: &Instance,
) -> Structure {
    let placement = Structure::new()
        .with("AvailabilityZone", instance.zone.name())
        .with("AvailabilityZoneId", instance.zone.id())
        .with("GroupName", "")
        .with("Tenancy", "default");
    let placement = match &instance.placement {
        Some(group) => group.shown(region, placement),
        None => placement,
    };
    let reason = instance
        .state_reason
        .as_ref()
        .map(|reason| Structure::new().with("Code", &*reason.code).with("Message", reason.message.as_str()));
    let options = &instance.options;
    let shown = Structure::new()
        .with("InstanceId", id)
        .with("ImageId", &instance.image)
        .with("InstanceType", instance.instance_type.name)
        .with("State", instance.state.shown())
        .with_some("StateReason", reason)
        .with("StateTransitionReason", instance.transition_reason.as_str())
        .with("LaunchTime", whole_second(instance.launched))
        .with("AmiLaunchIndex", instance.launch_index)
        .with("ClientToken", instance.client_token.as_deref().unwrap_or_default())
        .with_some("KeyName", instance.key.as_ref().map(|key| key.name.as_str()))
        .with("Architecture", instance.architecture.name())
        .with("Placement", placement)
        .with("Monitoring", super::monitoring::shown(settings, now, options))
        .with_some("IamInstanceProfile", instance_profile::of(settings, region, instance).map(|(shown, _)| shown))
        .with("EbsOptimized", options.ebs_optimized)
        .with("EnaSupport", true)
        .with("EnclaveOptions", Structure::new().with("Enabled", false))
        .with("HibernationOptions", Structure::new().with("Configured", false))
        .with("Hypervisor", "xen")
        .with("VirtualizationType", "hvm")
        .with("BootMode", "uefi-preferred")
        .with("CurrentInstanceBootMode", "uefi")
        .with("PlatformDetails", "Linux/UNIX")
        .with("UsageOperation", "RunInstances")
        .with("UsageOperationUpdateTime", whole_second(instance.launched))
        .with("RootDeviceName", root_device(region, instance))
        .with("RootDeviceType", "ebs")
        .with(
            "CpuOptions",
            Structure::new().with("CoreCount", options.cores).with("ThreadsPerCore", options.threads_per_core),
        )
        .with(
            "CapacityReservationSpecification",
            Structure::new().with("CapacityReservationPreference", options.capacity_preference.as_str()),
        )
        .with("MaintenanceOptions", Structure::new().with("AutoRecovery", options.auto_recovery.as_str()))
        .with("NetworkPerformanceOptions", Structure::new().with("BandwidthWeighting", "default"))
        .with("Operator", Structure::new().with("Managed", false))
        .with("MetadataOptions", instance.metadata_options.shown(instance.state != State::Pending))
        .with("PrivateDnsNameOptions", options.names.shown())
        .with("ProductCodes", Vec::<Structure>::new())
        .with("BlockDeviceMappings", mappings(settings, now, region, instance))
        .with_some("InstanceLifecycle", instance.spot.as_ref().map(|_| "spot"))
        .with_some("SpotInstanceRequestId", instance.spot.as_ref().map(|spot| &spot.request))
        .with("Tags", region.tags.shown(id));
    with_network(shown, settings, region, now, (id, instance))
}

/// The name of an instance's root device: images of earlier versions had another.
pub(in crate::account) fn root_device<'a>(region: &'a Region, instance: &'a Instance) -> &'a str {
    if let Some(name) = &instance.rootless {
        return name;
    }
    let volume = instance.root().and_then(|id| region.volumes.get(id));
    volume.and_then(|volume| volume.attachment.as_ref()).map_or(ROOT_DEVICE, |attachment| &attachment.device)
}

/// The names of an instance's devices, its root's first.
pub(super) fn device_names<'a>(region: &'a Region, instance: &'a Instance) -> impl Iterator<Item = &'a str> {
    let attachments = instance.volumes.iter().filter_map(|id| region.volumes.get(id)?.attachment.as_ref());
    attachments.map(|attachment| attachment.device.as_str())
}

/// The volumes of an instance.
pub(super) fn mappings(
    settings: &Settings,
    now: OffsetDateTime,
    region: &Region,
    instance: &Instance,
) -> Vec<Structure> {
    let mapping = |id| {
        let attachment = region.volumes.get(id)?.attachment.as_ref()?;
        let ebs = Structure::new()
            .with("VolumeId", id)
            .with("Status", attachment.state(settings, now).name_in_instance())
            .with("AttachTime", whole_second(attachment.time))
            .with("DeleteOnTermination", attachment.delete_on_termination);
        Some(Structure::new().with("DeviceName", attachment.device.as_str()).with("Ebs", ebs))
    };
    instance.volumes.iter().filter_map(mapping).collect()
}

/// What the primary interface says of the instance; nothing once it is terminated, but for empty names.
fn with_network(
    shown: Structure,
    settings: &Settings,
    region: &Region,
    now: OffsetDateTime,
    (id, instance): (&InstanceId, &Instance),
) -> Structure {
    let interfaces: Vec<_> =
        instance.network_interfaces.iter().filter_map(|id| Some((id, region.network_interfaces.get(id)?))).collect();
    let all: Vec<Structure> =
        interfaces.iter().map(|(id, interface)| interface.shown(id, region, settings, now)).collect();
    let primary = interfaces.first().map(|(_, interface)| interface);
    let public = primary.and_then(|interface| interface.primary_public_address(region));
    let groups = primary.map_or_else(Vec::new, |interface| region.group_identifiers(&interface.groups));
    shown
        .with("NetworkInterfaces", all)
        .with("SecurityGroups", groups)
        .with_some("SourceDestCheck", primary.map(|interface| interface.source_dest_check))
        .with_some("VpcId", primary.map(|interface| &interface.vpc))
        .with_some("SubnetId", primary.map(|interface| &interface.subnet))
        .with_some("PrivateIpAddress", primary.map(|interface| interface.address.to_string()))
        .with(
            "PrivateDnsName",
            primary.map_or_else(String::new, |interface| instance.options.names.name(region, id, interface.address)),
        )
        .with_some("Ipv6Address", primary.and_then(|interface| interface.ipv6.first()).map(ToString::to_string))
        .with_some("PublicIpAddress", public.map(|address| address.to_string()))
        .with(
            "PublicDnsName",
            primary.and_then(|interface| interface.public_dns_name(public, region)).unwrap_or_default(),
        )
}
