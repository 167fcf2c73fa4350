//! GetLaunchTemplateData: what a template must hold so that its instances are like one that there is.
//!
//! Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_GetLaunchTemplateData.html>.

use crate::{
    account::{
        Context,
        ids::InstanceId,
        instance::{self, Instance},
        network_interface::NetworkInterface,
        region::Region,
        request::required,
        spot,
    },
    error::ApiError,
    wire::{Structure, Value},
};
use base64::{Engine, engine::general_purpose::STANDARD};

pub(in crate::account) fn get_data(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let region = &*context.region;
    let id = region.instances.parse(required(input, "InstanceId")?)?;
    let data = data(context, &id, region.instances.require(&id)?);
    Ok(Structure::new().with("LaunchTemplateData", data))
}

/// What of an instance, as it is described, a launch says in the same words.
const SAME: &[&str] = &[
    "CapacityReservationSpecification",
    "CpuOptions",
    "EbsOptimized",
    "EnclaveOptions",
    "HibernationOptions",
    "ImageId",
    "InstanceType",
    "KeyName",
    "MaintenanceOptions",
    "PrivateDnsNameOptions",
];

fn data(context: &Context<'_>, id: &InstanceId, instance: &Instance) -> Structure {
    let region = &*context.region;
    let options = &instance.options;
    let shown = instance::describe::shown(context.settings, context.now, region, id, instance);
    let mut data = Structure::new();
    for name in SAME {
        if let Some(value) = shown.get(name) {
            data.set(*name, value.clone());
        }
    }
    let user_data = instance.user_data.as_ref().map(|data| STANDARD.encode(data));
    let tags = region.tags.get(id).into_iter().flatten().filter(|(key, _)| !key.starts_with("aws:"));
    let tags: Vec<Structure> =
        tags.map(|(key, value)| Structure::new().with("Key", key.as_str()).with("Value", value.as_str())).collect();
    let tags = (!tags.is_empty())
        .then(|| Value::List(vec![Structure::new().with("ResourceType", "instance").with("Tags", tags).into()]));
    let placement = shown.structure("Placement").cloned().unwrap_or_default();
    data.with("BlockDeviceMappings", mappings(region, instance))
        .with("DisableApiStop", options.disable_stop)
        .with("DisableApiTermination", options.disable_termination)
        .with("InstanceInitiatedShutdownBehavior", options.shutdown_behavior.name())
        .with_some("InstanceMarketOptions", spot::market_options(region, instance))
        .with("MetadataOptions", metadata(&shown))
        .with("Monitoring", Structure::new().with("Enabled", options.monitoring))
        .with("NetworkInterfaces", interfaces(region, instance))
        .with("Placement", super::data::without(&placement, &["AvailabilityZoneId", "GroupId"]))
        .with_some("TagSpecifications", tags)
        .with_some("UserData", user_data)
}

fn metadata(shown: &Structure) -> Structure {
    super::data::without(&shown.structure("MetadataOptions").cloned().unwrap_or_default(), &["State"])
}

fn mappings(region: &Region, instance: &Instance) -> Vec<Structure> {
    let mapping = |id| {
        let volume = region.volumes.get(id)?;
        let attachment = volume.attachment.as_ref()?;
        let shape = &volume.shape;
        let ebs = Structure::new()
            .with("DeleteOnTermination", attachment.delete_on_termination)
            .with("Encrypted", shape.encrypted)
            .with_some("Iops", shape.iops)
            .with_some("SnapshotId", volume.snapshot.as_ref())
            .with_some("Throughput", shape.throughput)
            .with("VolumeSize", shape.gib)
            .with("VolumeType", shape.volume_type.name());
        Some(Structure::new().with("DeviceName", attachment.device.as_str()).with("Ebs", ebs))
    };
    instance.volumes.iter().filter_map(mapping).collect()
}

fn interfaces(region: &Region, instance: &Instance) -> Vec<Structure> {
    let is_only = instance.network_interfaces.len() == 1;
    let shown = |interface: &NetworkInterface| {
        let attachment = interface.attachment.as_ref();
        let groups: Vec<&str> = interface.groups.iter().map(AsRef::as_ref).collect();
        let addresses = interface.addresses().enumerate().map(|(number, address)| {
            Structure::new().with("Primary", number == 0).with("PrivateIpAddress", address.to_string())
        });
        Structure::new()
            .with_some("AssociatePublicIpAddress", is_only.then_some(interface.associate_public))
            .with("DeleteOnTermination", attachment.is_some_and(|attachment| attachment.delete_on_termination))
            .with("Description", interface.description.as_str())
            .with("DeviceIndex", attachment.map_or(0, |attachment| attachment.device_index))
            .with("Groups", groups)
            .with("InterfaceType", "interface")
            .with("NetworkCardIndex", 0_i64)
            .with("PrivateIpAddresses", addresses.collect::<Vec<_>>())
            .with("SubnetId", &interface.subnet)
    };
    let held = instance.network_interfaces.iter().filter_map(|nic| region.network_interfaces.get(nic));
    held.map(shown).collect()
}
