//! What can be wrong with an archive.

use std::{io, path::PathBuf};
use thiserror::Error;

/// Why an archive wasn't unpacked; fits `failed to import …: {error}`.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum UnpackError {
    /// An entry, or the archive as a whole, breaks a rule.
    #[error("refused for `{entry}`: {rule}")]
    Refused {
        /// The entry's path as the archive has it, what can't be printed escaped.
        entry: String,
        /// The rule.
        rule: Rule,
    },
    /// The archive breaks a rule as a whole.
    #[error("refused: {0}")]
    Whole(Rule),
    /// It can't be read.
    #[error("the archive is damaged or cut short: {0}")]
    Damaged(io::Error),
    /// A file can't be written.
    #[error("write `{entry}`: {source}")]
    Write {
        /// Which one.
        entry: String,
        /// Why not.
        source: io::Error,
    },
    /// The directory itself can't be used.
    #[error("use {path}: {source}", path = .path.display())]
    Directory {
        /// Which one.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl UnpackError {
    pub(super) fn refused(entry: &[u8], rule: Rule) -> Self {
        Self::Refused { entry: shown(entry), rule }
    }

    pub(super) fn write(entry: &[u8], source: impl Into<io::Error>) -> Self {
        Self::Write { entry: shown(entry), source: source.into() }
    }
}

/// A path as a person may see it: nothing in it can steer a terminal, and it is never endless.
pub(super) fn shown(path: &[u8]) -> String {
    const MOST: usize = 200;
    let cut = &path[..path.len().min(MOST)];
    let text: String = String::from_utf8_lossy(cut).chars().flat_map(char::escape_debug).collect();
    if path.len() > MOST { format!("{text}… ({} bytes)", path.len()) } else { text }
}

/// What an archive of a root directory may not hold.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Rule {
    /// A path that begins with `/`.
    #[error("its path is absolute; make the archive with `tar -C DIRECTORY .`")]
    Absolute,
    /// A path with `..` in it.
    #[error("its path contains `..`")]
    Upwards,
    /// A path of no name at all, for anything but the root directory.
    #[error("it has no name")]
    NoName,
    /// A path with a NUL in it.
    #[error("its path contains a NUL")]
    Nul,
    /// A path, name or nesting that no file system takes.
    #[error(
        "its path is longer than {} bytes, a name of it than {}, or it is deeper than {} directories",
        super::path::LONGEST,
        super::path::LONGEST_NAME,
        super::path::DEEPEST
    )]
    LongPath,
    /// A path that leads through a symbolic link of the archive's.
    #[error("its path leads through the symbolic link `{0}`")]
    ThroughLink(String),
    /// A path that leads through a file of the archive's.
    #[error("its path leads through `{0}`, which is no directory")]
    ThroughFile(String),
    /// A file where there is a directory already.
    #[error("it would replace a directory")]
    ReplacesDirectory,
    /// A symbolic link that climbs above the root directory.
    #[error("it is a symbolic link to `{0}`, above the root directory")]
    EscapingLink(String),
    /// A symbolic link to nothing at all, or to more than can be a path.
    #[error(
        "it is a symbolic link whose target is empty, has a NUL in it, or is longer than {} bytes",
        super::path::LONGEST
    )]
    BadTarget,
    /// A hard link whose target's path breaks a rule of its own.
    #[error("it is a hard link to `{0}`: {1}")]
    BadLink(String, Box<Rule>),
    /// A hard link to what isn't there.
    #[error("it is a hard link to `{0}`, which isn't among the entries before it, or is a directory")]
    DanglingLink(String),
    /// A device that isn't one of those that every system has in `dev/`.
    #[error("it is a device; only dev/{names} are left out, since machines have their own: make the archive with --exclude='./dev/*'", names = super::path::DEVICES.join(", dev/"))]
    Device,
    /// A kind of entry that isn't known.
    #[error("it is of the kind {0:?}, which isn't known here")]
    Kind(char),
    /// A sparse file in the form that PAX archives have.
    #[error(
        "it is sparse in the PAX form, which isn't known here; make the archive without --sparse, or with --format=gnu"
    )]
    PaxSparse,
    /// A record of a PAX header that can't be read.
    #[error("a record of its PAX header can't be read; make the archive without --xattrs")]
    PaxRecord,
    /// Headers that are longer than any name can be.
    #[error("its headers are longer than {} KiB", super::source::LONGEST_HEADERS >> 10)]
    LongHeaders,
    /// Too many entries.
    #[error("there are more than {0} entries, or more than the disk has inodes for")]
    TooMany(u64),
    /// Too many directories on the way to the entries.
    #[error("the entries go to and fro between too many directories; make the archive with `tar -C DIRECTORY .`")]
    ToAndFro,
    /// Too much in all.
    #[error("with it the files are larger than {0} bytes; --max-size allows more")]
    TooLarge(u64),
    /// More than the disk has room for.
    #[error("with it more than {0} bytes are to be written, and the disk has no more room")]
    NoRoom(u64),
    /// A decompression bomb.
    #[error(
        "it grows to more than {0} times its size when decompressed; who trusts it can pipe it: `gzip -dc FILE | ec2-local image import - …`"
    )]
    Ratio(u64),
    /// Something that isn't tar, or is compressed in a way that isn't known.
    #[error("{0}")]
    Format(String),
    /// Something that is no system, or none that runs here.
    #[error("{0}")]
    System(String),
}
