//! A directory that is held open, and what is in it.

use crate::{
    Error,
    contents::explained,
    shown::shown_name,
    trust::{fault_of_link, fault_of_own, fault_of_owner, fault_on_the_way, kind},
};
use rustix::{
    fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat, fstat, mkdirat, openat, readlinkat, renameat, statat, unlinkat},
    io::Errno,
};
use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io::{self, Write},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::ffi::{OsStrExt, OsStringExt},
    },
    path::{Component, Path, PathBuf},
};

/// How many symbolic links are followed on the way (path_resolution(7)).
const LINKS_MAX: u32 = 40;
const LOOK: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
const READ: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC).union(OFlags::NONBLOCK);

/// A directory of this user's, held open: whatever becomes of its path, it is the one that was checked.
#[derive(Debug)]
pub struct Directory {
    file: File,
    path: PathBuf,
}

impl AsFd for Directory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Where a walk has come.
struct Place {
    directory: OwnedFd,
    path: PathBuf,
}

impl Place {
    fn root() -> Result<(Self, Stat), Error> {
        let path = PathBuf::from("/");
        let directory =
            rustix::fs::open("/", LOOK | OFlags::DIRECTORY, Mode::empty()).map_err(failed("open", &path))?;
        let found = fstat(&directory).map_err(failed("look at", &path))?;
        Ok((Self { directory, path }, found))
    }
}

impl Directory {
    /// The directory at an absolute path; made, with those on the way, where it is missing, for this user alone.
    ///
    /// # Errors
    ///
    /// It isn't this user's, somebody else could put another in its place, or it can't be made.
    pub fn make(path: &Path) -> Result<Self, Error> {
        Self::walk(path, true)
    }

    /// The directory at an absolute path.
    ///
    /// # Errors
    ///
    /// As [`make`](Self::make), and where it is missing.
    pub fn find(path: &Path) -> Result<Self, Error> {
        Self::walk(path, false)
    }

    fn walk(wanted: &Path, make: bool) -> Result<Self, Error> {
        let unsafe_ = |reason: String| Error::Unsafe { path: wanted.to_owned(), reason };
        let (mut at, root) = Place::root()?;
        let mut found = root;
        let mut rest: Vec<OsString> = parts(wanted);
        let mut links = 0;
        while let Some(name) = rest.pop() {
            // What comes next is looked for in here.
            if let Some(fault) = fault_on_the_way(&at.path, &found, &root) {
                return Err(unsafe_(fault));
            }
            let path = if name == ".." { at.path.parent().unwrap_or(&at.path).to_owned() } else { at.path.join(&name) };
            let next = match openat(&at.directory, &name, LOOK, Mode::empty()) {
                Err(Errno::NOENT) if make => {
                    match mkdirat(&at.directory, &name, Mode::RWXU) {
                        // Another process may have been faster.
                        Ok(()) | Err(Errno::EXIST) => {}
                        Err(error) => return Err(failed("make the directory", &path)(error)),
                    }
                    openat(&at.directory, &name, LOOK, Mode::empty())
                }
                other => other,
            };
            let next = next.map_err(failed("look at", &path))?;
            found = fstat(&next).map_err(failed("look at", &path))?;
            match FileType::from_raw_mode(found.st_mode) {
                FileType::Directory => at = Place { directory: next, path },
                FileType::Symlink => {
                    if let Some(fault) = fault_of_link(&path, &found) {
                        return Err(unsafe_(fault));
                    }
                    links += 1;
                    if links > LINKS_MAX {
                        return Err(failed("follow the symbolic link", &path)(Errno::LOOP));
                    }
                    let target = readlinkat(&next, c"", Vec::new()).map_err(failed("read the symbolic link", &path))?;
                    let target = PathBuf::from(OsString::from_vec(target.into_bytes()));
                    rest.extend(parts(&target));
                    if target.is_absolute() {
                        at = Place::root()?.0;
                    }
                    found = fstat(&at.directory).map_err(failed("look at", &at.path))?;
                }
                _ => return Err(failed("enter", &path)(Errno::NOTDIR)),
            }
        }
        if let Some(fault) = fault_of_own(&at.path, &found) {
            return Err(unsafe_(fault));
        }
        let file = openat(&at.directory, c".", READ, Mode::empty()).map_err(failed("open", &at.path))?;
        Ok(Self { file: file.into(), path: at.path })
    }

