//! The requests of a client.

use super::attributes::{self, Links, Target};
use russh_sftp::{
    de,
    extensions::{
        EXPAND_PATH, ExpandPathExtension, FSYNC, FsyncExtension, HARDLINK, HardlinkExtension, LIMITS, LimitsExtension,
        STATVFS, Statvfs, StatvfsExtension,
    },
    protocol::{
        Attrs, Data, ExtendedReply, File, FileAttributes, Handle, Name, OpenFlags, Packet, Status, StatusCode, Version,
    },
    ser,
    server::{Handler, StatusReply},
};
use rustix::fs::{CWD, OFlags, RenameFlags};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    collections::HashMap,
    fs, io,
    os::{fd::AsFd, unix::fs::FileExt},
    path::{Path, PathBuf},
};
use tokio::sync::oneshot;

const POSIX_RENAME: &str = "posix-rename@openssh.com";
const LSETSTAT: &str = "lsetstat@openssh.com";
/// What sftp-server answers with at most (`SFTP_MAX_READ_LENGTH`).
const MAX_DATA: u32 = 255 << 10;
/// Handles that a client may hold.
const MAX_HANDLES: usize = 1000;
/// Names in one answer.
const NAMES: usize = 100;

/// The files of the machine, as the thread that serves them may reach them.
pub struct Files {
    open: HashMap<String, Open>,
    next: u64,
    _alive: oneshot::Sender<()>,
}

enum Open {
    File { file: fs::File, append: bool },
    Directory { path: PathBuf, entries: Box<dyn Iterator<Item = io::Result<String>> + Send> },
}

/// Why a request failed.
pub struct Failure(StatusReply);

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        let code = match error.kind() {
            io::ErrorKind::NotFound => StatusCode::NoSuchFile,
            io::ErrorKind::PermissionDenied => StatusCode::PermissionDenied,
            io::ErrorKind::Unsupported => StatusCode::OpUnsupported,
            io::ErrorKind::UnexpectedEof => StatusCode::Eof,
            _ => StatusCode::Failure,
        };
        Self(code.with_message(error.to_string()))
    }
}

impl From<rustix::io::Errno> for Failure {
    fn from(error: rustix::io::Errno) -> Self {
        io::Error::from(error).into()
    }
}

impl From<StatusCode> for Failure {
    fn from(code: StatusCode) -> Self {
        Self(code.into())
    }
}

impl From<Failure> for StatusReply {
    fn from(failure: Failure) -> Self {
        failure.0
    }
}

impl Files {
    /// A server, and what resolves once it was dropped.
    pub fn new() -> (Self, oneshot::Receiver<()>) {
        let (alive, gone) = oneshot::channel();
        (Self { open: HashMap::new(), next: 0, _alive: alive }, gone)
    }

    fn keep(&mut self, id: u32, open: Open) -> Result<Handle, Failure> {
        if self.open.len() >= MAX_HANDLES {
            return Err(Failure(StatusCode::Failure.with_message("too many open handles")));
        }
        let handle = self.next.to_string();
        self.next += 1;
        self.open.insert(handle.clone(), open);
        Ok(Handle { id, handle })
    }

    fn file(&self, handle: &str) -> Result<(&fs::File, bool), Failure> {
        match self.open.get(handle) {
            Some(Open::File { file, append }) => Ok((file, *append)),
            _ => Err(Failure(StatusCode::Failure.with_message("no such handle"))),
        }
    }
}

impl Handler for Files {
    type Error = Failure;

    fn unimplemented(&self) -> Failure {
        StatusCode::OpUnsupported.into()
    }

    async fn init(&mut self, _version: u32, _extensions: HashMap<String, String>) -> Result<Version, Failure> {
        let known =
            [(POSIX_RENAME, "1"), (LSETSTAT, "1"), (HARDLINK, "1"), (FSYNC, "1"), (STATVFS, "2"), (LIMITS, "1")];
        let extensions = known.into_iter().chain([(EXPAND_PATH, "1")]);
        let extensions = extensions.map(|(name, version)| (name.to_owned(), version.to_owned())).collect();
        Ok(Version { extensions, ..Version::new() })
    }

