//! Writing `~/.ssh/authorized_keys`, as cloud-init does.

use super::{accounts, root::Root};
use std::io;

/// Gives the instance's keys to the login user; to root with cloud-init's restriction, which names the user to log in as.
pub fn instance_keys(root: &Root, login_user: &str, keys: &[String]) -> io::Result<()> {
    add_keys(root, login_user, keys)?;
    if login_user == "root" {
        return Ok(());
    }
    let restricted: Vec<String> = keys
        .iter()
        .map(|key| {
            format!(
                "no-port-forwarding,no-agent-forwarding,no-X11-forwarding,command=\"echo 'Please login as the user \
                 \\\"{login_user}\\\" rather than the user \\\"root\\\".';echo;sleep 10;exit 142\" {key}"
            )
        })
        .collect();
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
    let mut text = root.read_or_empty(&file)?;
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
