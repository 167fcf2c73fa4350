//! The host's key pairs, as a distribution's sshd has them: made once, kept on the disk, shown on the console.
//!
//! Those of Ed25519 and ECDSA are made at first boot. One of RSA takes as long as several boots, and few clients want it; so it is made when
//! the first one does, see [`greeting`](super::greeting), and then the console shows all of them again.

use crate::guest::{console::Console, root::Root};
use rand::{SeedableRng, rngs::StdRng};
use russh::keys::{
    Algorithm, EcdsaCurve, HashAlg, PrivateKey, decode_secret_key,
    ssh_key::{
        LineEnding,
        private::{EcdsaKeypair, EcdsaPrivateKey},
        public::{EcdsaPublicKey, KeyData},
    },
};
use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use time::{OffsetDateTime, macros::format_description};
use tokio::sync::OnceCell;

/// As sshd calls the kinds in its files' names.
const ED25519: &str = "ed25519";
const ECDSA: &str = "ecdsa";
const RSA: &str = "rsa";

/// The host's keys; cheap to clone.
#[derive(Clone)]
pub struct HostKeys(Arc<Keys>);

struct Keys {
    root: Root,
    comment: String,
    console: Console,
    made: Vec<PrivateKey>,
    rsa: OnceCell<PrivateKey>,
    is_shown: AtomicBool,
    /// Whether the console tells already that the last key can't be had.
    is_missed: AtomicBool,
}

impl HostKeys {
    /// Reads the keys, or makes them where there are none or, at a first boot, the image brought another machine's.
    pub fn load_or_generate(root: &Root, hostname: &str, console: Console, first_boot: bool) -> io::Result<Self> {
        if first_boot {
            for path in [path(RSA), path(RSA) + ".pub"] {
                root.remove(&path)?;
            }
        }
        let comment = format!("root@{hostname}");
        let key = |kind: &str| match load(root, kind)?.filter(|_| !first_boot) {
            Some(key) => Ok(key),
            None => make_and_keep(root, kind, &comment, &console),
        };
        // One that can't be had is no reason to keep everybody out.
        let had = |kind: &&str| key(kind).map_err(|error| unmade(&console, kind, &error)).ok();
        let made: Vec<PrivateKey> = [ECDSA, ED25519].iter().filter_map(had).collect();
        if made.is_empty() {
            return Err(io::Error::other("there is no host key: the console says why"));
        }
        let (rsa, is_shown, is_missed) = (OnceCell::new(), AtomicBool::new(!first_boot), AtomicBool::new(false));
        Ok(Self(Arc::new(Keys { root: root.clone(), comment, console, made, rsa, is_shown, is_missed })))
    }

    /// Those that there are.
    pub fn made(&self) -> Vec<PrivateKey> {
        self.0.made.iter().chain(self.0.rsa.get()).cloned().collect()
    }

    /// All of them, as far as they can be had. Others are served while the last is made.
    pub async fn all(&self) -> Vec<PrivateKey> {
        if let Err(error) = self.make_last().await
            && !self.0.is_missed.swap(true, Ordering::Relaxed)
        {
            unmade(&self.0.console, RSA, &error);
        }
        self.made()
    }

    async fn make_last(&self) -> io::Result<()> {
        let keys = self.0.clone();
        let load_or_make = move || -> io::Result<_> {
            Ok(match load(&keys.root, RSA)? {
                Some(key) => (key, false),
                None => (make_and_keep(&keys.root, RSA, &keys.comment, &keys.console)?, true),
            })
        };
        let mut is_new = false;
        let made = self.0.rsa.get_or_try_init(|| async {
            let (key, new) = tokio::task::spawn_blocking(load_or_make).await.map_err(io::Error::other)??;
            is_new = new;
            Ok::<_, io::Error>(key)
        });
        made.await?;
        // Before any client sees it.
        if is_new && self.0.is_shown.load(Ordering::Relaxed) {
            self.show();
        }
        Ok(())
    }

    /// Prints the keys and their fingerprints on the console, as cloud-init does.
    pub fn show(&self) {
        const RULE: &str = "#############################################################";
        self.0.is_shown.store(true, Ordering::Relaxed);
        let stamp = OffsetDateTime::now_utc()
            .format(format_description!("[month repr:short] [day padding:space] [hour]:[minute]:[second]"))
            .unwrap_or_default();
        let keys = self.made();
        let mut text = String::new();
        let mut line = |line: &str| text.extend([line, "\n"]);
        let mut stamped = |what: &str| line(&format!("<14>{stamp} ec2: {what}"));
        stamped(RULE);
        stamped("-----BEGIN SSH HOST KEY FINGERPRINTS-----");
        keys.iter().for_each(|key| stamped(&fingerprint_line(key)));
        stamped("-----END SSH HOST KEY FINGERPRINTS-----");
        stamped(RULE);
        line("-----BEGIN SSH HOST KEY KEYS-----");
        keys.iter().for_each(|key| line(&public_line(key)));
        line("-----END SSH HOST KEY KEYS-----");
        // At once: nothing else stands between.
        self.0.console.output(text.as_bytes());
    }
}

fn unmade(console: &Console, kind: &str, error: &io::Error) {
    console.log("WARNING", &format!("failed to have the host key {}: {error}; clients do without", path(kind)));
}

fn unkept(console: &Console, kind: &str, error: &io::Error) {
    console
        .log("WARNING", &format!("failed to keep the host key {}: {error}; the next boot makes another", path(kind)));
}

