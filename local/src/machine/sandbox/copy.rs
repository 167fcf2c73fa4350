//! Copies a tree of files as a layer of an overlay: with owners, modes, times, links, holes, file capabilities and access control
//! lists, and with what an overlay notes of files that are gone.
//!
//! The tree is a machine's, which has made of it what it likes. So each directory is opened from the one above it, no link is
//! followed, and nothing is opened that could wait for somebody.

use super::root::told;
use rustix::{
    fs::{
        AtFlags, Dir, FileType, Mode, OFlags, SeekFrom, Stat, Timespec, Timestamps, XattrFlags, chmodat, chownat,
        fchmod, fchown, fgetxattr, flistxattr, fsetxattr, ftruncate, futimens, linkat, makedev, mkdirat, mknodat,
        openat, readlinkat, seek, statat, symlinkat, utimensat,
    },
    io::Errno,
    process::{Gid, Uid},
};
use std::{
    collections::HashMap,
    ffi::{CStr, OsStr},
    fs::File,
    io::{self, Read, Seek},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::{Path, PathBuf},
};

/// How deep directories may be nested: each level is open while it is copied.
const DEEPEST: usize = 400;
/// The longest names and the longest value of the attributes of a file (xattr(7)).
const LONGEST: usize = 64 << 10;

/// How much is copied before it is asked whether to go on.
const PIECE: u64 = 32 << 20;

/// To whom the copies belong: ids from the first on become those from the second on.
#[derive(Debug, Clone, Copy)]
pub struct Shift {
    pub from: u32,
    pub to: u32,
    pub count: u32,
}

impl Shift {
    fn apply(self, id: u32) -> u32 {
        match id.checked_sub(self.from) {
            Some(number) if number < self.count => self.to + number,
            _ => id,
        }
    }
}

/// Copies all that is in a directory into an empty one, and gives that the attributes of the first.
pub fn copy_tree(from: BorrowedFd<'_>, to: BorrowedFd<'_>, shift: Option<Shift>) -> io::Result<()> {
    let mut copy = Copy { top: to, shift, linked: HashMap::new(), path: PathBuf::new() };
    copy.contents(from, to)?;
    let found = rustix::fs::fstat(from)?;
    copy.attributes(from, to, &found)
}

struct Copy<'a> {
    top: BorrowedFd<'a>,
    shift: Option<Shift>,
    /// Files that have several links, each with where its copy is.
    linked: HashMap<(u64, u64), PathBuf>,
    /// Of the directory that is being copied.
    path: PathBuf,
}

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

