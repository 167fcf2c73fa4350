//! The key of an image: what it is made from, in short.

use super::{SetUp, inputs};
use crate::{
    config::Architecture,
    ec2::{Ec2, Source, image_id},
    engine,
    error::{Error, ErrorKind},
};
use ssh_key::sha2::{Digest, Sha256};
use std::fmt;

/// It changes when images are made in another way, so that those of earlier versions are not found.
const FORMAT: &str = "1";

/// How many of its digits a person sees.
const SHORT: usize = 8;

/// The key of an image, sixteen hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key(String);

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Key {
    /// Of all that it depends on. No part runs into the next.
    fn new<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut digest = Sha256::new();
        for part in parts {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        }
        let digest = digest.finalize();
        Self(digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect())
    }

    /// As much of it as a person compares.
    pub(super) fn short(&self) -> &str {
        self.0.get(..SHORT).unwrap_or(&self.0)
    }
}

/// The key of a set-up's image for machines of these types.
pub(super) async fn of(set_up: &SetUp, ec2: &Ec2, instance_types: &[String]) -> Result<Key, Error> {
    let architecture = architecture(set_up, ec2, instance_types)?;
    let base = match set_up.base(ec2).0 {
        Source::Query(query) => image_id(ec2, &query, architecture).await?,
        Source::Made(maker) => maker.identity(ec2, instance_types).await?,
    };
    let (directory, paths) = (set_up.directory, set_up.inputs);
    let read = move || inputs::read(directory.as_ref(), paths);
    let inputs = engine::blocking("read the inputs of a snapshot", read).await?;
    let parts = [FORMAT, set_up.tokens, &base, architecture.as_str()].map(str::as_bytes);
    let of_inputs = inputs.iter().flat_map(|input| [input.path.as_bytes(), &input.digest]);
    Ok(Key::new(parts.into_iter().chain(of_inputs)))
}

/// What it is for: an image is of one architecture.
fn architecture(set_up: &SetUp, ec2: &Ec2, instance_types: &[String]) -> Result<Architecture, Error> {
    let mut architectures = instance_types.iter().map(|it| Architecture::of_type(it));
    let first = architectures.next().unwrap_or_else(|| Architecture::of_type(&ec2.config.instance_type));
    if architectures.all(|other| other == first) {
        return Ok(first);
    }
    Err(Error::new(ErrorKind::Configuration, format!("use the snapshot {}", set_up.name()))
        .because(format!(
            "the instance types {} are of two architectures, and an image is of one",
            instance_types.join(", ")
        ))
        .advise("name types of one architecture at the launch or at the test"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(parts: &[&str]) -> Key {
        Key::new(parts.iter().map(|part| part.as_bytes()))
    }

    #[test]
    fn a_key_follows_from_all_of_its_parts() {
        let one = key(&["a", "b"]);
        assert_eq!(one, key(&["a", "b"]));
        assert_eq!((one.to_string().len(), one.short().len()), (16, 8));
        for other in [&["ab", ""][..], &["", "ab"], &["b", "a"], &["a"], &["a", "b", ""]] {
            assert_ne!(one, key(other), "{other:?}");
        }
    }
}