fn path(kind: &str) -> String {
    format!("/etc/ssh/ssh_host_{kind}_key")
}

fn load(root: &Root, kind: &str) -> io::Result<Option<PrivateKey>> {
    match root.read(path(kind)) {
        Ok(text) => PrivateKey::from_openssh(text).map(Some).map_err(io::Error::other),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// One that can't be kept, since the disk is full, serves until the next boot: making one for each client would take all the machine's time.
fn make_and_keep(root: &Root, kind: &str, comment: &str, console: &Console) -> io::Result<PrivateKey> {
    let key = make(kind, comment)?;
    keep(root, kind, &key).unwrap_or_else(|error| unkept(console, kind, &error));
    Ok(key)
}

fn make(kind: &str, comment: &str) -> io::Result<PrivateKey> {
    let mut key = match kind {
        RSA => make_rsa()?,
        ECDSA => make_ecdsa()?,
        _ => {
            let mut seed = [0; 32];
            getrandom::fill(&mut seed).map_err(io::Error::other)?;
            PrivateKey::random(&mut StdRng::from_seed(seed), Algorithm::Ed25519).map_err(io::Error::other)?
        }
    };
    key.set_comment(comment);
    Ok(key)
}

/// On NIST's curve P-256, as ssh-keygen's. The library that else has our keys takes a tenth of a boot where it isn't optimized. This one doesn't, as
/// long as it isn't asked for randomness, which it gathers for longer than that.
fn make_ecdsa() -> io::Result<PrivateKey> {
    use aws_lc_rs::agreement::{self, ECDH_P256};
    let failed = || io::Error::other("make an ECDSA key: there is no number for it");
    let (private, made) = (0..8)
        .find_map(|_| {
            let mut private = [0; 32];
            getrandom::fill(&mut private).ok()?;
            // Next to all numbers are keys.
            agreement::PrivateKey::from_private_key(&ECDH_P256, &private).ok().map(|made| (private, made))
        })
        .ok_or_else(failed)?;
    let public = made.compute_public_key().map_err(|_| failed())?;
    match EcdsaPublicKey::from_sec1_bytes(public.as_ref()).map_err(io::Error::other)? {
        EcdsaPublicKey::NistP256(public) => {
            Ok(PrivateKey::from(EcdsaKeypair::NistP256 { public, private: EcdsaPrivateKey::from(private) }))
        }
        _ => Err(failed()),
    }
}

/// Of 3072 bits, as ssh-keygen's. The library for RSA takes minutes where it isn't optimized; this one is, always.
fn make_rsa() -> io::Result<PrivateKey> {
    use aws_lc_rs::{
        encoding::{AsDer, Pkcs8V1Der},
        rsa::{KeyPair, KeySize},
    };
    use base64::{Engine, engine::general_purpose::STANDARD};
    let failed = |_| io::Error::other("make an RSA key: there is no randomness, or no memory");
    let der: Pkcs8V1Der = KeyPair::generate(KeySize::Rsa3072).map_err(failed)?.as_der().map_err(failed)?;
    let text = STANDARD.encode(der.as_ref());
    let lines: String = text.as_bytes().chunks(64).map(|line| String::from_utf8_lossy(line) + "\n").collect();
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{lines}-----END PRIVATE KEY-----\n");
    decode_secret_key(&pem, None).map_err(io::Error::other)
}

fn keep(root: &Root, kind: &str, key: &PrivateKey) -> io::Result<()> {
    let private = key.to_openssh(LineEnding::LF).map_err(io::Error::other)?;
    root.write(path(kind), private.as_bytes(), 0o600)?;
    root.write(path(kind) + ".pub", format!("{}\n", public_line(key)), 0o644)
}

/// The public key as its file holds it.
fn public_line(key: &PrivateKey) -> String {
    // Writing a key that was made from its own parts has nothing to fail on.
    key.public_key().to_openssh().unwrap_or_default()
}

/// The line that `ssh-keygen -l` prints.
fn fingerprint_line(key: &PrivateKey) -> String {
    let public = key.public_key();
    let (bits, kind) = match public.key_data() {
        KeyData::Rsa(key) => (key.key_size(), "RSA"),
        KeyData::Ecdsa(key) => match key.curve() {
            EcdsaCurve::NistP256 => (256, "ECDSA"),
            EcdsaCurve::NistP384 => (384, "ECDSA"),
            EcdsaCurve::NistP521 => (521, "ECDSA"),
        },
        _ => (256, "ED25519"),
    };
    format!("{bits} {} {} ({kind})", public.fingerprint(HashAlg::Sha256), public.comment().as_str_lossy())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_tell_the_size_of_the_key() {
        for (curve, bits) in
            [(EcdsaCurve::NistP256, "256 "), (EcdsaCurve::NistP384, "384 "), (EcdsaCurve::NistP521, "521 ")]
        {
            let key = PrivateKey::random(&mut StdRng::from_seed([7; 32]), Algorithm::Ecdsa { curve }).unwrap();
            assert!(fingerprint_line(&key).starts_with(bits));
        }
        assert!(fingerprint_line(&make(RSA, "").unwrap()).starts_with("3072 "));
        let made = make(ECDSA, "").unwrap();
        assert!(fingerprint_line(&made).starts_with("256 "));
        let signature = made.sign("test", HashAlg::Sha256, b"message").unwrap();
        made.public_key().verify("test", b"message", &signature).unwrap();
    }
}
