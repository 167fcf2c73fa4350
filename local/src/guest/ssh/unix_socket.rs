//! Unix sockets that are made and connected to as the user: what the user may not reach stays out of reach, and anyone who asks the kernel
//! who is at the other end (`SO_PEERCRED`) is told the user, not root.
//!
//! The kernel takes down who calls listen(2) or connect(2). So a process that makes its calls as the user does it, on a socket that it
//! shares with this one. It remains root's: this one waits for it, and the user could stop a process of theirs.

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
    sync::Arc,
    time::Duration,
};
use tokio::{
    net::{UnixListener, UnixStream},
    sync::Semaphore,
};

/// The mask of what only the user may read and write.
const FOR_USER: Mode = Mode::XUSR.union(Mode::RWXG).union(Mode::RWXO);
/// How many may wait to be accepted, as with sshd.
const BACKLOG: i32 = 128;
/// How many such processes a client may have at a time: a thread that others need, too, waits for each.
const PROCESSES_MAX: usize = 4;
/// How long one may take: the path may lead to a file system that doesn't answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// What the process ends with that has done it: no error of the calls that it makes.
const DONE: i32 = libc::ECANCELED;

/// A client's places for such processes; cheap to clone.
#[derive(Clone)]
pub struct Processes(Arc<Semaphore>);

impl Default for Processes {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(PROCESSES_MAX)))
    }
}

/// Connects as the user.
pub async fn connect(processes: Processes, identity: Identity, path: PathBuf) -> io::Result<UnixStream> {
    let address = SocketAddrUnix::new(&*path)?;
    let socket = as_user(&processes, identity, move |socket| connect_to(socket, &address)).await?;
    UnixStream::from_std(socket.into())
}

/// Listens as the user, for whom alone the socket is (StreamLocalBindMask).
pub async fn listen(processes: &Processes, identity: Identity, path: PathBuf) -> io::Result<UnixListener> {
    let address = SocketAddrUnix::new(&*path)?;
    let socket = as_user(processes, identity, move |socket| {
        umask(FOR_USER);
        bind(socket, &address)?;
        listen_on(socket, BACKLOG)
    });
    UnixListener::from_std(socket.await?.into())
}

/// The same in a new directory that is the user's alone.
pub async fn listen_in_new_directory(
    processes: &Processes,
    identity: Identity,
    directory: &Path,
    name: &str,
) -> io::Result<UnixListener> {
    let address = SocketAddrUnix::new(directory.join(name))?;
    let directory = CString::new(directory.as_os_str().as_bytes())?;
    let socket = as_user(processes, identity, move |socket| {
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
    processes: &Processes,
    identity: Identity,
    act: impl Fn(&OwnedFd) -> Result<(), Errno> + Send + Sync + 'static,
) -> io::Result<OwnedFd> {
    let too_long = |_| io::Error::new(io::ErrorKind::TimedOut, "use a Unix socket as the user: it takes too long");
    let place = tokio::time::timeout(PATIENCE, processes.0.clone().acquire_owned());
    let place = place.await.map_err(too_long)?.map_err(io::Error::other)?;
    let done = tokio::task::spawn_blocking(move || {
        // Held as long as there is the process, however long anybody waits for it.
        let _place = place;
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
                    identity.assume_for_calls()?;
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
    tokio::time::timeout(PATIENCE, done).await.map_err(too_long)?.map_err(io::Error::other)?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guest::identity::single_user;
    use std::{
        io::{Read, Write},
        process::Command,
    };

    #[tokio::test(flavor = "current_thread")]
    async fn the_user_cannot_stop_the_process() {
        if !rustix::process::geteuid().is_root() || single_user() {
            eprintln!("skipped: there is nobody else to be");
            return;
        }
        let identity = Identity { uid: 65534, gid: 65534, groups: vec![65534] };
        let (mut told, tell) = io::pipe().unwrap();
        let (wait, mut go) = io::pipe().unwrap();
        let stopping = std::thread::spawn(move || {
            let mut id = [0; 4];
            told.read_exact(&mut id).unwrap();
            let id = i32::from_ne_bytes(id).to_string();
            let mut kill = Command::new("kill");
            let stopped = kill.args(["-STOP", &id]).uid(65534).gid(65534).status().unwrap().success();
            let _ = Command::new("kill").args(["-CONT", &id]).status();
            go.write_all(b"!").unwrap();
            stopped
        });
        let act = move |_: &OwnedFd| {
            let id = rustix::process::getpid().as_raw_nonzero().get();
            rustix::io::write(&tell, &id.to_ne_bytes())?;
            rustix::io::read(&wait, &mut [0; 1])?;
            match rustix::process::geteuid().as_raw() {
                65534 => Ok(()),
                _ => Err(Errno::PERM),
            }
        };
        as_user(&Processes::default(), identity, act).await.unwrap();
        assert!(!stopping.join().unwrap());
    }
}
