//! The cpio archive in an rpm: plain entries, or entries that only have an index into the header's list of
//! files.
//!
//! Invariant: an entry's contents have exactly the declared size; what is left unread is skipped.

use std::io::{self, Read};

use super::{FormatError, damaged, reading};
use crate::model::escaped;

const TRAILER: &[u8] = b"TRAILER!!!";
/// Plain entries; the second kind has a checksum of the contents, which rpm ignores, too.
const PLAIN: [&[u8]; 2] = [b"070701", b"070702"];
/// Entries without a name and metadata, in packages with files of 4 GiB or more.
const STRIPPED: &[u8] = b"07070X";
const MAGIC: usize = 6;
/// Number of numbers in a plain entry, eight digits each.
const FIELDS: usize = 13;
const SIZE: usize = 6;
const NAME_LENGTH: usize = 11;

/// Reads a cpio archive; after [`Cpio::next`], the contents of that entry.
pub(super) struct Cpio<R> {
    reader: R,
    name_limit: u64,
    /// Unread bytes of the current contents, and of the padding after them.
    left: u64,
    padding: u64,
}

/// What an entry contains about its file.
pub(super) enum Entry {
    /// Its name, and the size of the contents in the archive.
    Named(Vec<u8>, u64),
    /// Its index in the header's list of files; the caller passes the size to [`Cpio::begin`].
    Listed(usize),
}

impl<R: Read> Cpio<R> {
    pub(super) fn new(reader: R, name_limit: u64) -> Self {
        Self { reader, name_limit, left: 0, padding: 0 }
    }

    /// The next entry; `None` after the last one, when the whole input has been read.
    pub(super) fn next(&mut self) -> Result<Option<Entry>, FormatError> {
        io::copy(self, &mut io::sink()).map_err(reading)?;
        skip(&mut self.reader, self.padding)?;
        self.padding = 0;
        let mut magic = [0; MAGIC];
        self.reader.read_exact(&mut magic).map_err(reading)?;
        if magic == STRIPPED {
            let place = self.fields::<1>()?[0];
            skip(&mut self.reader, 2)?;
            return Ok(Some(Entry::Listed(usize::try_from(place).unwrap_or(usize::MAX))));
        }
        if !PLAIN.contains(&&magic[..]) {
            let problem = format!("an entry of its archive begins with \"{}\"", escaped(&magic));
            return Err(damaged(problem));
        }
        let fields = self.fields::<FIELDS>()?;
        let name = self.name(fields[NAME_LENGTH])?;
        if name == TRAILER {
            io::copy(&mut self.reader, &mut io::sink()).map_err(reading)?;
            return Ok(None);
        }
        self.begin(fields[SIZE]);
        Ok(Some(Entry::Named(name, fields[SIZE])))
    }

    /// Declares the size of the current entry's contents in bytes.
    pub(super) fn begin(&mut self, size: u64) {
        self.left = size;
        self.padding = size.wrapping_neg() % 4;
    }

    fn fields<const COUNT: usize>(&mut self) -> Result<[u64; COUNT], FormatError> {
        let mut fields = [0; COUNT];
        for field in &mut fields {
            let mut digits = [0; 8];
            self.reader.read_exact(&mut digits).map_err(reading)?;
            let text = std::str::from_utf8(&digits).ok();
            let text = text.filter(|text| text.bytes().all(|digit| digit.is_ascii_hexdigit()));
            *field = text.and_then(|text| u64::from_str_radix(text, 16).ok()).ok_or_else(|| {
                damaged(format!("\"{}\" is no number of an entry", escaped(&digits)))
            })?;
        }
        Ok(fields)
    }

    /// Reads a name of `length` bytes, including the NUL after it.
    fn name(&mut self, length: u64) -> Result<Vec<u8>, FormatError> {
        if length > self.name_limit {
            let what = "bytes of a name".into();
            return Err(FormatError::Limit { what, limit: self.name_limit });
        }
        let mut name = Vec::new();
        self.reader.by_ref().take(length).read_to_end(&mut name).map_err(reading)?;
        if name.len() as u64 != length || name.pop() != Some(0) {
            return Err(damaged("a name is cut off"));
        }
        let header = (MAGIC + FIELDS * 8) as u64 + length;
        skip(&mut self.reader, header.wrapping_neg() % 4)?;
        Ok(name)
    }
}

impl<R: Read> Read for Cpio<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.by_ref().take(self.left).read(buffer)?;
        if count == 0 && self.left > 0 && !buffer.is_empty() {
            let problem = "its archive ends within an entry";
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, problem));
        }
        self.left -= count as u64;
        Ok(count)
    }
}

/// Skips `count` bytes.
pub(super) fn skip(reader: &mut dyn Read, count: u64) -> Result<(), FormatError> {
    match io::copy(&mut reader.take(count), &mut io::sink()).map_err(reading)? {
        skipped if skipped == count => Ok(()),
        _ => Err(damaged("it ends too early")),
    }
}
