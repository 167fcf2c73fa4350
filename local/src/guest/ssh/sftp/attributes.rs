//! File attributes: what the protocol says of a file, and setting it.

use russh_sftp::protocol::{File, FileAttributes};
use rustix::fs::{AtFlags, CWD, Gid, Mode, Timespec, Timestamps, Uid};
use std::{fs::Metadata, io, os::fd::BorrowedFd, os::unix::fs::MetadataExt};
use time::{OffsetDateTime, macros::format_description};

/// The attributes of a file.
pub fn of(metadata: &Metadata) -> FileAttributes {
    FileAttributes {
        size: Some(metadata.len()),
        uid: Some(metadata.uid()),
        gid: Some(metadata.gid()),
        permissions: Some(metadata.mode()),
        atime: Some(seconds(metadata.atime())),
        mtime: Some(seconds(metadata.mtime())),
        ..FileAttributes::default()
    }
}

/// An entry of a listing, with the line that `ls -l` would print.
pub fn entry(name: String, metadata: &Metadata) -> File {
    let attrs = of(metadata);
    let kind = match metadata.mode() & libc::S_IFMT {
        libc::S_IFDIR => 'd',
        libc::S_IFLNK => 'l',
        libc::S_IFIFO => 'p',
        libc::S_IFSOCK => 's',
        libc::S_IFCHR => 'c',
        libc::S_IFBLK => 'b',
        _ => '-',
    };
    let changed = OffsetDateTime::from_unix_timestamp(metadata.mtime())
        .ok()
        .and_then(|time| time.format(format_description!("[month repr:short] [day padding:space]  [year]")).ok())
        .unwrap_or_default();
    let longname = format!(
        "{kind}{} {:>4} {:<8} {:<8} {:>8} {changed} {name}",
        attrs.permissions(),
        metadata.nlink(),
        metadata.uid(),
        metadata.gid(),
        metadata.len(),
    );
    File { filename: name, longname, attrs }
}

/// The mode for a file that is made with these attributes.
pub fn mode(attributes: &FileAttributes, default: u32) -> Mode {
    Mode::from_raw_mode(attributes.permissions.unwrap_or(default) & 0o7777)
}

/// Where attributes are set.
pub enum Target<'a> {
    /// At a path; links are followed if so wished.
    Path(&'a str, Links),
    /// Of an open file.
    Open(BorrowedFd<'a>),
}

/// What to do where a path names a symbolic link.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Links {
    /// Act on what it points to.
    Follow,
    /// Act on the link.
    Keep,
}

/// Sets those attributes that are given, in sftp-server's order: size, mode, times, owner.
pub fn set(target: &Target<'_>, attributes: &FileAttributes) -> io::Result<()> {
    if let Some(size) = attributes.size {
        match target {
            Target::Open(file) => rustix::fs::ftruncate(file, size)?,
            Target::Path(path, _) => std::fs::OpenOptions::new().write(true).open(path)?.set_len(size)?,
        }
    }
    if attributes.permissions.is_some() {
        let mode = mode(attributes, 0);
        match target {
            Target::Open(file) => rustix::fs::fchmod(file, mode)?,
            Target::Path(path, links) => rustix::fs::chmodat(CWD, *path, mode, links.flags())?,
        }
    }
    if let (Some(atime), Some(mtime)) = (attributes.atime, attributes.mtime) {
        let at = |seconds: u32| Timespec { tv_sec: seconds.into(), tv_nsec: 0 };
        let times = Timestamps { last_access: at(atime), last_modification: at(mtime) };
        match target {
            Target::Open(file) => rustix::fs::futimens(file, &times)?,
            Target::Path(path, links) => rustix::fs::utimensat(CWD, *path, &times, links.flags())?,
        }
    }
    if let (Some(uid), Some(gid)) = (attributes.uid, attributes.gid) {
        let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
        match target {
            Target::Open(file) => rustix::fs::fchown(file, uid, gid)?,
            Target::Path(path, links) => rustix::fs::chownat(CWD, *path, uid, gid, links.flags())?,
        }
    }
    Ok(())
}

impl Links {
    fn flags(self) -> AtFlags {
        match self {
            Self::Follow => AtFlags::empty(),
            Self::Keep => AtFlags::SYMLINK_NOFOLLOW,
        }
    }
}

/// The protocol has 32 bits for a time.
fn seconds(time: i64) -> u32 {
    time.clamp(0, u32::MAX.into()) as u32
}
