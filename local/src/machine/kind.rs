//! The kinds of machines there are: a file each, and a line each in the table here. Which one runs an instance follows from its image.
//!
//! Disks and what else machines leave are for all kinds to judge together: the one that finds them doesn't know whose they are.

use super::{Event, Hypervisor, Machine, Specification, blank::BlankKind, sandbox::SandboxKind};
use crate::{
    archive::{Contents, Limits},
    network::Switch,
};
use ec2_state_directory::{Directory, Part};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use std::{fmt, io, os::fd::BorrowedFd, path::Path, sync::atomic::AtomicBool};
use tokio::sync::mpsc::UnboundedSender;

/// All kinds.
const KINDS: &[&dyn MachineKind] = &[&BlankKind, &SandboxKind];

/// What an image holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ImageForm {
    /// Nothing: no machine is behind its instances.
    Nothing,
    /// A root directory, the host's own or one that was imported.
    RootDirectory,
}

/// What holds for all machines of a kind, whether any has power or not.
pub(super) trait MachineKind: Sync {
    /// Its name, by which accounts' journals know it: it stays what it is.
    fn name(&self) -> &'static str;

    /// The images whose instances it runs.
    fn runs(&self) -> ImageForm;

    /// Whether there is a machine at all, with a disk, and on a network.
    fn has_machine(&self) -> bool {
        true
    }

    /// What starts machines whose NICs are plugged into this switch.
    fn hypervisor(&self, switch: &Switch) -> Box<dyn Hypervisor>;

    /// Makes what its machines have as their image of an archive, in an empty directory.
    fn unpack(&self, _archive: BorrowedFd<'_>, _into: &Path, _limits: &Limits) -> io::Result<Contents> {
        Err(io::Error::new(
            io::ErrorKind::Unsupported,
            format!("unpack an archive for machines of the kind `{}`", self.name()),
        ))
    }

    /// What something of this name on a disk is, if it is this kind's.
    fn part_of_disk(&self, _name: &str) -> Option<Part> {
        None
    }

    /// Has what a machine that is off has changed on its disk in an empty directory.
    fn take_layer(&self, _disk: &Path, _into: &Path) -> io::Result<()> {
        Err(io::Error::new(
            io::ErrorKind::Unsupported,
            format!("take snapshots of machines of the kind `{}`", self.name()),
        ))
    }

    /// Has what is on a volume's disk, which no machine has, in an empty directory; nothing, if its machines have never had it.
    fn take_volume(&self, _disk: &Path, _into: &Path, _stop: &AtomicBool) -> io::Result<()> {
        Ok(())
    }

    /// Gives a volume's disk what [`take_volume`](Self::take_volume) has had in a directory, unless it has that already.
    fn fill_volume(&self, _taken: &Path, _disk: &Path, _gib: u64, _stop: &AtomicBool) -> io::Result<()> {
        Ok(())
    }

    /// Waits until none of its machines uses a disk any more, and ends what does.
    fn end_user(&self, _disk: &Directory) -> io::Result<()> {
        Ok(())
    }

    /// Removes all that its machines may have put into a directory on a disk, or that is in an image's. The directory stays.
    fn clear_files(&self, _directory: BorrowedFd<'_>) -> io::Result<()> {
        Ok(())
    }

    /// Removes what killed machines have left on the host beside their disks; how much there was.
    fn clear_remains(&self) -> usize {
        0
    }

    /// Plays the role of this name and never returns, if it is one of its own.
    fn play(&self, _role: &str) {}
}

