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
    /// Take snapshots of volumes, all of the same moment. Those that were taken before are as they were. Told by
    /// [`Event::Taken`](crate::machine::Event::Taken) or `Failed` of each snapshot.
    Take {
        /// The instance that has the volumes, whether its machine has power or not.
        instance: Option<String>,
        /// The snapshots.
        parts: Vec<Part>,
    },
    /// A volume that nothing holds gets what is in a snapshot, unless it has that already. Told by
    /// [`Event::Filled`](crate::machine::Event::Filled) or `Failed` of the volume.
    Fill(Filling),
    /// Nothing needs what is in a snapshot any more: remove it.
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
    /// Which of its other volumes get what is in a snapshot before, unless they have that already.
    pub fillings: Vec<Filling>,
    /// What it is like.
    pub machine: Description,
}

/// A snapshot to take.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Part {
    /// `snap-…`.
    pub snapshot: String,
    /// `vol-…`.
    pub volume: String,
    /// What of the volume.
    pub content: Content,
}

/// What a snapshot has of its volume.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Content {
    /// What a machine has changed on its root volume, as a layer.
    Layer {
        /// What runs the machine.
        kind: Kind,
        /// The root directory below it, see [`ImageSettings::root`](super::ImageSettings::root).
        root: Option<String>,
    },
    /// All that is on it, whatever that may be.
    Bytes {
        /// What it gets first, where it hasn't that yet.
        filling: Option<Filling>,
    },
}

/// A volume that is made of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Filling {
    /// `vol-…`.
    pub volume: String,
    /// The snapshot that has the bytes, `snap-…`.
    pub snapshot: String,
    /// The size of the volume.
    pub gib: u64,
}
