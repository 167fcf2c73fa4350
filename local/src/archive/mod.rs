//! Root directories from tar archives: what is taken, what is refused, and how it is written.
//!
//! An archive is somebody else's word on which files to write where, so nothing in it is trusted. Paths are taken apart
//! by rule (`path`), and each file is made in a directory that was opened step by step, never through a link (`tree`); what
//! comes out of the decompressor, and what headers take, is bounded while it is read (`source`), and a sparse file's holes are
//! made, not read (`reader`). The first entry that breaks a rule ends it all, and is named.
//!
//! What this room isn't: a place where images are kept, or a machine. It is told a directory, and fills it; the one who
//! called removes what is in it when it fails.

mod error;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod member;
mod path;
mod reader;
mod records;
mod source;
mod system;
mod tree;

#[cfg(test)]
mod tests;

pub use error::{Rule, UnpackError};
pub use system::System;

use member::Member;
use path::Inside;
use reader::Reader;
use serde::{Deserialize, Serialize};
use source::{Guard, Source};
use std::{io::Read, path::Path};
use tree::Tree;

/// How much an archive may take. What is too much is refused when it is met, so no more than this is ever written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Limits {
    /// The size of all files in bytes, holes too. A hole costs nothing but this. Default: 20 GiB.
    pub bytes: u64,
    /// What may be written of it, holes not counted, and 4 KiB for each entry. Default: no limit of its own.
    pub room: u64,
    /// How many entries there may be. Default: 2,000,000.
    pub entries: u64,
    /// How many directories may be opened again on the way to them: hardly any in an archive in the usual order, and many for each
    /// entry in one that goes to and fro between deep ones. Default: 4,000,000.
    pub openings: u64,
    /// How many bytes a compressed byte may become, once there are more than 64 MiB. Default: 200; a root directory has 3, and
    /// what gzip can do at most is 1,032.
    pub ratio: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 20 << 30, room: u64::MAX, entries: 2_000_000, openings: 4_000_000, ratio: 200 }
    }
}

/// Whom the files shall belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owners {
    /// Whom the archive names, by number; nobody (65534) where that is no id of a machine's. It takes the privileges of root,
    /// at least in a user namespace.
    Named,
    /// The caller.
    Caller,
}

/// What was unpacked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Contents {
    /// How many entries there were.
    pub entries: u64,
    /// The size of all files, in bytes.
    pub bytes: u64,
    /// What the directory holds the system of.
    pub system: System,
    /// What was left out, in words.
    pub notes: Vec<String>,
}

/// Unpacks a tar archive, bare or compressed, into an empty directory, and looks at the system in it.
///
/// Set-uid bits, links, owners, times and file capabilities are kept; the usual devices in `dev/` are left out, since a
/// machine has its own there.
///
/// # Errors
///
/// An entry breaks a [`Rule`]; the archive is damaged, cut short, or none; a file can't be written; or what was unpacked is no
/// system that can run here.
pub fn unpack(archive: impl Read, into: &Path, owners: Owners, limits: &Limits) -> Result<Contents, UnpackError> {
    let guard = Guard::default();
    let source = Source::open(archive, guard.clone(), limits.ratio)?;
    let mut reader = Reader::new(source, guard);
    let mut tree = Tree::open(into, owners, limits.openings)?;
    let mut tally = Tally::new(limits);
    while let Some(described) = reader.next()? {
        let member = Member::of(described)?;
        let refused = |rule| UnpackError::refused(member.name(), rule);
        tally.count(member.size()).map_err(refused)?;
        match Inside::of(member.path()).map_err(refused)? {
            None if member.is_directory() => tree.describe_root(member.attributes())?,
            None => return Err(refused(Rule::NoName)),
            Some(at) => tree.add(&member, &at, &mut Content { from: &mut reader, tally: &mut tally })?,
        }
    }
    reader.finish()?;
    let notes = tree.finish()?;
    let system = System::look(into)?;
    Ok(Contents { entries: tally.entries, bytes: tally.bytes, system, notes })
}

/// What has been taken so far of what may be.
struct Tally<'a> {
    limits: &'a Limits,
    entries: u64,
    bytes: u64,
    written: u64,
}

impl<'a> Tally<'a> {
    fn new(limits: &'a Limits) -> Self {
        Self { limits, entries: 0, bytes: 0, written: 0 }
    }

    fn count(&mut self, size: u64) -> Result<(), Rule> {
        self.entries += 1;
        self.bytes = self.bytes.saturating_add(size);
        if self.entries > self.limits.entries {
            return Err(Rule::TooMany(self.limits.entries));
        }
        if self.bytes > self.limits.bytes {
            return Err(Rule::TooLarge(self.limits.bytes));
        }
        self.write(4096)
    }

    fn write(&mut self, bytes: u64) -> Result<(), Rule> {
        self.written = self.written.saturating_add(bytes);
        if self.written > self.limits.room { Err(Rule::NoRoom(self.limits.room)) } else { Ok(()) }
    }
}

/// The content of one entry, as it is read and counted.
struct Content<'a, 'b, 'c> {
    from: &'a mut Reader<'b>,
    tally: &'a mut Tally<'c>,
}
