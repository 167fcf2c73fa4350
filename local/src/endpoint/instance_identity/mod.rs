//! What proves an instance identity document: signatures of it, by a key and a certificate of the state directory's own, which are made
//! when they are asked for first.
//!
//! AWS signs with one key for each form and region, and `pkcs7` by DSA, which nobody should have to trust any more. Here it is
//! one RSA key of 2048 bits for all of them, so that `pkcs7` and `rsa2048` are the same.
//! Source: <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instance-identity-documents.html>.

mod der;
mod signer;

use super::{EndpointError, StateDirectory, state::failed};
use signer::Signer;
use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read, Write},
    os::unix::fs::MetadataExt,
    path::Path,
    sync::{Mutex, PoisonError},
};
use time::OffsetDateTime;

/// The key and its certificate, in the state directory.
pub(super) const FILE: &str = "instance-identity";
/// The same until it is whole.
pub(super) const DRAFT: &str = ".instance-identity.new";

/// The longest such file that is read.
const LONGEST: u64 = 16 * 1024;

/// How many documents' proofs are remembered; machines ask for the same ones again.
const REMEMBERED: usize = 1024;

/// Paths below `/latest/`, and their contents.
type Leaves = Vec<(String, String)>;

/// Proves documents.
pub(super) struct InstanceIdentity {
    state: StateDirectory,
    signer: Mutex<Option<Signer>>,
    known: Mutex<BTreeMap<String, Leaves>>,
}

impl InstanceIdentity {
    pub(super) fn new(state: &StateDirectory) -> Self {
        Self { state: state.clone(), signer: Mutex::new(None), known: Mutex::default() }
    }

    /// What stands beside a document; nothing where there is no key, of which the log says why.
    pub(super) fn prove(&self, document: &str) -> Leaves {
        if let Some(leaves) = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(document) {
            return leaves.clone();
        }
        let leaves = self.sign(document).unwrap_or_else(|error| {
            tracing::warn!("failed to sign an instance identity document: {error}");
            Vec::new()
        });
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= REMEMBERED {
            known.clear();
        }
        if !leaves.is_empty() {
            known.insert(document.to_owned(), leaves.clone());
        }
        leaves
    }

    fn sign(&self, document: &str) -> Result<Leaves, EndpointError> {
        let mut held = self.signer.lock().unwrap_or_else(PoisonError::into_inner);
        let signer = match &mut *held {
            Some(signer) => signer,
            none => none.insert(of_state(&self.state)?),
        };
        let path = self.state.path().join(FILE);
        let (bytes, wrong) = (document.as_bytes(), || failed("sign with", &path));
        let signed = signer.signed(bytes).map_err(wrong())?;
        let signature = signer.signature(bytes).map_err(wrong())?;
        let leaf = |name: &str, content| (format!("dynamic/instance-identity/{name}"), content);
        Ok(vec![leaf("pkcs7", signed.clone()), leaf("rsa2048", signed), leaf("signature", signature)])
    }
}

impl StateDirectory {
    /// The certificate, in PEM, of the key that instance identity documents are signed with; both are made if there are none yet.
    ///
    /// # Errors
    ///
    /// They can't be read or written, or others may read them.
    pub fn identity_certificate(&self) -> Result<String, EndpointError> {
        Ok(of_state(self)?.certificate())
    }
}

fn of_state(state: &StateDirectory) -> Result<Signer, EndpointError> {
    let (directory, path) = (state.open()?, state.path().join(FILE));
    if let Some(file) = directory.file(FILE)? {
        return read(file, &path);
    }
    // Of two that would make one, the second reads what the first has made.
    let _lock = state.lock()?;
    if let Some(file) = directory.file(FILE)? {
        return read(file, &path);
    }
    make(state, &path)
}

fn make(state: &StateDirectory, path: &Path) -> Result<Signer, EndpointError> {
    let directory = state.open()?;
    let signer = Signer::generate(OffsetDateTime::now_utc()).map_err(failed("make", path))?;
    let text = signer.to_text().map_err(failed("make", path))?;
    directory.remove_file(DRAFT)?;
    let mut file = directory.new_file(DRAFT)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed("write", path))?;
    directory.rename(DRAFT, FILE)?;
    Ok(signer)
}

fn read(mut file: File, path: &Path) -> Result<Signer, EndpointError> {
    let mode = file.metadata().map_err(failed("look at", path))?.mode();
    if mode & 0o077 != 0 {
        let reason = format!("its mode is {:04o} (chmod 0600)", mode & 0o7777);
        return Err(EndpointError::UnsafeStateDirectory { path: path.to_owned(), reason });
    }
    let mut text = String::new();
    Read::by_ref(&mut file).take(LONGEST).read_to_string(&mut text).map_err(failed("read", path))?;
    Signer::from_text(&text)
        .map_err(|error| io::Error::new(error.kind(), format!("{error}; remove it, and a new one will be made")))
        .map_err(failed("read", path))
}

#[cfg(test)]
mod tests;
