//! What is ours in a state directory, and what each part of it is. Only that is ever removed.

use super::instance_identity;
use crate::machine::part_of_disk;
use ec2_state_directory::{Error, Layout, Mark, Part, shown};
use std::{
    collections::BTreeSet,
    path::Path,
    sync::{Mutex, PoisonError},
};

/// The name of the marks, where no machine can write: beside its files, not among them.
const MARK: &str = ".ec2-local";

/// The whole of it.
pub(super) const STATE: Mark = Mark::new(MARK, "a state directory");

/// Where volumes' disks are, in an endpoint's directory; and where earlier versions have them, by their instances.
pub(super) const DISKS: &str = "disks";
pub(super) const EARLIER_DISKS: &str = "machines";

/// Where snapshots' layers are, likewise.
pub(super) const LAYERS: &str = "layers";

/// A state directory of one endpoint's own, in a directory with nothing else.
pub(super) const OWN: Layout = Layout { mark: Mark::new(MARK, "an endpoint's own state"), part: part_of_own };
pub(super) const OWN_STATE: &str = "state";
const WHOLE_STATE: Layout = Layout { mark: STATE, part: part_of_state };

/// An endpoint's directory.
pub(super) const RUN: Layout = Layout { mark: Mark::new(MARK, "an endpoint's directory"), part: part_of_run };

/// A machine's disk.
pub(super) const DISK: Layout = Layout { mark: Mark::new(MARK, "a machine's disk"), part: part_of_disk };

/// An image's tree.
pub(super) const TREE: Layout = Layout { mark: Mark::new(MARK, "an image's tree"), part: part_of_tree };

fn part_of_own(name: &str) -> Option<Part> {
    (name == OWN_STATE).then_some(Part::Marked(&WHOLE_STATE))
}

fn part_of_state(name: &str) -> Option<Part> {
    match name {
        "secret" | "secret.new" | ".secret.new" | "log" => Some(Part::File),
        instance_identity::FILE | instance_identity::DRAFT => Some(Part::File),
        "run" => Some(Part::Directory(|_| Some(Part::Marked(&RUN)))),
        "images" => Some(Part::Directory(part_of_images)),
        _ => None,
    }
}

fn part_of_images(name: &str) -> Option<Part> {
    match name {
        "trees" => Some(Part::Directory(|_| Some(Part::Marked(&TREE)))),
        _ => Some(Part::File),
    }
}

/// A journal isn't among it: whatever lies beside one, it is an account.
fn part_of_run(name: &str) -> Option<Part> {
    match name {
        "endpoint" | "journal.new" | "journal.newer" | "journal.torn" | "way-in" => Some(Part::File),
        DISKS => Some(Part::Directory(|name| is_volume(name).then_some(Part::Marked(&DISK)))),
        LAYERS => Some(Part::Directory(|name| is_snapshot(name).then_some(Part::Marked(&DISK)))),
        EARLIER_DISKS => Some(Part::Directory(|name| is_instance(name).then_some(Part::Marked(&DISK)))),
        _ => None,
    }
}

fn part_of_tree(name: &str) -> Option<Part> {
    match name {
        "image.json" => Some(Part::File),
        "root" => Some(Part::Everything),
        "users" => Some(Part::Directory(|name| is_user(name.trim_end_matches(".new")).then_some(Part::File))),
        _ => None,
    }
}

/// Whether it is a volume's id, and so the name of its disk.
pub(super) fn is_volume(name: &str) -> bool {
    is_id(name, "vol-")
}

/// Whether it is an instance's id, and so the name of its disk as earlier versions have it.
pub(super) fn is_instance(name: &str) -> bool {
    is_id(name, "i-")
}

/// Whether it is a snapshot's id, and so the name of its layer.
pub(super) fn is_snapshot(name: &str) -> bool {
    is_id(name, "snap-")
}

/// Whether it is of a volume, a snapshot or an instance that may have an image's tree.
pub(super) fn is_user(name: &str) -> bool {
    is_volume(name) || is_snapshot(name) || is_instance(name)
}

fn is_id(name: &str, prefix: &str) -> bool {
    name.strip_prefix(prefix).is_some_and(|id| [8, 17].contains(&id.len()) && is_hex(id))
}

/// Whether it is a tree's name.
pub(super) fn is_tree(name: &str) -> bool {
    name.len() == 16 && is_hex(name)
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Says once per process that something stays, and why.
pub(super) fn stays(path: &Path, reason: &str) {
    static SAID: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let text = shown(&format!("leaving {} where it is: {reason}", path.display()));
    if SAID.lock().unwrap_or_else(PoisonError::into_inner).insert(text.clone()) {
        tracing::warn!("{text}");
    }
}

/// The same of what was to be removed.
pub(super) fn not_removed(path: &Path, error: &Error) {
    let reason = match error {
        Error::Foreign { directory, entry } => {
            format!("`{entry}` in {} isn't the local EC2's; move it away, and the rest is removed", directory.display())
        }
        Error::Unsafe { reason, .. } => reason.clone(),
        error => format!("failed to {error}; it is tried again later"),
    };
    stays(path, &reason);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_ours() {
        assert!(is_instance("i-0123456789abcdef0") && is_instance("i-01234567"));
        assert!(is_volume("vol-0123456789abcdef0") && is_volume("vol-01234567"));
        assert!(is_tree("0123456789abcdef"));
        for name in
            ["i-", "i-0123456789ABCDEF0", "i-../../../../../x", "results", "i-0123456789abcdef01", "vol-", "vol-x"]
        {
            assert!(!is_user(name) && !is_tree(name), "{name}");
        }
        for part in [part_of_run, part_of_disk, part_of_tree] {
            assert!(["notes", "", ".", "..", MARK, "endpoint.bak"].iter().all(|name| part(name).is_none()));
        }
    }
}
