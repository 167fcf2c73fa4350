//! Where the machine's file system lies.

use std::{
    fs, io,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

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

    /// Replaces a file as a whole, so that no reader ever sees half of it; makes the directories above it.
    pub fn write(&self, path: impl AsRef<Path>, content: impl AsRef<[u8]>, mode: u32) -> io::Result<()> {
        let path = self.path(path);
        let directory = path.parent().ok_or_else(|| io::Error::other("a file needs a directory"))?;
        fs::create_dir_all(directory)?;
        let mut name = std::ffi::OsString::from(".");
        name.push(path.file_name().unwrap_or_default());
        name.push(format!(".{:016x}", getrandom::u64().map_err(io::Error::other)?));
        let temporary = directory.join(name);
        let written = (|| {
            let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary)?;
            file.write_all(content.as_ref())?;
            // The mode above is cut by the umask, and writing takes the setuid bit away.
            file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(mode))?;
            fs::rename(&temporary, &path)
        })();
        if written.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        written
    }

    /// Reads a file of the machine; a missing one is empty.
    pub fn read_or_empty(&self, path: impl AsRef<Path>) -> io::Result<String> {
        match fs::read(self.path(path)) {
            Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
            Err(error) => Err(error),
        }
    }
}
