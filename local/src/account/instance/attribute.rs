//! DescribeInstanceAttribute, ModifyInstanceAttribute.

use super::{Instance, ShutdownBehavior, State, credits, user_data};
use crate::{
    account::{
        Context,
        ids::{InstanceId, NetworkInterfaceId},
        instance_type,
        request::{combination, decode, invalid, missing, only, required, unsupported},
    },
    error::{ApiError, Code},
    wire::{Structure, Value},
};
use base64::{Engine, engine::general_purpose::STANDARD};

pub(in crate::account) fn describe(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let id = context.region.instances.parse(required(input, "InstanceId")?)?;
    let instance = context.region.instances.require(&id)?;
    let value = |value: Value| Structure::new().with("Value", value);
    let options = &instance.options;
    let primary = instance.primary().and_then(|nic| context.region.network_interfaces.get(nic));
    let answer = Structure::new().with("InstanceId", &id);
    Ok(match required(input, "Attribute")? {
        "instanceType" => answer.with("InstanceType", value(instance.instance_type.name.into())),
        "userData" => {
            let data = instance.user_data.as_ref().map(|data| value(STANDARD.encode(data).into()));
            answer.with("UserData", data.unwrap_or_default())
        }
        "disableApiTermination" => answer.with("DisableApiTermination", value(options.disable_termination.into())),
        "disableApiStop" => answer.with("DisableApiStop", value(options.disable_stop.into())),
        "instanceInitiatedShutdownBehavior" => {
            answer.with("InstanceInitiatedShutdownBehavior", value(options.shutdown_behavior.name().into()))
        }
        "rootDeviceName" => {
            answer.with("RootDeviceName", value(super::describe::root_device(context.region, instance).into()))
        }
        "blockDeviceMapping" => {
            let mappings = super::describe::mappings(context.settings, context.now, context.region, instance);
            answer.with("BlockDeviceMappings", mappings)
        }
        "sourceDestCheck" => {
            answer.with("SourceDestCheck", value(primary.is_some_and(|nic| nic.source_dest_check).into()))
        }
        "groupSet" => {
            answer.with("Groups", primary.map_or_else(Vec::new, |nic| context.region.group_identifiers(&nic.groups)))
        }
        "ebsOptimized" => answer.with("EbsOptimized", value(options.ebs_optimized.into())),
        "sriovNetSupport" => answer.with("SriovNetSupport", value("simple".into())),
        "enaSupport" => answer.with("EnaSupport", value(true.into())),
        "enclaveOptions" => answer.with("EnclaveOptions", Structure::new().with("Enabled", false)),
        "productCodes" => answer.with("ProductCodes", Vec::<Structure>::new()),
        "kernel" => answer.with("KernelId", Structure::new()),
        "ramdisk" => answer.with("RamdiskId", Structure::new()),
        other => {
            return Err(invalid(format!("Value ({other}) for parameter attribute is invalid. Unknown attribute.")));
        }
    })
}

