//! The state directory: the secret, the log, and what a running endpoint keeps.
//!
//! ```text
//! ~/.local/state/ec2-local/          0700
//!   secret                           0600, made once
//!   log                              appended by every endpoint
//!   images/                          imported images, shared by all builds
//!   run/BUILD/                       gone when the endpoint is
//!     endpoint                       locked by the endpoint as long as it lives
//!     journal                        its account
//!     way-in                         the socket to it and to its machines
//!     machines/i-…/                  the disks
//! ```

use super::{BUILD, EndpointError};
use serde::{Deserialize, Serialize};
use std::{
    env,
    ffi::OsStr,
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::{
        ffi::OsStrExt,
        fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    },
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

    /// The given directory; made if it isn't there.
    ///
    /// # Errors
    ///
    /// It can't be made, or it isn't ours alone.
    pub fn at(path: PathBuf) -> Result<Self, EndpointError> {
        make_directory(&path)?;
        let metadata = fs::metadata(&path).map_err(failed("look at the state directory", &path))?;
        let user = rustix::process::geteuid().as_raw();
        let reason = if metadata.uid() != user {
            Some(format!("it belongs to user {}, not to user {user}", metadata.uid()))
        } else if metadata.mode() & 0o077 != 0 {
            Some(format!("its mode is {:04o}, so others have access (chmod 0700)", metadata.mode() & 0o7777))
        } else {
            None
        };
        match reason {
            Some(reason) => Err(EndpointError::UnsafeStateDirectory { path, reason }),
            None => Ok(Self(path)),
        }
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
        self.0.join("run").join(BUILD)
    }

    /// The disks.
    pub(crate) fn machines(&self) -> PathBuf {
        self.run().join("machines")
    }

    /// The imported images.
    pub(crate) fn images(&self) -> PathBuf {
        self.0.join("images")
    }

    /// The socket's path: the real one where it fits into a socket's address, else one through an open descriptor of the
    /// directory, which is valid as long as that is open.
    pub(crate) fn way_in(&self) -> Result<SocketPath, EndpointError> {
        let path = self.run().join("way-in");
        if path.as_os_str().len() <= SOCKET_PATH_MAX {
            return Ok(SocketPath { path, _directory: None });
        }
        let run = self.run();
        let directory = File::open(&run).map_err(failed("open", &run))?;
        let link = format!("/proc/self/fd/{}/way-in", std::os::fd::AsRawFd::as_raw_fd(&directory));
        Ok(SocketPath { path: OsStr::from_bytes(link.as_bytes()).into(), _directory: Some(directory) })
    }

    /// The lock under which endpoints are started, and under which they end. Held until the file is dropped.
    pub(crate) fn lock(&self) -> Result<File, EndpointError> {
        let directory = File::open(&self.0).map_err(failed("open", &self.0))?;
        directory.lock().map_err(failed("lock", &self.0))?;
        Ok(directory)
    }

    /// The same lock, if nobody has it now.
    pub(crate) fn try_lock(&self) -> Option<File> {
        let directory = File::open(&self.0).ok()?;
        directory.try_lock().is_ok().then_some(directory)
    }

    /// The secret, made if there is none yet.
    ///
    /// # Errors
    ///
    /// It can't be read or written, or others may read it.
    pub fn credentials(&self) -> Result<Credentials, EndpointError> {
        let path = self.0.join("secret");
        match File::open(&path) {
            Ok(mut file) => {
                let mode = file.metadata().map_err(failed("look at", &path))?.mode();
                if mode & 0o077 != 0 {
                    let reason = format!("the mode of its secret is {:04o} (chmod 0600)", mode & 0o7777);
                    return Err(EndpointError::UnsafeStateDirectory { path: self.0.clone(), reason });
                }
                let mut text = String::new();
                file.read_to_string(&mut text).map_err(failed("read", &path))?;
                serde_json::from_str(&text)
                    .map_err(io::Error::other)
                    .map_err(failed("read (remove it, and a new one will be made)", &path))
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => self.make_credentials(&path),
            Err(e) => Err(failed("read", &path)(e)),
        }
    }

    /// Two processes may make one at the same time: only one link succeeds, and the other reads what that one made.
    fn make_credentials(&self, path: &Path) -> Result<Credentials, EndpointError> {
        let credentials = random_credentials().map_err(failed("make", path))?;
        let temporary = self.0.join(format!(".secret.{}.{}", std::process::id(), &credentials.access_key[4..12]));
        let text =
            serde_json::to_string_pretty(&credentials).map_err(io::Error::other).map_err(failed("write", path))?;
        let written = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&temporary)
            .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
            .and_then(|()| fs::hard_link(&temporary, path));
        // Whatever came of it, the temporary name must go.
        let _ = fs::remove_file(&temporary);
        match written {
            Ok(()) => Ok(credentials),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => self.credentials(),
            Err(e) => Err(failed("write", path)(e)),
        }
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

/// Makes a directory and its parents, 0700.
pub(crate) fn make_directory(path: &Path) -> Result<(), EndpointError> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed("make the directory", path))
}

pub(crate) fn failed(tried: &'static str, path: &Path) -> impl FnOnce(io::Error) -> EndpointError {
    let path = path.to_owned();
    move |source| EndpointError::State { tried, path, source }
}

fn random_credentials() -> io::Result<Credentials> {
    const LETTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let mut random = [0_u8; 16 + 30];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    let (id, secret) = random.split_at(16);
    let id: String = id.iter().map(|byte| char::from(LETTERS[usize::from(byte % 32)])).collect();
    Ok(Credentials { access_key: format!("AKIA{id}"), secret_key: hex::encode(secret) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

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
        assert_eq!(fs::read_dir(state.path()).unwrap().count(), 1, "a temporary file was left");
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
        make_directory(&state.run()).unwrap();
        let listener = std::os::unix::net::UnixListener::bind(state.way_in().unwrap()).unwrap();
        std::os::unix::net::UnixStream::connect(state.way_in().unwrap()).unwrap();
        drop(listener);
    }
}
