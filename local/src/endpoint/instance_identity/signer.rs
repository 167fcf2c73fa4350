//! The key that identity documents are signed with, its certificate, and the forms of a signature.

use super::der::{algorithm, bit_string, context_0, identifier, integer, octet_string, sequence, set, text, time};
use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der},
    error::{KeyRejected, Unspecified},
    rand::SystemRandom,
    rsa::{KeyPair, KeySize},
    signature::{KeyPair as _, RSA_PKCS1_SHA256},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use std::io;
use time::{Duration, OffsetDateTime};

// Source of the numbers: RFC 8017, RFC 5754, RFC 5652 and X.520.
const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1];
const RSA_WITH_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 11];
const SHA256: &[u8] = &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1];
const DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 1];
const SIGNED_DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 2];
const COMMON_NAME: &[u8] = &[0x55, 4, 3];

/// Whose certificate it is.
const NAME: &str = "ec2-local instance identity";

/// For how long the certificate says that it is good.
const LIFETIME: Duration = Duration::days(20 * 365);

const KEY: &str = "PRIVATE KEY";
const CERTIFICATE: &str = "CERTIFICATE";

/// The key, and its certificate.
pub(super) struct Signer {
    key: KeyPair,
    serial: Vec<u8>,
    certificate: Vec<u8>,
}

impl Signer {
    /// A new key, and a certificate of it.
    pub(super) fn generate(now: OffsetDateTime) -> io::Result<Self> {
        let key = KeyPair::generate(KeySize::Rsa2048).map_err(no_key)?;
        let mut serial = [0; 16];
        getrandom::fill(&mut serial).map_err(io::Error::other)?;
        // As it is written it has its own length.
        serial[0] = serial[0] & 0x7f | 0x40;
        let certificate = certificate(&key, &serial, now)?;
        Ok(Self { key, serial: serial.to_vec(), certificate })
    }

    /// As text, to be kept secret.
    pub(super) fn to_text(&self) -> io::Result<String> {
        let key = AsDer::<Pkcs8V1Der<'_>>::as_der(&self.key).map_err(no_key)?;
        Ok(format!("{}{}serial {}\n", pem(KEY, key.as_ref()), self.certificate(), hex::encode(&self.serial)))
    }

    /// As it was written.
    pub(super) fn from_text(written: &str) -> io::Result<Self> {
        let wrong = |what: &str| io::Error::new(io::ErrorKind::InvalidData, format!("there is no {what} in it"));
        let key = un_pem(KEY, written).ok_or_else(|| wrong("key"))?;
        let serial = written.lines().find_map(|line| line.strip_prefix("serial ")).ok_or_else(|| wrong("serial"))?;
        Ok(Self {
            key: KeyPair::from_pkcs8(&key).map_err(|error: KeyRejected| io::Error::other(error.to_string()))?,
            serial: hex::decode(serial).map_err(io::Error::other)?,
            certificate: un_pem(CERTIFICATE, written).ok_or_else(|| wrong("certificate"))?,
        })
    }

    /// The certificate, in PEM.
    pub(super) fn certificate(&self) -> String {
        pem(CERTIFICATE, &self.certificate)
    }

    /// A signature alone, in base64.
    pub(super) fn signature(&self, document: &[u8]) -> io::Result<String> {
        Ok(lines(&sign(&self.key, document)?))
    }

    /// The document with its signature, as PKCS #7 has it, in base64 (RFC 5652, 5).
    pub(super) fn signed(&self, document: &[u8]) -> io::Result<String> {
        let one = integer(&[1]);
        let issuer = sequence(&[&name(), &integer(&self.serial)]);
        let signature = octet_string(&sign(&self.key, document)?);
        let signer = sequence(&[&one, &issuer, &algorithm(SHA256), &algorithm(RSA), &signature]);
        let content = sequence(&[&identifier(DATA), &context_0(&octet_string(document))]);
        let signed = sequence(&[&one, &set(&algorithm(SHA256)), &content, &set(&signer)]);
        Ok(lines(&sequence(&[&identifier(SIGNED_DATA), &context_0(&signed)])))
    }
}

fn no_key(error: Unspecified) -> io::Error {
    io::Error::other(format!("the key can't be used: {error}"))
}

fn sign(key: &KeyPair, bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut signature = vec![0; key.public_modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), bytes, &mut signature).map_err(no_key)?;
    Ok(signature)
}

fn name() -> Vec<u8> {
    sequence(&[&set(&sequence(&[&identifier(COMMON_NAME), &text(NAME)]))])
}

/// A certificate that is signed by its own key, of version 1: it has no extensions (RFC 5280, 4.1).
fn certificate(key: &KeyPair, serial: &[u8], now: OffsetDateTime) -> io::Result<Vec<u8>> {
    let public = AsDer::<PublicKeyX509Der<'_>>::as_der(key.public_key()).map_err(no_key)?;
    // A host's clock may be behind.
    let validity = sequence(&[&time(now - Duration::DAY), &time(now + LIFETIME)]);
    let method = algorithm(RSA_WITH_SHA256);
    let said = sequence(&[&integer(serial), &method, &name(), &validity, &name(), public.as_ref()]);
    Ok(sequence(&[&said, &method, &bit_string(&sign(key, &said)?)]))
}

/// Base64 in lines of 64 letters, without an end to the last.
fn lines(bytes: &[u8]) -> String {
    let text = BASE64_STANDARD.encode(bytes);
    let lines: Vec<&str> = (0..text.len()).step_by(64).filter_map(|at| text.get(at..text.len().min(at + 64))).collect();
    lines.join("\n")
}

fn pem(label: &str, bytes: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines(bytes))
}

fn un_pem(label: &str, written: &str) -> Option<Vec<u8>> {
    let (_, rest) = written.split_once(&format!("-----BEGIN {label}-----\n"))?;
    let (text, _) = rest.split_once(&format!("\n-----END {label}-----"))?;
    BASE64_STANDARD.decode(text.replace('\n', "")).ok()
}
