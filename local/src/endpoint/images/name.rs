//! What an image can be called.

use std::{fmt, str::FromStr};

/// The name of an image: what EC2 allows (CreateImage,
/// <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateImage.html>), and what can't be mistaken for a path or for
/// one of the images that are always there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ImageName(String);

impl ImageName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of its file: a `+`, which no name has, stands for each slash.
    pub(super) fn file_name(&self) -> String {
        format!("{}.json", self.0.replace('/', "+"))
    }
}

impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ImageName {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "()[] ./-'@_".contains(c);
        let reason = if !(3..=128).contains(&name.len()) {
            "it must have 3 to 128 characters"
        } else if !name.chars().all(allowed) {
            "only letters, digits and ()[] ./-'@_ are allowed"
        } else if name.split('/').any(|part| matches!(part, "" | "." | "..")) {
            "it could be taken for a path"
        } else if ["host", "blank"].contains(&name) {
            "an image of that name is always there"
        } else {
            return Ok(Self(name.to_owned()));
        };
        Err(format!("`{}` can't be the name of an image: {reason}", name.escape_debug()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names() {
        for good in ["debian-12", "ubuntu/images/noble (24.04)", "a.b", "it's @home_[1]", &"x".repeat(128)] {
            assert_eq!(good.parse::<ImageName>().unwrap().as_str(), good);
        }
        for (bad, said) in [
            ("", "3 to 128"),
            ("ab", "3 to 128"),
            (&"x".repeat(129), "3 to 128"),
            ("host", "always there"),
            ("blank", "always there"),
            ("../x", "path"),
            ("/etc", "path"),
            ("a//b", "path"),
            ("a/./b", "path"),
            ("abc/", "path"),
            ("a+b", "only letters"),
            ("umläut", "only letters"),
            ("a\nb", "only letters"),
        ] {
            let error = bad.parse::<ImageName>().unwrap_err();
            assert!(error.contains(said), "{error}");
        }
    }

    proptest! {
        /// Every name is a file of its own, in the directory itself.
        #[test]
        fn files_of_names(one in "[()\\[\\] ./'@_a-c-]{3,9}", other in "[()\\[\\] ./'@_a-c-]{3,9}") {
            let (Ok(one), Ok(other)) = (one.parse::<ImageName>(), other.parse::<ImageName>()) else { return Ok(()) };
            prop_assert!(!one.file_name().contains('/') && one.file_name().len() <= 255);
            prop_assert_eq!(one == other, one.file_name() == other.file_name());
        }
    }
}
