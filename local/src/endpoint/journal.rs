//! The journal: what an endpoint writes down of its account while it runs, so that the next one can take it over when this one
//! is killed. An endpoint that ends by itself removes it: an account's life is its endpoint's.
//!
//! A header, then an entry a line, each with its checksum:
//!
//! ```text
//! {"format":1,"build":"0.1.0-…","account":"…","made":"…","settings":{…}}
//! 5d41402a {"at":"…","record":{…}}
//! ```
//!
//! An entry is what one request, event or passing of time has changed; it is written in one go before anybody is answered and
//! before any machine is told anything. So what was answered is there, and of what wasn't there is all or nothing: the last
//! line counts only if it is whole. That holds when the endpoint is killed. It is written through to the disk a second later, so
//! when the host loses its power, the last second may be lost; what is left is the account as it was then.

use super::{BUILD, EndpointError, Settings, state::failed};
use crate::account::Record;
use ec2_state_directory::{Directory, Error, shown};
use serde::{Deserialize, Serialize};
use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write},
    time::Duration,
};
use time::OffsetDateTime;

/// The format that is written, and the newest that is read. It changes when a journal of before can't be read any more, or one
/// of now can't be read by the version before.
const FORMAT: u32 = 1;

/// How much longer than what it says a journal may become before it is written anew.
const SLACK: u64 = 4 << 20;
const SLACK_FACTOR: u64 = 3;

/// The file in an endpoint's directory, a new one until it is whole, and one that has never been.
pub(super) const NAME: &str = "journal";
const NEW: &str = "journal.new";
/// The same where one of that name is left that can't be removed.
const NEWER: &str = "journal.newer";
const TORN: &str = "journal.torn";
/// The longest header that is looked for where a journal may be something else.
const HEADER_MAX: u64 = 1 << 20;

/// Whose journal it is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Header {
    format: u32,
    /// The build that has begun it.
    pub(super) build: String,
    /// What no two accounts share.
    pub(super) account: String,
    /// When the account was made.
    made: OffsetDateTime,
    /// What the account was made with.
    pub(super) settings: Settings,
}

impl Header {
    /// The header of a new account.
    pub(super) fn new(now: OffsetDateTime, settings: Settings) -> Self {
        Self { format: FORMAT, build: BUILD.to_owned(), account: uuid::Uuid::new_v4().to_string(), made: now, settings }
    }

    /// The same account's, from now on with these settings, by this build.
    pub(super) fn taken_over(self, settings: Settings) -> Self {
        Self { format: FORMAT, build: BUILD.to_owned(), settings, ..self }
    }
}

/// One line.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Entry {
    /// The account's time.
    pub(super) at: OffsetDateTime,
    /// What the account's clock was put forward by.
    #[serde(default, skip_serializing_if = "Duration::is_zero")]
    pub(super) advanced: Duration,
    pub(super) record: Record,
}

/// The journal of a running endpoint.
#[derive(Debug)]
pub(super) struct Journal {
    directory: Directory,
    header: Header,
    file: File,
    length: u64,
    /// How long it was when it was last written anew.
    began: u64,
    /// Whether the account has ended or was left: then nothing is written any more.
    has_ended: bool,
}

/// What a journal says, in order.
#[derive(Debug)]
pub(super) struct Story {
    pub(super) header: Header,
    pub(super) entries: Vec<Entry>,
}

impl Journal {
    /// Begins a journal in an endpoint's directory with all there is; it takes the place of one that is there.
    pub(super) fn begin(directory: Directory, header: Header, all: &Entry) -> Result<Self, EndpointError> {
        let written = write_anew(&directory, &header, all);
        let (file, length) = written.map_err(failed("write", &directory.path().join(NAME)))?;
        Ok(Self { directory, header, file, length, began: length, has_ended: false })
    }

    /// Writes an entry. If that fails, nothing is written.
    pub(super) fn append(&mut self, entry: &Entry) -> io::Result<()> {
        if self.has_ended {
            return Ok(());
        }
        let line = line(entry)?;
        match self.file.write_all(&line) {
            Ok(()) => {
                self.length += line.len() as u64;
                Ok(())
            }
            Err(error) => {
                // Half a line must not stand before the next one; that it does is found out by its checksum.
                let _ = self.file.set_len(self.length);
                let _ = self.file.seek(SeekFrom::Start(self.length));
                let path = self.directory.path().join(NAME);
                Err(io::Error::new(error.kind(), format!("{}: {error}", path.display())))
            }
        }
    }

