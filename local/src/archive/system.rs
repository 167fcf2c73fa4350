//! What kind of system a root directory holds.

use super::{Rule, UnpackError};
use rustix::{
    fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2},
    io::Errno,
};
use serde::{Deserialize, Serialize};
use std::{
    fs::File,
    io::{self, Read},
    os::fd::OwnedFd,
    path::Path,
};

/// Enough for any `os-release`.
const LONGEST_RELEASE: u64 = 8 << 10;

/// What kind of system a root directory holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct System {
    /// What its `/bin/sh` was built for, in Rust's words: `x86_64`, `aarch64`. Always this host's.
    pub architecture: String,
    /// The text of its `os-release` (os-release(5)); empty if there is none.
    pub os_release: String,
}

impl System {
    /// Looks at a root directory; no link in it leads out of it.
    pub(super) fn look(directory: &Path) -> Result<Self, UnpackError> {
        let root = openat(CWD, directory, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .map_err(|error| UnpackError::Directory { path: directory.to_owned(), source: error.into() })?;
        let refused = |text: String| UnpackError::Whole(Rule::System(text));
        let Ok(mut shell) = open(&root, "bin/sh") else {
            let hint = if open(&root, "manifest.json").is_ok() || open(&root, "index.json").is_ok() {
                "it seems to hold the layers of a container's image: `docker export` or `podman export` a container of it"
            } else if let Some(below) = only_directory(directory) {
                return Err(refused(format!(
                    "it has no /bin/sh, but a directory `{below}` alone; make the archive with `tar -C {below} .`"
                )));
            } else {
                "logins and user data need a shell"
            };
            return Err(refused(format!("it has no /bin/sh; {hint}")));
        };
        let mut start = [0; 20];
        let architecture = match shell.read_exact(&mut start) {
            Ok(()) => architecture(&start),
            Err(_) => None,
        };
        let host = std::env::consts::ARCH;
        match architecture {
            Some(of) if of == host => {}
            Some(of) => return Err(refused(format!("its /bin/sh is built for {of}, and this host is {host}"))),
            None => return Err(refused("its /bin/sh is no program (an ELF file)".to_owned())),
        }
        let release = ["etc/os-release", "usr/lib/os-release"].iter().find_map(|path| open(&root, path).ok());
        let mut text = Vec::new();
        if let Some(release) = release {
            // A file that can't be read tells nothing; that is no reason to refuse the system.
            let _ = release.take(LONGEST_RELEASE).read_to_end(&mut text);
        }
        Ok(Self { architecture: host.to_owned(), os_release: String::from_utf8_lossy(&text).into_owned() })
    }
}

/// Opens a regular file of the system's as it would itself.
fn open(root: &OwnedFd, path: &str) -> io::Result<File> {
    // Without waiting: there may be a pipe of that name.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let file = File::from(openat2(root, path, flags, Mode::empty(), resolve)?);
    if file.metadata()?.is_file() { Ok(file) } else { Err(Errno::INVAL.into()) }
}

/// The name of the one directory that is all there is and holds a system, as in an archive of a directory rather than of what
/// is in it.
fn only_directory(root: &Path) -> Option<String> {
    let mut entries = root.read_dir().ok()?;
    let (only, more) = (entries.next()?.ok()?, entries.next());
    let is_directory = more.is_none() && only.file_type().ok()?.is_dir();
    let has_system = ["bin", "usr"].iter().any(|name| only.path().join(name).symlink_metadata().is_ok());
    (is_directory && has_system).then(|| super::error::shown(only.file_name().as_encoded_bytes()))
}

/// What a program is built for, see elf(5): the class, the order of bytes, and the machine's number.
fn architecture(start: &[u8; 20]) -> Option<&'static str> {
    let [0x7f, b'E', b'L', b'F', class, order, ..] = *start else { return None };
    let number = [start[18], start[19]];
    let number = if order == 2 { u16::from_be_bytes(number) } else { u16::from_le_bytes(number) };
    Some(match (class, number) {
        (2, 62) => "x86_64",
        (1, 62) => "x86_64 with 32 bit addresses",
        (2, 183) => "aarch64",
        (_, 3) => "32 bit x86",
        (_, 40) => "32 bit ARM",
        (_, 243) => "RISC-V",
        (_, 21) => "64 bit PowerPC",
        (_, 22) => "s390x",
        _ => "another machine",
    })
}
