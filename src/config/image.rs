//! Which image is meant: plain data, which a test can share, and the configuration can hold.

use super::{
    KeyType,
    value::{FromValue, Value},
};
use std::fmt;

/// Which image a machine is launched from.
///
/// A text is one: an AMI's id, an alias, or `resolve:ssm:/…`, a parameter of Systems Manager's. [`named`](Self::named) is the newest
/// available image of an owner whose name fits. Wherever an image is taken, either will do; and so will a key `image`, or an alias
/// under `images`, in `ec2-harness.toml`.
///
/// ```no_run
/// use ec2_harness::prelude::*;
///
/// fn bookworm() -> ImageQuery {
///     ImageQuery::named("debian-12-{deb-arch}-*").owner("136693071363").user("admin")
/// }
///
/// #[ec2_test(image = bookworm())]
/// async fn boots(vm: Instance, ec2: Ec2) -> Result {
///     let older = ec2.images(bookworm().deprecated()).await?; // the newest first
///     println!("{} of {}", vm.id(), older.len());
///     Ok(())
/// }
/// ```
///
/// In a name, and in that of a parameter, `{arch}` stands for the architecture as EC2 calls it (`x86_64`, `arm64`), `{deb-arch}` as
/// Debian and Ubuntu do (`amd64`, `arm64`), `{rpm-arch}` as Fedora and its kin do (`x86_64`, `aarch64`).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ImageQuery {
    pub(crate) what: What,
    pub(crate) owner: Option<String>,
    pub(crate) architecture: Option<Architecture>,
    pub(crate) deprecated: bool,
    pub(crate) user: Option<String>,
    pub(crate) key_type: Option<KeyType>,
}

/// What an image is known by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum What {
    /// An AMI's id, an alias, or `resolve:ssm:/…`.
    Word(String),
    /// A pattern of its name.
    Named(String),
}

/// The architecture of an image's, and of an instance type's, processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Architecture {
    /// Intel's and AMD's, `x86_64`.
    X86_64,
    /// Graviton's, `arm64`.
    Arm64,
}

impl ImageQuery {
    /// The newest available image with such a name, `*` and `?` as EC2's filters have them.
    pub fn named(pattern: impl Into<String>) -> Self {
        Self::new(What::Named(pattern.into()))
    }

    fn new(what: What) -> Self {
        Self { what, owner: None, architecture: None, deprecated: false, user: None, key_type: None }
    }

    /// Who has published it: the number of an account, `self`, `amazon` or `aws-marketplace`. Default: this account or Amazon; what others
    /// call their images is up to them, so name the one whom you trust.
    #[must_use]
    pub fn owner(mut self, owner: impl Into<String>) -> Self {
        self.owner = Some(owner.into());
        self
    }

    /// Its architecture. Default: that of the launch's own instance type, and of the configured one where images are listed.
    #[must_use]
    pub fn architecture(mut self, architecture: Architecture) -> Self {
        self.architecture = Some(architecture);
        self
    }

    /// Takes deprecated ones, too, as most publishers' are after two years. Default: none of those, our own included; an id
    /// names its image, deprecated or not.
    #[must_use]
    pub fn deprecated(mut self) -> Self {
        self.deprecated = true;
        self
    }

    /// The user that logs in. Default: the configuration's, else known by the image's name, else probed.
    #[must_use]
    pub fn user(mut self, user: impl Into<String>) -> Self {
        self.user = Some(user.into());
        self
    }

    /// The type of keys that it takes. Default: any; RSA where its name says that it keeps to FIPS 140, whose SSH servers refuse Ed25519.
    #[must_use]
    pub fn key_type(mut self, key_type: KeyType) -> Self {
        self.key_type = Some(key_type);
        self
    }

    /// What this says, and for the rest what an alias that it names does.
    pub(crate) fn of_alias(&self, alias: &Self) -> Self {
        Self {
            what: alias.what.clone(),
            owner: self.owner.clone().or_else(|| alias.owner.clone()),
            architecture: self.architecture.or(alias.architecture),
            deprecated: self.deprecated || alias.deprecated,
            user: self.user.clone().or_else(|| alias.user.clone()),
            key_type: self.key_type.or(alias.key_type),
        }
    }
}