/// A change of one attribute.
#[derive(Debug)]
enum Change<'a> {
    DisableTermination(bool),
    DisableStop(bool),
    EbsOptimized(bool),
    SourceDestCheck(bool),
    ShutdownBehavior(&'a str),
    InstanceType(&'a str),
    UserData(Vec<u8>),
    Groups(Vec<&'a str>),
    Volumes(Vec<&'a Structure>),
}

/// What a request changes: one attribute, named by a member of its own or by Attribute and Value.
fn read(input: &Structure) -> Result<Change<'_>, ApiError> {
    let mut changes = Vec::new();
    for (member, value) in input.members() {
        let boolean =
            || value_of(value).and_then(|v| v.boolean("Value")).ok_or_else(|| missing(&format!("{member}.Value")));
        let string =
            || value_of(value).and_then(|v| v.string("Value")).ok_or_else(|| missing(&format!("{member}.Value")));
        changes.push(match member {
            "DisableApiTermination" => Change::DisableTermination(boolean()?),
            "DisableApiStop" => Change::DisableStop(boolean()?),
            "EbsOptimized" => Change::EbsOptimized(boolean()?),
            "SourceDestCheck" => Change::SourceDestCheck(boolean()?),
            "InstanceInitiatedShutdownBehavior" => Change::ShutdownBehavior(string()?),
            "InstanceType" => Change::InstanceType(string()?),
            "UserData" => match value_of(value).and_then(|v| v.get("Value")) {
                Some(Value::Blob(data)) => Change::UserData(data.clone()),
                _ => Change::UserData(Vec::new()),
            },
            "Groups" => Change::Groups(input.strings("Groups").collect()),
            "BlockDeviceMappings" => Change::Volumes(input.structures("BlockDeviceMappings").collect()),
            _ => continue,
        });
    }
    if input.get("Attribute").is_some() || input.get("Value").is_some() {
        changes.push(named(required(input, "Attribute")?, required(input, "Value")?)?);
    }
    match changes.len() {
        0 => Err(combination("No attributes specified.")),
        1 => Ok(changes.remove(0)),
        _ => Err(combination("Fields for multiple attribute types specified")),
    }
}

fn value_of(value: &Value) -> Option<&Structure> {
    match value {
        Value::Structure(structure) => Some(structure),
        _ => None,
    }
}

fn named<'a>(attribute: &str, value: &'a str) -> Result<Change<'a>, ApiError> {
    let boolean = || {
        value
            .parse()
            .map_err(|_| invalid(format!("Value ({value}) for parameter value is invalid. It must be true or false.")))
    };
    Ok(match attribute {
        "disableApiTermination" => Change::DisableTermination(boolean()?),
        "disableApiStop" => Change::DisableStop(boolean()?),
        "ebsOptimized" => Change::EbsOptimized(boolean()?),
        "sourceDestCheck" => Change::SourceDestCheck(boolean()?),
        "instanceInitiatedShutdownBehavior" => Change::ShutdownBehavior(value),
        "instanceType" => Change::InstanceType(value),
        "userData" => Change::UserData(decode(value).ok_or_else(|| invalid("Invalid BASE64 encoding of user data."))?),
        "productCodes" | "rootDeviceName" => {
            let message = format!("The attribute '{attribute}' cannot be modified.");
            return Err(ApiError::new(Code::UnsupportedInstanceAttribute, message));
        }
        other => return Err(unsupported(format!("Modifying the attribute '{other}'"))),
    })
}

pub(in crate::account) fn modify(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let id = context.region.instances.parse(required(input, "InstanceId")?)?;
    let change = read(input)?;
    if matches!(context.region.instances.require(&id)?.state, State::ShuttingDown | State::Terminated) {
        let message = format!("The instance '{id}' is not in a state in which its attributes can be modified.");
        return Err(ApiError::new(Code::IncorrectInstanceState, message));
    }
    match change {
        Change::Groups(groups) => set_groups(context, &id, &groups)?,
        Change::Volumes(mappings) => set_volumes(context, &id, &mappings)?,
        Change::SourceDestCheck(check) => {
            if let Some(nic) = only_interface(context, &id)? {
                context.region.network_interfaces.require_mut(&nic)?.source_dest_check = check;
                context.interface_changed(&nic);
            }
        }
        change => set(context.region.instances.require_mut(&id)?, &id, change)?,
    }
    Ok(Structure::new())
}