    /// Whether it is so much longer than what it says that it is to be written anew.
    pub(super) fn is_overlong(&self) -> bool {
        self.length > SLACK_FACTOR * self.began + SLACK && !self.has_ended
    }

    /// Writes it anew, with all there is. If that fails, it stays as it was.
    pub(super) fn write_anew(&mut self, all: &Entry) -> io::Result<()> {
        match write_anew(&self.directory, &self.header, all) {
            Ok((file, length)) => {
                (self.file, self.length, self.began) = (file, length, length);
                Ok(())
            }
            Err(error) => {
                // Not again at once.
                self.began = self.length;
                Err(error)
            }
        }
    }

    /// What was written so far.
    pub(super) fn story(&self) -> Result<Story, EndpointError> {
        let gone = || failed("read", &self.directory.path().join(NAME))(io::ErrorKind::NotFound.into());
        Story::find(&self.directory)?.ok_or_else(gone)
    }

    /// The file, to be written through to the disk without holding up anybody.
    pub(super) fn handle(&self) -> io::Result<File> {
        self.file.try_clone()
    }

    /// The account ends here: nobody is to take it over.
    pub(super) fn end(&mut self) -> io::Result<()> {
        self.leave();
        self.directory.remove_file(NAME).map_err(io::Error::other)
    }

    /// Nothing is written any more: wherever the file is now, it stays as it is.
    pub(super) fn leave(&mut self) {
        self.has_ended = true;
    }
}

fn line(entry: &Entry) -> io::Result<Vec<u8>> {
    let mut line = b"00000000 ".to_vec();
    serde_json::to_writer(&mut line, entry)?;
    let sum = format!("{:08x}", crc32fast::hash(&line[9..]));
    line[..8].copy_from_slice(sum.as_bytes());
    line.push(b'\n');
    Ok(line)
}

fn write_anew(directory: &Directory, header: &Header, all: &Entry) -> io::Result<(File, u64)> {
    let new = if directory.remove_file(NEW).is_ok() { NEW } else { NEWER };
    let write = || {
        let mut file = directory.new_file(new).map_err(io::Error::other)?;
        let mut text = serde_json::to_vec(header)?;
        text.push(b'\n');
        text.extend(line(all)?);
        file.write_all(&text)?;
        Ok((file, text.len() as u64))
    };
    let written = write().and_then(|(file, length): (File, u64)| {
        // A name must not lead to what isn't on the disk, where there was something before.
        if directory.file(NAME).map_err(io::Error::other)?.is_some() {
            file.sync_data()?;
        }
        directory.rename(new, NAME).map_err(io::Error::other)?;
        Ok((file, length))
    });
    if written.is_err() {
        let _ = directory.remove_file(new);
    }
    written
}

/// Only the format of a header: of one that is too new, the rest may look like anything.
#[derive(Deserialize)]
struct Format {
    format: u32,
    build: String,
}

impl Story {
    /// Reads the journal in an endpoint's directory, if there is one; a last line that isn't whole was never answered, and doesn't
    /// count.
    ///
    /// # Errors
    ///
    /// It can't be read, is of a format that this build doesn't know, or is damaged.
    pub(super) fn find(directory: &Directory) -> Result<Option<Self>, EndpointError> {
        let path = directory.path().join(NAME);
        let Some(file) = directory.file(NAME)? else { return Ok(None) };
        let mut text = Vec::new();
        file.take(u64::MAX).read_to_end(&mut text).map_err(failed("read", &path))?;
        let wrong = |reason| EndpointError::TakeOver { directory: directory.path().to_owned(), reason };
        Self::parse(&text).map(Some).map_err(wrong)
    }

    /// Whether a file of this name is a journal of ours, though perhaps of a format that this build doesn't know, or damaged.
    pub(super) fn is_in(directory: &Directory) -> bool {
        let mut first = Vec::new();
        let file = directory.file(NAME).ok().flatten();
        let read = file.map(|file| BufReader::new(file.take(HEADER_MAX)).read_until(b'\n', &mut first));
        read.is_some_and(|read| read.is_ok()) && serde_json::from_slice::<Format>(&first).is_ok()
    }

