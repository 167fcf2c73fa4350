//! Temporary credentials, which an instance has by its role. They follow from one key of the account's, and their token says
//! whose they are and until when; so they are known again without being kept anywhere.

use super::Credentials;
use base64::{Engine, prelude::BASE64_STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;
use time::OffsetDateTime;

/// What access keys of temporary credentials begin with.
/// Source: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html>.
pub(super) const TEMPORARY: &str = "ASIA";

/// What the tokens of AWS begin with: in base64, `IQoJb3JpZ2luX2Vj`.
const START: &[u8] = b"!\n\torigin_ec";

/// How long the sum at a token's end is, in bytes.
const SUM: usize = 32;

/// Who has temporary credentials, and until when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Session {
    /// The name of the role.
    pub role: String,
    /// The name of the session: of an instance, its id.
    pub name: String,
    /// When they are no longer good, in seconds since 1970.
    pub until: i64,
}

impl Session {
    /// A session of a role.
    pub fn new(role: impl Into<String>, name: impl Into<String>, until: OffsetDateTime) -> Self {
        Self { role: role.into(), name: name.into(), until: until.unix_timestamp() }
    }

    /// Whether they are good no longer.
    pub(super) fn is_over(&self, now: OffsetDateTime) -> bool {
        self.until <= now.unix_timestamp()
    }
}

/// Temporary credentials, as a client has them.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionCredentials {
    /// `ASIA…`.
    pub access_key: String,
    /// The secret.
    pub secret: String,
    /// What must go with each request.
    pub token: String,
}

impl fmt::Debug for SessionCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionCredentials").field("access_key", &self.access_key).finish_non_exhaustive()
    }
}

/// The key that all temporary credentials of an account follow from.
#[derive(Clone)]
pub struct SessionKey([u8; 64]);

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SessionKey").finish_non_exhaustive()
    }
}

impl SessionKey {
    /// The key that follows from a seed that is kept secret.
    pub fn new(seed: &[u8]) -> Self {
        let half = |number: u8| Sha256::new().chain_update([number]).chain_update(seed).finalize();
        let mut key = [0; 64];
        key[..32].copy_from_slice(&half(1));
        key[32..].copy_from_slice(&half(2));
        Self(key)
    }

    /// The credentials of a session: the same each time.
    pub fn issue(&self, session: &Session) -> SessionCredentials {
        let said = [&session.until.to_string(), "/", &session.role, "/", &session.name].concat();
        let token = [START, said.as_bytes(), self.sum("token", &said).as_slice()].concat();
        SessionCredentials {
            access_key: format!("{TEMPORARY}{}", letters(&self.sum("access", &said), 16)),
            secret: BASE64_STANDARD.encode(&self.sum("secret", &said)[..30]),
            token: BASE64_STANDARD.encode(token),
        }
    }

    /// The session of an access key and its token; `None` where they aren't of this account, or not of each other.
    pub(super) fn find(&self, access_key: &str, token: &str) -> Option<(Session, Credentials)> {
        let bytes = BASE64_STANDARD.decode(token).ok()?;
        let said = bytes.strip_prefix(START)?;
        let (said, sum) = said.split_at_checked(said.len().checked_sub(SUM)?)?;
        let said = std::str::from_utf8(said).ok()?;
        // The comparison takes the same time wherever the first difference is.
        self.keyed("token", said).verify_slice(sum).ok()?;
        let mut parts = said.splitn(3, '/');
        let until = parts.next()?.parse().ok()?;
        let session = Session { until, role: parts.next()?.to_owned(), name: parts.next()?.to_owned() };
        let known = self.issue(&session);
        let credentials = Credentials::temporary(known.access_key, known.secret, token);
        credentials.is_of(access_key).then_some((session, credentials))
    }

    fn keyed(&self, label: &str, text: &str) -> Hmac<Sha256> {
        <Hmac<Sha256> as KeyInit>::new((&self.0).into()).chain_update(label).chain_update([0]).chain_update(text)
    }

    fn sum(&self, label: &str, text: &str) -> Vec<u8> {
        self.keyed(label, text).finalize().into_bytes().to_vec()
    }
}

/// The unique id of what IAM has of a name: `AROA…` of a role, `AIPA…` of an instance profile.
/// Source: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html>.
pub(crate) fn unique_id(prefix: &str, account: &str, name: &str) -> String {
    let hash = Sha256::new().chain_update(prefix).chain_update(account).chain_update([0]).chain_update(name).finalize();
    format!("{prefix}{}", letters(&hash, 17))
}

/// So many capital letters and digits, as ids of AWS's have them.
fn letters(bytes: &[u8], count: usize) -> String {
    const LETTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    bytes.iter().take(count).map(|byte| char::from(LETTERS[usize::from(byte % 32)])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session() -> Session {
        Session::new("web", "i-0123456789abcdef0", OffsetDateTime::UNIX_EPOCH + time::Duration::hours(6))
    }

    #[test]
    fn credentials_are_known_again_and_by_nobody_else() {
        let key = SessionKey::new(&[7; 32]);
        let issued = key.issue(&session());
        assert_eq!(issued, SessionKey::new(&[7; 32]).issue(&session()));
        assert!(issued.access_key.starts_with("ASIA") && issued.access_key.len() == 20, "{issued:?}");
        assert_eq!(issued.secret.len(), 40);
        assert!(issued.token.starts_with("IQoJb3JpZ2luX2Vj"), "{}", issued.token);
        let (found, _) = key.find(&issued.access_key, &issued.token).unwrap();
        assert_eq!(found, session());
        assert!(SessionKey::new(&[8; 32]).find(&issued.access_key, &issued.token).is_none());
        let other = key.issue(&Session { name: "i-0123456789abcdef1".to_owned(), ..session() });
        assert!(key.find(&issued.access_key, &other.token).is_none(), "the token is another one's");
        for token in ["", "x", &issued.token[..40], &issued.token.replace('A', "B"), &issued.token[4..]] {
            assert!(key.find(&issued.access_key, token).is_none(), "{token}");
        }
    }

    #[test]
    fn a_longer_life_is_nobodys() {
        let key = SessionKey::new(&[7; 32]);
        let issued = key.issue(&session());
        let mut bytes = BASE64_STANDARD.decode(&issued.token).unwrap();
        bytes[START.len()] += 1;
        assert!(key.find(&issued.access_key, &BASE64_STANDARD.encode(bytes)).is_none());
    }

    #[test]
    fn unique_ids_are_of_the_form_of_iams() {
        let id = unique_id("AROA", "000000000000", "web");
        assert!(id.len() == 21 && id.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit()), "{id}");
        assert_ne!(id, unique_id("AROA", "000000000000", "db"));
    }
}
