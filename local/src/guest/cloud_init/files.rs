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
    os::unix::fs::PermissionsExt,
    path::Path,
};

/// A file to be written.
#[derive(Debug, PartialEq, Eq)]
pub struct File {
    path: String,
    content: Vec<u8>,
    mode: Option<u32>,
    owner: Option<String>,
    append: bool,
    /// Whether it is written only after users and packages are there.
    pub defer: bool,
}

impl File {
    /// Reads an entry of the list.
    pub fn parse(entry: &Value, unapplied: &mut Vec<String>) -> Result<Self, String> {
        let entry = entry.as_object().ok_or("write_files: an entry is not a mapping")?;
        let path = entry.get("path").and_then(value::text).ok_or("write_files: an entry has no `path`")?;
        for key in entry.keys() {
            if !["path", "content", "encoding", "permissions", "owner", "append", "defer"].contains(&key.as_str()) {
                unapplied.push(format!("`{key}` of write_files {path}"));
            }
        }
        if !path.starts_with('/') {
            return Err(format!("write_files: {path} is not an absolute path"));
        }
        let flag = |key| {
            entry
                .get(key)
                .map_or(Some(false), value::truth)
                .ok_or_else(|| format!("write_files {path}: `{key}` is neither true nor false"))
        };
        Ok(Self {
            content: content(entry).map_err(|why| format!("write_files {path}: {why}"))?,
            mode: entry
                .get("permissions")
                .map(permissions)
                .transpose()
                .map_err(|why| format!("write_files {path}: {why}"))?,
            owner: entry.get("owner").and_then(value::text),
            append: flag("append")?,
            defer: flag("defer")?,
            path,
        })
    }

    /// Writes it.
    pub fn write(&self, root: &Root) -> Result<(), String> {
        self.try_write(root).map_err(|error| format!("write_files: failed to write {}: {error}", self.path))
    }

    fn try_write(&self, root: &Root) -> io::Result<()> {
        let path = Path::new(&self.path);
        if let Some(directory) = path.parent() {
            root.directory(directory)?;
        }
        let how = if self.append { OFlags::APPEND } else { OFlags::TRUNC };
        let mut file = fs::File::from(root.open(path, OFlags::WRONLY | OFlags::CREATE | how, 0o666)?);
        file.write_all(&self.content)?;
        match self.mode {
            Some(mode) => file.set_permissions(fs::Permissions::from_mode(mode))?,
            None if !self.append => file.set_permissions(fs::Permissions::from_mode(0o644))?,
            None => {}
        }
        match &self.owner {
            Some(owner) => give(root, &root.path(path), owner),
            None => Ok(()),
        }
    }
}

fn content(entry: &Mapping) -> Result<Vec<u8>, String> {
    let content = entry.get("content").and_then(value::text).unwrap_or_default();
    let encoding = entry.get("encoding").and_then(value::text).unwrap_or_default().to_lowercase();
    let decode = |text: &str| {
        let text: String = text.split_whitespace().collect();
        base64::engine::general_purpose::STANDARD.decode(text).map_err(|error| format!("its base64 is broken: {error}"))
    };
    match encoding.as_str() {
        "" | "text/plain" => Ok(content.into_bytes()),
        "b64" | "base64" => decode(&content),
        "gz+b64" | "gz+base64" | "gzip+b64" | "gzip+base64" => unpack(&decode(&content)?),
        "gz" | "gzip" => unpack(content.as_bytes()),
        other => Err(format!("`{other}` is not an encoding")),
    }
}

fn unpack(content: &[u8]) -> Result<Vec<u8>, String> {
    let mut unpacked = Vec::new();
    let read = MultiGzDecoder::new(content).take(64 << 20).read_to_end(&mut unpacked);
    read.map(|_| unpacked).map_err(|error| format!("its gzip is broken: {error}"))
}

/// A text is octal; a number is what YAML made of it.
fn permissions(mode: &Value) -> Result<u32, String> {
    let parsed = match mode {
        Value::Number(number) => number.as_u64().and_then(|number| u32::try_from(number).ok()),
        Value::String(text) => u32::from_str_radix(text.strip_prefix("0o").unwrap_or(text), 8).ok(),
        _ => None,
    };
    parsed.filter(|mode| *mode <= 0o7777).ok_or_else(|| format!("`{mode}` are no permissions"))
}

fn give(root: &Root, path: &Path, owner: &str) -> io::Result<()> {
    let (user, group) = owner.split_once(':').unwrap_or((owner, ""));
    let missing = |kind: &str, name: &str| io::Error::other(format!("there is no {kind} `{name}`"));
    let account = accounts::account(root, user)?.ok_or_else(|| missing("user", user))?;
    let gid = match group {
        "" => account.gid,
        group => {
            let groups = accounts::groups(root)?;
            groups.iter().find(|found| found.name == group).ok_or_else(|| missing("group", group))?.gid
        }
    };
    accounts::give(path, (account.uid, gid))
}
