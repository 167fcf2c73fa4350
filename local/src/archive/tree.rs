//! The directory that is filled.
//!
//! Each directory on the way to a file is opened in the one before, and never through a link; so nothing is ever written
//! outside, whatever links the archive has brought. The way to the last file stays open, since the next is mostly beside it.

use super::{
    Content, Owners, Rule, UnpackError,
    error::shown,
    member::{Attributes, Kind, Member},
    path::{self, Inside},
};
use rustix::{
    fs::{
        AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Timespec, Timestamps, Uid, XattrFlags, chownat, fchmod,
        fchown, fsetxattr, futimens, linkat, mkdirat, mknodat, openat, openat2, statat, symlinkat, unlinkat, utimensat,
    },
    io::Errno,
};
use std::{
    collections::BTreeSet,
    ffi::{CStr, CString},
    fs,
    io::{self, Read as _},
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::FileExt,
    },
    path::Path,
};

/// Who owns what belongs to nobody of the machine's.
const NOBODY: u32 = 65534;
/// How many ids a machine has at most.
const IDS: u64 = 1 << 16;
/// What is written at once, and the smallest hole that is kept.
const CHUNK: usize = 64 << 10;
/// How many names of what isn't kept are told.
const UNKEPT: usize = 16;
/// How a directory is opened.
const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC).union(OFlags::NONBLOCK);

/// The directory.
pub struct Tree {
    /// The way to the last file, the root first.
    open: Vec<Open>,
    owners: Option<Ids>,
    /// How many more directories may be opened.
    openings: u64,
    devices: u64,
    strangers: u64,
    unkept: BTreeSet<String>,
}

/// A directory on the way.
struct Open {
    name: CString,
    descriptor: OwnedFd,
    /// Given to it once nothing more is written in it.
    attributes: Option<Attributes>,
}

impl Tree {
    pub fn open(directory: &Path, owners: Owners, openings: u64) -> Result<Self, UnpackError> {
        let failed = |source: io::Error| UnpackError::Directory { path: directory.to_owned(), source };
        let root = rustix::fs::open(directory, DIRECTORY, Mode::empty()).map_err(|error| failed(error.into()))?;
        fchmod(&root, Mode::from_raw_mode(0o755)).map_err(|error| failed(error.into()))?;
        let owners = match owners {
            Owners::Named => Some(Ids::own().map_err(failed)?),
            Owners::Caller => None,
        };
        let root = Open { name: c".".to_owned(), descriptor: root, attributes: None };
        Ok(Self { open: vec![root], owners, openings, devices: 0, strangers: 0, unkept: BTreeSet::new() })
    }

    /// What the root directory itself is given in the end.
    pub fn describe_root(&mut self, attributes: &Attributes) -> Result<(), UnpackError> {
        let mut attributes = attributes.clone();
        // A directory that was made for the packing is its maker's alone; a system's root must let all its users in.
        attributes.mode |= 0o755;
        if let Some(root) = self.open.first_mut() {
            root.attributes = Some(attributes);
        }
        Ok(())
    }

    /// Makes what an entry describes, at its path.
    pub(super) fn add(
        &mut self,
        member: &Member,
        at: &Inside,
        content: &mut Content<'_, '_, '_>,
    ) -> Result<(), UnpackError> {
        let failed = |error: io::Error| UnpackError::write(member.name(), error);
        let refused = |rule| UnpackError::refused(member.name(), rule);
        match member.kind() {
            Kind::Remark => return Ok(()),
            Kind::CharacterDevice if at.is_usual_device() => {
                self.devices += 1;
                return Ok(());
            }
            Kind::CharacterDevice | Kind::BlockDevice => return Err(refused(Rule::Device)),
            _ => {}
        }
        self.note_unkept(member.unkept());
        let (directories, name) = at.split();
        self.go_to(directories).map_err(|problem| problem.at(member.name()))?;
        match member.kind() {
            Kind::Directory => return self.directory(name, member),
            Kind::File => self.file(name, member, content)?,
            Kind::SymbolicLink(target) => {
                let target = at.check_target(target).map_err(refused)?;
                self.make(name, member, |directory| symlinkat(&*target, directory, name))?;
            }
            Kind::HardLink(target) => return self.hard_link(name, member, target),
            Kind::Fifo => {
                let mode = Mode::from_raw_mode(0o600);
                self.make(name, member, |directory| mknodat(directory, name, FileType::Fifo, mode, 0))?;
            }
            Kind::CharacterDevice | Kind::BlockDevice | Kind::Remark => return Ok(()),
        }
        if matches!(member.kind(), Kind::SymbolicLink(_) | Kind::Fifo) {
            self.describe(name, member).map_err(failed)?;
        }
        Ok(())
    }

