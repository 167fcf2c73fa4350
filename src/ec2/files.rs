//! Files and directories, to and from a machine.

use super::{Machine, unrun::Unrun};
use crate::{error::Error, ssh::Transfer, task::operation};
use std::{path::PathBuf, time::Duration};

/// What runs the machine's side as root.
const SUDO: [&str; 3] = ["sudo", "-n", "--"];

impl Machine {
    /// Copies a file, or a directory with all that is in it, to a path on the machine, as the login user.
    ///
    /// Modes, times of modification (to the second) and symbolic links are kept; the owner is who copies. A file replaces
    /// what was there at once, when it is complete; a directory is merged into one that exists. The path is that of the
    /// copy itself, its parent must exist, and a relative one starts at the user's home.
    #[track_caller]
    pub fn push(&self, local: impl Into<PathBuf>, remote: impl Into<String>) -> Push {
        Push {
            machine: self.clone(),
            local: local.into(),
            remote: remote.into(),
            how: Transfer::new(),
            unrun: Unrun::new("the copy", self.scope().clone()),
        }
    }

    /// Copies a file, or a directory with all that is in it, from the machine to a local path, as the login user.
    ///
    /// Permissions and times of modification (to the second) are kept, set-user-id bits are not; a directory's symbolic
    /// links are kept, a link by itself is followed. A file replaces what was there at once, when it is complete; a
    /// directory is merged into one that exists. A directory of the machine can't write anywhere else.
    #[track_caller]
    pub fn pull(&self, remote: impl Into<String>, local: impl Into<PathBuf>) -> Pull {
        Pull {
            machine: self.clone(),
            local: local.into(),
            remote: remote.into(),
            how: Transfer::new(),
            unrun: Unrun::new("the copy", self.scope().clone()),
        }
    }
}

/// A copy to the machine that is about to be made; see [`Machine::push`].
///
/// It fails with [`ErrorKind::Transfer`](crate::ErrorKind::Transfer) if a side can't read or write.
#[derive(Debug, Clone)]
#[must_use = "nothing is copied before `.await`, `.wait()` or `.start()`"]
pub struct Push {
    machine: Machine,
    local: PathBuf,
    remote: String,
    how: Transfer,
    unrun: Unrun,
}

impl Push {
    /// Writes as root, by `sudo -n`. Default: as the login user.
    pub fn sudo(mut self) -> Self {
        self.how = self.how.prefix(SUDO);
        self
    }

    /// The mode of the file on the machine, for example `0o600`; directories ignore it. Default: that of the local file.
    pub fn mode(mut self, mode: u32) -> Self {
        self.how = self.how.mode(mode);
        self
    }

    /// How long it may take. Default: as long as the test may.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.how = self.how.timeout(limit);
        self
    }

    fn run(self) -> impl Future<Output = Result<(), Error>> + Send + 'static {
        let Self { machine, local, remote, how, unrun } = self;
        unrun.runs();
        async move {
            let copy = machine.over_ssh(async { machine.session().await?.push(&local, &remote, how).await });
            machine.within_scope(&format!("push {} to {remote}", local.display()), copy).await
        }
    }
}

operation!(Push -> (), "push files", Cancel);

/// A copy from the machine that is about to be made; see [`Machine::pull`].
///
/// It fails with [`ErrorKind::Transfer`](crate::ErrorKind::Transfer) if a side can't read or write.
#[derive(Debug, Clone)]
#[must_use = "nothing is copied before `.await`, `.wait()` or `.start()`"]
pub struct Pull {
    machine: Machine,
    local: PathBuf,
    remote: String,
    how: Transfer,
    unrun: Unrun,
}

impl Pull {
    /// Reads as root, by `sudo -n`. Default: as the login user.
    pub fn sudo(mut self) -> Self {
        self.how = self.how.prefix(SUDO);
        self
    }

    /// How long it may take. Default: as long as the test may.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.how = self.how.timeout(limit);
        self
    }

    fn run(self) -> impl Future<Output = Result<(), Error>> + Send + 'static {
        let Self { machine, local, remote, how, unrun } = self;
        unrun.runs();
        async move {
            let copy = machine.over_ssh(async { machine.session().await?.pull(&remote, &local, how).await });
            machine.within_scope(&format!("pull {remote} to {}", local.display()), copy).await
        }
    }
}

operation!(Pull -> (), "pull files", Cancel);