    /// A directory of ours in this one; none if there is nothing of that name.
    ///
    /// # Errors
    ///
    /// It is a symbolic link or a file, somebody else's, or others may write to it.
    pub fn open(&self, name: impl AsRef<OsStr>) -> Result<Option<Self>, Error> {
        let path = self.path.join(name.as_ref());
        let Some(found) = self.look(name.as_ref())? else { return Ok(None) };
        if let Some(reason) = fault_of_own(&path, &found) {
            return Err(Error::Unsafe { path, reason });
        }
        let file = match openat(self, name.as_ref(), READ, Mode::empty()) {
            Err(Errno::NOENT) => return Ok(None),
            other => other.map_err(failed("open", &path))?,
        };
        let directory = Self { file: file.into(), path };
        match fault_of_own(&directory.path, &directory.stat()?) {
            Some(reason) => Err(Error::Unsafe { path: directory.path, reason }),
            None => Ok(Some(directory)),
        }
    }

    /// A directory of ours in this one; made where there is nothing of that name.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open), or it can't be made.
    pub fn ensure(&self, name: impl AsRef<OsStr>) -> Result<Self, Error> {
        let path = self.path.join(name.as_ref());
        loop {
            match mkdirat(self, name.as_ref(), Mode::RWXU) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(failed("make the directory", &path)(error)),
            }
            // Another process may just have removed it.
            if let Some(directory) = self.open(name.as_ref())? {
                return Ok(directory);
            }
        }
    }

    /// A file of ours in this directory, for reading; none if there is nothing of that name.
    ///
    /// # Errors
    ///
    /// It is a symbolic link, a pipe or the like, or somebody else's.
    pub fn file(&self, name: impl AsRef<OsStr>) -> Result<Option<File>, Error> {
        match self.open_file(name.as_ref(), OFlags::RDONLY) {
            Err(error) if error.is_not_found() => Ok(None),
            other => other.map(Some),
        }
    }

    /// A file of ours in this directory, for reading and writing; made, empty and for this user alone, where there is nothing of
    /// that name.
    ///
    /// # Errors
    ///
    /// As [`file`](Self::file), or it can't be made.
    pub fn ensure_file(&self, name: impl AsRef<OsStr>) -> Result<File, Error> {
        self.open_file(name.as_ref(), OFlags::RDWR | OFlags::CREATE)
    }

    /// A file of ours in this directory, to append to; made as by [`ensure_file`](Self::ensure_file).
    ///
    /// # Errors
    ///
    /// As [`ensure_file`](Self::ensure_file), and where the file has another name elsewhere.
    pub fn appended_file(&self, name: impl AsRef<OsStr>) -> Result<File, Error> {
        let file = self.open_file(name.as_ref(), OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE)?;
        let path = self.path.join(name.as_ref());
        match fstat(&file).map_err(failed("look at", &path))?.st_nlink {
            1 => Ok(file),
            _ => {
                let reason =
                    format!("{} has another name elsewhere, and what is there would change with it", path.display());
                Err(Error::Unsafe { path, reason })
            }
        }
    }

    fn open_file(&self, name: &OsStr, how: OFlags) -> Result<File, Error> {
        let path = self.path.join(name);
        let check = |found: &Stat| {
            if FileType::from_raw_mode(found.st_mode).is_file() {
                return fault_of_owner(&path, found);
            }
            Some(format!("{} is {}, where a file of ours is expected; remove it", path.display(), kind(found)))
        };
        let refuse = |reason| Err(Error::Unsafe { path: path.clone(), reason });
        // Before it is opened: a device may do something then.
        if let Some(reason) = self.look(name)?.as_ref().and_then(check) {
            return refuse(reason);
        }
        let flags = how | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = openat(self, name, flags, Mode::RUSR | Mode::WUSR).map_err(failed("open", &path))?;
        match check(&fstat(&file).map_err(failed("look at", &path))?) {
            Some(reason) => refuse(reason),
            None => Ok(file.into()),
        }
    }

    /// A new file of ours in this directory, for writing, for this user alone; in place of one that is there, which may have
    /// another name elsewhere, and stays as it is there.
    ///
    /// # Errors
    ///
    /// What is there is no file of ours, or the new one can't be made.
    pub fn new_file(&self, name: impl AsRef<OsStr>) -> Result<File, Error> {
        let name = name.as_ref();
        self.remove_file(name)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let made = openat(self, name, flags, Mode::RUSR | Mode::WUSR);
        made.map(File::from).map_err(failed("make", &self.path.join(name)))
    }

    /// Writes a file of ours as a whole, in place of one that is there.
    ///
    /// # Errors
    ///
    /// It can't be written, or what is there is no file of ours.
    pub fn write(&self, name: impl AsRef<OsStr>, contents: &[u8]) -> Result<(), Error> {
        let name = name.as_ref();
        let path = self.path.join(name);
        self.file(name)?;
        let new = OsString::from_vec([name.as_bytes(), b".new"].concat());
        let mut file = self.new_file(&new)?;
        file.write_all(contents).map_err(failed("write", &path))?;
        renameat(self, &new, self, name).map_err(failed("write", &path))
    }

    /// Removes a file of ours, or a socket, if it is there.
    ///
    /// # Errors
    ///
    /// It is neither, somebody else's, or can't be removed.
    pub fn remove_file(&self, name: impl AsRef<OsStr>) -> Result<(), Error> {
        let path = self.path.join(name.as_ref());
        let Some(found) = self.look(name.as_ref())? else { return Ok(()) };
        if !is_own_file(&found) {
            return Err(Error::Foreign { directory: self.path.clone(), entry: shown_name(name.as_ref()) });
        }
        match unlinkat(self, name.as_ref(), AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(failed("remove", &path)(error)),
        }
    }

    /// Gives something in this directory another name in it; nothing of that name may be there but an empty directory.
    ///
    /// # Errors
    ///
    /// As rename(2).
    pub fn rename(&self, from: impl AsRef<OsStr>, to: impl AsRef<OsStr>) -> Result<(), Error> {
        renameat(self, from.as_ref(), self, to.as_ref()).map_err(failed("rename", &self.path.join(from.as_ref())))
    }

    /// What is known of something in this directory, which may be a symbolic link; none if there is nothing of that name.
    ///
    /// # Errors
    ///
    /// It can't be looked at.
    pub fn look(&self, name: impl AsRef<OsStr>) -> Result<Option<Stat>, Error> {
        match statat(self, name.as_ref(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(found) => Ok(Some(found)),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(failed("look at", &self.path.join(name.as_ref()))(error)),
        }
    }

    /// The names in this directory, in order.
    ///
    /// # Errors
    ///
    /// It can't be read.
    pub fn names(&self) -> Result<Vec<OsString>, Error> {
        let list = || -> Result<_, Errno> {
            let mut names = Vec::new();
            for entry in Dir::read_from(self)? {
                let name = entry?.file_name().to_bytes().to_owned();
                if name != b"." && name != b".." {
                    names.push(OsString::from_vec(name));
                }
            }
            names.sort();
            Ok(names)
        };
        list().map_err(failed("list", &self.path))
    }

    /// Whether something in the parent is this directory.
    ///
    /// # Errors
    ///
    /// One of them can't be looked at.
    pub fn is_at(&self, parent: &Self, name: impl AsRef<OsStr>) -> Result<bool, Error> {
        let own = self.stat()?;
        Ok(parent.look(name)?.is_some_and(|found| (found.st_dev, found.st_ino) == (own.st_dev, own.st_ino)))
    }

    /// Its owner, mode and so on.
    ///
    /// # Errors
    ///
    /// It can't be looked at.
    pub fn stat(&self) -> Result<Stat, Error> {
        fstat(self).map_err(failed("look at", &self.path))
    }

    /// The same directory, which has another name by now: what is said of it names that.
    ///
    /// # Errors
    ///
    /// As [`try_clone`](Self::try_clone).
    pub fn renamed(&self, parent: &Self, name: impl AsRef<OsStr>) -> Result<Self, Error> {
        Ok(Self { path: parent.path.join(name.as_ref()), ..self.try_clone()? })
    }

    /// Where it was when it was opened, free of symbolic links; for texts, and for what can't be had by a descriptor.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The open directory, to be locked.
    pub fn as_file(&self) -> &File {
        &self.file
    }

    /// The same, to be held for as long as a lock is.
    pub fn into_file(self) -> File {
        self.file
    }

    /// Another descriptor of the same directory.
    ///
    /// # Errors
    ///
    /// There are too many open files.
    pub fn try_clone(&self) -> Result<Self, Error> {
        let file = self.file.try_clone().map_err(failed("open", &self.path))?;
        Ok(Self { file, path: self.path.clone() })
    }
}

/// Whether it is a file or a socket of this user's.
pub(crate) fn is_own_file(found: &Stat) -> bool {
    let kind = FileType::from_raw_mode(found.st_mode);
    (kind.is_file() || kind == FileType::Socket) && fault_of_owner(Path::new(""), found).is_none()
}

/// The names in a path, the last one first.
fn parts(path: &Path) -> Vec<OsString> {
    let named = path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    });
    named.rev().collect()
}

pub(crate) fn failed<E: Into<io::Error>>(tried: &'static str, path: &Path) -> impl FnOnce(E) -> Error {
    let path = path.to_owned();
    move |error| Error::Io { tried, path, source: explained(error.into()) }
}
