//! Capacity: how many instances the zones have room for. As much as is asked for, unless the settings bound it.

use super::{
    Context,
    instance::Instance,
    instance_type::{self, InstanceType},
    place::Zone,
    quota::{Room, counted},
};
use crate::{
    error::{ApiError, Code},
    wire,
};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// A bound on what a zone has room for. As text: `us-east-1a/t3.micro=3`, with `*` for any zone or any type.
///
/// It is made of text alone, so that there is none of a zone or a type that isn't there. Several bounds hold together. Instances count that are neither stopped nor terminated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capacity {
    /// The zone, for example `us-east-1a`; none for each zone on its own.
    zone: Option<String>,
    /// The instance type; none for all types together.
    instance_type: Option<String>,
    /// How many instances there is room for.
    instances: u64,
}

impl FromStr for Capacity {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let read = || {
            let (place, instances) = text.split_once('=')?;
            let (zone, instance_type) = place.split_once('/')?;
            let named = |name: &str| (name != "*").then(|| name.to_owned());
            if zone.is_empty() || instance_type.is_empty() {
                return None;
            }
            let instances = instances.parse().ok()?;
            Some(Self { zone: named(zone), instance_type: named(instance_type), instances })
        };
        let wrong = || format!("read the capacity `{text}`: it must look like us-east-1a/t3.micro=3 or */*=0");
        let capacity = read().ok_or_else(wrong)?;
        if let Some(unknown) = capacity.zone.as_deref().filter(|name| Zone::named(name).is_none()) {
            let zones: Vec<String> = Zone::all().map(Zone::name).collect();
            let hint = wire::hint(unknown, zones.iter().map(String::as_str));
            return Err(format!("read the capacity `{text}`: there is no zone `{unknown}`{hint}"));
        }
        if let Some(unknown) = capacity.instance_type.as_deref().filter(|name| instance_type::named(name).is_err()) {
            let hint = wire::hint(unknown, instance_type::names());
            return Err(format!("read the capacity `{text}`: there is no instance type `{unknown}`{hint}"));
        }
        Ok(capacity)
    }
}

impl fmt::Display for Capacity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [zone, instance_type] = [&self.zone, &self.instance_type].map(|name| name.as_deref().unwrap_or("*"));
        write!(f, "{zone}/{instance_type}={}", self.instances)
    }
}

impl Capacity {
    fn is_of(&self, instance_type: &InstanceType, zone: Zone) -> bool {
        self.zone.as_ref().is_none_or(|name| *name == zone.name())
            && self.instance_type.as_ref().is_none_or(|name| name == instance_type.name)
    }

    /// How many more instances there is room for in a zone.
    fn left(&self, context: &Context<'_>, ahead: &[&Instance], zone: Zone) -> u64 {
        let held = counted(context, ahead)
            .filter(|instance| instance.zone == zone && self.is_of(instance.instance_type, zone))
            .count();
        self.instances.saturating_sub(held as u64)
    }
}

/// How many more instances of a type a zone has room for.
pub(super) fn left(context: &Context<'_>, ahead: &[&Instance], instance_type: &InstanceType, zone: Zone) -> u64 {
    let bounds = context.settings.capacity.iter().filter(|bound| bound.is_of(instance_type, zone));
    bounds.map(|bound| bound.left(context, ahead, zone)).min().unwrap_or(u64::MAX)
}

/// The same, with what is said if that isn't enough; it names the zones that have room.
pub(super) fn room(context: &Context<'_>, ahead: &[&Instance], instance_type: &InstanceType, zone: Zone) -> Room {
    let others = context.region.place.zones().filter(|other| *other != zone);
    let others = others.filter(|other| left(context, ahead, instance_type, *other) > 0).map(Zone::name);
    let others = others.collect::<Vec<_>>().join(", ");
    let name = instance_type.name;
    let mut message = format!(
        "We currently do not have sufficient {name} capacity in the Availability Zone you requested ({}). Our system will be \
         working on provisioning additional capacity.",
        zone.name()
    );
    if !others.is_empty() {
        message.push_str(&format!(
            " You can currently get {name} capacity by not specifying an Availability Zone in your request or choosing {others}."
        ));
    }
    let count = left(context, ahead, instance_type, zone);
    Room { count, refusal: ApiError::new(Code::InsufficientInstanceCapacity, message) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_read_as_they_are_written() {
        for text in ["us-east-1a/t3.micro=3", "*/t3.micro=0", "us-east-1b/*=7", "*/*=18446744073709551615"] {
            assert_eq!(text.parse::<Capacity>().unwrap().to_string(), text);
        }
        for text in ["", "us-east-1a=3", "us-east-1a/t3.micro", "/t3.micro=1", "*/=1", "*/*=-1", "*/*=x"] {
            assert!(text.parse::<Capacity>().unwrap_err().contains("us-east-1a/t3.micro=3"), "{text}");
        }
    }

    #[test]
    fn bounds_are_of_zones_and_types_that_there_are() {
        for (text, words) in [
            ("us-east-1z/*=1", "there is no zone `us-east-1z`; did you mean `us-east-1a`?"),
            ("us-esat-1b/*=1", "there is no zone `us-esat-1b`; did you mean `us-east-1b`?"),
            ("mars/*=1", "there is no zone `mars`"),
            ("*/t3.mirco=1", "there is no instance type `t3.mirco`; did you mean `t3.micro`?"),
            ("*/huge=1", "there is no instance type `huge`"),
        ] {
            let error = text.parse::<Capacity>().unwrap_err();
            assert!(error.ends_with(words), "{text}: {error}");
        }
    }
}