    async fn open(
        &mut self,
        id: u32,
        path: String,
        wanted: OpenFlags,
        attrs: FileAttributes,
    ) -> Result<Handle, Failure> {
        let mut flags = match (wanted.contains(OpenFlags::READ), wanted.contains(OpenFlags::WRITE)) {
            (true, true) => OFlags::RDWR,
            (false, true) => OFlags::WRONLY,
            (_, false) => OFlags::RDONLY,
        };
        for (asked, flag) in [
            (OpenFlags::APPEND, OFlags::APPEND),
            (OpenFlags::CREATE, OFlags::CREATE),
            (OpenFlags::TRUNCATE, OFlags::TRUNC),
            (OpenFlags::EXCLUDE, OFlags::EXCL),
        ] {
            flags.set(flag, wanted.contains(asked));
        }
        let file = rustix::fs::open(&path, flags | OFlags::CLOEXEC | OFlags::NOCTTY, attributes::mode(&attrs, 0o666))?;
        let append = wanted.contains(OpenFlags::APPEND);
        self.keep(id, Open::File { file: file.into(), append })
    }

    async fn close(&mut self, id: u32, handle: String) -> Result<Status, Failure> {
        match self.open.remove(&handle) {
            Some(_) => Ok(done(id)),
            None => Err(Failure(StatusCode::Failure.with_message("no such handle"))),
        }
    }

    async fn read(&mut self, id: u32, handle: String, offset: u64, len: u32) -> Result<Data, Failure> {
        let (file, _) = self.file(&handle)?;
        let mut data = vec![0; len.min(MAX_DATA) as usize];
        let length = file.read_at(&mut data, offset)?;
        if length == 0 && len > 0 {
            return Err(StatusCode::Eof.into());
        }
        data.truncate(length);
        Ok(Data { id, data })
    }

    async fn write(&mut self, id: u32, handle: String, offset: u64, data: Vec<u8>) -> Result<Status, Failure> {
        match self.file(&handle)? {
            (mut file, true) => io::Write::write_all(&mut file, &data)?,
            (file, false) => file.write_all_at(&data, offset)?,
        }
        Ok(done(id))
    }

    async fn lstat(&mut self, id: u32, path: String) -> Result<Attrs, Failure> {
        Ok(Attrs { id, attrs: attributes::of(&fs::symlink_metadata(named(&path))?) })
    }

    async fn stat(&mut self, id: u32, path: String) -> Result<Attrs, Failure> {
        Ok(Attrs { id, attrs: attributes::of(&fs::metadata(named(&path))?) })
    }

    async fn fstat(&mut self, id: u32, handle: String) -> Result<Attrs, Failure> {
        Ok(Attrs { id, attrs: attributes::of(&self.file(&handle)?.0.metadata()?) })
    }

    async fn setstat(&mut self, id: u32, path: String, attrs: FileAttributes) -> Result<Status, Failure> {
        attributes::set(&Target::Path(named(&path), Links::Follow), &attrs)?;
        Ok(done(id))
    }

    async fn fsetstat(&mut self, id: u32, handle: String, attrs: FileAttributes) -> Result<Status, Failure> {
        attributes::set(&Target::Open(self.file(&handle)?.0.as_fd()), &attrs)?;
        Ok(done(id))
    }

    async fn opendir(&mut self, id: u32, path: String) -> Result<Handle, Failure> {
        let path = PathBuf::from(named(&path));
        let listed = fs::read_dir(&path)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
        let entries = [".", ".."].map(|name| Ok(name.to_owned())).into_iter().chain(listed);
        self.keep(id, Open::Directory { path, entries: Box::new(entries) })
    }

    async fn readdir(&mut self, id: u32, handle: String) -> Result<Name, Failure> {
        let Some(Open::Directory { path, entries }) = self.open.get_mut(&handle) else {
            return Err(Failure(StatusCode::Failure.with_message("no such handle")));
        };
        let mut files = Vec::new();
        // None in an answer means that there are no more.
        while files.len() < NAMES
            && let Some(name) = entries.next()
        {
            let name = name?;
            // What has gone since is not there, nor is what has a name that can't be told.
            if let Ok(metadata) = fs::symlink_metadata(path.join(&name)) {
                files.push(attributes::entry(name, &metadata));
            }
        }
        if files.is_empty() { Err(StatusCode::Eof.into()) } else { Ok(Name { id, files }) }
    }

    async fn remove(&mut self, id: u32, path: String) -> Result<Status, Failure> {
        fs::remove_file(path)?;
        Ok(done(id))
    }

    async fn mkdir(&mut self, id: u32, path: String, attrs: FileAttributes) -> Result<Status, Failure> {
        rustix::fs::mkdir(&path, attributes::mode(&attrs, 0o777))?;
        Ok(done(id))
    }

    async fn rmdir(&mut self, id: u32, path: String) -> Result<Status, Failure> {
        fs::remove_dir(path)?;
        Ok(done(id))
    }

