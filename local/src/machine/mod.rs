//! What runs an instance: `sandbox` (Linux namespaces over a root directory) or `blank` (nothing; only the API).
//!
//! What this room isn't: EC2. It knows power, disk and console, but no instance state; it reports events, and the
//! account decides what they mean.

pub mod blank;
mod descriptors;
pub mod sandbox;

pub use descriptors::allow_many as allow_many_descriptors;

use crate::network::Nic;
use std::{io, path::PathBuf};
use tokio::sync::mpsc::UnboundedSender;

/// What a machine is made of.
#[derive(Debug, Clone)]
pub struct Specification {
    /// `i-…`.
    pub instance: String,
    /// A directory of the machine's own, mode 0700: what it writes stays here over stop and start. Made by the caller,
    /// removed by the caller once the machine is gone.
    pub disk: PathBuf,
    /// The root directory of its image; `None` for the host's own programs. It must stay as long as the disk does.
    pub image: Option<PathBuf>,
    /// The host name, for example `ip-172-31-0-5.ec2.internal`.
    pub hostname: String,
    /// The user that logs in with the key of the metadata.
    pub login_user: String,
    /// The NICs, the primary one first.
    pub nics: Vec<Nic>,
    /// The memory of its instance type in MiB: what it may take of the host follows from this.
    pub memory_mib: u64,
    /// The processors of its instance type; no more than the host has are to be had.
    pub vcpus: u32,
    /// The size of its root volume in GiB, for its first boot; none: as large as the host's file system. Where that size
    /// can't be had, the console says so.
    pub disk_gib: Option<u32>,
    /// A fresh UUID for every boot: `/proc/sys/kernel/random/boot_id`.
    pub boot_id: String,
}

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
    /// It is off, by itself or by request; nothing of it is left but its disk.
    PoweredOff,
    /// It could not start, or broke; nothing of it is left but its disk. The text says why and what to do.
    Failed(String),
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
}
