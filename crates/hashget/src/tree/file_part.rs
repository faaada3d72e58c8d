//! Reading parts of a file that is open, whoever else reads or writes it.
//!
//! Invariant: the place where somebody else reads the file does not change.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;

use crate::model::{Digest, Extent};

/// Bytes that are read at once to be digested.
const BUFFER: usize = 128 << 10;

/// Reads an open file from somewhere on.
pub(crate) struct ReadFrom<'f> {
    pub(crate) file: &'f File,
    pub(crate) offset: u64,
}

impl Read for ReadFrom<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(buffer, self.offset)?;
        self.offset += count as u64;
        Ok(count)
    }
}

/// Reads what lies in the extents of an open file, one after the other.
pub(crate) struct ReadExtents<'f> {
    file: &'f File,
    extents: &'f [Extent],
    /// Bytes of the first extent that are read.
    done: u64,
}

impl<'f> ReadExtents<'f> {
    /// Reads from the start.
    pub(crate) fn new(file: &'f File, extents: &'f [Extent]) -> Self {
        Self { file, extents, done: 0 }
    }
}

impl Read for ReadExtents<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some((extent, rest)) = self.extents.split_first() {
            if self.done < extent.length {
                let left = usize::try_from(extent.length - self.done).unwrap_or(usize::MAX);
                let most = left.min(buffer.len());
                let count = self.file.read_at(&mut buffer[..most], extent.offset + self.done)?;
                self.done += count as u64;
                return Ok(count);
            }
            (self.extents, self.done) = (rest, 0);
        }
        Ok(0)
    }
}

/// The digest of an open file's data: of all of it, or of what is in its `extents`.
///
/// # Errors
/// It cannot be read.
pub(crate) fn digest_of_data(file: &File, extents: Option<&[Extent]>) -> io::Result<Digest> {
    let data: Box<dyn Read + '_> = match extents {
        None => Box::new(ReadFrom { file, offset: 0 }),
        Some(extents) => Box::new(ReadExtents::new(file, extents)),
    };
    Digest::of_reader(io::BufReader::with_capacity(BUFFER, data))
}
