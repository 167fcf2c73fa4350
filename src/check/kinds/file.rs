//! Files, directories and links.

use super::{
    stat::{FileKind, Mode, Stat, There},
    table::{Learn, kind},
};
use crate::check::{
    Matcher, Numbers, Size,
    answer::{Answer, Answers},
    contains,
    fact::Fact,
    finding::{Miss, Outcome, hold},
    not,
};

kind! {
    /// What a file is expected to be; made by [`file()`].
    ///
    /// All but [`is_symlink`](Self::is_symlink) and [`links_to`](Self::links_to) follow symbolic links.
    #[derive(Default)]
    FileCheck

    /// A file, directory or link; a path that doesn't start with `/` is taken from the login user's home.
    ///
    /// Expects that it exists, unless told otherwise.
    file(file: String = name) expects exists;

    exists: Option<bool> {
        /// It exists.
        exists() = true;
        /// Nothing is there; a symbolic link that leads nowhere is something.
        is_missing() = false;
    } expects ["exists", "nothing is there"] => |exists, found| match exists {
        true => found.there().map(drop),
        false => found.judge(|stat| stat.there.is_none() && stat.link.is_none()),
    };

    kind: Option<FileKind> {
        /// It is of this kind.
        kind(kind: FileKind) = kind;
        /// It is a regular file.
        is_file() = FileKind::Regular;
        /// It is a directory.
        is_directory() = FileKind::Directory;
        /// It is a symbolic link, which may lead nowhere.
        is_symlink() = FileKind::Symlink;
    } expects "is {}" => |kind, found| match kind {
        FileKind::Symlink => found.judge(|stat| stat.link.is_some()),
        kind => found.judge(|stat| stat.there.as_ref().and_then(|there| there.kind) == Some(*kind)),
    };

    links_to: Option<Matcher> {
        /// It is a symbolic link with this target, as `readlink` prints it.
        links_to(target: impl Into<Matcher>) = target.into();
    } expects "target {}" => |target, found| target.judge(found.link()?);

    mode: Option<Mode> {
        /// Its permission bits, with set-user-id, set-group-id and sticky, are these: `0o644`.
        mode(mode: u32) = Mode(mode);
    } expects "mode {}" => |mode, found| {
        let found = found.there()?.mode;
        hold(found == *mode, || format!("mode {found}"))
    };

    owner: Option<Matcher> {
        /// The name of its owner; the number of one that has no name.
        owner(user: impl Into<Matcher>) = user.into();
    } expects "owner {}" => |owner, found| owner.judge(&found.there()?.owner);

    group: Option<Matcher> {
        /// The name of its group; the number of one that has no name.
        group(group: impl Into<Matcher>) = group.into();
    } expects "group {}" => |group, found| group.judge(&found.there()?.group);

    size: Option<Numbers> {
        /// Its size in bytes: `gib(1)`, `1..`, `..=mib(10)`.
        size(size: impl Into<Numbers>) = size.into();
    } expects (|size| format!("size {}", size.describe(shown_size))) => |size, found| {
        let found = found.there()?.size;
        hold(size.contains(found), || shown_size(found))
    };

    #[serde(with = "super::texts")]
    contains: Vec<String> {
        /// It contains this text; may be said several times.
        contains(text: impl Into<String>) = text.into();
    } expects (|text| format!("content {}", contains(text))) => |text, found| contains(text).judge(found.content()?);

    #[serde(with = "super::texts")]
    does_not_contain: Vec<String> {
        /// It exists and doesn't contain this text; may be said several times.
        does_not_contain(text: impl Into<String>) = text.into();
    } expects (|text| format!("content {}", not(contains(text)))) => |text, found| {
        not(contains(text)).judge(found.content()?)
    };

    content: Option<Matcher> {
        /// Its whole content; a plain text is the content itself, but for line ends at its end.
        content(content: impl Into<Matcher>) = content.into();
    } expects "content {}" => |content, found| content.judge(found.content()?);

    sha256: Option<String> {
        /// The SHA-256 of its content, in hexadecimal digits; there is no limit to its size.
        sha256(digest: impl Into<String>) = digest.into();
    } expects "sha256 {}" => |digest, found| {
        let found = found.sha256()?;
        hold(found.eq_ignore_ascii_case(digest.trim()), || format!("sha256 {found}"))
    };
}