    async fn realpath(&mut self, id: u32, path: String) -> Result<Name, Failure> {
        let path = resolve(Path::new(named(&path)))?;
        Ok(Name { id, files: vec![File::dummy(path.to_string_lossy())] })
    }

    async fn rename(&mut self, id: u32, old: String, new: String) -> Result<Status, Failure> {
        // Version 3 never replaces a file; see posix-rename for that.
        rustix::fs::renameat_with(CWD, &old, CWD, &new, RenameFlags::NOREPLACE)?;
        Ok(done(id))
    }

    async fn readlink(&mut self, id: u32, path: String) -> Result<Name, Failure> {
        let target = fs::read_link(path)?;
        Ok(Name { id, files: vec![File::dummy(target.to_string_lossy())] })
    }

    /// OpenSSH sends the target first, against the draft, and every client does as OpenSSH does.
    async fn symlink(&mut self, id: u32, target: String, link: String) -> Result<Status, Failure> {
        std::os::unix::fs::symlink(target, link)?;
        Ok(done(id))
    }

    async fn extended(&mut self, id: u32, request: String, data: Vec<u8>) -> Result<Packet, Failure> {
        match request.as_str() {
            POSIX_RENAME => {
                let HardlinkExtension { oldpath, newpath } = decode(data)?;
                fs::rename(oldpath, newpath)?;
                Ok(done(id).into())
            }
            HARDLINK => {
                let HardlinkExtension { oldpath, newpath } = decode(data)?;
                fs::hard_link(oldpath, newpath)?;
                Ok(done(id).into())
            }
            FSYNC => {
                let FsyncExtension { handle } = decode(data)?;
                self.file(&handle)?.0.sync_all()?;
                Ok(done(id).into())
            }
            LSETSTAT => {
                let (path, attrs): (String, FileAttributes) = decode(data)?;
                attributes::set(&Target::Path(named(&path), Links::Keep), &attrs)?;
                Ok(done(id).into())
            }
            STATVFS => {
                let StatvfsExtension { path } = decode(data)?;
                reply(id, &space(named(&path))?)
            }
            LIMITS => {
                let (max_read_len, max_write_len) = (MAX_DATA.into(), MAX_DATA.into());
                let max_open_handles = MAX_HANDLES as u64;
                reply(id, &LimitsExtension { max_packet_len: 256 << 10, max_read_len, max_write_len, max_open_handles })
            }
            EXPAND_PATH => {
                let ExpandPathExtension { path } = decode(data)?;
                let path = match path.strip_prefix('~') {
                    // The server started in the home, and never leaves it.
                    Some(rest) if rest.is_empty() || rest.starts_with('/') => format!(".{rest}"),
                    _ => path,
                };
                Ok(self.realpath(id, path).await?.into())
            }
            _ => Err(self.unimplemented()),
        }
    }
}

fn done(id: u32) -> Status {
    Status { id, status_code: StatusCode::Ok, error_message: "Success".to_owned(), language_tag: String::new() }
}

/// An empty path is the working directory.
fn named(path: &str) -> &str {
    if path.is_empty() { "." } else { path }
}

/// Without links and dots; the last part needn't exist.
fn resolve(path: &Path) -> io::Result<PathBuf> {
    match (path.canonicalize(), path.file_name()) {
        (Err(error), Some(name)) if error.kind() == io::ErrorKind::NotFound => {
            let above = path.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
            Ok(above.canonicalize()?.join(name))
        }
        (resolved, _) => resolved,
    }
}

fn space(path: &str) -> Result<Statvfs, Failure> {
    let found = rustix::fs::statvfs(path)?;
    Ok(Statvfs {
        block_size: found.f_bsize,
        fragment_size: found.f_frsize,
        blocks: found.f_blocks,
        blocks_free: found.f_bfree,
        blocks_avail: found.f_bavail,
        inodes: found.f_files,
        inodes_free: found.f_ffree,
        inodes_avail: found.f_favail,
        fs_id: found.f_fsid,
        // The protocol knows read-only as 1 and nosuid as 2, as Linux does.
        flags: found.f_flag.bits() & 3,
        name_max: found.f_namemax,
    })
}

fn decode<T: DeserializeOwned>(data: Vec<u8>) -> Result<T, Failure> {
    de::from_bytes(&mut data.into()).map_err(|_| StatusCode::BadMessage.into())
}

fn reply(id: u32, content: &impl Serialize) -> Result<Packet, Failure> {
    let data = ser::to_bytes(content).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(ExtendedReply { id, data: data.to_vec() }.into())
}
