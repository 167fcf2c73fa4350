//! Directories as tar streams.

use std::{
    collections::BTreeMap,
    fs::{self, File, FileTimes, Permissions},
    io::{self, Read, Write},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink},
    path::{Component, Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tar::{Archive, Builder, EntryType, Header};

/// Writes a directory as `tree`, and after it an empty file `complete`.
pub(super) fn pack(root: &Path, writer: &mut impl Write) -> io::Result<()> {
    let mut builder = Builder::new(writer);
    builder.follow_symlinks(false);
    pack_entry(&mut builder, root, Path::new("tree"))?;
    let mut header = Header::new_gnu();
    header.set_size(0);
    header.set_mode(0o600);
    builder.append_data(&mut header, "complete", io::empty())?;
    builder.finish()
}

fn pack_entry(builder: &mut Builder<impl Write>, path: &Path, name: &Path) -> io::Result<()> {
    let at = |error: io::Error| {
        if super::queue::is_hung_up(&error) {
            error
        } else {
            io::Error::new(error.kind(), format!("{}: {error}", path.display()))
        }
    };
    let metadata = if name == Path::new("tree") { fs::metadata(path) } else { fs::symlink_metadata(path) };
    let metadata = metadata.map_err(at)?;
    let mut header = Header::new_gnu();
    header.set_metadata(&metadata);
    if metadata.is_dir() {
        builder.append_data(&mut header, name, io::empty()).map_err(at)?;
        let mut names = fs::read_dir(path).map_err(at)?.map(|entry| entry.map(|entry| entry.file_name()));
        let mut names = names.by_ref().collect::<io::Result<Vec<_>>>().map_err(at)?;
        names.sort_unstable();
        for child in names {
            pack_entry(builder, &path.join(&child), &name.join(&child))?;
        }
        Ok(())
    } else if metadata.is_symlink() {
        header.set_size(0);
        builder.append_link(&mut header, name, fs::read_link(path).map_err(at)?).map_err(at)
    } else if metadata.is_file() {
        // What is appended has the size that the header says, or the stream is worthless.
        let file = File::open(path).map_err(at)?;
        let mut exact = Exact { file, left: metadata.len() };
        builder.append_data(&mut header, name, &mut exact).map_err(at)
    } else {
        Err(at(io::Error::new(io::ErrorKind::Unsupported, "it is neither a file, a directory nor a symbolic link")))
    }
}

/// As many bytes of a file as it had.
struct Exact {
    file: File,
    left: u64,
}

impl Read for Exact {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(into.len());
        let length = self.file.read(&mut into[..most])?;
        if length == 0 && most > 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it became shorter while it was read"));
        }
        self.left -= length as u64;
        Ok(length)
    }
}

/// Makes of a tar stream, which a machine made and may mean harm, a directory that doesn't exist yet. Nothing is
/// written outside of it: no absolute path, no `..`, nothing through a link, no device.
pub(in crate::ssh) fn unpack(stream: impl Read, root: &Path) -> io::Result<()> {
    fs::create_dir(root)?;
    let mut directories = BTreeMap::new();
    let mut archive = Archive::new(stream);
    for entry in archive.entries()? {
        let mut entry = entry?;
        let name = entry.path()?.into_owned();
        let at = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", name.display()));
        let path = root.join(inner_path(&name).map_err(at)?);
        let header = entry.header();
        let (mode, modified) = (header.mode()? & 0o777, UNIX_EPOCH + Duration::from_secs(header.mtime()?));
        match header.entry_type() {
            EntryType::Directory => {
                if path != root {
                    check_parent(root, &path).map_err(at)?;
                    // A directory that comes twice is one.
                    if !fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_dir()) {
                        fs::create_dir(&path).map_err(at)?;
                    }
                }
                // Modes and times come last: a directory may not allow to be filled.
                directories.insert(path, (mode, modified));
            }
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                check_parent(root, &path).map_err(at)?;
                let mut file = File::create_new(&path).map_err(at)?;
                io::copy(&mut entry, &mut file).map_err(at)?;
                finish(&file, mode, modified).map_err(at)?;
            }
            EntryType::Symlink => {
                check_parent(root, &path).map_err(at)?;
                let target = entry.link_name()?.ok_or_else(|| at(io::ErrorKind::InvalidData.into()))?;
                symlink(target, &path).map_err(at)?;
            }
            EntryType::Link => {
                check_parent(root, &path).map_err(at)?;
                let target = entry.link_name()?.ok_or_else(|| at(io::ErrorKind::InvalidData.into()))?;
                let target = root.join(inner_path(&target).map_err(at)?);
                check_parent(root, &target).map_err(at)?;
                fs::hard_link(target, &path).map_err(at)?;
            }
            _ => {
                return Err(at(io::Error::new(
                    io::ErrorKind::Unsupported,
                    "it is neither a file, a directory nor a link",
                )));
            }
        }
    }
    for (path, (mode, modified)) in directories.into_iter().rev() {
        finish(&File::open(path)?, mode, modified)?;
    }
    Ok(())
}

/// A path that can't lead out by itself.
fn inner_path(name: &Path) -> io::Result<PathBuf> {
    let mut path = PathBuf::new();
    for component in name.components() {
        match component {
            Component::Normal(part) => path.push(part),
            Component::CurDir => {}
            _ => return Err(io::Error::new(io::ErrorKind::InvalidData, "the path leads out of the directory")),
        }
    }
    Ok(path)
}

/// Nor through a link.
fn check_parent(root: &Path, path: &Path) -> io::Result<()> {
    let parent = path.parent().unwrap_or(root);
    if parent.canonicalize()?.starts_with(root.canonicalize()?) {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::InvalidData, "the path leads out of the directory through a link"))
}

pub(super) fn finish(file: &File, mode: u32, modified: SystemTime) -> io::Result<()> {
    file.set_times(FileTimes::new().set_modified(modified))?;
    file.set_permissions(Permissions::from_mode(mode))
}

/// Moves a directory to where none is, or all that is in it into the one that is there.
pub(super) fn merge(from: &Path, to: &Path) -> io::Result<()> {
    let at = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", to.display()));
    let is_directory = |path: &Path| fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir());
    if !is_directory(from) || !is_directory(to) {
        if is_directory(from) && fs::symlink_metadata(to).is_ok() {
            return Err(at(io::Error::new(io::ErrorKind::AlreadyExists, "there is a file that is no directory")));
        }
        return fs::rename(from, to).map_err(at);
    }
    let metadata = fs::metadata(from)?;
    fs::set_permissions(from, Permissions::from_mode(0o700))?;
    for entry in fs::read_dir(from)? {
        let name = entry?.file_name();
        merge(&from.join(&name), &to.join(&name))?;
    }
    fs::remove_dir(from)?;
    let modified = UNIX_EPOCH + Duration::from_secs(u64::try_from(metadata.mtime()).unwrap_or_default());
    finish(&File::open(to)?, metadata.mode() & 0o777, modified)
}