    /// Gives the directories what they were to be given, and tells what was left out.
    pub fn finish(mut self) -> Result<Vec<String>, UnpackError> {
        while !self.open.is_empty() {
            self.leave().map_err(|problem| problem.at(b"."))?;
        }
        let mut notes = Vec::new();
        if self.devices > 0 {
            notes.push(format!("devices left out of dev/, since machines have their own: {}", self.devices));
        }
        if self.strangers > 0 {
            let whose = "files of users that a machine can't have (above 65535), which are nobody's";
            notes.push(format!("{whose}: {}", self.strangers));
        }
        if !self.unkept.is_empty() {
            let names: Vec<String> = self.unkept.into_iter().collect();
            notes.push(format!("not kept: {}", names.join(", ")));
        }
        Ok(notes)
    }

    /// Remembers what isn't kept: as much of it as anybody reads, whatever an archive has.
    fn note_unkept(&mut self, names: &[String]) {
        for name in names {
            if self.unkept.len() < UNKEPT {
                self.unkept.insert(shown(name.as_bytes()));
            } else if !self.unkept.contains(&shown(name.as_bytes())) {
                self.unkept.insert("and more".to_owned());
            }
        }
    }

    fn here(&self) -> Result<&OwnedFd, Errno> {
        self.open.last().map(|open| &open.descriptor).ok_or(Errno::BADF)
    }

    /// Opens the way to a directory, and makes what is missing of it.
    fn go_to(&mut self, names: &[CString]) -> Result<(), Problem> {
        let shared = self.open.iter().skip(1).zip(names).take_while(|(open, name)| open.name == **name).count();
        while self.open.len() > shared + 1 {
            self.leave()?;
        }
        for name in &names[shared..] {
            self.openings = self.openings.checked_sub(1).ok_or(Problem::Rule(Rule::ToAndFro))?;
            let here = self.here()?;
            let descriptor = match openat(here, name, DIRECTORY, Mode::empty()) {
                Err(Errno::NOENT) => {
                    mkdirat(here, name, Mode::from_raw_mode(0o755))?;
                    openat(here, name, DIRECTORY, Mode::empty())?
                }
                Err(Errno::NOTDIR | Errno::LOOP) => return Err(Problem::Rule(self.in_the_way(name)?)),
                other => other?,
            };
            self.open.push(Open { name: name.clone(), descriptor, attributes: None });
        }
        Ok(())
    }

