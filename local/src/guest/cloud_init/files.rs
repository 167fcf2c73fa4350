//! `write_files`.

use super::value::{self, Mapping};
use crate::guest::{accounts, root::Root};
use base64::Engine;
use flate2::read::MultiGzDecoder;
use rustix::fs::OFlags;
use serde_json::Value;
use std::{
    fs, io,
    io::{Read, Write},
    os::{
        fd::AsFd,
        unix::fs::{PermissionsExt, fchown},
    },
    path::Path,
};

/// A file to be written.
#[derive(Debug, PartialEq, Eq)]
pub struct File {
    path: String,
    content: Vec<u8>,
    mode: u32,
    owner: Option<String>,
    append: bool,
    /// Whether it is written only after users and packages are there.
    pub defer: bool,
}

/// The mode of a file for which none is given.
const USUAL_MODE: u32 = 0o644;

impl File {
    /// Reads an entry of the list. One without a path is none, and there is a warning.
    pub fn parse(
        entry: &Value,
        unapplied: &mut Vec<String>,
        warnings: &mut Vec<String>,
    ) -> Result<Option<Self>, String> {
        let entry = entry.as_object().ok_or("write_files: an entry is not a mapping")?;
        let Some(path) = entry.get("path").and_then(value::text).filter(|path| !path.is_empty()) else {
            warnings.push("write_files: an entry has no `path`".to_owned());
            return Ok(None);
        };
        for key in entry.keys() {
            if !["path", "content", "encoding", "permissions", "owner", "append", "defer"].contains(&key.as_str()) {
                unapplied.push(format!("`{key}` of write_files {path}"));
            }
        }
        let flag = |key| {
            entry
                .get(key)
                .map_or(Some(false), value::truth)
                .ok_or_else(|| format!("write_files {path}: `{key}` is neither true nor false"))
        };
        let mut warn = |what: String| warnings.push(format!("write_files {path}: {what}"));
        Ok(Some(Self {
            content: content(entry, &mut warn).map_err(|why| format!("write_files {path}: {why}"))?,
            mode: entry.get("permissions").map_or(USUAL_MODE, |mode| {
                permissions(mode).unwrap_or_else(|| {
                    warn(format!("`{mode}` are no permissions; they are {USUAL_MODE:o}"));
                    USUAL_MODE
                })
            }),
            owner: entry.get("owner").and_then(value::text),
            append: flag("append")?,
            defer: flag("defer")?,
            // It is looked for where cloud-init runs.
            path: if path.starts_with('/') { path } else { format!("/{path}") },
        }))
    }

    /// Writes it.
    pub fn write(&self, root: &Root) -> Result<(), String> {
        self.try_write(root).map_err(|error| format!("write_files: failed to write {}: {error}", self.path))
    }

    fn try_write(&self, root: &Root) -> io::Result<()> {
        let path = Path::new(&self.path);
        let owner = self.owner.as_deref().map_or(Ok((Some(0), Some(0))), |owner| ids(root, owner))?;
        let above = path.ancestors().skip(1);
        let missing: Vec<_> = above.take_while(|above| root.has(above).is_ok_and(|has| !has)).collect();
        for above in missing.into_iter().rev() {
            root.directory(above)?;
            give_opened(root.open(above, OFlags::RDONLY | OFlags::DIRECTORY, 0)?, owner)?;
        }
        let how = if self.append { OFlags::APPEND } else { OFlags::TRUNC };
        let mut file = fs::File::from(root.open(path, OFlags::WRONLY | OFlags::CREATE | how, 0o666)?);
        file.write_all(&self.content)?;
        give_opened(&file, owner)?;
        // Last, since a change of owner takes set-id bits away.
        file.set_permissions(fs::Permissions::from_mode(self.mode))
    }
}

fn content(entry: &Mapping, warn: &mut impl FnMut(String)) -> Result<Vec<u8>, String> {
    let content = entry.get("content").and_then(value::text).unwrap_or_default();
    let encoding = entry.get("encoding").and_then(value::text).unwrap_or_default().trim().to_lowercase();
    let decode = |text: &str| {
        let text: String = text.split_whitespace().collect();
        base64::engine::general_purpose::STANDARD.decode(text).map_err(|error| format!("its base64 is broken: {error}"))
    };
    match encoding.as_str() {
        "" | "text/plain" => Ok(content.into_bytes()),
        "b64" | "base64" => decode(&content),
        "gz+b64" | "gz+base64" | "gzip+b64" | "gzip+base64" => unpack(&decode(&content)?),
        "gz" | "gzip" => unpack(content.as_bytes()),
        other => {
            warn(format!("`{other}` is not an encoding; the content is taken as it is"));
            Ok(content.into_bytes())
        }
    }
}

fn unpack(content: &[u8]) -> Result<Vec<u8>, String> {
    let mut unpacked = Vec::new();
    let read = MultiGzDecoder::new(content).take(64 << 20).read_to_end(&mut unpacked);
    read.map(|_| unpacked).map_err(|error| format!("its gzip is broken: {error}"))
}

/// A text is octal; a number is what YAML made of it.
fn permissions(mode: &Value) -> Option<u32> {
    let parsed = match mode {
        Value::Number(number) => number.as_u64().and_then(|number| u32::try_from(number).ok()),
        Value::String(text) => u32::from_str_radix(text.strip_prefix("0o").unwrap_or(text), 8).ok(),
        _ => None,
    };
    parsed.filter(|mode| *mode <= 0o7777)
}

/// The ids of an owner, `user:group`. What isn't named, or is `none` or `-1`, stays as it is.
fn ids(root: &Root, owner: &str) -> io::Result<(Option<u32>, Option<u32>)> {
    let (user, group) = owner.split_once(':').unwrap_or((owner, ""));
    let missing = |kind: &str, name: &str| io::Error::other(format!("there is no {kind} `{name}`"));
    let named = |name: &str| {
        let name = name.trim().to_owned();
        (!name.is_empty() && name != "-1" && !name.eq_ignore_ascii_case("none")).then_some(name)
    };
    let user = named(user)
        .map(|user| accounts::account(root, &user)?.map(|account| account.uid).ok_or_else(|| missing("user", &user)));
    let group = named(group).map(|group| {
        let groups = accounts::groups(root)?;
        groups.iter().find(|found| found.name == group).map(|found| found.gid).ok_or_else(|| missing("group", &group))
    });
    Ok((user.transpose()?, group.transpose()?))
}

/// Gives what is open to a user and a group.
fn give_opened(opened: impl AsFd, (user, group): (Option<u32>, Option<u32>)) -> io::Result<()> {
    if accounts::are_others() { fchown(opened, user, group) } else { Ok(()) }
}
