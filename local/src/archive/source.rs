//! The archive as a stream of bytes: decompressed, and bounded while it is read.

use super::{Rule, UnpackError};
use flate2::bufread::MultiGzDecoder;
use std::{
    cell::{Cell, RefCell},
    io::{self, BufReader, Cursor, Read},
    rc::Rc,
};

/// What the headers of one entry may take, long names and PAX's records too: names, targets and capabilities take some KiB.
pub const LONGEST_HEADERS: u64 = 1 << 20;
/// How much may come out before what has gone in is looked at.
const FREE: u64 = 64 << 20;
/// Writers fill up to the length of a tape's record.
const LONGEST_PADDING: u64 = 16 << 20;

/// Tells, for the one who reads, how far it may go, and says afterwards what the matter was: the parser in between knows
/// errors of reading only.
#[derive(Clone, Default)]
pub struct Guard(Rc<State>);

struct State {
    /// What the headers may still take; `None` within an entry's content.
    headers: Cell<Option<u64>>,
    at_end: Cell<bool>,
    refusal: RefCell<Option<Rule>>,
}

impl Default for State {
    fn default() -> Self {
        Self { headers: Cell::new(Some(LONGEST_HEADERS)), at_end: Cell::new(false), refusal: RefCell::default() }
    }
}

impl Guard {
    /// What is read from now on is the content of an entry, whose length is known.
    pub fn enter_contents(&self) {
        self.0.headers.set(None);
    }

    /// What is read from now on are headers.
    pub fn enter_headers(&self) {
        self.0.headers.set(Some(LONGEST_HEADERS));
    }

    /// What lies behind an error of reading.
    pub fn explain(&self, error: io::Error) -> UnpackError {
        match self.0.refusal.take() {
            Some(rule) => UnpackError::Whole(rule),
            None => UnpackError::Damaged(error),
        }
    }

    fn refuse(&self, rule: Rule) -> io::Error {
        let error = io::Error::other(rule.to_string());
        self.0.refusal.replace(Some(rule));
        error
    }
}

/// Counts what is read.
struct Counted<R> {
    from: R,
    count: Rc<Cell<u64>>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.from.read(buffer)?;
        self.count.set(self.count.get() + count as u64);
        Ok(count)
    }
}

/// The archive, decompressed.
pub struct Source<'a> {
    from: Box<dyn Read + 'a>,
    guard: Guard,
    ratio: u64,
    taken: Rc<Cell<u64>>,
    given: u64,
}

/// How archives are compressed, by their first bytes, and what decompresses those that aren't known here.
const COMPRESSIONS: [(&[u8], &str, &str); 4] = [
    (b"\xfd7zXZ\0", "xz", "xz -dc"),
    (b"\x28\xb5\x2f\xfd", "zstd", "zstd -dc"),
    (b"BZh", "bzip2", "bzip2 -dc"),
    (b"\x04\x22\x4d\x18", "lz4", "lz4 -dc"),
];
const GZIP: &[u8] = b"\x1f\x8b";

impl<'a> Source<'a> {
    /// Looks at the first bytes, and decompresses what is gzip.
    pub fn open(archive: impl Read + 'a, guard: Guard, ratio: u64) -> Result<Self, UnpackError> {
        let taken = Rc::new(Cell::new(0));
        let mut from = Counted { from: archive, count: taken.clone() };
        let mut start = Vec::new();
        from.by_ref().take(6).read_to_end(&mut start).map_err(UnpackError::Damaged)?;
        let refused = |text: String| Err(UnpackError::Whole(Rule::Format(text)));
        if start.is_empty() {
            return refused("the archive is empty".to_owned());
        }
        if let Some((_, name, command)) = COMPRESSIONS.iter().find(|(magic, ..)| start.starts_with(magic)) {
            return refused(format!(
                "{name} isn't decompressed here; pipe it: `{command} FILE | ec2-local image import - --name NAME`"
            ));
        }
        let is_gzip = start.starts_with(GZIP);
        let whole = BufReader::with_capacity(64 << 10, Cursor::new(start).chain(from));
        let from: Box<dyn Read + 'a> = if is_gzip { Box::new(MultiGzDecoder::new(whole)) } else { Box::new(whole) };
        Ok(Self { from, guard, ratio, taken, given: 0 })
    }

    /// Reads what follows the last entry: a mark and padding, to the end of the file, so that a file that was cut short is
    /// never taken for a whole one.
    pub fn finish(mut self) -> Result<(), UnpackError> {
        if self.guard.0.at_end.get() {
            let missing = io::Error::new(io::ErrorKind::UnexpectedEof, "it ends without the mark of an archive's end");
            return Err(UnpackError::Damaged(missing));
        }
        let guard = self.guard.clone();
        guard.enter_contents();
        let (mut buffer, mut padding) = (vec![0; 64 << 10], 0);
        loop {
            let count = self.read(&mut buffer).map_err(|error| guard.explain(error))?;
            padding += count as u64;
            if count == 0 {
                return Ok(());
            }
            if padding > LONGEST_PADDING || buffer[..count].iter().any(|byte| *byte != 0) {
                let text = "more follows the end of the archive; were several joined by `cat`?";
                return Err(UnpackError::Whole(Rule::Format(text.to_owned())));
            }
        }
    }
}

impl Read for Source<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let state = &self.guard.0;
        let most = match state.headers.get() {
            Some(0) => return Err(self.guard.refuse(Rule::LongHeaders)),
            Some(left) => usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len()),
            None => buffer.len(),
        };
        let count = self.from.read(&mut buffer[..most])?;
        state.at_end.set(count == 0 && most > 0);
        state.headers.set(state.headers.get().map(|left| left - count as u64));
        self.given += count as u64;
        if self.given > FREE && self.given / self.ratio.max(1) > self.taken.get() {
            return Err(self.guard.refuse(Rule::Ratio(self.ratio)));
        }
        Ok(count)
    }
}
