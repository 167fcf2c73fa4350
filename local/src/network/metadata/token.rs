//! The tokens of version 2 of the metadata service.
//!
//! A token proves itself: it carries its expiry and a code over that and its owner, made with a secret that is drawn at
//! the start. So none has to be remembered, however many a machine asks for.

use base64::{Engine as _, engine::general_purpose::URL_SAFE};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::time::{Duration, Instant};

/// The longest life of a token: six hours.
const LONGEST: u64 = 21600;
/// Expiry, in milliseconds since the start, and the code. In base64 it takes the 56 characters of AWS's own.
const LENGTH: usize = 8 + 32;

/// Issues and checks tokens.
pub(super) struct Tokens {
    secret: Option<[u8; 32]>,
    start: Instant,
}

/// The life that a request asks for: 1 to 21600 seconds.
pub(super) fn ttl(text: &str) -> Option<Duration> {
    let text = text.trim();
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let seconds = text.parse().ok().filter(|_| digits)?;
    (1..=LONGEST).contains(&seconds).then(|| Duration::from_secs(seconds))
}

impl Tokens {
    /// Tokens that only this value accepts.
    pub(super) fn new() -> Self {
        let mut secret = [0; 32];
        let drawn = getrandom::fill(&mut secret).is_ok();
        Self { secret: drawn.then_some(secret), start: Instant::now() }
    }

    /// A token of the owner.
    pub(super) fn issue(&self, owner: &str, ttl: Duration) -> String {
        let expiry = (self.start.elapsed() + ttl).as_millis() as u64;
        let mut token = expiry.to_be_bytes().to_vec();
        if let Some(code) = self.code(expiry, owner) {
            token.extend(code.finalize().into_bytes());
        }
        URL_SAFE.encode(token)
    }

    /// Whether it is a token of this owner that hasn't expired.
    pub(super) fn accepts(&self, owner: &str, token: &[u8]) -> bool {
        let Ok(token) = URL_SAFE.decode(token) else { return false };
        let Some((expiry, code)) = token.split_first_chunk::<8>().filter(|_| token.len() == LENGTH) else {
            return false;
        };
        let expiry = u64::from_be_bytes(*expiry);
        let genuine = self.code(expiry, owner).is_some_and(|expected| expected.verify_slice(code).is_ok());
        genuine && self.start.elapsed() < Duration::from_millis(expiry)
    }

    fn code(&self, expiry: u64, owner: &str) -> Option<Hmac<Sha256>> {
        let mut code = Hmac::<Sha256>::new_from_slice(&self.secret?).ok()?;
        code.update(&expiry.to_be_bytes());
        code.update(owner.as_bytes());
        Some(code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_token_looks_like_awss_and_is_good_for_its_owner_only() {
        let tokens = Tokens::new();
        let token = tokens.issue("i-1", Duration::from_secs(60));
        assert_eq!((token.len(), token.ends_with("==")), (56, true));
        assert!(tokens.accepts("i-1", token.as_bytes()));
        assert!(!tokens.accepts("i-2", token.as_bytes()));
        assert!(!Tokens::new().accepts("i-1", token.as_bytes()), "of another endpoint");
        assert!(!tokens.accepts("i-1", tokens.issue("i-1", Duration::ZERO).as_bytes()), "expired");
    }

    #[test]
    fn without_a_secret_nothing_is_accepted() {
        let tokens = Tokens { secret: None, start: Instant::now() };
        let token = tokens.issue("i-1", Duration::from_secs(60));
        assert!(!tokens.accepts("i-1", token.as_bytes()));
    }

    proptest! {
        #[test]
        fn a_changed_token_is_refused(at in 0..54usize, to in "[A-Za-z0-9_-]") {
            let tokens = Tokens::new();
            let token = tokens.issue("i-1", Duration::from_secs(60));
            let mut changed = token.clone();
            changed.replace_range(at..=at, &to);
            prop_assert_eq!(tokens.accepts("i-1", changed.as_bytes()), changed == token);
        }

        #[test]
        fn no_token_breaks_it(token in prop::collection::vec(any::<u8>(), 0..100)) {
            prop_assert!(!Tokens::new().accepts("i-1", &token));
        }
    }
}
