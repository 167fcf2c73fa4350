//! Unix sockets that are made and connected to as the user: what the user may not reach stays out of reach, and anyone who asks the kernel
//! who is at the other end (`SO_PEERCRED`) is told the user, not root.
//!
//! The kernel takes down who calls listen(2) or connect(2). So a process that is the user for good does it, on a socket that it
//! shares with this one.

use crate::guest::identity::Identity;
use rustix::{
    fs::{CWD, Mode, mkdirat},
    io::Errno,
    net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect as connect_to, listen as listen_on},
    process::umask,
};
use std::{
    ffi::CString,
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::{ffi::OsStrExt, process::CommandExt},
    },
    path::{Path, PathBuf},
};
use tokio::net::{UnixListener, UnixStream};

/// The mask of what only the user may read and write.
const FOR_USER: Mode = Mode::XUSR.union(Mode::RWXG).union(Mode::RWXO);
/// How many may wait to be accepted, as with sshd.
const BACKLOG: i32 = 128;
/// What the process ends with that has done it: no error of the calls that it makes.
const DONE: i32 = libc::ECANCELED;

/// Connects as the user.
pub async fn connect(identity: Identity, path: PathBuf) -> io::Result<UnixStream> {
    let address = SocketAddrUnix::new(&*path)?;
    let socket = as_user(identity, move |socket| connect_to(socket, &address)).await?;
    UnixStream::from_std(socket.into())
}

/// Listens as the user, for whom alone the socket is (StreamLocalBindMask).
pub async fn listen(identity: Identity, path: PathBuf) -> io::Result<UnixListener> {
    let address = SocketAddrUnix::new(&*path)?;
    let socket = as_user(identity, move |socket| {
        umask(FOR_USER);
        bind(socket, &address)?;
        listen_on(socket, BACKLOG)
    });
    UnixListener::from_std(socket.await?.into())
}

/// The same in a new directory that is the user's alone.
pub async fn listen_in_new_directory(identity: Identity, directory: &Path, name: &str) -> io::Result<UnixListener> {
    let address = SocketAddrUnix::new(directory.join(name))?;
    let directory = CString::new(directory.as_os_str().as_bytes())?;
    let socket = as_user(identity, move |socket| {
        umask(Mode::RWXG | Mode::RWXO);
        mkdirat(CWD, &*directory, Mode::RWXU)?;
        umask(FOR_USER);
        bind(socket, &address)?;
        listen_on(socket, BACKLOG)
    });
    UnixListener::from_std(socket.await?.into())
}

/// Does something to a new socket in a process of its own that is the user.
async fn as_user(
    identity: Identity,
    act: impl Fn(&OwnedFd) -> Result<(), Errno> + Send + Sync + 'static,
) -> io::Result<OwnedFd> {
    let done = tokio::task::spawn_blocking(move || {
        // Nobody waits in connect(2) for a server whose line is full.
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        let theirs = socket.as_fd().try_clone_to_owned()?;
        let switch = identity.needs_switch();
        // It never comes to be run: the process ends before.
        let mut command = std::process::Command::new("/");
        // SAFETY: the closure runs between fork and exec; it only makes system calls on what was prepared above, and
        // allocates nothing.
        unsafe {
            command.pre_exec(move || {
                if switch {
                    identity.assume()?;
                }
                act(&theirs)?;
                Err(io::Error::from_raw_os_error(DONE))
            });
        }
        match command.spawn() {
            Err(error) if error.raw_os_error() == Some(DONE) => Ok(socket),
            Err(error) => Err(error),
            Ok(_) => Err(io::Error::other("a directory was run")),
        }
    });
    done.await.map_err(io::Error::other)?
}
