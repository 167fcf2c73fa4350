//! What is at a path: its kind, mode, owner and size, as `stat` or `ls` told.

use crate::check::{Size, answer::Answer};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{fmt, time::Duration};

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FileKind {
    /// A regular file.
    Regular,
    /// A directory.
    Directory,
    /// A symbolic link itself, wherever it leads.
    Symlink,
    /// A Unix socket.
    Socket,
    /// A named pipe.
    Fifo,
    /// A block device.
    BlockDevice,
    /// A character device.
    CharacterDevice,
}

/// Permission bits; `"0644"` in files, where a bare number would be taken for a decimal one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mode(pub(super) u32);

/// What is at the path.
pub(super) struct Stat {
    /// The target, if it is a symbolic link.
    pub(super) link: Option<String>,
    /// What is there, after all links.
    pub(super) there: Option<There>,
}

pub(super) struct There {
    pub(super) kind: Option<FileKind>,
    pub(super) mode: Mode,
    pub(super) owner: String,
    pub(super) group: String,
    pub(super) size: u64,
    modified: Option<u64>,
}

impl Stat {
    pub(super) fn read(answer: &Answer) -> Result<Self, String> {
        let link = answer.text("link").map(|target| target.strip_suffix('\n').unwrap_or(&target).to_owned());
        if let Some(error) = answer.text("error") {
            return Err(error);
        }
        if answer.says("exists", "no") {
            return Ok(Self { link, there: None });
        }
        let stat = answer.text("stat").unwrap_or_default();
        let there = There::from_stat(&stat).or_else(|| There::from_ls(&stat));
        match there {
            Some(there) => Ok(Self { link, there: Some(there) }),
            None => Err("neither stat nor ls told anything that can be read".to_owned()),
        }
    }

    pub(super) fn describe(&self) -> String {
        let link = self.link.as_ref().map(|target| format!("a symbolic link to {target}"));
        match (&self.there, link) {
            (Some(there), None) => there.to_string(),
            (Some(there), Some(link)) => format!("{link}, which is {there}"),
            (None, Some(link)) => format!("{link}, which leads nowhere"),
            (None, None) => "nothing is there".to_owned(),
        }
    }
}

impl There {
    /// `%f %u %g %s %Y`, and names of owner and group in lines of their own.
    fn from_stat(stat: &str) -> Option<Self> {
        let mut lines = stat.lines();
        let numbers: Vec<_> = lines.next()?.split(' ').collect();
        let [mode, owner, group, size, modified] = numbers[..] else { return None };
        let mode = u32::from_str_radix(mode, 16).ok()?;
        let named = |name: Option<&str>, number: &str| match name {
            None | Some("" | "UNKNOWN" | "?") => number.to_owned(),
            Some(name) => name.to_owned(),
        };
        Some(Self {
            kind: FileKind::from_mode(mode),
            mode: Mode(mode & 0o7777),
            owner: named(lines.next(), owner),
            group: named(lines.next(), group),
            size: size.parse().ok()?,
            modified: modified.parse().ok(),
        })
    }

    /// Two lines of `ls -l`, with numbers and with names, after a line `ls`: where stat knows no `-c`.
    fn from_ls(listing: &str) -> Option<Self> {
        let mut lines = listing.lines();
        lines.find(|line| *line == "ls")?;
        let numbers: Vec<_> = lines.next()?.split_whitespace().collect();
        let names: Vec<_> = lines.next().unwrap_or_default().split_whitespace().collect();
        let [mode, _, owner, group, size, ..] = numbers[..] else { return None };
        let [kind, bits @ ..] = mode.as_bytes() else { return None };
        let mut permissions = 0;
        for (index, bit) in bits.iter().take(9).enumerate() {
            let weight = 1 << (8 - index);
            let special = 0o4000 >> (index / 3);
            permissions |= match bit {
                b'-' => 0,
                b's' | b't' => weight | special,
                b'S' | b'T' => special,
                _ => weight,
            };
        }
        Some(Self {
            kind: FileKind::from_letter(*kind),
            mode: Mode(permissions),
            owner: names.get(2).unwrap_or(&owner).to_string(),
            group: names.get(3).unwrap_or(&group).to_string(),
            // A device shows its numbers there.
            size: size.parse().unwrap_or(0),
            modified: None,
        })
    }
}

impl fmt::Display for There {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.kind.map_or_else(|| "something".to_owned(), |kind| kind.to_string());
        write!(f, "{kind}, {} {}:{}", self.mode, self.owner, self.group)?;
        if self.kind == Some(FileKind::Regular) {
            write!(f, ", {}", Size::from_bytes(self.size))?;
        }
        if let Some(modified) = self.modified.and_then(|at| std::time::UNIX_EPOCH.checked_add(Duration::from_secs(at)))
        {
            // humantime knows no later year.
            if modified < std::time::UNIX_EPOCH + Duration::from_secs(253_402_300_800) {
                write!(f, ", modified {}", humantime::format_rfc3339_seconds(modified))?;
            }
        }
        Ok(())
    }
}

impl FileKind {
    fn from_mode(mode: u32) -> Option<Self> {
        Some(match mode & 0o170_000 {
            0o100_000 => Self::Regular,
            0o040_000 => Self::Directory,
            0o120_000 => Self::Symlink,
            0o140_000 => Self::Socket,
            0o010_000 => Self::Fifo,
            0o060_000 => Self::BlockDevice,
            0o020_000 => Self::CharacterDevice,
            _ => return None,
        })
    }

    fn from_letter(letter: u8) -> Option<Self> {
        Some(match letter {
            b'-' => Self::Regular,
            b'd' => Self::Directory,
            b'l' => Self::Symlink,
            b's' => Self::Socket,
            b'p' => Self::Fifo,
            b'b' => Self::BlockDevice,
            b'c' => Self::CharacterDevice,
            _ => return None,
        })
    }
}

impl fmt::Display for FileKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Regular => "a regular file",
            Self::Directory => "a directory",
            Self::Symlink => "a symbolic link",
            Self::Socket => "a socket",
            Self::Fifo => "a named pipe",
            Self::BlockDevice => "a block device",
            Self::CharacterDevice => "a character device",
        })
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

impl Serialize for Mode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Mode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        value
            .as_str()
            .map(|text| text.trim_start_matches("0o"))
            .filter(|digits| (3..=5).contains(&digits.len()))
            .and_then(|digits| u32::from_str_radix(digits, 8).ok())
            .filter(|mode| *mode <= 0o7777)
            .map(Self)
            .ok_or_else(|| {
                de::Error::custom(format!("`{value}` is not a mode; write octal digits in quotes: \"0644\""))
            })
    }
}
