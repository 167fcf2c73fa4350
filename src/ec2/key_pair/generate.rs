//! Keys that are made here: their private halves are never anywhere else.

use crate::{
    config::KeyType,
    error::{Error, ErrorKind},
};
use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der},
    rsa::{KeyPair, KeySize},
    signature::KeyPair as _,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use std::io;

/// The width of a line of PEM (RFC 7468).
const LINE: usize = 64;
const BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const END: &str = "-----END PRIVATE KEY-----";

/// A new private key, as text: in OpenSSH's format, or, of RSA with 3,072 bits, in PEM.
pub(in crate::ec2) fn private_key(key_type: KeyType) -> io::Result<String> {
    match key_type {
        KeyType::Ed25519 => ssh_key::PrivateKey::random(&mut ssh_key::rand_core::OsRng, ssh_key::Algorithm::Ed25519)
            .and_then(|key| key.to_openssh(ssh_key::LineEnding::LF))
            .map(|text| text.to_string())
            .map_err(io::Error::other),
        KeyType::Rsa => {
            let key = KeyPair::generate(KeySize::Rsa3072).map_err(io::Error::other)?;
            let der: Pkcs8V1Der<'_> = key.as_der().map_err(io::Error::other)?;
            let encoded = STANDARD.encode(der.as_ref());
            let lines: Vec<&str> =
                encoded.as_bytes().chunks(LINE).filter_map(|line| std::str::from_utf8(line).ok()).collect();
            Ok(format!("{BEGIN}\n{}\n{END}\n", lines.join("\n")))
        }
    }
}

/// The public half of a key that was made here, as `authorized_keys` has it.
pub(in crate::ec2) fn public_key(private: &str) -> Result<String, Error> {
    let failed = || Error::new(ErrorKind::Internal, "read a key that was made here");
    if !private.starts_with(BEGIN) {
        let key = ssh_key::PrivateKey::from_openssh(private).and_then(|key| key.public_key().to_openssh());
        return key.map_err(|e| failed().caused_by(e));
    }
    let encoded: String = private.lines().filter(|line| !line.starts_with('-')).collect();
    let der = STANDARD.decode(encoded).map_err(|e| failed().caused_by(e))?;
    let key = KeyPair::from_pkcs8(&der).map_err(|e| failed().because(e.to_string()))?;
    let (modulus, exponent) = integers(key.public_key().as_ref()).ok_or_else(failed)?;
    // RFC 4253, section 6.6: its integers are those of DER.
    let mut blob = Vec::new();
    for part in [&b"ssh-rsa"[..], exponent, modulus] {
        blob.extend(u32::try_from(part.len()).map_err(|e| failed().caused_by(e))?.to_be_bytes());
        blob.extend(part);
    }
    Ok(format!("ssh-rsa {}", STANDARD.encode(blob)))
}

/// The two integers of an RSAPublicKey (RFC 8017, appendix A.1.1).
fn integers(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (sequence, _) = element(der, 0x30)?;
    let (modulus, rest) = element(sequence, 0x02)?;
    Some((modulus, element(rest, 0x02)?.0))
}

/// The content of the first element, and what comes after it.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (length, rest) = match der.strip_prefix(&[tag])? {
        [short @ 0..=0x7f, rest @ ..] => (usize::from(*short), rest),
        [long, rest @ ..] => {
            let (bytes, rest) = rest.split_at_checked(usize::from(long & 0x7f))?;
            (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
        }
        [] => return None,
    };
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ssh::PrivateKey;
    use std::process::Command;

    #[test]
    fn ssh_keygen_takes_them_for_what_they_are() {
        if Command::new("ssh-keygen").arg("-?").output().is_err() {
            assert!(std::env::var_os("EC2_HARNESS_NO_SKIP").is_none(), "ssh-keygen is not installed");
            eprintln!("skipped: ssh-keygen is not installed");
            return;
        }
        for (key_type, name) in [(KeyType::Ed25519, "ssh-ed25519"), (KeyType::Rsa, "ssh-rsa")] {
            let text = private_key(key_type).unwrap();
            PrivateKey::from_text(text.clone()).unwrap();
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), &text).unwrap();
            let said = Command::new("ssh-keygen").arg("-y").arg("-f").arg(file.path()).output().unwrap();
            let said = String::from_utf8(said.stdout).unwrap();
            let public = public_key(&text).unwrap();
            let same = |text: &str| text.split(' ').take(2).map(str::trim).collect::<Vec<_>>().join(" ");
            assert_eq!(same(&said), same(&public));
            assert!(public.starts_with(name), "{public}");
        }
    }
}
