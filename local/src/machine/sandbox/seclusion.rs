//! How a keeper runs; that of a user who is not the host's root, in user and mount namespaces of its own, one above the machine's.
//!
//! There the machine's root may be the very user to whom this executable belongs, and init and agent run it: through
//! `/proc/self/exe` the user's file could be reached and its mode changed, and on kernels that let running programs be
//! written to (6.11 and 6.12) what is in it. So it is run through a mount that is read-only and not the machine's to change.
//!
//! The keeper is root there, of all users that the machine will have: it can read and remove whatever they have written.

use super::{
    advice,
    identity::Identity,
    kernel::{self, Side},
    protocol,
    root::{self, told},
};
use rustix::{
    fs::CWD,
    mount::{MountFlags, MountPropagationFlags, OpenTreeFlags, mount_bind, mount_change, open_tree},
    process::{WaitOptions, getpid, waitpid},
};
use std::{
    env, fs, io,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::{fs::MetadataExt, process::CommandExt},
    },
    path::{Path, PathBuf},
    process::{Command, Stdio, exit},
};

/// Tells the keeper that it is in there.
pub const VARIABLE: &str = "EC2_LOCAL_SECLUDED";

/// This executable, also where it has been replaced since.
const OWN: &str = "/proc/self/exe";

/// Whether this process is there.
pub fn is_entered() -> bool {
    env::var_os(VARIABLE).is_some()
}

/// How the endpoint starts a keeper: by a mount that lies nowhere, where the host's root needs no more than that, so that it doesn't
/// have to become this executable a second time.
#[derive(Debug)]
pub struct Start {
    detached: Option<OwnedFd>,
}

impl Start {
    /// Looks which of the two it is.
    pub fn choose() -> Self {
        Self { detached: is_hosts_root().then(|| detached(Path::new(OWN)).ok()).flatten() }
    }

    /// The command, which is to be started while this lives.
    pub fn command(&self) -> Command {
        let Some(program) = &self.detached else {
            let mut command = Command::new(OWN);
            command.env_clear();
            return command;
        };
        entered(&in_proc(program))
    }
}

/// Whether the machine's root is no user who could be told about the executable: then its keeper needs no namespaces of its own.
fn is_hosts_root() -> bool {
    matches!(Identity::choose(None, super::identity::FIRST), Identity::Range(_))
}

/// Goes there, unless it is there or needs no such thing, and becomes this executable again, which finds its connection to the
/// endpoint on standard input as before. Either way it is run by a mount that lies nowhere: so what the kernel tells init and agent
/// of themselves doesn't say where the host has it.
pub fn enter(connection: &OwnedFd) -> io::Result<()> {
    if is_entered() {
        return Ok(());
    }
    // Where it isn't of this namespace's mounts, as in some containers, it can do without.
    if is_hosts_root() {
        return Ok(());
    }
    let own = Path::new(OWN);
    become_root_of(&Identity::choose(None, super::identity::FIRST))?;
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .map_err(told("make mounts private below", "/"))?;
    let program = fs::read_link(own).map_err(told("read", own.display()))?;
    // What has been replaced since is nobody's any more.
    let identity = |path: &Path| fs::metadata(path).map(|found| (found.dev(), found.ino())).ok();
    if identity(&program) != identity(own) {
        return Err(run(own, connection));
    }
    mount_bind(&program, &program).map_err(told("mount", program.display()))?;
    root::make_read_only(&program, MountFlags::empty())?;
    let program = detached(&program)?;
    Err(run(&in_proc(&program), connection))
}

/// A copy of a mount that lies nowhere, with that file on top, and is gone with the last that uses it.
fn detached(program: &Path) -> io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    open_tree(CWD, program, flags).map_err(told("copy the mount of", program.display()))
}

fn in_proc(opened: &OwnedFd) -> PathBuf {
    format!("/proc/self/fd/{}", opened.as_raw_fd()).into()
}

/// Becomes this executable; returns only if it can't.
fn run(program: &Path, connection: &OwnedFd) -> io::Error {
    let connection = match connection.try_clone() {
        Ok(connection) => connection,
        Err(error) => return error,
    };
    let mut command = entered(program);
    command.env(super::ROLE_VARIABLE, super::ROLE).stdin(Stdio::from(connection));
    told("run", program.display())(command.exec())
}

/// This executable as one that is there.
fn entered(program: &Path) -> Command {
    let mut command = Command::new(program);
    // Machines see its name, and where the user keeps it is none of their business.
    command.arg0("ec2-local").env_clear().env(VARIABLE, "");
    command
}

/// Keeps a machine without a cgroup of its own from mounting those of the host. It stays in a cgroup namespace that isn't its own,
/// and can't make one, which would be its own.
pub fn hide_cgroups() -> io::Result<()> {
    kernel::enter_cgroup_namespace().map_err(told("make", "a cgroup namespace"))?;
    let limit = "/proc/sys/user/max_cgroup_namespaces";
    fs::write(limit, "0").map_err(told("write", limit))
}

/// Makes the namespaces for this process itself. Only a process that is outside may map more than one user, so a child of
/// before does.
fn become_root_of(identity: &Identity) -> io::Result<()> {
    let keeper = getpid();
    let (here, there) = protocol::connection()?;
    let child = match kernel::fork().map_err(told("start", "the process that maps the machine's users"))? {
        Side::Child => {
            drop(here);
            let Ok(Some(((), _))) = protocol::receive(&there) else { exit(1) };
            let outcome = identity.apply(keeper).map_err(|error| error.to_string());
            exit(i32::from(protocol::send(&there, &outcome, &[]).is_err()))
        }
        Side::Parent(child) => child,
    };
    drop(there);
    let made = kernel::unshare_users_and_mounts().map_err(|error| advice::on_namespaces(&error));
    let applied = made.and_then(|()| protocol::send(&here, &(), &[])).and_then(|()| protocol::receive(&here));
    drop(here);
    waitpid(Some(child), WaitOptions::empty())?;
    match applied? {
        Some((Ok::<(), String>(()), _)) => Ok(()),
        Some((Err(why), _)) => Err(io::Error::other(why)),
        None => Err(io::Error::other("map the machine's users: the process that does it was killed")),
    }
}
