//! The archive as a series of entries: their headers, with what earlier headers say about them, and their content.
//!
//! Every header is read here, rather than by the tar crate, which knows the fields of one: it turns the holes of sparse files into
//! zeros, and a hole costs an archive nothing.

use super::{
    Rule, UnpackError,
    records::Records,
    source::{Guard, Source},
};
use std::io::{self, Read};
use tar::{EntryType, GnuExtSparseHeader, GnuSparseHeader, Header};

/// Everything in an archive begins at a multiple of this.
const BLOCK: u64 = 512;

/// An archive that is read from its beginning to its end.
pub struct Reader<'a> {
    source: Source<'a>,
    guard: Guard,
    /// What of the last entry's content wasn't read yet, and what fills its last block.
    content: u64,
    padding: u64,
}

/// What the headers say about an entry.
pub struct Described {
    pub header: Header,
    /// As GNU's headers have them, which go before all others.
    pub long_path: Option<Vec<u8>>,
    pub long_target: Option<Vec<u8>>,
    pub records: Records,
    /// The size of the file, holes too.
    pub size: u64,
    /// Where in the file the content stands, one part after the other.
    pub segments: Vec<Segment>,
}

/// A part of a file that an archive has the content of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    pub offset: u64,
    pub length: u64,
}

impl<'a> Reader<'a> {
    pub fn new(source: Source<'a>, guard: Guard) -> Self {
        Self { source, guard, content: 0, padding: 0 }
    }

    /// The next entry; none at the end.
    pub fn next(&mut self) -> Result<Option<Described>, UnpackError> {
        self.guard.enter_contents();
        self.skip(self.content.saturating_add(self.padding))?;
        (self.content, self.padding) = (0, 0);
        self.guard.enter_headers();
        let [mut path, mut target, mut records] = [None, None, None];
        loop {
            let Some(header) = self.header()? else {
                let is_complete = path.is_none() && target.is_none() && records.is_none();
                return if is_complete {
                    Ok(None)
                } else {
                    Err(damaged("it ends before the entry that a header is about"))
                };
            };
            let has_types = header.as_gnu().is_some() || header.as_ustar().is_some();
            let (text, what) = match header.entry_type() {
                EntryType::GNULongName if has_types => (&mut path, "names"),
                EntryType::GNULongLink if has_types => (&mut target, "targets"),
                EntryType::XHeader if has_types => (&mut records, "PAX headers"),
                _ => return self.describe(header, [path, target, records]).map(Some),
            };
            if text.is_some() {
                return Err(damaged(&format!("an entry has two {what}")));
            }
            let size = header.entry_size().map_err(UnpackError::Damaged)?;
            *text = Some(self.text(size)?);
        }
    }

    fn describe(
        &mut self,
        header: Header,
        [long_path, long_target, records]: [Option<Vec<u8>>; 3],
    ) -> Result<Described, UnpackError> {
        let [long_path, long_target] = [long_path, long_target].map(|text| text.map(without_nul));
        let name = || long_path.clone().unwrap_or_else(|| header.path_bytes().into_owned());
        let records = Records::read(&records.unwrap_or_default());
        let records = records.ok_or_else(|| UnpackError::refused(&name(), Rule::PaxRecord))?;
        let stored = match records.number("size") {
            Some(size) => size.ok_or_else(|| UnpackError::refused(&name(), Rule::PaxRecord))?,
            None => header.entry_size().map_err(UnpackError::Damaged)?,
        };
        let (size, segments) = if header.entry_type() == EntryType::GNUSparse {
            self.map(&header, stored)?
        } else {
            (stored, vec![Segment { offset: 0, length: stored }])
        };
        self.guard.enter_contents();
        (self.content, self.padding) = (stored, stored.wrapping_neg() % BLOCK);
        Ok(Described { header, long_path, long_target, records, size, segments })
    }

    /// The map of a sparse file in GNU's old form, which begins in its header, and the file's size.
    fn map(&mut self, header: &Header, stored: u64) -> Result<(u64, Vec<Segment>), UnpackError> {
        let gnu = header.as_gnu().ok_or_else(|| damaged("a sparse file's header isn't GNU's"))?;
        let mut map = Map::default();
        map.extend(&gnu.sparse)?;
        let mut is_extended = gnu.is_extended();
        while is_extended {
            let mut more = GnuExtSparseHeader::new();
            self.exactly(more.as_mut_bytes())?;
            map.extend(&more.sparse)?;
            is_extended = more.is_extended();
        }
        let size = gnu.real_size().map_err(UnpackError::Damaged)?;
        if map.end != size || map.stored != stored {
            return Err(damaged("the map of a sparse file doesn't fit its sizes"));
        }
        Ok((size, map.segments))
    }