impl FileCheck {
    /// A fact about it; no tool takes its path for an option.
    fn fact(&self, function: &'static str) -> Fact {
        let path = if self.file.starts_with('-') { &format!("./{}", self.file) } else { &self.file };
        Fact::new(function, [path])
    }
}

impl Learn for FileCheck {
    type Learnt = Found;

    fn facts(&self) -> Vec<Fact> {
        let asks_content = self.content.is_some() || !self.contains.is_empty() || !self.does_not_contain.is_empty();
        let mut facts = vec![self.fact("file")];
        facts.extend(asks_content.then(|| self.fact("content")));
        facts.extend(self.sha256.is_some().then(|| self.fact("sha256")));
        facts
    }

    fn learn(&self, answers: &Answers) -> Result<Found, String> {
        let answer = |function| answers.get(&self.fact(function));
        Ok(Found {
            stat: answer("file").and_then(Stat::read),
            content: answer("content").and_then(|answer| Content::read(answer, "content")),
            sha256: answer("sha256").and_then(|answer| Content::read(answer, "sha256")),
        })
    }

    fn evidence(&self, found: &Found) -> Vec<(&'static str, String)> {
        match &found.stat {
            Ok(stat) if stat.there.is_some() => vec![("it is", stat.describe())],
            _ => Vec::new(),
        }
    }
}

/// What was found of a file, each by a fact of its own.
pub(super) struct Found {
    stat: Result<Stat, String>,
    content: Result<Content, String>,
    sha256: Result<Content, String>,
}

impl Found {
    fn stat(&self) -> Result<&Stat, Miss> {
        Ok(self.stat.as_ref().map_err(String::clone)?)
    }

    fn there(&self) -> Result<&There, Miss> {
        let stat = self.stat()?;
        stat.there.as_ref().ok_or_else(|| Miss::Failed(stat.describe()))
    }

    fn link(&self) -> Result<&str, Miss> {
        let stat = self.stat()?;
        stat.link.as_deref().ok_or_else(|| Miss::Failed(stat.describe()))
    }

    /// Judges by what is there; if it isn't what was expected, that is described.
    fn judge(&self, holds: impl FnOnce(&Stat) -> bool) -> Outcome {
        let stat = self.stat()?;
        hold(holds(stat), || stat.describe())
    }

    fn content(&self) -> Result<&[u8], Miss> {
        self.content.as_ref().map_err(String::clone)?.bytes()
    }

    fn sha256(&self) -> Result<String, Miss> {
        let line = self.sha256.as_ref().map_err(String::clone)?.bytes()?;
        Ok(String::from_utf8_lossy(line).chars().take(64).collect())
    }
}

fn shown_size(bytes: u64) -> String {
    Size::from_bytes(bytes).to_string()
}

/// What was read of a file.
enum Content {
    Bytes(Vec<u8>),
    /// There is nothing to read, for this reason.
    None(String),
}

impl Content {
    fn read(answer: &Answer, part: &str) -> Result<Self, String> {
        if let Some(error) = answer.text("error") {
            return Err(error);
        }
        if answer.says("exists", "no") {
            return Ok(Self::None("nothing is there".to_owned()));
        }
        if answer.says("regular", "no") {
            return Ok(Self::None("it is not a regular file".to_owned()));
        }
        if answer.says("tool", "none") {
            return Err("this machine has no sha256sum, openssl or shasum".to_owned());
        }
        if answer.text("status").is_some_and(|status| status != "0") {
            return Err("it could not be read to its end".to_owned());
        }
        match answer.data(part) {
            Some(bytes) if bytes.len() > FILE_LIMIT => {
                Err("it is longer than the 4 MiB that are looked at; let a command look into it on the machine"
                    .to_owned())
            }
            Some([]) if part == "sha256" => Err("it could not be read".to_owned()),
            Some(bytes) => Ok(Self::Bytes(bytes.to_vec())),
            None => Err("it could not be read".to_owned()),
        }
    }

    fn bytes(&self) -> Result<&[u8], Miss> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            Self::None(why) => Err(Miss::Failed(why.clone())),
        }
    }
}

/// `file_limit` in probe.sh.
const FILE_LIMIT: usize = 4 << 20;