impl fmt::Display for ImageQuery {
    /// As a person would name it: `debian-12`, or `debian-12-* of 136693071363`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (What::Word(text) | What::Named(text)) = &self.what;
        f.write_str(text)?;
        match &self.owner {
            Some(owner) => write!(f, " of {owner}"),
            None => Ok(()),
        }
    }
}

impl From<String> for ImageQuery {
    fn from(word: String) -> Self {
        Self::new(What::Word(word))
    }
}

impl From<&str> for ImageQuery {
    fn from(word: &str) -> Self {
        word.to_owned().into()
    }
}

impl From<&String> for ImageQuery {
    fn from(word: &String) -> Self {
        word.clone().into()
    }
}

impl From<&Self> for ImageQuery {
    fn from(query: &Self) -> Self {
        query.clone()
    }
}

impl Architecture {
    /// That of an instance type. Graviton types have a `g` behind the generation: `t4g`, `m7gd`; `a1` is the first of them.
    pub(crate) fn of_type(instance_type: &str) -> Self {
        let family = instance_type.split('.').next().unwrap_or_default();
        let after_generation = family
            .trim_start_matches(|c: char| c.is_ascii_alphabetic())
            .trim_start_matches(|c: char| c.is_ascii_digit());
        if family == "a1" || after_generation.starts_with('g') { Self::Arm64 } else { Self::X86_64 }
    }

    /// EC2's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Arm64 => "arm64",
        }
    }

    /// A name with this architecture in the places that are left for it.
    pub(crate) fn fill(self, name: &str) -> String {
        let (debian, rpm) = match self {
            Self::X86_64 => ("amd64", "x86_64"),
            Self::Arm64 => ("arm64", "aarch64"),
        };
        name.replace("{arch}", self.as_str()).replace("{deb-arch}", debian).replace("{rpm-arch}", rpm)
    }
}

impl FromValue for ImageQuery {
    fn from_value(value: &Value) -> Result<Self, String> {
        let Value::Toml(toml::Value::Table(table)) = value else { return String::from_value(value).map(Self::from) };
        let (mut id, mut name, mut query) = (None, None, Self::from(""));
        for (key, item) in table {
            let item = Value::Toml(item.clone());
            let read: Result<(), String> = match key.as_str() {
                "id" => String::from_value(&item).map(|it| id = Some(it)),
                "name" => String::from_value(&item).map(|it| name = Some(it)),
                "owner" => String::from_value(&item).map(|it| query.owner = Some(it)),
                "architecture" => Architecture::from_value(&item).map(|it| query.architecture = Some(it)),
                "deprecated" => bool::from_value(&item).map(|it| query.deprecated = it),
                "user" => String::from_value(&item).map(|it| query.user = Some(it)),
                "key_type" => KeyType::from_value(&item).map(|it| query.key_type = Some(it)),
                _ => {
                    Err("there is no such key; there are id, name, owner, architecture, deprecated, user, key_type"
                        .into())
                }
            };
            read.map_err(|reason| format!("`{key}`: {reason}"))?;
        }
        query.what = match (id, name) {
            (Some(id), None) => What::Word(id),
            (None, Some(name)) => What::Named(name),
            _ => return Err("an image needs either an `id` (which may be an alias) or a `name`".into()),
        };
        Ok(query)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn graviton_types_are_told_apart() {
        for arm in ["t4g.small", "m7gd.large", "c6gn.xlarge", "a1.medium", "im4gn.large"] {
            assert_eq!(Architecture::of_type(arm), Architecture::Arm64, "{arm}");
        }
        for x86 in ["t3.micro", "m5ad.large", "g4dn.xlarge", "g5.xlarge", "c7i.large"] {
            assert_eq!(Architecture::of_type(x86), Architecture::X86_64, "{x86}");
        }
    }

    #[test]
    fn what_a_query_says_is_more_than_its_alias_does() {
        let alias = ImageQuery::named("ours-*").owner("self").user("admin");
        let query = ImageQuery::from("ours").user("root").deprecated().of_alias(&alias);
        assert_eq!(query, ImageQuery::named("ours-*").owner("self").user("root").deprecated());
        assert_eq!(query.to_string(), "ours-* of self");
        assert_eq!(Architecture::Arm64.fill("a-{deb-arch}-{rpm-arch}-{arch}"), "a-arm64-aarch64-arm64");
    }
}