impl Copy<'_> {
    fn contents(&mut self, from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> io::Result<()> {
        for entry in Dir::read_from(from)? {
            let entry = entry?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let at = self.path.join(OsStr::from_bytes(name.to_bytes()));
            match self.entry(from, to, name) {
                // It has gone meanwhile: the machine may be on.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                other => other.map_err(told("copy", at.display()))?,
            }
        }
        Ok(())
    }

    fn entry(&mut self, from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &CStr) -> io::Result<()> {
        let found = statat(from, name, AtFlags::SYMLINK_NOFOLLOW)?;
        match FileType::from_raw_mode(found.st_mode) {
            FileType::Directory => self.directory(from, to, name),
            FileType::RegularFile => self.file(from, to, name, &found),
            FileType::Symlink => {
                symlinkat(&*readlinkat(from, name, Vec::new())?, to, name)?;
                self.attributes_at(to, name, &found)
            }
            // An overlay's note that there is no such file any more; it has no attributes.
            FileType::CharacterDevice if found.st_rdev == 0 => {
                Ok(mknodat(to, name, FileType::CharacterDevice, Mode::empty(), makedev(0, 0))?)
            }
            kind @ (FileType::Fifo | FileType::Socket) => {
                mknodat(to, name, kind, Mode::RUSR, 0)?;
                self.attributes_at(to, name, &found)
            }
            // No machine can make devices.
            _ => Ok(()),
        }
    }

    fn directory(&mut self, from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &CStr) -> io::Result<()> {
        if self.path.components().count() >= DEEPEST {
            return Err(io::Error::other(format!("directories are nested more than {DEEPEST} deep")));
        }
        let from = openat(from, name, DIRECTORY, Mode::empty())?;
        // As it is now: there may be another one by now than was looked at.
        let found = rustix::fs::fstat(&from)?;
        mkdirat(to, name, Mode::RWXU)?;
        let to = openat(to, name, DIRECTORY, Mode::empty())?;
        self.path.push(OsStr::from_bytes(name.to_bytes()));
        let copied = self.contents(from.as_fd(), to.as_fd());
        self.path.pop();
        copied?;
        self.attributes(from.as_fd(), to.as_fd(), &found)
    }

    fn file(&mut self, from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &CStr, found: &Stat) -> io::Result<()> {
        let at = self.path.join(OsStr::from_bytes(name.to_bytes()));
        let id = (found.st_dev, found.st_ino);
        if found.st_nlink > 1 {
            if let Some(first) = self.linked.get(&id) {
                return Ok(linkat(self.top, first, to, name, AtFlags::empty())?);
            }
            self.linked.insert(id, at);
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let source = File::from(openat(from, name, flags, Mode::empty())?);
        let found = rustix::fs::fstat(&source)?;
        if !FileType::from_raw_mode(found.st_mode).is_file() {
            return Ok(());
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let copy = File::from(openat(to, name, flags, Mode::RUSR | Mode::WUSR)?);
        copy_sparsely(&source, &copy, u64::try_from(found.st_size).unwrap_or(0))?;
        self.attributes(source.as_fd(), copy.as_fd(), &found)
    }

    fn owner(&self, found: &Stat) -> (Option<Uid>, Option<Gid>) {
        let shifted = |id| self.shift.map_or(id, |shift| shift.apply(id));
        (Some(Uid::from_raw(shifted(found.st_uid))), Some(Gid::from_raw(shifted(found.st_gid))))
    }

    /// Gives a copy what its original has; in this order, since each of them takes away what comes later.
    fn attributes(&self, from: BorrowedFd<'_>, to: BorrowedFd<'_>, found: &Stat) -> io::Result<()> {
        let (user, group) = self.owner(found);
        fchown(to, user, group)?;
        fchmod(to, Mode::from_raw_mode(found.st_mode & 0o7777))?;
        self.extended(from, to)?;
        Ok(futimens(to, &times(found))?)
    }

    fn attributes_at(&self, to: BorrowedFd<'_>, name: &CStr, found: &Stat) -> io::Result<()> {
        let (user, group) = self.owner(found);
        chownat(to, name, user, group, AtFlags::SYMLINK_NOFOLLOW)?;
        if !FileType::from_raw_mode(found.st_mode).is_symlink() {
            // What was made just now is what the name stands for.
            chmodat(to, name, Mode::from_raw_mode(found.st_mode & 0o7777), AtFlags::empty())?;
        }
        Ok(utimensat(to, name, &times(found), AtFlags::SYMLINK_NOFOLLOW)?)
    }

    fn extended(&self, from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> io::Result<()> {
        let mut names = vec![0; LONGEST];
        let length = match flistxattr(from, &mut names) {
            Err(Errno::OPNOTSUPP) => return Ok(()),
            other => other?,
        };
        for name in names[..length].split(|byte| *byte == 0).filter(|name| is_kept(name)) {
            let name = std::ffi::CString::new(name)?;
            let mut value = vec![0; LONGEST];
            let length = match fgetxattr(from, &*name, &mut value) {
                Err(Errno::NODATA) => continue,
                other => other?,
            };
            value.truncate(length);
            if let Some(shift) = self.shift {
                shift_value(name.to_bytes(), &mut value, shift);
            }
            fsetxattr(to, &*name, &value, XattrFlags::empty()).map_err(told("set", name.to_string_lossy()))?;
        }
        Ok(())
    }
}

fn times(found: &Stat) -> Timestamps {
    let time = |seconds, nanoseconds| Timespec { tv_sec: seconds, tv_nsec: nanoseconds };
    Timestamps {
        last_access: time(found.st_atime, found.st_atime_nsec as _),
        last_modification: time(found.st_mtime, found.st_mtime_nsec as _),
    }
}

/// What an overlay notes beside files is of this one overlay, but for what hides what lies below it; overlays within the machine
/// have names of their own (the kernel's `overlayfs.rst`, "Nested overlayfs mounts").
fn is_kept(name: &[u8]) -> bool {
    match name.strip_prefix(b"user.overlay.") {
        Some(of_overlay) => of_overlay == b"opaque" || of_overlay.starts_with(b"overlay."),
        None => name.starts_with(b"user.") || name == CAPABILITY || name.starts_with(LIST),
    }
}

const CAPABILITY: &[u8] = b"security.capability";
const LIST: &[u8] = b"system.posix_acl_";
/// The length of the form that names the root of a user namespace (`vfs_ns_cap_data` in `linux/capability.h`).
const WITH_ROOT: usize = 24;
/// A list has a head of this length, and entries of this one, whose second half is an id (`linux/posix_acl_xattr.h`).
const HEAD: usize = 4;
const ENTRY: usize = 8;
/// The entries that name somebody.
const USER: u16 = 2;
const GROUP: u16 = 8;

/// Gives the ids in a value to the new owners.
fn shift_value(name: &[u8], value: &mut [u8], shift: Shift) {
    let apply = |id: &mut [u8]| {
        if let Ok(bytes) = <[u8; 4]>::try_from(&*id) {
            id.copy_from_slice(&shift.apply(u32::from_le_bytes(bytes)).to_le_bytes());
        }
    };
    if name == CAPABILITY && value.len() == WITH_ROOT {
        apply(&mut value[WITH_ROOT - 4..]);
    } else if name.starts_with(LIST) && value.len() > HEAD {
        for entry in value[HEAD..].chunks_exact_mut(ENTRY) {
            if matches!(u16::from_le_bytes([entry[0], entry[1]]), USER | GROUP) {
                apply(&mut entry[4..]);
            }
        }
    }
}

/// Copies what isn't a hole.
pub fn copy_sparsely(from: &File, to: &File, length: u64) -> io::Result<()> {
    copy_ranges(from, to, length, &|| false)
}

/// The same, until it is told to stop.
pub fn copy_ranges(mut from: &File, mut to: &File, length: u64, stops: &dyn Fn() -> bool) -> io::Result<()> {
    ftruncate(to, length)?;
    let mut at = 0;
    while at < length {
        at = match seek(from, SeekFrom::Data(at)) {
            Err(Errno::NXIO) => return Ok(()),
            other => other?,
        };
        let end = seek(from, SeekFrom::Hole(at))?.min(length);
        from.seek(io::SeekFrom::Start(at))?;
        to.seek(io::SeekFrom::Start(at))?;
        while at < end {
            if stops() {
                return Err(io::Error::new(io::ErrorKind::Interrupted, "the endpoint ends"));
            }
            match io::copy(&mut Read::by_ref(&mut from).take((end - at).min(PIECE)), &mut to)? {
                // It has become shorter.
                0 => return Ok(()),
                copied => at += copied,
            }
        }
    }
    Ok(())
}

/// Opens a directory below another one, if it is one.
pub fn directory_below(above: BorrowedFd<'_>, path: &Path) -> io::Result<Option<OwnedFd>> {
    match openat(above, path, DIRECTORY, Mode::empty()) {
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
        other => Ok(Some(other?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        fs,
        os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    };

    #[test]
    fn a_copy_is_like_its_original() {
        let directory = tempfile::tempdir().unwrap();
        let [from, to] = ["from", "to"].map(|name| directory.path().join(name));
        fs::create_dir_all(from.join("a/b")).unwrap();
        fs::create_dir(&to).unwrap();
        fs::write(from.join("a/file"), "text").unwrap();
        fs::set_permissions(from.join("a/file"), fs::Permissions::from_mode(0o4750)).unwrap();
        fs::hard_link(from.join("a/file"), from.join("a/b/link")).unwrap();
        symlink("/etc/passwd", from.join("a/away")).unwrap();
        let hole = File::create(from.join("hole")).unwrap();
        hole.set_len(64 << 20).unwrap();
        rustix::fs::setxattr(from.join("a"), "user.overlay.opaque", b"y", XattrFlags::empty()).unwrap();
        rustix::fs::setxattr(from.join("a"), "user.overlay.origin", b"x", XattrFlags::empty()).unwrap();
        rustix::fs::setxattr(from.join("a/file"), "user.mine", b"z", XattrFlags::empty()).unwrap();
        let past = Timespec { tv_sec: 1_000_000, tv_nsec: 7 };
        let times = Timestamps { last_access: past, last_modification: past };
        rustix::fs::utimensat(rustix::fs::CWD, from.join("a"), &times, AtFlags::empty()).unwrap();
        let open = |path: &Path| rustix::fs::open(path, DIRECTORY, Mode::empty()).unwrap();
        copy_tree(open(&from).as_fd(), open(&to).as_fd(), None).unwrap();
        let at = |path: &str| to.join(path).symlink_metadata().unwrap();
        assert_eq!(fs::read(to.join("a/file")).unwrap(), b"text");
        assert_eq!(at("a/file").mode() & 0o7777, 0o4750);
        assert_eq!(at("a/file").ino(), at("a/b/link").ino());
        assert_eq!(fs::read_link(to.join("a/away")).unwrap(), Path::new("/etc/passwd"));
        assert_eq!((at("hole").len(), at("hole").blocks()), (64 << 20, 0));
        assert_eq!((at("a").mtime(), at("a").mtime_nsec()), (1_000_000, 7));
        let attribute = |path: &str, name: &str| {
            let mut value = [0; 8];
            let length = rustix::fs::getxattr(to.join(path), name, &mut value).ok()?;
            Some(value[..length].to_vec())
        };
        assert_eq!(attribute("a", "user.overlay.opaque"), Some(b"y".to_vec()));
        assert_eq!(attribute("a", "user.overlay.origin"), None);
        assert_eq!(attribute("a/file", "user.mine"), Some(b"z".to_vec()));
    }

    #[test]
    fn ids_in_values_are_those_of_the_new_owners() {
        let shift = Shift { from: 1000, to: 5000, count: 100 };
        assert_eq!([999, 1000, 1099, 1100].map(|id| shift.apply(id)), [999, 5000, 5099, 1100]);
        let mut capability = [0; WITH_ROOT];
        capability[20..].copy_from_slice(&1000_u32.to_le_bytes());
        shift_value(CAPABILITY, &mut capability, shift);
        assert_eq!(capability[20..], 5000_u32.to_le_bytes());
        let mut list = [2, 0, 0, 0, 2, 0, 7, 0, 0xe9, 3, 0, 0, 1, 0, 7, 0, 0xe9, 3, 0, 0];
        shift_value(b"system.posix_acl_access", &mut list, shift);
        assert_eq!(list[8..12], 5001_u32.to_le_bytes());
        assert_eq!(list[16..20], 1001_u32.to_le_bytes(), "it names nobody");
    }
}
