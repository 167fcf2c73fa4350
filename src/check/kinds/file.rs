//! Files, directories and links.

use super::{
    is_default,
    stat::{FileKind, Mode, Stat, There},
    subject, texts,
};
use crate::check::{
    Matcher, Numbers, Size,
    answer::{Answer, Answers},
    checks::Kind,
    contains,
    fact::Fact,
    finding::{Findings, Outcome},
    not,
    source::Source,
};
use serde::{Deserialize, Serialize};

/// What a file is expected to be; made by [`file()`].
///
/// All but [`is_symlink`](Self::is_symlink) and [`links_to`](Self::links_to) follow symbolic links.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[must_use = "checks are only data until a machine is asserted to hold them"]
pub struct FileCheck {
    file: String,
    #[serde(default, skip_serializing_if = "is_default")]
    exists: Option<bool>,
    #[serde(default, skip_serializing_if = "is_default")]
    kind: Option<FileKind>,
    #[serde(default, skip_serializing_if = "is_default")]
    links_to: Option<Matcher>,
    #[serde(default, skip_serializing_if = "is_default")]
    mode: Option<Mode>,
    #[serde(default, skip_serializing_if = "is_default")]
    owner: Option<Matcher>,
    #[serde(default, skip_serializing_if = "is_default")]
    group: Option<Matcher>,
    #[serde(default, skip_serializing_if = "is_default")]
    size: Option<Numbers>,
    #[serde(default, skip_serializing_if = "is_default", with = "texts")]
    contains: Vec<String>,
    #[serde(default, skip_serializing_if = "is_default", with = "texts")]
    does_not_contain: Vec<String>,
    #[serde(default, skip_serializing_if = "is_default")]
    content: Option<Matcher>,
    #[serde(default, skip_serializing_if = "is_default")]
    sha256: Option<String>,
    #[serde(skip)]
    source: Source,
}

subject! {
    /// A file, directory or link; a path that doesn't start with `/` is taken from the login user's home.
    ///
    /// Expects that it exists, unless told otherwise.
    file -> FileCheck
}

impl FileCheck {
    /// It exists.
    pub fn exists(mut self) -> Self {
        self.exists = Some(true);
        self
    }

    /// Nothing is there; a symbolic link that leads nowhere is something.
    pub fn is_missing(mut self) -> Self {
        self.exists = Some(false);
        self
    }

    /// It is of this kind.
    pub fn kind(mut self, kind: FileKind) -> Self {
        self.kind = Some(kind);
        self
    }

    /// It is a regular file.
    pub fn is_file(self) -> Self {
        self.kind(FileKind::Regular)
    }

    /// It is a directory.
    pub fn is_directory(self) -> Self {
        self.kind(FileKind::Directory)
    }

    /// It is a symbolic link, which may lead nowhere.
    pub fn is_symlink(self) -> Self {
        self.kind(FileKind::Symlink)
    }

    /// It is a symbolic link with this target, as `readlink` prints it.
    pub fn links_to(mut self, target: impl Into<Matcher>) -> Self {
        self.links_to = Some(target.into());
        self
    }

    /// Its permission bits, with set-user-id, set-group-id and sticky, are these: `0o644`.
    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = Some(Mode(mode));
        self
    }

    /// The name of its owner; the number of one that has no name.
    pub fn owner(mut self, user: impl Into<Matcher>) -> Self {
        self.owner = Some(user.into());
        self
    }

    /// The name of its group; the number of one that has no name.
    pub fn group(mut self, group: impl Into<Matcher>) -> Self {
        self.group = Some(group.into());
        self
    }

    /// Its size in bytes: `gib(1)`, `1..`, `..=mib(10)`.
    pub fn size(mut self, size: impl Into<Numbers>) -> Self {
        self.size = Some(size.into());
        self
    }

    /// It contains this text; may be said several times.
    pub fn contains(mut self, text: impl Into<String>) -> Self {
        self.contains.push(text.into());
        self
    }

    /// It exists and doesn't contain this text; may be said several times.
    pub fn does_not_contain(mut self, text: impl Into<String>) -> Self {
        self.does_not_contain.push(text.into());
        self
    }

    /// Its whole content; a plain text is the content itself, but for line ends at its end.
    pub fn content(mut self, content: impl Into<Matcher>) -> Self {
        self.content = Some(content.into());
        self
    }

    /// The SHA-256 of its content, in hexadecimal digits; there is no limit to its size.
    pub fn sha256(mut self, digest: impl Into<String>) -> Self {
        self.sha256 = Some(digest.into());
        self
    }

    /// The path as a tool takes it: none takes it for an option.
    fn path(&self) -> String {
        if self.file.starts_with('-') { format!("./{}", self.file) } else { self.file.clone() }
    }

    fn stat_fact(&self) -> Fact {
        Fact::new("file", [&self.path()])
    }

    fn content_fact(&self) -> Option<Fact> {
        let wanted = self.content.is_some() || !self.contains.is_empty() || !self.does_not_contain.is_empty();
        wanted.then(|| Fact::new("content", [&self.path()]))
    }

    fn sha256_fact(&self) -> Option<Fact> {
        self.sha256.as_ref().map(|_| Fact::new("sha256", [&self.path()]))
    }
}

