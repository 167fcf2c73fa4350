//! The host's directories that machines share, and what of them they see: what everybody on the host may read.
//!
//! To root in a machine belong the files of the user who runs it: by a mapping of their owners where that is the host's root, so
//! that package managers can work on them, and anyway where it is somebody else. What only that user may read, as everybody's
//! mode bits and lists say, must stay outside all the same, whatever root inside tries:
//!
//! - Where the machine has more users than root, the kernel sees to that, at each access: between the host's directory and the
//!   machine's writable layer lies an overlay without such a layer, whose mounter owns nothing and has no capability over files.
//!   An overlay reaches what lies below it as its mounter (the kernel's `overlayfs.rst`, "Permission model").
//! - Where root is alone there is nobody else to mount it, and where the host's directory is an overlay itself another one is one
//!   too many. There the endpoint looks for such files when it starts, and each is covered in its machines.

use super::{
    identity::{self, Identity},
    kernel,
    protocol::{Shown, Users},
    root::told,
};
use rustix::{
    fs::{Access, AtFlags, CWD, FileType, Mode, XattrFlags, access, chmodat, mknodat, setxattr},
    mount::{MountFlags, mount},
};
use std::{
    ffi::CString,
    fs, io,
    os::unix::fs::{MetadataExt, chown},
    path::{Path, PathBuf},
    sync::OnceLock,
};

/// The host's directories that hold programs; each is a link or a directory.
pub const SYSTEM: [&str; 7] = ["bin", "lib", "lib32", "lib64", "libx32", "sbin", "usr"];
/// Where package managers note what is installed.
const PACKAGES: [&str; 3] = ["var/lib/dpkg", "var/lib/rpm", "var/lib/pacman"];
/// Directories of `/etc` that are public and too large to be copied at each first boot.
const PUBLIC: [&str; 5] = ["etc/alternatives", "etc/crypto-policies", "etc/fonts", "etc/pki/ca-trust", "etc/ssl/certs"];
/// What package managers must be able to read or write, though it is for the host's root alone: locks, and a directory into which
/// many packages put something. A machine has its own, empty ones.
const OWN: [&str; 4] =
    ["/usr/share/polkit-1/rules.d", "/var/lib/dpkg/lock", "/var/lib/dpkg/lock-frontend", "/var/lib/dpkg/triggers/Lock"];
/// Of a directory with more such entries than this nothing is shown.
const MOST_COVERS: usize = 32;
/// How many covers fit into what the keeper is told.
const MOST_TEXT: usize = 64 << 10;
/// An overlay's `f_type` (statfs(2)).
const OVERLAY: libc::__fsword_t = 0x794c_7630;

/// The host's directories of which a machine sees a copy-on-write image, as far as this host has them.
pub fn layers() -> Vec<PathBuf> {
    let named = SYSTEM.iter().chain(&PACKAGES).chain(&PUBLIC).map(|name| Path::new("/").join(name));
    named.filter(|path| path.symlink_metadata().is_ok_and(|found| found.is_dir()) && is_reachable(path)).collect()
}

/// Whether everybody may read a directory, and pass through those above it.
fn is_reachable(directory: &Path) -> bool {
    has(directory, 0o005) && is_passable(directory)
}

/// Whether everybody may pass through the directories above a path without links.
pub fn is_passable(path: &Path) -> bool {
    path.ancestors().skip(1).all(|above| above == Path::new("/") || has(above, 0o001))
}

fn has(path: &Path, bits: u32) -> bool {
    path.metadata().is_ok_and(|found| found.mode() & bits == bits)
}

/// What must be covered in the machines of this process's user, if the kernel can't see to it. To be asked for early: the
/// first answer takes as long as looking at all that is shared.
pub fn covers() -> Option<io::Result<Vec<PathBuf>>> {
    static COVERS: OnceLock<Option<Result<Vec<PathBuf>, String>>> = OnceLock::new();
    let covers = COVERS.get_or_init(|| {
        let identity = Identity::choose(None, identity::FIRST);
        let layers = layers();
        let is_overlay = |path: &PathBuf| rustix::fs::statfs(path).is_ok_and(|found| found.f_type == OVERLAY);
        let is_needed = match identity {
            Identity::Range(_) => false,
            _ => identity.users() == Users::RootOnly || layers.iter().any(is_overlay),
        };
        is_needed.then(|| private_files(&layers))
    });
    covers.clone().map(|covers| covers.map_err(io::Error::other))
}

