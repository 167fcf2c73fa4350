//! Private keys to log in with.

use crate::error::{Error, ErrorKind};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use std::{fmt, path::Path, sync::Arc};

/// A private key in memory, in OpenSSH's or PEM format, which `Debug` hides; or one that an SSH agent has.
///
/// ed25519, ECDSA and RSA (with SHA-2 signatures) work; those that EC2 makes are PEM (RSA) or OpenSSH (ed25519).
#[derive(Clone)]
pub struct PrivateKey(Arc<Inner>);

struct Inner {
    /// Empty where the agent has it.
    text: String,
    /// Its public half, where the agent has the private one.
    in_agent: Option<Vec<u8>>,
    passphrase: Option<String>,
    fingerprint: Option<String>,
}

impl PrivateKey {
    /// Takes the text of a key file.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`] if it isn't a private key at all; whether it can be used shows when connecting.
    pub fn from_text(text: impl Into<String>) -> Result<Self, Error> {
        Self::read(text.into(), "the text")
    }

    /// A key that an SSH agent has (`SSH_AUTH_SOCK`), by its public half, as `authorized_keys` has it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`] if it isn't a public key; whether the agent has it shows when connecting.
    pub fn in_agent(public: &str) -> Result<Self, Error> {
        let mut words = public.split_whitespace();
        let blob = words.nth(1).and_then(|encoded| STANDARD.decode(encoded).ok());
        let Some(blob) = blob.filter(|blob| !blob.is_empty()) else {
            return Err(Error::new(ErrorKind::Configuration, "read a public key")
                .because("it doesn't look like `ssh-ed25519 AAAA…`")
                .advise("give the text of a file such as ~/.ssh/id_ed25519.pub"));
        };
        let fingerprint = Some(super::host_key::fingerprint(&blob));
        Ok(Self(Arc::new(Inner { text: String::new(), in_agent: Some(blob), passphrase: None, fingerprint })))
    }

    /// Reads a key file. One that ends in `.pub` is a public key, whose private half an SSH agent has.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`] if it can't be read, or isn't a private key.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let text = std::fs::read_to_string(path).map_err(|source| {
            Error::new(ErrorKind::Configuration, format!("read the private key {}", path.display())).caused_by(source)
        })?;
        if path.extension().is_some_and(|extension| extension == "pub") {
            return Self::in_agent(&text).map_err(|error| error.while_trying(&format!("use {}", path.display())));
        }
        Self::read(text, &path.display().to_string())
    }

    fn read(mut text: String, from: &str) -> Result<Self, Error> {
        let is_private = text.lines().any(|line| line.starts_with("-----BEGIN ") && line.contains("PRIVATE KEY-----"));
        if !is_private || text.contains('\0') {
            let what =
                if text.starts_with("ssh-") { "it is a public key" } else { "it has no `BEGIN … PRIVATE KEY` line" };
            return Err(Error::new(ErrorKind::Configuration, format!("read a private key from {from}"))
                .because(what)
                .advise("give a key in OpenSSH or PEM format, such as `ssh-keygen -t ed25519` makes"));
        }
        // libssh2 wants the last line ended.
        if !text.ends_with('\n') {
            text.push('\n');
        }
        let fingerprint = public_blob(&text).map(|blob| super::host_key::fingerprint(&blob));
        Ok(Self(Arc::new(Inner { text, in_agent: None, passphrase: None, fingerprint })))
    }

    /// The passphrase that the key is encrypted with; none by default.
    #[must_use]
    pub fn passphrase(self, passphrase: impl Into<String>) -> Self {
        let inner = Inner {
            text: self.0.text.clone(),
            in_agent: self.0.in_agent.clone(),
            passphrase: Some(passphrase.into()),
            fingerprint: self.0.fingerprint.clone(),
        };
        Self(Arc::new(inner))
    }

    /// `SHA256:…` of its public key; none for PEM, where the public key isn't written down.
    pub fn fingerprint(&self) -> Option<&str> {
        self.0.fingerprint.as_deref()
    }

    /// The public key as `authorized_keys` has it behind its type; none for PEM, where it isn't written down.
    pub(crate) fn public_text(&self) -> Option<String> {
        public_blob(self.text()).map(|blob| STANDARD.encode(blob))
    }

    /// Whether it is an Ed25519 key, as far as that is written down.
    pub(crate) fn is_ed25519(&self) -> bool {
        let public = self.agents().map(<[u8]>::to_vec).or_else(|| public_blob(self.text()));
        public.is_some_and(|blob| blob.get(4..).is_some_and(|rest| rest.starts_with(b"ssh-ed25519")))
    }

    pub(super) fn text(&self) -> &str {
        &self.0.text
    }

    /// Its public half, where an agent has the private one.
    pub(super) fn agents(&self) -> Option<&[u8]> {
        self.0.in_agent.as_deref()
    }

    pub(super) fn secret(&self) -> Option<&str> {
        self.0.passphrase.as_deref()
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey({})", self.fingerprint().unwrap_or("PEM"))
    }
}

/// The public key within OpenSSH's format (its PROTOCOL.key): magic, three strings, a count, then public keys.
fn public_blob(text: &str) -> Option<Vec<u8>> {
    let body: String = text
        .lines()
        .skip_while(|line| !line.starts_with("-----BEGIN OPENSSH PRIVATE KEY"))
        .skip(1)
        .take_while(|line| !line.starts_with("-----END"))
        .map(str::trim)
        .collect();
    let bytes = STANDARD.decode(body).ok()?;
    let mut rest = bytes.strip_prefix(b"openssh-key-v1\0")?;
    let mut string = || {
        let (length, after) = rest.split_first_chunk::<4>()?;
        let (string, after) = after.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        rest = after;
        Some(string.to_vec())
    };
    let (_cipher, _derivation, _options) = (string()?, string()?, string()?);
    rest = rest.get(4..)?;
    let (length, after) = rest.split_first_chunk::<4>()?;
    after.get(..u32::from_be_bytes(*length) as usize).map(<[u8]>::to_vec)
}
