//! The state directory: the secret, the log, and what a running endpoint keeps.
//!
//! ```text
//! ~/.local/state/ec2-local/          0700
//!   .ec2-local                       the mark of what is ours; each part that is removed as a whole has one, too
//!   secret                           0600, made once
//!   instance-identity                0600, made when it is asked for: what identity documents are signed with
//!   log                              appended by every endpoint
//!   images/                          imported images, shared by all builds
//!   commands/…/state/                another such directory, of one command; gone when that is
//!   run/BUILD/                       gone when the endpoint is
//!     endpoint                       locked by the endpoint as long as it lives
//!     journal                        its account
//!     way-in                         the socket to it and to its machines
//!     disks/vol-…/                   the disks of volumes
//!     layers/snap-…/                 what snapshots hold
//! ```

use super::{BUILD, EndpointError, layout::STATE};
use ec2_state_directory::{Directory, Error};
use rustix::fs::{FileType, Stat};
use serde::{Deserialize, Serialize};
use std::{
    env,
    ffi::{OsStr, OsString},
    fs::File,
    io::{self, Read, Write},
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::{Path, PathBuf},
};

/// `sun_path` has 108 bytes, the last of which is NUL (unix(7)).
const SOCKET_PATH_MAX: usize = 107;

/// The secret that signs requests: only its user can read it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credentials {
    /// The access key's id.
    pub access_key: String,
    /// The secret key.
    pub secret_key: String,
}

impl Credentials {
    /// Whether they are as we make them.
    fn is_well_formed(&self) -> bool {
        let id = self.access_key.strip_prefix("AKIA").unwrap_or_default();
        let is_id = id.len() == 16 && id.bytes().all(|byte| LETTERS.contains(&byte));
        is_id && self.secret_key.len() == 60 && self.secret_key.bytes().all(|byte| byte.is_ascii_hexdigit())
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("access_key", &self.access_key).finish_non_exhaustive()
    }
}

/// A state directory that was checked: ours, and ours alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateDirectory(PathBuf);

impl StateDirectory {
    /// The user's: `EC2_LOCAL_STATE_DIR`, else `$XDG_STATE_HOME/ec2-local`, else `~/.local/state/ec2-local`. Made if it
    /// isn't there.
    ///
    /// # Errors
    ///
    /// None of the variables is set, the directory can't be made, or it isn't ours alone.
    pub fn of_user() -> Result<Self, EndpointError> {
        let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let path = set("EC2_LOCAL_STATE_DIR")
            // The XDG base directory specification has relative paths ignored.
            .or_else(|| set("XDG_STATE_HOME").filter(|path| path.is_absolute()).map(|path| path.join("ec2-local")))
            .or_else(|| set("HOME").map(|home| home.join(".local/state/ec2-local")))
            .ok_or(EndpointError::NoStateDirectory)?;
        let path = std::path::absolute(&path).map_err(failed("find the state directory", &path))?;
        Self::at(path)
    }

    /// The given directory; made if it isn't there. It is ours from now on.
    ///
    /// # Errors
    ///
    /// It can't be made, or it isn't ours alone: somebody else could put another in its place, or it has something in it that isn't
    /// ours.
    pub fn at(path: PathBuf) -> Result<Self, EndpointError> {
        let directory = Directory::make(&path)?;
        let mode = directory.stat()?.st_mode;
        if mode & 0o077 != 0 {
            let reason = format!("its mode is {:04o}, so others have access to its secret (chmod 0700)", mode & 0o7777);
            return Err(EndpointError::UnsafeStateDirectory { path, reason });
        }
        STATE.claim_open(&directory, |names| foreign(&directory, names))?;
        Ok(Self(directory.path().to_owned()))
    }