    fn parse(text: &[u8]) -> Result<Self, String> {
        let mut lines = text.split_inclusive(|byte| *byte == b'\n').peekable();
        let first = lines.next().unwrap_or_default();
        let Format { format, build } =
            serde_json::from_slice(first).map_err(|e| format!("its first line is no header: {e}"))?;
        if format > FORMAT {
            return Err(format!("it is of the build {build}, in the format {format}; this build reads up to {FORMAT}"));
        }
        let of_build = |reason: String| format!("it is of the build {build}, and this build can't read it: {reason}");
        let header = serde_json::from_slice(first).map_err(|e| of_build(format!("header: {e}")))?;
        let mut entries = Vec::new();
        let mut number = 1;
        while let Some(line) = lines.next() {
            number += 1;
            let Some(json) = checked(line) else {
                if lines.any(|line| checked(line).is_some()) {
                    return Err(of_build(format!("line {number} is damaged")));
                }
                break;
            };
            entries.push(serde_json::from_slice(json).map_err(|e| of_build(format!("line {number}: {e}")))?);
        }
        if entries.is_empty() {
            return Err(of_build("it says nothing".to_owned()));
        }
        Ok(Self { header, entries })
    }

    /// The account's clock as it was at last: its time, and what it was put forward by.
    pub(super) fn clock(&self) -> Option<(OffsetDateTime, Duration)> {
        self.entries.last().map(|entry| (entry.at, entry.advanced))
    }
}

/// Whether it is what a host that loses its power leaves of a journal that was just begun: its beginning, up to some place in its
/// first record, and perhaps zeros in place of the rest. One that was written anew is never left so, since it was
/// on the disk before it took the other's place.
fn is_torn(text: &[u8]) -> bool {
    const BEGINNING: &[u8] = br#"{"format":"#;
    let length = text.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let text = &text[..length];
    let mut lines = text.split(|byte| *byte == b'\n');
    let header = lines.next().unwrap_or_default();
    let Some(first) = lines.next() else { return header.starts_with(BEGINNING) || BEGINNING.starts_with(header) };
    let is_known = serde_json::from_slice(header).is_ok_and(|Format { format, .. }| format <= FORMAT);
    is_known && lines.next().is_none() && (first.is_empty() || first.iter().take(8).all(u8::is_ascii_hexdigit))
}

/// Whether the journal in a directory is torn, and so no account's.
pub(super) fn is_torn_in(directory: &Directory) -> bool {
    let Ok(Some(file)) = directory.file(NAME) else { return false };
    let (mut file, mut text) = (BufReader::new(file), Vec::new());
    let mut read_line = || file.read_until(b'\n', &mut text).is_ok();
    read_line() && read_line() && is_torn(&text)
}

/// Takes a torn journal out of the way: it goes with the directory, which an account's journal keeps.
pub(super) fn put_torn_aside(directory: &Directory) -> Result<(), Error> {
    tracing::warn!(
        "{} ends before its first record, so no account is in it: its host ended when it was new",
        shown(&directory.path().join(NAME).to_string_lossy())
    );
    directory.remove_file(TORN)?;
    directory.rename(NAME, TORN)
}

