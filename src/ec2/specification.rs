//! What a launch asks for: what it says itself and what is configured, merged once, before anything is looked up or sent.

use super::Launch;
use crate::{
    check::Size,
    config::check_tags,
    error::{Error, ErrorKind},
    ssh::PrivateKey,
};
use std::{collections::BTreeSet, path::PathBuf, time::Duration};

/// All that a launch asks for.
#[derive(Debug, Clone)]
pub(crate) struct Specification {
    /// The name by which progress and errors speak of the machine, and its `Name` tag.
    pub(crate) name: String,
    /// An AMI's id, an alias, or `resolve:ssm:/…`; it is looked up for the architecture of the type.
    pub(crate) image: String,
    pub(crate) instance_type: String,
    /// The user that logs in; `None`: the image's.
    pub(crate) user: Option<String>,
    pub(crate) user_data: Option<String>,
    pub(crate) key: Key,
    pub(crate) network: Network,
    /// The size of the root volume in GiB, EC2's unit; `None`: the image's.
    pub(crate) root_gib: Option<i32>,
    /// Tags beside the configuration's and our own.
    pub(crate) tags: Vec<(String, String)>,
    pub(crate) ready_within: Duration,
    /// Whether it is waited for until it is ready.
    pub(crate) wait: bool,
}

/// Which key logs in.
#[derive(Debug, Clone)]
pub(crate) enum Key {
    /// The run's own.
    OfRun,
    /// One of the user's: its name in EC2, and its file.
    File(String, PathBuf),
    /// One of the user's: its name in EC2, and its private half.
    Given(String, PrivateKey),
}

/// Where the machine stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Network {
    /// `None`: one of the default VPC, of whichever zone has room.
    pub(crate) subnet: Option<String>,
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
            (None, _, _) => Key::OfRun,
        };
        check_tags(&config.tags, &launch.tags).map_err(|reason| refused(launch, reason))?;
        Ok(Self {
            name: launch.machine_name(),
            image: launch.image_name().to_owned(),
            instance_type: launch.instance_type.clone().unwrap_or_else(|| config.instance_type.clone()),
            user: launch.user.clone().or_else(|| config.user.clone()),
            user_data: launch.user_data.clone(),
            key,
            network: Network {
                subnet: launch.subnet.clone().or_else(|| config.subnet.clone()),
                security_groups: launch.security_groups.clone().or(configured_groups).map(without_repetitions),
            },
            root_gib: launch
                .root_size
                .map(|size| volume_gib(size, &format!("make a root volume of {size}")))
                .transpose()?,
            tags: launch.tags.clone(),
            ready_within: launch.ready_within.unwrap_or(config.ready_timeout),
            wait: launch.wait,
        })
    }
}

/// EC2 refuses a group that is named twice.
fn without_repetitions(mut groups: Vec<String>) -> Vec<String> {
    let mut seen = BTreeSet::new();
    groups.retain(|group| seen.insert(group.clone()));
    groups
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
