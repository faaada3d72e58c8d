//! Reading parts of a file that is open, whoever else reads or writes it.
//!
//! Invariant: the place where somebody else reads the file does not change.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;

use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;

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

/// Reads an open file's data: all of it, or what is in its `extents`.
pub(crate) fn data_of<'f>(file: &'f File, extents: Option<&'f [Extent]>) -> Box<dyn Read + 'f> {
    match extents {
        None => Box::new(ReadFrom { file, offset: 0 }),
        Some(extents) => Box::new(ReadExtents::new(file, extents)),
    }
}

/// The digest of an open file's data: of all of it, or of what is in its `extents`.
///
/// # Errors
/// It cannot be read.
pub(crate) fn digest_of_data(file: &File, extents: Option<&[Extent]>) -> io::Result<Digest> {
    Digest::of_reader(io::BufReader::with_capacity(BUFFER, data_of(file, extents)))
}

/// Has an open file of `size` bytes nothing but zeros outside of its `extents`? What was allocated and never written is a hole until
/// somebody reads it.
///
/// # Errors
/// It cannot be read.
pub(crate) fn are_holes_empty(file: &File, extents: &[Extent], size: u64) -> io::Result<bool> {
    let mut buffer = vec![0; BUFFER];
    let mut hole = 0;
    let ends = extents.iter().map(|extent| (extent.offset, extent.offset + extent.length));
    for (end, next) in ends.chain([(size, size)]) {
        let mut at = hole;
        while at < end {
            at = match seek(file, SeekFrom::Data(at)) {
                Ok(data) => data,
                Err(Errno::NXIO) => break,
                Err(error) => return Err(error.into()),
            };
            let most = usize::try_from(end.saturating_sub(at)).unwrap_or(usize::MAX).min(BUFFER);
            let count = file.read_at(&mut buffer[..most], at)?;
            if count == 0 {
                break;
            }
            if buffer[..count].iter().any(|&byte| byte != 0) {
                return Ok(false);
            }
            at += count as u64;
        }
        hole = next;
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_zero_outside_of_the_extents_is_seen() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(1 << 20).unwrap();
        file.write_all_at(b"data", 8192).unwrap();
        file.write_all_at(&[0; 5000], 500_000).unwrap();
        let extents = [Extent { offset: 8192, length: 4096 }];
        assert!(are_holes_empty(&file, &extents, 1 << 20).unwrap());
        assert!(!are_holes_empty(&file, &[], 1 << 20).unwrap());
        assert_eq!(digest_of_data(&file, Some(&[])).unwrap(), Digest::of(b""));
        for at in [0, 8191, 12_288, (1 << 20) - 1] {
            file.write_all_at(b"x", at).unwrap();
            assert!(!are_holes_empty(&file, &extents, 1 << 20).unwrap(), "{at}");
            file.write_all_at(&[0], at).unwrap();
        }
    }
}
