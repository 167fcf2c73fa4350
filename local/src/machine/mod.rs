//! What runs an instance: `sandbox` (Linux namespaces over a root directory) or `blank` (nothing; only the API). All kinds stand in one
//! table (`kind`), by which the rest of the crate knows them: what starts machines, and what becomes of disks and remains.
//!
//! What this room isn't: EC2. It knows power, disk and console, but no instance state; it reports events, and the
//! account decides what they mean.

mod blank;
mod description;
mod descriptors;
mod kind;
pub mod sandbox;

pub use description::{BlockDevice, Description, Specification};
pub use descriptors::allow_many as allow_many_descriptors;
pub use kind::{
    Hypervisors, ImageForm, Kind, clear_files, clear_remains, end_user, fill_volume, part_of_disk, play, take_volume,
};
pub use sandbox::forbid_volume_mounts;

use crate::network::Nic;
use std::{
    io,
    path::{Path, PathBuf},
};
use tokio::sync::mpsc::UnboundedSender;

/// Names the role that a process of this executable is to play, see [`play`].
pub const ROLE_VARIABLE: &str = "EC2_LOCAL_ROLE";

/// What happens to a machine, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The machine has power: its init runs.
    Started,
    /// Something was written to the console.
    Console(Vec<u8>),
    /// The guest asked for a reboot from within; it is off now and waits to be started again.
    Rebooting,
    /// It has let go of a volume, `vol-…`.
    Detached(String),
    /// It is off, by itself or by request; nothing of it is left but its disk.
    PoweredOff,
    /// A snapshot was taken, and is whole.
    Taken,
    /// A volume has what is in the snapshot that it is made of.
    Filled,
    /// It could not start, or broke; nothing of it is left but its disk. The text says why and what to do.
    Failed(String),
}

/// What is to be taken of a machine, and the empty directory that it is to be in.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Take {
    /// The volume, `vol-…`; none: what the machine has changed on its root volume, as a layer below other machines' disks.
    pub volume: Option<String>,
    /// The directory.
    pub into: PathBuf,
}

impl Take {
    /// So much of a machine.
    pub fn new(volume: Option<&str>, into: &Path) -> Self {
        Self { volume: volume.map(str::to_owned), into: into.to_owned() }
    }
}

/// Starts machines of one kind.
pub trait Hypervisor: Send + Sync + 'static {
    /// Starts a machine; returns at once, all else is told by events.
    fn start(
        &self,
        specification: Specification,
        events: UnboundedSender<(String, Event)>,
    ) -> io::Result<Box<dyn Machine>>;
}

/// A machine that was started. It is killed when this is dropped.
pub trait Machine: Send + Sync {
    /// Presses the power button: the guest ends its processes (SIGTERM, a short grace, SIGKILL) and goes off.
    fn power_off(&self);

    /// Takes the power away.
    fn kill(&self);

    /// Has what is on its volumes in empty directories, all of the same moment. The machine stands still meanwhile. What came of each,
    /// in order.
    ///
    /// # Errors
    ///
    /// Nothing was taken: machines of this kind have no volumes, or this one is off by now.
    fn take(&self, _takes: &[Take]) -> io::Result<Vec<io::Result<()>>> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "take a snapshot of a machine of this kind"))
    }

    /// Gives it a network interface more, which is down until the guest configures it. Returns at once; where it fails, the console says
    /// so. Default: nothing, since there is no machine.
    fn plug(&self, _nic: Nic) {}

    /// Takes a network interface away, by its id, whether it was there from the start or came later. Default: nothing.
    fn unplug(&self, _nic: &str) {}
    /// Gives it a volume, whose disk is there. What can't be had is told on the console.
    fn attach(&self, device: BlockDevice);

    /// Takes a volume from it once nothing in it uses it any more, or by force; that it has let go is told by an event.
    fn detach(&self, volume: &str, force: bool);

    /// A volume that it has is larger from now on.
    fn resize(&self, volume: &str, gib: u64);
}