/// Changes that concern nothing but the instance.
fn set(instance: &mut Instance, id: &InstanceId, change: Change<'_>) -> Result<(), ApiError> {
    let stopped = instance.state == State::Stopped;
    let must_be_stopped = || {
        let message = format!("The instance '{id}' is not in the 'stopped' state.");
        if stopped { Ok(()) } else { Err(ApiError::new(Code::IncorrectInstanceState, message)) }
    };
    match change {
        Change::DisableTermination(on) => instance.options.disable_termination = on,
        Change::DisableStop(on) => instance.options.disable_stop = on,
        Change::EbsOptimized(on) => {
            must_be_stopped()?;
            instance.options.ebs_optimized = on;
        }
        Change::ShutdownBehavior(name) => {
            if !ShutdownBehavior::NAMES.contains(&name) {
                return Err(invalid(format!("Invalid value '{name}' for InstanceInitiatedShutdownBehavior")));
            }
            instance.options.shutdown_behavior = ShutdownBehavior::named(name);
        }
        Change::InstanceType(name) => {
            let refused = |message| ApiError::new(Code::InvalidInstanceAttributeValue, message);
            let instance_type = instance_type::named(name).map_err(|error| refused(error.message))?;
            must_be_stopped()?;
            if instance_type.architecture != instance.architecture.name() {
                let from = instance.instance_type.name;
                return Err(refused(format!("Modifying the instance type from {from} to {name} is not allowed.")));
            }
            credits::keep(instance);
            instance.instance_type = instance_type;
            (instance.options.cores, instance.options.threads_per_core) =
                (instance_type.cores(), instance_type.threads_per_core());
        }
        Change::UserData(data) => {
            let data = user_data::check(data)?;
            must_be_stopped()?;
            instance.user_data = data;
        }
        Change::Groups(_) | Change::Volumes(_) | Change::SourceDestCheck(_) => {}
    }
    Ok(())
}

/// The interface of an instance that is meant by what is said of the instance: it must have no other.
/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_ModifyInstanceAttribute.html>.
fn only_interface(context: &Context<'_>, id: &InstanceId) -> Result<Option<NetworkInterfaceId>, ApiError> {
    match context.region.instances.require(id)?.network_interfaces.as_slice() {
        [] => Ok(None),
        [only] => Ok(Some(only.clone())),
        _ => Err(several_interfaces(id)),
    }
}

/// The instance has several interfaces, where one must be named.
pub(in crate::account) fn several_interfaces(id: &InstanceId) -> ApiError {
    let message = format!(
        "There are multiple interfaces attached to instance '{id}'. Please specify an interface ID for the operation instead."
    );
    ApiError::new(Code::InvalidInstanceId, message)
}

fn set_groups(context: &mut Context<'_>, id: &InstanceId, groups: &[&str]) -> Result<(), ApiError> {
    let Some(nic) = only_interface(context, id)? else { return Ok(()) };
    let subnet = context.region.network_interfaces.require(&nic)?.subnet.clone();
    let groups = super::network::groups(context.region, &subnet, groups, &[])?;
    context.region.network_interfaces.require_mut(&nic)?.groups = groups;
    context.interface_changed(&nic);
    Ok(())
}

/// Whether volumes end with the instance; they do where nothing else is said.
/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_ModifyInstanceAttribute.html>.
fn set_volumes(context: &mut Context<'_>, id: &InstanceId, mappings: &[&Structure]) -> Result<(), ApiError> {
    let volumes = context.region.instances.require(id)?.volumes.clone();
    let mut changes = Vec::new();
    for mapping in mappings {
        only(mapping, "BlockDeviceMappings.", &["DeviceName", "Ebs"])?;
        let device = required(mapping, "DeviceName")?;
        let ebs = mapping.structure("Ebs").ok_or_else(|| missing("BlockDeviceMapping.Ebs"))?;
        only(ebs, "BlockDeviceMappings.Ebs.", &["DeleteOnTermination", "VolumeId"])?;
        let attached = |volume: &&_| {
            let attachment = context.region.volumes.get(volume).and_then(|volume| volume.attachment.as_ref());
            attachment.is_some_and(|attachment| attachment.device == device)
        };
        let volume = volumes.iter().find(attached).ok_or_else(|| {
            ApiError::new(Code::InvalidBlockDeviceMapping, format!("No device is currently mapped at {device}"))
        })?;
        if ebs.string("VolumeId").is_some_and(|named| named != volume.as_ref()) {
            return Err(invalid(format!("The volume at {device} is {volume}")));
        }
        changes.push((volume.clone(), ebs.boolean("DeleteOnTermination").unwrap_or(true)));
    }
    for (volume, delete) in changes {
        if let Some(attachment) = context.region.volumes.require_mut(&volume)?.attachment.as_mut() {
            attachment.delete_on_termination = delete;
        }
    }
    Ok(())
}
