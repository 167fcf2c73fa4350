//! What a launch asks for: what it says itself and what is configured, merged once, before anything is looked up or sent.

use super::{Imds, Launch, NewNetworkInterface, NewVolume, VpcHandle, image::Image};
use crate::{
    check::Size,
    config::{Config, ImageQuery, KeyType, Spot, check_tags},
    error::{Error, ErrorKind},
    ssh::PrivateKey,
};
use std::{collections::BTreeSet, path::PathBuf, time::Duration};

/// All that a launch asks for.
#[derive(Debug, Clone)]
pub(crate) struct Specification {
    /// How many machines are made alike.
    pub(crate) count: u16,
    /// The name by which progress and errors speak of the machine, and its `Name` tag.
    pub(crate) name: String,
    /// It is looked up for the architecture of each type.
    pub(crate) image: ImageQuery,
    /// Tried in turn where there is no capacity; one at least.
    pub(crate) instance_types: Vec<String>,
    pub(crate) spot: Spot,
    /// Tried in turn; empty: whichever EC2 chooses, and then the others.
    pub(crate) zones: Vec<String>,
    /// The user that logs in; `None`: the image's.
    pub(crate) user: Option<String>,
    pub(crate) user_data: Option<String>,
    pub(crate) key: Key,
    pub(crate) network: Network,
    /// Whether its network interface has an IPv6 address.
    pub(crate) ipv6: bool,
    pub(crate) root: Root,
    /// The volumes beside the root.
    pub(crate) volumes: Vec<NewVolume>,
    /// The network interfaces beside the first.
    pub(crate) network_interfaces: Vec<NewNetworkInterface>,
    /// The name of an instance profile, or its ARN.
    pub(crate) instance_profile: Option<String>,
    pub(crate) imds: Imds,
    /// Tags beside the configuration's and our own.
    pub(crate) tags: Vec<(String, String)>,
    pub(crate) ready_within: Duration,
    /// Whether it is waited for until it is ready.
    pub(crate) wait: bool,
}

/// Which key logs in.
#[derive(Debug, Clone)]
pub(crate) enum Key {
    /// The run's own, of this type; `None`: of one that the image takes.
    OfRun(Option<KeyType>),
    /// One of the user's: its name in EC2, and its file.
    File(String, PathBuf),
    /// One of the user's: its name in EC2, and its private half.
    Given(String, PrivateKey),
}

/// What the root volume has that the image doesn't say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Root {
    /// Its size in GiB, EC2's unit; `None`: the image's.
    pub(crate) gib: Option<i32>,
    /// Whether it is encrypted though the image isn't.
    pub(crate) encrypted: bool,
    /// By which key; `None`: the account's.
    pub(crate) kms_key: Option<String>,
}

impl Root {
    /// Whether it is anything but as the image says.
    pub(crate) fn is_changed(&self) -> bool {
        *self != Self::default()
    }

    /// Sees that it can be as it is wanted with each of some images.
    pub(super) fn check(&self, images: &[Image]) -> Result<(), Error> {
        match images.iter().find(|image| image.described.is_none()) {
            Some(image) if self.is_changed() => Err(Error::new(
                ErrorKind::Configuration,
                format!("set the size or encryption of the root volume of `{}`", image.id),
            )
            .because("EC2 resolves this image by itself, so its root device isn't known before")
            .advise("give the mapping with `.run_instances(|r| r.block_device_mappings(…))`, or the AMI's id")),
            _ => Ok(()),
        }
    }

    fn of(launch: &Launch, config: &Config) -> Result<Self, Error> {
        let kms_key = launch.root_kms_key.clone().or_else(|| config.root_kms_key.clone());
        Ok(Self {
            gib: launch.root_size.map(|size| volume_gib(size, &format!("make a root volume of {size}"))).transpose()?,
            encrypted: launch.root_encrypted || config.root_encrypted || kms_key.is_some(),
            kms_key,
        })
    }
}

/// Where the machine stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Network {
    /// `None`: one of the VPC, of whichever zone has room.
    pub(crate) subnet: Option<String>,
    /// `None`: the subnet's, else the default one.
    pub(crate) vpc: Option<VpcHandle>,
    /// By id; `None`: the run's own, in the subnet's VPC.
    pub(crate) security_groups: Option<Vec<String>>,
}

