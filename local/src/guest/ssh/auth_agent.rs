//! The socket by which programs of the machine reach the client's own agent, in a directory of its own, as sshd has it
//! (`/tmp/ssh-…/agent.PID`).

use super::unix_socket::{self, Processes};
use crate::guest::{identity::Identity, root::Root};
use rustix::fs::{AtFlags, OFlags, unlinkat};
use std::{
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};
use tokio::net::UnixListener;

/// The socket; gone, with its directory, when this is dropped.
pub struct AuthAgent {
    path: PathBuf,
    /// Held open: by its path its owner could lead to a directory of others'.
    directory: OwnedFd,
    /// The one that it is in.
    above: OwnedFd,
    names: [String; 2],
}

impl AuthAgent {
    /// Makes one as the user.
    pub async fn make(processes: &Processes, root: &Root, identity: &Identity) -> io::Result<(Self, UnixListener)> {
        const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
        let mut random = [0; 10];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        let random: String = random.iter().map(|byte| char::from(LETTERS[usize::from(byte % 32)])).collect();
        let names = [format!("ssh-{random}"), format!("agent.{}", std::process::id())];
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW;
        let within = Path::new("/tmp");
        let above = root.open(within, flags, 0)?;
        let directory = root.path(within).join(&names[0]);
        let listener = unix_socket::listen_in_new_directory(processes, identity.clone(), &directory, &names[1]).await?;
        let path = directory.join(&names[1]);
        let directory = root.open(within.join(&names[0]), flags, 0)?;
        Ok((Self { path, directory, above, names }, listener))
    }

    /// Where it is, as this process and its sessions see it.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for AuthAgent {
    fn drop(&mut self) {
        let [directory, socket] = &self.names;
        // What its owner has put there, or elsewhere, stays.
        let _ = unlinkat(&self.directory, socket, AtFlags::empty());
        let _ = unlinkat(&self.above, directory, AtFlags::REMOVEDIR);
    }
}
