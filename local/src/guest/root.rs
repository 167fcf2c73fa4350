//! Where the machine's file system lies.
//!
//! The maker of the image, or root in the machine, may have put links anywhere. So none leads out of the root directory, nor to what a
//! process has open, as those of `/proc/self/fd` do: this process may have the host's. And what is read is a file, and not the kernel's
//! own: in `/proc` there is what this process is, which is the host's executable.

use rustix::{
    fs::{CWD, FileType, Mode, OFlags, ResolveFlags, fstat, fstatfs, mkdirat, openat, openat2, renameat, unlinkat},
    io::Errno,
};
use std::{
    fs::{self, File},
    io::{self, Read, Write},
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::{PermissionsExt, fchown},
    },
    path::{Path, PathBuf},
};

/// The `f_type` of `/proc` (statfs(2)).
const PROC: libc::__fsword_t = 0x9fa0;
/// How often the kernel may be disturbed while it resolves a path.
const TRIES: usize = 100;

/// The machine's root directory: `/` inside a sandbox, another directory in tests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root(PathBuf);

impl Default for Root {
    /// `/`.
    fn default() -> Self {
        Self::new("/")
    }
}

impl Root {
    /// A root directory.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// Whether it is this process's own root, so that the machine is the one that this process runs in.
    pub fn is_own(&self) -> bool {
        self.0 == Path::new("/")
    }

