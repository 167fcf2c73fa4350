//! The instance profiles that an endpoint is told of.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// An instance profile, and the role in it. As text: `NAME` or `NAME=ROLE`; without a role, it has one of its own name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[non_exhaustive]
pub struct InstanceProfile {
    /// Its name.
    pub name: String,
    /// The name of its role.
    pub role: String,
}

/// A text names no instance profile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "read the instance profile `{0}`: it must look like NAME or NAME=ROLE, each of 1 to 128 (a role: 64) letters, digits and _+,.@-"
)]
pub struct InstanceProfileError(String);

/// Whether a profile may have this name. `=`, which IAM allows, stands before a role here, and in names that requests have it is allowed.
/// Source: <https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreateInstanceProfile.html>.
pub(super) fn is_name(name: &str) -> bool {
    (1..=128).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte))
}

impl FromStr for InstanceProfile {
    type Err = InstanceProfileError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, role) = text.split_once('=').unwrap_or((text, text));
        if is_name(name) && is_name(role) && !role.contains('=') && (role.len() <= 64 || role == name) {
            return Ok(Self { name: name.to_owned(), role: role.to_owned() });
        }
        Err(InstanceProfileError(text.to_owned()))
    }
}

impl fmt::Display for InstanceProfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.name, self.role)
    }
}

impl TryFrom<String> for InstanceProfile {
    type Error = InstanceProfileError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<InstanceProfile> for String {
    fn from(profile: InstanceProfile) -> Self {
        profile.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_is_the_same_as_text() {
        for (text, name, role) in [("web", "web", "web"), ("web=db", "web", "db"), ("a.b@c-d", "a.b@c-d", "a.b@c-d")] {
            let profile: InstanceProfile = text.parse().unwrap();
            assert_eq!((profile.name.as_str(), profile.role.as_str()), (name, role));
            assert_eq!(profile.to_string().parse(), Ok(profile));
        }
        for text in ["", "=", "web=", "=db", "a/b", "a b", "a=b=c", "é", &"x".repeat(129)] {
            let error = text.parse::<InstanceProfile>().unwrap_err().to_string();
            assert!(error.starts_with(&format!("read the instance profile `{text}`")), "{error}");
        }
    }
}
