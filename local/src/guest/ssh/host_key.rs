//! The host's key pair: made at first boot, kept over reboots.

use crate::guest::root::Root;
use russh::keys::{
    HashAlg, PrivateKey,
    ssh_key::{
        LineEnding,
        private::{Ed25519Keypair, KeypairData},
    },
};
use std::io;

const PATH: &str = "/etc/ssh/ssh_host_ed25519_key";

/// The host's key.
#[derive(Clone)]
pub struct HostKey(PrivateKey);

impl HostKey {
    /// Reads the key, or makes one where there is none or, at a first boot, the image brought another machine's.
    pub fn load_or_generate(root: &Root, hostname: &str, first_boot: bool) -> io::Result<Self> {
        if !first_boot && root.path(PATH).exists() {
            let text = std::fs::read_to_string(root.path(PATH))?;
            return PrivateKey::from_openssh(text).map(Self).map_err(io::Error::other);
        }
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(io::Error::other)?;
        let pair = KeypairData::from(Ed25519Keypair::from_seed(&seed));
        let key = PrivateKey::new(pair, format!("root@{hostname}")).map_err(io::Error::other)?;
        let private = key.to_openssh(LineEnding::LF).map_err(io::Error::other)?;
        root.write(PATH, private.as_bytes(), 0o600)?;
        let key = Self(key);
        root.write(format!("{PATH}.pub"), format!("{}\n", key.public_line()), 0o644)?;
        Ok(key)
    }

    /// The key itself.
    pub fn private(&self) -> &PrivateKey {
        &self.0
    }

    /// The public key as the file `ssh_host_ed25519_key.pub` holds it.
    pub fn public_line(&self) -> String {
        // Writing a key of 32 bytes that was made from its own parts has nothing to fail on.
        self.0.public_key().to_openssh().unwrap_or_default()
    }

    /// The line that `ssh-keygen -l` prints.
    pub fn fingerprint_line(&self) -> String {
        let fingerprint = self.0.public_key().fingerprint(HashAlg::Sha256);
        format!("256 {fingerprint} {} (ED25519)", self.0.public_key().comment().as_str_lossy())
    }
}