/// A kind of machines.
#[derive(Clone, Copy)]
pub struct Kind(&'static dyn MachineKind);

impl Kind {
    /// The one that runs the instances of an image.
    pub fn of(form: ImageForm) -> Self {
        Self(KINDS.iter().copied().find(|kind| kind.runs() == form).unwrap_or(&BlankKind))
    }

    /// The one of this name.
    pub fn named(name: &str) -> Option<Self> {
        KINDS.iter().copied().find(|kind| kind.name() == name).map(Self)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        self.0.name()
    }

    /// Whether there is a machine at all behind an instance, with a disk, and on a network.
    pub fn has_machine(self) -> bool {
        self.0.has_machine()
    }

    /// Has what a machine that is off has changed on its disk in an empty directory, as a layer below other machines' disks.
    ///
    /// # Errors
    ///
    /// What failed, and why; or machines of this kind have no layers.
    pub fn take_layer(self, disk: &Path, into: &Path) -> io::Result<()> {
        self.0.take_layer(disk, into)
    }

    /// Makes what its machines have as their image of an archive, in an empty directory, which is to be cleared by [`clear_files`]
    /// if this fails.
    ///
    /// # Errors
    ///
    /// What is wrong with the archive, or that this kind has no images of archives, or can't have machines here.
    pub fn unpack(self, archive: BorrowedFd<'_>, into: &Path, limits: &Limits) -> io::Result<Contents> {
        self.0.unpack(archive, into, limits)
    }
}

impl PartialEq for Kind {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for Kind {}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Stored by its name.
impl Serialize for Kind {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let name = String::deserialize(from)?;
        Self::named(&name).ok_or_else(|| D::Error::custom(format!("there is no kind of machine `{name}`")))
    }
}

/// What starts machines of all kinds.
pub struct Hypervisors(Vec<(Kind, Box<dyn Hypervisor>)>);

impl Hypervisors {
    /// Machines whose NICs are plugged into this switch.
    pub fn new(switch: &Switch) -> Self {
        Self(KINDS.iter().map(|kind| (Kind(*kind), kind.hypervisor(switch))).collect())
    }

    /// Starts a machine, as [`Hypervisor::start`].
    ///
    /// # Errors
    ///
    /// Nothing was started.
    pub fn start(
        &self,
        kind: Kind,
        specification: Specification,
        events: UnboundedSender<(String, Event)>,
    ) -> io::Result<Box<dyn Machine>> {
        let of_kind = self.0.iter().find(|(one, _)| *one == kind).map(|(_, hypervisor)| hypervisor);
        let hypervisor = of_kind.ok_or_else(|| io::Error::other(format!("start a machine of the kind `{kind:?}`")))?;
        hypervisor.start(specification, events)
    }
}

/// What something of this name on a disk is; none: it isn't ours.
pub fn part_of_disk(name: &str) -> Option<Part> {
    KINDS.iter().find_map(|kind| kind.part_of_disk(name))
}

/// Waits until no machine uses a disk any more, and ends what does. To be called when its endpoint is dead: its machine is dying
/// by itself.
///
/// # Errors
///
/// The machine doesn't end.
pub fn end_user(disk: &Directory) -> io::Result<()> {
    KINDS.iter().try_for_each(|kind| kind.end_user(disk))
}

/// Has what is on a volume's disk, which no machine has, in an empty directory, until it is told to stop.
///
/// # Errors
///
/// What failed, and why; or a machine has it.
pub fn take_volume(disk: &Path, into: &Path, stop: &AtomicBool) -> io::Result<()> {
    KINDS.iter().try_for_each(|kind| kind.take_volume(disk, into, stop))
}

/// Gives a volume's disk of so many GiB what was taken of another in this directory, unless it has that already. It has all of it, or
/// nothing.
///
/// # Errors
///
/// What failed, and why.
pub fn fill_volume(taken: &Path, disk: &Path, gib: u64, stop: &AtomicBool) -> io::Result<()> {
    KINDS.iter().try_for_each(|kind| kind.fill_volume(taken, disk, gib, stop))
}

/// Removes all that machines may have put into a directory on a disk, or that is in an image's. The directory stays.
///
/// # Errors
///
/// What failed to be removed, and why.
pub fn clear_files(directory: BorrowedFd<'_>) -> io::Result<()> {
    KINDS.iter().try_for_each(|kind| kind.clear_files(directory))
}

/// Removes what killed machines have left on the host beside their disks; how much there was.
pub fn clear_remains() -> usize {
    KINDS.iter().map(|kind| kind.clear_remains()).sum()
}

/// Plays the role of this name and never returns, if it is one of a kind of machines.
pub fn play(role: &str) {
    KINDS.iter().for_each(|kind| kind.play(role));
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn each_has_a_name_that_is_stored_and_its_own_images() {
        let names: BTreeSet<_> = KINDS.iter().map(|kind| kind.name()).collect();
        assert_eq!(names.len(), KINDS.len());
        for (form, name) in [(ImageForm::Nothing, "blank"), (ImageForm::RootDirectory, "sandbox")] {
            assert_eq!(KINDS.iter().filter(|kind| kind.runs() == form).count(), 1, "{form:?}");
            let kind = Kind::of(form);
            let stored = serde_json::to_string(&kind).unwrap();
            assert_eq!(stored, format!("\"{name}\""));
            assert_eq!(serde_json::from_str::<Kind>(&stored).unwrap(), kind);
        }
        let error = serde_json::from_str::<Kind>("\"none\"").unwrap_err().to_string();
        assert!(error.contains("there is no kind of machine `none`"), "{error}");
    }
}
