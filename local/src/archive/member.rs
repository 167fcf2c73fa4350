//! One entry of an archive, as its headers describe it.

use super::{
    Rule, UnpackError,
    reader::{Described, Segment},
};
use std::io;
use tar::EntryType;

/// What sort of file an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    File,
    Directory,
    SymbolicLink(Vec<u8>),
    HardLink(Vec<u8>),
    Fifo,
    CharacterDevice,
    BlockDevice,
    /// It describes the archive rather than a file.
    Remark,
}

/// Whom a file belongs to, and what may be done with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attributes {
    pub mode: u32,
    pub user: u64,
    pub group: u64,
    /// Seconds since the epoch.
    pub modified: i64,
    /// The value of `security.capability`, see capabilities(7).
    pub capability: Option<Vec<u8>>,
}

/// An entry.
#[derive(Debug, Clone)]
pub struct Member {
    path: Vec<u8>,
    kind: Kind,
    size: u64,
    segments: Vec<Segment>,
    attributes: Attributes,
    /// The names of extended attributes that are not kept.
    unkept: Vec<String>,
}

/// Where GNU tar and others keep extended attributes.
const ATTRIBUTE: &str = "SCHILY.xattr.";
const CAPABILITY: &str = "security.capability";

impl Member {
    /// Makes sense of what the headers say.
    pub fn of(described: Described) -> Result<Self, UnpackError> {
        let Described { header, long_path, long_target, records, size, segments } = described;
        let record = |key| records.get(key).map(<[u8]>::to_vec);
        let path = long_path.or_else(|| record("path")).unwrap_or_else(|| header.path_bytes().into_owned());
        let refused = |rule| UnpackError::refused(&path, rule);
        let damaged = |error: io::Error| UnpackError::Damaged(error);
        let in_header = || header.link_name_bytes().unwrap_or_default().into_owned();
        let target = || long_target.or_else(|| record("linkpath")).unwrap_or_else(in_header);
        let kind = match header.entry_type() {
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                // Before there were types, a slash at the end made a directory.
                if path.ends_with(b"/") { Kind::Directory } else { Kind::File }
            }
            EntryType::Directory => Kind::Directory,
            EntryType::Symlink => Kind::SymbolicLink(target()),
            EntryType::Link => Kind::HardLink(target()),
            EntryType::Fifo => Kind::Fifo,
            EntryType::Char => Kind::CharacterDevice,
            EntryType::Block => Kind::BlockDevice,
            // PAX's global header, and GNU's label of a volume.
            EntryType::XGlobalHeader => Kind::Remark,
            other if other.as_byte() == b'V' => Kind::Remark,
            other => return Err(refused(Rule::Kind(char::from(other.as_byte())))),
        };
        let mut attributes = Attributes {
            mode: header.mode().map_err(damaged)? & 0o7777,
            user: records.number("uid").flatten().map_or_else(|| header.uid(), Ok).map_err(damaged)?,
            group: records.number("gid").flatten().map_or_else(|| header.gid(), Ok).map_err(damaged)?,
            modified: header.mtime().map_err(damaged)?.try_into().unwrap_or(0),
            capability: None,
        };
        let mut unkept = Vec::new();
        for (key, value) in records.iter() {
            let name = String::from_utf8_lossy(key);
            if name.starts_with("GNU.sparse.") {
                return Err(refused(Rule::PaxSparse));
            }
            match name.strip_prefix(ATTRIBUTE) {
                Some(CAPABILITY) => attributes.capability = Some(value.to_vec()),
                Some(other) => unkept.push(other.to_owned()),
                None if name.starts_with("SCHILY.acl.") => unkept.push("an access control list".to_owned()),
                None => {}
            }
        }
        Ok(Self { path, kind, size, segments, attributes, unkept })
    }

    /// What it is called in a message.
    pub fn name(&self) -> &[u8] {
        &self.path
    }

    pub fn path(&self) -> &[u8] {
        // What it is called is of no interest, and the root directory is always there.
        if self.kind == Kind::Remark { b"remark" } else { &self.path }
    }

    pub fn kind(&self) -> &Kind {
        &self.kind
    }

    pub fn is_directory(&self) -> bool {
        self.kind == Kind::Directory
    }

    /// The size of the file, holes too.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Where in the file its content stands.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    pub fn attributes(&self) -> &Attributes {
        &self.attributes
    }

    pub fn unkept(&self) -> &[String] {
        &self.unkept
    }
}
