//! Anything as an archive.

use super::{Limits, Owners, unpack};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// An archive: whatever it says, nothing is written, changed or removed beside the directory that it is unpacked into.
pub fn archive(bytes: &[u8]) {
    let Some(around) = Around::new() else { return };
    let limits = Limits { bytes: 1 << 20, room: 2 << 20, entries: 64, ..Limits::default() };
    let _ = unpack(bytes, &around.0.join("into"), Owners::Caller, &limits);
    let Ok(entries) = fs::read_dir(&around.0) else { panic!("what was around the directory is gone") };
    let mut names: Vec<_> = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    names.sort();
    assert_eq!(names, ["canary", "into"]);
    assert_eq!(fs::read(around.0.join("canary")).unwrap_or_default(), CANARY);
}

const CANARY: &[u8] = b"still here";

/// A directory with a file beside the one to be unpacked into; gone on drop.
struct Around(PathBuf);

impl Around {
    fn new() -> Option<Self> {
        let path = std::env::temp_dir().join(format!("ec2-local-archive-{:016x}", getrandom::u64().ok()?));
        fs::create_dir(&path).ok()?;
        let around = Self(path);
        fs::create_dir(around.0.join("into")).ok()?;
        fs::write(around.0.join("canary"), CANARY).ok()?;
        Some(around)
    }
}

impl Drop for Around {
    fn drop(&mut self) {
        open_up(&self.0);
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Lets a user who isn't root remove what is in directories that the archive has closed.
fn open_up(directory: &Path) {
    use std::os::unix::fs::PermissionsExt;

    let _ = fs::set_permissions(directory, fs::Permissions::from_mode(0o700));
    for entry in fs::read_dir(directory).into_iter().flatten().filter_map(Result::ok) {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            open_up(&entry.path());
        }
    }
}