    /// Where a path of the machine (`/etc/passwd`) lies for this process.
    pub fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        self.0.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// Opens what is at a path of the machine, see open(2).
    pub fn open(&self, path: impl AsRef<Path>, flags: OFlags, mode: u32) -> io::Result<OwnedFd> {
        let path = path.as_ref();
        let path = path.strip_prefix("/").unwrap_or(path);
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let root = openat(CWD, &self.0, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let open = || {
            // With a path alone this call takes nothing that would be of no use to it.
            let beside = if flags.contains(OFlags::PATH) { OFlags::CLOEXEC } else { OFlags::CLOEXEC | OFlags::NOCTTY };
            let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
            openat2(&root, path, flags | beside, Mode::from_raw_mode(mode), resolve)
        };
        let opened = (1..TRIES).map(|_| open()).find(|result| !matches!(result, Err(Errno::AGAIN | Errno::INTR)));
        Ok(opened.unwrap_or_else(open)?)
    }

    /// Whether there is something at a path, be it a link that leads nowhere.
    pub fn has(&self, path: impl AsRef<Path>) -> io::Result<bool> {
        match self.open(path, OFlags::PATH | OFlags::NOFOLLOW, 0) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Opens a directory, which is made if it is missing, and so are those above it.
    pub fn directory(&self, path: impl AsRef<Path>) -> io::Result<OwnedFd> {
        let path = path.as_ref();
        let open = || self.open(path, OFlags::PATH | OFlags::DIRECTORY, 0);
        match open() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            other => return other,
        }
        if let (Some(above), Some(name)) = (path.parent(), path.file_name()) {
            match mkdirat(self.directory(above)?, name, Mode::from_raw_mode(0o777)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
        }
        open()
    }

    /// Replaces a file as a whole, so that no reader ever sees half of it; makes the directories above it.
    pub fn write(&self, path: impl AsRef<Path>, content: impl AsRef<[u8]>, mode: u32) -> io::Result<()> {
        self.put(path.as_ref(), content.as_ref(), mode, None)
    }

    /// The same, but for owner and mode, which stay those that it has; the mode is for one that is missing.
    pub fn rewrite(&self, path: impl AsRef<Path>, content: impl AsRef<[u8]>, mode: u32) -> io::Result<()> {
        let path = path.as_ref();
        let found = self.open(path, OFlags::PATH | OFlags::NOFOLLOW, 0).and_then(|found| Ok(fstat(found)?));
        match found {
            Ok(found) if FileType::from_raw_mode(found.st_mode) == FileType::RegularFile => {
                self.put(path, content.as_ref(), found.st_mode & 0o7777, Some((found.st_uid, found.st_gid)))
            }
            _ => self.put(path, content.as_ref(), mode, None),
        }
    }

    fn put(&self, path: &Path, content: &[u8], mode: u32, owner: Option<(u32, u32)>) -> io::Result<()> {
        let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(io::Error::other("a file needs a directory and a name"));
        };
        let directory = self.directory(directory)?;
        let mut temporary = std::ffi::OsString::from(".");
        temporary.push(name);
        temporary.push(format!(".{:016x}", getrandom::u64().map_err(io::Error::other)?));
        let written = (|| {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
            let mut file = File::from(openat(&directory, &temporary, flags, Mode::from_raw_mode(mode))?);
            file.write_all(content)?;
            if let Some((user, group)) = owner {
                // One that isn't among the machine's users can't be given anything.
                let _ = fchown(&file, Some(user), Some(group));
            }
            // The mode above is cut by the umask, and writing takes the setuid bit away.
            file.set_permissions(fs::Permissions::from_mode(mode))?;
            Ok(renameat(&directory, &temporary, &directory, name)?)
        })();
        if written.is_err() {
            let _ = unlinkat(&directory, &temporary, rustix::fs::AtFlags::empty());
        }
        written
    }

    /// Removes a file, if it is there.
    pub fn remove(&self, path: impl AsRef<Path>) -> io::Result<()> {
        let path = path.as_ref();
        let (Some(above), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(io::Error::other("a file needs a directory and a name"));
        };
        let removed = self
            .open(above, OFlags::PATH | OFlags::DIRECTORY, 0)
            .and_then(|above| Ok(unlinkat(above, name, rustix::fs::AtFlags::empty())?));
        match removed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Reads a file of the machine.
    pub fn read(&self, path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
        self.read_at_most(path, u64::MAX)
    }

    /// The same of a file whose owner may have made it as large as they like.
    pub fn read_at_most(&self, path: impl AsRef<Path>, most: u64) -> io::Result<Vec<u8>> {
        let path = path.as_ref();
        let refused =
            |why: &str| Err(io::Error::new(io::ErrorKind::InvalidData, format!("read {}: {why}", path.display())));
        // What is no file might never be opened.
        let file = self.open(path, OFlags::RDONLY | OFlags::NONBLOCK, 0)?;
        if FileType::from_raw_mode(fstat(&file)?.st_mode) != FileType::RegularFile {
            return refused("it is no regular file");
        }
        if is_the_kernels(&file)? {
            return refused("it leads into /proc, and is no file of the machine's");
        }
        let mut content = Vec::new();
        File::from(file).take(most.saturating_add(1)).read_to_end(&mut content)?;
        if content.len() as u64 > most {
            return refused(&format!("it has more than {most} bytes"));
        }
        Ok(content)
    }

    /// Reads a file of the machine as text; a missing one is empty.
    pub fn read_or_empty(&self, path: impl AsRef<Path>) -> io::Result<String> {
        match self.read(path) {
            Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
            Err(error) => Err(error),
        }
    }
}

/// Whether something lies in `/proc`, wherever that is mounted.
pub fn is_the_kernels(file: impl AsFd) -> io::Result<bool> {
    Ok(fstatfs(file)?.f_type == PROC)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::symlink};

    #[test]
    fn links_lead_nowhere_outside_and_to_nothing_that_is_open() {
        let (inside, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let root = Root::new(inside.path());
        fs::write(outside.path().join("file"), "outside").unwrap();
        symlink(outside.path(), inside.path().join("out")).unwrap();
        symlink("../../../../../..", inside.path().join("up")).unwrap();
        assert_eq!(root.read_or_empty("/out/file").unwrap(), "");
        // The top's parent is the top, so this is the root directory's own.
        root.write("/up/made/here", "text", 0o640).unwrap();
        assert_eq!(root.read_or_empty("/made/here").unwrap(), "text");
        root.write("/out/file", "x", 0o600).unwrap_err();
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
        // It is the same file's, as far as one can tell.
        root.rewrite("/made/here", "more", 0o600).unwrap();
        assert_eq!(root.read_or_empty("/made/here").unwrap(), "more");
        assert_eq!(root.path("/made/here").metadata().unwrap().permissions().mode() & 0o7777, 0o640);

        let own = Root::default();
        let opened = File::open(outside.path()).unwrap();
        let link = format!("/proc/self/fd/{}/file", std::os::fd::AsRawFd::as_raw_fd(&opened));
        assert_eq!(fs::read(&link).unwrap(), b"outside");
        own.read(&link).unwrap_err();
        own.write(&link, "x", 0o600).unwrap_err();
        for kernels in ["/proc/self/maps", "/proc/self/exe", "/proc/self/environ", "/dev/null", "/proc"] {
            own.read(kernels).unwrap_err();
        }
    }
}