/// What this process may read below directories, and not everybody; nothing below what is named itself.
fn private_files(directories: &[PathBuf]) -> Result<Vec<PathBuf>, String> {
    let mut found = Vec::new();
    for directory in directories {
        if !look_below(directory, &mut found) {
            found.push(directory.clone());
        }
    }
    let length: usize = found.iter().map(|path| path.as_os_str().len() + 4).sum();
    if length > MOST_TEXT {
        return Err(format!(
            "hide what only this user may read: there are {} such files below {directories:?}; let others read them, or have more \
             users than root in machines: install newuidmap (package uidmap) and give the user a range in /etc/subuid",
            found.len()
        ));
    }
    Ok(found)
}

/// Adds what is to be covered; says no if that is the directory as a whole.
fn look_below(directory: &Path, found: &mut Vec<PathBuf>) -> bool {
    // What can't be listed here can't be in a machine.
    let Ok(entries) = fs::read_dir(directory) else { return true };
    let before = found.len();
    for entry in entries.filter_map(Result::ok) {
        let Ok(kind) = entry.file_type() else { continue };
        // Anyone who may read a directory may read the links in it.
        if kind.is_symlink() {
            continue;
        }
        let Ok(about) = entry.metadata() else { continue };
        let path = entry.path();
        let everybody = if kind.is_dir() { 0o005 } else { 0o004 };
        let covered = match about.mode() & everybody == everybody {
            true => kind.is_dir() && !look_below(&path, found),
            false => [Access::READ_OK, Access::EXEC_OK].into_iter().any(|wanted| access(&path, wanted).is_ok()),
        };
        if covered {
            found.push(path);
        }
    }
    let own = found[before..].iter().filter(|path| path.parent() == Some(directory)).count();
    if own > MOST_COVERS {
        found.truncate(before);
    }
    own <= MOST_COVERS
}

/// Mounts what everybody may see of the host's directories, at `sources`; says of each where, as an overlay's lower layers. Only
/// where the kernel is to see to it is a failure of one not one of all: then no mount of it is there.
pub fn mount_views(paths: &[&Path], sources: &[String], shown: &Shown) -> io::Result<Vec<io::Result<String>>> {
    let failed = |path: &Path, error: io::Error| {
        told("keep what not everybody may read out of the machine's", path.display())(error)
    };
    let each = || paths.iter().zip(sources).enumerate();
    match shown {
        Shown::AllBut(covers) => each()
            .map(|(index, (path, source))| {
                cover(path, source, index, covers).map_err(|error| failed(path, error)).map(Ok)
            })
            .collect(),
        Shown::ToStrangers { unowned } => {
            let view = |(index, (path, source)): (usize, (&&Path, &String))| match unowned.iter().any(|one| one == path)
            {
                true => source.clone(),
                false => format!("public/{index}"),
            };
            let views: Vec<_> = each().map(view).collect();
            views.iter().try_for_each(fs::create_dir_all)?;
            let mount = |source: &str, view: &str| {
                if source == view {
                    return Ok(());
                }
                let options = CString::new(format!("lowerdir={source}:empty,userxattr"))?;
                Ok(mount("overlay", view, "overlay", MountFlags::RDONLY, options.as_c_str())?)
            };
            let mounted =
                kernel::as_stranger(|| Ok(sources.iter().zip(&views).map(|(at, view)| mount(at, view)).collect()));
            let mounted = mounted.unwrap_or_else(|why: io::Error| {
                paths.iter().map(|_| Err(io::Error::new(why.kind(), why.to_string()))).collect::<Vec<_>>()
            });
            let results = mounted.into_iter().zip(views).zip(paths);
            Ok(results
                .map(|((mounted, view), path)| mounted.map(|()| view).map_err(|error| failed(path, error)))
                .collect())
        }
    }
}

/// Makes a layer in which what is to be covered is absent.
fn cover(path: &Path, source: &str, index: usize, covers: &[PathBuf]) -> io::Result<String> {
    let covers: Vec<_> = covers.iter().filter_map(|cover| cover.strip_prefix(path).ok()).collect();
    if covers.is_empty() {
        return Ok(source.to_owned());
    }
    let target = format!("covers/{index}");
    fs::create_dir_all(&target)?;
    for cover in covers {
        match make_whiteout(Path::new(source), Path::new(&target), cover) {
            // It is gone since.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            other => other?,
        }
    }
    Ok(format!("{target}:{source}"))
}

