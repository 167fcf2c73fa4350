//! An image's record, and what in its place isn't one.

use crate::{account::ImageSettings, endpoint::layout::is_tree};
use ec2_state_directory::{Directory, Error, shown};
use serde::{Deserialize, Serialize};
use std::{
    ffi::{OsStr, OsString},
    io::Read,
    path::PathBuf,
};
use time::OffsetDateTime;

/// How these files are written; a later form gets a later number, and is left alone by those who don't know it. Those of the
/// first aren't offered any more: where root has imported them, what is set-uid root in them is the host's root's.
pub(super) const FORMAT: u32 = 2;
/// The longest record that is read.
const LENGTH_MAX: u64 = 1 << 20;

/// An image that was imported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Image {
    pub(super) format: u32,
    pub(super) tree: String,
    /// The name.
    pub name: String,
    /// The user that logs in.
    pub login_user: String,
    /// What its programs are built for, in Rust's words.
    pub architecture: String,
    /// The text of its `os-release`.
    pub os_release: String,
    /// The size of all files, in bytes.
    pub bytes: u64,
    /// When it was imported, in seconds since the Unix epoch.
    pub imported: i64,
}

impl Image {
    /// What the account offers; `None` where it can't run here.
    pub(super) fn settings(&self) -> Option<ImageSettings> {
        if self.format != FORMAT || self.architecture != std::env::consts::ARCH {
            return None;
        }
        let created = OffsetDateTime::from_unix_timestamp(self.imported).ok()?;
        // Clients show it on terminals, too.
        let os_release: Vec<_> = self.os_release.lines().map(shown).collect();
        let mut settings =
            ImageSettings::imported(&self.name, &self.login_user, &os_release.join("\n"), &self.tree, created);
        // The disk must have room for what is on it already, as a snapshot's size demands on EC2.
        settings.root_gib = settings.root_gib.max(i64::try_from(self.bytes.div_ceil(1 << 30)).unwrap_or(i64::MAX));
        Some(settings)
    }

    /// What it is, in a few words: the system's pretty name, which is the image's own word, and is shown on terminals.
    pub fn system(&self) -> String {
        let unfit = || match self.format {
            ..FORMAT => "an earlier version has imported it: import it again, with --replace",
            _ => "it can't run here",
        };
        self.settings().map_or_else(|| unfit().to_owned(), |settings| settings.description)
    }
}

/// What is found of an image.
pub type Listed = (PathBuf, Result<Image, String>);

/// What is no image's record, or one of a later version.
#[derive(Debug)]
pub(super) struct Foreign {
    /// Why it isn't.
    pub(super) reason: String,
    /// What it says, as far as that can be read.
    text: Option<Vec<u8>>,
}

impl Foreign {
    /// Whether it may name a tree all the same: a later version has words of its own for that.
    pub(super) fn may_name(&self, tree: &str) -> bool {
        self.text.as_ref().is_none_or(|text| text.windows(tree.len()).any(|part| part == tree.as_bytes()))
    }
}

/// What a file is, by its name.
pub(super) type Named = (OsString, Result<Image, Foreign>);

/// All records, and what isn't one.
pub(super) fn list(images: &Directory) -> Result<Vec<Named>, Error> {
    let names = images.names()?.into_iter();
    let names = names.filter(|name| PathBuf::from(name).extension().is_some_and(|extension| extension == "json"));
    Ok(names.map(|name| (name.clone(), read(images, &name))).collect())
}

/// The record in a file.
pub(super) fn read(images: &Directory, name: &OsStr) -> Result<Image, Foreign> {
    let unreadable = |reason: String| Foreign { reason, text: None };
    let file = match images.file(name) {
        Ok(file) => file.ok_or_else(|| unreadable("it is gone".to_owned()))?,
        // A link, a pipe, or somebody else's: no version of ours has made it.
        Err(Error::Unsafe { reason, .. }) => return Err(Foreign { reason, text: Some(Vec::new()) }),
        Err(error) => return Err(unreadable(error.to_string())),
    };
    let mut text = Vec::new();
    file.take(LENGTH_MAX).read_to_end(&mut text).map_err(|error| unreadable(error.to_string()))?;
    match serde_json::from_slice(&text) {
        Ok(Image { tree, .. }) if !is_tree(&tree) => {
            Err(Foreign { reason: "it names no tree of ours".to_owned(), text: Some(text) })
        }
        Ok(image) => Ok(image),
        Err(error) => Err(Foreign { reason: error.to_string(), text: Some(text) }),
    }
}
