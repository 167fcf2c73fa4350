//! Writing `~/.ssh/authorized_keys`, as cloud-init does.

use super::{accounts, root::Root};
use std::io;

/// More bytes than any list of keys has: all clients wait while it is read.
pub const KEYS_MAX: u64 = 1 << 20;

/// Gives the instance's keys to the login user, and to root: there, unless root is to be let in, with cloud-init's
/// restriction, which names the user to log in as.
pub fn instance_keys(root: &Root, login_user: Option<&str>, keys: &[String], root_disabled: bool) -> io::Result<()> {
    if let Some(user) = login_user {
        add_keys(root, user, keys)?;
    }
    if login_user == Some("root") {
        return Ok(());
    }
    if !root_disabled {
        return add_keys(root, "root", keys);
    }
    let user = login_user.unwrap_or("NONE");
    let restriction = format!(
        "no-port-forwarding,no-agent-forwarding,no-X11-forwarding,command=\"echo 'Please login as the user \\\"{user}\\\" \
         rather than the user \\\"root\\\".';echo;sleep 10;exit 142\""
    );
    let restricted: Vec<String> = keys.iter().map(|key| format!("{restriction} {key}")).collect();
    add_keys(root, "root", &restricted)
}

/// Adds keys to those that a user may log in with.
pub fn add_keys(root: &Root, user: &str, keys: &[String]) -> io::Result<()> {
    let account = accounts::account(root, user)?
        .ok_or_else(|| io::Error::other(format!("authorize keys of {user}: there is no such user")))?;
    let owner = (account.uid, account.gid);
    let directory = account.home.join(".ssh");
    accounts::make_directory(&root.path(&directory), 0o700, owner)?;
    let file = directory.join("authorized_keys");
    let mut text = match root.read_at_most(&file, KEYS_MAX) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error),
    };
    for key in keys {
        if !text.lines().any(|line| line == key) {
            if !text.is_empty() && !text.ends_with('\n') {
                text.push('\n');
            }
            text.push_str(key);
            text.push('\n');
        }
    }
    root.write(&file, text, 0o600)?;
    accounts::give(&root.path(&file), owner)
}