/// Makes a machine's own files in place of some that it may not see, in a layer in which there is nothing yet.
pub fn make_own(path: &Path, source: &str, upper: &str) -> io::Result<()> {
    for inside in OWN.iter().filter_map(|own| Path::new(own).strip_prefix(path).ok()) {
        let Ok(found) = fs::symlink_metadata(Path::new(source).join(inside)) else { continue };
        if found.mode() & 0o004 != 0 || !(found.is_dir() || found.is_file()) {
            continue;
        }
        make_like(Path::new(source), Path::new(upper), inside).map_err(told("make", inside.display()))?;
        if found.is_dir() {
            // It hides what lies below it (the kernel's `overlayfs.rst`).
            setxattr(Path::new(upper).join(inside), "user.overlay.opaque", b"y", XattrFlags::empty())?;
        }
    }
    Ok(())
}

/// Makes an empty file or a directory with the attributes of another, and the directories above it.
fn make_like(from: &Path, to: &Path, inside: &Path) -> io::Result<()> {
    let mut places: Vec<_> = inside.ancestors().filter(|inside| !inside.as_os_str().is_empty()).collect();
    // From the top down.
    places.reverse();
    for inside in places {
        let (found, made) = (fs::symlink_metadata(from.join(inside))?, to.join(inside));
        match found.is_dir() {
            true if made.exists() => continue,
            true => fs::create_dir(&made)?,
            false => fs::write(&made, "")?,
        }
        // Owners that aren't mapped can't be had.
        let _ = chown(&made, Some(found.uid()), Some(found.gid()));
        chmodat(CWD, &made, Mode::from_raw_mode(found.mode() & 0o7777), AtFlags::empty())?;
    }
    Ok(())
}

/// Makes what an overlay takes for the absence of a file in the layers below.
fn make_whiteout(lower: &Path, layer: &Path, inside: &Path) -> io::Result<()> {
    if let Some(above) = inside.parent() {
        make_like(lower, layer, above)?;
    }
    Ok(mknodat(CWD, layer.join(inside), FileType::CharacterDevice, Mode::empty(), 0)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{collections::BTreeSet, os::unix::fs::PermissionsExt};

    fn make(path: &Path, mode: u32) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        if path.extension().is_some() {
            fs::write(path, "").unwrap()
        } else {
            fs::create_dir(path).unwrap()
        }
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn finds_what_is_private() {
        let directory = tempfile::tempdir().unwrap();
        let top = directory.path();
        fs::set_permissions(top, fs::Permissions::from_mode(0o755)).unwrap();
        for (name, mode) in [
            ("public.txt", 0o644),
            ("key.pem", 0o600),
            ("group.pem", 0o640),
            ("program.bin", 0o711),
            ("open", 0o755),
            ("open/key.pem", 0o400),
            ("open/public.txt", 0o444),
            ("closed", 0o700),
            ("closed/public.txt", 0o644),
            ("by-name", 0o711),
            ("by-name/public.txt", 0o644),
        ] {
            make(&top.join(name), mode);
        }
        std::os::unix::fs::symlink("key.pem", top.join("link")).unwrap();
        let found: BTreeSet<_> = private_files(&[top.to_owned()]).unwrap().into_iter().collect();
        let expected = ["key.pem", "group.pem", "program.bin", "open/key.pem", "closed", "by-name"];
        assert_eq!(found, expected.map(|name| top.join(name)).into());
    }

    #[test]
    fn takes_a_directory_with_much_that_is_private_as_a_whole() {
        let directory = tempfile::tempdir().unwrap();
        let top = directory.path();
        fs::set_permissions(top, fs::Permissions::from_mode(0o755)).unwrap();
        for number in 0..=MOST_COVERS {
            make(&top.join(format!("keys/{number}.pem")), 0o600);
        }
        make(&top.join("keys/more/public.txt"), 0o644);
        assert_eq!(private_files(&[top.to_owned()]).unwrap(), [top.join("keys")]);
        assert_eq!(private_files(&[top.join("keys")]).unwrap(), [top.join("keys")]);
    }
}