    /// A header whose checksum is right; none at the mark of the archive's end, and at its end.
    fn header(&mut self) -> Result<Option<Header>, UnpackError> {
        let mut header = Header::new_old();
        let bytes = header.as_mut_bytes();
        let length = self.fill(bytes)?;
        if length == 0 || bytes.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        if length < bytes.len() {
            return Err(cut_short());
        }
        // The checksum itself counts as spaces.
        let others = bytes[..148].iter().chain(&bytes[156..]);
        let sum = others.fold(8 * u32::from(b' '), |sum, byte| sum + u32::from(*byte));
        if header.cksum().map_err(UnpackError::Damaged)? != sum {
            return Err(damaged("the checksum of a header is wrong"));
        }
        Ok(Some(header))
    }

    /// What a header has that is about the next entry: so much, and what fills its last block.
    fn text(&mut self, size: u64) -> Result<Vec<u8>, UnpackError> {
        let mut text = Vec::new();
        let taken = self.source.by_ref().take(size).read_to_end(&mut text);
        taken.map_err(|error| self.guard.explain(error))?;
        if text.len() as u64 != size {
            return Err(cut_short());
        }
        self.skip(size.wrapping_neg() % BLOCK)?;
        Ok(text)
    }

    /// The next bytes of the entry's content.
    pub fn content(&mut self, buffer: &mut [u8]) -> Result<(), UnpackError> {
        self.content = self.content.checked_sub(buffer.len() as u64).ok_or_else(cut_short)?;
        self.exactly(buffer)
    }

    fn exactly(&mut self, buffer: &mut [u8]) -> Result<(), UnpackError> {
        if self.fill(buffer)? == buffer.len() { Ok(()) } else { Err(cut_short()) }
    }

    /// Fills the buffer as far as the archive reaches.
    fn fill(&mut self, buffer: &mut [u8]) -> Result<usize, UnpackError> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.source.read(&mut buffer[filled..]) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.guard.explain(error)),
            }
        }
        Ok(filled)
    }

    fn skip(&mut self, count: u64) -> Result<(), UnpackError> {
        let skipped = io::copy(&mut self.source.by_ref().take(count), &mut io::sink());
        let skipped = skipped.map_err(|error| self.guard.explain(error))?;
        if skipped == count { Ok(()) } else { Err(cut_short()) }
    }

    /// Reads what follows the last entry.
    pub fn finish(self) -> Result<(), UnpackError> {
        self.source.finish()
    }
}

/// A map as far as it was read.
#[derive(Default)]
struct Map {
    segments: Vec<Segment>,
    /// Where the last one ends, in the file and in the archive.
    end: u64,
    stored: u64,
}

impl Map {
    fn extend(&mut self, fields: &[GnuSparseHeader]) -> Result<(), UnpackError> {
        for field in fields.iter().filter(|field| !field.is_empty()) {
            let offset = field.offset().map_err(UnpackError::Damaged)?;
            let length = field.length().map_err(UnpackError::Damaged)?;
            // All but the last fill whole blocks.
            let fits = offset >= self.end && (length == 0 || self.stored.is_multiple_of(BLOCK));
            let ends = offset.checked_add(length).zip(self.stored.checked_add(length)).filter(|_| fits);
            (self.end, self.stored) = ends.ok_or_else(|| damaged("the map of a sparse file is out of order"))?;
            self.segments.push(Segment { offset, length });
        }
        Ok(())
    }
}

fn without_nul(mut text: Vec<u8>) -> Vec<u8> {
    text.pop_if(|last| *last == 0);
    text
}

fn damaged(why: &str) -> UnpackError {
    UnpackError::Damaged(io::Error::new(io::ErrorKind::InvalidData, why))
}

fn cut_short() -> UnpackError {
    UnpackError::Damaged(io::Error::new(io::ErrorKind::UnexpectedEof, "it ends within an entry"))
}
