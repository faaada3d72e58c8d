//! What archives are read from: a file, bytes in memory, a stream.
//!
//! Invariant: reading at random does not change where reading in order stands.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;

/// Gives the bytes of one archive, in order. Every implementation passes the same conformance suite.
pub trait ArchiveSource: Read + Send {
    /// The archive's size in bytes, if it is known beforehand.
    fn size(&self) -> Option<u64> {
        None
    }

    /// Reads it in any order, where that is possible: not from a stream.
    fn random(&self) -> Option<&dyn RandomRead> {
        None
    }
}

/// A source from which several threads read.
pub trait SharedSource: ArchiveSource + Sync {}

impl<S: ArchiveSource + Sync> SharedSource for S {}

/// Reads bytes of an archive in any order, from several threads at once.
pub trait RandomRead: Sync {
    /// Reads bytes from position `first` on until `buffer` is full or the archive ends; how many were read.
    ///
    /// # Errors
    /// The disk or the network failed.
    fn read_at(&self, buffer: &mut [u8], first: u64) -> io::Result<usize>;
}

/// Reads an archive in order, from its start, by reading it at random.
pub(crate) struct FromStart<'r> {
    random: &'r dyn RandomRead,
    size: Option<u64>,
    position: u64,
}

impl<'r> FromStart<'r> {
    /// All of `archive`; `None` if it cannot be read at random.
    pub(crate) fn of(archive: &'r dyn ArchiveSource) -> Option<Self> {
        Some(Self { random: archive.random()?, size: archive.size(), position: 0 })
    }
}

impl Read for FromStart<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.random.read_at(buffer, self.position)?;
        self.position += count as u64;
        Ok(count)
    }
}

impl ArchiveSource for FromStart<'_> {
    fn size(&self) -> Option<u64> {
        self.size
    }

    fn random(&self) -> Option<&dyn RandomRead> {
        Some(self.random)
    }
}

impl ArchiveSource for File {
    fn size(&self) -> Option<u64> {
        let metadata = self.metadata().ok().filter(std::fs::Metadata::is_file);
        metadata.map(|metadata| metadata.len())
    }

    fn random(&self) -> Option<&dyn RandomRead> {
        self.size().is_some().then_some(self)
    }
}

impl RandomRead for File {
    fn read_at(&self, buffer: &mut [u8], first: u64) -> io::Result<usize> {
        // No file reaches further, and the kernel would call such a position invalid.
        if first.saturating_add(buffer.len() as u64) > i64::MAX.cast_unsigned() {
            return Ok(0);
        }
        let mut count = 0;
        while count < buffer.len() {
            let position = first.saturating_add(count as u64);
            match FileExt::read_at(self, &mut buffer[count..], position) {
                Ok(0) => break,
                Ok(read) => count += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(count)
    }
}

impl ArchiveSource for fs_err::File {
    fn size(&self) -> Option<u64> {
        self.file().size()
    }

    fn random(&self) -> Option<&dyn RandomRead> {
        self.file().random()
    }
}

/// An archive in memory: those bytes of it that are not read yet.
impl ArchiveSource for &[u8] {
    fn size(&self) -> Option<u64> {
        Some(self.len() as u64)
    }
}

/// Reads an archive from a stream: standard input, a pipe.
pub struct StreamSource<R>(R);

impl<R: Read + Send> StreamSource<R> {
    /// A source that reads `stream` from where it stands.
    pub fn new(stream: R) -> Self {
        Self(stream)
    }
}

impl<R: Read + Send> Read for StreamSource<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl<R: Read + Send> ArchiveSource for StreamSource<R> {}
