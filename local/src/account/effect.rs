//! What the account wants done to machines.

use crate::{
    machine::{BlockDevice, Description, Kind},
    network::Nic,
};

/// What must happen to a machine. Effects are to be carried out in order.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Effect {
    /// Start it. The disk of its root volume is made if it isn't there; what is on it stays.
    Start(Box<Start>),
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
    /// Have what a machine has changed on its root volume in a layer of its own, by the snapshot's id. Taken again, it is as it was.
    TakeLayer {
        /// `snap-…`.
        snapshot: String,
        /// The root volume, `vol-…`.
        volume: String,
        /// What runs it.
        kind: Kind,
        /// The root directory below it, see [`ImageSettings::root`](super::ImageSettings::root).
        root: Option<String>,
        /// The instance that has the volume, whether its machine has power or not.
        instance: Option<String>,
    },
    /// Nothing needs the layer of a snapshot any more: remove it.
    DiscardLayer {
        /// `snap-…`.
        snapshot: String,
    },
    /// Plug a network interface into a machine that has power: it has it, down, until it goes off.
    Plug {
        /// `i-…`.
        instance: String,
        /// The interface.
        nic: Nic,
    },
    /// Take a network interface away from a machine.
    Unplug {
        /// `i-…`.
        instance: String,
        /// `eni-…`.
        nic: String,
    },
    /// Give its machine a volume; the volume's disk is made if it isn't there.
    Attach {
        /// `i-…`.
        instance: String,
        /// The volume, and its name in the machine.
        device: BlockDevice,
    },
    /// Take a volume from its machine, once nothing there uses it any more; with force, at once. The machine says when it has let go
    /// of it.
    Detach {
        /// `i-…`.
        instance: String,
        /// `vol-…`.
        volume: String,
        /// Whether what uses it is of no account.
        force: bool,
    },
    /// A volume that its machine has becomes larger.
    Resize {
        /// `i-…`.
        instance: String,
        /// `vol-…`.
        volume: String,
        /// Its size from now on.
        gib: u64,
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
    /// The root volume, `vol-…`: its disk is the machine's.
    pub volume: String,
    /// The snapshots whose layers lie between the root volume and the image, the latest first.
    pub layers: Vec<String>,
    /// Whether it was running before: then there must be the volume's disk, and it must not begin anew without.
    pub has_disk: bool,
    /// What it is like.
    pub machine: Description,
}
