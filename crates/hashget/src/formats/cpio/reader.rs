//! The entries of a cpio archive, one after the other: archives of their own, and those in rpm packages.
//!
//! Invariant: an entry's contents have exactly the declared size, and the sum in its header if that is verified; what is
//! left unread is skipped.

use std::io::{self, Read};

use super::super::FormatError;
use super::super::file_type::file_type;
use super::header::{Fields, Form, MAGIC};
use crate::model::escaped;

const TRAILER: &[u8] = b"TRAILER!!!";

/// An entry of an archive.
pub(in crate::formats) enum Entry {
    /// One with its name and metadata.
    Named(Box<NamedEntry>),
    /// One of an rpm with files of 4 GiB or more: its index in the header's list of files. The caller passes the size to
    /// [`CpioReader::begin`].
    Listed(usize),
}

/// An entry with its name and metadata.
pub(in crate::formats) struct NamedEntry {
    /// Its name as stored.
    pub(in crate::formats) name: Vec<u8>,
    /// The form of its header.
    pub(super) form: Form,
    /// The numbers in its header.
    pub(super) fields: Fields,
}

impl NamedEntry {
    /// The size of its contents in the archive, in bytes.
    pub(in crate::formats) fn size(&self) -> u64 {
        self.fields.size
    }
}

/// Reads a cpio archive; after [`CpioReader::next`], the contents of that entry.
pub(in crate::formats) struct CpioReader<R> {
    reader: R,
    format: &'static str,
    name_limit: u64,
    /// Unread bytes of the current contents, and of the padding after them.
    left: u64,
    padding: u64,
    /// What the bytes of the current file must add up to, and what those read so far do.
    expected_sum: Option<u32>,
    sum: u32,
    verifies_sums: bool,
}

impl<R: Read> CpioReader<R> {
    /// A reader whose errors name `format`. Names have up to `name_limit` bytes.
    pub(in crate::formats) fn new(reader: R, format: &'static str, name_limit: u64) -> Self {
        Self {
            reader,
            format,
            name_limit,
            left: 0,
            padding: 0,
            expected_sum: None,
            sum: 0,
            verifies_sums: false,
        }
    }

    /// The same, which verifies the sums of contents.
    pub(super) fn verifying_sums(self) -> Self {
        Self { verifies_sums: true, ..self }
    }

    /// The next entry; `None` at the trailer, which has been read.
    ///
    /// # Errors
    /// The archive ends too early, or what follows is no entry.
    pub(in crate::formats) fn next(&mut self) -> Result<Option<Entry>, FormatError> {
        io::copy(self, &mut io::sink()).map_err(|error| self.reading(error))?;
        self.skip(self.padding)?;
        self.padding = 0;
        let mut start = [0; MAGIC];
        self.reader.read_exact(&mut start).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => self.damaged("its archive ends before its trailer"),
            _ => self.reading(error),
        })?;
        let Some(form) = Form::recognise(&start) else {
            let start = escaped(&start);
            return Err(self.damaged(format!("an entry of its archive begins with \"{start}\"")));
        };
        let mut header = start.to_vec();
        header.resize(form.size(), 0);
        self.reader.read_exact(&mut header[MAGIC..]).map_err(|error| self.reading(error))?;
        let fields = Fields::parse(form, &header).map_err(|digits| {
            self.damaged(format!("\"{}\" is no number of an entry", escaped(digits)))
        })?;
        if form == Form::Listed {
            self.skip(padding(form, form.size() as u64))?;
            return Ok(Some(Entry::Listed(usize::try_from(fields.inode).unwrap_or(usize::MAX))));
        }
        let name = self.name(form, fields.name_length)?;
        if name == TRAILER {
            return Ok(None);
        }
        self.begin_as(form, fields.size);
        let is_file = file_type(fields.mode).is_file() && fields.size > 0;
        let has_sum = self.verifies_sums && is_file && form == Form::New { summed: true };
        self.expected_sum = u32::try_from(fields.sum).ok().filter(|_| has_sum);
        Ok(Some(Entry::Named(Box::new(NamedEntry { name, form, fields }))))
    }

    /// Declares the size of the contents of a listed entry in bytes.
    pub(in crate::formats) fn begin(&mut self, size: u64) {
        self.begin_as(Form::Listed, size);
    }

    fn begin_as(&mut self, form: Form, size: u64) {
        self.left = size;
        self.padding = padding(form, size);
        (self.expected_sum, self.sum) = (None, 0);
    }

    /// Reads to the end of the input, whatever follows the archive.
    ///
    /// # Errors
    /// It cannot be read.
    pub(in crate::formats) fn skip_rest(&mut self) -> Result<(), FormatError> {
        let skipped = io::copy(&mut self.reader, &mut io::sink());
        skipped.map(|_| ()).map_err(|error| self.reading(error))
    }

    /// Reads a name of `length` bytes, including the NUL after it.
    fn name(&mut self, form: Form, length: u64) -> Result<Vec<u8>, FormatError> {
        if length > self.name_limit {
            let what = "bytes of a name".into();
            return Err(FormatError::Limit { what, limit: self.name_limit });
        }
        let mut name = Vec::new();
        let read = self.reader.by_ref().take(length).read_to_end(&mut name);
        read.map_err(|error| self.reading(error))?;
        if name.len() as u64 != length || name.pop() != Some(0) {
            return Err(self.damaged("a name is cut off"));
        }
        self.skip(padding(form, form.size() as u64 + length))?;
        Ok(name)
    }

    fn skip(&mut self, count: u64) -> Result<(), FormatError> {
        let skipped = io::copy(&mut self.reader.by_ref().take(count), &mut io::sink());
        match skipped.map_err(|error| self.reading(error))? {
            skipped if skipped == count => Ok(()),
            _ => Err(self.damaged("it ends too early")),
        }
    }

    fn damaged(&self, problem: impl Into<String>) -> FormatError {
        FormatError::Damaged { format: self.format, problem: problem.into() }
    }

    fn reading(&self, error: io::Error) -> FormatError {
        FormatError::reading(self.format, error)
    }
}

/// The padding after `length` bytes.
fn padding(form: Form, length: u64) -> u64 {
    length.wrapping_neg() % form.alignment()
}

impl<R: Read> Read for CpioReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.by_ref().take(self.left).read(buffer)?;
        if count == 0 && self.left > 0 && !buffer.is_empty() {
            let problem = "its archive ends within an entry";
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, problem));
        }
        self.left -= count as u64;
        if let Some(expected) = self.expected_sum {
            for byte in &buffer[..count] {
                self.sum = self.sum.wrapping_add(u32::from(*byte));
            }
            if self.left == 0 && self.sum != expected {
                let problem = "the contents of an entry have another sum than its header";
                return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
            }
        }
        Ok(count)
    }
}
