//! What holds for all sandboxes, and what they keep on their disks.

use super::{ROLE, Sandbox, cgroup, contents, errand, identity::FILES, layer, remains, role_main, volume};
use crate::{
    archive::{Contents, Limits},
    machine::{
        Hypervisor,
        kind::{ImageForm, MachineKind},
    },
    network::Switch,
};
use ec2_state_directory::{Directory, Part};
use std::{io, os::fd::BorrowedFd, path::Path, sync::atomic::AtomicBool};

/// On a snapshot's directory, outside of what machines can write: without it the snapshot was never taken to the end.
const WHOLE: &str = "whole";

/// The kind.
pub struct SandboxKind;

impl MachineKind for SandboxKind {
    fn name(&self) -> &'static str {
        "sandbox"
    }

    fn runs(&self) -> ImageForm {
        ImageForm::RootDirectory
    }

    fn hypervisor(&self, switch: &Switch) -> Box<dyn Hypervisor> {
        Box::new(Sandbox::new(switch.clone()))
    }

    fn unpack(&self, archive: BorrowedFd<'_>, into: &Path, limits: &Limits) -> io::Result<Contents> {
        errand::unpack_image(archive, into, limits)
    }

    fn part_of_disk(&self, name: &str) -> Option<Part> {
        match name {
            remains::NOTE | volume::NAME | contents::DRAFT | WHOLE => Some(Part::File),
            FILES => Some(Part::Everything),
            _ => None,
        }
    }

    fn take_layer(&self, disk: &Path, into: &Path) -> io::Result<()> {
        layer::take(disk, into)
    }

    fn take_volume(&self, disk: &Path, into: &Path, stop: &AtomicBool) -> io::Result<()> {
        contents::take(disk, into, stop)
    }

    fn fill_volume(&self, taken: &Path, disk: &Path, gib: u64, stop: &AtomicBool) -> io::Result<()> {
        contents::fill(taken, disk, gib, stop)
    }

    fn end_user(&self, disk: &Directory) -> io::Result<()> {
        remains::end_user(disk)
    }

    fn clear_files(&self, directory: BorrowedFd<'_>) -> io::Result<()> {
        errand::clear_files(directory)
    }

    fn clear_remains(&self) -> usize {
        cgroup::clear_remains()
    }

    fn play(&self, role: &str) {
        if role == ROLE {
            role_main();
        }
    }
}
