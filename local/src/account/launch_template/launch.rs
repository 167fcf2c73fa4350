//! What a launch has of its template: the template's parameters, and over them those of the request.
//!
//! What is part of a larger structure is overridden part by part: tags by their keys, volumes by their devices, network interfaces by
//! their indexes. Source: <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/launch-instances-from-launch-template.html>.

use super::{DEFAULT, data::without, named};
use crate::{
    account::{
        Context,
        ids::LaunchTemplateId,
        instance,
        request::{given, only},
        tags::TagSet,
    },
    error::ApiError,
    wire::{Structure, Value},
};
use std::borrow::Cow;

/// The version of a template that a launch was made of.
#[derive(Debug)]
pub(in crate::account) struct Used {
    template: LaunchTemplateId,
    version: i64,
}

impl Used {
    /// The tags that its instances bear.
    pub(in crate::account) fn tags(&self) -> TagSet {
        TagSet::from([
            ("aws:ec2launchtemplate:id".to_owned(), self.template.to_string()),
            ("aws:ec2launchtemplate:version".to_owned(), self.version.to_string()),
        ])
    }
}

/// A launch with what its template says, if it names one. What of it isn't served is refused by name.
pub(in crate::account) fn applied<'a>(
    context: &Context<'_>,
    input: &'a Structure,
) -> Result<(Cow<'a, Structure>, Option<Used>), ApiError> {
    let Some(template) = input.structure("LaunchTemplate").filter(|template| !template.is_empty()) else {
        return Ok((Cow::Borrowed(input), None));
    };
    let id = named(context.region, template)?;
    let row = context.region.launch_templates.require(&id)?;
    let number = row.number(&id, given(template, "Version").unwrap_or(DEFAULT))?;
    let data = as_launch(&row.version(&id, number)?.data);
    let launch = merged("", &data, &without(input, &["LaunchTemplate"]));
    only(&without(&launch, &["DryRun"]), "", instance::PARAMETERS)?;
    Ok((Cow::Owned(launch), Some(Used { template: id, version: number })))
}

/// The parameters by their names of RunInstances.
fn as_launch(data: &Structure) -> Structure {
    match data.get("RamDiskId").cloned() {
        None => data.clone(),
        Some(disk) => without(data, &["RamDiskId"]).with("RamdiskId", disk),
    }
}

/// What is said in one of several ways: who says it in one way takes back what was said in the others.
const ALTERNATIVES: &[&[&str]] = &[
    &["SecurityGroupIds", "SecurityGroups"],
    &["AvailabilityZone", "AvailabilityZoneId"],
    &["GroupId", "GroupName"],
    &["Ebs", "NoDevice", "VirtualName"],
];

/// One structure over another; `name` is what the structure is called.
fn merged(name: &str, under: &Structure, over: &Structure) -> Structure {
    if name == "NetworkInterfaces" && given(over, "NetworkInterfaceId").is_some() {
        return over.clone();
    }
    let mut all = under.clone();
    // To take a device away is to say so, with whatever text.
    let said = || over.members().filter(|(member, value)| *member == "NoDevice" || !is_empty(value));
    for (member, _) in said() {
        for ways in ALTERNATIVES.iter().filter(|ways| ways.contains(&member)) {
            all = without(&all, &ways.iter().copied().filter(|way| *way != member).collect::<Vec<_>>());
        }
    }
    for (member, value) in said() {
        let value = match (under.get(member), value) {
            (Some(Value::Structure(under)), Value::Structure(over)) => merged(member, under, over).into(),
            (Some(Value::List(under)), Value::List(over)) => merged_lists(member, under, over),
            _ => value.clone(),
        };
        all.set(member.to_owned(), value);
    }
    all
}

/// What says nothing.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::String(text) => text.is_empty(),
        Value::List(items) => items.is_empty(),
        Value::Structure(structure) => structure.is_empty(),
        _ => false,
    }
}

/// One list over another: where its items have a name, item by item.
fn merged_lists(name: &str, under: &[Value], over: &[Value]) -> Value {
    let key = match name {
        "BlockDeviceMappings" => "DeviceName",
        "NetworkInterfaces" => "DeviceIndex",
        "TagSpecifications" => "ResourceType",
        "Tags" => "Key",
        _ => return Value::List(over.to_vec()),
    };
    let same = |one: &Value, other: &Value| match (one, other) {
        (Value::Structure(one), Value::Structure(other)) => one.get(key).is_some() && one.get(key) == other.get(key),
        _ => false,
    };
    let mut all = under.to_vec();
    for item in over {
        match (all.iter_mut().find(|known| same(known, item)), item) {
            (Some(Value::Structure(known)), Value::Structure(item)) => *known = merged(name, known, item),
            _ => all.push(item.clone()),
        }
    }
    Value::List(all)
}
