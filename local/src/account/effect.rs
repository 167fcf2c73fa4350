//! What the account wants done to machines.

use super::Kind;
use crate::{machine::Specification, network::Nic};
use std::path::PathBuf;

/// What must happen to a machine. Effects are to be carried out in order.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Effect {
    /// Start it. The disk of its root volume is made if it isn't there; what is on it stays.
    Start(Start),
    /// Press the power button.
    PowerOff {
        /// `i-…`.
        instance: String,
    },
    /// Take the power away.
    Kill {
        /// `i-…`.
        instance: String,
    },
    /// The volume is gone for good, and no machine has it: remove its disk, if it has one.
    Discard {
        /// `vol-…`.
        volume: String,
    },
}

/// A machine to start.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Start {
    /// What runs it.
    pub kind: Kind,
    /// The name of the image, for example `host`.
    pub image: String,
    /// The root directory of the image, see [`ImageSettings::root`](super::ImageSettings::root).
    pub root: Option<String>,
    /// `i-…`.
    pub instance: String,
    /// The root volume, `vol-…`: its disk is the machine's.
    pub volume: String,
    /// The host name, for example `ip-172-31-0-5.ec2.internal`.
    pub hostname: String,
    /// The user that logs in with the key of the metadata.
    pub login_user: String,
    /// The NICs, the primary one first.
    pub nics: Vec<Nic>,
    /// The memory of the instance type in MiB.
    pub memory_mib: u64,
    /// The processors of the instance type.
    pub vcpus: u32,
    /// The size of the root volume in GiB.
    pub disk_gib: Option<u32>,
    /// Fresh for every boot.
    pub boot_id: String,
    /// Whether it was running before: then there must be the volume's disk, and it must not begin anew without.
    pub has_disk: bool,
}

impl Start {
    /// What the machine is made of, once it is known where its disk and its image's root directory lie.
    pub fn specification(self, disk: PathBuf, image: Option<PathBuf>) -> Specification {
        let Self { instance, hostname, login_user, nics, memory_mib, vcpus, disk_gib, boot_id, .. } = self;
        Specification { instance, disk, image, hostname, login_user, nics, memory_mib, vcpus, disk_gib, boot_id }
    }
}
