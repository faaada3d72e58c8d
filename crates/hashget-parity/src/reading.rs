//! Reading a file in any order, and asking whether to go on.
//!
//! Invariant: what is read is as long as was asked for, or the file has ended.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

/// Is told how many further bytes were processed; says whether to go on.
pub type Proceed<'a> = dyn Fn(u64) -> bool + Sync + 'a;

/// Gives bytes in any order, to several threads at once.
pub trait ReadAt: Sync {
    /// Reads bytes from position `first` on until `buffer` is full or the file ends; how many were read.
    ///
    /// # Errors
    /// The disk failed.
    fn read_at(&self, buffer: &mut [u8], first: u64) -> io::Result<usize>;
}

impl ReadAt for File {
    fn read_at(&self, buffer: &mut [u8], first: u64) -> io::Result<usize> {
        let mut count = 0;
        while count < buffer.len() {
            let position = first.saturating_add(count as u64);
            match std::os::unix::fs::FileExt::read_at(self, &mut buffer[count..], position) {
                Ok(0) => break,
                Ok(read) => count += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(count)
    }
}

impl ReadAt for [u8] {
    fn read_at(&self, buffer: &mut [u8], first: u64) -> io::Result<usize> {
        let rest = usize::try_from(first).ok().and_then(|first| self.get(first..)).unwrap_or(&[]);
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }
}

/// Fills `buffer` from position `first` on, with zeros behind the end of the file.
pub(crate) fn read_padded(
    file: &(impl ReadAt + ?Sized),
    buffer: &mut [u8],
    first: u64,
) -> io::Result<()> {
    let count = file.read_at(buffer, first)?;
    buffer[count..].fill(0);
    Ok(())
}

/// Writes all of `bytes` at position `first`.
pub(crate) fn write_at(file: &File, bytes: &[u8], first: u64) -> io::Result<()> {
    file.write_all_at(bytes, first)
}
