//! Whether the one who answers is the machine: what its console shows.

use super::console;
use crate::{
    config::HostKeys,
    ec2::Machine,
    error::{Error, ErrorKind},
    ssh::{HostKey, HostKeyPolicy},
};
use std::time::Duration;

/// The policy for this machine's host key.
pub(super) async fn host_keys(machine: &Machine) -> Result<HostKeyPolicy, Error> {
    match machine.0.ec2.config.host_keys {
        HostKeys::FirstUse => Ok(HostKeyPolicy::AcceptFirst(machine.0.known_host.clone())),
        HostKeys::Console => loop {
            let keys = shown_keys(&console(machine).await.unwrap_or_default());
            if !keys.is_empty() {
                return Ok(HostKeyPolicy::Expect(keys));
            }
            // The wait that this is a part of has the deadline.
            tokio::time::sleep(Duration::from_millis(200)).await;
        },
    }
}

/// The host keys that cloud-init printed last.
fn shown_keys(console: &str) -> Vec<HostKey> {
    const BEGIN: &str = "-----BEGIN SSH HOST KEY KEYS-----";
    const END: &str = "-----END SSH HOST KEY KEYS-----";
    let Some((_, after)) = console.rsplit_once(BEGIN) else { return Vec::new() };
    // Half a block may be all there is yet.
    let Some((block, _)) = after.split_once(END) else { return Vec::new() };
    block.lines().filter_map(|line| HostKey::parse(line.trim())).collect()
}

/// Holds the pinned host key against those that a console shows.
pub(crate) fn verify_host_key(machine: &Machine, console: &str) -> Result<(), Error> {
    let shown = shown_keys(console);
    match machine.0.known_host.get() {
        Some(pinned) if !shown.is_empty() && !shown.contains(&pinned) => {
            Err(Error::new(ErrorKind::HostKey, format!("trust the connection to {machine}"))
                .because(format!(
                    "it answers with {}, which is not among the keys on its console",
                    pinned.fingerprint()
                ))
                .advise("somebody may be in between; `host_keys = \"console\"` finds out before the first command"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_keys_are_read_off_the_last_whole_block() {
        let key = |id: &str| {
            format!("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZ{id} root@h")
        };
        let block = |id: &str| {
            format!("-----BEGIN SSH HOST KEY KEYS-----\r\n{}\r\n-----END SSH HOST KEY KEYS-----\r\n", key(id))
        };
        let console = format!("boot\r\n{}again\r\n{}login:", block("I"), block("J"));
        assert_eq!(shown_keys(&console), vec![HostKey::parse(&key("J")).unwrap()]);
        assert_eq!(shown_keys("-----BEGIN SSH HOST KEY KEYS-----\nssh-ed25519 AAAA"), vec![]);
        assert_eq!(shown_keys(""), vec![]);
    }
}