/// What a line says, if it is whole.
fn checked(line: &[u8]) -> Option<&[u8]> {
    let line = line.strip_suffix(b"\n")?;
    let (sum, json) = line.split_at_checked(8)?;
    let json = json.strip_prefix(b" ")?;
    let sum = u32::from_str_radix(std::str::from_utf8(sum).ok()?, 16).ok()?;
    (crc32fast::hash(json) == sum).then_some(json)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::{fs, path::Path};

    proptest! {
        #[test]
        fn nothing_makes_it_panic(text: Vec<u8>, place: prop::sample::Index, bytes: Vec<u8>) {
            let _ = Story::parse(&text);
            let header = Header::new(OffsetDateTime::UNIX_EPOCH, Settings::default());
            let mut whole = [serde_json::to_vec(&header).unwrap(), b"\n".to_vec(), line(&entry(1)).unwrap()].concat();
            let place = place.index(whole.len());
            whole.splice(place..(place + bytes.len()).min(whole.len()), bytes);
            let _ = Story::parse(&whole);
        }
    }

    fn entry(drawn: u64) -> Entry {
        let record = serde_json::from_str(&format!(r#"{{"general":{{"drawn":{drawn}}}}}"#)).unwrap();
        Entry { at: OffsetDateTime::UNIX_EPOCH, advanced: Duration::from_secs(drawn), record }
    }

    fn begin(directory: &Path) -> Journal {
        let header = Header::new(OffsetDateTime::UNIX_EPOCH, Settings::default());
        Journal::begin(Directory::find(directory).unwrap(), header, &entry(1)).unwrap()
    }

    fn told(path: &Path) -> Vec<u64> {
        let story = Story::find(&Directory::find(path.parent().unwrap()).unwrap()).unwrap().unwrap();
        story.entries.iter().map(|entry| entry.advanced.as_secs()).collect()
    }

    #[test]
    fn what_was_written_is_read_in_order_until_it_ends() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal");
        let mut journal = begin(directory.path());
        journal.append(&entry(2)).unwrap();
        journal.append(&entry(3)).unwrap();
        assert_eq!(told(&path), [1, 2, 3]);
        // Whatever part of the last line there is.
        let text = fs::read(&path).unwrap();
        let last = text.len() - line(&entry(3)).unwrap().len();
        for length in last..text.len() {
            fs::write(&path, &text[..length]).unwrap();
            assert_eq!(told(&path), [1, 2]);
        }
        fs::write(&path, &text).unwrap();
        journal.write_anew(&entry(4)).unwrap();
        journal.append(&entry(5)).unwrap();
        assert_eq!(told(&path), [4, 5]);
        journal.end().unwrap();
        journal.append(&entry(6)).unwrap();
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_ends_before_its_first_record_is_torn() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal");
        begin(directory.path());
        let text = fs::read(&path).unwrap();
        for length in 0..text.len() {
            for zeros in [0, 1, 300] {
                assert!(is_torn(&[&text[..length], &vec![0; zeros]].concat()), "{length} and {zeros}");
            }
        }
        assert!(!is_torn(&text) && !is_torn(&[&text[..], &[0]].concat()));
        let later = text.strip_prefix(br#"{"format":1"#).unwrap();
        assert!(!is_torn(&[br#"{"format":2"#, &later[..later.len() - 1]].concat()));
        let run = Directory::find(directory.path()).unwrap();
        assert!(!is_torn_in(&run));
        fs::write(&path, &text[..text.len() - 1]).unwrap();
        assert!(is_torn_in(&run));
        put_torn_aside(&run).unwrap();
        assert!(Story::find(&run).unwrap().is_none());
        assert_eq!(fs::read(directory.path().join(TORN)).unwrap(), &text[..text.len() - 1]);
        assert!(!path.exists());
    }

    #[test]
    fn it_is_written_anew_before_it_is_much_longer_than_what_it_says() {
        let directory = tempfile::tempdir().unwrap();
        let mut journal = begin(directory.path());
        assert!(!journal.is_overlong());
        journal.length += SLACK + SLACK_FACTOR * journal.began;
        assert!(journal.is_overlong());
        journal.write_anew(&entry(1)).unwrap();
        assert!(!journal.is_overlong());
    }

    #[test]
    fn what_is_damaged_or_of_another_format_says_so() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal");
        let mut journal = begin(directory.path());
        journal.append(&entry(2)).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        for (damaged, said) in [
            (text.replacen("\"drawn\":1", "\"drawn\":7", 1), "line 2 is damaged"),
            (text.replacen("\"format\":1", "\"format\":2", 1), "in the format 2; this build reads up to 1"),
            (text.replacen("\"seed\":null", "\"seed\":[]", 1), "this build can't read it: header: "),
            (text.lines().next().unwrap().to_owned() + "\n\n\n", "it says nothing"),
            ("somebody's".to_owned(), "its first line is no header"),
        ] {
            assert_ne!(damaged, text);
            assert!(!is_torn(damaged.as_bytes()), "{damaged}");
            let error = Story::parse(damaged.as_bytes()).unwrap_err();
            assert!(error.contains(said), "{error}");
        }
    }
}