impl Kind for FileCheck {
    fn source(&self) -> Source {
        self.source
    }

    fn subject(&self) -> String {
        format!("file {}", self.file)
    }

    fn facts(&self) -> Vec<Fact> {
        [Some(self.stat_fact()), self.content_fact(), self.sha256_fact()].into_iter().flatten().collect()
    }

    fn judge(&self, answers: &Answers) -> Findings {
        let mut findings = Findings::default();
        let stat = answers.get(&self.stat_fact()).and_then(Stat::read);
        let there = |judge: &dyn Fn(&There) -> Outcome, stat: &Stat| match &stat.there {
            Some(there) => judge(there),
            None => Outcome::Failed(stat.describe()),
        };
        match self.exists {
            Some(false) => findings.expect("nothing is there", &stat, |stat| {
                Outcome::of(stat.there.is_none() && stat.link.is_none(), || stat.describe())
            }),
            Some(true) => findings.expect("exists", &stat, |stat| there(&|_| Outcome::Held, stat)),
            None => {}
        }
        match self.kind {
            Some(FileKind::Symlink) => findings
                .expect("is a symbolic link", &stat, |stat| Outcome::of(stat.link.is_some(), || stat.describe())),
            Some(kind) => findings.expect(format!("is {kind}"), &stat, |stat| {
                there(&|there| Outcome::of(there.kind == Some(kind), || stat.describe()), stat)
            }),
            None => {}
        }
        if let Some(target) = &self.links_to {
            findings.expect(format!("target {target}"), &stat, |stat| match &stat.link {
                Some(link) => Outcome::of_match(target, link.as_bytes()),
                None => Outcome::Failed(stat.describe()),
            });
        }
        if let Some(mode) = self.mode {
            findings.expect(format!("mode {mode}"), &stat, |stat| {
                there(&|there| Outcome::of(there.mode == mode, || format!("mode {}", there.mode)), stat)
            });
        }
        if let Some(owner) = &self.owner {
            findings.expect(format!("owner {owner}"), &stat, |stat| {
                there(&|there| Outcome::of_match(owner, there.owner.as_bytes()), stat)
            });
        }
        if let Some(group) = &self.group {
            findings.expect(format!("group {group}"), &stat, |stat| {
                there(&|there| Outcome::of_match(group, there.group.as_bytes()), stat)
            });
        }
        if let Some(size) = self.size {
            let shown = size.describe(|bytes| Size::from_bytes(bytes).to_string());
            findings.expect(format!("size {shown}"), &stat, |stat| {
                there(
                    &|there| Outcome::of(size.contains(there.size), || Size::from_bytes(there.size).to_string()),
                    stat,
                )
            });
        }
        if let Some(fact) = self.content_fact() {
            let content = answers.get(&fact).and_then(|answer| Content::read(answer, "content"));
            let contained = self.contains.iter().map(contains);
            let not_contained = self.does_not_contain.iter().map(|text| not(contains(text)));
            for matcher in contained.chain(not_contained).chain(self.content.clone()) {
                findings.expect(format!("content {matcher}"), &content, |content| match content {
                    Content::Bytes(bytes) => Outcome::of_match(&matcher, bytes),
                    Content::None(why) => Outcome::Failed(why.clone()),
                });
            }
        }
        if let (Some(digest), Some(fact)) = (&self.sha256, self.sha256_fact()) {
            let found = answers.get(&fact).and_then(|answer| Content::read(answer, "sha256"));
            findings.expect(format!("sha256 {digest}"), &found, |found| match found {
                Content::Bytes(line) => {
                    let found: String = String::from_utf8_lossy(line).chars().take(64).collect();
                    Outcome::of(found.eq_ignore_ascii_case(digest.trim()), || format!("sha256 {found}"))
                }
                Content::None(why) => Outcome::Failed(why.clone()),
            });
        }
        if findings.list.is_empty() {
            findings.expect("exists", &stat, |stat| there(&|_| Outcome::Held, stat));
        }
        if let Ok(stat @ Stat { there: Some(_), .. }) = &stat {
            findings.evidence("it is", stat.describe());
        }
        findings
    }
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
}

/// `file_limit` in probe.sh.
const FILE_LIMIT: usize = 4 << 20;