    fn in_the_way(&self, name: &CStr) -> Result<Rule, Errno> {
        let found = statat(self.here()?, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let names = self.open.iter().skip(1).map(|open| open.name.to_bytes()).chain([name.to_bytes()]);
        let path = shown(&names.collect::<Vec<_>>().join(&b'/'));
        let is_link = FileType::from_raw_mode(found.st_mode) == FileType::Symlink;
        Ok(if is_link { Rule::ThroughLink(path) } else { Rule::ThroughFile(path) })
    }

    /// Leaves the last directory of the way, and gives it what it was to be given.
    fn leave(&mut self) -> Result<(), Problem> {
        let Some(open) = self.open.pop() else { return Ok(()) };
        if let Some(attributes) = &open.attributes {
            self.give(&open.descriptor, attributes)?;
        }
        Ok(())
    }

    fn directory(&mut self, name: &CStr, member: &Member) -> Result<(), UnpackError> {
        let failed = |error: Errno| UnpackError::write(member.name(), error);
        let here = self.here().map_err(failed)?;
        let descriptor = match openat(here, name, DIRECTORY, Mode::empty()) {
            Ok(there) => there,
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {
                self.make(name, member, |directory| mkdirat(directory, name, Mode::from_raw_mode(0o700)))?;
                openat(self.here().map_err(failed)?, name, DIRECTORY, Mode::empty()).map_err(failed)?
            }
            Err(error) => return Err(failed(error)),
        };
        let attributes = Some(member.attributes().clone());
        self.open.push(Open { name: name.to_owned(), descriptor, attributes });
        Ok(())
    }

    fn file(&mut self, name: &CStr, member: &Member, content: &mut Content<'_, '_, '_>) -> Result<(), UnpackError> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(0o600);
        let file = self.make(name, member, |directory| openat(directory, name, flags, mode))?;
        let failed = |error: io::Error| UnpackError::write(member.name(), error);
        let file = fs::File::from(file);
        let mut buffer = vec![0; CHUNK];
        for segment in member.segments() {
            let (mut at, end) = (segment.offset, segment.offset + segment.length);
            while at < end {
                let most = usize::try_from(end - at).unwrap_or(CHUNK).min(CHUNK);
                let chunk = &mut buffer[..most];
                content.from.content(chunk)?;
                // Zeros make a hole, too.
                if chunk.iter().any(|byte| *byte != 0) {
                    content.tally.write(most as u64).map_err(|rule| UnpackError::refused(member.name(), rule))?;
                    file.write_all_at(chunk, at).map_err(failed)?;
                }
                at += most as u64;
            }
        }
        file.set_len(member.size()).map_err(failed)?;
        self.give(&file, member.attributes()).map_err(|error| failed(error.into()))
    }

    /// Makes a hard link. Its target is reached like any path of the archive's.
    fn hard_link(&mut self, name: &CStr, member: &Member, target: &[u8]) -> Result<(), UnpackError> {
        let refused = |rule| UnpackError::refused(member.name(), rule);
        let bad = |rule| refused(Rule::BadLink(shown(target), Box::new(rule)));
        let dangling = || refused(Rule::DanglingLink(shown(target)));
        let inside = Inside::of(target).map_err(bad)?.ok_or_else(dangling)?;
        let (directories, original) = inside.split();
        let root = self.open.first().map(|open| &open.descriptor).ok_or_else(dangling)?;
        // In one step, since there may be as many links as entries.
        let open = |directories: &[CString]| {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
            openat2(root, path::joined(directories), flags, Mode::empty(), resolve)
        };
        let from = match open(directories) {
            Ok(from) => from,
            Err(Errno::LOOP | Errno::NOTDIR) => {
                let first = (1..=directories.len()).find(|count| open(&directories[..*count]).is_err());
                let link = path::joined(&directories[..first.unwrap_or_default()]);
                return Err(bad(Rule::ThroughLink(shown(&link))));
            }
            Err(Errno::NOENT) => return Err(dangling()),
            Err(error) => return Err(UnpackError::write(member.name(), error)),
        };
        let found = statat(&from, original, AtFlags::SYMLINK_NOFOLLOW).map_err(|_| dangling())?;
        if FileType::from_raw_mode(found.st_mode) == FileType::Directory {
            return Err(dangling());
        }
        let here = self.here().and_then(|here| statat(here, name, AtFlags::SYMLINK_NOFOLLOW));
        if here.is_ok_and(|here| (here.st_dev, here.st_ino) == (found.st_dev, found.st_ino)) {
            return Ok(());
        }
        self.make(name, member, |directory| linkat(&from, original, directory, name, AtFlags::empty()))
    }

    /// Makes something under a name; what is there goes, unless it is a directory.
    fn make<T>(
        &self,
        name: &CStr,
        member: &Member,
        make: impl Fn(&OwnedFd) -> Result<T, Errno>,
    ) -> Result<T, UnpackError> {
        let attempt = || {
            let here = self.here()?;
            match make(here) {
                Err(Errno::EXIST) => unlinkat(here, name, AtFlags::empty()).and_then(|()| make(here)),
                other => other,
            }
        };
        attempt().map_err(|error| match error {
            Errno::ISDIR => UnpackError::refused(member.name(), Rule::ReplacesDirectory),
            error => UnpackError::write(member.name(), error),
        })
    }

    /// Gives an open file its owner, mode, capabilities and time, in this order: a change of owners takes the others away.
    fn give(&mut self, file: impl AsFd, attributes: &Attributes) -> Result<(), Errno> {
        if let Some((user, group)) = self.owner(attributes) {
            fchown(&file, Some(user), Some(group))?;
        }
        fchmod(&file, Mode::from_raw_mode(attributes.mode))?;
        if let Some(capability) = &attributes.capability
            && (self.owners.is_none()
                || fsetxattr(&file, c"security.capability", capability, XattrFlags::empty()).is_err())
        {
            self.unkept.insert("security.capability".to_owned());
        }
        futimens(&file, &times(attributes))
    }

    /// The same for what can't be opened without being followed or waited for.
    fn describe(&mut self, name: &CStr, member: &Member) -> io::Result<()> {
        let attributes = member.attributes();
        let owner = self.owner(attributes);
        let here = self.here()?;
        if let Some((user, group)) = owner {
            chownat(here, name, Some(user), Some(group), AtFlags::SYMLINK_NOFOLLOW)?;
        }
        if *member.kind() == Kind::Fifo {
            // It was made by this process a moment ago, and nobody else is here to put a link in its place.
            rustix::fs::chmodat(here, name, Mode::from_raw_mode(attributes.mode), AtFlags::empty())?;
        }
        Ok(utimensat(here, name, &times(attributes), AtFlags::SYMLINK_NOFOLLOW)?)
    }

    fn owner(&mut self, attributes: &Attributes) -> Option<(Uid, Gid)> {
        let ids = self.owners.as_ref()?;
        let (user, known_user) = ids.users.of(attributes.user);
        let (group, known_group) = ids.groups.of(attributes.group);
        self.strangers += u64::from(!(known_user && known_group));
        Some((Uid::from_raw(user), Gid::from_raw(group)))
    }
}

fn times(attributes: &Attributes) -> Timestamps {
    let modified = Timespec { tv_sec: attributes.modified, tv_nsec: 0 };
    Timestamps { last_access: modified, last_modification: modified }
}

/// What went wrong on the way to an entry.
enum Problem {
    Rule(Rule),
    System(Errno),
}

impl From<Errno> for Problem {
    fn from(error: Errno) -> Self {
        Self::System(error)
    }
}

impl Problem {
    fn at(self, entry: &[u8]) -> UnpackError {
        match self {
            Self::Rule(rule) => UnpackError::refused(entry, rule),
            Self::System(error) => UnpackError::write(entry, error),
        }
    }
}

/// The ids that files can be given to.
struct Ids {
    users: Extents,
    groups: Extents,
}

/// Ranges: first and count.
struct Extents(Vec<(u64, u64)>);

impl Ids {
    fn own() -> io::Result<Self> {
        Ok(Self { users: Extents::read("/proc/self/uid_map")?, groups: Extents::read("/proc/self/gid_map")? })
    }
}

impl Extents {
    fn read(path: &str) -> io::Result<Self> {
        let mut map = String::new();
        fs::File::open(path)?.read_to_string(&mut map)?;
        let extent = |line: &str| {
            let mut numbers = line.split_whitespace().map(str::parse);
            Some((numbers.next()?.ok()?, numbers.nth(1)?.ok()?))
        };
        Ok(Self(map.lines().filter_map(extent).collect()))
    }

    fn has(&self, id: u64) -> bool {
        id < IDS && self.0.iter().any(|(first, count)| id.checked_sub(*first).is_some_and(|offset| offset < *count))
    }

    /// The id itself, else nobody's, else root's, who may be alone; and whether it is the one that was asked for.
    fn of(&self, id: u64) -> (u32, bool) {
        match u32::try_from(id) {
            Ok(id) if self.has(id.into()) => (id, true),
            _ if self.has(NOBODY.into()) => (NOBODY, false),
            _ => (0, false),
        }
    }
}