    /// The directory itself, which is looked at again on the way.
    pub(crate) fn open(&self) -> Result<Directory, EndpointError> {
        Ok(Directory::find(&self.0)?)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The log of all endpoints.
    pub fn log(&self) -> PathBuf {
        self.0.join("log")
    }

    /// What belongs to the running endpoint of this build.
    pub(crate) fn run(&self) -> PathBuf {
        self.0.join(RUNS).join(BUILD)
    }

    /// The directories of running endpoints, of whatever build.
    pub(crate) fn runs(&self) -> Result<Directory, EndpointError> {
        Ok(self.open()?.ensure(RUNS)?)
    }

    /// The socket's path: the real one where it fits into a socket's address, else one through an open descriptor of the
    /// directory, which is valid as long as that is open.
    pub(crate) fn way_in(&self) -> Result<SocketPath, EndpointError> {
        let path = self.run().join("way-in");
        self.check_way_in()?;
        if path.as_os_str().len() <= SOCKET_PATH_MAX {
            return Ok(SocketPath { path, _directory: None });
        }
        let run = self.run();
        let directory = File::open(&run).map_err(failed("open", &run))?;
        let link = format!("/proc/self/fd/{}/way-in", std::os::fd::AsRawFd::as_raw_fd(&directory));
        Ok(SocketPath { path: OsStr::from_bytes(link.as_bytes()).into(), _directory: Some(directory) })
    }

    /// Nobody is to be led to a socket of somebody else's.
    pub(super) fn check_way_in(&self) -> Result<(), EndpointError> {
        let Some(runs) = self.open()?.open(RUNS)? else { return Ok(()) };
        let Some(run) = runs.open(BUILD)? else { return Ok(()) };
        match run.look("way-in")? {
            Some(found) if FileType::from_raw_mode(found.st_mode) != FileType::Socket => {
                let reason = "it isn't a socket of the local EC2's; remove it".to_owned();
                Err(EndpointError::UnsafeStateDirectory { path: run.path().join("way-in"), reason })
            }
            _ => Ok(()),
        }
    }

    /// The lock under which endpoints are started, and under which they end. Held until the file is dropped.
    pub(crate) fn lock(&self) -> Result<File, EndpointError> {
        let directory = self.open()?.into_file();
        directory.lock().map_err(failed("lock", &self.0))?;
        Ok(directory)
    }

    /// The same lock, if nobody has it now.
    pub(crate) fn try_lock(&self) -> Option<File> {
        let directory = self.open().ok()?.into_file();
        directory.try_lock().is_ok().then_some(directory)
    }

    /// The secret, made if there is none yet.
    ///
    /// # Errors
    ///
    /// It can't be read or written, or others may read it.
    pub fn credentials(&self) -> Result<Credentials, EndpointError> {
        let directory = self.open()?;
        match directory.file(SECRET)? {
            Some(file) => read_secret(file, &self.0),
            None => self.make_credentials(&directory),
        }
    }

    /// Two processes may make one at the same time: the one that has the new one locked makes it, and the other reads that.
    fn make_credentials(&self, directory: &Directory) -> Result<Credentials, EndpointError> {
        let path = self.0.join(NEW_SECRET);
        let _lock = loop {
            // Only locked, never written: it may be another's name for a file that others can read.
            let file = directory.ensure_file(NEW_SECRET)?;
            if file.metadata().map_err(failed("look at", &path))?.nlink() > 1 {
                directory.remove_file(NEW_SECRET)?;
                continue;
            }
            file.lock().map_err(failed("lock", &path))?;
            if let Some(made) = directory.file(SECRET)? {
                directory.remove_file(NEW_SECRET)?;
                return read_secret(made, &self.0);
            }
            let found = file.metadata().map_err(failed("look at", &path))?;
            let is = |there: Stat| (there.st_dev, there.st_ino) == (found.dev(), found.ino());
            if directory.look(NEW_SECRET)?.is_some_and(is) {
                break file;
            }
        };
        let credentials = random_credentials().map_err(failed("make", &path))?;
        let text =
            serde_json::to_string_pretty(&credentials).map_err(io::Error::other).map_err(failed("write", &path))?;
        let mut file = directory.new_file(DRAFT)?;
        // Before it has the name that others lock.
        file.lock().map_err(failed("lock", &path))?;
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed("write", &path))?;
        directory.rename(DRAFT, NEW_SECRET)?;
        directory.rename(NEW_SECRET, SECRET)?;
        Ok(credentials)
    }
}

/// A path that fits into a socket's address.
#[derive(Debug)]
pub(crate) struct SocketPath {
    path: PathBuf,
    _directory: Option<File>,
}

impl AsRef<Path> for SocketPath {
    fn as_ref(&self) -> &Path {
        &self.path
    }
}

