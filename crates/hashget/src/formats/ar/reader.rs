//! The parts of an ar archive, one after the other: Debian packages and static libraries are such archives.
//!
//! Invariant: a part's contents have exactly the size in its header; after the last part only zeros may follow.

use std::io::{self, Read};

use super::super::FormatError;
use crate::model::escaped;

/// The first bytes of an ar archive.
pub(in crate::formats) const MAGIC: &[u8] = b"!<arch>\n";
/// Size of the header of a part in bytes.
pub(in crate::formats) const HEADER: usize = 60;

/// The header of a part.
pub(in crate::formats) struct ArHeader([u8; HEADER]);

impl ArHeader {
    /// These bytes as a header; [`ArHeader::size`] shows whether they are one.
    pub(in crate::formats) fn new(bytes: [u8; HEADER]) -> Self {
        Self(bytes)
    }

    /// The name as stored, without the spaces behind it.
    pub(in crate::formats) fn name(&self) -> &[u8] {
        self.0[..16].trim_ascii_end()
    }

    /// Seconds since 1970; `None` if the field is empty or no number, as are the following two.
    pub(super) fn mtime(&self) -> Option<u64> {
        number(&self.0[16..28], 10)
    }

    /// The owner's number.
    pub(super) fn uid(&self) -> Option<u64> {
        number(&self.0[28..34], 10)
    }

    /// The group's number.
    pub(super) fn gid(&self) -> Option<u64> {
        number(&self.0[34..40], 10)
    }

    /// The mode, with type bits if the archive has them.
    pub(super) fn mode(&self) -> Option<u64> {
        number(&self.0[40..48], 8)
    }

    /// The size of the contents in bytes.
    pub(in crate::formats) fn size(&self) -> Option<u64> {
        number(&self.0[48..58], 10)
    }
}

fn number(field: &[u8], radix: u32) -> Option<u64> {
    let text = std::str::from_utf8(field.trim_ascii()).ok()?;
    let is_plain = text.bytes().all(|digit| digit.is_ascii_digit());
    u64::from_str_radix(text, radix).ok().filter(|_| is_plain)
}

/// Reads an ar archive; after [`ArReader::next`], the contents of that part.
pub(in crate::formats) struct ArReader<'a> {
    reader: Box<dyn Read + 'a>,
    format: &'static str,
    /// Unread bytes of the current part, and of the padding after it.
    left: u64,
    padding: u64,
}

impl<'a> ArReader<'a> {
    /// Reads the first bytes. Errors name `format`.
    ///
    /// # Errors
    /// They are not those of an ar archive.
    pub(in crate::formats) fn new(
        mut reader: Box<dyn Read + 'a>,
        format: &'static str,
    ) -> Result<Self, FormatError> {
        let mut magic = [0; MAGIC.len()];
        reader.read_exact(&mut magic).map_err(|error| FormatError::reading(format, error))?;
        let archive = Self { reader, format, left: 0, padding: 0 };
        if magic != MAGIC {
            return Err(archive.damaged("it does not begin as an ar archive"));
        }
        Ok(archive)
    }

    /// The header of the next part; `None` at the end.
    ///
    /// # Errors
    /// The archive ends within a part, or what follows one is no header.
    pub(in crate::formats) fn next(&mut self) -> Result<Option<ArHeader>, FormatError> {
        io::copy(self, &mut io::sink()).map_err(|error| self.reading(error))?;
        // The padding of the last part may be missing.
        let padding = std::mem::take(&mut self.padding);
        let skipped = io::copy(&mut self.reader.by_ref().take(padding), &mut io::sink());
        skipped.map_err(|error| self.reading(error))?;
        let mut header = Vec::new();
        let read = self.reader.by_ref().take(HEADER as u64).read_to_end(&mut header);
        read.map_err(|error| self.reading(error))?;
        if header.is_empty() {
            return Ok(None);
        }
        if header.iter().all(|&byte| byte == 0) {
            return self.expect_zeros().map(|()| None);
        }
        let Some(header) = header.first_chunk().filter(|header| header.ends_with(b"`\n")) else {
            return Err(self.damaged("the header of a part is cut off, or is none"));
        };
        let header = ArHeader::new(*header);
        self.left = header.size().ok_or_else(|| {
            self.damaged(format!("a part has the size \"{}\"", escaped(&header.0[48..58])))
        })?;
        self.padding = self.left % 2;
        Ok(Some(header))
    }

    /// Number of bytes of the current part that have not been read.
    pub(super) fn left(&self) -> u64 {
        self.left
    }

    /// Reads to the end of the file, of which only zeros may be left.
    fn expect_zeros(&mut self) -> Result<(), FormatError> {
        let mut buffer = [0; 4096];
        loop {
            match self.reader.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(count) if buffer[..count].iter().all(|&byte| byte == 0) => {}
                Ok(_) => return Err(self.damaged("something follows zeros after its last part")),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.reading(error)),
            }
        }
    }

    fn damaged(&self, problem: impl Into<String>) -> FormatError {
        FormatError::Damaged { format: self.format, problem: problem.into() }
    }

    fn reading(&self, error: io::Error) -> FormatError {
        FormatError::reading(self.format, error)
    }
}

impl Read for ArReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.by_ref().take(self.left).read(buffer)?;
        if count == 0 && self.left > 0 && !buffer.is_empty() {
            let problem = "the file ends within a part";
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, problem));
        }
        self.left -= count as u64;
        Ok(count)
    }
}
