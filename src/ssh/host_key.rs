//! Host keys: which one a machine has, and which one it must have.

use base64::{Engine as _, engine::general_purpose::STANDARD, engine::general_purpose::STANDARD_NO_PAD};
use ssh_key::sha2::{Digest, Sha256};
use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

/// The public key of a machine's SSH server; equal if the keys are.
#[derive(Clone, PartialEq, Eq)]
pub struct HostKey(Vec<u8>);

impl HostKey {
    pub(super) fn from_blob(blob: &[u8]) -> Self {
        Self(blob.to_vec())
    }

    /// Parses a line as in a console's `SSH HOST KEY KEYS` or an `ssh-keyscan`: `[host] type base64 [comment]`.
    pub fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace().skip_while(|word| !is_algorithm(word));
        let algorithm = words.next()?;
        let key = Self(STANDARD.decode(words.next()?).ok()?);
        (key.algorithm() == algorithm).then_some(key)
    }

    /// The type, for example `ssh-ed25519`.
    pub fn algorithm(&self) -> &str {
        // A public key starts with its type as a string (RFC 4253, section 6.6).
        let length = self.0.first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes) as usize);
        self.0
            .get(4..)
            .and_then(|rest| rest.get(..length))
            .and_then(|name| std::str::from_utf8(name).ok())
            .unwrap_or("")
    }

    /// `SHA256:…`, as `ssh-keygen -l` shows it.
    pub fn fingerprint(&self) -> String {
        fingerprint(&self.0)
    }
}

/// `type base64`, as in a known_hosts file.
impl fmt::Display for HostKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.algorithm(), STANDARD.encode(&self.0))
    }
}

impl fmt::Debug for HostKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HostKey({} {})", self.algorithm(), self.fingerprint())
    }
}

pub(super) fn fingerprint(blob: &[u8]) -> String {
    format!("SHA256:{}", STANDARD_NO_PAD.encode(Sha256::digest(blob)))
}

fn is_algorithm(word: &str) -> bool {
    word.starts_with("ssh-") || word.starts_with("ecdsa-sha2-")
}

/// What is known about one machine's host key. A shared cell: keep a clone of it to read or forget the key.
#[derive(Clone, Debug, Default)]
pub struct KnownHost(Arc<Mutex<Option<HostKey>>>);

impl KnownHost {
    /// The key that was pinned when the machine first accepted our login; none before.
    pub fn get(&self) -> Option<HostKey> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Unpins the key, for a machine that gets new ones.
    pub fn forget(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Pins a key, unless there is one; says whether it is the pinned one.
    fn pin(&self, key: &HostKey) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| key.clone()) == key
    }
}

/// Which host key a machine must show; checked before we authenticate.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum HostKeyPolicy {
    /// Any key at first; it is pinned when the machine accepts our login, and from then on must be the same.
    AcceptFirst(KnownHost),
    /// One of these, for example those that the machine printed on its console. None accepts nothing.
    Expect(Vec<HostKey>),
}

impl HostKeyPolicy {
    /// The keys that would be accepted; none if any would.
    pub(super) fn expected(&self) -> Option<Vec<HostKey>> {
        match self {
            Self::AcceptFirst(known) => known.get().map(|key| vec![key]),
            Self::Expect(keys) => Some(keys.clone()),
        }
    }

    /// Pins the key after a successful login; false if another connection has pinned another key meanwhile.
    pub(super) fn accept(&self, key: &HostKey) -> bool {
        match self {
            Self::AcceptFirst(known) => known.pin(key),
            Self::Expect(_) => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ root@ip-10-0-0-1";

    #[test]
    fn a_line_is_read_and_written() {
        let key = HostKey::parse(LINE).unwrap();
        assert_eq!(key.algorithm(), "ssh-ed25519");
        assert_eq!(format!("{key} root@ip-10-0-0-1"), LINE);
        assert_eq!(HostKey::parse(&format!("10.0.0.1 {LINE}")), Some(key));
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for line in ["", "ssh-ed25519", "ssh-ed25519 !", "ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIA==", "ssh-ed25519 AAAA"] {
            assert_eq!(HostKey::parse(line), None, "{line}");
        }
    }

    #[test]
    fn the_first_key_is_pinned_until_forgotten() {
        let (first, second) = (HostKey::parse(LINE).unwrap(), HostKey(vec![0, 0, 0, 1, b'x']));
        let known = KnownHost::default();
        let policy = HostKeyPolicy::AcceptFirst(known.clone());
        assert_eq!(policy.expected(), None);
        assert!(policy.accept(&first));
        assert!(!policy.accept(&second));
        assert_eq!(known.get(), Some(first));
        known.forget();
        assert!(policy.accept(&second));
    }
}