const RUNS: &str = "run";
const SECRET: &str = "secret";
/// The secret's lock until there is one, and the secret itself until it is whole.
const NEW_SECRET: &str = "secret.new";
const DRAFT: &str = ".secret.new";

/// The first thing in a directory without a mark by which it isn't the state directory of an earlier version.
fn foreign(directory: &Directory, names: &[OsString]) -> Result<Option<OsString>, Error> {
    // Nobody else has a secret of this form.
    let is_proven = directory.file(SECRET).is_ok_and(|secret| {
        secret.is_some_and(|secret| read_secret(secret, directory.path()).is_ok_and(|secret| secret.is_well_formed()))
    });
    for name in names {
        let kind = directory.look(name)?.map(|found| FileType::from_raw_mode(found.st_mode));
        let is_ours = match name.to_str() {
            Some(SECRET | NEW_SECRET | "log") => kind == Some(FileType::RegularFile),
            Some(RUNS | "images") => kind == Some(FileType::Directory),
            Some(name) => ["check-", ".secret."].iter().any(|start| name.starts_with(start)),
            None => false,
        };
        if !is_ours || !is_proven {
            return Ok(Some(name.clone()));
        }
    }
    Ok(None)
}

fn read_secret(mut file: File, state: &Path) -> Result<Credentials, EndpointError> {
    let path = state.join(SECRET);
    let mode = file.metadata().map_err(failed("look at", &path))?.mode();
    if mode & 0o077 != 0 {
        let reason = format!("the mode of its secret is {:04o} (chmod 0600)", mode & 0o7777);
        return Err(EndpointError::UnsafeStateDirectory { path: state.to_owned(), reason });
    }
    let mut text = String::new();
    Read::by_ref(&mut file).take(SECRET_MAX).read_to_string(&mut text).map_err(failed("read", &path))?;
    serde_json::from_str(&text)
        .map_err(io::Error::other)
        .map_err(failed("read (remove it, and a new one will be made)", &path))
}

/// The longest secret that is read.
const SECRET_MAX: u64 = 4096;

pub(crate) fn failed(tried: &'static str, path: &Path) -> impl FnOnce(io::Error) -> EndpointError {
    let path = path.to_owned();
    move |source| EndpointError::State { tried, path, source }
}

/// What an access key's id is made of.
const LETTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

fn random_credentials() -> io::Result<Credentials> {
    let mut random = [0_u8; 16 + 30];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    let (id, secret) = random.split_at(16);
    let id: String = id.iter().map(|byte| char::from(LETTERS[usize::from(byte % 32)])).collect();
    Ok(Credentials { access_key: format!("AKIA{id}"), secret_key: hex::encode(secret) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::PermissionsExt};

    #[test]
    fn the_secret_is_made_once_and_is_the_users_alone() {
        let directory = tempfile::tempdir().unwrap();
        let state = StateDirectory::at(directory.path().join("a/b")).unwrap();
        let made: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| state.credentials().unwrap())).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(made.iter().all(|credentials| credentials == &made[0]));
        assert_eq!(fs::metadata(state.path().join("secret")).unwrap().mode() & 0o777, 0o600);
        let names = state.open().unwrap().names().unwrap();
        assert_eq!(names, [".ec2-local", "secret"], "a temporary file was left");
    }

    #[test]
    fn a_directory_or_a_secret_that_others_can_read_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state");
        let state = StateDirectory::at(path.clone()).unwrap();
        state.credentials().unwrap();
        fs::set_permissions(path.join("secret"), fs::Permissions::from_mode(0o644)).unwrap();
        assert!(state.credentials().unwrap_err().to_string().contains("chmod 0600"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        assert!(StateDirectory::at(path).unwrap_err().to_string().contains("chmod 0700"));
    }

    #[test]
    fn a_long_path_still_has_a_socket() {
        let directory = tempfile::tempdir().unwrap();
        let state = StateDirectory::at(directory.path().join("x".repeat(150))).unwrap();
        state.runs().unwrap().ensure(BUILD).unwrap();
        let listener = std::os::unix::net::UnixListener::bind(state.way_in().unwrap()).unwrap();
        std::os::unix::net::UnixStream::connect(state.way_in().unwrap()).unwrap();
        drop(listener);
    }
}
