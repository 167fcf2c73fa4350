//! A user that has logged in: as whom its processes run and what they find in their environment.

use super::authorized_keys::{self, Options};
use crate::guest::{
    accounts::{self, Account},
    authorize,
    identity::Identity,
    root::Root,
};
use russh::keys::PublicKey;
use std::{
    io,
    net::SocketAddr,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// Where programs are looked for, those of the administrator too.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A user that has logged in.
#[derive(Debug, Clone)]
pub struct Login {
    /// The user's account.
    pub account: Account,
    /// As whom processes run.
    pub identity: Identity,
    /// What the key may do.
    pub options: Options,
    /// The home directory, as this process sees it.
    pub home: PathBuf,
}

impl Login {
    /// Logs in the user of that name, if its `authorized_keys` lists the key.
    pub fn with_key(root: &Root, user: &str, key: &PublicKey) -> io::Result<Option<Self>> {
        let Some(account) = accounts::account(root, user)? else { return Ok(None) };
        let home = root.path(&account.home);
        let listed = account.home.join(".ssh/authorized_keys");
        let path = root.path(&listed);
        if let Some(weak) = others_may_write(&path, &home, account.uid) {
            tracing::warn!("{user} can't log in: others may write to {}", weak.display());
            return Ok(None);
        }
        let file = match root.read_at_most(&listed, authorize::KEYS_MAX) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let Some(options) = authorized_keys::find(&String::from_utf8_lossy(&file), key) else { return Ok(None) };
        let identity = Identity::of(&account, root)?;
        Ok(Some(Self { account, identity, options, home }))
    }

    /// Whether the client may set a variable. Where a command is forced, none may change what that does, as by `LD_PRELOAD`, `BASH_ENV`
    /// or `PATH`.
    pub fn may_set(&self, variable: &str) -> bool {
        let harmless = ["LANG", "TERM", "COLORTERM", "NO_COLOR"];
        self.options.command.is_none() || harmless.contains(&variable) || variable.starts_with("LC_")
    }

    /// The environment that a session has before what the client adds.
    pub fn environment(&self, root: &Root) -> Vec<(String, String)> {
        let name = &self.account.name;
        let mut environment = vec![
            ("USER".to_owned(), name.clone()),
            ("LOGNAME".to_owned(), name.clone()),
            ("HOME".to_owned(), self.home.display().to_string()),
            ("PATH".to_owned(), PATH.to_owned()),
            ("MAIL".to_owned(), format!("/var/mail/{name}")),
            ("SHELL".to_owned(), self.account.shell.display().to_string()),
        ];
        for file in ["/etc/environment", "/etc/default/locale"] {
            environment.extend(assignments(&root.read_or_empty(file).unwrap_or_default()));
        }
        environment
    }

    /// What it has after that, since it isn't the client's to say: what the key's line sets, and who is connected.
    pub fn own_environment(&self, peer: SocketAddr, local: SocketAddr) -> Vec<(String, String)> {
        let mut environment = self.options.environment.clone();
        let (from, to) = (peer.ip().to_canonical(), local.ip().to_canonical());
        environment.extend([
            ("SSH_CLIENT".to_owned(), format!("{from} {} {}", peer.port(), local.port())),
            ("SSH_CONNECTION".to_owned(), format!("{from} {} {to} {}", peer.port(), local.port())),
        ]);
        environment
    }
}

/// The first of the file and the directories up to the home that somebody else owns or may write to: its content says
/// nothing about the user's will (sshd_config(5), StrictModes).
fn others_may_write(file: &Path, home: &Path, uid: u32) -> Option<PathBuf> {
    file.ancestors()
        .take_while(|path| path.starts_with(home))
        .find(|path| {
            path.metadata().is_ok_and(|found| (found.uid() != uid && found.uid() != 0) || found.mode() & 0o022 != 0)
        })
        .map(Path::to_owned)
}

/// The lines of a file in the form that pam_env(8) reads.
fn assignments(text: &str) -> Vec<(String, String)> {
    text.lines()
        .filter_map(|line| {
            let line = line.trim();
            let line = line.strip_prefix("export ").unwrap_or(line);
            let (name, value) = line.split_once('=').filter(|_| !line.starts_with('#'))?;
            let value = value.trim();
            let bare = ['"', '\''].iter().find_map(|&quote| value.strip_prefix(quote)?.strip_suffix(quote));
            Some((name.trim().to_owned(), bare.unwrap_or(value).to_owned()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn environment_files_are_read_as_pam_env_does() {
        let text = "# c=d\nA=b\nexport B=\"c d\"\n C = 'e'\nnothing\nPATH=/bin\n";
        let expected = [("A", "b"), ("B", "c d"), ("C", "e"), ("PATH", "/bin")];
        let expected: Vec<_> = expected.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        assert_eq!(assignments(text), expected);
    }
}