impl Specification {
    /// What a launch says, and for the rest what is configured.
    ///
    /// # Errors
    ///
    /// A size or a tag is such as EC2 would never take.
    pub(super) fn of(launch: &Launch) -> Result<Self, Error> {
        let config = &*launch.ec2.config;
        let configured_groups = (!config.security_groups.is_empty()).then(|| config.security_groups.clone());
        let key = match (&launch.key, &config.key_name, &config.private_key) {
            (Some((name, private)), _, _) => Key::Given(name.clone(), private.clone()),
            (None, Some(name), Some(path)) => Key::File(name.clone(), path.clone()),
            (None, _, _) => Key::OfRun(launch.key_type.or(config.key_type)),
        };
        // What a launch says is more than its test's, and that more than what is configured.
        let vpc = launch.vpc.clone().or_else(|| launch.ec2.vpc.clone()).filter(|_| launch.subnet.is_none());
        // These are of another VPC.
        let configured_groups = configured_groups.filter(|_| vpc.is_none());
        check_tags(&config.tags, &launch.tags).map_err(|reason| refused(launch, reason))?;
        let (subnet, zones) = place(launch, vpc.as_ref())?;
        let instance_types = instance_types(launch);
        let ready_within = launch.ready_within.unwrap_or_else(|| {
            let factor = if instance_types.iter().any(|it| is_metal(it)) { METAL_FACTOR } else { 1 };
            config.ready_timeout * factor
        });
        let imds = launch.imds.clone().unwrap_or_default();
        imds.check(config.tags.keys().chain(launch.tags.iter().map(|(key, _)| key)))
            .map_err(|reason| refused(launch, reason))?;
        check_volumes(launch)?;
        if !launch.wait && !launch.network_interfaces.is_empty() {
            return Err(refused(
                launch,
                "network interfaces are added once it runs, which isn't waited for".to_owned(),
            )
            .advise("leave out `.without_waiting()`, or add them with `add_network_interface` later"));
        }
        Ok(Self {
            count: 1,
            name: launch.machine_name(),
            image: launch.image_query().clone(),
            instance_types,
            spot: launch.spot.unwrap_or(config.spot),
            zones,
            user: launch.user.clone().or_else(|| config.user.clone()),
            user_data: launch.user_data.clone(),
            key,
            network: Network {
                subnet,
                vpc,
                security_groups: launch.security_groups.clone().or(configured_groups).map(without_repetitions),
            },
            ipv6: launch.ipv6,
            root: Root::of(launch, config)?,
            volumes: launch.volumes.clone(),
            network_interfaces: launch.network_interfaces.clone(),
            instance_profile: launch.instance_profile.clone().or_else(|| config.instance_profile.clone()),
            imds,
            tags: launch.tags.iter().chain(&launch.own_tags).cloned().collect(),
            ready_within,
            wait: launch.wait,
        })
    }
}

/// How much longer than others a bare metal machine may take until it is ready: it tests its hardware first.
/// <https://docs.aws.amazon.com/ec2/latest/instancetypes/ec2-instance-type-specifications.html>
const METAL_FACTOR: u32 = 3;

/// Whether a type is bare metal: `m5.metal`, `c7i.metal-24xl`, `u-6tb1.metal`.
fn is_metal(instance_type: &str) -> bool {
    instance_type.split_once('.').is_some_and(|(_, size)| size.starts_with("metal"))
}

/// The types in turn, each once.
pub(super) fn instance_types(launch: &Launch) -> Vec<String> {
    let config = &launch.ec2.config;
    let configured = || {
        if config.instance_types.is_empty() {
            vec![config.instance_type.clone()]
        } else {
            config.instance_types.clone()
        }
    };
    let said = launch.instance_types.clone().filter(|said| !said.is_empty());
    without_repetitions(said.unwrap_or_else(configured))
}

/// The subnet, or the zones: a subnet is in one zone, so what the launch says of either puts aside what is configured of both.
fn place(launch: &Launch, vpc: Option<&VpcHandle>) -> Result<(Option<String>, Vec<String>), Error> {
    let config = &launch.ec2.config;
    let zones = |zones: &[String]| without_repetitions(zones.to_vec());
    match (&launch.subnet, &launch.zones) {
        (Some(subnet), Some(zones)) if !zones.is_empty() => Err(refused(
            launch,
            format!("it names the subnet {subnet} and the zones {}, and a subnet is in one zone", zones.join(", ")),
        )
        .advise("say the one or the other")),
        (Some(subnet), _) => Ok((Some(subnet.clone()), Vec::new())),
        (None, Some(said)) if !said.is_empty() => Ok((None, zones(said))),
        // What is configured is said of another VPC; ours has its subnets in those zones.
        (None, _) if vpc.is_some() => Ok((None, Vec::new())),
        (None, _) if config.subnet.is_some() => Ok((config.subnet.clone(), Vec::new())),
        (None, _) => Ok((None, zones(&config.zones))),
    }
}

/// What EC2 would refuse only once all else has been looked up.
fn check_volumes(launch: &Launch) -> Result<(), Error> {
    let mut devices = BTreeSet::new();
    for volume in &launch.volumes {
        volume.mapping(String::new(), &format!("launch {} with {volume}", launch.image_name()))?;
        if let Some(device) = volume.device.as_deref().filter(|device| !devices.insert(*device)) {
            return Err(refused(launch, format!("two of its volumes are to be {device}")));
        }
    }
    Ok(())
}

/// EC2 refuses a group that is named twice, and nothing is worth a second try of the same.
fn without_repetitions(mut names: Vec<String>) -> Vec<String> {
    let mut seen = BTreeSet::new();
    names.retain(|name| seen.insert(name.clone()));
    names
}

fn refused(launch: &Launch, reason: String) -> Error {
    Error::new(ErrorKind::Configuration, format!("launch {}", launch.image_name())).because(reason)
}

/// A volume's size as EC2 has it: whole GiB.
pub(super) fn volume_gib(size: Size, tried: &str) -> Result<i32, Error> {
    let gib = i32::try_from(size.whole_gib()).ok().filter(|gib| *gib > 0 && size.bytes().is_multiple_of(1 << 30));
    gib.ok_or_else(|| {
        Error::new(ErrorKind::Configuration, tried)
            .because(format!("EC2's volumes have whole GiB, one at least, not {size}"))
            .advise("say `gib(20)`")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bare_metal_types_are_told_apart() {
        for metal in ["m5.metal", "c7i.metal-24xl", "u-6tb1.metal"] {
            assert!(is_metal(metal), "{metal}");
        }
        for other in ["t3.micro", "metal", "m5.large"] {
            assert!(!is_metal(other), "{other}");
        }
    }
}
