//! What a machine is: told once, by the one who wants it, and passed on as it is to all who have a part in making it.

use crate::network::{DhcpOptions, Nic};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// A volume beside the root's, as a machine has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockDevice {
    /// `vol-…`.
    pub volume: String,
    /// The name that was asked for, for example `/dev/sdf`.
    pub name: String,
    /// Its size.
    pub gib: u64,
}

impl BlockDevice {
    /// A volume of this size under this name.
    pub fn new(volume: &str, name: &str, gib: i64) -> Self {
        Self { volume: volume.to_owned(), name: name.to_owned(), gib: gib.unsigned_abs() }
    }
}

/// What a machine is like, wherever its files lie.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// `i-…`.
    pub instance: String,
    /// The host name, for example `ip-172-31-0-5.ec2.internal`.
    pub hostname: String,
    /// The user that logs in with the key of the metadata.
    pub login_user: String,
    /// The NICs, the primary one first.
    pub nics: Vec<Nic>,
    /// What it is told of its network; none: EC2's own name server, and the domain of its host name.
    #[serde(default)]
    pub dhcp: Option<DhcpOptions>,
    /// The memory of its instance type in MiB: what it may take of the host follows from this.
    pub memory_mib: u64,
    /// The processors of its instance type; no more than the host has are to be had.
    pub vcpus: u32,
    /// The size of its root volume in GiB, for its first boot; none: as large as the host's file system. Where that size
    /// can't be had, the console says so.
    pub disk_gib: Option<u32>,
    /// The volumes that it has beside the root's.
    #[serde(default)]
    pub volumes: Vec<BlockDevice>,
    /// A fresh UUID for every boot: `/proc/sys/kernel/random/boot_id`.
    pub boot_id: String,
}

/// A machine, and the files that it is made from.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Specification {
    /// What it is like.
    pub machine: Description,
    /// A directory of its root volume's, mode 0700: what the machine writes stays here over stop and start. Made by the caller,
    /// removed by the caller once no machine has it. Those of its other volumes lie beside it, and are called as they are. Empty where there is no machine, see [`Kind::has_machine`](super::Kind::has_machine).
    pub disk: PathBuf,
    /// The root directory of its image; `None` for the host's own programs. It must stay as long as the disk does.
    pub image: Option<PathBuf>,
    /// Directories of snapshots that lie between the two, the latest first, each as a disk without a machine. Likewise.
    #[serde(default)]
    pub layers: Vec<PathBuf>,
}
